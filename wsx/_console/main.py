"""``python -m wsx URL``: the console without twistd."""

from __future__ import annotations

from typing import Any

from twisted.application.service import IService
from twisted.logger import globalLogBeginner
from twisted.python import usage

from wsx._text import expected
from wsx.tap import Options, makeService

__all__ = ["CommandLine", "main"]

# Options of ``twistd wsx`` that are not for the console.
_NOT_FOR_CONSOLE = ("config", "demo", "handler", "state")


class CommandLine(Options):
    """The command line of ``python -m wsx``: the options of ``twistd wsx``, and a URL."""

    command = "python -m wsx"
    url_name = "URL"
    is_brief = True

    synopsis = "[options] URL"
    longdesc = (
        "Connect to a WebSocket server: show each message, and send each line of standard input. "
        "On a terminal, /help lists the commands. The values of URL, --proxy and --header may be "
        "@FILE or env:NAME: other users of the machine can see the command line. "
        "python -m wsx doctor URL examines a connection."
    )

    def getSynopsis(self) -> str:
        """Return the first line of the help text."""
        return f"Usage: python -m wsx {self.synopsis}"

    def parseOptions(self, options: Any = None) -> None:
        """Parse and check the command line. Options may follow the URL.

        Args:
            options: The arguments, a list of str.

        Raises:
            SystemExit: As for :class:`wsx.tap.Options`.
        """
        super().parseOptions(self.options_first(list(options)))

    def parseArgs(self, *args: str) -> None:
        """Take the URL.

        Raises:
            usage.UsageError: There is no URL, or there are several.
        """
        given = [*args, *([] if self["url"] is None else [self["url"]])]
        if len(given) != 1:
            found = "none" if not given else "several"
            raise usage.UsageError(f"{expected('URL', 'one URL')}, got {found}")
        self["url"] = given[0]

    def postOptions(self) -> None:
        """Check the options.

        Raises:
            usage.UsageError: An option is wrong, or is not for the console.
        """
        for name in _NOT_FOR_CONSOLE:
            if self[name]:
                text = expected(f"--{name}", 'no such option ("twistd wsx" has it)')
                raise usage.UsageError(text)
        super().postOptions()


def main(arguments: list[str]) -> None:
    """Run the console until it ends. The exit status is that of ``twistd wsx``.

    Args:
        arguments: The arguments of the command line, without the name of the program.
    """
    options = CommandLine()
    options.parseOptions(arguments)
    service = makeService(options)
    if options["observer"] is not None:
        globalLogBeginner.beginLoggingTo([options["observer"]])
    _run(service)


def _run(service: IService) -> None:
    from twisted.internet import reactor

    running: Any = reactor
    running.addSystemEventTrigger("before", "shutdown", service.stopService)
    service.privilegedStartService()
    service.startService()
    running.run()
