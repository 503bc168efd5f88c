"""Values of options that are read from a file or an environment variable.

A command line is visible to all users of the machine. ``@FILE`` and ``env:NAME`` in place of a
value keep a secret out of it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Final

from wsx._twistd.invalid import InvalidValue, reason_of

__all__ = ["Value", "read_lines", "read_value"]

_VARIABLE: Final = re.compile("env:([A-Za-z_][A-Za-z0-9_]*)")
_LIMIT: Final = 64 * 1024  # bytes; a device such as /dev/zero has no end
_SPACE: Final = " \t\r\n"


@dataclass(frozen=True, slots=True, repr=False)  # The repr would contain the secret.
class Value:
    """A value of an option.

    Attributes:
        text: The value.
        source: The ``@FILE`` or ``env:NAME`` from which the value was read; None for a value on the
            command line itself. Messages show it in place of the value.
    """

    text: str
    source: str | None


def read_value(given: str) -> Value:
    """Return the value of an option that has one line.

    Args:
        given: ``@FILE``, ``env:NAME`` or the value itself.

    Raises:
        InvalidValue: The file cannot be read, the variable is not set, or the content is not one
            line.
    """
    lines = read_lines(given)
    if len(lines) != 1:
        raise InvalidValue("a source with one line", given)
    return lines[0]


def read_lines(given: str) -> list[Value]:
    """Return the lines of a source that are not blank, or the value that was given.

    Args:
        given: ``@FILE``, ``env:NAME`` or the value itself.

    Raises:
        InvalidValue: The file cannot be read, the variable is not set, or the source is blank.
    """
    content = _read(given)
    if content is None:
        return [Value(given, None)]
    lines = [line.strip(_SPACE) for line in content.split("\n")]
    values = [Value(line, given) for line in lines if line]
    if not values:
        raise InvalidValue("a source that is not empty", given)
    return values


def _read(given: str) -> str | None:
    """Return the content of the source, or None if the value itself was given."""
    if given.startswith("@"):
        return _read_file(given)
    variable = _VARIABLE.fullmatch(given)
    if variable is None:
        return None
    content = os.environ.get(variable[1])
    if content is None:
        raise InvalidValue("an environment variable that is set", given)
    return content


def _read_file(given: str) -> str:
    try:
        with open(os.path.expanduser(given.removeprefix("@")), "rb") as file:
            content = file.read(_LIMIT + 1)
    except OSError as error:
        raise InvalidValue("a file that can be read", given, reason_of(error)) from None
    if len(content) > _LIMIT:
        raise InvalidValue(f"a file of at most {_LIMIT} bytes", given)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidValue("a file in UTF-8", given) from None
