"""The frames that a server has received on one connection, and what the test expects of them."""

from __future__ import annotations

from collections.abc import Sequence

from wsx.testing.diff import difference, matches, show
from wsx.testing.wire import AnyFrame

__all__ = ["Inbox", "listed"]


class Inbox:
    """Received frames, in order. A frame is left over until the test has expected or seen it.

    Args:
        name: The name of the connection in messages, such as ``"connection 1"``.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._frames: list[AnyFrame] = []
        self._optional: set[int] = set()  # The places of frames that need not be expected.
        self._next = 0  # The place of the frame that is expected next.
        self._seen = 0  # The number of frames that the test has looked at.

    def add(self, frame: AnyFrame, *, is_optional: bool) -> None:
        """Add a frame.

        Args:
            frame: The frame.
            is_optional: Whether the frame is not left over if the test does not expect it.
        """
        if is_optional:
            self._optional.add(len(self._frames))
        self._frames.append(frame)

    @property
    def waiting(self) -> list[AnyFrame]:
        """The frames that the test has not expected."""
        return self._frames[self._next :]

    @property
    def left_over(self) -> list[AnyFrame]:
        """The frames that the test has neither expected nor looked at."""
        start = max(self._next, self._seen)
        return [
            frame
            for place, frame in enumerate(self._frames)
            if place >= start and place not in self._optional
        ]

    def look(self) -> list[AnyFrame]:
        """Return all frames. The test has seen them, so they are not left over."""
        self._seen = len(self._frames)
        return list(self._frames)

    def take(self) -> AnyFrame | None:
        """Remove and return the next frame, or return None if there is none."""
        if self._next == len(self._frames):
            return None
        self._next += 1
        return self._frames[self._next - 1]

    def fits(self, expected: Sequence[object]) -> bool:
        """Return whether the next frames are the beginning of the expected ones, or all of them."""
        return all(map(matches, expected, self.waiting))

    def expect(self, expected: Sequence[object]) -> None:
        """Check the next frames.

        Args:
            expected: The frames, or classes of frames. None at all means that there is no frame.

        Raises:
            AssertionError: Other frames, too few, or, if none are expected, any frame.
        """
        waiting = self.waiting
        if not expected:
            if waiting:
                raise AssertionError(
                    f"{self._name}: expected no frame, but the client has sent:\n{listed(waiting)}"
                )
            return
        if len(waiting) < len(expected) or not self.fits(expected):
            raise AssertionError(self._problem(expected, waiting))
        self._next += len(expected)

    def _problem(self, expected: Sequence[object], waiting: list[AnyFrame]) -> str:
        if not waiting:
            return f"{self._name}: the client has sent no frame, expected:\n{listed(expected)}"
        return (
            f"{self._name}: the client has not sent the expected frames "
            f"(- expected, + received):\n{difference(expected, waiting)}"
        )


def listed(frames: Sequence[object]) -> str:
    """Return one line for each frame."""
    return "\n".join(f"    {show(frame)}" for frame in frames)
