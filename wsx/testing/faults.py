"""The faults of a connection: of its network, and of a server that misbehaves."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from wsx._text import expected as wrong
from wsx.frames import Frame, Text
from wsx.testing.actions import ServerActions
from wsx.testing.wire import encode

if TYPE_CHECKING:
    from wsx.testing.server import ServerConnection

__all__ = ["Faults"]

__tracebackhide__ = True  # pytest shows the line of the test instead.


class Faults(ServerActions):
    """Faults of a connection: on a :class:`MemoryServer`, of the last one.

    They may be set before ``accept``, and then concern the opening handshake as well.
    """

    # The end

    def drop(self) -> ServerConnection:
        """Close the TCP connection without a close frame, after what was sent."""
        session = self._existing("drop")
        session.drop("the server has dropped it")
        return self._done(session)

    def cut(self, after: int = 0) -> ServerConnection:
        """Close the TCP connection after some more bytes of the server, also within a frame.

        Args:
            after: The number of bytes that still arrive. Default 0: close it now.
        """
        session = self._existing("cut")
        strike = partial(session.drop, "the server has dropped it")
        session.transport.to_client.strike_after(_size("cut", after), strike)
        return self._done(session)

    def reset(self, after: int | None = None) -> ServerConnection:
        """Reset the TCP connection. Bytes that the client has not read are lost.

        Args:
            after: The number of bytes that the server still sends. Default None: reset it now.
        """
        session = self._existing("reset")
        session.transport.to_client.strike_after(_size("reset", after or 0), session.reset)
        return self._done(session)

    # No end

    def silence(self, silent: bool = True) -> ServerConnection:
        """Answer neither pings nor close frames from now on, and do not close TCP after them.

        Args:
            silent: False to answer again. Default True.
        """
        session = self._existing("silence")
        session.is_silent = silent
        return self._done(session)

    def half_open(self) -> ServerConnection:
        """Lose everything in both directions from now on, while the connection seems to exist.

        This is what a client sees after its network was unplugged.
        """
        session = self._existing("half_open")
        session.vanish()
        return self._done(session)

    def stop_reading(self) -> ServerConnection:
        """Read nothing. The client's write buffer is full after 64 KiB."""
        session = self._existing("stop_reading")
        session.transport.to_server.hold()
        return self._done(session)

    def read(self) -> ServerConnection:
        """Read again after :meth:`stop_reading`."""
        session = self._existing("read")
        session.transport.to_server.release()
        return self._done(session)

    # The bytes

    def delay(self, seconds: float) -> ServerConnection:
        """Let bytes be on their way for some time, in each direction.

        Args:
            seconds: The time for one direction; 0 for none.
        """
        if not seconds >= 0:
            raise ValueError(wrong("delay", "at least 0 seconds", seconds))
        session = self._existing("delay")
        session.transport.to_client.delay = session.transport.to_server.delay = seconds
        return self._done(session)

    def drip(self, size: int = 1, interval: float = 0.0) -> ServerConnection:
        """Let the server's bytes arrive a few at a time, each part in a read of its own.

        Args:
            size: The size of a part in bytes. Default 1.
            interval: The time in seconds between two parts. Default 0.
        """
        if size < 1 or not interval >= 0:
            raise ValueError(wrong("drip", "a size of at least 1 and an interval of at least 0"))
        session = self._existing("drip")
        session.transport.to_client.part_size = size
        session.transport.to_client.interval = interval
        return self._done(session)

    def corrupt(self, offset: int = 0) -> ServerConnection:
        """Invert the bits of one of the server's next bytes.

        Args:
            offset: The number of bytes before it. Default 0: the next byte, which is the first one
                of a frame.
        """
        session = self._existing("corrupt")
        session.transport.to_client.corrupt(_size("corrupt", offset))
        return self._done(session)

    def flood(self, *frames: Frame, times: int = 1000) -> ServerConnection:
        """Send frames many times, without waiting for the client.

        What the client does not read stays in ``unread``: a client that has paused reading does
        not fill its memory.

        Args:
            *frames: The frames to repeat. Default: a short ``Text``.
            times: How often to send them. Default 1000.
        """
        session = self._open("flood")
        repeated = [frame for _ in range(times) for frame in frames or (Text("flood"),)]
        session.send(b"".join(encode(frame, session.deflate) for frame in repeated))
        return self._done(session)


def _size(action: str, value: int) -> int:
    if value < 0:
        raise ValueError(wrong(action, "at least 0 bytes", value))
    return value
