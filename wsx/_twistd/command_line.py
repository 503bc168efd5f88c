"""Conversion of the option values of the ``twistd wsx`` command line from text.

A ``read_*`` function returns the value of an option. It raises :class:`InvalidValue` if the text is
not valid.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from getopt import GetoptError
from typing import Any, Final, TypeVar

from twisted.python import usage

from wsx._redaction import HIDDEN, is_token_like, redact_subprotocols, redact_url
from wsx._text import expected
from wsx._twistd.invalid import InvalidValue, alternatives, reason_of
from wsx._twistd.sources import Value, read_lines
from wsx.child import RESTARTS
from wsx.conn import TOKEN, Conn
from wsx.frames import is_wire_close_code
from wsx.limiter import ConnectLimiter
from wsx.registry import ON_PARTITION

__all__ = [
    "READERS",
    "check_option",
    "check_secret_headers",
    "check_subprotocols",
    "explain_argument",
    "explain_getopt",
    "read_header_env",
    "read_headers",
    "read_port",
]

_ANY_URL: Final = "ws://localhost/"
_HEADER: Final = '"Name: value"'
# The first word is shown only if it has no digits, because "--header $TOKEN" passes the secret
# itself.
_FIRST_WORD: Final = re.compile(r"[A-Za-z-]+(?![^\s:=])")

_VARIABLE: Final = re.compile("[A-Za-z_][A-Za-z0-9_]*")
T = TypeVar("T")

# RFC 6455 section 7.1.5: a close frame without a code, and an end without a close frame.
_ENDS_WITHOUT_CODE: Final = (1005, 1006)


def check_option(name: str, function: Callable[..., T], *arguments: Any) -> T:
    """Call a function that reads or checks the value of an option.

    Raises:
        usage.UsageError: The function raised :class:`InvalidValue`.
    """
    try:
        return function(*arguments)
    except InvalidValue as error:
        raise usage.UsageError(error.about(f"--{name}")) from error


def read_count(text: str) -> int:
    """Return a whole number of at least 0."""
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise InvalidValue("a whole number of at least 0", text)
    return number


def read_seconds(text: str, expectation: str = "a number above 0") -> float:
    """Return a finite number of seconds above 0."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise InvalidValue(expectation, text)
    return seconds


def read_seconds_or_none(text: str) -> float | None:
    """Return a finite number of seconds above 0, or None for the word ``none``."""
    return None if text == "none" else read_seconds(text, 'a number above 0 or "none"')


def read_port(text: str) -> int:
    """Return the number of a TCP port; 0 stands for any free port."""
    try:
        port = int(text)
    except ValueError:
        port = -1
    if not 0 <= port <= 65535:
        raise InvalidValue("a port from 0 to 65535", text)
    return port


def read_json(text: str) -> Any:
    """Return the value of a JSON text."""
    try:
        return json.loads(text)
    except RecursionError:
        raise InvalidValue("JSON", HIDDEN, "it is nested too deeply") from None
    except ValueError as error:  # The state may hold secrets.
        raise InvalidValue("JSON", HIDDEN, reason_of(error)) from None


def read_name(text: str) -> str:
    """Return the name of a client."""
    if not text:
        raise InvalidValue("a name that is not empty", text)
    return text


def read_compression(text: str) -> str:
    """Return the name of a compression: ``deflate``."""
    return _one_of(["deflate"], text)


def read_restart(text: str) -> str:
    """Return the ``restart`` field of a child specification."""
    return _one_of(RESTARTS, text)


def _one_of(words: Sequence[str], text: str) -> str:
    if text not in words:
        raise InvalidValue(alternatives(words), text)
    return text


def read_on_partition(text: str) -> str:
    """Return what happens when a cluster cannot be reached: ``stop`` or ``keep``."""
    return _one_of(ON_PARTITION, text)


def read_number(text: str) -> float | str:
    """Return a number, or the text if it is none, for an option whose range is checked later."""
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError:
        return text


def read_connect_limit(text: str) -> ConnectLimiter:
    """Return the limiter for a text such as ``300/60``: attempts per host, and seconds."""
    attempts, _, seconds = text.partition("/")
    try:
        return ConnectLimiter(per_host=int(attempts), per_seconds=float(seconds))
    except ValueError:
        raise InvalidValue("N/SECONDS, two numbers above 0 such as 300/60", text) from None


def read_headers(texts: Sequence[str]) -> list[tuple[str, str]]:
    """Return the names and values of request headers. An error never shows a value.

    Args:
        texts: Headers, and sources of headers: ``@FILE`` and ``env:NAME``, with one header a line.
    """
    return [_read_value(value) for text in texts for value in read_lines(text)]


def _read_value(value: Value) -> tuple[str, str]:
    try:
        return _read_header(value.text)
    except InvalidValue:
        if value.source is None:
            raise
        # The text may be the secret itself, and the reason may repeat a part of it.
        raise InvalidValue('lines "Name: value"', value.source) from None


def _read_header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    pair = name.strip(), value.strip()
    if not colon:
        raise InvalidValue(_HEADER, _redact_header(text))
    try:
        Conn(_ANY_URL, extra_headers=[pair])
    except ValueError as error:
        reason = reason_of(error).removeprefix("extra_headers: ")
        raise InvalidValue(_HEADER, _redact_header(text), reason) from None
    return pair


def _redact_header(text: str) -> str:
    """Return a header without its value, or the first word of a text that is not a header."""
    name, colon, _ = text.partition(":")
    if colon and TOKEN.fullmatch(name.strip()):
        return f"{name.strip()}: ..."
    match = _FIRST_WORD.match(text)
    first = "" if match is None else match[0]
    return first if first == text else f"{first} ...".strip()


def read_header_env(text: str) -> tuple[str, str]:
    """Return the name and value of a request header whose value is in an environment variable.

    Args:
        text: ``NAME=VARIABLE``. An error shows the variable only if it looks like the name of one,
            because a user may have given the secret itself.
    """
    name, _, variable = text.partition("=")
    shown = f"{name}={variable}" if _is_variable(variable) else f"{name.partition(' ')[0]}=..."
    if not (TOKEN.fullmatch(name) and _VARIABLE.fullmatch(variable)):
        raise InvalidValue("NAME=VARIABLE", shown if "=" in text else HIDDEN)
    value = os.environ.get(variable)
    if value is None:
        raise InvalidValue("an environment variable that is set", shown)
    try:
        Conn(_ANY_URL, extra_headers=[(name, value.strip())])
    except ValueError:
        raise InvalidValue("a variable with the value of a header", shown) from None
    return name, value.strip()


def _is_variable(text: str) -> bool:
    return _VARIABLE.fullmatch(text) is not None and not is_token_like(text)


def read_close_code(text: str) -> int:
    """Return a close code with which a connection can end, 1005 and 1006 included."""
    code = int(text) if text.isascii() and text.isdecimal() and len(text) == 4 else 0
    if not (is_wire_close_code(code) or code in _ENDS_WITHOUT_CODE):
        raise InvalidValue("a close code, 1000 to 1014 or 3000 to 4999", text)
    return code


def read_positive(text: str) -> int:
    """Return a whole number of at least 1."""
    try:
        number = read_count(text)
    except InvalidValue:
        number = 0
    if not number:
        raise InvalidValue("a whole number of at least 1", text)
    return number


def check_secret_headers(names: Sequence[str]) -> None:
    """Check the names of secret headers."""
    for name in names:
        if not TOKEN.fullmatch(name):
            raise InvalidValue("the name of a header (RFC 9110 section 5.1)", name)


def check_subprotocols(names: Sequence[str]) -> None:
    """Check the names of subprotocols."""
    for number, name in enumerate(names):
        if name in names[:number]:
            raise InvalidValue("each name once", redact_subprotocols([name])[0])
        try:
            Conn(_ANY_URL, subprotocols=[name])
        except ValueError:
            shown = redact_subprotocols([name])[0]
            raise InvalidValue("a token (RFC 9110 section 5.6.2)", shown) from None


def read_debug(text: str) -> list[Any]:
    """Return the debug options in a text such as ``trace,log:50``."""
    words = [word.strip() for word in text.split(",")]
    return [_debug_option(word) for word in words if word]


def _debug_option(word: str) -> Any:
    option, _, depth = word.partition(":")
    if option == "log" and depth.isdecimal() and int(depth) > 0:
        return "log", int(depth)
    if option in ("trace", "log", "statistics") and option == word:
        return option
    raise InvalidValue('"trace", "log", "log:N" or "statistics"', word)


# The functions for options that can be read from their text alone.
READERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "state": read_json,
    "compression": read_compression,
    "name": read_name,
    "max-attempts": read_count,
    "ping-interval": read_seconds_or_none,
    "ping-timeout": read_seconds_or_none,
    "data-timeout": read_seconds_or_none,
    "callback-warning": read_seconds_or_none,
    "callback-timeout": read_seconds_or_none,
    "connect-timeout": read_seconds,
    "connect-limit": read_connect_limit,
    "debug": read_debug,
    "restart": read_restart,
    "cluster-ttl": read_number,
    "cluster-replicas": read_number,
    "on-partition": read_on_partition,
    "max-restarts": read_count,
    "max-seconds": read_seconds,
    "max-messages": read_positive,
    "expect-close": read_close_code,
    "timeout": read_seconds,
}


def explain_getopt(
    error: GetoptError,
    arguments: Iterable[str],
    known: Iterable[str],
    command: str = "twistd wsx",
) -> str:
    """Return the message for a command line that ``getopt`` cannot parse.

    Args:
        error: The error of ``getopt``.
        arguments: The command line.
        known: The names of all options, without dashes.
        command: The command, whose ``--help`` lists the options.
    """
    option = error.msg.split()[1]
    if "requires argument" in error.msg:
        return f"{expected(option, 'a value')}, got nothing"
    if "must not have an argument" in error.msg:
        parts = (argument.partition("=") for argument in arguments)
        values = [value for name, equals, value in parts if equals and option.startswith(name)]
        return expected(option, "no value", *values[:1])
    problem = "ambiguous option" if "unique" in error.msg else "unknown option"
    similar = [f"--{name}" for name in get_close_matches(error.opt, known, n=1)]
    hint = f"did you mean {similar[0]}?" if similar else f'"{command} --help" lists the options'
    return f"{option}: {problem} ({hint})"


def explain_argument(argument: str, has_headers: bool) -> str:
    """Return the message for an argument that is not the value of an option.

    Args:
        argument: The first such argument.
        has_headers: Whether ``--header`` was given. The argument is hidden then, because it may be
            part of a header value that was not quoted.
    """
    if has_headers:
        error = InvalidValue("options only", HIDDEN, 'quote the value of --header: "Name: value"')
    else:
        hint = "use --url" if "://" in argument else ""
        error = InvalidValue("options only", redact_url(argument), hint)
    return error.about("arguments")
