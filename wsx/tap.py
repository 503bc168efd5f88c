"""``twistd wsx``: its options, and the service that runs clients until all have ended for good."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from importlib import import_module
from typing import Any, ClassVar, Final

from twisted.application.service import IService
from twisted.python import usage

from wsx._client.log_file import check_path
from wsx._compiled import compiled
from wsx._text import describe
from wsx._twistd import config
from wsx._twistd.console import Console, log_to_stderr
from wsx._twistd.demo import DemoHandler
from wsx._twistd.runner import ConfigRunner, DemoRunner, Runner
from wsx._version import __version__
from wsx.backoff import Backoff
from wsx.child import RESTARTS
from wsx.conn import Conn, parse_proxy
from wsx.handler import Handler
from wsx.supervisor import Supervisor

__all__ = ["Options", "makeService"]


def _seconds_or_none(text: str) -> float | None:
    return None if text == "none" else float(text)


# How each number is read, and what it is by default.
_NUMBERS: Final[dict[str, tuple[Callable[[str], float | None], float | None]]] = {
    "max-attempts": (int, None),
    "ping-interval": (_seconds_or_none, 20.0),
    "ping-timeout": (_seconds_or_none, 20.0),
    "data-timeout": (_seconds_or_none, None),
    "connect-timeout": (float, 6.0),
    "max-restarts": (int, 3),
    "max-seconds": (float, 5.0),
}

_WITH_CONFIG: Final = {"config", "metrics"}  # what may be said beside --config


class Options(usage.Options):
    """The command line of ``twistd wsx``.

    A wrong one ends the process with one line on standard error and exit status 1, before anything
    is started.
    """

    synopsis = "[options] (--url URL | --demo | --config FILE) [--handler module.Class]"

    longdesc = (
        "Keeps a WebSocket connection open and hands what comes to your handler class. Without "
        "--handler it is a console: what is received is printed, and each line read from standard "
        "input is sent; after the end of the input it waits until nothing has come for a second, "
        "and closes."
    )

    optFlags: ClassVar[list[Any]] = [
        ["demo", None, "Start a server on a free loopback port first, and connect to it."],
        ["insecure", None, "Do not verify the server's certificate."],
        ["reconnect", None, "Connect again when the connection is lost (the default)."],
        ["no-reconnect", None, "End when the connection is lost."],
    ]

    optParameters: ClassVar[list[Any]] = [
        ["url", None, None, "Where to connect: ws://, wss://, http:// or https://."],
        ["config", None, None, "A TOML file of several clients, instead; SIGHUP rereads it."],
        ["handler", None, None, "Your subclass of wsx.Handler, as module.Class."],
        ["state", None, None, "The handler's first state, as JSON."],
        ["certificate", None, None, "Our own certificate: a PEM file."],
        ["private-key", None, None, "The key of --certificate: a PEM file."],
        ["proxy", None, None, "http://[user:password@]host:port"],
        ["endpoint", None, None, "A Twisted client endpoint to connect through."],
        ["compression", None, None, "'deflate' offers permessage-deflate."],
        ["name", None, None, "The client's name."],
        ["max-attempts", None, None, "Try again at most so many times in a row."],
        [
            "ping-interval",
            None,
            None,
            "Seconds between two keepalive pings, or 'none'. Default: 20.",
        ],
        [
            "ping-timeout",
            None,
            None,
            "Seconds from a ping to a sign of life, or 'none'. Default: 20.",
        ],
        ["data-timeout", None, None, "Give a connection up after so long without a message."],
        ["connect-timeout", None, None, "Seconds for DNS, TCP, proxy and TLS. Default: 6."],
        ["debug", None, None, "Any of trace, log, log:N, statistics, with commas between."],
        ["log-to-file", None, None, "Write the client's events to this file."],
        [
            "restart",
            None,
            None,
            f"When the client ends: {', '.join(RESTARTS)}. Default: transient, and temporary with "
            "--no-reconnect.",
        ],
        ["max-restarts", None, None, "Give up with more restarts than this... Default: 3."],
        ["max-seconds", None, None, "...within so many seconds. Default: 5."],
        [
            "metrics",
            None,
            None,
            "Serve metrics for Prometheus here: a Twisted server endpoint, such as "
            "tcp:9100:interface=127.0.0.1",
        ],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["headers"] = []
        self["subprotocols"] = []
        self["cacerts"] = []

    def opt_header(self, header: str) -> None:
        """'Name: value', added to the request. May be given more than once."""
        name, colon, value = header.partition(":")
        if not colon:
            raise usage.UsageError("--header is 'Name: value'")
        self["headers"].append((name.strip(), value.strip()))

    def opt_subprotocol(self, name: str) -> None:
        """Offered to the server. May be given more than once."""
        self["subprotocols"].append(name)

    def opt_cacerts(self, path: str) -> None:
        """A PEM file of certificates to trust instead of the platform's. May be repeated."""
        self["cacerts"].append(path)

    def opt_version(self) -> None:
        """Show the version and exit."""
        print(f"wsx {__version__} ({'compiled' if compiled else 'pure Python'})")
        raise SystemExit(0)

    def parseOptions(self, options: Any = None) -> None:
        """Parses and checks everything.

        Raises:
            SystemExit: with one line of text, which Python prints on standard error; status 1.
        """
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            raise SystemExit(f"twistd wsx: {' '.join(str(error).split())}") from None

    def parseArgs(self, *args: str) -> None:
        """Takes no arguments beyond the options.

        Raises:
            usage.UsageError: there is one.
        """
        if args:
            raise usage.UsageError(f"unexpected argument: {args[0]}")

    def postOptions(self) -> None:
        """Turns the options into what the service needs.

        Raises:
            usage.UsageError: they cannot be used.
        """
        ways = sum([bool(self["demo"]), self["url"] is not None, self["config"] is not None])
        if ways != 1:
            raise usage.UsageError("give one of --url, --demo and --config")
        if self["metrics"] is not None:
            _refusing("--metrics: ", self._check_metrics)
        if self["config"] is not None:
            self._read_config()
            return
        if self["reconnect"] and self["no-reconnect"]:
            raise usage.UsageError("give one of --reconnect and --no-reconnect")
        self._parse_numbers()
        # One set of arguments for the client; --demo gets its port later.
        self["chosen_handler"] = self._chosen_handler()
        self["initial_state"] = self._initial_state()
        self["conn"] = _refusing("", self._conn)
        self["client_options"] = _refusing("", self._client_options)
        _refusing("", lambda: self.make_supervisor(self["conn"]))
        self._open_log_file()
        if isinstance(self["chosen_handler"], Console):
            self._keep_standard_output_for_the_console()

    def make_supervisor(self, conn: Conn) -> Supervisor:
        """Makes the supervisor of the one client."""
        from twisted.internet import reactor

        restart = {} if self["restart"] is None else {"restart": self["restart"]}
        spec = config.client_spec(
            self["name"] or "client",
            conn,
            self["chosen_handler"],
            self["initial_state"],
            self["client_options"],
            reactor,
            **restart,
        )
        return Supervisor(
            [spec],
            max_restarts=self["max-restarts"],
            max_seconds=self["max-seconds"],
            id="twistd wsx",
            auto_shutdown="all",
        )

    def _read_config(self) -> None:
        unsaid: tuple[Any, ...] = (None, 0, [])
        given = [name for name in self if self[name] not in unsaid and name not in _WITH_CONFIG]
        if given:
            option = {"headers": "header", "subprotocols": "subprotocol"}.get(given[0], given[0])
            raise usage.UsageError(f"--config goes without --{option}")
        from twisted.internet import reactor

        path = self["config"] = os.path.abspath(self["config"])  # twistd may change the directory
        self["tree"] = _refusing(f"{path}: ", lambda: config.load(path, reactor))

    def _check_metrics(self) -> None:
        from twisted.internet import reactor

        import_module("wsx.prometheus")  # an extra, which may not be installed
        config.check_server(self["metrics"], reactor)

    def _parse_numbers(self) -> None:
        for name, (parse, default) in _NUMBERS.items():
            text = self[name]
            try:
                self[name] = default if text is None else parse(text)
            except ValueError:
                raise usage.UsageError(f"--{name} is a number, not {text!r}") from None

    def _chosen_handler(self) -> type[Handler[Any]] | Console:
        name = self["handler"]
        if name is None:
            return DemoHandler if self["demo"] else Console()
        found: type[Handler[Any]] = _refusing("--handler: ", lambda: config.find_handler(name))
        return found

    def _initial_state(self) -> Any:
        if self["state"] is None:
            return None
        return _refusing("--state is not JSON: ", lambda: json.loads(self["state"]))

    def _conn(self) -> Conn:
        if self["proxy"] is not None:
            _refusing("--proxy: ", lambda: parse_proxy(self["proxy"]))
        conn = Conn(
            "ws://127.0.0.1:1" if self["url"] is None else self["url"],
            extra_headers=self["headers"],
            subprotocols=self["subprotocols"],
            insecure=bool(self["insecure"]),
            cacerts=self["cacerts"] or None,
            ssl_options=self._ssl_options(),
            endpoint=self["endpoint"],
            proxy=self["proxy"],
            compression=self["compression"],
            ping_interval=self["ping-interval"],
            ping_timeout=self["ping-timeout"],
            data_timeout=self["data-timeout"],
            socket_connect_timeout=self["connect-timeout"],
        )
        from twisted.internet import reactor

        config.check_conn(conn, reactor)
        return conn

    def _ssl_options(self) -> dict[str, str] | None:
        chosen = {
            "certificate": self["certificate"],
            "private_key": self["private-key"],
        }
        return {name: path for name, path in chosen.items() if path is not None} or None

    def _client_options(self) -> dict[str, Any]:
        policy = Backoff(max_attempts=self["max-attempts"])
        return {
            "name": self["name"],
            "reconnect": None if self["no-reconnect"] else policy,
            "debug": self._debug_options(),
        }

    def _debug_options(self) -> list[Any]:
        chosen: list[Any] = []
        for word in (self["debug"] or "").split(","):
            option, _, depth = word.strip().partition(":")
            if option == "log" and depth.isdecimal() and int(depth) > 0:
                chosen.append(("log", int(depth)))
            elif option in ("trace", "log", "statistics") and not depth:
                chosen.append(option)
            elif word.strip():
                raise usage.UsageError(f"--debug has no {word.strip()!r}")
        if self["log-to-file"] is not None:
            chosen.append(("log_to_file", os.path.abspath(self["log-to-file"])))
        return chosen

    def _open_log_file(self) -> None:
        """Finds out now whether it can be written, once nothing else can be wrong."""
        if self["log-to-file"] is not None:
            _refusing("--log-to-file: ", lambda: check_path(self["log-to-file"]))

    def _keep_standard_output_for_the_console(self) -> None:
        """Sends twistd's log to standard error, unless the user said where it goes."""
        twistd = self.parent
        if (
            twistd is not None
            and twistd["nodaemon"]
            and not (twistd["logfile"] or twistd["logger"] or twistd.get("syslog"))
        ):
            twistd["logger"] = f"{log_to_stderr.__module__}.{log_to_stderr.__qualname__}"


def _refusing(prefix: str, function: Callable[[], Any]) -> Any:
    """Calls a function; whatever it raises becomes a usage error of one line."""
    try:
        return function()
    except usage.UsageError:
        raise
    except Exception as error:
        text = str(error) if isinstance(error, ValueError) or not prefix else describe(error)
        raise usage.UsageError(f"{prefix}{text}") from error


def makeService(options: Options) -> IService:
    """Makes the service that twistd runs."""
    from twisted.internet import reactor

    if options["config"] is not None:
        return ConfigRunner(options["config"], options["tree"], reactor, options["metrics"])
    if options["demo"]:
        conn = options["conn"]
        return DemoRunner(
            lambda url: options.make_supervisor(conn.replace(url=url)), reactor, options["metrics"]
        )
    return Runner(options.make_supervisor(options["conn"]), reactor, options["metrics"])
