"""What must be logged and what observers must be told, for one client."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any

import wsx
from wsx.test.simulation.policy import matches
from wsx.test.simulation.rules import Rule

if TYPE_CHECKING:
    from wsx.test.simulation.subject import Subject

EPSILON = 1e-6


class TelemetryBook:
    """The telemetry events of one client: expected and observed.

    An event may be observed shortly before the model expects it, or shortly after; at the end of a
    step, both must agree.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._attached = subject.world.telemetry_kinds
        self._expected: dict[str, deque[Any]] = {}
        self._seen: dict[str, deque[Any]] = {}
        self.ignores_received = False  # The last read may not have been decoded before the end.

    def expect(self, kind: str, value: Any) -> None:
        """Expect an event."""
        if kind in self._attached:
            self._pair(kind, value, self._expected, self._seen, True)

    def saw(self, kind: str, value: Any) -> None:
        """An observer was notified."""
        self._subject.world.note(self._subject, "telemetry", kind, "")
        self._pair(kind, value, self._seen, self._expected, False)

    def _pair(self, kind: str, value: Any, own: Any, other: Any, is_expected: bool) -> None:
        waiting = other.get(kind)
        if not waiting:
            own.setdefault(kind, deque()).append(value)
            return
        found = waiting.popleft()
        expected, seen = (value, found) if is_expected else (found, value)
        if not self._agree(kind, expected, seen):
            text = f"{kind}: {seen!r:.100}, expected {expected!r:.100}"
            self._subject.world.fail(Rule.TELEMETRY, self._subject, text)

    def _agree(self, kind: str, expected: Any, seen: Any) -> bool:
        if kind in ("connecting", "connected"):
            return True
        if kind in ("disconnected", "terminate"):
            return matches(expected, seen)
        if kind == "callback":
            # A pause of the process may or may not count as time of the callback.
            same = abs(expected[1] - seen[1]) < EPSILON or self._subject.world.tolerance > 0
            return bool(expected[0] == seen[0] and same)
        return bool(expected == seen)

    def forget_received(self) -> None:
        """Forget frames of an earlier connection that were never decoded."""
        for kind in ("received", "pong"):
            self._expected.pop(kind, None)

    def _ignores(self, kind: str) -> bool:
        return self.ignores_received and kind in ("received", "pong")

    def missing(self) -> str | None:
        """Return what differs after a step, or None."""
        relaxed = self._subject.model.relaxed
        for kind, waiting in self._expected.items():
            if (
                waiting
                and not (relaxed and kind in ("received", "pong"))
                and not self._ignores(kind)
            ):
                return f"{kind} {waiting[0]!r:.100}"
        for kind, waiting in self._seen.items():
            if waiting and not self._ignores(kind):
                return f"(not expected) {kind} {waiting[0]!r:.100}"
        return None


class LogBook:
    """The log lines of one client: expected and found."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._failures: list[BaseException] = []
        self._counts: Counter[str] = Counter()
        self._lost: deque[Any] = deque()
        self._connected: deque[Any] = deque()

    def expect_failure(self, error: BaseException) -> None:
        """An exception of a callback must be logged with its traceback."""
        self._failures.append(error)

    def expect_bad_response(self, response: Any) -> None:
        self._counts["bad response"] += 1

    def expect_invalid_reply(self) -> None:
        self._counts["invalid reply"] += 1

    def expect_dropped(self, count: int) -> None:
        if count:
            self._counts[f"dropped {count}"] += 1

    def expect_lost(self, delay: Any, number: int, was_open: bool) -> None:
        self._lost.append((delay, number, was_open))

    def expect_connected(self, again: bool, outage: Any, now: float) -> None:
        self._connected.append((again, outage, now))

    def expect_terminate_timeout(self) -> None:
        self._counts["terminate timeout"] += 1

    def failure(self, error: BaseException) -> bool:
        """A failure was logged; return whether it was expected."""
        for i, expected in enumerate(self._failures):
            if expected is error:
                del self._failures[i]
                return True
        return False

    def line(self, event: dict[str, Any]) -> bool:
        """A line was logged; return whether it may be."""
        text = event.get("log_format") or ""
        if text.endswith("{what} ({reason}); {after}"):
            return self._lost_line(event)
        if "connected to {url}" in text or "{what} to {url} after" in text:
            return self._connected_line(event, text)
        if "undelivered" in text:
            return self._count(f"dropped {event['n']}")
        if "{error} ({argument})" in text:
            return self._count("bad response")
        if "{where}: {error}" in text:
            return self._count("invalid reply")
        if "terminate was cancelled" in text:
            return self._count("terminate timeout")
        return True

    def _count(self, what: str) -> bool:
        self._counts[what] -= 1
        return True

    def _lost_line(self, event: dict[str, Any]) -> bool:
        if not self._lost:
            return False
        delay, number, was_open = self._lost.popleft()
        what = "connection to" if was_open else "connecting to"
        if not event["what"].startswith(what):
            return False
        after: str = event["after"]
        if delay is None:
            return after == "not reconnecting"
        if not after.startswith("reconnecting in ") or f"(attempt {number})" not in after:
            return False
        shown = float(after.split()[2])
        return bool(delay[0] - 0.051 <= shown <= delay[1] + 0.051)

    def _connected_line(self, event: dict[str, Any], text: str) -> bool:
        if not self._connected:
            return False
        again, outage, now = self._connected.popleft()
        if outage is None:
            return "after" not in text
        since, failed, roughly = outage
        if event.get("what") != ("reconnected" if again else "connected"):
            return False
        shown = str(event["failed"])
        count = "" if not failed else f" and {failed} failed attempt"
        if (shown == "") != (count == "") or not shown.startswith(count):
            return False
        if roughly:  # The library has noticed the loss after the frames before it.
            return True
        return bool(abs(event["seconds"] - (now - since)) < EPSILON + self._subject.world.tolerance)

    def missing(self) -> str | None:
        """Return what was not logged, or None."""
        if self._failures:
            return f"failure {self._failures[0]!r}"
        if self._lost:
            return "a line about a loss"
        if self._connected:
            return "a line about a connection"
        return next((what for what, count in self._counts.items() if count), None)


def telemetry_value(kind: str, metadata: Any, measurements: Any) -> Any:
    """Return what the telemetry book compares."""
    if kind in ("disconnected", "terminate"):
        return metadata["reason"]
    if kind in ("received", "sent"):
        return metadata["frame"]
    if kind == "callback":
        return (metadata["callback"], measurements["duration"])
    return None


KINDS = {
    wsx.telemetry.CONNECTING: "connecting",
    wsx.telemetry.CONNECTED: "connected",
    wsx.telemetry.DISCONNECTED: "disconnected",
    wsx.telemetry.FRAME_RECEIVED: "received",
    wsx.telemetry.FRAME_SENT: "sent",
    wsx.telemetry.CALLBACK: "callback",
    wsx.telemetry.TERMINATE: "terminate",
}
