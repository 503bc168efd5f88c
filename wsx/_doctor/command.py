"""The command ``python -m wsx doctor URL``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from twisted.python import usage

from wsx._doctor.examination import Examination
from wsx._doctor.output import print_report
from wsx._redaction import redact_url
from wsx._text import expected
from wsx.conn import Conn
from wsx.tap import REPEATABLE, WITH_DOCTOR, Options

__all__ = ["DoctorOptions", "main"]

# Of the options of ``twistd wsx --doctor``, those that are about the phases until the first ping.
_OPTIONS: Final = {
    *(REPEATABLE.get(key, key) for key in WITH_DOCTOR),
    "help",
    "version",
} - {"doctor", "url", "ping-interval", "data-timeout"}


class DoctorOptions(Options):
    """The command line of ``python -m wsx doctor``: a URL, and the options of a connection."""

    command: ClassVar[str] = "python -m wsx doctor"
    url_name: ClassVar[str] = "URL"
    synopsis = "Usage: python -m wsx doctor [options] URL"
    longdesc = (
        "Connect once, show each phase of connecting with its time, and what is wrong. The exit "
        "status is 0 if all phases have passed, 1 if one has failed, and 2 if the command line is "
        "wrong. The values of URL, --proxy and --header may be @FILE or env:NAME: other users of "
        "the machine can see the command line."
    )

    def __init__(self) -> None:
        super().__init__()
        self.longOpt = [name for name in self.longOpt if name.rstrip("=") in _OPTIONS]

    def parseOptions(self, options: Any = None) -> None:
        """Parse and check the command line. Options may also follow the URL.

        Args:
            options: The arguments, a list of str. Default: the arguments of the process.
        """
        arguments = sys.argv[1:] if options is None else list(options)
        super().parseOptions(self.options_first(arguments))

    def parseArgs(self, *args: str) -> None:
        """Use the only argument as the URL.

        Raises:
            usage.UsageError: There is no argument, or more than one.
        """
        if len(args) != 1:
            shown = [redact_url(arg) for arg in args[:2]] or ["none"]
            raise usage.UsageError(f"{expected('URL', 'one URL')}, got {' and '.join(shown)}")
        self["url"], self["doctor"] = args[0], 1


def main(arguments: Sequence[str]) -> int:
    """Examine a connection, and print the report on standard output.

    Args:
        arguments: The arguments after ``doctor``.

    Returns:
        The exit status: 0 if all phases have passed, 1 if one has failed.

    Raises:
        SystemExit: The command line is wrong, or asks for the help text.
    """
    options = DoctorOptions()
    options.parseOptions(arguments)
    from twisted.internet import reactor

    return _run(options["conn"], reactor, as_json=bool(options["json"]))


def _run(conn: Conn, reactor: Any, *, as_json: bool) -> int:
    examination = Examination(conn, reactor)
    examination.done.addCallback(print_report, as_json=as_json)
    examination.ended.addCallback(lambda _: _stop(reactor))
    reactor.addSystemEventTrigger("before", "shutdown", examination.interrupt)
    reactor.callWhenRunning(examination.start)
    reactor.run()
    return 0 if examination.findings.passed else 1


def _stop(reactor: Any) -> None:
    """Stop the reactor, unless a signal has stopped it."""
    if reactor.running:
        reactor.stop()
