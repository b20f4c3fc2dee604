"""The check of `helm test`: scrape the exporter once and report in one sentence what is wrong.

    python -c THIS http://fleet-exporter.monitoring.svc:9847/metrics [authenticated]

With `authenticated`, a request for a password or a client certificate is the expected response.
"""

import http.client
import ssl
import sys
import urllib.error
import urllib.request

url, authenticated = sys.argv[1], "authenticated" in sys.argv[2:]
# The pod does not have the CA: Prometheus verifies the certificate.
context = ssl._create_unverified_context()  # noqa: S323 - for the reason above
try:
    with urllib.request.urlopen(url, timeout=30, context=context) as response:  # noqa: S310 - the chart sets the URL
        page = response.read().decode()
except (OSError, http.client.HTTPException) as error:
    reason = getattr(error, "reason", error)
    status = error.code if isinstance(error, urllib.error.HTTPError) else None
    # With TLS 1.3 the handshake succeeds without a client certificate and the connection closes afterwards.
    if authenticated and (status == 401 or isinstance(reason, ssl.SSLError | ConnectionResetError)):
        sys.exit()
    sys.exit(f"{url}: expected status 200, got {status}" if status else f"{url}: {reason}")
if "fleet_exporter_build_info" not in page:
    sys.exit(f"{url}: expected metrics of fleet-exporter, got a page without fleet_exporter_build_info")
