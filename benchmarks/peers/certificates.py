"""An authority and a certificate for the benchmarks' TLS, made once by the ``openssl`` program.

They lie beside the built tools, are valid for a year, and guard nothing.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

DIRECTORY = Path(__file__).resolve().parent.parent / "tools/target/tls"
AUTHORITY = DIRECTORY / "authority.pem"
CERTIFICATE = DIRECTORY / "certificate.pem"
KEY = DIRECTORY / "key.pem"

_DAYS = 365
_NEW_KEY = ("-newkey", "rsa:2048", "-noenc")


def make(_: object = None) -> None:
    """Make what is missing or soon too old."""
    if CERTIFICATE.exists() and CERTIFICATE.stat().st_mtime > time.time() - _DAYS * 43_200:
        return
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    authority_key = DIRECTORY / "authority.key"
    request = DIRECTORY / "request.pem"
    _openssl(
        *("req", "-x509", *_NEW_KEY, "-days", str(_DAYS), "-subj", "/CN=dcmfast benchmarks"),
        *("-keyout", str(authority_key), "-out", str(AUTHORITY)),
    )
    _openssl(
        *("req", *_NEW_KEY, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
        *("-keyout", str(KEY), "-out", str(request)),
    )
    _openssl(
        *("x509", "-req", "-in", str(request), "-CA", str(AUTHORITY), "-CAkey", str(authority_key)),
        *("-days", str(_DAYS), "-copy_extensions", "copyall", "-out", str(CERTIFICATE)),
    )


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)
