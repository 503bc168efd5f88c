"""Tests of wsx._twistd.command_line: the values, and the messages for wrong ones."""

from __future__ import annotations

import socket
from typing import Any

from wsx._twistd.command_line import READERS, check_subprotocols, read_headers
from wsx._twistd.invalid import InvalidValue
from wsx.test.support import URL
from wsx.test.support.each import each
from wsx.test.support.sockets import HOST, SocketCase
from wsx.test.support.twistd import HANDLERS, OptionsCase

SECRET = "s3cr3t"
ONE_OF = "--url, --demo, --demo-server, --config: expected one of them, got"
NOT_BESIDE = "--config: expected no other option except --metrics, got"
SECONDS = "a number above 0"
OR_NONE = 'a number above 0 or "none"'
COUNT = "a whole number of at least 0"
PEM = "a PEM file of certificates"

# Command lines without --url, each with its message.
ALONE = [
    ([], f"{ONE_OF} none"),
    (["--state", "1"], f"{ONE_OF} none"),
    (["--url", URL, "--demo"], f"{ONE_OF} --url and --demo"),
    (["--url", URL, "--config", "good.toml"], f"{ONE_OF} --url and --config"),
    (["--demo", "--config", "good.toml"], f"{ONE_OF} --demo and --config"),
    (["--url"], "--url: expected a value, got nothing"),
    (["--demo=1"], '--demo: expected no value, got "1"'),
    (["--name", "demo", "--insec=1"], '--insecure: expected no value, got "1"'),
    (["--url", ""], '--url: expected a WebSocket URL, got "": '),
    (["--url", "example.test"], '--url: expected a WebSocket URL, got "example.test": '),
    (["--url", "ftp://a.test/"], '--url: expected a WebSocket URL, got "ftp://a.test/": '),
    (["--url", "ws://"], '--url: expected a WebSocket URL, got "ws://": no host'),
    (["--url", "ws://a.test:99999"], '--url: expected a WebSocket URL, got "ws://a.test:99999": '),
    (["--url", "ws://a.test/#x"], '--url: expected a WebSocket URL, got "ws://a.test/#...": '),
    (["--url", "ws://a b.test"], '--url: expected a WebSocket URL, got "ws://a b.test": '),
    (["--url", "ws://[zz]/"], '--url: expected a WebSocket URL, got "ws://[zz]/": '),
    (["--config", "none.toml"], '--config: expected a TOML file, got "none.toml": No such file'),
    (["--config", ""], '--config: expected a TOML file, got "": No such file'),
    (["--config", "."], '--config: expected a TOML file, got ".": Is a directory'),
    (["--config", "bad.toml"], '--config: expected a TOML file, got "bad.toml": not valid TOML: '),
    (["--config", "key.toml"], "key.toml: clients.feed.ulr: unknown key (did you mean url?)"),
    (
        ["--config", "value.toml"],
        'value.toml: clients.feed.ping_interval: expected a number above 0 or false, got "x"',
    ),
    (["--config", "good.toml", "--name", "x"], f"{NOT_BESIDE} --name"),
    (["--config", "good.toml", "--header", "A: 1"], f"{NOT_BESIDE} --header"),
]

# Command lines with a good --url, each with its message.
BESIDE_URL = [
    (["--nonsense"], "--nonsense: unknown option ("),
    (["--nonsense", "x"], "--nonsense: unknown option ("),
    (["--handle", "a.B", "--heder", "A: 1"], "--heder: unknown option (did you mean --header?)"),
    (["--max", "1"], "--max: ambiguous option ("),
    (["-x"], "-x: unknown option ("),
    (["surplus"], 'arguments: expected options only, got "surplus"'),
    (["ws://a.test"], 'arguments: expected options only, got "ws://a.test": use --url'),
    (
        ["--reconnect", "--no-reconnect"],
        "--reconnect, --no-reconnect: expected at most one of them, got both",
    ),
    (["--handler", "echo"], '--handler: expected "module.Class", got "echo"'),
    (["--handler", ""], '--handler: expected "module.Class", got ""'),
    (["--handler", "..x"], '--handler: expected "module.Class", got "..x"'),
    (
        ["--handler", "no_such_module.Feed"],
        '--handler: expected a class that can be imported, got "no_such_module.Feed": '
        "ModuleNotFoundError: No module named 'no_such_module'",
    ),
    (
        ["--handler", f"{HANDLERS}.Missing"],
        f'--handler: expected a class that can be imported, got "{HANDLERS}.Missing": Attribute',
    ),
    (
        ["--handler", "raising.Feed"],
        '--handler: expected a class that can be imported, got "raising.Feed": '
        "ValueError: first second",
    ),
    (
        ["--handler", "json.loads"],
        '--handler: expected a subclass of wsx.Handler, got "json.loads": it has type function',
    ),
    (
        ["--handler", f"{HANDLERS}.NoHandler"],
        f'--handler: expected a subclass of wsx.Handler, got "{HANDLERS}.NoHandler": ',
    ),
    (
        ["--handler", f"{HANDLERS}.Demanding"],
        f'--handler: expected a class that takes no arguments, got "{HANDLERS}.Demanding": missing',
    ),
    (["--state", "{"], '--state: expected JSON, got "...": Expecting property name'),
    (["--state", ""], '--state: expected JSON, got "...": Expecting value'),
    (["--state", "[" * 200_000], '--state: expected JSON, got "...": it is nested too deeply'),
    (["--header", "X"], '--header: expected "Name: value", got "X"'),
    (["--header", f"X {SECRET}"], '--header: expected "Name: value", got "X ..."'),
    (["--header", f"X={SECRET}"], '--header: expected "Name: value", got "X ..."'),
    (["--header", SECRET], '--header: expected "Name: value", got "..."'),
    (["--header", f": {SECRET}"], '--header: expected "Name: value", got "...": '),
    (["--header", f"A b: {SECRET}"], '--header: expected "Name: value", got "A ...": '),
    (
        ["--header", f"X-1: {SECRET}\nY"],
        '--header: expected "Name: value", got "X-1: ...": ',
    ),
    (["--header", f"A: {SECRET}€"], '--header: expected "Name: value", got "A: ...": '),
    (["--header", "Upgrade: h2c"], '--header: expected "Name: value", got "Upgrade: ...": '),
    (["--header", "A: 1", "--header", "X"], '--header: expected "Name: value", got "X"'),
    (["--header", "A:", SECRET], 'arguments: expected options only, got "...": quote the value'),
    (
        ["--subprotocol", "a b"],
        '--subprotocol: expected a token (RFC 9110 section 5.6.2), got "a b"',
    ),
    (
        ["--subprotocol", "a", "--subprotocol", "a"],
        '--subprotocol: expected each name once, got "a"',
    ),
    (["--name", ""], '--name: expected a name that is not empty, got ""'),
    (["--max-attempts", "x"], f'--max-attempts: expected {COUNT}, got "x"'),
    (["--max-attempts", "-1"], f'--max-attempts: expected {COUNT}, got "-1"'),
    (["--max-attempts", "1.5"], f'--max-attempts: expected {COUNT}, got "1.5"'),
    (["--ping-interval", "x"], f'--ping-interval: expected {OR_NONE}, got "x"'),
    (["--ping-interval", "0"], f'--ping-interval: expected {OR_NONE}, got "0"'),
    (["--ping-timeout", "nan"], f'--ping-timeout: expected {OR_NONE}, got "nan"'),
    (["--data-timeout", "inf"], f'--data-timeout: expected {OR_NONE}, got "inf"'),
    (["--callback-warning", "0"], f'--callback-warning: expected {OR_NONE}, got "0"'),
    (["--callback-timeout", "x"], f'--callback-timeout: expected {OR_NONE}, got "x"'),
    (["--connect-timeout", "none"], f'--connect-timeout: expected {SECONDS}, got "none"'),
    (["--max-restarts", "-1"], f'--max-restarts: expected {COUNT}, got "-1"'),
    (["--max-restarts", "1" * 5000], f'--max-restarts: expected {COUNT}, got "111'),
    (
        ["--connect-limit", "300"],
        '--connect-limit: expected N/SECONDS, two numbers above 0 such as 300/60, got "300"',
    ),
    (["--max-seconds", "0"], f'--max-seconds: expected {SECONDS}, got "0"'),
    (["--debug", "loud"], '--debug: expected "trace", "log", "log:N" or "statistics", got "loud"'),
    (["--debug", "trace,log:0"], '"statistics", got "log:0"'),
    (["--debug", "trace:1"], '"statistics", got "trace:1"'),
    (
        ["--restart", "often"],
        '--restart: expected "permanent", "transient" or "temporary", got "often"',
    ),
    (["--compression", "zip"], '--compression: expected "deflate", got "zip"'),
    (["--endpoint", "nonsense"], "--endpoint: expected a Twisted client endpoint such as "),
    (["--endpoint", "tcp:a:b"], 'tcp:localhost:8080, got "tcp:a:b"'),
    (["--proxy", "nonsense"], '--proxy: expected http://[user:password@]host:port, got "nonsense"'),
    (["--proxy", f"socks5://u:{SECRET}@h:1"], 'host:port, got "socks5://u:...@h:1"'),
    (["--proxy", f"http://u:{SECRET}@"], 'host:port, got "http://u:...@": no host'),
    (["--cacerts", "none.pem"], f'--cacerts: expected {PEM}, got "none.pem": No such file'),
    (["--cacerts", "empty.pem"], f'--cacerts: expected {PEM}, got "empty.pem": '),
    (["--certificate", "none.pem"], f'--certificate: expected {PEM}, got "none.pem": No such file'),
    (
        ["--certificate", "own.pem"],
        '--certificate: expected a PEM file of a certificate and its private key, got "own.pem": ',
    ),
    (
        ["--private-key", "key.pem"],
        '--private-key: expected a certificate as well, got "key.pem"',
    ),
    (
        ["--certificate", "own.pem", "--private-key", "other.pem"],
        '--private-key: expected a PEM file of the certificate\'s private key, got "other.pem": ',
    ),
    (["--log-to-file", "none/log"], 'expected a file that can be written, got "none/log": No such'),
    (["--log-to-file", "."], 'expected a file that can be written, got ".": Is a directory'),
    (["--metrics", "nonsense"], "--metrics: expected a Twisted server endpoint such as "),
    (["--metrics", "tcp:port"], 'such as tcp:9100, got "tcp:port"'),
]


class MessageTests(OptionsCase):
    """Each wrong command line is one line that names the option and what was given."""

    def setUp(self) -> None:
        super().setUp()
        needed = f'url = "{URL}"\nhandler = "{HANDLERS}.Feed"\n'
        self.write("good.toml", f"[clients.feed]\n{needed}")
        self.write("bad.toml", "nonsense\n")
        self.write("key.toml", f"[clients.feed]\nulr = 1\n{needed}")
        self.write("value.toml", f'[clients.feed]\nping_interval = "x"\n{needed}')
        self.write("raising.py", "raise ValueError('first\\nsecond')\n")
        self.write("empty.pem", "")
        leaf, other = SocketCase.leaf, SocketCase.ca.issue_cert("other.test")
        self.write("own.pem", leaf.cert_chain_pems[0].bytes().decode())
        self.write("key.pem", leaf.private_key_pem.bytes().decode())
        self.write("other.pem", other.private_key_pem.bytes().decode())

    def assert_message(self, arguments: list[str], message: str) -> None:
        """Assert that a command line is refused with a message that contains a text."""
        line = self.refusal(*arguments)
        self.assertIn(message, line)
        self.assertNotIn(SECRET, line)
        self.assertNotIn("Traceback", line)
        self.assertLess(len(line), 500)

    @each([(str(number), *row) for number, row in enumerate(ALONE)])
    def test_alone(self, _: str, arguments: list[str], message: str) -> None:
        """The message for a command line without --url."""
        self.assert_message(arguments, message)

    @each([(str(number), *row) for number, row in enumerate(BESIDE_URL)])
    def test_beside_url(self, _: str, arguments: list[str], message: str) -> None:
        """The message for a command line with a good --url."""
        self.assert_message(["--url", URL, *arguments], message)

    def test_secret_url(self) -> None:
        """A password and the values of a query are not shown."""
        url = f"ws://user:{SECRET}@a.test:port/?token={SECRET}"
        self.assert_message(["--url", url], 'got "ws://user:...@a.test:.../?token=..."')

    def test_secret_argument(self) -> None:
        """Nor is the password of a URL without --url."""
        message = 'arguments: expected options only, got "ws://user:...@a.test/": use --url'
        self.assert_message([f"ws://user:{SECRET}@a.test/"], message)

    def test_port_in_use(self) -> None:
        """A port for metrics that is in use is found before anything is started."""
        with socket.create_server((HOST, 0)) as taken:
            endpoint = f"tcp:{taken.getsockname()[1]}:interface={HOST}"
            message = f'--metrics: expected an endpoint that can listen, got "{endpoint}": Address'
            self.assert_message(["--url", URL, "--metrics", endpoint], message)


class ReaderTests(OptionsCase):
    """The values of texts."""

    @each(
        [
            ("state", '{"a": [1, null]}', {"a": [1, None]}),
            ("compression", "deflate", "deflate"),
            ("name", "feed", "feed"),
            ("max-attempts", "0", 0),
            ("max-restarts", "7", 7),
            ("max-seconds", "2.5", 2.5),
            ("connect-timeout", "1", 1.0),
            ("ping-interval", "1.5", 1.5),
            ("ping-timeout", "none", None),
            ("data-timeout", "none", None),
            ("callback-warning", "none", None),
            ("callback-timeout", "60", 60.0),
            ("debug", "trace, log:5,,statistics", ["trace", ("log", 5), "statistics"]),
            ("restart", "permanent", "permanent"),
        ]
    )
    def test_values(self, name: str, text: str, value: Any) -> None:
        """Each reader returns the value of its option."""
        self.assertEqual(READERS[name](text), value)

    def test_connect_limit(self) -> None:
        """--connect-limit is the number of attempts, a slash and the seconds."""
        limiter = READERS["connect-limit"]("300/60.5")
        self.assertEqual(repr(limiter), "ConnectLimiter(per_host=300, per_seconds=60.5)")

    def test_headers(self) -> None:
        """A header is split at its first colon, and stripped."""
        self.assertEqual(
            read_headers(["A: 1", "B:b: c ", "C:"]), [("A", "1"), ("B", "b: c"), ("C", "")]
        )

    def test_subprotocols(self) -> None:
        """Subprotocols are tokens, each once."""
        check_subprotocols([])
        check_subprotocols(["a", "b"])
        self.assertRaises(InvalidValue, check_subprotocols, ["a", "b", "a"])
