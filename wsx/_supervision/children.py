"""The children of a supervisor, by id and in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from wsx._supervision.child import Child
from wsx.errors import ChildError

__all__ = ["Children"]


class Children:
    """The children of a supervisor, in the order in which they are started.

    Iteration goes over a copy, so children may be added and removed meanwhile.
    """

    def __init__(self) -> None:
        self._by_id: dict[Any, Child] = {}

    def __iter__(self) -> Iterator[Child]:
        return iter(list(self._by_id.values()))

    def __contains__(self, child: Child) -> bool:
        return self._by_id.get(child.spec.id) is child

    def add(self, child: Child) -> None:
        """Add a child as the last one.

        Raises:
            ChildError: Another child has its id.
        """
        if child.spec.id in self._by_id:
            raise ChildError(child.spec.id, "another child has this id")
        self._by_id[child.spec.id] = child

    def remove(self, child: Child) -> None:
        """Remove a child, if it is still there."""
        if child in self:
            del self._by_id[child.spec.id]

    def get(self, id: Any) -> Child | None:
        """Return the child with this id, or None."""
        try:
            return self._by_id.get(id)
        except TypeError:  # The id of a child is hashable, so no child has this one.
            return None

    def find(self, id: Any) -> Child:
        """Return the child with this id.

        Raises:
            ChildError: There is none.
        """
        child = self.get(id)
        if child is None:
            raise ChildError(id, "no child has this id")
        return child

    def starting_with(self, first: Child) -> list[Child]:
        """Return a child and those after it."""
        children = list(self)
        return children[children.index(first) :]

    def sort(self, ids: Iterable[Any]) -> None:
        """Put the children with these ids first, in this order; the others keep theirs."""
        first = {id: self._by_id[id] for id in ids if id in self._by_id}
        self._by_id = first | self._by_id

    def rows(self) -> list[tuple[Any, Any, str]]:
        """Return the id, the client or supervisor (None unless it runs) and the type of each."""
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
