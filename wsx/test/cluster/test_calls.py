"""Tests of wsx._cluster.calls: what is sent together, in which order, and what is answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed

from wsx import ClusterError, MailboxFullError, RemoteError, UnknownNameError
from wsx._cluster.call_format import DONE, MAX_CALLS, encode_reply
from wsx._cluster.values import pack, unpack
from wsx.errors import ClusterSetupError
from wsx.test.support.each import each
from wsx.test.support.remote import NAME, RemoteCase


class CallsCase(RemoteCase):
    """Base class: a holder whose replies the test decides.

    Attributes:
        requests: The lists of calls that arrived.
        reply: Returns the reply to a list of calls.
    """

    def setUp(self) -> None:
        super().setUp()
        self.requests: list[Any] = []
        self.reply: Callable[[Any], Deferred[bytes]] = lambda calls: succeed(
            encode_reply([DONE for _ in calls])
        )
        for group in ("call", "read", "control"):
            self.successResultOf(self.holder_link.subscribe(f"wsx.b.{group}.feed", self.receive))

    def receive(self, request: bytes) -> Deferred[bytes]:
        """Record a request."""
        calls = unpack(request)[1]
        self.requests.append(calls)
        return self.reply(calls)

    def cast(self, message: Any, timeout: float = 5.0) -> Deferred[Any]:
        """Cast without the checks of a RemoteClient."""
        return self.add("cast", message, timeout=timeout)

    def add(self, *call: Any, timeout: float = 5.0, group: str = "call") -> Deferred[Any]:
        """Add a call."""
        return self.calls.add(f"wsx.b.{group}.feed", list(call), timeout, {"name": NAME})


class BatchTests(CallsCase):
    """Calls of one reactor iteration are sent together."""

    def test_together(self) -> None:
        """Casts and infos of one iteration are one request; those of the next are another."""
        asked = [self.cast(1), self.add("info", 2), self.cast(3)]
        self.assertEqual(self.requests, [])
        self.step()
        self.assertEqual(self.requests, [[["cast", 1], ["info", 2], ["cast", 3]]])
        for each_one in asked:
            self.assertIsNone(self.successResultOf(each_one))
        self.cast(4)
        self.step()
        self.assertEqual(self.requests[1:], [[["cast", 4]]])

    def test_slow_calls_alone(self) -> None:
        """A call that may take time has a request of its own, in its place in the order."""
        self.cast(1)
        self.add("send_frame", ["text", "a"], 5.0)
        self.add("send_frame", ["text", "b"], 5.0)
        self.cast(2)
        self.cast(3)
        self.step()
        operations = [[call[0] for call in calls] for calls in self.requests]
        self.assertEqual(operations, [["cast"], ["send_frame"], ["send_frame"], ["cast", "cast"]])

    def test_time_limits(self) -> None:
        """Calls with different time limits are not in one request."""
        for timeout in (1.0, 1.0, 2.0, 1.0):
            self.cast(0, timeout)
        self.step()
        self.assertEqual([len(calls) for calls in self.requests], [2, 1, 1])

    def test_split_by_size(self) -> None:
        """No request is larger than the server of NATS allows, and none is half empty."""
        self.link.max_payload = 100
        messages = ["x" * size for size in (40, 40, 40, 10, 20)]
        asked = [self.cast(message) for message in messages]
        self.step()
        self.assertEqual([call[1] for calls in self.requests for call in calls], messages)
        self.assertEqual([len(calls) for calls in self.requests], [1, 1, 3])
        for each_one in asked:
            self.successResultOf(each_one)

    def test_exact_size(self) -> None:
        """A request may have exactly the largest size."""
        message = "x" * 20
        self.link.max_payload = 5 + 2 * len(pack(["cast", message]))
        for _ in range(4):
            self.cast(message)
        self.step()
        self.assertEqual([len(calls) for calls in self.requests], [2, 2])

    def test_too_large(self) -> None:
        """A message that is too large fails alone, and at once."""
        self.link.max_payload = 100
        asked = [self.cast(message) for message in ("a", "x" * 100, "b")]
        error = self.error(asked[1], ClusterError)
        self.assertIn("NATS accepts 100; it was not sent", str(error))
        self.successResultOf(asked[0])
        self.successResultOf(asked[2])
        self.assertEqual(self.requests, [[["cast", "a"]], [["cast", "b"]]])

    def test_split_by_number(self) -> None:
        """A request has a limited number of calls."""
        for number in range(2 * MAX_CALLS + 1):
            self.cast(number)
        self.step()
        self.assertEqual([len(calls) for calls in self.requests], [MAX_CALLS, MAX_CALLS, 1])

    def test_message_is_changed_afterwards(self) -> None:
        """A message is sent as it was when the call was made."""
        message = [1]
        self.cast(message)
        message.append(2)
        self.step()
        self.assertEqual(self.requests, [[["cast", [1]]]])

    def test_calls_by_a_callback(self) -> None:
        """A call that the answer of another one makes is sent in the next iteration."""
        asked = self.cast(1)
        asked.addCallback(lambda _: self.cast(2))
        self.step()
        self.successResultOf(asked)
        self.assertEqual(self.requests, [[["cast", 1]], [["cast", 2]]])

    def test_callback_while_sending(self) -> None:
        """So is a call that is made because another one cannot be sent."""
        self.link.max_payload = 100
        asked = self.cast("x" * 100).addErrback(lambda _: self.cast(2))
        self.cast(1)
        self.step()
        self.successResultOf(asked)
        self.assertEqual(self.requests, [[["cast", 1]], [["cast", 2]]])


class OutcomeTests(CallsCase):
    """Each call has its own outcome."""

    def test_outcomes(self) -> None:
        """Each call gets the outcome at its place in the reply."""
        outcomes = [DONE, [False, ["MailboxFullError", [5]]], [True, {"a": [1]}], DONE]
        self.reply = lambda calls: succeed(encode_reply(outcomes))
        asked = [self.cast(number) for number in range(4)]
        self.step()
        self.assertIsNone(self.successResultOf(asked[0]))
        self.assertEqual(self.failureResultOf(asked[1], MailboxFullError).value.limit, 5)
        self.assertEqual(self.successResultOf(asked[2]), {"a": [1]})
        self.assertIsNone(self.successResultOf(asked[3]))

    def test_errors_are_separate(self) -> None:
        """Two calls that fail for one reason have separate exceptions."""
        self.link.loses_replies = True
        asked = [self.cast(1), self.cast(2)]
        self.step()
        self.clock.advance(5)
        one, two = (self.failureResultOf(each_one).value for each_one in asked)
        self.assertIsNot(one, two)

    def test_no_holder(self) -> None:
        """Without a holder, calls fail with the name, at once."""
        self.nats.subscriptions.clear()
        asked = [self.cast(1), self.cast(2)]
        self.step()
        for each_one in asked:
            self.assertIs(self.failureResultOf(each_one, UnknownNameError).value.name, NAME)

    def test_refused(self) -> None:
        """A holder that no longer has the name refuses all calls of a request."""
        refusal = pack([1, None, ["UnknownNameError", []]])
        self.reply = lambda calls: succeed(refusal)
        asked = [self.cast(1), self.cast(2)]
        self.step()
        for each_one in asked:
            self.assertIs(self.failureResultOf(each_one, UnknownNameError).value.name, NAME)

    @each(["loses_requests", "loses_replies"])
    def test_lost(self, fault: str) -> None:
        """Without a reply, the call fails after its time limit, and may have been delivered."""
        setattr(self.link, fault, True)
        asked = [self.cast(1, 2.0), self.add("stop", "", timeout=4.0, group="control")]
        self.step()
        self.clock.advance(1.9)
        self.assertNoResult(asked[0])
        self.clock.advance(0.1)
        error = self.failureResultOf(asked[0], ClusterError).value
        self.assertTrue(str(error).endswith("; the cast may have been delivered"), str(error))
        self.assertNoResult(asked[1])
        self.clock.advance(2)
        error = self.failureResultOf(asked[1], ClusterError).value
        self.assertTrue(str(error).endswith("; the stop may have been delivered"), str(error))

    def test_not_connected(self) -> None:
        """Without a connection to NATS, nothing is sent, and the error says so."""
        self.link.is_connected = False
        self.link.max_payload = 0  # Before the first connection it is not known.
        error = self.error(self.cast(1), ClusterError)
        self.assertEqual(str(error), "cluster: not connected to NATS; the cast was not sent")

    def test_no_permission(self) -> None:
        """If NATS refuses a request, it was not delivered, and the error says so."""
        refused = ClusterSetupError("no permission to publish to wsx.b.call.feed")
        self.link.request = lambda *_: fail(refused)  # type: ignore[method-assign]
        error = self.error(self.cast(1), ClusterError)
        text = "cluster: no permission to publish to wsx.b.call.feed; the cast was not sent"
        self.assertEqual(str(error), text)

    def test_other_failure(self) -> None:
        """Any other failure of the link is a ClusterError, too."""
        self.link.request = lambda *_: fail(OSError("broken"))  # type: ignore[method-assign]
        error = self.error(self.cast(1), ClusterError)
        self.assertIn("OSError: broken; the cast may have been delivered", str(error))

    @each(
        [
            b"",
            b"\xc1",
            pack([1, []]),
            pack([1, [DONE, DONE]]),
            pack([2, [DONE]]),
            pack([1, [[True, None, 5]]]),
            b"\x92\x01\x91\x92\xc3\xd6\xff\x00\x00\x00\x00",
            b"\x92\x01\x91\x92\xc3\x81\xc4\x01a\x01",
        ]
    )
    def test_malformed_reply(self, reply: bytes) -> None:
        """A malformed reply is a ClusterError."""
        self.reply = lambda calls: succeed(reply)
        error = self.error(self.cast(1), ClusterError)
        self.assertIn("malformed reply: ", str(error))

    @each([5, None, ["x"], ["SystemExit", []], "text"])
    def test_malformed_error(self, value: Any) -> None:
        """A malformed error is a RemoteError."""
        self.reply = lambda calls: succeed(encode_reply([[False, value]]))
        self.error(self.cast(1), RemoteError)


class CancelTests(CallsCase):
    """The Deferred of a call may be cancelled."""

    def test_before_sending(self) -> None:
        """A call that is cancelled in the same iteration is not sent."""
        asked = [self.cast(1), self.cast(2), self.cast(3)]
        asked[1].cancel()
        self.failureResultOf(asked[1], CancelledError)
        self.step()
        self.assertEqual(self.requests, [[["cast", 1], ["cast", 3]]])
        self.successResultOf(asked[2])

    def test_all_before_sending(self) -> None:
        """If all are cancelled, nothing is sent."""
        asked = self.cast(1)
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.step()
        self.assertEqual(self.requests, [])

    @each(["reply", "failure", "malformed"])
    def test_after_sending(self, outcome: str) -> None:
        """A call that was sent is cancelled at once; the other ones get their outcomes."""
        replies: list[Deferred[bytes]] = []

        def later(_: Any) -> Deferred[bytes]:
            replies.append(Deferred())
            return replies[-1]

        self.reply = later
        asked = [self.cast(1), self.cast(2)]
        self.step()
        asked[0].cancel()
        self.failureResultOf(asked[0], CancelledError)
        if outcome == "failure":
            replies[0].errback(ClusterError("lost"))
        else:
            replies[0].callback(encode_reply([DONE, DONE]) if outcome == "reply" else b"")
        self.step()
        if outcome == "reply":
            self.successResultOf(asked[1])
        else:
            self.failureResultOf(asked[1], ClusterError)


class OrderTests(CallsCase):
    """Calls of one process to a name keep their order."""

    def test_two_references(self) -> None:
        """Also with several references to the name."""
        other = type(self.remote)(self.calls, NAME, "feed", self.remote.holder)
        for number in range(0, 6, 2):
            self.remote.cast(number)
            other.cast(number + 1)
        self.step()
        self.assertEqual([call[1] for calls in self.requests for call in calls], [*range(6)])
