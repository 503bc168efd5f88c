"""What the console needs of the terminal or the pipe that it runs on."""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import Deferred

from wsx._console.records import Record

__all__ = ["Frontend", "LineReceiver"]


class LineReceiver(Protocol):
    """What a front end reports to: the console."""

    def line(self, line: str) -> None:
        """Handle a line of input."""

    def end_of_input(self) -> None:
        """Handle the end of the input."""

    def bad_input(self, problem: str) -> None:
        """Handle a line of input that cannot be sent."""

    def end_of_output(self, error: Exception | None = None) -> None:
        """Handle the end of the output: its reader has gone, or it cannot be written."""

    def waiting(self) -> str:
        """Return what the console waits for while it is not connected, otherwise ""."""


class Frontend(Protocol):
    """Reads lines, and shows records and notices.

    Attributes:
        interactive: Whether a user types the lines, so that commands begin with a slash.
    """

    interactive: bool

    def begin(self, console: LineReceiver, reactor: Any) -> None:
        """Prepare, before the first attempt to connect."""

    def connected(self, console: LineReceiver, reactor: Any) -> None:
        """Start reading. The first call counts."""

    def show(self, record: Record) -> Deferred[None] | None:
        """Show a record.

        Returns:
            None, or a Deferred that fires when more can be shown.
        """

    def notice(self, text: str) -> None:
        """Show a text for the user."""

    def pause(self) -> None:
        """Stop reading for now."""

    def resume(self) -> None:
        """Read again."""

    def end(self, wait: bool) -> Deferred[None]:
        """Show the remaining records, and restore the terminal.

        Args:
            wait: Whether to wait for a reader of the output that is slow.

        Returns:
            A Deferred that fires when this is done.
        """
