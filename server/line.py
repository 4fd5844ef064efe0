"""One connected socket: a trio stream that can also send without waiting and tells of progress.

Its one rule: it keeps no byte. A wire (server/wire.py) sits on it, or TLS sits between the two.
trio's own SocketStream does not give its socket away, so the line takes the descriptor over by
public calls alone (`detach`, then `from_stdlib_socket`). Must not import anything of the server.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

import trio

READ_BYTES = 16 * 1024
"""What one receive takes at most: a browser's whole head, or sixteen thousand keystrokes."""


class Line(trio.abc.HalfCloseableStream):
    """A connected stream socket.

    Args:
        stream: as a listener gives it; it is taken over and useless afterwards.
    """

    __slots__ = ("_progressed", "_raw", "_sent_bytes", "_socket")

    def __init__(self, stream: trio.SocketStream) -> None:
        self._raw = socket.socket(fileno=stream.socket.detach())
        self._socket = trio.socket.from_stdlib_socket(self._raw)
        self._progressed: Callable[[], None] | None = None
        self._sent_bytes = 0

    def __repr__(self) -> str:
        return f"<Line fd={self._raw.fileno()} sent_bytes={self._sent_bytes}>"

    @property
    def sent_bytes(self) -> int:
        """Bytes that the kernel has taken, those of TLS included."""
        return self._sent_bytes

    def addresses(self) -> tuple[tuple[str, int] | None, tuple[str, int] | None]:
        """Give the peer's address and ours, each (host, port), or None where there are none.

        Raises:
            OSError: the peer has gone already.
        """
        if self._raw.family not in (socket.AF_INET, socket.AF_INET6):
            return None, None
        peer, ours = self._raw.getpeername(), self._raw.getsockname()
        return (peer[0], peer[1]), (ours[0], ours[1])

    def watch(self, progressed: Callable[[], None]) -> None:
        """Have a function called whenever a send that had to wait got bytes away."""
        self._progressed = progressed

    def send_nowait(self, data: bytes | memoryview) -> int:
        """Send what the kernel takes at once, and give the number of bytes: 0 if it takes none.

        Raises:
            trio.BrokenResourceError: the connection is gone; the peer's doing, or `abort`.
        """
        try:
            sent = self._raw.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise trio.BrokenResourceError(f"socket broken: {error}") from error
        self._sent_bytes += sent
        return sent

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send everything.

        Raises:
            trio.BrokenResourceError: the peer has gone.
            trio.ClosedResourceError: `abort` came first.

        Cancellation: a part may be out; `sent_bytes` says how much.
        Backpressure: waits for the kernel, and so for the peer.
        """
        view = memoryview(data)
        try:
            while view:
                sent = await self._socket.send(view)
                self._sent_bytes += sent
                view = view[sent:]
                if self._progressed is not None:
                    self._progressed()
        except OSError as error:
            raise _translated(error) from error

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until the kernel has room."""
        await trio.lowlevel.wait_writable(self._raw)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive at least one byte, or `b""` when the peer has sent its last.

        Raises:
            trio.BrokenResourceError: the peer has gone without a goodbye.
            trio.ClosedResourceError: `abort` came first.

        Cancellation: nothing is lost.
        """
        try:
            return await self._socket.recv(READ_BYTES if max_bytes is None else max_bytes)
        except OSError as error:
            raise _translated(error) from error

    async def send_eof(self) -> None:
        """Tell the peer that nothing more comes; receiving goes on."""
        await trio.lowlevel.checkpoint()
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise _translated(error) from error

    async def aclose(self) -> None:
        """Close so that the peer gets our last bytes.

        Closing over bytes that nobody has read makes the kernel send a reset, which can overtake
        what we sent last: a close frame, or the 400 to a body that we did not want. So what still
        comes is read and dropped until the peer has closed too. Wants a deadline around it.

        Cancellation: the socket is closed at once.
        """
        try:
            await self.send_eof()
            while await self.receive_some():
                pass
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self.abort()

    def abort(self) -> None:
        """Close at once; whoever waits on the line gets trio.ClosedResourceError."""
        self._socket.close()


def _translated(error: OSError) -> trio.BrokenResourceError | trio.ClosedResourceError:
    if error.errno in (errno.EBADF, errno.ENOTSOCK):
        return trio.ClosedResourceError("the line was closed")
    return trio.BrokenResourceError(f"socket broken: {error}")
