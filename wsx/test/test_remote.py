"""Tests of wsx.remote: calls to a client in another process."""

from __future__ import annotations

import random
from typing import Any

from twisted.internet.defer import succeed

import wsx
from wsx import (
    Binary,
    ClusterError,
    ConnError,
    FrameEncodeError,
    InvalidFrameError,
    MailboxFullError,
    NotConnectedError,
    Ping,
    RemoteError,
    SendTimeout,
    Text,
    UnknownNameError,
)
from wsx._cluster.call_format import encode_reply
from wsx._cluster.calls import Calls
from wsx.remote import RemoteClient
from wsx.test.support.each import each
from wsx.test.support.remote import HOLDER, NAME, RemoteCase


class Named(wsx.Handler[Any]):
    version = 3

    def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
        return status | {"extra": status["state"]}


class MessageTests(RemoteCase):
    """Casts and infos."""

    def test_delivered(self) -> None:
        """A message is delivered to the callback of its kind, and acknowledged with None."""
        self.hold()
        self.assertIsNone(self.result(self.remote.cast({"a": [1, None]})))
        self.assertIsNone(self.result(self.remote.info(b"b")))
        messages = [call[:2] for call in self.recorder.calls[1:]]
        self.assertEqual(messages, [("handle_cast", {"a": [1, None]}), ("handle_info", b"b")])

    @each(["cast", "info"])
    def test_no_value(self, method: str) -> None:
        """A message that is no MessagePack value fails at once, and nothing is sent."""
        self.hold()
        asked = getattr(self.remote, method)({"a": [(1, 2)]})
        text = str(self.failureResultOf(asked, TypeError).value)
        self.assertTrue(text.startswith('message["a"][0]: expected a MessagePack value'), text)
        self.assertTrue(text.endswith("got tuple (use a list)"), text)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    @each([0, -1, float("nan"), float("inf"), 3601, "5", None, True])
    def test_wrong_timeout(self, timeout: Any) -> None:
        """A time limit that is not valid fails at once."""
        asked = [
            self.remote.cast(1, timeout),
            self.remote.send_frame(Text("a"), timeout),
            self.remote.status(timeout),
            self.remote.stop(timeout=timeout),
            self.remote.sys.get_state(timeout),
        ]
        for each_one in asked:
            error = self.failureResultOf(each_one, ValueError).value  # type: ignore[arg-type]
            self.assertIn("timeout: expected a number above 0, at most 3600", str(error))

    def test_no_holder(self) -> None:
        """While no client has the name, calls fail."""
        self.assertIs(self.error(self.remote.cast(1), UnknownNameError).name, NAME)

    def test_mailbox_full(self) -> None:
        """A full mailbox fails exactly the casts that it did not accept."""
        self.hold(mailbox_limit=3)
        other = RemoteClient(Calls(self.connect(), "b", self.clock), NAME, "feed", HOLDER)
        self.client.sys.suspend()
        asked = [self.remote.cast(1), other.cast(2), self.remote.cast(3), other.cast(4)]
        self.step()
        self.assertEqual(self.failureResultOf(asked[3], MailboxFullError).value.limit, 3)
        for each_one in asked[:3]:
            self.assertIsNone(self.successResultOf(each_one))
        self.client.sys.resume()
        self.step()
        self.assertEqual(sorted(self.recorder.arguments("handle_cast")), [1, 2, 3])

    def test_hand_over(self) -> None:
        """A reference stands for the name: after a hand-over, calls reach the next holder."""
        self.hold()
        first = self.recorder
        self.successResultOf(self.serving.stop())
        self.error(self.remote.cast(1), UnknownNameError)
        self.hold()
        self.result(self.remote.cast(2))
        self.assertEqual(first.arguments("handle_cast"), [])
        self.assertEqual(self.recorder.arguments("handle_cast"), [2])


class FrameTests(RemoteCase):
    """Frames, and the same errors as those of a local client."""

    @each([Text("\xe9"), Binary(b"\xff"), Ping(b"a")])
    def test_sent(self, frame: Any) -> None:
        """A frame is sent to the server."""
        self.hold()
        self.assertIsNone(self.result(self.remote.send_frame(frame)))
        payload = frame.payload.encode() if isinstance(frame, Text) else frame.payload
        self.assertEqual(self.peer.received(), [(frame.opcode, payload)])

    def test_invalid(self) -> None:
        """A frame that cannot be sent fails at once, and nothing is sent to the holder."""
        self.failureResultOf(self.remote.send_frame(5), InvalidFrameError)  # type: ignore[arg-type]
        self.failureResultOf(self.remote.send_frame(Ping(b"x" * 126)), FrameEncodeError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_not_connected(self) -> None:
        """Without an open connection, the error has its state."""
        self.hold(answers={"handle_disconnect": lambda _, state: wsx.Reconnect(state, after=9)})
        self.peer.drop()
        self.step()
        error = self.error(self.remote.send_frame(Text("a")), NotConnectedError)
        self.assertEqual(error.connection_state, "disconnected")

    def test_slow_server(self) -> None:
        """A server that reads too slowly is a SendTimeout after the time limit."""
        self.hold()
        self.peer.buffer.pauseProducing()
        asked = self.remote.send_frame(Text("a"), timeout=1.0)
        self.step()
        self.clock.advance(0.9)
        self.assertNoResult(asked)
        self.clock.advance(0.1)
        self.assertEqual(self.error(asked, SendTimeout).timeout, 1.0)

    def test_connection_ends(self) -> None:
        """If the connection ends first, the error is a ConnError with the same text."""
        self.hold()
        self.peer.buffer.pauseProducing()
        asked, local = self.remote.send_frame(Text("a")), self.client.send_frame(Text("b"))
        self.step()
        self.peer.drop()
        error = self.error(asked, ConnError)
        self.assertEqual(str(error), str(self.error(local, ConnError)))
        self.assertIsInstance(error.original, RemoteError)
        self.assertEqual(error.original.kind, "ConnectionDone")


class ControlTests(RemoteCase):
    """Status, close and stop."""

    def test_status(self) -> None:
        """The status is that of the client."""
        self.hold()
        self.assertEqual(self.result(self.remote.status()), "open")

    def test_close(self) -> None:
        """Close fires when the connection has ended."""
        self.hold()
        asked = self.remote.close(4000, "bye")
        self.step()
        self.assertNoResult(asked)
        self.assertEqual(self.peer.received(), [(8, b"\x0f\xa0bye")])
        self.peer.drop()
        self.assertIsNone(self.result(asked))

    def test_close_code(self) -> None:
        """A close frame that cannot be sent fails at once."""
        error: Any = self.failureResultOf(self.remote.close(5, "a"), FrameEncodeError).value
        self.assertEqual((error.close_code, error.frame_payload), (5, "a"))

    def test_stop(self) -> None:
        """Stop fires with the text of the reason when the client has ended."""
        self.hold()
        asked = self.remote.stop("deployment")
        self.step()
        self.assertNoResult(asked)
        self.peer.drop()
        self.assertEqual(self.result(asked), "stopped: deployment")
        self.assertEqual(self.client.status, "terminated")

    @each([5, None, b"a", "\ud800"])
    def test_stop_detail(self, detail: Any) -> None:
        """The detail is a str."""
        self.failureResultOf(self.remote.stop(detail), TypeError)

    def test_lost_reply(self) -> None:
        """Without a reply, it is not known whether the client stops."""
        self.hold()
        self.link.loses_replies = True
        asked = self.remote.stop(timeout=3.0)
        self.step()
        self.clock.advance(3)
        error = self.failureResultOf(asked, ClusterError).value
        self.assertIn("the stop may have been delivered", str(error))


class SystemTests(RemoteCase):
    """``remote.sys``."""

    def test_get_state(self) -> None:
        """The state is copied."""
        state = {"a": [1]}
        self.hold(state)
        copy = self.result(self.remote.sys.get_state())
        self.assertEqual(copy, state)
        self.assertIsNot(copy, state)

    def test_state_is_no_value(self) -> None:
        """A state that is no MessagePack value is a TypeError that shows which part."""
        self.hold({"a": (1,)})
        error = self.error(self.remote.sys.get_state(), TypeError)
        self.assertTrue(str(error).startswith('state["a"]: expected a MessagePack value'))
        error = self.error(self.remote.sys.get_status(), TypeError)
        self.assertTrue(str(error).startswith('status["state"]["a"]: expected a MessagePack'))

    def test_get_status(self) -> None:
        """The status passes through format_status, and has values only."""
        client = self.open(Named(), 5, debug=["log"])
        self.successResultOf(self.serve(client).start())
        status = self.result(self.remote.sys.get_status())
        self.assertEqual(status["extra"], 5)
        self.assertEqual(status["handler"], f"{__name__}.Named")
        self.assertEqual(status["version"], 3)
        self.assertEqual(status["conn"], "ws://example.test/feed")

    def test_trace(self) -> None:
        """Tracing is started and stopped."""
        self.hold()
        self.assertIsNone(self.result(self.remote.sys.trace(False)))
        self.failureResultOf(self.remote.sys.trace(1), ValueError)  # type: ignore[arg-type]

    def test_trace_of_ended_client(self) -> None:
        """On a client that has ended, it fails as it does locally."""
        self.hold()
        self.client.stop()
        self.peer.drop()
        self.step()
        self.error(self.remote.sys.trace(True), NotConnectedError)


class HostileTests(RemoteCase):
    """Any process that NATS allows to may reply."""

    @each(
        [
            ("status", "x"),
            ("status", 5),
            ("status", []),
            ("stop", 5),
            ("sys.get_status", None),
            ("sys.get_status", "x"),
        ]
    )
    def test_wrong_result(self, method: str, result: Any) -> None:
        """A result of the wrong type is a ClusterError."""
        reply = encode_reply([[True, result]])
        for group in ("read", "control"):
            self.holder_link.subscribe(f"wsx.b.{group}.feed", lambda _: succeed(reply))
        target: Any = self.remote.sys if method.startswith("sys.") else self.remote
        asked = getattr(target, method.removeprefix("sys."))()
        self.assertIn("malformed reply", str(self.error(asked, ClusterError)))


class ReprTests(RemoteCase):
    """The ``repr`` of a reference."""

    def test_repr(self) -> None:
        """It shows the name, the host and the process id."""
        shown = "<wsx.RemoteClient Global(key='feed') on host1, pid 4711>"
        self.assertEqual(repr(self.remote), shown)
        self.assertEqual(self.remote.name, NAME)
        self.assertIs(self.remote.holder, HOLDER)


class FaultTests(RemoteCase):
    """Casts while requests and replies get lost at random."""

    COUNT = 10_000

    def setUp(self) -> None:
        super().setUp()
        self.acknowledged: list[int] = []
        self.failed: list[int] = []
        self.link.latency = 0.003

    def cast(self, number: int) -> None:
        """Cast a number, and record what becomes of it."""

        def fail(failure: Any) -> None:
            failure.trap(ClusterError, MailboxFullError, UnknownNameError)
            self.failed.append(number)

        asked = self.remote.cast(number, timeout=1.0)
        asked.addCallbacks(lambda _: self.acknowledged.append(number), fail)

    def cast_all(self, source: random.Random, mailbox_limit: int) -> None:
        """Cast all numbers, a few in each iteration."""
        self.hold(mailbox_limit=mailbox_limit)
        number = 0
        while number < self.COUNT:
            for _ in range(min(source.randrange(30), self.COUNT - number)):
                self.cast(number)
                number += 1
            if source.random() < 0.1:
                self.change_faults(source)
            self.clock.advance(source.choice([0, 0.001, 0.002, 0.05]))
        self.link.is_connected = True
        self.client.sys.resume()
        self.clock.pump([0.01] * 10)  # One large step would let the time limits expire first.
        self.clock.advance(10)

    def change_faults(self, source: random.Random) -> None:
        """Begin or end faults."""
        self.link.loses_requests = source.random() < 0.2
        self.link.loses_replies = source.random() < 0.2
        self.link.is_connected = source.random() < 0.9
        self.holder_link.loses_requests = source.random() < 0.1
        if source.random() < 0.2:
            self.client.sys.suspend()
        else:
            self.client.sys.resume()

    @each(range(5))
    def test_casts(self, seed: int) -> None:
        """Every cast is acknowledged or fails, and none is delivered twice or out of order.

        None is acknowledged without delivery.
        """
        self.cast_all(random.Random(seed), mailbox_limit=100)
        delivered = self.recorder.arguments("handle_cast")
        self.assertEqual(sorted([*self.acknowledged, *self.failed]), list(range(self.COUNT)))
        self.assertEqual(delivered, sorted(set(delivered)))
        self.assertEqual(set(self.acknowledged) - set(delivered), set())
        # Each kind of fault has occurred.
        self.assertGreater(len(self.acknowledged), self.COUNT / 4)
        self.assertGreater(len(set(self.failed) & set(delivered)), 100)
        self.assertGreater(len(set(self.failed) - set(delivered)), 100)

    def test_full_mailbox(self) -> None:
        """Without other faults, exactly the casts that were not delivered have failed."""
        self.change_faults = self.suspend  # type: ignore[method-assign]
        self.cast_all(random.Random(14), mailbox_limit=100)
        delivered = self.recorder.arguments("handle_cast")
        self.assertEqual(self.acknowledged, delivered)
        self.assertEqual(sorted([*delivered, *self.failed]), list(range(self.COUNT)))
        self.assertGreater(len(self.failed), 100)

    def suspend(self, source: random.Random) -> None:
        """Suspend or resume the client."""
        if source.random() < 0.5:
            self.client.sys.suspend()
        else:
            self.client.sys.resume()
