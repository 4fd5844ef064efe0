"""The issuer's keys at a URL: fetched once, kept, renewed, and never a reason to stand still."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import jwt
import pytest
import trio
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from trio.testing import MockClock

from engine import Overloaded
from server import jwks
from server.jwks import AGE_S, FETCH_S, MAX_BYTES, MISS_S, RETRY_S, KeySet

URL = "https://issuer.example/keys"
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def rsa_jwk(kid: str, **more: Any) -> dict[str, Any]:
    return {**jwt.algorithms.RSAAlgorithm.to_jwk(RSA_KEY.public_key(), True), "kid": kid, **more}


def ec_jwk(kid: str, curve: ec.EllipticCurve) -> dict[str, Any]:
    key = ec.generate_private_key(curve)
    return {**jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), True), "kid": kid}


class Issuer:
    """What is at the URL."""

    def __init__(self, *kids: str) -> None:
        self.body = json.dumps({"keys": [rsa_jwk(kid) for kid in kids]}).encode()
        self.status = 200
        self.headers: dict[str, str] = {}
        self.piece_s = 0.0
        """Silence before each of ten pieces of the body."""
        self.is_away = False
        self.asked = 0
        self.keys = KeySet(
            URL, client=lambda: httpx2.AsyncClient(transport=httpx2.MockTransport(self._answer))
        )

    def publish(self, *kids: str) -> None:
        self.body = json.dumps({"keys": [rsa_jwk(kid) for kid in kids]}).encode()

    async def find(self, kid: str | None) -> str | None:
        key = await self.keys.find(kid, "RS256")
        return None if key is None else key.key_id

    async def _answer(self, request: httpx2.Request) -> httpx2.Response:
        self.asked += 1
        await trio.lowlevel.checkpoint()
        if self.is_away:
            raise httpx2.ConnectError("nobody is there", request=request)
        return httpx2.Response(self.status, headers=self.headers, content=self._pieces())

    async def _pieces(self) -> AsyncIterator[bytes]:
        size = len(self.body) // 10 + 1
        for start in range(0, len(self.body), size):
            await trio.sleep(self.piece_s)
            yield self.body[start : start + size]


async def test_set_is_fetched_once_and_kept(autojump_clock: MockClock) -> None:
    """However many tokens come at once, the issuer is asked once, and again when the set is old."""
    issuer = Issuer("a")
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(issuer.find, "a")
    assert issuer.asked == 1
    await trio.sleep(AGE_S - 1)
    assert await issuer.find("a") == "a"
    assert issuer.asked == 1
    await trio.sleep(2)
    assert await issuer.find("a") == "a"
    assert issuer.asked == 2


async def test_new_key_is_found_when_a_token_names_it(autojump_clock: MockClock) -> None:
    """A rotation needs no restart: an unknown key id has the set read again."""
    issuer = Issuer("old")
    assert await issuer.find("old") == "old"
    await trio.sleep(MISS_S + 1)
    issuer.publish("new")
    assert await issuer.find("new") == "new"
    assert await issuer.find("old") is None


async def test_withdrawn_key_is_of_no_use_when_the_set_is_old(autojump_clock: MockClock) -> None:
    """A key that was withdrawn works for `AGE_S` at most."""
    issuer = Issuer("old")
    assert await issuer.find("old") == "old"
    issuer.publish("new")
    await trio.sleep(AGE_S + 1)
    assert await issuer.find("old") is None


async def test_made_up_key_ids_are_no_flood_towards_the_issuer(autojump_clock: MockClock) -> None:
    """It is asked at most once in `MISS_S`."""
    issuer = Issuer("a")
    await issuer.find("a")
    for number in range(300):
        await trio.sleep(1)
        assert await issuer.find(f"made-up-{number}") is None
    assert issuer.asked <= 1 + 300 / MISS_S


async def test_issuer_that_is_away_leaves_the_set_in_use(autojump_clock: MockClock) -> None:
    """A set that is there stays if it cannot be read again, and the issuer is not hammered."""
    issuer = Issuer("a")
    await issuer.find("a")
    issuer.is_away = True
    await trio.sleep(AGE_S + 1)
    for _ in range(50):
        assert await issuer.find("a") == "a"
    assert issuer.asked == 2
    issuer.is_away = False
    issuer.publish("b")
    await trio.sleep(MISS_S + 1)
    assert await issuer.find("b") == "b"


async def test_issuer_that_has_never_been_there(autojump_clock: MockClock) -> None:
    """`overloaded` with retry_after, at once for who comes meanwhile; later it is tried again."""
    issuer = Issuer("a")
    issuer.is_away = True
    refused = 0

    async def ask() -> None:
        nonlocal refused
        with pytest.raises(Overloaded) as caught:
            await issuer.find("a")
        assert caught.value.retry_after_s == RETRY_S
        refused += 1

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(ask)
    assert (issuer.asked, refused) == (1, 20)
    issuer.is_away = False
    await trio.sleep(RETRY_S)
    assert await issuer.find("a") == "a"


async def test_slow_issuer_takes_no_longer_than_its_bound(autojump_clock: MockClock) -> None:
    """`FETCH_S` is for the whole answer: one that drips is given up, and nobody queues for it."""
    issuer = Issuer("a")
    issuer.piece_s = FETCH_S / 2
    began_at = trio.current_time()

    async def ask() -> None:
        with pytest.raises(Overloaded):
            await issuer.find("a")

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(ask)
    assert trio.current_time() - began_at == pytest.approx(FETCH_S, abs=0.1)
    assert issuer.asked == 1


async def test_old_set_serves_while_it_is_renewed(autojump_clock: MockClock) -> None:
    """One request pays for the renewal; others go on with the set that is there."""
    issuer = Issuer("a")
    await issuer.find("a")
    await trio.sleep(AGE_S + 1)
    issuer.piece_s = FETCH_S / 20
    async with trio.open_nursery() as nursery:
        nursery.start_soon(issuer.find, "a")
        await trio.testing.wait_all_tasks_blocked()
        began_at = trio.current_time()
        assert await issuer.find("a") == "a"
        assert trio.current_time() == began_at
    assert issuer.asked == 2


OTHERS = json.dumps({"keys": [rsa_jwk("b")]}).encode()
"""Would be good, but for what is done to it."""

BAD_ANSWERS: dict[str, dict[str, Any]] = {
    "an error": {"status": 500},
    "a redirect": {"status": 302, "headers": {"Location": "https://elsewhere.example/keys"}},
    "not JSON": {"body": b"<html>"},
    "not UTF-8": {"body": b'{"keys": ["\xff"]}'},
    "a list": {"body": b"[]"},
    "no list of keys": {"body": b'{"keys": {}}'},
    "no keys": {"body": b'{"keys": []}'},
    "keys of no use": {"body": b'{"keys": [1, null, {"kty": "oct", "k": "c2VjcmV0"}, {}]}'},
    "packed": {"body": gzip.compress(OTHERS), "headers": {"Content-Encoding": "gzip"}},
    "too large": {"body": OTHERS + b" " * MAX_BYTES},
}


@pytest.mark.parametrize("what", BAD_ANSWERS)
async def test_bad_answer_is_as_none(
    autojump_clock: MockClock, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A set that is there stays; the log says what came."""
    issuer = Issuer("a")
    await issuer.find("a")
    await trio.sleep(AGE_S + 1)
    for name, value in BAD_ANSWERS[what].items():
        setattr(issuer, name, value)
    assert await issuer.find("a") == "a"
    assert issuer.asked == 2
    [said] = [each.getMessage() for each in caplog.records if each.name == "antiphon.auth"]
    assert said.startswith(f"the JWKS {URL} cannot be read: ")


def test_keys_that_cannot_be_used_here_are_passed_over() -> None:
    """Short RSA keys, other curves, other uses, other algorithms, secrets; the rest is used."""
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    listed = [
        {**jwt.algorithms.RSAAlgorithm.to_jwk(short.public_key(), True), "kid": "short"},
        ec_jwk("other curve", ec.SECP384R1()),
        rsa_jwk("for encryption", use="enc"),
        rsa_jwk("of another algorithm", alg="RS512"),
        rsa_jwk("said to be a secret", alg="HS256"),
        rsa_jwk("broken", n="!"),
        {"kty": "oct", "k": "c2VjcmV0", "kid": "secret"},
        rsa_jwk("good", use="sig", alg="RS256"),
        ec_jwk("good too", ec.SECP256R1()),
    ]
    keys = jwks.parse_keys(json.dumps({"keys": listed}).encode())
    assert [(key.key_id, key.algorithm_name) for key in keys] == [
        ("good", "RS256"),
        ("good too", "ES256"),
    ]


async def test_key_is_used_for_its_own_algorithm_alone(autojump_clock: MockClock) -> None:
    """A public key is never taken for another kind of signature."""
    issuer = Issuer("a")
    assert await issuer.find("a") == "a"
    assert await issuer.keys.find("a", "ES256") is None
    assert await issuer.keys.find("a", "HS256") is None


async def test_token_without_a_key_id(autojump_clock: MockClock) -> None:
    """It fits where one key alone can be meant."""
    one, two = Issuer("a"), Issuer("a", "b")
    assert await one.find(None) == "a"
    assert await two.find(None) is None
