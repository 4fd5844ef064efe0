"""Only this machine is loaded, unless somebody says that another one is theirs."""

from __future__ import annotations

import pytest

from benchmarks.load.target import parse_target, refuse_others


@pytest.mark.parametrize("url", ["http://127.0.0.1:80", "ws://localhost:8000/x", "http://[::1]:1"])
def test_the_loopback_is_allowed(url: str) -> None:
    refuse_others(parse_target(url), ())


def test_any_other_host_has_to_be_named() -> None:
    target = parse_target("https://192.0.2.7/base/")
    with pytest.raises(ValueError, match=r"--i-may-load 192\.0\.2\.7"):
        refuse_others(target, ("192.0.2.8",))
    refuse_others(target, ("192.0.2.7",))
    assert (target.port, target.is_secure, target.url("/x")) == (443, True, "/base/x")


def test_a_base_that_is_in_the_path_already_counts_once() -> None:
    assert parse_target("http://127.0.0.1:1/v1/").url("/v1/responses") == "/v1/responses"
    assert parse_target("http://127.0.0.1:1/v1").url("/v10/x") == "/v1/v10/x"
    assert parse_target("http://127.0.0.1:1").url("/x") == "/x"


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:80", "ftp://127.0.0.1", "http://", "http://u:p@127.0.0.1", "http://a:b"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is not an address"):
        parse_target(url)
