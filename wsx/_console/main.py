"""``python -m wsx URL``: the console without twistd."""

from __future__ import annotations

from typing import Any, Final

from twisted.application.service import IService
from twisted.logger import globalLogBeginner
from twisted.python import usage

from wsx._text import expected
from wsx._twistd.cluster_options import CLUSTER_OPTIONS
from wsx.tap import Options, makeService

__all__ = ["CommandLine", "main"]

# Options of ``twistd wsx`` that are not for the console, with the command that has them.
_OTHER_COMMANDS: Final = {
    "config": "twistd wsx",
    "demo": "twistd wsx",
    "demo-server": "twistd wsx",
    "port": "twistd wsx",
    "handler": "twistd wsx",
    "state": "twistd wsx",
    **dict.fromkeys(CLUSTER_OPTIONS, "twistd wsx"),
    "doctor": "python -m wsx doctor URL",
    "json": "python -m wsx doctor",
}


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

    def getUsage(self, width: int | None = None) -> str:
        """Return the help text, with the options of the console only."""
        known = self.longOpt
        self.longOpt = [name for name in known if name.rstrip("=") not in _OTHER_COMMANDS]
        try:
            return str(super().getUsage(width))
        finally:
            self.longOpt = known

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
            usage.UsageError: An option is not for the console, there is no URL, or there are
                several.
        """
        for name, other in _OTHER_COMMANDS.items():
            if self[name]:
                raise usage.UsageError(expected(f"--{name}", f'no such option ("{other}" has it)'))
        given = [*args, *([] if self["url"] is None else [self["url"]])]
        if len(given) != 1:
            found = "none" if not given else "several"
            raise usage.UsageError(f"{expected('URL', 'one URL')}, got {found}")
        self["url"] = given[0]


def main(arguments: list[str]) -> None:
    """Run the console until it ends. The exit status is that of ``twistd wsx``.

    Args:
        arguments: The arguments of the command line, without the name of the program.

    Raises:
        SystemExit: The command line is wrong, or asks for the help text.
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
