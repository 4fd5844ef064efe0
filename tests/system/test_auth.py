"""Who may come in: tokens, origins, WebSockets, roles, and other people's sessions."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import jwt
import pytest
import trio
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from trio_websocket import ConnectionClosed, open_websocket_url

from tests.system.reading import http, open_sse
from tests.system.server_process import ServerProcess, serving
from tests.system.test_exhibition import BRIEF

pytestmark = pytest.mark.system

SECRET = "a secret that is longer than the hash of any algorithm in these tests"
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
QUICK: dict[str, Any] = {"sim_ttft_ms": 1, "sim_tokens_per_s": 0}
NOTES = {"content_type": "MCQ", "input_text": "The heart pumps blood.", "num_questions": 1}
PROBLEM = "application/problem+json"
RATING = {"raterPrompt": "Be strict.", "plotPoint": "A door.", "structured_context": {}}


def token(sub: str = "ada", role: str | None = "editor", **claims: Any) -> str:
    """Sign a token as the server would."""
    claims = {"sub": sub, "exp": time.time() + 600, **claims}
    if role is not None:
        claims["role"] = role
    return jwt.encode(claims, SECRET, algorithm="HS256")


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def jwks() -> str:
    """Give the public keys of this module as a JWKS."""
    rsa_key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(RSA_KEY.public_key()))
    ec_key = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(EC_KEY.public_key()))
    return json.dumps({"keys": [{**rsa_key, "kid": "r"}, {**ec_key, "kid": "e", "use": "sig"}]})


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ServerProcess]:
    keys = tmp_path / "jwks.json"
    keys.write_text(jwks())
    async with serving(tmp_path / "data", jwt_secret=SECRET, jwks=keys, **QUICK) as server:
        yield server


async def status(
    server: ServerProcess, headers: dict[str, str], path: str = "/api/sessions"
) -> int:
    return (await http(server.port, "GET", path, headers=headers))[0]


# ---- tokens --------------------------------------------------------------------------------------


def unsigned(**claims: Any) -> str:
    return jwt.encode({"sub": "ada", "exp": time.time() + 600, **claims}, "", algorithm="none")


def with_public_key_as_secret() -> str:
    """The classic: the RSA key's public half, which everybody has, taken for an HS256 secret."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem = RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    import base64
    import hashlib
    import hmac

    def part(data: bytes) -> bytes:
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    claims = {"sub": "ada", "exp": int(time.time()) + 600}
    head = part(b'{"alg":"HS256","kid":"r"}') + b"." + part(json.dumps(claims).encode())
    return (head + b"." + part(hmac.new(pem, head, hashlib.sha256).digest())).decode()


BAD_TOKENS = {
    "not a token": lambda: "nonsense",
    "alg none": unsigned,
    "expired": lambda: token(exp=time.time() - 1),
    "not valid yet": lambda: token(nbf=time.time() + 600),
    "signed with another secret": lambda: jwt.encode(
        {"sub": "ada", "exp": time.time() + 600}, SECRET + "x", algorithm="HS256"
    ),
    "signed with another key": lambda: jwt.encode(
        {"sub": "ada", "exp": time.time() + 600},
        rsa.generate_private_key(public_exponent=65537, key_size=2048),
        algorithm="RS256",
        headers={"kid": "r"},
    ),
    "of an unknown key": lambda: jwt.encode(
        {"sub": "ada", "exp": time.time() + 600}, RSA_KEY, algorithm="RS256", headers={"kid": "x"}
    ),
    "signed with a public key": with_public_key_as_secret,
    "of another algorithm": lambda: jwt.encode(
        {"sub": "ada", "exp": time.time() + 600}, SECRET, algorithm="HS512"
    ),
    "without exp": lambda: jwt.encode({"sub": "ada"}, SECRET, algorithm="HS256"),
    "without sub": lambda: jwt.encode({"exp": time.time() + 600}, SECRET, algorithm="HS256"),
    "with an empty sub": lambda: token(sub=""),
    "with an unknown role": lambda: token(role="root"),
    "tampered with": lambda: token()[:-4] + "AAAA",
}


async def test_tokens_that_are_not_valid_are_refused_with_401(server: ServerProcess) -> None:
    """Claims: sub and exp required, role admin or editor; expired, wrongly signed, alg none."""
    for name, make in BAD_TOKENS.items():
        for method, path, body in (
            ("GET", "/api/sessions", b""),
            ("POST", "/run/stream", json.dumps(NOTES).encode()),
            ("POST", "/api/v1/rater-feedback", json.dumps(RATING).encode()),
        ):
            code, answer = await http(server.port, method, path, body, bearer(make()))
            assert (code, answer["code"]) == (401, "unauthenticated"), (name, path)
    async with open_sse(server.port, "/api/sessions", headers={}) as reader:
        assert reader.status == 401
        assert reader.headers["www-authenticate"] == "Bearer"
        assert reader.headers["content-type"] == "application/problem+json"


async def test_tokens_of_all_three_algorithms_are_accepted(server: ServerProcess) -> None:
    """HS256 with a secret, or RS256/ES256 by a JWKS; a sub that is no local user is fine."""
    claims = {"sub": "somebody@else", "exp": time.time() + 600}
    for text in (
        token(role=None),
        jwt.encode(claims, RSA_KEY, algorithm="RS256", headers={"kid": "r"}),
        jwt.encode(claims, RSA_KEY, algorithm="RS256"),
        jwt.encode(claims, EC_KEY, algorithm="ES256", headers={"kid": "e"}),
    ):
        assert await status(server, bearer(text)) == 200
        _, who = await http(server.port, "GET", "/api/auth/check", headers=bearer(text))
        assert (who["authenticated"], who["role"]) == (True, "editor")


async def test_token_in_a_url_opens_nothing(server: ServerProcess) -> None:
    """Never the URL."""
    for name in ("token", "access_token", "authorization", "antiphon.bearer", "jwt"):
        assert await status(server, {}, f"/api/sessions?{name}={token()}") == 401
        assert await refusal(server, f"/stream?{name}={token()}") == (401, PROBLEM)


async def test_routes_are_closed_unless_they_are_public(server: ServerProcess) -> None:
    """A route that nobody thought about is closed."""
    for path in ("/healthz", "/readyz", "/", "/version", "/api/auth/check"):
        async with open_sse(server.port, path) as reader:
            assert reader.status == 200, path
    for path in ("/api/providers", "/api/personas", "/api/models", "/api/prompts", "/api/users"):
        assert await status(server, {}, path) == 401, path
    _, who = await http(server.port, "GET", "/api/auth/check")
    assert who == {"authenticated": False, "role": None, "sub": None, "required": True}


# ---- WebSockets ----------------------------------------------------------------------------------


async def refusal(
    server: ServerProcess, path: str, headers: dict[str, str] | None = None
) -> tuple[int, str]:
    """Ask for an upgrade that is refused; gives the answer's status and content type."""
    asked = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        **(headers or {}),
    }
    with trio.fail_after(10):
        async with open_sse(server.port, path, headers=asked) as reader:
            return reader.status, reader.headers.get("content-type", "")


async def upgrade(server: ServerProcess, path: str = "/stream", **more: Any) -> str | None:
    """Open a WebSocket; gives the subprotocol that the server chose."""
    url = f"ws://127.0.0.1:{server.port}{path}"
    with trio.fail_after(10):
        async with open_websocket_url(url, **more) as connection:
            await connection.send_message("ping")
            assert json.loads(await connection.get_message()) == {"type": "pong"}
            found: str | None = connection.subprotocol
            return found


@pytest.mark.parametrize("path", ["/stream", "/ws"])
async def test_websocket_with_a_token_in_the_header_or_as_a_subprotocol(
    server: ServerProcess, path: str
) -> None:
    """The same header, or the subprotocol pair; the selected subprotocol is answered."""
    header = [("Authorization", f"Bearer {token()}")]
    assert await upgrade(server, path, extra_headers=header) is None
    pair = ["antiphon.bearer", token()]
    assert await upgrade(server, path, subprotocols=pair) == "antiphon.bearer"


@pytest.mark.parametrize("path", ["/stream", "/ws"])
async def test_websocket_without_a_valid_token_is_refused_with_401(
    server: ServerProcess, path: str
) -> None:
    """A WebSocket upgrade without a valid token is refused with 401."""
    protocols = "Sec-WebSocket-Protocol"
    for headers in (
        {},
        {"Authorization": "Basic YTpi"},
        {"Authorization": f"Bearer {token(exp=1)}"},
        {protocols: "antiphon.bearer"},
        {protocols: f"antiphon.bearer, {token(exp=1)}"},
        {protocols: f"{token()}, antiphon.bearer"},
        {protocols: token()},
    ):
        assert await refusal(server, path, headers) == (401, PROBLEM), headers


async def test_websocket_of_a_foreign_page_is_refused_with_403(tmp_path: Path) -> None:
    """A foreign Origin with 403; same origin by default, and the allow-list."""
    settings = {"jwt_secret": SECRET, "allowed_origins": "https://good.example", **QUICK}
    async with serving(tmp_path / "data", **settings) as server:
        own = f"http://127.0.0.1:{server.port}"
        pair = {"subprotocols": ["antiphon.bearer", token()]}
        for origin in (own, "https://good.example"):
            assert await upgrade(server, extra_headers=[("Origin", origin)], **pair)
        for origin in (
            "https://evil.example",
            "null",
            "http://127.0.0.1:1",
            "https://good.example.evil.example",
        ):
            foreign = {"Origin": origin, **bearer(token())}
            assert await refusal(server, "/stream", foreign) == (403, PROBLEM)
            body = json.dumps(NOTES).encode()
            headers = {**bearer(token()), "Origin": origin}
            code, answer = await http(server.port, "POST", "/run/stream", body, headers)
            assert (code, answer["code"]) == (403, "forbidden")


async def test_pages_of_allowed_origins_may_read_answers(tmp_path: Path) -> None:
    """CORS: preflight without a token, and no word to other origins."""
    settings = {"jwt_secret": SECRET, "allowed_origins": "https://good.example", **QUICK}
    asked = {"Access-Control-Request-Method": "POST", "Origin": "https://good.example"}
    async with serving(tmp_path / "data", **settings) as server:
        async with open_sse(server.port, "/run/stream", method="OPTIONS", headers=asked) as reader:
            assert reader.status == 204
            assert reader.headers["access-control-allow-origin"] == "https://good.example"
            assert "Authorization" in reader.headers["access-control-allow-headers"]
            assert "POST" in reader.headers["access-control-allow-methods"]
        foreign = {**asked, "Origin": "https://evil.example"}
        async with open_sse(
            server.port, "/run/stream", method="OPTIONS", headers=foreign
        ) as reader:
            assert reader.status == 403
            assert "access-control-allow-origin" not in reader.headers
        headers = {**bearer(token()), "Origin": "https://good.example"}
        async with open_sse(server.port, "/api/sessions", headers=headers) as reader:
            assert reader.headers["access-control-allow-origin"] == "https://good.example"
            assert "Origin" in reader.headers["vary"]
        headers["Origin"] = "https://evil.example"
        async with open_sse(server.port, "/api/sessions", headers=headers) as reader:
            assert "access-control-allow-origin" not in reader.headers


async def test_rebound_name_opens_nothing_without_authentication(tmp_path: Path) -> None:
    """Without authentication, only pages of the loopback may come, whatever Host says."""
    async with serving(tmp_path / "data", **QUICK) as server:
        evil = f"http://evil.example:{server.port}"
        headers = {"Origin": evil, "Host": f"evil.example:{server.port}"}
        code, _ = await http(server.port, "POST", "/run", b"{}", headers)
        assert code in (400, 403)  # two Host headers, or a foreign page
        assert await refusal(server, "/stream", {"Origin": evil}) == (403, PROBLEM)
        own = f"http://localhost:{server.port}"
        async with open_websocket_url(
            f"ws://localhost:{server.port}/stream", extra_headers=[("Origin", own)]
        ):
            pass


# ---- a token's end -------------------------------------------------------------------------------


async def test_connections_end_with_the_token(tmp_path: Path) -> None:
    """A WebSocket is closed with 1008 after a refusal; the observer's feed ends; an answer goes on.

    What runs in a session is not stopped by its token's end: a stream that has begun may finish.
    """
    ended_at: dict[str, float] = {}

    async def socket(path: str) -> None:
        url = f"ws://127.0.0.1:{server.port}{path}"
        async with open_websocket_url(url, subprotocols=["antiphon.bearer", text]) as connection:
            while (message := json.loads(await connection.get_message()))["type"] == "connected":
                pass
            assert (message["code"], message["refused"]) == ("unauthenticated", True)
            with pytest.raises(ConnectionClosed):
                await connection.get_message()
            assert connection.closed is not None
            assert connection.closed.code == 1008
            await trio.aclose_forcefully(connection._stream)  # trio-websocket leaves it open
        ended_at[path] = time.time()

    async def feed() -> None:
        async with open_sse(server.port, "/api/observer", headers=bearer(text)) as reader:
            assert reader.status == 200
            assert [event async for event in reader.events()]
        ended_at["feed"] = time.time()

    async def answer() -> None:
        path, body = "/api/v1/rater-feedback/stream", json.dumps(RATING).encode()
        headers = bearer(text)
        async with open_sse(server.port, path, method="POST", body=body, headers=headers) as reader:
            events = [event async for event in reader.events()]
        assert events[-1].data["type"] == "result"
        ended_at["answer"] = time.time()

    settings = {"jwt_secret": SECRET, "sim_ttft_ms": 1000, "sim_tokens_per_s": 50}
    async with serving(tmp_path / "data", **settings) as server:
        expires_at = time.time() + 2
        text = token("root", "admin", exp=expires_at)
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(socket, "/stream")
                nursery.start_soon(socket, "/ws")
                nursery.start_soon(feed)
                nursery.start_soon(answer)
        assert ended_at.pop("answer") > expires_at
        assert all(0 <= at - expires_at < 1.5 for at in ended_at.values()), ended_at


# ---- owners --------------------------------------------------------------------------------------


async def start_session(server: ServerProcess, owner: str) -> tuple[str, str]:
    """Run a session to its end; gives its id and its last cursor."""
    body = json.dumps(NOTES).encode()
    code, answer = await http(server.port, "POST", "/run", body, bearer(token(owner)))
    assert code == 200, answer
    return answer["session_id"], f"{answer['epoch']}:{answer['seq']}"


async def test_session_of_another_user_does_not_exist_on_any_path(server: ServerProcess) -> None:
    """Only the owner or an admin may read, cancel or list it; to anyone else it is 404."""
    session_id, cursor = await start_session(server, "ada")
    path = f"/api/sessions/{session_id}"
    calls = [
        ("GET", path),
        ("GET", f"{path}/events"),
        ("GET", f"{path}/events?after={cursor}"),
        ("GET", f"{path}/events?after=nonsense"),
        ("POST", f"{path}/cancel"),
        ("DELETE", path),
    ]
    for method, each in calls:
        for name in (session_id, "00000000-0000-4000-8000-000000000000"):
            answer = await http(
                server.port, method, each.replace(session_id, name), headers=bearer(token("bob"))
            )
            assert (answer[0], answer[1]["code"]) == (404, "not_found"), (method, each)
            assert answer[1]["detail"] == f"no session has the id {name}"
    _, listed = await http(server.port, "GET", "/api/sessions", headers=bearer(token("bob")))
    assert listed["sessions"] == []
    for socket in ("/stream", "/ws"):
        url = f"ws://127.0.0.1:{server.port}{socket}"
        headers = [("Authorization", f"Bearer {token('bob')}")]
        async with open_websocket_url(url, extra_headers=headers) as connection:
            for message in (
                {"type": "subscribe", "session_id": session_id},
                {"type": "subscribe", "session_id": session_id, "mode": "snapshot"},
                {"type": "subscribe", "session_id": session_id, "after": cursor},
                {"type": "cancel", "session_id": session_id},
            ):
                await connection.send_message(json.dumps(message))
                with trio.fail_after(5):
                    while (answer := json.loads(await connection.get_message()))[
                        "type"
                    ] == "connected":
                        pass
                assert (answer["refused"], answer["code"]) == (True, "not_found"), message
    for who in (token("ada"), token("root", "admin")):
        assert await status(server, bearer(who), path) == 200
        _, listed = await http(server.port, "GET", "/api/sessions", headers=bearer(who))
        assert [each["session_id"] for each in listed["sessions"]] == [session_id]


async def test_exhibition_of_another_user_does_not_exist_on_any_path(
    server: ServerProcess,
) -> None:
    """Status, selections, proposal and socket: 404 and 1008, as for an id that nobody has."""
    body = json.dumps({"curator_brief": BRIEF, "config": {"auto_select": True}}).encode()
    code, answer = await http(server.port, "POST", "/api/curator/submit", body, bearer(token()))
    assert code == 202, answer
    session_id = answer["session_id"]
    chosen = json.dumps({"selected_indices": [0]}).encode()
    calls = [
        ("GET", "/api/sessions/{}/status", b""),
        ("GET", "/api/sessions/{}/events", b""),
        ("GET", "/api/proposals/{}", b""),
        ("POST", "/api/sessions/{}/select-artists", chosen),
        ("POST", "/api/sessions/{}/select-artworks", chosen),
        ("POST", "/api/sessions/{}/cancel", b""),
        ("DELETE", "/api/sessions/{}", b""),
    ]
    for name in (session_id, "00000000-0000-4000-8000-000000000000"):
        for method, path, sent in calls:
            answer = await http(server.port, method, path.format(name), sent, bearer(token("bob")))
            assert (answer[0], answer[1]["code"]) == (404, "not_found"), (method, path)
            assert session_id not in json.dumps(answer[1]).replace(name, "")
        url = f"ws://127.0.0.1:{server.port}/ws/{name}"
        headers = [("Authorization", f"Bearer {token('bob')}")]
        async with open_websocket_url(url, extra_headers=headers) as connection:
            with trio.fail_after(5), pytest.raises(ConnectionClosed) as closed:
                refused = json.loads(await connection.get_message())
                assert (refused["refused"], refused["code"]) == (True, "not_found")
                await connection.get_message()
            assert closed.value.reason is not None
            assert closed.value.reason.code == 1008
            # trio-websocket leaves the socket open where the server closed first.
            await trio.aclose_forcefully(connection._stream)
    assert await status(server, bearer(token()), f"/api/sessions/{session_id}/status") == 200


async def test_conversation_of_another_user_does_not_exist(server: ServerProcess) -> None:
    """Listing shows one's own; reading, deleting and going on with another's are not_found."""
    url = f"ws://127.0.0.1:{server.port}/ws"

    async def chat(who: str, **data: str) -> dict[str, Any]:
        headers = [("Authorization", f"Bearer {token(who)}")]
        said = {"message": "Hello", "persona_id": "data_scientist", **data}
        async with open_websocket_url(url, extra_headers=headers) as connection:
            await connection.send_message(json.dumps({"type": "chat", "data": said}))
            with trio.fail_after(10):
                while True:
                    message = json.loads(await connection.get_message())
                    if message["type"] in ("response", "error"):
                        return cast(dict[str, Any], message)

    conversation_id = (await chat("ada"))["data"]["conversation_id"]
    path = f"/api/conversations/{conversation_id}"
    bob = bearer(token("bob"))
    for method in ("GET", "DELETE"):
        code, answer = await http(server.port, method, path, headers=bob)
        assert (code, answer["code"]) == (404, "not_found")
    _, listed = await http(server.port, "GET", "/api/conversations", headers=bob)
    assert listed["conversations"] == []
    assert (await chat("bob", conversation_id=conversation_id))["code"] == "not_found"
    assert await status(server, bearer(token("ada")), path) == 200


async def test_only_admins_change_what_is_everybodys(server: ServerProcess) -> None:
    """403 for an editor: templates, restrictions, users."""
    calls = [
        ("PUT", "/api/prompts/MCQ/generator", {"text": "Write: {{TEXT_TO_ANALYZE}}"}),
        ("DELETE", "/api/prompts/MCQ/generator", None),
        ("PUT", "/api/models/restrictions", {"editor": ["simulated/fast"]}),
        ("POST", "/api/users", {"name": "eve", "password": "long enough", "role": "editor"}),
        ("GET", "/api/users", None),
        ("DELETE", "/api/users/eve", None),
    ]
    for method, path, body in calls:
        data = b"" if body is None else json.dumps(body).encode()
        code, answer = await http(server.port, method, path, data, bearer(token()))
        assert (code, answer["code"]) == (403, "forbidden"), path
    for method, path, body in calls:
        data = b"" if body is None else json.dumps(body).encode()
        code, _ = await http(server.port, method, path, data, bearer(token("root", "admin")))
        assert code in (200, 201, 204), path


async def test_model_that_the_role_may_not_use_is_403_before_the_stream(
    server: ServerProcess,
) -> None:
    """403 for a model that the role may not use."""
    admin, editor = bearer(token("root", "admin")), bearer(token())
    limit = json.dumps({"editor": ["simulated/fast"]}).encode()
    assert (await http(server.port, "PUT", "/api/models/restrictions", limit, admin))[0] == 200
    for path, request in (
        ("/run", NOTES),
        ("/run/stream", NOTES),
        ("/run/stream/draft", NOTES),
        ("/api/v1/rater-feedback", RATING),
        ("/api/v1/rater-feedback/stream", RATING),
    ):
        body = json.dumps(request).encode()
        code, answer = await http(server.port, "POST", path, body, editor)
        assert (code, answer["code"]) == (403, "forbidden"), path
    both = {"generator_model": "simulated/fast", "formatter_model": "simulated/fast"}
    body = json.dumps({**NOTES, **both}).encode()
    assert (await http(server.port, "POST", "/run", body, editor))[0] == 200
    half = json.dumps({**NOTES, "generator_model": "simulated/fast"}).encode()
    assert (await http(server.port, "POST", "/run", half, editor))[0] == 403
    assert (await http(server.port, "POST", "/run", json.dumps(NOTES).encode(), admin))[0] == 200
    _, models = await http(server.port, "GET", "/api/models", headers=editor)
    allowed = [each["model"] for each in models["models"] if "editor" in each["allowed"]]
    assert allowed == ["simulated/fast"]


# ---- logging in ----------------------------------------------------------------------------------


async def test_login_gives_a_token_that_opens_the_door(server: ServerProcess) -> None:
    """{username, password} gives {token, role, expires_at}; 401 else; slowed after failures."""
    user = json.dumps({"name": "eve", "password": "correct horse", "role": "admin"}).encode()
    made = await http(server.port, "POST", "/api/users", user, bearer(token("root", "admin")))
    assert made == (201, {"name": "eve", "role": "admin"})

    async def log_in(name: str, password: str) -> tuple[int, Any]:
        body = json.dumps({"username": name, "password": password}).encode()
        return await http(server.port, "POST", "/api/auth/login", body)

    code, granted = await log_in("eve", "correct horse")
    assert code == 200
    assert granted["role"] == "admin"
    _, who = await http(server.port, "GET", "/api/auth/check", headers=bearer(granted["token"]))
    assert (who["sub"], who["role"]) == ("eve", "admin")
    answers = [await log_in(name, "wrong horse") for name in ("eve", "nobody", "bad/name")]
    assert [code for code, _ in answers] == [401, 401, 401]
    assert len({json.dumps(answer) for _, answer in answers}) == 1  # never which was wrong
