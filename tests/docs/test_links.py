"""Every link of every page leads to a file, and every page is found from the index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.requirements import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
SAMPLES = {"lighthouse_keeper.md"}
"""Files that only look like pages."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "README.md").read_text("utf-8")
    linked = {(DOCS / link).resolve() for link in re.findall(r"\]\(([^)#]+)\)", index)}
    inside = [page for page in PAGES if page.parent.name != "project" and page.parent != DOCS]
    missing = [page.name for page in inside if page not in linked and page.name not in SAMPLES]
    assert missing == []
