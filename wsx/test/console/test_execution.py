"""Tests of wsx._console.execution: what a user types at the console."""

from __future__ import annotations

from typing import Any

from twisted.logger import capturedLogs, formatEvent

from wsx import LocalClose
from wsx._console.console import Console
from wsx._console.limits import Limits
from wsx.reasons import is_normal
from wsx.test.support import close, server_frame, text
from wsx.test.support.console import NORMAL, POLICY, TypedCase
from wsx.test.support.each import each


class SendTests(TypedCase):
    """Frames that are sent."""

    def test_frames(self) -> None:
        """Texts, binary messages and pongs are sent, in order."""
        self.console()
        self.type("hello", "//slash", "/binary 00ff", "/pong x")
        self.assertEqual(
            self.peer.received(), [(1, b"hello"), (1, b"/slash"), (2, b"\x00\xff"), (10, b"x")]
        )
        self.assertEqual(self.frontend.notices, [])

    def test_without_connection(self) -> None:
        """Without a connection a message waits for the next one, and a notice says so."""
        self.console()
        self.drop()
        self.type("one", "/binary 00")
        self.assertEqual(len(self.frontend.notices), 2)
        self.assertEqual(
            self.frontend.notices,
            [
                'not connected: "one" is sent after the next connection is open',
                "not connected: binary message, 1 byte, is sent after the next connection is open",
            ],
        )
        self.reconnect()
        self.assertEqual(self.peer.received(), [(1, b"one"), (2, b"\x00")])

    def test_wrong(self) -> None:
        """A wrong command is shown and sends nothing."""
        self.console()
        self.type("/foo", "/binary x")
        self.assertEqual(self.peer.received(), [])
        self.assertEqual(len(self.frontend.notices), 2)


class PingTests(TypedCase):
    """``/ping``."""

    def test_round_trip(self) -> None:
        """The time until the pong is shown."""
        self.console()
        self.type("/ping")
        [(opcode, payload)] = self.peer.received()
        self.assertEqual(opcode, 9)
        self.clock.advance(0.25)
        self.peer.send(server_frame(10, payload))
        self.step()
        self.assertEqual(self.frontend.notices, ["round trip 250.0 ms"])

    def test_several(self) -> None:
        """Each pong is matched with its ping; a pong without a ping is not timed."""
        self.console()
        self.type("/ping a", "/ping", "/ping")
        payloads = [payload for _, payload in self.peer.received()]
        self.assertEqual((payloads[0], len(set(payloads))), (b"a", 3))
        self.peer.send(server_frame(10, b"other"))
        self.step()
        self.assertEqual(self.frontend.notices, [])
        self.clock.advance(0.1)
        self.peer.send(server_frame(10, payloads[2]) + server_frame(10, payloads[2]))
        self.step()
        self.assertEqual(self.frontend.notices, ["round trip 100.0 ms"])

    @each(["/ping", "/pong"])
    def test_without_connection(self, command: str) -> None:
        """Without a connection there is nothing to measure."""
        self.console()
        self.drop()
        self.type(command)
        self.assertEqual(self.frontend.notices, [f"{command}: not connected"])
        self.reconnect()
        self.assertEqual(self.peer.received(), [])


class CloseTests(TypedCase):
    """``/close``."""

    @each([("/close", 1000, b""), ("/close 4001 bye", 4001, b"bye")])
    def test_close(self, line: str, code: int, message: bytes) -> None:
        """It closes with the code and message, and the console ends normally."""
        client = self.console()
        self.type(line)
        self.assertEqual(self.peer.received(), [(8, code.to_bytes(2, "big") + message)])
        self.peer.send(close(code))
        self.drop()
        reason = self.successResultOf(client.terminated())
        self.assertTrue(is_normal(reason))
        self.assertIn(f"closed by this client: {code}", str(reason))
        self.assertEqual(self.server.attempts, 1)
        self.assertIn(("out", "close"), self.frontend.kinds())

    def test_without_connection(self) -> None:
        """It ends the console while it waits to reconnect."""
        client = self.console()
        self.drop()
        self.type("/close")
        self.assertEqual(self.successResultOf(client.terminated()), LocalClose(1000, ""))

    def test_expected_close(self) -> None:
        """It does not count as the close that is expected of the server."""
        self.handler = Console(self.frontend, Limits(expect_close=1000))
        client = self.console(self.handler)
        self.type("/close")
        self.answer_close()
        self.assertFalse(is_normal(self.successResultOf(client.terminated())))


class ReconnectTests(TypedCase):
    """``/reconnect``."""

    def test_open(self) -> None:
        """It closes the connection and connects again at once."""
        client = self.console()
        self.type("/reconnect")
        self.assertEqual(self.peer.received(), [NORMAL])
        self.answer_close()
        self.peer.answer()
        self.step()
        self.assertEqual((self.server.attempts, client.status), (2, "open"))
        self.type("hello")
        self.assertEqual(self.sent(), ["hello"])

    def test_waiting(self) -> None:
        """It does not wait for the next attempt."""
        client = self.console()
        self.drop()
        self.assertEqual((self.server.attempts, client.status), (1, "disconnected"))
        self.type("/reconnect")
        self.assertEqual(self.server.attempts, 2)

    def test_after_a_failure(self) -> None:
        """The log does not call an attempt that was not made a failure."""
        self.console()
        self.drop()
        self.server.refusal = OSError()
        self.clock.advance(1)
        self.step()
        with capturedLogs() as events:
            self.type("/reconnect")
        line = formatEvent(events[0]) or ""
        self.assertIn("connecting to ws://example.test/feed cancelled (closed by this", line)

    def test_once(self) -> None:
        """The next loss is handled as usual."""
        client = self.console()
        self.type("/reconnect")
        self.answer_close()
        self.peer.answer()
        self.step()
        self.drop()
        self.assertEqual(client.status, "disconnected")


class OtherTests(TypedCase):
    """Other commands."""

    def test_status(self) -> None:
        """The status has the connection, what was negotiated, and counts."""
        self.console(subprotocols=["chat"])
        self.clock.advance(2)
        self.peer.send(text("one"))
        self.type("two", "/status")
        lines = self.frontend.notices[0].split("\n")
        self.assertEqual(lines[0], "open: ws://example.test/feed for 2.0 s")
        self.assertIn("subprotocol none; extensions none", lines[1])
        self.assertEqual(lines[2], "received 1 message, sent 1, waiting to be sent 0")

    def test_status_without_connection(self) -> None:
        """Without a connection the status says so, and hides the secrets of the URL."""
        self.server.refusal = OSError()
        options: dict[str, Any] = {"async_": True, "handle_initial_conn_failure": True}
        url = "ws://user:opensesame@example.test/feed"
        self.start(self.handler, url=url, reconnect=POLICY, **options)
        self.step()
        self.type("/status")
        self.assertTrue(self.frontend.notices[0].startswith("disconnected: ws://"))
        self.assertNotIn("opensesame", self.frontend.notices[0])
        lines = self.frontend.notices[0].split("\n")
        self.assertRegex(lines[1], r"^next attempt in 1\.0 s; .*OSError")

    def test_latency(self) -> None:
        """The status has the last round trip of the keepalive."""
        self.console(ping_interval=10.0)
        self.clock.advance(10)
        [(_, payload)] = self.peer.received()
        self.clock.advance(0.5)
        self.peer.send(server_frame(10, payload))
        self.type("/status")
        self.assertIn("last keepalive round trip 500.0 ms", self.frontend.notices[0])

    def test_trace(self) -> None:
        """Trace lines are switched on and off."""
        client = self.console()
        self.type("/trace on")
        self.assertTrue(client.sys._life.tracing.active)
        self.type("/trace off")
        self.assertFalse(client.sys._life.tracing.active)
        self.assertEqual(self.frontend.notices, ["trace is on", "trace is off"])

    def test_help(self) -> None:
        """The help lists the commands."""
        self.console()
        self.type("/help")
        self.assertIn("/close [CODE [REASON]]", self.frontend.notices[0])
        self.assertEqual(self.peer.received(), [])
