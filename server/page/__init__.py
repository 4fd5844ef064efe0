"""The web page: plain HTML, CSS and ES modules, with no build step and nothing from elsewhere.

The one rule: every file is known when the process starts. A path is looked up in that list, never
on the disk, so no request can reach anything else. Knows neither codecs nor sessions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

import msgspec

from server.print_page import STYLE_SOURCE

CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".ts": "text/plain; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".json": "application/json",
}

HEADERS = {
    # Scripts are ours alone, and what they write into the page has gone through the sanitiser:
    # text of a model cannot become code. Pictures come from museums. A proposal for print is shown
    # as a file of the page's where it could not be opened without the token; it lives under this
    # policy, so its style is named here.
    "Content-Security-Policy": (
        f"default-src 'none'; script-src 'self'; style-src 'self' {STYLE_SOURCE}; "
        "img-src 'self' data: https:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types dompurify"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
"""Of every answer. `no-cache` asks each time, and is answered 304 as long as nothing changed."""


class Asset(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the page."""

    body: bytes
    content_type: str
    etag: str


def asset(path: str) -> Asset | None:
    """Give a file by its path below the page's folder; None: there is none."""
    return _assets().get(path)


@cache
def _assets() -> dict[str, Asset]:
    return dict(_walk(resources.files(__name__), ""))


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, Asset]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
            continue
        suffix = entry.name[entry.name.rfind(".") :]
        if suffix in CONTENT_TYPES:
            body = entry.read_bytes()
            digest = hashlib.sha256(body).hexdigest()[:20]
            yield (
                f"{prefix}{entry.name}",
                Asset(body=body, content_type=CONTENT_TYPES[suffix], etag=f'"{digest}"'),
            )
