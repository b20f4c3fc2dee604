"""Reload of the server's certificate when its files change."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

_CHECK_SECONDS = 1.0

log = logging.getLogger(__name__)


async def reload_when_changed(context: ssl.SSLContext, files: tuple[Path, ...]) -> None:
    """Reload a certificate when its files change; new connections use it.

    Not watchfiles: on the files it misses a mounted secret, whose links are swapped (tried); on their folder it
    needs a thread, 2.3 MB, and this comparison too.
    """

    def stamps() -> tuple[int, ...]:
        return tuple(file.stat().st_mtime_ns for file in files)

    known = stamps()
    while True:
        await asyncio.sleep(_CHECK_SECONDS)
        try:
            if (now := stamps()) != known:
                known = now  # first: a broken certificate is reported once
                context.load_cert_chain(files[0], files[1])
                log.info("certificate reloaded")
        except OSError as error:
            log.error("reloading the certificate failed; keeping the previous one", extra={"error": str(error)})
