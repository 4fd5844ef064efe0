"""`antiphon serve`: the server, until it is told to stop."""

from __future__ import annotations

import errno
import logging
import sys
from collections.abc import Awaitable, Callable

import trio

from engine import AntiphonError
from server.auth import is_loopback
from server.logs import configure_logging
from server.processes import run_processes
from server.serving import serve_until_told
from server.settings import BadSetting, Settings


def run(settings: Settings) -> int:
    """Serve; gives the exit code."""
    _set_logs(settings)
    if not settings.has_authentication:
        if not is_loopback(settings.host):
            return _refuse(
                f"{settings.host} is not a loopback address, and no authentication is configured: "
                "anybody who reaches it could use your keys. Set ANTIPHON_JWT_SECRET or "
                "ANTIPHON_JWKS, or listen on 127.0.0.1"
            )
        print(
            "antiphon: no authentication is configured (ANTIPHON_JWT_SECRET or ANTIPHON_JWKS): "
            "listening on the loopback only, where everybody may do everything",
            file=sys.stderr,
        )
    if settings.processes == 1:
        return run_one(settings, serve_until_told, sets_logs=False)
    if not settings.redis_url:
        return _refuse(
            f"--processes {settings.processes} needs Redis (--redis, ANTIPHON_REDIS_URL): without "
            "it processes share nothing, and a client would find its session at one of them only"
        )
    try:
        return run_processes(settings)
    except OSError as error:
        return _end(settings, error)


def run_one(
    settings: Settings, serve: Callable[[Settings], Awaitable[None]], *, sets_logs: bool = True
) -> int:
    """Serve in this process; gives the exit code.

    Args:
        settings: all of them.
        serve: serves until it is told to stop.
        sets_logs: whether logging has to be configured, for nobody has done it.
    """
    if sets_logs:
        _set_logs(settings)
    try:
        trio.run(serve, settings)
    except (KeyboardInterrupt, Exception, BaseExceptionGroup) as error:
        return _end(settings, _leaf(error))
    return 0


def _set_logs(settings: Settings) -> None:
    is_verbose = logging.getLogger().isEnabledFor(logging.INFO)
    configure_logging(
        settings.log_format,
        "info" if is_verbose and settings.log_level == "warning" else settings.log_level,
        shows_text=settings.log_text,
    )


def _end(settings: Settings, error: BaseException) -> int:
    """Say why the server ended; a defect keeps its traceback."""
    if isinstance(error, KeyboardInterrupt):
        return 130
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return _refuse(
            f"port {settings.port} is in use; choose another with --port, or 0 for a free one"
        )
    if isinstance(error, AntiphonError | BadSetting | OSError):
        return _refuse(str(error))
    raise error


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _refuse(why: str) -> int:
    print(f"antiphon: {why}", file=sys.stderr)
    return 1
