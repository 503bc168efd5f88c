"""Tests of wsx._doctor.examination: phases, ping, and the end of the connection."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import ISSLTransport
from twisted.internet.testing import StringTransport
from zope.interface import alsoProvides

from wsx import ConnectionDropped, FrameError, PingTimeout, RemoteClose
from wsx._doctor.examination import PAYLOAD, Interrupted
from wsx._transport import tls
from wsx.test.support.doctor import PONG, DoctorCase, SecureCase
from wsx.test.support.extras import Once, trustme
from wsx.test.support.tls import server_options
from wsx.test.support.wire import close, server_frame, text


class PhaseTests(DoctorCase):
    """The phases of an examination."""

    def test_all_with_a_name(self) -> None:
        """A name, without proxy and TLS."""
        self.reactor.names.table["example.test"] = ["192.0.2.1"]
        self.examine_network("ws://example.test/")
        self.reactor.advance(0.5)
        peer = self.reactor.accept()
        self.reactor.advance(0.25)
        peer.answer()
        self.reactor.advance(0.125)
        peer.received()
        peer.send(server_frame(PONG, PAYLOAD))
        phases = self.report()["phases"]
        self.assertEqual(
            [(phase["status"], phase["seconds"]) for phase in phases],
            [
                ("passed", 0),
                ("passed", 0.5),
                ("skipped", None),
                ("skipped", None),
                ("passed", 0.25),
                ("passed", 0.125),
            ],
        )
        self.assertEqual(phases[0]["addresses"], ["192.0.2.1"])

    def test_proxy(self) -> None:
        """The proxy is a phase of its own."""
        self.examine(proxy="http://proxy.test:3128")
        self.reactor.advance(1)
        self.peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        self.peer.transport.clear()
        self.examination.interrupt()
        found = ["skipped", "passed", "passed", "skipped", "failed", "not_reached"]
        self.assertEqual(self.statuses(), found)
        self.assertEqual(self.report()["phases"][2]["seconds"], 1)

    def test_no_dns_for_an_address(self) -> None:
        """An address in the URL needs no DNS lookup."""
        self.examine_network("ws://192.0.2.1/")
        self.reactor.refuse()
        self.assertEqual(self.statuses()[:2], ["skipped", "failed"])

    def test_several_addresses(self) -> None:
        """Each address has a time and a result of its own."""
        self.reactor.names.table["example.test"] = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
        self.examine_network("ws://example.test/")
        self.reactor.refuse()
        self.reactor.advance(0.3)
        self.reactor.advance(0.3)
        self.reactor.accept()
        self.examination.interrupt()
        attempts = self.report()["phases"][1]["attempts"]
        found = [(attempt["address"], attempt["status"]) for attempt in attempts]
        expected = ["failed", "cancelled", "connected"]
        self.assertEqual(
            found, [(f"192.0.2.{n}:80", status) for n, status in enumerate(expected, 1)]
        )
        self.assertEqual(attempts[0]["error"], "connection refused")


class PingTests(DoctorCase):
    """From the opening handshake to the end of the connection."""

    def open(self, **options: Any) -> None:
        """Complete the opening handshake."""
        self.examine(**options)
        self.peer.answer()

    def test_pong(self) -> None:
        """The pong ends the examination; a close frame with code 1000 is sent."""
        self.open()
        self.assertEqual(self.peer.received(), [(9, PAYLOAD)])
        self.peer.send(text("welcome") + server_frame(PONG, PAYLOAD))
        self.assertTrue(self.successResultOf(self.examination.done).passed)
        self.assertEqual(self.peer.received(), [(8, b"\x03\xe8")])
        self.assertNoResult(self.examination.ended)
        self.peer.drop()
        self.assertIsNone(self.successResultOf(self.examination.ended))

    def test_other_pong(self) -> None:
        """A pong with another payload is not the answer."""
        self.open()
        self.peer.send(server_frame(PONG, b"other"))
        self.assertNoResult(self.examination.done)

    def test_pings_are_answered(self) -> None:
        """Answer the pings of the server."""
        self.open()
        self.peer.received()
        self.peer.send(server_frame(9, b"alive?"))
        self.assertEqual(self.peer.received(), [(PONG, b"alive?")])

    def test_server_that_does_not_close(self) -> None:
        """TCP is aborted if the server does not close it within close_timeout."""
        self.open(close_timeout=3.0)
        self.answer_ping()
        self.reactor.advance(2.9)
        self.assertFalse(self.peer.transport.aborted)
        self.reactor.advance(0.2)
        self.step()
        self.assertTrue(self.peer.transport.aborted)
        self.assertIsNone(self.successResultOf(self.examination.ended))

    def test_no_pong(self) -> None:
        """Fail after ping_timeout, whatever else the server sends."""
        self.open(ping_timeout=3.0)
        self.peer.send(text("data"))
        self.reactor.advance(2.9)
        self.assertNoResult(self.examination.done)
        self.reactor.advance(0.2)
        self.step()
        reason = self.successResultOf(self.examination.done).reason
        self.assertIsInstance(reason, PingTimeout)
        self.assertEqual(self.peer.received()[-1], (8, b"\x03\xe8"))

    def test_no_ping_timeout(self) -> None:
        """Without ping_timeout, the examination waits 20 seconds."""
        self.open(ping_timeout=None)
        self.reactor.advance(19.9)
        self.assertNoResult(self.examination.done)
        self.reactor.advance(0.2)
        self.step()
        self.assertEqual(self.successResultOf(self.examination.done).failed_in, "ping")

    def test_closed_at_once(self) -> None:
        """A close frame before the pong is a failure; it is answered."""
        self.open()
        self.peer.received()
        self.peer.send(close(1008, "no"))
        reason = self.successResultOf(self.examination.done).reason
        self.assertEqual(reason, RemoteClose(1008, "no"))
        self.assertEqual(self.peer.received(), [(8, b"\x03\xf0")])
        self.peer.drop()
        self.assertIsNone(self.successResultOf(self.examination.ended))

    def test_dropped(self) -> None:
        """The end of TCP before the pong is a failure."""
        self.open()
        self.peer.drop()
        reason = self.successResultOf(self.examination.done).reason
        self.assertIsInstance(reason, ConnectionDropped)
        self.assertIsNone(self.successResultOf(self.examination.ended))

    def test_protocol_error(self) -> None:
        """A frame that RFC 6455 forbids is a failure."""
        self.open()
        self.peer.send(b"\xff\xff")
        reason = self.successResultOf(self.examination.done).reason
        self.assertIsInstance(reason, FrameError)
        self.assertEqual(self.peer.received()[-1], (8, b"\x03\xea"))

    def test_no_timer_is_left(self) -> None:
        """Nothing is scheduled after the end."""
        self.open()
        self.answer_ping()
        self.peer.drop()
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class InterruptTests(DoctorCase):
    """Interrupting an examination."""

    def test_connecting(self) -> None:
        """The current phase has failed, and the attempt is cancelled."""
        self.examine_network("ws://192.0.2.1/")
        self.reactor.advance(2)
        self.examination.interrupt()
        findings = self.successResultOf(self.examination.done)
        self.assertIsInstance(findings.reason, Interrupted)
        self.assertEqual(findings.failed_in, "tcp")
        self.assertIsNone(self.successResultOf(self.examination.ended))
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_waiting_for_the_pong(self) -> None:
        """The connection is aborted."""
        self.examine()
        self.peer.answer()
        self.examination.interrupt()
        self.step()
        self.assertTrue(self.peer.transport.aborted)
        self.assertEqual(self.successResultOf(self.examination.done).failed_in, "ping")

    def test_after_the_end(self) -> None:
        """Nothing changes after the end."""
        self.succeed()
        self.examination.interrupt()
        self.assertTrue(self.report()["passed"])


class SecurePhaseTests(SecureCase):
    """TLS as a phase, with the standard library."""

    uses_stdlib = True
    ca = Once(lambda: trustme.CA())

    def setUp(self) -> None:
        super().setUp()
        self.patch(tls, "uses_stdlib", self.uses_stdlib)
        self.trusted = {"cacerts": self.ca.cert_pem.bytes()}

    def test_all(self) -> None:
        """TLS passes, then the opening handshake and the ping."""
        self.examine_tls(server_options(self.ca.issue_cert("example.test")), **self.trusted)
        self.accept_tls()
        self.assertEqual(
            self.statuses(), ["skipped", "passed", "skipped", "passed", "passed", "passed"]
        )
        phase = self.report()["phases"][3]
        self.assertEqual(phase["version"], "TLSv1.3")
        self.assertIn("AES", phase["cipher"])
        self.assertEqual(phase["certificates"][0]["names"], ["example.test"])
        self.assertTrue(phase["verified"])

    def test_chain_of_a_rejected_certificate(self) -> None:
        """The chain is shown although the certificate was not accepted."""
        self.examine_tls(server_options(self.ca.issue_cert("example.test")))
        phase = self.report()["phases"][3]
        self.assertEqual((phase["status"], phase["verified"]), ("failed", False))
        self.assertEqual(phase["certificates"][0]["names"], ["example.test"])

    def test_endpoint_with_its_own_tls(self) -> None:
        """TLS of an endpoint below ws:// is not a phase."""
        self.examine()
        transport = StringTransport()  # It has no session to inspect.
        alsoProvides(transport, ISSLTransport)
        self.examination.connected(transport)
        self.examination.interrupt()
        self.assertEqual(self.statuses()[3], "skipped")


class PyOpenSSLPhaseTests(SecurePhaseTests):
    """TLS as a phase, with pyOpenSSL."""

    uses_stdlib = False
