"""What some tests need and nobody installs for them: Node with `ws`, Chromium, Redis.

A test that needs one asks for it first. Where it is missing the test is skipped with the reason;
with REQUIRE_ALL=1, as in .ci/run, it fails instead, so that nothing is skipped unseen.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).parent.parent
NODE_MODULES = ROOT / "node_modules"
"""Where `make node` puts the packages that JavaScript tests use."""


def missing(reason: str) -> NoReturn:
    """Skip this test for want of something, or fail where everything is required."""
    if os.environ.get("REQUIRE_ALL", "") not in ("", "0"):
        pytest.fail(f"REQUIRE_ALL is set, and {reason}", pytrace=False)
    pytest.skip(reason)


def need_program(*names: str, hint: str) -> str:
    """Give the path of the first of these programs that is installed."""
    for name in names:
        found = shutil.which(name)
        if found is not None:
            return found
    missing(f"there is no {' or '.join(names)}: {hint}")


def need_node(*packages: str) -> tuple[str, dict[str, str]]:
    """Give Node's path, and the variables with which it finds packages; `ws` unless named."""
    node = need_program("node", hint="install Node.js 18 or later")
    for package in packages or ("ws",):
        if not (NODE_MODULES / package).is_dir():
            missing(f"Node's package {package} is not installed: run make node")
    return node, {"NODE_PATH": str(NODE_MODULES)}


def need_redis() -> str:
    """Give the path of Redis's server."""
    return need_program("redis-server", hint="install Redis 7 or later")


def need_namespaces() -> str:
    """Give the path of `ip`, by which a test makes hosts of its own."""
    program = need_program("ip", "/usr/sbin/ip", hint="install iproute2")
    name = f"antiphon-probe-{os.getpid()}"
    if subprocess.run([program, "netns", "add", name], capture_output=True).returncode:
        missing("network namespaces are not allowed here: they take root's rights")
    subprocess.run([program, "netns", "delete", name], check=True)
    return program


def need_nginx() -> str:
    """Give nginx's path."""
    return need_program("nginx", "/usr/sbin/nginx", hint="install nginx 1.18 or later")


def need_caddy() -> str:
    """Give Caddy's path."""
    return need_program("caddy", hint="install Caddy 2")


def need_chromium() -> str:
    """Give the path of Chromium."""
    return need_program(
        "chromium", "chromium-browser", "google-chrome", hint="install Chromium 120 or later"
    )
