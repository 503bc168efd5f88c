"""Tests of wsx._twistd.checks: what is checked before anything is started."""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

from twisted.internet.task import Clock

import wsx
from wsx._twistd import checks
from wsx._twistd.invalid import InvalidValue
from wsx.test.support.each import each
from wsx.test.support.sockets import HOST, SocketCase
from wsx.test.support.twistd import HANDLERS, Feed, OptionsCase


class ChecksCase(OptionsCase):
    """Tests in a directory of their own."""

    def about(self, check: Any, *arguments: Any) -> str:
        """Return the message of a check that fails."""
        return self.assertRaises(InvalidValue, check, *arguments).about("value")


class URLTests(ChecksCase):
    """URLs of servers and proxies."""

    def test_valid(self) -> None:
        """Valid URLs pass."""
        for url in ("ws://a.test", "wss://u:p@[::1]:8443/x?y=1"):
            checks.check_url(url)
        checks.check_proxy("http://u:p@proxy.test:3128")

    def test_types(self) -> None:
        """Any other type than str is refused, and its content not shown."""
        for check in (checks.check_url, checks.check_proxy):
            self.assertRegex(self.about(check, ["ws://u:s3cr3t@a.test"]), "got list$")
            self.assertRegex(self.about(check, 7), "got 7$")

    def test_proxy(self) -> None:
        """What was expected of a proxy is not repeated; another reason is shown."""
        expected = "value: expected http://[user:password@]host:port, got "
        self.assertEqual(self.about(checks.check_proxy, "a:1"), f'{expected}"a:1"')
        self.assertEqual(self.about(checks.check_proxy, "http://"), f'{expected}"http://": no host')


class HandlerTests(ChecksCase):
    """The import of a handler."""

    def test_imported(self) -> None:
        """The class is returned."""
        self.assertIs(checks.import_handler(f"{HANDLERS}.Feed"), Feed)

    def test_current_directory(self) -> None:
        """A module in the current directory is found, and the directory added to the path once."""
        self.write("checks_local_module.py", "from wsx import Handler\nclass Feed(Handler): pass\n")
        for _ in range(2):
            found = checks.import_handler("checks_local_module.Feed")
            self.assertTrue(issubclass(found, wsx.Handler))
        self.assertEqual(sys.path.count(os.getcwd()), 1)

    @each(["", "Feed", ".Feed", "module.", "..x", "a..b", 7, None])
    def test_names(self, name: object) -> None:
        """A name has a module and a class."""
        self.assertIn('expected "module.Class", got ', self.about(checks.import_handler, name))

    def test_exits(self) -> None:
        """A module that exits when it is imported does not end the process."""
        self.write("checks_exit.py", "import sys\nsys.exit(3)\n")
        message = self.about(checks.import_handler, "checks_exit.Feed")
        self.assertTrue(message.endswith('got "checks_exit.Feed": SystemExit: 3'), message)


class PemFileTests(ChecksCase):
    """PEM files and log files."""

    def setUp(self) -> None:
        super().setUp()
        leaf = SocketCase.leaf
        self.own = leaf.cert_chain_pems[0].bytes().decode()
        self.key = leaf.private_key_pem.bytes().decode()
        self.write("own.pem", self.own)
        self.write("key.pem", self.key)
        self.write("both.pem", self.own + self.key)

    def test_valid(self) -> None:
        """Certificates, and a key in the same file or in one of its own, pass."""
        checks.check_certificates("own.pem")
        checks.check_certificate_and_key("both.pem")
        checks.check_private_key("key.pem", "own.pem")
        checks.check_ssl_options({"certificate": "own.pem", "private_key": "key.pem"})

    def test_no_key(self) -> None:
        """A file without the key is not one of a certificate and its key."""
        message = self.about(checks.check_certificate_and_key, "own.pem")
        self.assertIn('certificate and its private key, got "own.pem": ', message)

    def test_no_certificate(self) -> None:
        """A key without a certificate, or in the place of one, is refused."""
        self.assertIn("a certificate as well", self.about(checks.check_private_key, "x", None))
        self.assertIn('got "key.pem": ', self.about(checks.check_certificates, "key.pem"))

    def test_ssl_options(self) -> None:
        """Options that cannot be used are not shown: a secret may be among them."""
        options = {"server_name": "a.test", "alpn": ["s3cr3t-\xe9"]}
        message = self.about(checks.check_ssl_options, options)
        self.assertTrue(message.startswith("value: expected options for TLS, got dict: "), message)
        self.assertNotIn("s3cr3t", message)

    def test_log_file(self) -> None:
        """A log file is created, and keeps its content."""
        checks.check_log_file("new.log")
        self.write("old.log", "before\n")
        checks.check_log_file("old.log")
        with open("old.log") as old, open("new.log") as new:
            self.assertEqual((old.read(), new.read()), ("before\n", ""))
        self.assertIn("null byte", self.about(checks.check_log_file, "a\0b"))


class EndpointTests(ChecksCase):
    """Endpoints of clients and servers."""

    def test_client(self) -> None:
        """A client endpoint is parsed."""
        checks.check_client_endpoint("tcp:localhost:99", Clock())
        for description in ("", "nonsense", "tcp:a", "tcp:a:b", ":"):
            message = self.about(checks.check_client_endpoint, description, Clock())
            self.assertTrue(message.endswith(f'tcp:localhost:8080, got "{description}"'), message)

    def test_server(self) -> None:
        """A server endpoint is parsed; its port is free again after the check."""
        with socket.create_server((HOST, 0)) as free:
            port = free.getsockname()[1]
        for _ in range(2):
            checks.check_server_endpoint(f"tcp:{port}:interface={HOST}", Clock())
        for description in ("", "nonsense", "tcp", "tcp:port"):
            message = self.about(checks.check_server_endpoint, description, Clock())
            self.assertTrue(message.endswith(f'tcp:9100, got "{description}"'), message)

    def test_taken(self) -> None:
        """A port that is in use is refused, with IPv4 and IPv6."""
        for host, family in ((HOST, socket.AF_INET), ("::1", socket.AF_INET6)):
            with socket.create_server((host, 0), family=family) as taken:
                port = taken.getsockname()[1]
                description = f"tcp:{port}:interface={host.replace(':', chr(92) + ':')}"
                message = self.about(checks.check_server_endpoint, description, Clock())
            self.assertIn("expected an endpoint that can listen, got ", message)
            self.assertIn("Address already in use", message)

    def test_other_endpoints(self) -> None:
        """Endpoints that are not TCP are not probed: nothing is created."""
        checks.check_server_endpoint("unix:metrics.sock", Clock())
        self.assertFalse(os.path.exists("metrics.sock"))
