"""``twistd wsx``: its options, and the service that runs one client until it ends for good."""

from __future__ import annotations

import atexit
import json
import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from inspect import signature
from typing import Any, ClassVar, Final

from twisted.application.service import IService, MultiService
from twisted.internet.interfaces import IReactorCore
from twisted.python import usage

from wsx._console import Console, log_to_stderr
from wsx._demo import DemoHandler, DemoServer
from wsx._endpoints import endpoint_for, tls_creator
from wsx._version import __version__
from wsx.backoff import Backoff
from wsx.child import RESTARTS
from wsx.conn import Conn, parse_proxy
from wsx.errors import describe
from wsx.frames import is_normal
from wsx.handler import Handler
from wsx.service import ClientService

__all__ = ["Options", "makeService"]


def _seconds_or_none(text: str) -> float | None:
    return None if text == "none" else float(text)


_NUMBERS: Final[dict[str, Callable[[str], float | None]]] = {
    "max-attempts": int,
    "ping-interval": _seconds_or_none,
    "ping-timeout": _seconds_or_none,
    "data-timeout": _seconds_or_none,
    "connect-timeout": float,
    "max-restarts": int,
    "max-seconds": float,
}


class Options(usage.Options):
    """The command line of ``twistd wsx``.

    A wrong one ends the process with one line on standard error and exit status 1, before anything
    is started.
    """

    synopsis = "[options] (--url URL | --demo) [--handler module.Class]"

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
        ["handler", None, None, "Your subclass of wsx.Handler, as module.Class."],
        ["state", None, None, "The handler's first state, as JSON."],
        ["certificate", None, None, "Our own certificate: a PEM file."],
        ["private-key", None, None, "The key of --certificate: a PEM file."],
        ["proxy", None, None, "http://[user:password@]host:port"],
        ["endpoint", None, None, "A Twisted client endpoint to connect through."],
        ["compression", None, None, "'deflate' offers permessage-deflate."],
        ["name", None, None, "The client's name."],
        ["max-attempts", None, None, "Try again at most so many times in a row."],
        ["ping-interval", None, "20", "Seconds between two keepalive pings, or 'none'."],
        ["ping-timeout", None, "20", "Seconds from a ping to a sign of life, or 'none'."],
        ["data-timeout", None, None, "Give a connection up after so long without a message."],
        ["connect-timeout", None, "6", "Seconds for DNS, TCP, proxy and TLS."],
        ["debug", None, None, "Any of trace, log, log:N, statistics, with commas between."],
        ["log-to-file", None, None, "Write the client's events to this file."],
        [
            "restart",
            None,
            None,
            f"When the client ends: {', '.join(RESTARTS)}. Default: transient, and temporary with "
            "--no-reconnect.",
        ],
        ["max-restarts", None, "3", "Give up with more restarts than this..."],
        ["max-seconds", None, "5", "...within so many seconds."],
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
        print(f"wsx {__version__}")
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
        if bool(self["demo"]) == (self["url"] is not None):
            raise usage.UsageError("give one of --url and --demo")
        if self["reconnect"] and self["no-reconnect"]:
            raise usage.UsageError("give one of --reconnect and --no-reconnect")
        self._parse_numbers()
        # One set of arguments for the service; --demo gets its port later.
        self["chosen_handler"] = self._chosen_handler()
        self["initial_state"] = self._initial_state()
        self["conn"] = _refusing("", self._conn)
        self["client_options"] = _refusing("", self._client_options)
        _refusing("", lambda: self.make_service(self["conn"]))
        self._open_log_file()
        if isinstance(self["chosen_handler"], Console):
            self._keep_standard_output_for_the_console()

    def make_service(self, conn: Conn) -> ClientService:
        """Makes the service of the one client."""
        return ClientService(
            conn,
            self["chosen_handler"],
            self["initial_state"],
            restart=self["restart"] or ("temporary" if self["no-reconnect"] else "transient"),
            max_restarts=self["max-restarts"],
            max_seconds=self["max-seconds"],
            **self["client_options"],
        )

    def _parse_numbers(self) -> None:
        for name, parse in _NUMBERS.items():
            if self[name] is not None:
                text = self[name]
                try:
                    self[name] = parse(text)
                except ValueError:
                    raise usage.UsageError(f"--{name} is a number, not {text!r}") from None

    def _chosen_handler(self) -> type[Handler[Any]] | Console:
        name = self["handler"]
        if name is None:
            return DemoHandler if self["demo"] else Console()
        if os.getcwd() not in sys.path:
            sys.path.insert(0, os.getcwd())  # as "python -m" does, unlike console scripts
        found = _refusing(f"--handler {name} cannot be imported: ", lambda: _import(name))
        if not (isinstance(found, type) and issubclass(found, Handler)):
            raise usage.UsageError(f"--handler {name} is no subclass of wsx.Handler")
        _refusing(f"--handler {name} cannot be made: ", lambda: signature(found).bind())
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
        # Reads the PEM files now, rather than at the first attempt.
        if conn.parsed.secure or conn.ssl_options or conn.cacerts:
            tls_creator(conn.replace(insecure=False))
        if conn.endpoint is not None:
            from twisted.internet import reactor

            _refusing("--endpoint: ", lambda: endpoint_for(conn, reactor))
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
            _refusing("--log-to-file: ", lambda: open(self["log-to-file"], "a").close())

    def _keep_standard_output_for_the_console(self) -> None:
        """Sends twistd's log to standard error, unless the user said where it goes."""
        twistd = self.parent
        if (
            twistd is not None
            and twistd["nodaemon"]
            and not (twistd["logfile"] or twistd["logger"] or twistd.get("syslog"))
        ):
            twistd["logger"] = f"{log_to_stderr.__module__}.{log_to_stderr.__qualname__}"


def _import(name: str) -> Any:
    module, dot, attribute = name.rpartition(".")
    if not (dot and module and attribute):
        raise usage.UsageError("--handler is module.Class")
    return getattr(import_module(module), attribute)


def _refusing(prefix: str, function: Callable[[], Any]) -> Any:
    """Calls a function; whatever it raises becomes a usage error of one line."""
    try:
        return function()
    except usage.UsageError:
        raise
    except (Exception, SystemExit) as error:  # a handler's module may exit when it is imported
        text = describe(error) if prefix else str(error)
        raise usage.UsageError(f"{prefix}{text}") from error


class Runner(MultiService):
    """Runs the client's service, and stops twistd when that has ended for good.

    Args:
        service: of the client.
        reactor: to be stopped.
    """

    def __init__(self, service: ClientService, reactor: Any) -> None:
        super().__init__()
        self._reactor = reactor
        service.setServiceParent(self)
        service.terminated().addCallback(self._ended)

    def startService(self) -> None:
        """Starts the client."""
        self._reactor.callWhenRunning(self._take_signals)
        super().startService()

    def _take_signals(self) -> None:
        """Makes SIGTERM and SIGINT a graceful end with exit status 0.

        Twisted's own handlers stop the reactor too, but then twistd kills itself with the signal.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._reactor.callFromThread(self._stop_reactor))

    def _ended(self, reason: object) -> None:
        if not is_normal(reason):
            atexit.register(_exit_abnormally)
        self._reactor.callWhenRunning(self._stop_reactor)

    def _stop_reactor(self) -> None:
        if self._reactor.running and not self._stopping:
            self._stopping = True
            self._reactor.stop()

    _stopping = False


def _exit_abnormally() -> None:
    """Makes the exit status of the process 1.

    twistd has none to give: it returns after the reactor has stopped, whatever happened. So this
    runs last, after its log and its pid file were cleaned up.
    """
    atexit.unregister(_exit_abnormally)
    atexit._run_exitfuncs()  # those registered before this one
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        if stream is not None:  # twistd had put its log in the place of the first two
            stream.flush()
    os._exit(1)


class DemoRunner(Runner):
    """Starts the demo's server first, and the client once that has its port."""

    def __init__(self, options: Options, reactor: IReactorCore) -> None:
        self._server = DemoServer(reactor)
        conn = options["conn"].replace(url=self._server.listen())
        super().__init__(options.make_service(conn), reactor)
        self._server.setServiceParent(self)


def makeService(options: Options) -> IService:
    """Makes the service that twistd runs."""
    from twisted.internet import reactor

    if options["demo"]:
        return DemoRunner(options, reactor)
    return Runner(options.make_service(options["conn"]), reactor)
