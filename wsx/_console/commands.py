"""The lines that a user types: text to send, and commands that begin with a slash."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, NamedTuple

from wsx._console.close_codes import KNOWN_CODES, name_of
from wsx._text import escape, expected
from wsx._twistd.invalid import reason_of
from wsx.errors import FrameEncodeError, WsxError
from wsx.frames import (
    NORMAL_CLOSURE,
    Binary,
    Ping,
    Pong,
    Text,
    close_payload,
    is_wire_close_code,
    wire_payload,
)

__all__ = [
    "Command",
    "CommandError",
    "complete",
    "describe_completion",
    "help_text",
    "parse",
]

_FILE_LIMIT: Final = 16 * 1024 * 1024  # bytes
_NOTHING: Final = "no argument"


class CommandError(WsxError):
    """A typed line is not valid.

    Attributes:
        problem: What is wrong, for the user.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return self.problem


class Command(NamedTuple):
    """A typed line that was parsed.

    Attributes:
        name: ``"send"`` for text and files, otherwise the name of the command.
        value: The frame of ``send``, ``ping`` and ``pong``; the code and message of ``close``; a
            bool for ``trace``; None for other commands.
    """

    name: str
    value: Any = None


@dataclass(frozen=True, slots=True)
class _Rule:
    """How a command is written.

    Attributes:
        arguments: The arguments in the help text.
        explanation: What the command does.
        read: Returns the command for the text after its name.
        words: The completions of the argument.
    """

    arguments: str
    explanation: str
    read: Callable[[str], Command]
    words: tuple[str, ...] = ()


def parse(line: str) -> Command:
    """Return the command of a typed line.

    Args:
        line: The line. If it begins with two slashes, it is a text with one.

    Raises:
        CommandError: The command is unknown, or its argument is not valid.
    """
    if not line.startswith("/"):
        return Command("send", _checked("text", Text(line)))
    if line.startswith("//"):
        return Command("send", _checked("text", Text(line[1:])))
    name, _, argument = line[1:].partition(" ")
    rule = _RULES.get(name)
    if rule is None:
        raise CommandError(_unknown(name))
    return rule.read(argument)


def _unknown(name: str) -> str:
    similar = get_close_matches(name, _RULES, n=1)
    hint = f"did you mean /{similar[0]}?" if similar else "/help lists the commands"
    shown = escape(name)[:40]
    return f'/{shown}: unknown command ({hint}; "//{shown}" sends "/{shown}" as text)'


def _checked(subject: str, frame: Any) -> Any:
    """Return a frame that can be sent."""
    try:
        wire_payload(frame)
    except FrameEncodeError as error:
        raise CommandError(f"{subject}: {error}") from None
    return frame


def _read_ping(argument: str) -> Command:
    return Command("ping", _checked("/ping", Ping(argument.encode("utf-8", "surrogateescape"))))


def _read_pong(argument: str) -> Command:
    return Command("pong", _checked("/pong", Pong(argument.encode("utf-8", "surrogateescape"))))


def _read_close(argument: str) -> Command:
    number, _, message = argument.strip().partition(" ")
    if not number:
        return Command("close", (NORMAL_CLOSURE, ""))
    if not (number.isascii() and number.isdecimal()):
        raise CommandError(expected("/close", "a close code such as 1000", number))
    try:
        close_payload(int(number), message)
    except FrameEncodeError as error:
        raise CommandError(f"/close: {error}") from None
    return Command("close", (int(number), message))


def _read_binary(argument: str) -> Command:
    argument = argument.strip()
    if argument.startswith("@"):
        return Command("send", Binary(_read_file("/binary", argument)))
    try:
        payload = bytes.fromhex(argument.removeprefix("0x"))
    except ValueError:
        wish = "hexadecimal digits such as 00 ff, or @FILE"
        raise CommandError(expected("/binary", wish, argument)) from None
    return Command("send", Binary(payload))


def _read_send(argument: str) -> Command:
    if not argument.startswith("@"):
        raise CommandError(expected("/send", "@FILE", argument))
    content = _read_file("/send", argument)
    try:
        return Command("send", Text(content.decode("utf-8")))
    except UnicodeDecodeError:
        hint = "a file in UTF-8 (/binary @FILE sends any file)"
        raise CommandError(expected("/send", hint, argument)) from None


def _read_file(command: str, argument: str) -> bytes:
    """Return the content of ``@FILE``.

    Only regular files are read, because another file could block the reactor.
    """
    path = os.path.expanduser(argument.removeprefix("@"))
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise CommandError(expected(command, "a regular file", argument))
            content = file.read(_FILE_LIMIT + 1)
    except (OSError, ValueError) as error:
        problem = expected(command, "a file that can be read", argument)
        raise CommandError(f"{problem}: {reason_of(error)}") from None
    if len(content) > _FILE_LIMIT:
        raise CommandError(expected(command, f"a file of at most {_FILE_LIMIT} bytes", argument))
    return content


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _read_trace(argument: str) -> Command:
    word = argument.strip()
    if word not in ("on", "off"):
        raise CommandError(expected("/trace", '"on" or "off"', word))
    return Command("trace", word == "on")


def _simple(name: str) -> Callable[[str], Command]:
    """Return the reader of a command without arguments."""

    def read(argument: str) -> Command:
        if argument.strip():
            raise CommandError(expected(f"/{name}", _NOTHING, argument.strip()))
        return Command(name)

    return read


_CODES: Final = tuple(str(code) for code in KNOWN_CODES if is_wire_close_code(code))

_RULES: Final[dict[str, _Rule]] = {
    "ping": _Rule("[TEXT]", "send a ping, and show the round-trip time", _read_ping),
    "pong": _Rule("[TEXT]", "send a pong", _read_pong),
    "close": _Rule("[CODE [REASON]]", "close the connection (1000) and end", _read_close, _CODES),
    "binary": _Rule("HEX|@FILE", "send a binary message", _read_binary, ("@",)),
    "send": _Rule("@FILE", "send a file in UTF-8 as a text message", _read_send, ("@",)),
    "status": _Rule("", "show the connection", _simple("status")),
    "trace": _Rule("on|off", "show each frame and event", _read_trace, ("on", "off")),
    "reconnect": _Rule("", "connect again, at once", _simple("reconnect")),
    "help": _Rule("", "show this help", _simple("help")),
}


def help_text() -> str:
    """Return the lines that ``/help`` shows."""
    rows = [(f"/{name} {rule.arguments}", rule.explanation) for name, rule in _RULES.items()]
    rows += [
        ("//TEXT", "send text that begins with a slash: /TEXT"),
        ("Ctrl-D", "close the connection and end"),
        ("Ctrl-C", "end, with close code 1001"),
    ]
    return "\n".join(f"{left:24}{right}" for left, right in rows)


def complete(line: str) -> list[str]:
    """Return the lines that a typed line can be completed to.

    Args:
        line: The text before the cursor.
    """
    if not line.startswith("/") or line.startswith("//"):
        return []
    name, space, argument = line[1:].partition(" ")
    if not space:
        return [f"/{rule}" for rule in _RULES if rule.startswith(name)]
    if name in ("send", "binary") and argument.startswith("@"):
        return [f"/{name} @{path}" for path in _complete_path(argument[1:])]
    words = _RULES[name].words if name in _RULES else ()
    return [f"/{name} {word}" for word in words if word.startswith(argument)]


def describe_completion(line: str) -> str:
    """Return what a terminal shows for a completion: a close code has its name.

    Args:
        line: A line that :func:`complete` has returned.
    """
    code = line.removeprefix("/close ")
    return f"{code} {name_of(int(code))}" if code in _CODES else line


def _complete_path(typed: str) -> list[str]:
    """Return the paths that begin with the typed text; folders end with a slash."""
    folder, name = os.path.split(typed)
    try:
        with os.scandir(os.path.expanduser(folder) or ".") as entries:
            found = sorted((e.name, e.is_dir()) for e in entries if e.name.startswith(name))
    except OSError:
        return []
    return [
        os.path.join(folder, found_name) + ("/" if is_folder else "")
        for found_name, is_folder in found
        if found_name.isprintable()
    ]
