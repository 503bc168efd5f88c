"""Tests of wsx._doctor.command: python -m wsx doctor."""

from __future__ import annotations

import json
import os
import sys
from io import StringIO
from typing import Any

import twisted.internet

from wsx._doctor import command
from wsx._doctor.command import DoctorOptions, main
from wsx._doctor.examination import Examination
from wsx.test.support.doctor import PONG, DoctorCase
from wsx.test.support.memory import Peer
from wsx.test.support.sockets import HOST, SocketCase, global_reactor
from wsx.test.support.twistd import OptionsCase
from wsx.test.support.wire import server_frame

URL = "ws://192.0.2.1/"


def parse(*arguments: str) -> DoctorOptions:
    """Parse the arguments after ``doctor``."""
    options = DoctorOptions()
    options.parseOptions(list(arguments))
    return options


class OptionTests(OptionsCase):
    """The command line."""

    def test_url(self) -> None:
        """The URL comes before, between or after the options."""
        for arguments in (
            [URL, "--insecure", "--header", "A: b"],
            ["--insecure", URL, "--header", "A: b"],
            ["--insecure", "--header=A: b", URL],
            ["--insecure", "--header", "A: b", "--", URL],
        ):
            conn = parse(*arguments)["conn"]
            self.assertEqual((conn.url, conn.insecure), (URL, True))
            self.assertEqual(conn.extra_headers, (("A", "b"),))

    def test_connection_options(self) -> None:
        """The options of a connection."""
        conn = parse(
            URL,
            *("--proxy", "http://192.0.2.7:3128"),
            *("--subprotocol", "chat"),
            *("--subprotocol", "news"),
            *("--endpoint", "tcp:192.0.2.9:80"),
            *("--compression", "deflate"),
            *("--connect-timeout", "3"),
            *("--ping-timeout", "4"),
            *("--secret-header", "Tenant"),
        )["conn"]
        self.assertEqual(conn.proxy, "http://192.0.2.7:3128")
        self.assertEqual(conn.subprotocols, ("chat", "news"))
        self.assertEqual(conn.endpoint, "tcp:192.0.2.9:80")
        self.assertEqual(conn.compression, "deflate")
        self.assertEqual((conn.socket_connect_timeout, conn.ping_timeout), (3, 4))
        self.assertEqual(conn.secret_headers, ("Tenant",))

    def test_sources(self) -> None:
        """The URL may be in a file."""
        self.write("url", f"{URL}\n")
        self.assertEqual(parse("@url")["conn"].url, URL)

    def test_header_env(self) -> None:
        """The value of a header may be in an environment variable, and is a secret."""
        self.patch(os, "environ", os.environ | {"TENANT": "hushhush"})
        conn = parse(URL, "--header-env", "X-Tenant=TENANT")["conn"]
        self.assertEqual(conn.extra_headers, (("X-Tenant", "hushhush"),))
        self.assertNotIn("hushhush", repr(conn))

    def test_wrong(self) -> None:
        """A wrong command line: one line."""
        for arguments, part in (
            ([], "URL: expected one URL, got none"),
            ([URL, "ws://me:hushhush@b/"], "expected one URL, got ws://192.0.2.1/ and ws://me:..."),
            (["ftp://example.test"], 'URL: expected a WebSocket URL, got "ftp://example.test"'),
            ([URL, "--handler", "a.B"], "--handler: unknown option"),
            ([URL, "--cacerts", "none.pem"], "--cacerts: expected a PEM file"),
            ([URL, "--proxy", "x"], "--proxy: expected http://"),
            ([URL, "--connect-timeout", "0"], "--connect-timeout: expected a number above 0"),
            ([URL, "--quiet"], '"python -m wsx doctor --help" lists the options'),
            ([URL, "--json=1"], "--json: expected no value"),
        ):
            line = str(self.assertRaises(SystemExit, main, arguments).code)
            self.assertNotIn("\n", line)
            self.assertTrue(line.startswith("python -m wsx doctor: "), line)
            self.assertIn(part, line)
            self.assertNotIn("hushhush", line)

    def test_help(self) -> None:
        """--help lists the options of a connection only."""
        error = self.assertRaises(SystemExit, main, ["--help"])
        self.assertEqual(error.code, 0)
        self.assertIn("--header", self.output.getvalue())
        self.assertNotIn("--handler", self.output.getvalue())


class RunTests(DoctorCase):
    """Running the reactor."""

    def setUp(self) -> None:
        super().setUp()
        self.printed = StringIO()
        self.patch(sys, "__stdout__", self.printed)
        global_reactor()  # Import the reactor now, so that it can be replaced.
        self.patch(twisted.internet, "reactor", self.reactor)
        self.stops = 0
        self.patch(self.reactor, "stop", self.stop)
        self.patch(command, "Examination", self.make_examination)

    def stop(self) -> None:
        """Count the calls of ``reactor.stop``."""
        self.stops += 1

    def make_examination(self, *arguments: Any) -> Examination:
        """Remember the examination."""
        self.examination = Examination(*arguments)
        return self.examination

    def run_main(self, run: Any, *arguments: str) -> int:
        """Return the exit status of a run during which a function plays the network."""
        hooks: list[Any] = []
        self.patch(self.reactor, "callWhenRunning", hooks.append)

        def run_reactor() -> None:
            self.reactor.running = True
            for hook in hooks:
                hook()
            run()

        self.patch(self.reactor, "run", run_reactor)
        return main([URL, *arguments])

    def accept(self) -> None:
        """Accept the connection, and answer everything."""
        peer: Peer = self.reactor.accept()
        peer.answer()
        ((_, payload),) = peer.received()
        peer.send(server_frame(PONG, payload))
        peer.drop()

    def test_passed(self) -> None:
        """The exit status is 0 if all phases have passed."""
        self.assertEqual(self.run_main(self.accept), 0)
        self.assertIn("all phases passed", self.printed.getvalue())
        self.assertEqual(self.stops, 1)

    def test_failed(self) -> None:
        """The exit status is 1 if a phase has failed."""
        self.assertEqual(self.run_main(self.reactor.refuse, "--json"), 1)
        report = json.loads(self.printed.getvalue())
        self.assertEqual(report["problem"]["code"], "connection_refused")
        self.assertEqual(self.stops, 1)

    def test_interrupted(self) -> None:
        """A signal stops the reactor; the report shows the phase."""

        def interrupt() -> None:
            self.reactor.running = False
            for function, _, _ in self.reactor.triggers["before"]["shutdown"]:
                function()

        self.assertEqual(self.run_main(interrupt), 1)
        self.assertIn("TCP: the examination was interrupted", self.printed.getvalue())
        self.assertEqual(self.stops, 0)


class LoopbackTests(SocketCase):
    """Examinations on the real reactor, with servers on loopback sockets."""

    async def examine(self, url: str, *arguments: str) -> Examination:
        """Return an examination that is over."""
        conn = parse(url, *arguments)["conn"].replace(cacerts=self.ca.cert_pem.bytes())
        examination = Examination(conn, global_reactor())
        await examination.start()
        await examination.ended
        return examination

    async def test_plain(self) -> None:
        """A server without TLS passes; the ping has a round trip time."""
        findings = (await self.examine(self.serve().url())).findings
        self.assertTrue(findings.passed, findings.reason)
        self.assertGreater(findings.timeline.phases["ping"].seconds or 0.0, 0.0)

    async def test_tls(self) -> None:
        """A server with TLS passes."""
        server = self.serve(tls=self.server_context())
        findings = (await self.examine(server.url())).findings
        self.assertTrue(findings.passed, findings.reason)
        assert findings.session is not None
        self.assertEqual(findings.session.version, "TLSv1.3")

    async def test_name(self) -> None:
        """The name localhost is looked up."""
        port = self.serve().port
        findings = (await self.examine(f"ws://localhost:{port}/")).findings
        self.assertTrue(findings.passed, findings.reason)
        self.assertIn(HOST, findings.addresses)
        self.assertIn(f"{HOST}:{port}", [a.address for a in findings.attempts if a.connected])

    async def test_tls_server_on_ws(self) -> None:
        """A server with TLS does not answer ws://."""
        server = self.serve(tls=self.server_context())
        examination = await self.examine(f"ws://{HOST}:{server.port}/")
        self.assertEqual(examination.findings.failed_in, "opening_handshake")

    async def test_plain_server_on_wss(self) -> None:
        """A server without TLS does not answer wss://."""
        examination = await self.examine(f"wss://{HOST}:{self.serve().port}/")
        self.assertEqual(examination.findings.failed_in, "tls")
