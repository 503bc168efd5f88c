"""Parametrised tests: one test method for each case, with objects of its own."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Case = tuple[str, tuple[Any, ...]]


def each(*tables: Iterable[Any]) -> Callable[[Callable[..., Any]], Any]:
    """Replace a test method by one test for each combination of the values of the tables.

    Each test runs with its own ``setUp`` and ``tearDown``. Its name is the name of the method
    followed by a label for each value: ``test_stop`` becomes ``test_stop_tcp``,
    ``test_stop_handshake``.

    Args:
        tables: The values of each parameter. A tuple holds the values of several parameters; its
            first item labels it. Values without a short text of their own are labelled by their
            position in the table.

    Returns:
        The decorator for the test method, which takes the values as positional arguments.
    """
    labelled = [_labelled(list(table)) for table in tables]
    assert all(labelled), "a test without a case would not run"
    return lambda method: _Parametrized(method, labelled)


class _Parametrized:
    """A test method that is replaced by its cases when its class is complete."""

    def __init__(self, method: Callable[..., Any], tables: list[list[Case]]) -> None:
        self._method = method
        self._tables = tables

    def __set_name__(self, owner: type, name: str) -> None:
        delattr(owner, name)
        for test_name, values in self._cases(name):
            if test_name in vars(owner):
                raise TypeError(f"{owner.__name__} has two tests named {test_name}")
            setattr(owner, test_name, _with_values(self._method, test_name, values))

    def _cases(self, name: str) -> Iterator[Case]:
        for combination in itertools.product(*self._tables):
            labels = [label for label, _ in combination]
            yield "_".join([name, *labels]), tuple(v for _, values in combination for v in values)


def _with_values(
    method: Callable[..., Any], name: str, values: tuple[Any, ...]
) -> Callable[[Any], Any]:
    @functools.wraps(method)
    def test(self: Any) -> Any:
        return method(self, *values)

    test.__name__ = name
    test.__qualname__ = f"{method.__qualname__.rpartition('.')[0]}.{name}"
    return test


def _labelled(table: list[Any]) -> list[Case]:
    rows = [row if isinstance(row, tuple) else (row,) for row in table]
    labels = [_label(row[0]) for row in rows]
    if "" in labels or len(set(labels)) < len(labels):
        labels = [str(number) for number in range(len(rows))]
    return list(zip(labels, rows, strict=True))


def _label(value: Any) -> str:
    if not isinstance(value, (str, int, float)):
        value = getattr(value, "__name__", "")
    return re.sub(r"\W+", "_", str(value)).strip("_").removeprefix("lambda")
