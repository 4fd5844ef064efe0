"""Every URL on one page: which transport serves it, with which codec.

The only module that knows both codecs and transports.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

from quart import Response, request, websocket
from quart_trio import QuartTrio

from engine import JSON, NotFound
from server import (
    auth_api,
    content_api,
    exhibition_api,
    page,
    persona_api,
    print_page,
    session_api,
)
from server.access import Access
from server.answers import content_answer, rater_answer
from server.asyncapi import asyncapi_document
from server.auth import accept, public
from server.hub import Hub
from server.metrics import CONTENT_TYPE, Metrics
from server.openapi import openapi_document
from server.protocols.content import request_for
from server.protocols.control import parse_body
from server.protocols.encoding import to_json
from server.protocols.exhibition import ExhibitionCodec
from server.protocols.interface import Start
from server.transports.observer import Observers
from server.transports.plain_json import run_to_end
from server.transports.sse import start_events, stream_events
from server.transports.websocket import Fixed, serve_socket


def add_routes(app: QuartTrio, hub: Hub, access: Access, metrics: Metrics) -> None:
    """Give the application its URLs. Each needs a token, but for those marked `public`."""
    bounds = hub.bounds
    viewer = access.door.viewer
    _add_content(app, hub, access)
    _add_rater(app, hub, access)
    _add_exhibition(app, hub, access)
    _add_users(app, access)

    @app.websocket("/stream")
    async def stream() -> None:
        await accept()
        await serve_socket(
            websocket._get_current_object(),  # type: ignore[attr-defined]
            hub,
            hub.codecs["generate"],
            viewer(),
            max_sessions=bounds.sessions_per_stream_connection,
            expires_at=access.door.expires_at(),
        )

    @app.websocket("/ws")
    async def chat() -> None:
        await accept()
        await serve_socket(
            websocket._get_current_object(),  # type: ignore[attr-defined]
            hub,
            hub.codecs["persona"],
            viewer(),
            max_sessions=bounds.sessions_per_chat_connection,
            expires_at=access.door.expires_at(),
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
        cursors = request.headers.get("Last-Event-ID"), request.args.get("after")
        return await stream_events(hub, viewer(), request.scope, session_id, *cursors)

    @app.post("/api/sessions/<session_id>/cancel")
    async def cancel_session(session_id: str) -> Response:
        status, answer = await session_api.cancel_session(
            hub, viewer(), session_id, await request.get_data()
        )
        return json(answer, status)

    @app.delete("/api/sessions/<session_id>")
    async def delete_session(session_id: str) -> Response:
        await hub.engine.delete(session_id, viewer())
        return nothing()

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
        return nothing()

    @app.get("/api/conversations")
    async def list_conversations() -> Response:
        return json(await persona_api.list_conversations(hub, viewer(), request.args))

    @app.get("/api/conversations/<conversation_id>")
    async def show_conversation(conversation_id: str) -> Response:
        return json(await persona_api.show_conversation(hub, viewer(), conversation_id))

    @app.delete("/api/conversations/<conversation_id>")
    async def delete_conversation(conversation_id: str) -> Response:
        await persona_api.delete_conversation(hub, viewer(), conversation_id)
        return nothing()

    # ---- providers -------------------------------------------------------------------------------

    @app.get("/api/providers")
    async def providers() -> Response:
        return json({"providers": session_api.describe_providers(hub)})

    # ---- the observer ----------------------------------------------------------------------------

    observers = Observers(hub)

    @app.get("/api/observer")
    async def observer() -> Response:
        access.door.require_admin()
        return observers.stream(request.scope, expires_at=access.door.expires_at())

    # ---- health ----------------------------------------------------------------------------------

    @app.get("/healthz")
    @public
    async def healthz() -> Response:
        return json({"status": "ok"})

    @app.get("/readyz")
    @public
    async def readyz() -> Response:
        reasons = session_api.why_not_ready(hub)
        if reasons:
            return json({"status": "unavailable", "reasons": reasons}, 503)
        return json({"status": "ready"})

    @app.get("/metrics")
    @public
    async def show_metrics() -> Response:
        return Response(metrics.text(), content_type=CONTENT_TYPE)

    # ---- the page --------------------------------------------------------------------------------

    @app.get("/")
    @public
    async def start_page() -> Response:
        return page_file("index.html")

    @app.get("/page/<path:path>")
    @public
    async def page_files(path: str) -> Response:
        return page_file(path)


def _add_content(app: QuartTrio, hub: Hub, access: Access) -> None:
    """The content pipeline and what stands around it (contract 2)."""
    viewer, models = access.door.viewer, access.models

    async def asked(half: Literal["whole", "draft", "format"]) -> Start:
        wanted = request_for(parse_body(await request.get_data()), half)
        return await content_api.content_start(hub, models, viewer(), wanted)

    @app.post("/run")
    async def run() -> Response:
        start = await asked("whole")
        admission = access.runs.call(viewer().sub)
        record, entry = await run_to_end(hub, viewer(), start, admission)
        return content_answer(record, entry, hub.encoder(record))

    async def stream(half: Literal["whole", "draft", "format"]) -> Response:
        start = await asked(half)
        async with access.runs.call(viewer().sub):
            return await start_events(hub, viewer(), request.scope, start)

    @app.post("/run/stream")
    async def run_stream() -> Response:
        return await stream("whole")

    @app.post("/run/stream/draft")
    async def run_draft() -> Response:
        return await stream("draft")

    @app.post("/run/stream/format")
    async def run_format() -> Response:
        return await stream("format")

    @app.get("/api/prompts")
    async def prompts() -> Response:
        return json(await content_api.list_templates(hub))

    @app.put("/api/prompts/<content_type>/<stage>")
    async def replace_prompt(content_type: str, stage: str) -> Response:
        access.door.require_admin()
        body = await request.get_data()
        return json(await content_api.replace_template(hub, content_type, stage, body))

    @app.delete("/api/prompts/<content_type>/<stage>")
    async def reset_prompt(content_type: str, stage: str) -> Response:
        access.door.require_admin()
        return json(await content_api.reset_template(hub, content_type, stage))

    @app.get("/api/models")
    async def list_models() -> Response:
        return json(await models.describe(access.door.role()))

    @app.put("/api/models/restrictions")
    async def restrict_models() -> Response:
        access.door.require_admin()
        return json(await models.restrict(parse_body(await request.get_data())))

    @cache
    def document() -> JSON:
        providers = hub.engine.providers.infos()
        return openapi_document(needs_token=access.door.tokens is not None, providers=providers)

    @app.get("/openapi.json")
    @public
    async def openapi() -> Response:
        return json(document())

    @app.get("/asyncapi.json")
    @public
    async def asyncapi() -> Response:
        return json(asyncapi_document(needs_token=access.door.tokens is not None))

    @app.get("/version")
    @public
    async def version() -> Response:
        return json(await content_api.describe_version(hub))


def _add_rater(app: QuartTrio, hub: Hub, access: Access) -> None:
    """Rater feedback (contract 3)."""
    viewer = access.door.viewer

    async def asked(*, several: bool) -> Start:
        wanted = parse_body(await request.get_data())
        return await content_api.rater_start(hub, access.models, viewer(), wanted, several=several)

    @app.post("/api/v1/rater-feedback")
    async def rate() -> Response:
        start = await asked(several=False)
        record, entry = await run_to_end(hub, viewer(), start)
        return rater_answer(record, entry, hub.encoder(record))

    @app.post("/api/v1/rater-feedback/stream")
    async def rate_stream() -> Response:
        start = await asked(several=False)
        return await start_events(hub, viewer(), request.scope, start)

    @app.post("/api/v1/rater-feedback/batch/stream")
    async def rate_batch() -> Response:
        start = await asked(several=True)
        return await start_events(hub, viewer(), request.scope, start)


def _add_exhibition(app: QuartTrio, hub: Hub, access: Access) -> None:
    """The exhibition and its proposals (contract 5)."""
    viewer, codec = access.door.viewer, ExhibitionCodec()

    @app.websocket("/ws/<session_id>")
    async def exhibition(session_id: str) -> None:
        await accept()
        await serve_socket(
            websocket._get_current_object(),  # type: ignore[attr-defined]
            hub,
            codec,
            viewer(),
            fixed=Fixed(session_id=session_id, greeting=codec.connected(session_id)),
            expires_at=access.door.expires_at(),
        )

    @app.post("/api/curator/submit")
    async def submit() -> Response:
        key = request.headers.get("Idempotency-Key")
        answer = await exhibition_api.submit(hub, viewer(), await request.get_data(), key)
        return json(answer, 202)

    async def select(session_id: str, stage: str) -> Response:
        body = await request.get_data()
        return json(await exhibition_api.select(hub, viewer(), session_id, stage, body))

    @app.post("/api/sessions/<session_id>/select-artists")
    async def select_artists(session_id: str) -> Response:
        return await select(session_id, "artist_discovery")

    @app.post("/api/sessions/<session_id>/select-artworks")
    async def select_artworks(session_id: str) -> Response:
        return await select(session_id, "artwork_discovery")

    @app.get("/api/sessions/<session_id>/status")
    async def exhibition_status(session_id: str) -> Response:
        return json(await exhibition_api.show_status(hub, viewer(), session_id))

    @app.get("/api/proposals/<session_id>")
    async def proposal(session_id: str) -> Response:
        answer = await exhibition_api.show_proposal(hub, viewer(), session_id)
        kinds = ["application/json", "text/html"]
        if request.accept_mimetypes.best_match(kinds, kinds[0]) == "text/html":
            document = print_page.proposal_page(answer["proposal"])
            response = Response(
                document, content_type="text/html; charset=utf-8", headers=print_page.HEADERS
            )
        else:
            response = json(answer)
        response.headers["Vary"] = "Accept"
        return response


def _add_users(app: QuartTrio, access: Access) -> None:
    """Logging in, and users (contract 2, Around it)."""

    @app.post("/api/auth/login")
    @public
    async def login() -> Response:
        return json(await auth_api.log_in(access.login, parse_body(await request.get_data())))

    @app.get("/api/auth/check")
    @public
    async def check() -> Response:
        return json(access.door.check())

    @app.get("/api/users")
    async def list_users() -> Response:
        access.door.require_admin()
        return json(await auth_api.list_users(access.users))

    @app.delete("/api/users/<name>")
    async def remove_user(name: str) -> Response:
        access.door.require_admin()
        await access.users.remove(name)
        return nothing()

    @app.post("/api/users")
    async def add_user() -> Response:
        access.door.require_admin()
        return json(
            await auth_api.add_user(access.users, parse_body(await request.get_data())), 201
        )


def nothing() -> Response:
    """Give a 204. Without a body Quart would make one that needs asyncio, and fail."""
    return Response(b"", status=204)


def page_file(path: str) -> Response:
    """Give a file of the page; 304 where the browser has it already.

    Raises:
        NotFound: the page has no such file.
    """
    found = page.asset(path)
    if found is None:
        raise NotFound(f"the page has no file {path!r}")
    headers = {**page.HEADERS, "ETag": found.etag}
    if request.headers.get("If-None-Match") == found.etag:
        return Response(b"", status=304, headers=headers)
    return Response(found.body, content_type=found.content_type, headers=headers)


def json(value: object, status: int = 200) -> Response:
    """Give a JSON response."""
    return Response(to_json(value), status=status, content_type="application/json")
