"""`python -m server` is `antiphon`."""

from server.cli import main

main()
