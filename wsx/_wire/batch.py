"""The result of decoding one read, passed from the decoder to the client. Pure; may be compiled."""

from __future__ import annotations

from wsx.errors import FrameError
from wsx.frames import Frame

__all__ = ["Batch", "ServerClose"]


class ServerClose:
    """The server's close frame.

    Attributes:
        code: The close code; 1005 if the frame had none (RFC 6455 section 7.1.5).
        message: The close message; empty if the frame had none.
    """

    __slots__ = ("code", "message")

    def __init__(self, code: int, message: str) -> None:
        self.code = code
        self.message = message


class Batch:
    """The frames that one read has completed, and the end of the stream.

    Attributes:
        frames: Complete messages, pings and pongs, in order of arrival.
        has_controls: Whether the frames include pings or pongs.
        fragmented: The messages among the frames that arrived in several fragments.
        end: The server's close frame or protocol error, after which nothing is decoded; None if
            there was none.
        more: Whether the decoder has further frames of this read; ``Decoder.resume`` returns them.
        missing: The number of bytes that have not been received of an incomplete data frame at the
            end of the read; 0 if there is none.
    """

    __slots__ = ("end", "fragmented", "frames", "has_controls", "missing", "more")

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.has_controls = False
        self.fragmented: list[Frame] = []
        self.end: ServerClose | FrameError | None = None
        self.more = False
        self.missing = 0
