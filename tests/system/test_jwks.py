"""A server whose keys are at a URL, against an issuer over real sockets."""

from __future__ import annotations

import time
from pathlib import Path

import jwt
import pytest

from engine.testing.http_double import Asked, Reply, open_http_double
from tests.system.reading import http, open_sse
from tests.system.server_process import serving
from tests.system.test_auth import RSA_KEY, bearer, jwks

pytestmark = pytest.mark.system


def signed(kid: str = "r") -> dict[str, str]:
    claims = {"sub": "ada", "exp": time.time() + 600}
    return bearer(jwt.encode(claims, RSA_KEY, algorithm="RS256", headers={"kid": kid}))


async def test_keys_of_a_url(tmp_path: Path) -> None:
    """A JWKS URL: fetched at the start and for the first token, then kept."""
    body = jwks().encode()
    async with open_http_double(lambda _: Reply(body=body)) as issuer:
        async with serving(tmp_path / "data", jwks=f"{issuer.url}/keys.json") as server:
            for _ in range(5):
                code, who = await http(server.port, "GET", "/api/auth/check", headers=signed())
                assert (code, who["sub"], who["role"]) == (200, "ada", "editor")
            code, answer = await http(server.port, "GET", "/api/sessions", headers=signed("x"))
            assert (code, answer["code"]) == (401, "unauthenticated")
            assert "unknown key" in answer["detail"]
        assert [asked.path for asked in issuer.asked] == ["/keys.json"] * 2
        assert {asked.headers["accept-encoding"] for asked in issuer.asked} == {"identity"}


async def test_issuer_that_is_away_at_the_start(tmp_path: Path) -> None:
    """The server starts and says so; tokens are `overloaded` at present, never accepted."""
    answers = iter([Reply(status=500), Reply(body=b"{}"), Reply(body=jwks().encode())])

    def answer(_: Asked) -> Reply:
        return next(answers)

    async with open_http_double(answer) as issuer:
        async with serving(tmp_path / "data", jwks=issuer.url) as server:
            assert f"the JWKS {issuer.url} cannot be read yet" in server.stderr
            for _ in range(2):
                async with open_sse(server.port, "/api/sessions", headers=signed()) as reader:
                    assert (reader.status, reader.headers["retry-after"]) == (503, "5")
            assert len(issuer.asked) == 2
            async with open_sse(server.port, "/healthz") as reader:
                assert reader.status == 200
