"""Turns source notes into exam-ready text: a draft, its layout, and a check of the layout."""
