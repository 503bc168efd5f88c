"""The ``twistd wsx`` command: its options, and the service that twistd runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from getopt import GetoptError
from importlib import import_module
from typing import Any, ClassVar, Final

from twisted.application.service import IService
from twisted.python import usage

from wsx._compiled import compiled
from wsx._console.console import Console
from wsx._console.log import log_to_stderr
from wsx._console.options import ConsoleOptions
from wsx._console.runner import ConsoleRunner
from wsx._doctor.service import DoctorService
from wsx._text import escape, expected
from wsx._twistd import checks, command_line, config
from wsx._twistd.clients import client_spec
from wsx._twistd.cluster_options import ClusterOptions
from wsx._twistd.command_line import check_option
from wsx._twistd.config_error import ConfigError
from wsx._twistd.demo import DemoHandler
from wsx._twistd.demo_server import StandaloneServer
from wsx._twistd.invalid import InvalidValue
from wsx._twistd.option_texts import DEFAULTS, FLAGS, PARAMETERS
from wsx._twistd.runner import ConfigRunner, DemoRunner, Runner
from wsx._twistd.sources import Value, read_value
from wsx._version import __version__
from wsx.backoff import Backoff
from wsx.conn import Conn
from wsx.handler import Handler
from wsx.option_types import SSLOptions
from wsx.supervisor import Supervisor

__all__ = ["REPEATABLE", "WITH_DOCTOR", "Options", "makeService"]

_SOURCES: Final = ("url", "demo", "demo-server", "config")
_WITH_CONFIG: Final = {"config", "metrics"}
_WITH_DEMO_SERVER: Final = {"demo-server", "port"}
# The options for a connection. --doctor accepts those for later phases too, although they have no
# effect, so that the same connection can be tried with the same options.
WITH_DOCTOR: Final = {
    "doctor",
    "json",
    "url",
    "headers",
    "secret_headers",
    "header_variables",
    "subprotocols",
    "cacerts",
    "insecure",
    "certificate",
    "private-key",
    "proxy",
    "endpoint",
    "compression",
    "connect-timeout",
    "ping-interval",
    "ping-timeout",
    "data-timeout",
}
REPEATABLE: Final = {
    "headers": "header",
    "header_variables": "header-env",
    "secret_headers": "secret-header",
    "subprotocols": "subprotocol",
    "cacerts": "cacerts",
    "cluster": "cluster",
}
_NOT_GIVEN: Final[tuple[Any, ...]] = (None, 0, [])  # The values of options that were not given.
_DEMO_URL: Final = "ws://127.0.0.1/"  # The port is added once the demo server listens.


class Options(ClusterOptions, ConsoleOptions):
    """The command line of ``twistd wsx``.

    A wrong command line ends the process with one line on standard error and exit status 1, before
    anything is started.
    """

    synopsis = (
        "[options] (--url URL | --demo | --demo-server | --config FILE) [--handler module.Class]"
    )

    longdesc = (
        "Run a WebSocket client: connect, pass each message to your handler class, and reconnect "
        "when the connection is lost. Without --handler, twistd wsx is a console: it prints each "
        "message that it receives and sends each line of its standard input. After the end of the "
        "input it waits until no message has been received for one second, then closes the "
        "connection. The values of --url, --proxy, --header and --cluster may be @FILE or "
        "env:NAME, which reads them from a file or from an environment variable: other users of "
        "the machine can see the command line."
    )

    optFlags: ClassVar[list[Any]] = [[name, None, text] for name, text in FLAGS.items()]

    optParameters: ClassVar[list[Any]] = [
        [name, None, None, text] for name, text in PARAMETERS.items()
    ]

    def __init__(self) -> None:
        super().__init__()
        for key in REPEATABLE:
            self[key] = []

    def opt_header(self, header: str) -> None:
        """Add a header: 'Name: value'; or @FILE or env:NAME with headers. May be repeated."""
        self["headers"].append(header)

    def opt_secret_header(self, name: str) -> None:
        """Never show the value of the header with this name. May be repeated."""
        self["secret_headers"].append(name)

    def opt_subprotocol(self, name: str) -> None:
        """Offer this subprotocol. May be repeated."""
        self["subprotocols"].append(name)

    def opt_cacerts(self, path: str) -> None:
        """Trust the certificates in this PEM file, not the platform's. May be repeated."""
        self["cacerts"].append(path)

    def opt_version(self) -> None:
        """Display the version of wsx and exit."""
        print(f"wsx {__version__} ({'compiled' if compiled else 'pure Python'})")
        raise SystemExit(0)

    def parseOptions(self, options: Any = None) -> None:
        """Parse and check the command line.

        Args:
            options: The arguments, a list of str. Default: the arguments of the process.

        Raises:
            SystemExit: An argument is wrong. Python prints the message, one line, on standard
                error and exits with status 1.
        """
        arguments = sys.argv[1:] if options is None else list(options)
        try:
            super().parseOptions(arguments)
        except usage.UsageError as error:
            text = escape(self._explain(error, arguments))
            raise SystemExit(f"{self.command}: {text}") from None

    def _explain(self, error: usage.UsageError, arguments: list[str]) -> str:
        cause = error.__context__
        if not isinstance(cause, GetoptError):
            return self.with_url_name(str(error))
        known = [name.rstrip("=") for name in self.longOpt]
        return command_line.explain_getopt(cause, arguments, known, self.command)

    def parseArgs(self, *args: str) -> None:
        """Refuse arguments that are not options.

        Raises:
            usage.UsageError: There is an argument that is not an option.
        """
        if args:
            text = command_line.explain_argument(args[0], bool(self["headers"]))
            raise usage.UsageError(text)

    def postOptions(self) -> None:
        """Check the options and convert their values for :func:`makeService`.

        Raises:
            usage.UsageError: An option is wrong.
        """
        self._check_sources()
        self.check_console_options()
        self.choose_reactor()
        self._check_metrics()
        self._skip_pid_file()
        if self["demo-server"]:
            self._read_port()
        elif self["config"] is not None:
            self._load_config()
        elif self["doctor"]:
            self._read_doctor()
        else:
            self._read_client()

    def make_supervisor(self, conn: Conn) -> Supervisor:
        """Return the supervisor of the client.

        Args:
            conn: Where and how the client connects.
        """
        from twisted.internet import reactor

        fields = {} if self["restart"] is None else {"restart": self["restart"]}
        spec = client_spec(
            self["name"] or "client",
            conn,
            self["chosen_handler"],
            self["state"],
            self["client_options"],
            reactor,
            **fields,
        )
        return Supervisor(
            [spec],
            max_restarts=self["max-restarts"],
            max_seconds=self["max-seconds"],
            id="twistd wsx",
            auto_shutdown="all",
        )

    # What to run

    def _check_sources(self) -> None:
        given = [f"--{name}" for name in _SOURCES if self[name] not in _NOT_GIVEN]
        if len(given) != 1:
            text = expected(", ".join(f"--{name}" for name in _SOURCES), "one of them")
            raise usage.UsageError(f"{text}, got {' and '.join(given) or 'none'}")
        if self["port"] is not None and not self["demo-server"]:
            raise usage.UsageError(
                f"{expected('--port', '--demo-server as well')}, got only --port"
            )
        if self["json"] and not self["doctor"]:
            raise usage.UsageError(f"{expected('--json', '--doctor as well')}, got only --json")

    def _check_metrics(self) -> None:
        if self["metrics"] is None:
            return
        from twisted.internet import reactor

        try:
            import_module("wsx.prometheus")  # It needs a package that may not be installed.
        except ImportError as error:
            raise usage.UsageError(f"--metrics: {error}") from error
        check_option("metrics", checks.check_server_endpoint, self["metrics"], reactor)

    def _refuse_others(self, allowed: set[str], text: str) -> None:
        """Refuse all options but some."""
        for key in self:
            if self[key] not in _NOT_GIVEN and key not in allowed:
                raise usage.UsageError(f"{text}, got --{REPEATABLE.get(key, key)}")

    def _read_port(self) -> None:
        text = expected("--demo-server", "no other option except --port")
        self._refuse_others(_WITH_DEMO_SERVER, text)
        given = "8080" if self["port"] is None else self["port"]
        self["port"] = check_option("port", command_line.read_port, given)
        check_option("port", checks.check_port, self["port"])

    def _load_config(self) -> None:
        text = expected("--config", "no other option except --metrics")
        self._refuse_others(_WITH_CONFIG, text)
        from twisted.internet import reactor

        path = self["config"]
        try:
            self["tree"] = config.load(path, reactor)
        except ConfigError as error:
            raise usage.UsageError(error.on_command_line(path)) from error
        self["config"] = os.path.abspath(path)  # twistd may change the current directory.

    def _read_doctor(self) -> None:
        allowed = "no other option except --url, --json and those of a connection"
        self._refuse_others(WITH_DOCTOR, expected("--doctor", allowed))
        if self["url"] is None:
            raise usage.UsageError(f"{expected('--doctor', '--url as well')}, got only --doctor")
        if self.parent is not None and not self.parent["nodaemon"]:
            text = expected("--doctor", "the option -n of twistd, because it prints a report")
            raise usage.UsageError(text)
        self._read_values()
        self._check_tls_files()
        self["conn"] = self._make_conn()
        self._log_to_standard_error()

    def _skip_pid_file(self) -> None:
        """Write no ``twistd.pid`` with -n, so that several runs in one folder are possible.

        A file that the user names is written.
        """
        twistd = self.parent
        named = any(argument.startswith("--pidfile") for argument in sys.argv)
        if twistd is not None and twistd["nodaemon"] and not named:
            twistd["pidfile"] = ""

    # One client

    def _read_client(self) -> None:
        self._read_values()
        self._check_tls_files()
        self["client_name"] = self.read_client_name()
        self["chosen_handler"] = self._choose_handler()
        self["conn"] = self._make_conn()
        self["client_options"] = self._make_client_options()
        self._check_log_file()
        if self.is_console:
            self["chosen_handler"] = self.make_console()

    def _read_values(self) -> None:
        if self["reconnect"] and self["no-reconnect"]:
            text = expected("--reconnect, --no-reconnect", "at most one of them")
            raise usage.UsageError(f"{text}, got both")
        for name, read in command_line.READERS.items():
            given = self[name] is not None
            self[name] = check_option(name, read, self[name]) if given else DEFAULTS.get(name)
        self["headers"] = check_option("header", command_line.read_headers, self["headers"])
        for text in self["header_variables"]:
            pair = check_option("header-env", command_line.read_header_env, text)
            self["headers"].append(pair)
            self["secret_headers"].append(pair[0])
        names = self["secret_headers"]
        check_option("secret-header", command_line.check_secret_headers, names)
        check_option("subprotocol", command_line.check_subprotocols, self["subprotocols"])

    def _check_tls_files(self) -> None:
        certificate, key = self["certificate"], self["private-key"]
        for path in self["cacerts"]:
            check_option("cacerts", checks.check_certificates, path)
        if certificate is not None:
            check = checks.check_certificate_and_key if key is None else checks.check_certificates
            check_option("certificate", check, certificate)
        if key is not None:
            check_option("private-key", checks.check_private_key, key, certificate)

    def _choose_handler(self) -> type[Handler[Any]]:
        if self["handler"] is None:
            return DemoHandler if self["demo"] else Console
        return check_option("handler", checks.import_handler, self["handler"])

    def _make_conn(self) -> Conn:
        from twisted.internet import reactor

        url = _DEMO_URL if self["demo"] else self._read_secret("url", checks.check_url)
        proxy = self["proxy"]
        if proxy is not None:
            proxy = self._read_secret("proxy", checks.check_proxy)
        if self["endpoint"] is not None:
            check_option("endpoint", checks.check_client_endpoint, self["endpoint"], reactor)
        return Conn(
            url,
            extra_headers=self["headers"],
            secret_headers=self["secret_headers"],
            subprotocols=self["subprotocols"],
            insecure=bool(self["insecure"]),
            cacerts=self["cacerts"] or None,
            ssl_options=self._ssl_options(),
            endpoint=self["endpoint"],
            proxy=proxy,
            compression=self["compression"],
            ping_interval=self["ping-interval"],
            ping_timeout=self["ping-timeout"],
            data_timeout=self["data-timeout"],
            socket_connect_timeout=self["connect-timeout"],
        )

    def _read_secret(self, name: str, check: Callable[[str], None]) -> str:
        """Return a value that may be in a file or a variable; an error shows only its source."""
        value: Value = check_option(name, read_value, self[name])
        try:
            check(value.text)
        except InvalidValue as error:
            shown = error if value.source is None else error.shown_as(value.source)
            raise usage.UsageError(shown.about(f"--{name}")) from None
        return value.text

    def _ssl_options(self) -> SSLOptions | None:
        options: SSLOptions = {}
        if self["certificate"] is not None:
            options["certificate"] = self["certificate"]
        if self["private-key"] is not None:
            options["private_key"] = self["private-key"]
        return options or None

    def _make_client_options(self) -> dict[str, Any]:
        policy = None if self["no-reconnect"] else Backoff(max_attempts=self["max-attempts"])
        debug = list(self["debug"])
        if self["log-to-file"] is not None:
            debug.append(("log_to_file", os.path.abspath(self["log-to-file"])))
        limiter = self["connect-limit"]
        return {
            "name": self["client_name"],
            "reconnect": policy,
            "connect_limiter": limiter,
            "debug": debug,
            "callback_warning": self["callback-warning"],
            "callback_timeout": self["callback-timeout"],
        }

    def _check_log_file(self) -> None:
        """Check the log file. Call this last, because the check creates the file."""
        if self["log-to-file"] is not None:
            check_option("log-to-file", checks.check_log_file, self["log-to-file"])

    def _log_to_standard_error(self) -> None:
        """Send twistd's log to standard error, unless the user has chosen another destination."""
        twistd = self.parent
        if twistd is None or not twistd["nodaemon"]:
            return
        if not (twistd["logfile"] or twistd["logger"] or twistd.get("syslog")):
            twistd["logger"] = f"{log_to_stderr.__module__}.{log_to_stderr.__qualname__}"


def makeService(options: Options) -> IService:
    """Return the service that twistd runs.

    Args:
        options: The parsed command line.
    """
    from twisted.internet import reactor

    if options["demo-server"]:
        return StandaloneServer(options["port"], reactor)
    metrics = options["metrics"]
    if options["config"] is not None:
        return ConfigRunner(options["config"], options["tree"], reactor, metrics)
    conn = options["conn"]
    if options["doctor"]:
        return DoctorService(conn, reactor, as_json=bool(options["json"]))
    if options["demo"]:
        return DemoRunner(
            lambda url: options.make_supervisor(conn.replace(url=url)), reactor, metrics
        )
    supervisor = options.make_supervisor(conn)
    if not options.is_console:
        cluster = options["client_cluster"]
        return Runner(supervisor, reactor, metrics, [] if cluster is None else [cluster])
    runner = ConsoleRunner(
        options["chosen_handler"], supervisor, reactor, metrics, options["observer"]
    )
    runner.program = "wsx" if options.is_brief else "twistd"
    runner.ends_on_hangup = options.is_brief
    return runner
