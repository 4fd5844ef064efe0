"""A certificate for localhost that only one test session trusts."""

from __future__ import annotations

import functools
import shutil
import ssl
import subprocess
import tempfile
from pathlib import Path

import pytest

from server.listening import open_tls


@functools.cache
def tls_pair() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Give the server's settings and those of a client that trusts it; skip without openssl."""
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = make_certificate(Path(folder))
        trust = ssl.create_default_context(cafile=str(certificate))
        trust.set_alpn_protocols(["h2", "http/1.1"])
        return open_tls(certificate, key), trust


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate and its key in a folder; skip without openssl."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command, which makes the certificate, is not installed")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "1", "-subj", "/CN=localhost"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key
