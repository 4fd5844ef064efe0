"""The page's files: known in advance, complete, and with nothing from elsewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from server.page import HEADERS, asset
from server.print_page import STYLE_SOURCE

FOLDER = Path(__file__).parent.parent.parent / "server" / "page"
SCRIPTS = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.js"))
_IMPORT = re.compile(r"""(?:from|import)\s*\(?\s*['"](\.[^'"]+)['"]""")


def test_every_file_is_found_by_its_path() -> None:
    """A file is served as it lies there, with its own type."""
    found = asset("page.js")
    assert found is not None
    assert found.body == (FOLDER / "page.js").read_bytes()
    assert found.content_type == "text/javascript; charset=utf-8"


@pytest.mark.parametrize(
    "path", ["", "../hub.py", "__init__.py", "vendor.sh", "sections", "/etc/passwd", "page.js/"]
)
def test_what_is_no_file_of_the_page(path: str) -> None:
    """Only what is in the list can be had; a path is never looked up on the disk."""
    assert asset(path) is None


@pytest.mark.parametrize("script", SCRIPTS)
def test_imports_lead_to_files_that_are_served(script: str) -> None:
    """Plain ES modules without a build step: every import is a file of the page."""
    text = (FOLDER / script).read_text(encoding="utf-8")
    for target in _IMPORT.findall(text):
        path = (FOLDER / script).parent.joinpath(target).resolve()
        assert asset(path.relative_to(FOLDER).as_posix()) is not None, target


def test_policy_lets_nothing_in_but_our_own_scripts() -> None:
    """No CDN, a strict Content-Security-Policy: scripts and styles are files of ours."""
    policy = dict(
        rule.strip().split(" ", 1) for rule in HEADERS["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert policy["style-src"] == f"'self' {STYLE_SOURCE}"
    assert "unsafe" not in HEADERS["Content-Security-Policy"]


def test_page_names_no_other_host() -> None:
    """Nothing from elsewhere: neither the HTML nor the styles name an address."""
    for name in ("index.html", "page.css"):
        assert not re.search(r"https?://|//\w", (FOLDER / name).read_text(encoding="utf-8"))


def test_vendored_libraries_are_the_versions_they_say() -> None:
    """Vendored by a script with its version and licence."""
    versions = json.loads((FOLDER / "vendor" / "versions.json").read_text())
    for name, version in versions.items():
        head = (FOLDER / "vendor" / f"{name}.js").read_text(encoding="utf-8")[:400]
        assert version in head
        assert (FOLDER / "vendor" / f"{name}.LICENSE.txt").stat().st_size > 500
