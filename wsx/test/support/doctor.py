"""Base classes for examinations in memory."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from wsx import Conn
from wsx._doctor.examination import Examination
from wsx._doctor.findings import Findings
from wsx._doctor.phases import Timeline
from wsx._doctor.report import make_report
from wsx._wire import handshake
from wsx.test.support.cases import URL
from wsx.test.support.memory import MemoryServer, MemoryTransport, Peer
from wsx.test.support.network import NetworkReactor
from wsx.test.support.tls import SecureServer
from wsx.test.support.wire import read_frames, server_frame

PONG = 0xA


def make_findings(url: str = URL, **options: Any) -> Findings:
    """Return findings without observations."""
    return Findings(Conn(url, **options), Timeline(lambda: 0.0))


class DoctorCase(SynchronousTestCase):
    """Base class for tests of examinations in memory.

    Attributes:
        reactor: The reactor of the examinations.
        server: The endpoint of the examinations, unless they have another one.
    """

    def setUp(self) -> None:
        self.reactor = NetworkReactor()
        self.server = MemoryServer(self.reactor)

    def examine(self, url: str = URL, **options: Any) -> Examination:
        """Start an examination."""
        conn = Conn(url, **({"endpoint": self.server} | options))
        self.examination = Examination(conn, self.reactor)
        self.examination.start()
        return self.examination

    def examine_network(self, url: str = URL, **options: Any) -> Examination:
        """Start an examination that uses the names and addresses of the reactor."""
        return self.examine(url, endpoint=None, **options)

    @property
    def peer(self) -> Peer:
        """The server's side of the last connection."""
        return self.server.peer

    def step(self) -> None:
        """Run several reactor iterations without advancing the time."""
        for _ in range(10):
            self.reactor.advance(0)

    def answer_ping(self) -> None:
        """Answer the first ping."""
        ((_, payload),) = self.peer.received()
        self.peer.send(server_frame(PONG, payload))

    def succeed(self, **options: Any) -> dict[str, Any]:
        """Let all phases pass, and return the report."""
        self.examine(**options)
        self.peer.answer()
        self.answer_ping()
        return self.report()

    def report(self) -> dict[str, Any]:
        """Return the report of the examination, which must be over."""
        self.assertTrue(self.examination.done.called, "the examination is not over")
        return make_report(self.examination.findings)

    def problem(self) -> tuple[str, str, str, str]:
        """Return phase, code, explanation and suggestion of a failed examination."""
        problem = self.report()["problem"]
        return problem["phase"], problem["code"], problem["explanation"], problem["suggestion"]

    def assert_problem(self, phase: str, code: str, *parts: str) -> None:
        """Assert which problem was found, and that its texts contain these parts."""
        found = self.problem()
        self.assertEqual(found[:2], (phase, code), found)
        for part in parts:
            self.assertIn(part, f"{found[2]} -> {found[3]}")

    def statuses(self) -> list[str]:
        """Return the statuses of the phases, in order."""
        return [phase["status"] for phase in self.report()["phases"]]


class SecureCase(DoctorCase):
    """Base class for examinations of in-memory servers with TLS."""

    def examine_tls(self, options: Any, **others: Any) -> Examination:
        """Examine a server with these TLS options, and let both sides exchange their bytes."""
        self.secure = SecureServer(self.reactor, options)
        url = others.pop("url", "wss://example.test/")
        examination = self.examine(url, **({"endpoint": self.secure} | others))
        self.secure.flush()
        self.step()
        self.secure.flush()
        return examination

    def accept_tls(self) -> None:
        """Complete the opening handshake, and answer the ping."""
        reader = Peer(None, self.reactor)
        reader.transport = MemoryTransport(self.reactor)
        reader.transport.write(bytes(self.secure.app.received))
        accept = handshake.accept_value(reader.request[1]["sec-websocket-key"])
        head = (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n\r\n"
        )
        self._exchange(head.encode())
        ((_, payload),) = read_frames(bytes(self.secure.app.received))
        self._exchange(server_frame(PONG, payload))

    def _exchange(self, data: bytes) -> None:
        self.secure.app.received.clear()
        self.secure.app_transport.write(data)
        self.secure.flush()
        self.step()
        self.secure.flush()
