"""The standard streams of the process: closed ones, and what the others lead to."""

from __future__ import annotations

import os
import stat
import sys

__all__ = ["columns_of", "has_reader", "open_missing_streams", "print_error"]


def open_missing_streams() -> None:
    """Open the null device in place of each standard stream that is closed, for reading only.

    Otherwise a socket would get the descriptor of the stream, and messages would be written to it.
    """
    while (descriptor := os.open(os.devnull, os.O_RDONLY)) <= 2:
        pass
    os.close(descriptor)


def has_reader(descriptor: int) -> bool:
    """Return whether another process or a person reads what is written to a descriptor.

    If so, a failed write means that the reader has gone, which is a normal end. Otherwise it is an
    error, such as a full disk.
    """
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(descriptor)


def columns_of(descriptor: int) -> int | None:
    """Return the width of the terminal that a descriptor leads to; None if it is no terminal."""
    try:
        return os.get_terminal_size(descriptor).columns or None
    except OSError:
        return None


def print_error(text: str) -> None:
    """Write text to standard error, unless it is closed."""
    if sys.__stderr__ is not None:
        sys.__stderr__.write(text)
        sys.__stderr__.flush()
