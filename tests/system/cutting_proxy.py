"""A TCP proxy before a server, that cuts connections where a test wants it to."""

from __future__ import annotations

from collections.abc import Callable

import trio


class CuttingProxy:
    """Passes bytes on, both ways.

    Args:
        port: the server's.
        swallow: told of what came from a client; where it says so, that is passed on, and the
            connection is cut before the server's next answer.
    """

    def __init__(self, port: int, swallow: Callable[[bytes], bool] = lambda data: False) -> None:
        self._server_port = port
        self.swallow = swallow
        self.port = 0
        self.connections = 0
        """Connections so far."""
        self.cuts = 0
        """Connections that were cut before an answer."""
        self._scopes: set[trio.CancelScope] = set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen on the loopback; `port` says where."""
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        await trio.serve_listeners(self._serve, listeners, task_status=_ignoring(task_status))

    def cut_all(self) -> None:
        """Cut every connection, now."""
        for scope in tuple(self._scopes):
            scope.cancel()

    async def _serve(self, client: trio.SocketStream) -> None:
        self.connections += 1
        is_answer_lost = False
        with trio.CancelScope() as scope:
            self._scopes.add(scope)
            async with await trio.open_tcp_stream("127.0.0.1", self._server_port) as server:

                async def pass_on() -> None:
                    nonlocal is_answer_lost
                    async for data in client:
                        is_answer_lost = is_answer_lost or self.swallow(bytes(data))
                        await server.send_all(data)
                    scope.cancel()

                async with trio.open_nursery() as nursery:
                    nursery.start_soon(pass_on)
                    async for data in server:
                        if is_answer_lost:
                            self.cuts += 1
                            break
                        await client.send_all(data)
                    scope.cancel()
        self._scopes.discard(scope)
        with trio.move_on_after(1, shield=True):
            await client.aclose()


def _ignoring(status: trio.TaskStatus[None]) -> trio.TaskStatus[list[trio.SocketListener]]:
    class Status:
        def started(self, value: object = None) -> None:
            status.started()

    return Status()  # type: ignore[return-value]
