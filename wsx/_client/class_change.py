"""Change the class of an object, and restore it if the change fails. Pure."""

from __future__ import annotations

from collections.abc import Callable
from types import MemberDescriptorType
from typing import Any

__all__ = ["change_class"]


def change_class(target: object, new_class: type) -> Callable[[], None]:
    """Change the class of an object in place, so that references to the object stay valid.

    Args:
        target: The object.
        new_class: The class.

    Returns:
        A function that restores the old class and all attributes.

    Raises:
        TypeError: The ``__slots__`` of the two classes differ.
    """
    old_class, attributes, slots = type(target), vars(target).copy(), _slots(target)
    target.__class__ = new_class

    def restore() -> None:
        target.__class__ = old_class
        vars(target).clear()
        vars(target).update(attributes)
        for name, value in slots.items():
            setattr(target, name, value)

    return restore


def _slots(target: object) -> dict[str, Any]:
    """Return the attributes that an object keeps in ``__slots__``."""
    return {
        name: getattr(target, name)
        for cls in type(target).__mro__
        for name, member in vars(cls).items()
        if isinstance(member, MemberDescriptorType) and hasattr(target, name)
    }
