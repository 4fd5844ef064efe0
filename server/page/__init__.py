"""The web page: plain HTML, CSS and ES modules, with no build step and nothing from elsewhere."""

from importlib import resources


def start_page() -> str:
    """Give the page's HTML."""
    return resources.files(__name__).joinpath("index.html").read_text(encoding="utf-8")
