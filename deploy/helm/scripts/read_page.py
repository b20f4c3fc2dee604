"""What `helm test` runs in the image: read a page as Prometheus does, and say in one sentence what is wrong with it.

    python -c THIS http://fleet-exporter.monitoring.svc:9847/metrics [authenticated]

Where the page asks for a password or a client certificate, being asked is all that can be seen from here.
"""

import http.client
import ssl
import sys
import urllib.error
import urllib.request

url, authenticated = sys.argv[1], "authenticated" in sys.argv[2:]
# The certificate is the cluster's own; whether it can be trusted is for Prometheus to know.
context = ssl._create_unverified_context()  # noqa: S323 - for the reason above
try:
    with urllib.request.urlopen(url, timeout=30, context=context) as reply:  # noqa: S310 - the chart names it
        page = reply.read().decode()
except (OSError, http.client.HTTPException) as error:
    reason = getattr(error, "reason", error)
    status = error.code if isinstance(error, urllib.error.HTTPError) else None
    # TLS 1.3 lets a client without a certificate in, and closes the connection afterwards.
    if authenticated and (status == 401 or isinstance(reason, ssl.SSLError | ConnectionResetError)):
        sys.exit()
    sys.exit(f"{url} answers {status}" if status else f"{url}: {reason}")
if "fleet_exporter_build_info" not in page:
    sys.exit(f"{url} is no page of fleet-exporter: fleet_exporter_build_info is not on it")
