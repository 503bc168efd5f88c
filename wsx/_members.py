"""Faster attributes and instances of compiled classes. May be compiled.

Cython creates a property for each public attribute of a class. Python's interpreter reads members,
as those of ``__slots__``, five times faster than properties. It also makes Python's garbage
collector track each instance.
"""

from __future__ import annotations

from struct import calcsize
from types import GetSetDescriptorType
from typing import Final

__all__ = ["leave_untracked", "use_members"]

_POINTER: Final = calcsize("P")  # bytes
_HEAP_TYPE: Final = 1 << 9  # The flag of classes that were created by Python code.


def use_members(cls: type, *names: str) -> None:
    """Replace the properties of a compiled class by members. A pure class has no such properties.

    The class must refuse to delete its attributes, because compiled code expects that each has a
    value.

    Args:
        cls: The class.
        *names: The names of all attributes, also of the base class, in the order of declaration.
    """
    if cls.__basicsize__ != object.__basicsize__ + len(names) * _POINTER:
        return  # A later version of Cython may lay out objects in another way.
    for index, name in enumerate(names):
        if isinstance(vars(cls).get(name), GetSetDescriptorType):
            offset = object.__basicsize__ + index * _POINTER
            add_member(cls, name, offset)  # type: ignore[name-defined]  # noqa: F821


def leave_untracked(*classes: type) -> None:
    """Hide the instances of compiled classes from the garbage collector, as if they were strings.

    Use it for classes whose attributes refer to strings and bytes only, because an instance that
    refers to itself would never be freed. Pure classes and subclasses in Python stay as they are.

    Args:
        *classes: The classes.
    """
    for cls in classes:
        if not cls.__flags__ & _HEAP_TYPE:
            set_untracked(cls)  # type: ignore[name-defined]  # noqa: F821
