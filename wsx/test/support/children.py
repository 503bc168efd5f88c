"""Children of a supervisor without clients: a running child that the test controls."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed

from wsx._supervision.child import Child
from wsx.child import ChildSpec


class FakeClient:
    """A running child that ends when ``end`` fires and stops when ``stopped`` fires.

    Attributes:
        calls: ``"begin"``, ``"stop"`` and ``"abort"``, in order.
        reactor: The reactor that it uses for time.
    """

    gave_up = False

    def __init__(self, reactor: Any = None) -> None:
        self.reactor = reactor
        self.calls: list[str] = []
        self.begun: Deferred[FakeClient] = Deferred()
        self.end: Deferred[object] = Deferred()
        self.stopped: Deferred[None] = Deferred()

    def begin(self) -> Deferred[FakeClient]:
        self.calls.append("begin")
        return self.begun

    def terminated(self) -> Deferred[object]:
        return self.end

    def stop(self) -> Deferred[None]:
        self.calls.append("stop")
        return self.stopped

    def abort(self) -> None:
        self.calls.append("abort")
        if not self.stopped.called:
            self.stopped.callback(None)


def make_spec(id: Any = "feed", start: Any = None, **fields: Any) -> ChildSpec:
    """Return the specification of a child that by default starts a FakeClient at once."""
    return ChildSpec(id, start or (lambda parent: succeed(FakeClient())), **fields)


def make_child(id: Any = "feed", **fields: Any) -> Child:
    """Return a child whose specification has these fields. It does not run."""
    return Child(make_spec(id, **fields), lambda child, reason: None)
