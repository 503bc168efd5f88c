"""Children of a supervisor without clients: a running child that the test controls."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed

from wsx._supervision.child import Child
from wsx.child import ChildSpec


class FakeClient:
    """A running child: it ends when the test fires ``end``, and stops when it fires ``stopped``.

    Attributes:
        calls: ``"stop"`` and ``"abort"``, in order.
    """

    gave_up = False

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.end: Deferred[object] = Deferred()
        self.stopped: Deferred[None] = Deferred()

    def terminated(self) -> Deferred[object]:
        return self.end

    def stop(self) -> Deferred[None]:
        self.calls.append("stop")
        return self.stopped

    def abort(self) -> None:
        self.calls.append("abort")
        if not self.stopped.called:
            self.stopped.callback(None)


def make_child(id: Any = "feed", **fields: Any) -> Child:
    """Return a child with these fields of its specification. It does not run."""
    return Child(ChildSpec(id, lambda parent: succeed(None), **fields), lambda child, reason: None)
