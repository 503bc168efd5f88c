"""Tests of ``client.sys.suspend`` and ``client.sys.resume``."""

from __future__ import annotations

from typing import Any

import wsx
from wsx import Reply
from wsx.test.support import Recorder, close, server_frame, text
from wsx.test.support.each import each
from wsx.test.support.system import DELAY, FIRST, NEW, Second, SystemCase


class SuspendTests(SystemCase):
    """[Y4] ``suspend`` and ``resume``."""

    def test_frames_wait(self) -> None:
        """[Y4] While suspended nothing is delivered. ``resume`` delivers everything in order."""
        client = self.enter("suspended")
        self.peer.send(text("1") + text("2"))
        client.cast("3")
        self.peer.send(server_frame(9, b"4"))
        client.info("5")
        self.clock.advance(100)
        self.assertEqual(self.handler.names, ["handle_connect"])
        client.sys.resume()
        self.assertEqual(self.handler.names, ["handle_connect"])
        self.step()
        expected = [wsx.Text("1"), wsx.Text("2"), "3", wsx.Ping(b"4"), "5"]
        self.assertEqual([argument for _, argument, _ in self.handler.calls[1:]], expected)

    def test_reading(self) -> None:
        """[Y4] ``suspend`` pauses reading at once, and ``resume`` resumes it."""
        client = self.opened()
        self.assertFalse(self.peer.transport.reading_paused)
        client.sys.suspend()
        self.assertTrue(self.peer.transport.reading_paused)
        client.sys.resume()
        self.step()
        self.assertFalse(self.peer.transport.reading_paused)

    def test_reading_waits_for_what_waits(self) -> None:
        """[Y4] After ``resume``, reading resumes once the waiting frames are delivered."""
        client = self.enter("suspended")
        self.handler.answers["handle_frame"] = self.waits
        self.peer.send(text("1") + text("2"))
        client.sys.resume()
        self.step()
        self.assertTrue(self.peer.transport.reading_paused)
        self.handler.answers["handle_frame"] = None
        self.settle()
        self.assertFalse(self.peer.transport.reading_paused)

    def test_twice(self) -> None:
        """[Y4] A second ``suspend`` has no effect; one ``resume`` ends both."""
        client = self.enter("suspended")
        client.sys.suspend()
        self.peer.send(text("x"))
        client.sys.resume()
        self.step()
        self.assertEqual(self.notes("handle_frame"), [wsx.Text("x")])

    def test_resume_without_suspend(self) -> None:
        """[Y4] ``resume`` without ``suspend`` has no effect on delivery."""
        client = self.enter("callback pending")
        self.peer.send(text("x"))
        client.sys.resume()
        self.step()
        self.assertEqual(self.notes("handle_frame"), [])
        self.assertTrue(self.peer.transport.reading_paused)
        self.settle()
        self.assertEqual(self.notes("handle_frame"), [wsx.Text("x")])

    def test_inside_a_batch(self) -> None:
        """[Y4] In a callback, ``suspend`` takes effect before the next frame of the read."""
        client = self.opened()
        self.handler.answers["handle_frame"] = lambda frame, state: client.sys.suspend()
        self.peer.send(text("1") + text("2"))
        client.cast("3")
        self.step()
        self.assertEqual(self.notes("handle_frame", "handle_cast"), [wsx.Text("1")])
        self.assertTrue(self.peer.transport.reading_paused)
        self.handler.answers.clear()
        client.sys.resume()
        self.step()
        expected = [wsx.Text("1"), wsx.Text("2"), "3"]
        self.assertEqual(self.notes("handle_frame", "handle_cast"), expected)

    def test_inside_a_batch_that_waited(self) -> None:
        """[Y4] In a callback, ``suspend`` also holds back frames and casts that waited."""
        client = self.enter("suspended")
        self.peer.send(text("1") + text("2"))
        client.cast("3")
        self.handler.answers["handle_frame"] = lambda frame, state: client.sys.suspend()
        for expected in ([wsx.Text("1")], [wsx.Text("1"), wsx.Text("2")]):
            client.sys.resume()
            self.step()
            self.assertEqual(self.notes("handle_frame", "handle_cast"), expected)
        client.sys.resume()
        self.step()
        self.assertEqual(self.notes("handle_cast"), ["3"])

    def test_and_resume_inside_a_callback(self) -> None:
        """[Y4] A callback that suspends and resumes loses no frame and keeps the order."""
        client = self.opened()

        def both(frame: Any, state: Any) -> None:
            client.sys.suspend()
            client.sys.resume()

        self.handler.answers["handle_frame"] = both
        self.peer.send(text("1") + text("2") + text("3"))
        self.peer.send(text("4"))
        self.step()
        self.assertEqual(self.notes("handle_frame"), [wsx.Text(n) for n in "1234"])
        self.assertFalse(self.peer.transport.reading_paused)

    def test_reply_of_the_suspending_callback(self) -> None:
        """[Y4] The reply of a callback that suspends is sent."""
        client = self.opened()

        def suspend(frame: wsx.Frame, state: Any) -> Reply[Any]:
            client.sys.suspend()
            return Reply(frame, NEW)

        self.handler.answers["handle_frame"] = suspend
        self.peer.send(text("1") + text("2"))
        self.assertEqual(self.peer.received(), [(1, b"1")])
        self.assertEqual(client.sys.get_state(), NEW)

    def test_callback_under_way(self) -> None:
        """[Y4] A running callback completes while suspended. Nothing is delivered after it."""
        client = self.enter("callback pending")
        client.sys.suspend()
        client.cast("next")
        self.settle(Reply(wsx.Text("answer"), NEW))
        self.assertEqual(self.peer.received(), [(1, b"answer")])
        self.assertEqual(client.sys.get_state(), NEW)
        self.assertEqual(self.handler.arguments("handle_cast"), ["x"])
        self.assertTrue(self.peer.transport.reading_paused)

    def test_requests(self) -> None:
        """[Y4] [Y6] Requests are served while suspended."""
        client = self.enter("suspended")
        self.peer.send(text("x"))
        self.assertEqual(self.successResultOf(client.sys.replace_state(lambda _: NEW)), NEW)
        self.successResultOf(client.sys.change_code(Second))
        self.step()
        self.assertEqual(self.notes("handle_frame"), [])
        self.assertTrue(self.peer.transport.reading_paused)

    def test_pending_request(self) -> None:
        """[Y4] Reading stays paused when a request completes while suspended."""
        client = self.enter("suspended")
        client.sys.replace_state(self.waits)
        self.settle(NEW)
        self.assertTrue(self.peer.transport.reading_paused)
        client.cast("x")
        self.step()
        self.assertEqual(self.notes("handle_cast"), [])

    def test_send_frame(self) -> None:
        """[Y4] ``send_frame`` works while suspended."""
        client = self.enter("suspended")
        self.successResultOf(client.send_frame(wsx.Text("x")))
        self.assertEqual(self.peer.received(), [(1, b"x")])

    @each((True, False))
    def test_suspended_while_connecting(self, together: bool) -> None:
        """[Y4] A pending connection is established; ``handle_connect`` and frames wait."""
        client = self.enter("response outstanding")
        client.sys.suspend()
        if together:
            self.peer.answer(text("1") + text("2"))
        else:
            self.peer.answer()
            self.assertTrue(self.peer.transport.reading_paused)
            self.peer.send(text("1") + text("2"))
        self.step()
        self.assertEqual(client.status, "open")
        self.assertEqual(self.handler.names, [])
        self.assertTrue(self.peer.transport.reading_paused)
        client.sys.resume()
        self.step()
        names = ["handle_connect", "handle_frame", "handle_frame"]
        self.assertEqual(self.handler.names, names)
        self.assertFalse(self.peer.transport.reading_paused)

    def test_start_waits(self) -> None:
        """[Y4] The Deferred of ``start`` waits for ``handle_connect``."""
        handler = Recorder()
        started = self.start(handler, FIRST)
        handler.client.sys.suspend()
        self.peer.answer()
        self.step()
        self.assertNoResult(started)
        handler.client.sys.resume()
        self.step()
        self.assertIs(self.successResultOf(started), handler.client)

    def test_first_attempt_fails(self) -> None:
        """[Y4] A first connection that fails ends a suspended client."""
        handler = Recorder()
        started = self.start(handler, FIRST)
        handler.client.sys.suspend()
        self.peer.drop()
        self.step()
        self.failureResultOf(started, wsx.ConnError)

    def test_while_waiting_to_reconnect(self) -> None:
        """[Y4] While suspended, the next attempt is made; ``handle_connect`` waits."""
        client = self.enter("waiting to reconnect")
        client.sys.suspend()
        self.clock.advance(DELAY)
        self.peer.answer()
        self.step()
        self.assertEqual(client.status, "open")
        self.assertEqual(self.handler.names[-1], "handle_disconnect")
        client.sys.resume()
        self.step()
        self.assertEqual(self.handler.names[-1], "handle_connect")

    def test_drop(self) -> None:
        """[Y4] After a loss, ``handle_disconnect`` waits behind the frames."""
        client = self.enter("suspended")
        self.peer.send(text("x"))
        self.peer.drop()
        self.clock.advance(100)
        self.assertEqual(client.status, "disconnected")
        self.assertEqual(self.handler.names, ["handle_connect"])
        client.sys.resume()
        self.step()
        self.assertEqual(self.handler.names[1:], ["handle_frame", "handle_disconnect"])
        self.clock.advance(DELAY)
        self.peer.answer()
        self.step()
        self.assertFalse(self.peer.transport.reading_paused)
        self.peer.send(text("again"))
        self.assertEqual(self.notes("handle_frame")[-1], wsx.Text("again"))

    def test_close(self) -> None:
        """[Y4] ``close`` takes effect at once, and reading resumes until TCP ends."""
        client = self.enter("suspended")
        self.peer.send(text("x"))
        closed = client.close(4000, "bye")
        self.assertEqual(self.peer.received(), [(8, b"\x0f\xa0bye")])
        self.assertFalse(self.peer.transport.reading_paused)
        self.peer.drop()
        self.step()
        self.assertIsNone(self.successResultOf(closed))
        self.assertEqual(self.handler.names, ["handle_connect"])
        client.sys.resume()
        self.step()
        self.assertEqual(self.handler.names[1:], ["handle_frame", "handle_disconnect"])

    def test_close_overdue(self) -> None:
        """[Y4] While suspended, TCP is aborted if the server does not answer the close frame."""
        client = self.enter("suspended")
        client.close()
        self.clock.advance(client.conn.close_timeout)
        self.assertTrue(self.peer.transport.aborted)
        self.step()
        self.assertEqual(client.status, "disconnected")

    def test_peer_closes(self) -> None:
        """[Y4] A close frame from the server is answered at once."""
        client = self.enter("suspended")
        self.peer.send(text("x") + close(1001))
        self.assertEqual(self.peer.received(), [(8, b"\x03\xe9")])
        self.peer.drop()
        self.step()
        client.sys.resume()
        self.step()
        self.assertEqual(self.handler.names[1:], ["handle_frame", "handle_disconnect"])
        self.assertEqual(self.handler.calls[-1][1].reason, wsx.RemoteClose(1001, ""))

    def test_stop(self) -> None:
        """[Y4] ``stop`` ends a suspended client with 1001 and drops what waits."""
        client = self.enter("suspended")
        self.peer.send(text("x"))
        ended = client.stop()
        self.assertEqual(self.peer.received(), [(8, b"\x03\xe9")])
        self.peer.send(close(1001))
        self.peer.drop()
        self.step()
        self.assertEqual(self.successResultOf(ended), wsx.Shutdown())
        self.assertEqual(self.handler.names, ["handle_connect", "terminate"])

    def test_mailbox_limit(self) -> None:
        """[Y4] Messages that wait while suspended count for ``mailbox_limit``."""
        client = self.open(Recorder(), mailbox_limit=2)
        client.sys.suspend()
        client.cast(1)
        client.cast(2)
        self.assertRaises(wsx.MailboxFullError, client.cast, 3)

    def test_keepalive_goes_on(self) -> None:
        """[Y4] Pings are sent while suspended; missing pongs cause no PingTimeout."""
        handler = Recorder()
        client = self.open(handler, ping_interval=10.0, ping_timeout=5.0)
        client.sys.suspend()
        for _ in range(10):
            self.clock.advance(10.0)
            self.assertEqual([opcode for opcode, _ in self.peer.received()], [9])
        self.assertEqual(client.status, "open")
        client.sys.resume()
        self.step()
        self.clock.advance(4.9)
        self.assertEqual(client.status, "open")

    def test_ping_timeout_after_resume(self) -> None:
        """[Y4] After ``resume``, a silent server causes a PingTimeout."""
        handler = Recorder()
        client = self.open(handler, ping_interval=10.0, ping_timeout=5.0)
        client.sys.suspend()
        self.clock.pump([10.0] * 5)
        client.sys.resume()
        self.step()
        self.clock.pump([1.0] * 20)
        self.assertIsInstance(handler.arguments("handle_disconnect")[0].reason, wsx.PingTimeout)

    def test_data_timeout(self) -> None:
        """[Y4] DataTimeout does not run while suspended, and restarts at ``resume``."""
        handler = Recorder()
        client = self.open(handler, data_timeout=10.0)
        self.clock.advance(9.0)
        client.sys.suspend()
        self.clock.pump([5.0] * 20)
        self.assertEqual(client.status, "open")
        client.sys.resume()
        self.step()
        self.clock.advance(9.5)
        self.assertEqual(client.status, "open")
        self.clock.advance(10.0)
        self.step()
        self.assertEqual(client.status, "closing")

    def test_keepalive_of_a_connection_made_meanwhile(self) -> None:
        """[Y4] The timeouts of a connection opened while suspended do not run either."""
        self.handler = Recorder()
        client = self.begun(ping_interval=10.0, ping_timeout=5.0, data_timeout=30.0)
        client.sys.suspend()
        self.peer.answer()
        self.clock.pump([5.0] * 20)
        self.assertEqual(client.status, "open")
