"""The value that one read turns into on its way from the decoder to the handler.

Pure; may be compiled.
"""

from __future__ import annotations

from wsx.errors import FrameError
from wsx.frames import Frame

__all__ = ["Batch", "ServerClose"]


class ServerClose:
    """The server's close frame.

    Attributes:
        code: The close code; 1005 if the frame had none (RFC 6455 section 7.1.5).
        message: The close message.
    """

    __slots__ = ("code", "message")

    def __init__(self, code: int, message: str) -> None:
        self.code = code
        self.message = message


class Batch:
    """The frames that one read completed, and how the read ended.

    Attributes:
        frames: Data frames, pings and pongs, in order of arrival.
        has_controls: Whether there are pings or pongs among the frames.
        fragmented: Those of the frames that arrived in several fragments.
        end: The server's close frame or its protocol error; None while the stream goes on.
            Nothing is decoded after it.
        more: Whether further frames wait in the decoder; ``Decoder.resume`` returns them.
        missing: Bytes still to come of the data frame that the read ended in.
    """

    __slots__ = ("end", "fragmented", "frames", "has_controls", "missing", "more")

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.has_controls = False
        self.fragmented: list[Frame] = []
        self.end: ServerClose | FrameError | None = None
        self.more = False
        self.missing = 0
