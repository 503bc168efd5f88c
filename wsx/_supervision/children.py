"""The children of a supervisor: add, start, stop, remove and list them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from twisted.internet.defer import Deferred

from wsx._scheduler import Scheduler, scheduler_for
from wsx._supervision.child import Child, Running, linked_spec
from wsx.child import ChildSpec
from wsx.errors import ChildError

__all__ = ["Children"]


class Children:
    """The children of a supervisor, in the order in which they are started.

    Children may be added and removed during an iteration, which uses a copy.

    Args:
        parent: The supervisor, which is the argument of the start functions.
        on_end: Called with a child and the reason when the child ends without being stopped.
        given_reactor: The reactor for the time, or None for that of the first child that has one.

    Attributes:
        given_reactor: The reactor for the time, or None if it is not known yet.
        end_reasons: The reasons of children that ended and are not restarted, by id, in order of
            their end. If a child is started again, its reason is removed.
    """

    def __init__(
        self, parent: Any, on_end: Callable[[Child, object], None], given_reactor: Any
    ) -> None:
        self.given_reactor = given_reactor
        self.end_reasons: dict[Any, object] = {}
        self._parent = parent
        self._on_end = on_end
        self._scheduler: Scheduler | None = None
        self._by_id: dict[Any, Child] = {}
        self._in_start: Child | None = None  # The child whose start function is running.

    def __iter__(self) -> Iterator[Child]:
        return iter(list(self._by_id.values()))

    def __contains__(self, child: Child) -> bool:
        return self._by_id.get(child.spec.id) is child

    @property
    def scheduler(self) -> Scheduler:
        """The scheduler for the time; that of the global reactor if no other is known."""
        if self._scheduler is None:
            if self.given_reactor is None:
                from twisted.internet import reactor

                self.given_reactor = reactor
            self._scheduler = scheduler_for(self.given_reactor)
        return self._scheduler

    # Adding and removing

    def add(self, spec: ChildSpec) -> Child:
        """Add a child after the others. The caller starts it.

        Raises:
            ChildError: Another child has its id.
        """
        if spec.id in self._by_id:
            raise ChildError(spec.id, "another child has this id")
        if self.given_reactor is None:
            self.given_reactor = spec.reactor
        child = self._by_id[spec.id] = Child(spec, self._on_end)
        child.should_run = True
        return child

    def remove(self, child: Child) -> None:
        """Remove a child, unless it was removed already."""
        child.should_run = False
        if child in self:
            del self._by_id[child.spec.id]

    def sort(self, ids: Iterable[Any]) -> None:
        """Move the children with these ids to the front, in this order."""
        first = {id: self._by_id[id] for id in ids if id in self._by_id}
        self._by_id = first | self._by_id

    # Starting and stopping

    async def start(self, child: Child) -> Running:
        """Start a child.

        Returns:
            The client or supervisor.

        Raises:
            Exception: As for :meth:`Child.start`.
        """
        self.end_reasons.pop(child.spec.id, None)
        running = await child.start(lambda: self._call_start(child), self.scheduler)
        linked = self.get(running)
        if linked is not None and linked.is_linked:
            # The client was linked after the start function had returned, so it became a temporary
            # child of its own. It is this child now.
            self.remove(linked)
        return running

    def _call_start(self, child: Child) -> Deferred[Any]:
        before, self._in_start = self._in_start, child
        try:
            return child.spec.start(self._parent)
        finally:
            self._in_start = before

    @property
    def is_start_unannounced(self) -> bool:
        """Whether a start function is running that has not announced a client or supervisor."""
        return self._in_start is not None and self._in_start.announced is None

    def announce(self, running: Running) -> None:
        """Set the client or supervisor of the child whose start function is running."""
        if self._in_start is not None:
            self._in_start.announced = running

    def link(self, client: Any) -> Deferred[Any]:
        """Begin a client and add it as a temporary child.

        Returns:
            The Deferred of the client's ``begin``.

        Raises:
            Exception: As for :meth:`wsx.Client.begin`. The client is not added then.
        """
        child = self.add(linked_spec(client))
        try:
            started: Deferred[Any] = client.begin()
        except Exception:
            self.remove(child)
            raise
        child.attach(client)
        return started

    async def stop(self, child: Child) -> None:
        """Stop a child in any state, and remove the child if it is temporary."""
        await child.stop(self.scheduler)
        if child.spec.restart == "temporary":
            self.remove(child)

    async def stop_in_reverse(self, children: Iterable[Child]) -> None:
        """Stop children one after another, the last one first."""
        for child in reversed(list(children)):
            await self.stop(child)

    def cancel_starts(self, children: Iterable[Child]) -> None:
        """Stop the children that are being started."""
        for child in children:
            if child.is_starting:
                child.cancel_start(self.scheduler)

    # Looking up

    def get(self, id: Any) -> Child | None:
        """Return the child with this id, or None."""
        try:
            return self._by_id.get(id)
        except TypeError:  # The id is not hashable, so no child has it.
            return None

    def find(self, id: Any) -> Child:
        """Return the child with this id.

        Raises:
            ChildError: No child has this id.
        """
        child = self.get(id)
        if child is None:
            raise ChildError(id, "no child has this id")
        return child

    def find_stopped(self, id: Any) -> Child:
        """Return the child with this id if it has ended or was stopped.

        Raises:
            ChildError: No child has this id, or the child is running or is to be restarted.
        """
        child = self.find(id)
        if child.should_run:
            raise ChildError(id, "the child is running or is to be restarted")
        return child

    def starting_with(self, first: Child) -> list[Child]:
        """Return a child and those after it."""
        children = list(self)
        return children[children.index(first) :]

    def rows(self) -> list[tuple[Any, Any, str]]:
        """Return the id, the running client or supervisor or None, and the type of each child."""
        return [(child.spec.id, child.running, child.spec.type) for child in self]

    def counts(self) -> dict[str, int]:
        """Return the numbers of ``specs``, ``active`` children, ``supervisors`` and ``workers``."""
        types = [child.spec.type for child in self]
        return {
            "specs": len(types),
            "active": sum(child.running is not None for child in self),
            "supervisors": types.count("supervisor"),
            "workers": types.count("worker"),
        }
