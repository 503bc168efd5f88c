"""The options of the console on the command line."""

from __future__ import annotations

import sys
from getopt import GetoptError, gnu_getopt
from typing import Any, ClassVar, Final

from twisted.logger import ILogObserver
from twisted.python import usage

from wsx._console.console import Console
from wsx._console.limits import Limits
from wsx._console.log import BriefLog, ShowLog, log_to_stderr, print_to_stderr
from wsx._console.plain import Plain, is_terminal
from wsx._console.selection import choose_frontend, choose_reactor
from wsx._text import escape, expected
from wsx._twistd.command_line import explain_getopt

__all__ = ["ConsoleOptions"]

_FLAGS: Final = {
    "once": "Console: close after the first message, like --max-messages 1.",
    "jsonl": "Console: write what is received and sent as records, one JSON object a line.",
    "no-history": "Console: do not store typed lines in the history file.",
}
_PARAMETERS: Final = {
    "max-messages": "Console: close after N messages.",
    "expect-close": (
        "Console: wait until the server closes the connection. The exit status is 0 only for this "
        "close code; 1006 is an end without a close frame."
    ),
    "timeout": "Console: end after N seconds, with exit status 1.",
}
_ENDS: Final = ("once", "max-messages", "expect-close", "timeout")
_OTHER_MODES: Final = ("handler", "config", "demo", "demo-server", "doctor")


def _show_and_print(show: ShowLog) -> ShowLog:
    """Return a function that shows log lines, and prints them to standard error."""

    def show_and_print(when: float, style: str, text: str) -> None:
        show(when, style, text)
        print_to_stderr(when, style, text)

    return show_and_print


class ConsoleOptions(usage.Options):
    """The options of the console. :class:`wsx.tap.Options` has the others.

    Attributes:
        command: The command in messages.
        url_name: The name of the URL in messages.
        is_brief: Whether the log shows only the time and the text.
    """

    command: ClassVar[str] = "twistd wsx"
    url_name: ClassVar[str] = "--url"
    is_brief: ClassVar[bool] = False

    optFlags: ClassVar[list[Any]] = [[name, None, text] for name, text in _FLAGS.items()]
    optParameters: ClassVar[list[Any]] = [
        [name, None, None, text] for name, text in _PARAMETERS.items()
    ]

    def opt_header_env(self, text: str) -> None:
        """Add a header with the value of an environment variable: NAME=VARIABLE. Repeatable."""
        self["header_variables"].append(text)

    def with_url_name(self, text: str) -> str:
        """Return a message about an option, with the name of the URL on this command line."""
        return f"{self.url_name}{text.removeprefix('--url')}" if text.startswith("--url") else text

    def options_first(self, arguments: list[str]) -> list[str]:
        """Return the arguments with the options before the other arguments.

        Raises:
            SystemExit: An option is wrong.
        """
        try:
            pairs, others = gnu_getopt(arguments, self.shortOpt, self.longOpt)
        except GetoptError as error:
            known = [name.rstrip("=") for name in self.longOpt]
            text = explain_getopt(error, arguments, known, self.command)
            raise SystemExit(f"{self.command}: {escape(text)}") from None
        has_value = {f"--{name.rstrip('=')}" for name in self.longOpt if name.endswith("=")}
        given = [f"{name}={value}" if name in has_value else name for name, value in pairs]
        return [*given, "--", *others]

    @property
    def is_console(self) -> bool:
        """Whether the options ask for the console."""
        return not any(self[name] for name in _OTHER_MODES)

    def check_console_options(self) -> None:
        """Check that the options of the console can be used together.

        Raises:
            usage.UsageError: An option of the console is given for something else, or two of them
                exclude each other.
        """
        given = [name for name in (*_FLAGS, *_PARAMETERS) if self[name]]
        others = [name for name in _OTHER_MODES if self[name]]
        if given and others:
            self._refuse(given[0], f"no --{others[0]}, because this option is for the console")
        if self["once"] and self["max-messages"]:
            self._refuse("once", "no --max-messages")
        if self["expect-close"] and (self["once"] or self["max-messages"]):
            self._refuse("expect-close", "no --once or --max-messages, which close the connection")
        if self["restart"] not in (None, "temporary"):
            for name in _ENDS:
                if self[name]:
                    self._refuse(name, "no --restart, which would start the console again")
        if self.is_console and self.parent is not None and not self.parent.get("nodaemon", True):
            self._refuse("url", '"twistd -n wsx": without -n, twistd leaves the terminal')

    def _refuse(self, name: str, expectation: str) -> None:
        raise usage.UsageError(expected(f"--{name}", expectation))

    def choose_reactor(self) -> None:
        """Install the reactor that the console needs, if no reactor is installed yet."""
        if self.is_console and not self["jsonl"]:
            choose_reactor()

    def make_console(self) -> Console:
        """Return the console, and choose its log observer."""
        from twisted.internet import reactor

        store_history = not self["no-history"]
        frontend = choose_frontend(reactor, bool(self["jsonl"]), store_history, self.command)
        self["observer"] = self._choose_observer(frontend)
        limits = Limits(
            1 if self["once"] else self["max-messages"], self["expect-close"], self["timeout"]
        )
        return Console(frontend, limits)

    def _choose_observer(self, frontend: Any) -> ILogObserver | None:
        """Return the log observer; None if the user has chosen another destination."""
        twistd = self.parent
        if twistd is not None and any(twistd.get(key) for key in ("logfile", "logger", "syslog")):
            return None
        if not isinstance(frontend, Plain):
            show = frontend.log
            return BriefLog(show if is_terminal(sys.__stderr__) else _show_and_print(show))
        return BriefLog(print_to_stderr) if self.is_brief else log_to_stderr()
