"""Builds the Quart-Trio application around a hub; the engine runs outside of it."""

from __future__ import annotations

from quart import Response
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from engine import AntiphonError
from server.hub import Hub
from server.problems import http_problem, internal_problem, problem
from server.routes import add_routes

BODY_BYTES = 1024 * 1024
"""The longest body, unless a route allows more (contract 0)."""


def create_app(hub: Hub) -> QuartTrio:
    """Give the ASGI application.

    Args:
        hub: the engine and what goes with it; it has to outlive the application.
    """
    app = QuartTrio("antiphon", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = BODY_BYTES
    app.config["RESPONSE_TIMEOUT"] = None  # it would cut a stream off after a minute
    app.config["BODY_TIMEOUT"] = 30
    app.json.sort_keys = False  # type: ignore[attr-defined]

    @app.errorhandler(AntiphonError)
    async def _ours(error: AntiphonError) -> Response:
        return problem(error)

    @app.errorhandler(HTTPException)
    async def _http(error: HTTPException) -> Response:
        headers = {
            name: value for name, value in error.get_headers() if name in ("Allow", "Location")
        }
        return http_problem(error.code or 500, error.description or "", headers)

    @app.errorhandler(Exception)
    async def _defect(error: Exception) -> Response:
        return internal_problem(error)

    add_routes(app, hub)
    return app
