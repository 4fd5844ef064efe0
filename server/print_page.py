"""A proposal as a page for print: one HTML document with its style in it, and nothing else to load.

The one rule: whatever comes from a model, a source or a client is escaped, and only `https` and
`http` addresses become links or pictures. Pure.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from html import escape
from typing import Any

from engine import JSON

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 Georgia, "Times New Roman", serif; margin: 3rem auto; max-width: 46rem;
  padding: 0 1.5rem; color: #1b1b1b; background: #fff; }
h1 { font-size: 2.2rem; line-height: 1.15; margin: 0; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 .6rem; border-bottom: 1px solid #bbb; }
.subtitle { font-style: italic; font-size: 1.15rem; margin: .3rem 0 0; }
.notice { border: 1px solid #a33; padding: .5rem .8rem; color: #7a1f1f; }
.facts, .small { font-family: system-ui, sans-serif; font-size: .82rem; color: #444; }
table { width: 100%; border-collapse: collapse; }
td, th { text-align: left; vertical-align: top; padding: .35rem .6rem .35rem 0;
  border-bottom: 1px solid #ddd; }
ol { padding-left: 1.4rem; } li { margin-bottom: .7rem; break-inside: avoid; }
img { max-width: 9rem; max-height: 9rem; float: right; margin: 0 0 .4rem 1rem; }
a { color: inherit; }
@media print { body { margin: 0; max-width: none; } h2 { break-after: avoid; } }
"""

STYLE_SOURCE = f"'sha256-{b64encode(sha256(STYLE.encode()).digest()).decode()}'"
"""The style as a Content-Security-Policy names it: this very text, and no other inline style."""

HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src {STYLE_SOURCE}; img-src https: http:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""Of the document where it is opened by its address."""


def proposal_page(proposal: JSON) -> str:
    """Give the document."""
    title = proposal["exhibition_title"] or "Untitled exhibition"
    body = [
        f"<h1>{escape(title)}</h1>",
        _paragraph(proposal["subtitle"], "subtitle"),
        ""
        if proposal["complete"]
        else '<p class="notice">This proposal is incomplete: it shows what was found so far.</p>',
        _text("Curatorial statement", proposal["curatorial_statement"]),
        _text("Scholarly rationale", proposal["scholarly_rationale"]),
        _audience(proposal),
        _section("Concepts", [_concept(each) for each in proposal["concepts"]], "ul"),
        _section("Artists", [_artist(each) for each in proposal["artists"]], "ul"),
        _section("Works", [_artwork(each) for each in proposal["artworks"]], "ol"),
        _section("Loans", [_loan(each) for each in proposal["loans"]], "ul"),
        _section("Feasibility", [escape(each) for each in proposal["feasibility_notes"]], "ul"),
        _section("Sources", [_source(each) for each in proposal["sources"]], "ul"),
        f'<p class="small">Session {escape(proposal["session_id"])}, '
        f"{escape(proposal['created_at'])}; quality {proposal['quality_score']:.2f}.</p>",
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n"
        f"<body>\n{chr(10).join(filter(None, body))}\n</body></html>\n"
    )


def _text(title: str, text: str | None) -> str:
    if not text:
        return ""
    return f"<h2>{title}</h2>" + "".join(_paragraph(part) for part in text.split("\n\n"))


def _paragraph(text: str | None, kind: str = "") -> str:
    if not text:
        return ""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def _audience(proposal: JSON) -> str:
    facts = [proposal["target_audience_refined"], proposal["complexity_level"]]
    shown = "; ".join(escape(fact) for fact in facts if fact)
    return f'<p class="facts">{shown}</p>' if shown else ""


def _section(title: str, items: list[str], kind: str) -> str:
    if not items:
        return ""
    rows = "".join(f"<li>{item}</li>" for item in items)
    return f"<h2>{title}</h2><{kind}>{rows}</{kind}>"


def _concept(concept: JSON) -> str:
    text = escape(concept["definition"] or "No definition was found.")
    source = _link(concept["source"], concept["url"]) if concept["source"] else ""
    return f"<strong>{escape(concept['concept'])}</strong>: {text} {_small(source)}"


def _artist(artist: JSON) -> str:
    years = f"{artist['birth_year'] or '?'}–{artist['death_year'] or ''}"
    facts = [years, artist["nationality"], ", ".join(artist["movements"])]
    shown = escape("; ".join(fact for fact in facts if fact and fact != "?–"))
    return (
        f"<strong>{escape(artist['name'])}</strong> ({shown}). "
        f"{escape(artist['reasoning'])} {_small(_link(artist['source'], artist['url']))}"
    )


def _artwork(work: JSON) -> str:
    size = ""
    if work["height_cm"] and work["width_cm"]:
        size = f"{work['height_cm']:g} × {work['width_cm']:g} cm"
    facts = [work["date_created"], work["medium"], size, work["institution_name"]]
    shown = escape("; ".join(fact for fact in facts if fact))
    links = [_link(work["source"], work["url"])]
    if work["iiif_manifest"]:
        links.append(_link("IIIF", work["iiif_manifest"]))
    return (
        f"{_picture(work)}<strong><em>{escape(work['title'])}</em></strong>, "
        f"{escape(work['artist_name'])}. {shown}. {escape(work['reasoning'])} "
        f"{_small(' '.join(links))}"
    )


def _loan(loan: JSON) -> str:
    lender = escape(loan["institution"] or "Lender not known")
    titles = ", ".join(escape(work["title"]) for work in loan["artworks"])
    return f"<strong>{lender}</strong> ({loan['count']}): {titles}"


def _source(source: JSON) -> str:
    gave = ", ".join(
        f"{source[kind]} {kind}" for kind in ("definitions", "artists", "artworks") if source[kind]
    )
    why = " ".join(escape(each) + "." for each in source["why"])
    return f"{_link(source['source'], source['url'])}: {gave or 'nothing'}. {why}"


def _small(html: str) -> str:
    return f'<span class="small">{html}</span>' if html else ""


def _link(text: Any, address: Any) -> str:
    if not _is_web(address):
        return escape(str(text))
    return f'<a href="{escape(address)}" rel="noreferrer">{escape(str(text))}</a>'


def _picture(work: JSON) -> str:
    address = work["thumbnail_url"]
    if not _is_web(address):
        return ""
    return f'<img src="{escape(address)}" alt="" loading="lazy" referrerpolicy="no-referrer">'


def _is_web(address: Any) -> bool:
    return isinstance(address, str) and address.startswith(("https://", "http://"))
