"""Builds the Quart-Trio application around a hub; the engine runs outside of it."""

from __future__ import annotations

from typing import Any

from quart import Response
from quart_trio import QuartTrio
from quart_trio.wrappers import TrioRequest
from werkzeug.exceptions import HTTPException

from engine import AntiphonError
from server.access import Access, open_access
from server.hub import Hub
from server.metrics import Metrics
from server.problems import http_problem, internal_problem, problem
from server.routes import add_routes

BODY_BYTES = 1024 * 1024
"""The longest body, unless a route allows more (contract 0)."""


RUN_BODY_BYTES = 10 * 1000 * 1000
"""The longest body of `/run` and its like: half a million characters, escaped."""


class Request(TrioRequest):
    """A request whose body has the bound of its path; a longer one is 413 before it is read."""

    def __init__(self, method: str, scheme: str, path: str, *more: Any, **named: Any) -> None:
        if path == "/run" or path.startswith("/run/"):
            named["max_content_length"] = RUN_BODY_BYTES
        super().__init__(method, scheme, path, *more, **named)


def create_app(hub: Hub, access: Access | None = None, metrics: Metrics | None = None) -> QuartTrio:
    """Give the ASGI application.

    Args:
        hub: the engine and what goes with it; it has to outlive the application.
        access: who may do what; None: no authentication.
        metrics: what /metrics shows; None: new ones, from now on.
    """
    app = QuartTrio("antiphon", static_folder=None)
    app.request_class = Request
    app.config["MAX_CONTENT_LENGTH"] = BODY_BYTES
    app.config["RESPONSE_TIMEOUT"] = None  # it would cut a stream off after a minute
    app.config["BODY_TIMEOUT"] = 30
    app.json.sort_keys = False  # type: ignore[attr-defined]

    @app.errorhandler(AntiphonError)
    async def _ours(error: AntiphonError) -> Response:
        hub.refusals[error.code] += 1
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

    access = access or open_access(hub.engine)
    access.door.guard(app)
    hub.pace = access.pace
    if metrics is None:
        metrics = Metrics(hub)
        hub.engine.telemetry.listen(metrics.listen)
    add_routes(app, hub, access, metrics)
    return app
