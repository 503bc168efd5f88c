"""The error for a configuration file, and the conversion of other errors to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final, TypeVar

from wsx._text import escape, truncate
from wsx._twistd.invalid import InvalidValue, reason_of

__all__ = ["ConfigError", "checked", "refuse_unknown"]

T = TypeVar("T")

# A message of wsx._text.expected. Groups: the argument, an item of the argument or None, and the
# rest of the message.
_NAMED: Final = re.compile(r"([\w-]+)(?: (\S+))?: (expected .*)", re.DOTALL)
_LONGEST_MESSAGE: Final = 500  # characters


class ConfigError(ValueError):
    """A configuration file is not valid.

    Args:
        key: The dotted key that is wrong; empty for the file as a whole.
        problem: What is wrong with the key or the file.

    Attributes:
        key: The dotted key that is wrong; empty for the file as a whole.
        problem: What is wrong with the key or the file.
    """

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(key, problem)
        self.key = key
        self.problem = problem

    def __str__(self) -> str:
        text = f"{self.key}: {self.problem}" if self.key else self.problem
        return escape(truncate(text, _LONGEST_MESSAGE))

    def on_command_line(self, path: str) -> str:
        """Return the message for the command line.

        Args:
            path: The value of ``--config``.
        """
        if self.key:
            return f"{path}: {self}"
        return InvalidValue("a TOML file", path, str(self)).about("--config")


def refuse_unknown(prefix: str, table: Mapping[str, Any], known: Iterable[str]) -> None:
    """Refuse a table with an unknown key.

    Args:
        prefix: The dotted key of the table, followed by a dot; empty for the file as a whole.
        table: The table.
        known: The allowed keys.

    Raises:
        ConfigError: The table has a key that is not allowed.
    """
    for key in table:
        if key not in known:
            similar = get_close_matches(key, known, n=1)
            hint = f" (did you mean {similar[0]}?)" if similar else ""
            raise ConfigError(f"{prefix}{key}", f"unknown key{hint}")


def checked(key: str, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call a function that reads or checks the value of a key.

    Args:
        key: The dotted key.
        function: The function.
        *args: The arguments of the function.
        **kwargs: The keyword arguments of the function.

    Returns:
        The result of the function.

    Raises:
        ConfigError: The function raised an exception.
    """
    try:
        return function(*args, **kwargs)
    except ConfigError:
        raise
    except Exception as error:
        raise _config_error(key, error) from error


def _config_error(key: str, error: Exception) -> ConfigError:
    """Return the error for a dotted key.

    A message that begins with the name of an argument, such as ``jitter: expected ...``, begins
    with the dotted key of that argument instead.
    """
    if isinstance(error, InvalidValue):
        return ConfigError(key, error.about(key).removeprefix(f"{key}: "))
    text = reason_of(error)
    match = _NAMED.fullmatch(text)
    if match is None:
        return ConfigError(key, text)
    name, item, problem = match.groups()
    if name not in (key.rpartition(".")[2], "header"):
        key = f"{key}.{name}"
    return ConfigError(key if item is None else f"{key}.{item}", problem)
