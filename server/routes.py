"""Every URL on one page: which transport serves it, with which codec.

The only module that knows both codecs and transports.
"""

from __future__ import annotations

from quart import Response, request, websocket
from quart_trio import QuartTrio

from engine import ANYONE, Viewer
from server import persona_api, session_api
from server.hub import Hub
from server.page import start_page
from server.protocols.encoding import to_json
from server.transports.sse import stream_events
from server.transports.websocket import serve_socket


def add_routes(app: QuartTrio, hub: Hub) -> None:
    """Give the application its URLs."""
    bounds = hub.bounds

    @app.websocket("/stream")
    async def stream() -> None:
        await websocket.accept()
        await serve_socket(
            websocket._get_current_object(),  # type: ignore[attr-defined]
            hub,
            hub.codecs["generate"],
            viewer(),
            max_sessions=bounds.sessions_per_stream_connection,
        )

    @app.websocket("/ws")
    async def chat() -> None:
        await websocket.accept()
        await serve_socket(
            websocket._get_current_object(),  # type: ignore[attr-defined]
            hub,
            hub.codecs["persona"],
            viewer(),
            max_sessions=bounds.sessions_per_chat_connection,
        )

    # ---- sessions --------------------------------------------------------------------------------

    @app.get("/api/sessions")
    async def list_sessions() -> Response:
        return json(await session_api.list_sessions(hub, viewer(), request.args))

    @app.get("/api/sessions/<session_id>")
    async def show_session(session_id: str) -> Response:
        return json(await session_api.show_session(hub, viewer(), session_id))

    @app.get("/api/sessions/<session_id>/events")
    async def session_events(session_id: str) -> Response:
        after = request.headers.get("Last-Event-ID") or request.args.get("after")
        return await stream_events(hub, viewer(), request.scope, session_id, after)

    @app.post("/api/sessions/<session_id>/cancel")
    async def cancel_session(session_id: str) -> Response:
        status, answer = await session_api.cancel_session(
            hub, viewer(), session_id, await request.get_data()
        )
        return json(answer, status)

    @app.delete("/api/sessions/<session_id>")
    async def delete_session(session_id: str) -> Response:
        await hub.engine.delete(session_id, viewer())
        return Response(status=204)

    # ---- personas and conversations --------------------------------------------------------------

    @app.get("/api/personas")
    async def list_personas() -> Response:
        return json(await persona_api.list_personas(hub, viewer()))

    @app.post("/api/personas")
    async def create_persona() -> Response:
        made = await persona_api.create_persona(hub, viewer(), await request.get_data())
        return json(made, 201)

    @app.get("/api/personas/<persona_id>")
    async def show_persona(persona_id: str) -> Response:
        return json(await persona_api.show_persona(hub, viewer(), persona_id))

    @app.put("/api/personas/<persona_id>")
    async def replace_persona(persona_id: str) -> Response:
        body = await request.get_data()
        return json(await persona_api.replace_persona(hub, viewer(), persona_id, body))

    @app.delete("/api/personas/<persona_id>")
    async def delete_persona(persona_id: str) -> Response:
        await persona_api.delete_persona(hub, viewer(), persona_id)
        return Response(status=204)

    @app.get("/api/conversations")
    async def list_conversations() -> Response:
        limit = request.args.get("limit", "100")
        return json(await persona_api.list_conversations(hub, viewer(), limit))

    @app.get("/api/conversations/<conversation_id>")
    async def show_conversation(conversation_id: str) -> Response:
        return json(await persona_api.show_conversation(hub, viewer(), conversation_id))

    @app.delete("/api/conversations/<conversation_id>")
    async def delete_conversation(conversation_id: str) -> Response:
        await persona_api.delete_conversation(hub, viewer(), conversation_id)
        return Response(status=204)

    # ---- providers -------------------------------------------------------------------------------

    @app.get("/api/providers")
    async def providers() -> Response:
        return json({"providers": session_api.describe_providers(hub)})

    # ---- health ----------------------------------------------------------------------------------

    @app.get("/healthz")
    async def healthz() -> Response:
        return json({"status": "ok"})

    @app.get("/readyz")
    async def readyz() -> Response:
        reasons = session_api.why_not_ready(hub)
        if reasons:
            return json({"status": "unavailable", "reasons": reasons}, 503)
        return json({"status": "ready"})

    # ---- the page --------------------------------------------------------------------------------

    @app.get("/")
    async def page() -> Response:
        return Response(start_page(), content_type="text/html; charset=utf-8")


def viewer() -> Viewer:
    """Say who asks: without authentication, whoever reaches the loopback may see everything."""
    return ANYONE


def json(value: object, status: int = 200) -> Response:
    """Give a JSON response."""
    return Response(to_json(value), status=status, content_type="application/json")
