"""Tests of reconnecting: attempts, their numbers, and the policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost, ConnectionRefusedError

import wsx
from wsx import Backoff, ConnectionDropped, Ok, Reconnect, Reply, Text
from wsx.test.support import Peer, Recorder, close, server_frame, text
from wsx.test.support.each import each
from wsx.test.support.ends import BAD_FRAME, EndCase, attempt_numbers, reasons, reconnecting


def refuse(peer: Peer, status: int, *headers: str) -> None:
    """Answer the opening handshake with another status and no body."""
    lines = [f"HTTP/1.1 {status} No", *headers, "Content-Length: 0", "", ""]
    peer.send("\r\n".join(lines).encode())


class ReconnectTests(EndCase):
    """``Reconnect``: when, where to, and what is reset."""

    def test_several_times(self) -> None:
        """[D3] A client reconnects repeatedly, and the attempt number increases."""
        handler = reconnecting()
        client = self.open(handler)
        for number in range(1, 5):
            self.come_back()
            self.assertEqual(attempt_numbers(handler), list(range(1, number + 1)))
            self.assertEqual(client.status, "open")
        self.assertEqual(handler.names.count("handle_connect"), 5)

    def test_after(self) -> None:
        """[D3] The next attempt is made after ``after`` seconds, and not before."""
        client = self.open(reconnecting(after=7.5))
        self.lose()
        self.assertEqual(client.status, "disconnected")
        self.clock.advance(7.4)
        self.assertEqual(self.server.attempts, 1)
        self.clock.advance(0.2)
        self.assertEqual(self.server.attempts, 2)
        self.assertEqual(client.status, "connecting")

    def test_after_zero(self) -> None:
        """[D3] With ``after=0``, the next attempt is made in a later reactor iteration."""
        self.open(reconnecting(after=0))
        self.lose()
        self.assertEqual(self.server.attempts, 2)

    def test_without_after(self) -> None:
        """[D3] Without ``after``, a client reconnects within a second after a stable connection."""
        handler = reconnecting(after=None)
        self.open(handler)
        self.clock.advance(10)
        self.lose()
        self.clock.advance(1)
        self.assertEqual(self.server.attempts, 2)

    def test_without_after_the_policy_says(self) -> None:
        """[D3] Without ``after``, the client's policy sets the delay."""
        self.open(reconnecting(after=None), reconnect=Backoff(initial=8.0, jitter=0))
        self.lose()
        self.clock.advance(7.9)
        self.assertEqual(self.server.attempts, 1)
        self.clock.advance(0.2)
        self.assertEqual(self.server.attempts, 2)

    def count_attempts(self, seconds: float) -> int:
        """Return how often the client connects to a server that accepts and drops at once."""
        known = len(self.server.peers)
        self.lose()
        for _ in range(round(seconds * 100)):
            self.clock.advance(0.01)
            while len(self.server.peers) > known and self.server.attempts < 200:
                known += 1
                self.accept()
                self.lose()
        return self.server.attempts

    def test_no_hot_loop_when_the_server_accepts_and_drops(self) -> None:
        """[D3] If the server accepts and drops at once, the client makes few attempts."""
        self.open(reconnecting(after=None))
        attempts = self.count_attempts(10)
        self.assertGreaterEqual(attempts, 3)
        self.assertLessEqual(attempts, 10)

    @each([({}, True), ({"stable_after": 0}, False)])
    def test_no_hot_loop_of_connections_that_count_as_healthy(
        self, options: dict[str, Any], marked: bool
    ) -> None:
        """[D3] Connections marked as healthy lead to at most a few attempts a second."""
        handler: Recorder = reconnecting(after=None)
        if marked:
            handler.answers["handle_connect"] = lambda conn, state: handler.client.mark_healthy()
        self.open(handler, **options)
        self.assertLessEqual(self.count_attempts(5), 100, options)

    def test_no_hot_loop_when_the_server_refuses(self) -> None:
        """[D3] [D4] If the server refuses each attempt, the client makes few attempts."""
        self.server.refusal = ConnectionRefusedError()
        self.start(reconnecting(after=None), handle_initial_conn_failure=True)
        self.pass_time(10, step=0.01)
        self.assertGreaterEqual(self.server.attempts, 3)
        self.assertLessEqual(self.server.attempts, 10)

    def test_no_hot_loop_when_the_server_closes_and_lingers(self) -> None:
        """[D3] If the server closes at once but keeps TCP open, the client makes few attempts."""
        self.open(reconnecting(after=None))
        known = 0
        for _ in range(1200):
            if len(self.server.peers) > known:
                if known:
                    self.accept()
                known += 1
                self.peer.send(close(1013))
            self.clock.advance(0.1)
            self.step()
        self.assertLessEqual(self.server.attempts, 12, "attempts in two minutes")

    def test_changed_conn(self) -> None:
        """[D3] ``conn`` is used for the next attempt and for those after it."""
        answers: list[Any] = []
        handler = Recorder(handle_disconnect=lambda status, state: answers.pop(0))
        client = self.open(handler, url="ws://one.test/a")
        other = client.conn.replace(url="ws://two.test/b", close_timeout=1.0)
        answers += [Reconnect(0, other, after=1.0), Reconnect(0, after=1.0), Ok(0)]
        self.lose()
        self.clock.advance(1)
        for _ in range(2):
            line, headers = self.peer.request
            self.assertEqual((line, headers["host"]), ("GET /b HTTP/1.1", "two.test"))
            self.accept()
            self.assertEqual(client.conn.url, "ws://two.test/b")
            self.assertEqual(handler.arguments("handle_connect")[-1].url, "ws://two.test/b")
            self.lose()
            self.clock.advance(1)
        self.assertEqual(
            [status.conn.url for status in handler.arguments("handle_disconnect")],
            ["ws://one.test/a", "ws://two.test/b", "ws://two.test/b"],
        )

    def test_failing_attempts(self) -> None:
        """[D3] Failed attempts call ``handle_disconnect`` with their reason and number."""
        handler = reconnecting()
        self.open(handler)
        self.lose()
        self.server.refusal = ConnectionRefusedError()
        self.clock.advance(1)
        self.step()
        self.server.refusal = None
        self.clock.advance(1)
        refuse(self.peer, 503)
        self.step()
        self.clock.advance(1)
        self.peer.answer(accept="wrong")
        self.step()
        kinds = [type(reason) for reason in reasons(handler)]
        self.assertEqual(
            kinds, [ConnectionDropped, wsx.ConnError, wsx.RequestError, wsx.HandshakeError]
        )
        self.assertEqual(attempt_numbers(handler), [1, 2, 3, 4])
        self.clock.advance(1)
        self.accept()
        self.assertEqual(handler.client.status, "open")

    def test_attempt_that_times_out(self) -> None:
        """[D3] An attempt that times out counts as failed, and the client goes on."""
        handler = reconnecting()
        self.open(handler, socket_connect_timeout=6.0)
        self.server.silent = True
        self.lose()
        self.clock.advance(1)
        self.clock.advance(6)
        self.step()
        self.assertIsInstance(reasons(handler)[1], wsx.ConnError)
        self.assertIsInstance(reasons(handler)[1].original, TimeoutError)
        self.clock.advance(1)
        self.assertEqual(self.server.attempts, 3)

    def test_given_up_while_reconnecting(self) -> None:
        """[D3] [D5] ``Ok`` for a failed attempt ends the client with that failure."""
        answers = iter([Reconnect(0, after=1.0), Ok(0)])
        handler = Recorder(handle_disconnect=lambda status, state: next(answers))
        client = self.open(handler)
        self.server.refusal = ConnectionRefusedError()
        self.lose()
        self.clock.advance(1)
        self.step()
        [reason] = handler.arguments("terminate")
        self.assertIsInstance(reason, wsx.ConnError)
        self.assert_ended(client, reason)

    def test_initial_failure_is_retried(self) -> None:
        """[D4] ``handle_initial_conn_failure`` retries the first connection."""
        self.server.refusal = ConnectionRefusedError()
        handler = reconnecting()
        started = self.start(handler, handle_initial_conn_failure=True)
        self.step()
        self.clock.advance(1)
        self.step()
        self.assertNoResult(started)
        self.assertEqual(attempt_numbers(handler), [1, 2])
        self.server.refusal = None
        self.clock.advance(1)
        self.accept()
        self.assertEqual(self.successResultOf(started).status, "open")
        self.lose()
        self.assertEqual(attempt_numbers(handler), [1, 2, 3])

    def test_initial_failure_is_retried_elsewhere(self) -> None:
        """[D4] The first connection can be retried with a changed Conn."""
        other = wsx.Conn("ws://two.test/b", endpoint=self.server, ping_interval=None)
        handler = reconnecting(conn=other)
        started = self.start(handler, handle_initial_conn_failure=True)
        refuse(self.peer, 500)
        self.step()
        self.clock.advance(1)
        self.assertEqual(self.peer.request[1]["host"], "two.test")
        self.accept()
        self.assertEqual(self.successResultOf(started).conn.url, "ws://two.test/b")

    @each(
        [
            (lambda peer: refuse(peer, 503), wsx.RequestError),
            (lambda peer: peer.answer(accept="wrong"), wsx.HandshakeError),
            (lambda peer: peer.drop(), wsx.ConnError),
        ]
    )
    def test_initial_failure_of_the_handshake(self, answer: Any, error: Any) -> None:
        """[D4] Without the option, each kind of failure fails ``start`` without a callback."""
        handler = reconnecting()
        started = self.start(handler)
        answer(self.peer)
        self.step()
        self.failureResultOf(started, error)
        self.assertEqual(handler.calls, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    @each(
        (
            text("x" * 300)[:100],
            server_frame(1, b"half", flags=0),
            server_frame(1, b"a", flags=0) + server_frame(0, b"\xc3", flags=0),
        )
    )
    def test_fresh_receive_buffer(self, rest: bytes) -> None:
        """[F14] A partial frame or message of the old connection is discarded."""
        handler = reconnecting()
        self.open(handler)
        self.peer.send(rest)
        self.come_back()
        self.peer.send(text("fresh"))
        self.assertEqual(handler.arguments("handle_frame"), [Text("fresh")])
        self.assertEqual(handler.client.status, "open")

    @each((BAD_FRAME, close(1000) + b"\x81"))
    def test_fresh_receive_buffer_after_a_protocol_error(self, end: bytes) -> None:
        """[F14] The receive buffer is also reset after a protocol error and after a close."""
        handler = reconnecting()
        self.open(handler)
        self.peer.send(end)
        self.come_back()
        self.peer.send(text("fresh"))
        self.assertEqual(handler.arguments("handle_frame"), [Text("fresh")])

    def test_nothing_unsent_reaches_the_next_connection(self) -> None:
        """Replies of the old connection are not sent on the next one."""
        answer: Deferred[Any] = Deferred()
        handler = reconnecting(handle_frame=lambda frame, state: answer)
        self.open(handler)
        self.peer.send(text("x"))
        self.lose()
        answer.callback(Reply([Text("a"), Text("b")], 0))
        self.step()
        self.clock.advance(1)
        self.accept()
        self.assertEqual(self.peer.received(), [])


class AttemptNumberTests(EndCase):
    """When the attempt number is reset to 1."""

    def test_loss_of_a_connection_that_was_stable(self) -> None:
        """[D3] The loss of a connection older than ``stable_after`` has the number 1."""
        handler = reconnecting()
        self.open(handler, stable_after=5.0)
        self.come_back()
        self.come_back()
        self.clock.advance(5.0)
        self.come_back()
        self.come_back()
        self.assertEqual(attempt_numbers(handler), [1, 2, 1, 2])

    def test_not_quite_stable(self) -> None:
        """[D3] A connection younger than ``stable_after`` does not reset the number."""
        handler = reconnecting()
        self.open(handler)
        for _ in range(3):
            self.clock.advance(4.9)
            self.come_back()
        self.assertEqual(attempt_numbers(handler), [1, 2, 3])

    def test_closing_is_not_open(self) -> None:
        """[D3] The time of the closing handshake does not count for ``stable_after``."""
        handler = reconnecting()
        self.open(handler, stable_after=5.0, close_timeout=10.0)
        for _ in range(3):
            self.peer.send(close(1013))
            self.clock.advance(6)
            self.come_back()
        self.assertEqual(attempt_numbers(handler), [1, 2, 3])

    def test_waiting_does_not_count(self) -> None:
        """[D3] The time between connections does not count for ``stable_after``."""
        handler = reconnecting(after=60.0)
        self.open(handler)
        self.come_back(after=60.0)
        self.lose()
        self.assertEqual(attempt_numbers(handler), [1, 2])

    def test_stable_after_zero(self) -> None:
        """[D3] With ``stable_after=0``, a handshake resets the number; failed attempts count."""
        handler = reconnecting()
        self.open(handler, stable_after=0)
        self.come_back()
        self.server.refusal = ConnectionRefusedError()
        self.lose()
        self.clock.advance(1)
        self.step()
        self.assertEqual(attempt_numbers(handler), [1, 1, 2])

    def test_mark_healthy(self) -> None:
        """[D3] ``mark_healthy`` resets the number for the next loss only."""
        handler = reconnecting()
        client = self.open(handler)
        self.come_back()
        client.mark_healthy()
        self.come_back()
        self.come_back()
        self.assertEqual(attempt_numbers(handler), [1, 1, 2])

    def test_mark_healthy_in_handle_connect(self) -> None:
        """[D3] ``mark_healthy`` can be called in ``handle_connect``."""
        handler: Recorder = reconnecting(
            handle_connect=lambda conn, state: handler.client.mark_healthy()
        )
        self.open(handler)
        self.come_back()
        self.come_back()
        self.assertEqual(attempt_numbers(handler), [1, 1])

    def test_mark_healthy_without_a_connection(self) -> None:
        """[D3] ``mark_healthy`` without a connection does not affect the next connection."""
        handler = reconnecting()
        client = self.open(handler)
        self.lose()
        client.mark_healthy()
        self.clock.advance(1)
        client.mark_healthy()
        self.accept()
        self.lose()
        self.assertEqual(attempt_numbers(handler), [1, 2])

    def test_mark_healthy_again_while_closing(self) -> None:
        """[D3] A second ``mark_healthy`` while closing does not undo the first."""
        handler = reconnecting()
        client = self.open(handler)
        self.come_back()
        client.mark_healthy()
        self.peer.send(close(1001))
        client.mark_healthy()
        self.lose()
        self.assertEqual(attempt_numbers(handler), [1, 1])

    def test_failed_attempts_after_a_healthy_connection(self) -> None:
        """[D3] After a healthy connection, the loss is 1 and each failed attempt adds one."""
        handler = reconnecting()
        self.open(handler)
        self.clock.advance(60)
        self.server.refusal = ConnectionRefusedError()
        self.lose()
        for _ in range(3):
            self.clock.advance(1)
            self.step()
        self.assertEqual(attempt_numbers(handler), [1, 2, 3, 4])


class PolicyTests(EndCase):
    """A ``Backoff`` as the policy of the default ``handle_disconnect``."""

    def open_with(self, **policy: Any) -> wsx.Client[Any]:
        return self.open(wsx.Handler, reconnect=Backoff(**{"jitter": 0} | policy))

    def assert_next_attempt_after(self, seconds: float, message: object = None) -> None:
        """Assert that the next attempt is made after this number of seconds, and not before."""
        self.step()
        before = self.server.attempts
        self.clock.advance(seconds - 0.1)
        self.assertEqual(self.server.attempts, before, message)
        self.clock.advance(0.2)
        self.assertEqual(self.server.attempts, before + 1, message)

    def test_without_a_policy(self) -> None:
        """[D5] Without a policy, the default ``handle_disconnect`` ends the client."""
        client = self.open(wsx.Handler)
        self.peer.drop(error := ConnectionLost())
        self.assert_ended(client, ConnectionDropped(error))

    def test_delays(self) -> None:
        """[D3] The client reconnects with the policy's delay for the attempt number."""
        client = self.open_with(initial=2.0, factor=3.0, maximum=10.0)
        for delay in (2.0, 6.0, 10.0, 10.0):
            self.peer.drop()
            self.assert_next_attempt_after(delay, delay)
            self.accept()
        self.clock.advance(5)
        self.peer.drop()
        self.assert_next_attempt_after(2.0, "healthy again")
        self.accept()
        self.assertEqual(client.status, "open")

    def test_giving_up(self) -> None:
        """[D3] [D5] Past ``max_attempts``, the client ends with the last reason."""
        client = self.open_with(initial=1.0, max_attempts=2)
        self.lose()
        self.server.refusal = ConnectionRefusedError()
        self.assert_next_attempt_after(1.0)
        self.assert_next_attempt_after(2.0)
        self.step()
        self.assertEqual(client.status, "terminated")
        reason = self.successResultOf(client.terminated())
        self.assertIsInstance(reason, wsx.ConnError)
        self.assert_ended(client, reason)

    @each(
        [
            lambda test, client: client.close(),
            lambda test, client: client.close(4000),
            *(
                lambda test, client, code=code: test.peer.send(close(code))
                for code in (1002, 1003, 1007, 1008, 1009, 1010)
            ),
        ]
    )
    def test_reasons_that_are_not_retried(
        self, end: Callable[[EndCase, wsx.Client[Any]], Any]
    ) -> None:
        """[D5] A LocalClose and some close codes of the server end the client."""
        client = self.open_with()
        end(self, client)
        self.lose()
        self.assertEqual(client.status, "terminated")
        reason = self.successResultOf(client.terminated())
        self.assertFalse(wsx.is_retryable(reason), reason)
        self.assert_ended(client, reason)

    @each(
        [
            lambda peer: peer.drop(),
            lambda peer: peer.send(BAD_FRAME),
            *(
                lambda peer, code=code: peer.send(close(code))
                for code in (None, 1000, 1001, 1011, 1012, 1013, 4000)
            ),
        ]
    )
    def test_reasons_that_are_retried(self, end: Callable[[Peer], Any]) -> None:
        """[D3] Every other reason is retried."""
        client = self.open_with()
        end(self.peer)
        self.lose()
        self.assertEqual(client.status, "disconnected")
        self.assert_next_attempt_after(1.0)

    @each((200, 302, 400, 401, 403, 404, 405, 407, 410, 426, 501, 505))
    def test_refusals_that_are_not_retried(self, status: Any) -> None:
        """[D4] Statuses that another attempt cannot change end the client."""
        client = self.open_with()
        self.lose()
        self.clock.advance(1)
        refuse(self.peer, status)
        self.step()
        self.assertEqual(client.status, "terminated", status)
        reason: Any = self.successResultOf(client.terminated())
        self.assertEqual(reason.code, status)

    @each((402, 408, 429, 500, 502, 503, 504))
    def test_refusals_that_are_retried(self, status: Any) -> None:
        """[D4] Other statuses and refused connections are retried."""
        client = self.open_with()
        self.lose()
        self.clock.advance(1)
        refuse(self.peer, status)
        self.assert_next_attempt_after(2.0, status)
        self.assertEqual(client.status, "connecting")

    def test_certificate_that_does_not_verify(self) -> None:
        """[D4] A certificate that does not verify ends the client."""
        client = self.open_with()
        self.lose()
        self.server.refusal = SSL.Error(
            [("SSL routines", "tls_process_server_certificate", "certificate verify failed")]
        )
        self.clock.advance(1)
        self.step()
        self.assertEqual(client.status, "terminated")
        self.assertIsInstance(self.successResultOf(client.terminated()), wsx.ConnError)

    def test_initial_failure(self) -> None:
        """[D4] With ``handle_initial_conn_failure``, the policy retries the first connection."""
        self.server.refusal = ConnectionRefusedError()
        started = self.start(
            wsx.Handler, handle_initial_conn_failure=True, reconnect=Backoff(jitter=0)
        )
        self.assert_next_attempt_after(1.0)
        self.assert_next_attempt_after(2.0)
        self.server.refusal = None
        self.step()
        self.clock.advance(4)
        self.accept()
        self.assertEqual(self.successResultOf(started).status, "open")

    def test_initial_failure_without_the_option(self) -> None:
        """[D4] A policy alone does not retry the first connection."""
        self.server.refusal = ConnectionRefusedError()
        started = self.start(wsx.Handler, reconnect=Backoff())
        self.failureResultOf(started, wsx.ConnError)
        self.step()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    @each(
        {
            "120": 120.0,
            "1": 2.0,
            "0": 2.0,
            "7200": 3600.0,
            "Fri, 31 Dec 9999 23:59:59 GMT": 3600.0,
            "Sat, 01 Jan 2000 00:00:00 GMT": 2.0,
            "soon": 2.0,
            "-5": 2.0,
        }.items()
    )
    def test_retry_after(self, value: Any, delay: float) -> None:
        """[D4] ``Retry-After`` is a lower bound, even past the maximum, of at most an hour."""
        self.open_with(maximum=60.0)
        self.lose()
        self.clock.advance(1)
        refuse(self.peer, 503, f"retry-after: {value}")
        self.assert_next_attempt_after(delay, value)

    def test_retry_after_does_not_revive_a_hopeless_refusal(self) -> None:
        """[D4] ``Retry-After`` has no effect for a status that is not retried."""
        client = self.open_with()
        self.lose()
        self.clock.advance(1)
        refuse(self.peer, 403, "Retry-After: 1")
        self.step()
        self.assertEqual(client.status, "terminated")
