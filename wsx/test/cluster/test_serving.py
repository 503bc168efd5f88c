"""Tests of wsx._cluster.serving: the holder performs calls, and malformed ones do no harm."""

from __future__ import annotations

import random
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.logger import LogLevel, capturedLogs

from wsx import ClusterError, NotConnectedError, Text, UnknownNameError
from wsx._cluster.call_format import DONE, MAX_CALLS, encode_request
from wsx._cluster.values import pack
from wsx.test.support.each import each
from wsx.test.support.handlers import Recorder
from wsx.test.support.remote import RemoteCase

UNKNOWN = [1, None, ["UnknownNameError", []]]


class CallTests(RemoteCase):
    """Calls are performed in order."""

    def test_casts(self) -> None:
        """Casts and infos are in the mailbox when the reply is sent, in order."""
        self.hold()
        reply = self.request("call", ["cast", 1], ["info", 2], ["cast", [3]])
        self.assertEqual(reply, [1, [DONE, DONE, DONE]])
        self.step()
        messages = [call[:2] for call in self.recorder.calls[1:]]
        self.assertEqual(messages, [("handle_cast", 1), ("handle_info", 2), ("handle_cast", [3])])

    def test_slow_call(self) -> None:
        """A frame that waits for the write buffer delays the reply, but no other call."""
        self.hold()
        self.peer.buffer.pauseProducing()
        calls = [["send_frame", ["text", "a"], 5.0], ["cast", 1]]
        asked = self.link.request("wsx.b.call.feed", encode_request(list(map(pack, calls))), 9.0)
        self.step()
        self.assertEqual(self.recorder.arguments("handle_cast"), [1])
        self.assertEqual(self.request("call", ["cast", 2]), [1, [DONE]])
        self.assertNoResult(asked)
        self.peer.buffer.resumeProducing()
        self.step()
        self.assertEqual(self.successResultOf(asked), pack([1, [DONE, DONE]]))

    def test_errors_of_single_calls(self) -> None:
        """An error of one call concerns no other one."""
        self.hold(mailbox_limit=1)
        reply = self.request("call", ["cast", 1], ["cast", 2], ["send_frame", ["text", "a"], 1.0])
        self.assertEqual(reply, [1, [DONE, [False, ["MailboxFullError", [1]]], DONE]])

    def test_large_reply(self) -> None:
        """A reply that NATS would not accept is replaced by an error."""
        self.hold("x" * 1000)
        self.holder_link.max_payload = 100
        _, outcomes, error = self.request("read", ["get_state"])
        self.assertIsNone(outcomes)
        self.assertEqual(error[0], "ClusterError")
        self.assertIn("NATS accepts 100", error[1][0])


class RejectionTests(RemoteCase):
    """What is rejected, and logged once."""

    def setUp(self) -> None:
        super().setUp()
        self.hold()

    @each(
        [
            ("call", "stop", [""]),
            ("call", "get_state", []),
            ("read", "cast", [1]),
            ("read", "stop", [""]),
            ("control", "cast", [1]),
            ("call", "abort", []),
            ("call", "__init__", []),
        ]
    )
    def test_other_subject(self, group: str, operation: str, arguments: list[Any]) -> None:
        """An operation is possible on its own subject only, which NATS permissions rely on."""
        with capturedLogs() as logged:
            reply = self.request(group, [operation, *arguments])
        succeeded, (kind, (reason,)) = reply[1][0]
        self.assertEqual((succeeded, kind), (False, "ClusterError"))
        self.assertEqual(reason, f'operation "{operation}" is not allowed on wsx.b.{group}.feed')
        self.assertEqual(len(logged), 1)
        self.assertEqual(self.client.status, "open")

    @each(
        [
            ["cast"],
            ["cast", 1, 2],
            ["send_frame", ["text", "a"]],
            ["send_frame", ["close", b""], 5.0],
            ["send_frame", 5, 5.0],
            ["send_frame", ["text", "a"], -1.0],
            ["send_frame", ["text", "a"], float("nan")],
            ["send_frame", ["text", "a"], 1e10],
            ["send_frame", ["text", "a"], None],
            ["send_frame", ["ping", b"x" * 126], 5.0],
        ]
    )
    def test_wrong_arguments(self, call: list[Any]) -> None:
        """Wrong arguments fail the call only."""
        _, (outcome, last) = self.request("call", call, ["cast", "last"])
        self.assertFalse(outcome[0])
        self.assertEqual(last, DONE)
        self.step()
        self.assertEqual(self.recorder.arguments("handle_cast"), ["last"])
        self.assertEqual(self.peer.received(), [])

    @each([["close", "x", ""], ["close", 5, ""], ["close", 1000, 5], ["stop", 5], ["trace", 1]])
    def test_wrong_control(self, call: list[Any]) -> None:
        """Wrong arguments do not end the client."""
        self.assertFalse(self.request("control", call)[1][0][0])
        self.assertEqual(self.client.status, "open")

    @each(
        [
            b"",
            b"{}",
            b"\xc1",
            pack([2, [["cast", 1]]]),
            pack([1, [["cast", 1]] * (MAX_CALLS + 1)]),
            pack([1, [["cast", 1], 5]]),
        ]
    )
    def test_malformed(self, request: bytes) -> None:
        """A malformed request is refused as a whole."""
        _, outcomes, (kind, (reason,)) = self.raw_request("call", request)
        self.assertEqual((outcomes, kind), (None, "ClusterError"))
        self.assertTrue(reason.startswith("the holder rejected a request: "), reason)
        self.assertEqual(self.recorder.arguments("handle_cast"), [])

    @each([b"\x81\xc4\x01a\x01", b"\xd6\xff\x00\x00\x00\x00", b"\xa1\xff"])
    def test_other_values(self, message: bytes) -> None:
        """What is no MessagePack value of this format is not delivered."""
        self.raw_request("call", encode_request([b"\x92\xa4cast" + message]))
        self.step()
        self.assertEqual(self.recorder.arguments("handle_cast"), [])

    def test_log(self) -> None:
        """Rejected requests of a name are logged at most once a minute."""
        with capturedLogs() as logged:
            for _ in range(100):
                self.raw_request("call", b"")
            self.request("read", ["cast", 1])
            self.clock.advance(59)
            self.raw_request("call", b"")
            self.assertEqual(len(logged), 1)
            self.clock.advance(1)
            self.raw_request("call", b"")
        self.assertEqual(len(logged), 2)
        self.assertEqual(logged[0]["log_level"], LogLevel.warn)
        self.assertEqual(logged[0]["subject"], "wsx.b.call.feed")

    def test_random(self) -> None:
        """Whatever is sent, there is a reply, and the client goes on."""
        source = random.Random(14)
        valid = encode_request([pack(["cast", {"a": [1]}]), pack(["info", "b"])])
        for _ in range(2000):
            data = bytearray(valid)
            for _ in range(source.randrange(1, 4)):
                data[source.randrange(len(data))] = source.randrange(256)
            self.raw_request(source.choice(["call", "read", "control"]), bytes(data))
        self.assertEqual(self.client.status, "open")


class NameTests(RemoteCase):
    """Only the holder serves the name."""

    def test_stop(self) -> None:
        """After stop, no process serves the subjects."""
        self.hold()
        self.assertIsNone(self.successResultOf(self.serving.stop()))
        self.assertEqual([s for s in self.nats.subscriptions.values() if s], [])
        self.error(self.remote.cast(1), UnknownNameError)

    def test_request_before_the_subscription_ends(self) -> None:
        """A request that arrives after stop, while the subscription ends, is refused."""
        self.hold()
        serve = self.nats.subscriptions["wsx.b.call.feed"][0]
        self.serving.stop()
        reply = self.successResultOf(serve(encode_request([pack(["cast", 1])])))
        self.assertEqual(reply, pack(UNKNOWN))
        self.step()
        self.assertEqual(self.recorder.arguments("handle_cast"), [])

    def test_lease_expired(self) -> None:
        """A process that was suspended performs nothing once it runs again.

        The error does not say that no client has the name: another process may have performed the
        same request.
        """
        held = [True]
        self.client = self.open(Recorder())
        serving = self.serve(self.client, is_held=lambda: held[0])
        self.successResultOf(serving.start())
        self.assertEqual(self.request("read", ["status"]), [1, [[True, "open"]]])
        held[0] = False
        _, outcomes, error = self.request("read", ["status"])
        self.assertEqual((outcomes, error[0]), (None, "ClusterError"))
        self.assertIn("another process may hold it", error[1][0])

    def test_started_and_stopped(self) -> None:
        """If serving ends before it has subscribed, the subscriptions end as soon as they begin."""
        self.hold()
        self.successResultOf(self.serving.stop())
        subscribing: list[Deferred[Any]] = []
        ended: list[int] = []

        def subscribe(*_: object) -> Deferred[Any]:
            subscribing.append(Deferred())
            return subscribing[-1]

        self.holder_link.subscribe = subscribe  # type: ignore
        serving = self.serve(self.client)
        started = serving.start()
        self.successResultOf(serving.stop())
        for number, each_one in enumerate(subscribing):
            each_one.callback(lambda number=number: ended.append(number))
        self.assertEqual(ended, [0, 1, 2])
        self.assertIsNone(self.successResultOf(started))

    def test_subscription_fails(self) -> None:
        """If one subscription fails, the others are ended, and start fails."""
        self.hold()
        self.successResultOf(self.serving.stop())
        subscribe = self.holder_link.subscribe

        def one_fails(subject: str, serve: Any) -> Any:
            refused = subject == "wsx.b.read.feed"
            return fail(ClusterError("no permission")) if refused else subscribe(subject, serve)

        self.holder_link.subscribe = one_fails  # type: ignore[method-assign]
        failure = self.failureResultOf(self.serve(self.client).start(), ClusterError)
        self.assertIn("no permission", str(failure.value))
        self.assertEqual([s for s in self.nats.subscriptions.values() if s], [])

    def test_client_has_ended(self) -> None:
        """Calls to a client that has ended fail as they do in its process."""
        self.hold()
        self.client.stop()
        self.peer.drop()
        self.step()
        error = self.error(self.remote.cast(1), NotConnectedError)
        self.assertEqual(error.connection_state, "terminated")
        error = self.error(self.remote.send_frame(Text("a")), NotConnectedError)
        self.assertEqual(self.result(self.remote.status()), "terminated")
