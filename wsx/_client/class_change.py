"""Hot code change of one object: another class, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from types import MemberDescriptorType
from typing import Any

__all__ = ["change_class"]


def change_class(thing: object, new_class: type) -> Callable[[], None]:
    """Gives an object another class; whoever has the object, goes on under the new one.

    Returns:
        a function that goes back: class and attributes are as they were then.

    Raises:
        TypeError: the object cannot become one of that class.
    """
    old_class, attributes, slots = type(thing), vars(thing).copy(), _slots(thing)
    thing.__class__ = new_class

    def go_back() -> None:
        thing.__class__ = old_class
        vars(thing).clear()
        vars(thing).update(attributes)
        for name, value in slots.items():
            setattr(thing, name, value)

    return go_back


def _slots(thing: object) -> dict[str, Any]:
    """Gives the attributes that an object keeps in ``__slots__``."""
    return {
        name: getattr(thing, name)
        for cls in type(thing).__mro__
        for name, member in vars(cls).items()
        if isinstance(member, MemberDescriptorType) and hasattr(thing, name)
    }
