"""Tests of ``wsx.Requests`` and ``client.request``."""

from __future__ import annotations

import itertools
import json
import random
import re
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

import wsx
from wsx import Binary, DuplicateKeyError, NoReplyError, Ok, Ping, ReplyTimeout, Text
from wsx.test.support import Recorder, case, close, server_frame, text
from wsx.test.support.each import each
from wsx.test.support.ends import EndCase, reasons


class Api(wsx.Requests, Recorder):
    """A handler of JSON messages whose replies have the ``id`` of the request."""

    def reply_key(self, frame: Any) -> Any:
        return json.loads(frame.payload).get("id")


def reply(key: Any, result: Any = "done") -> bytes:
    """Return a reply as the server sends it."""
    return text(json.dumps({"id": key, "result": result}))


def event(name: str) -> bytes:
    """Return a message that is not a reply."""
    return text(json.dumps({"event": name}))


class RequestCase(EndCase):
    """A client with requests.

    Attributes:
        handler: The handler of the client.
        client: The client.
    """

    handler: Any

    def begin(self, handler: Any = None, **options: Any) -> None:
        """Open the client."""
        self.handler = Api() if handler is None else handler
        self.client = self.open(self.handler, **options)

    def ask(self, key: Any = 1, **options: Any) -> Deferred[Any]:
        """Send a request."""
        return self.client.request(Text(json.dumps({"id": key})), key=key, **options)

    def events(self) -> list[str]:
        """Return the names of the events that ``handle_frame`` has received."""
        frames = self.handler.arguments("handle_frame")
        return [json.loads(frame.payload).get("event") for frame in frames]

    def end(self, how: str) -> None:
        """Call a method of the client that ends it."""
        getattr(self.client, how)()

    def say(self, *messages: bytes) -> None:
        """Send messages in one read."""
        self.peer.send(b"".join(messages))
        self.step()


class MatchTests(RequestCase):
    """Replies and other messages."""

    def test_reply(self) -> None:
        """The frame is sent, and the Deferred fires with the reply."""
        self.begin()
        answer = self.ask(7)
        self.assertEqual(self.peer.received(), [(1, b'{"id": 7}')])
        self.assertNoResult(answer)
        self.say(reply(7, [1]))
        self.assertEqual(json.loads(self.successResultOf(answer).payload), {"id": 7, "result": [1]})
        self.assertEqual(self.events(), [])

    def test_out_of_order(self) -> None:
        """Replies may arrive in any order, in one read."""
        self.begin()
        answers = {key: self.ask(key) for key in (1, 2, "three")}
        self.say(reply("three"), reply(1))
        self.assertNoResult(answers[2])
        self.say(reply(2))
        for key, answer in answers.items():
            self.assertEqual(json.loads(self.successResultOf(answer).payload)["id"], key)

    def test_others(self) -> None:
        """Other messages, and replies without a request, are passed to ``handle_frame``."""
        self.begin()
        answer = self.ask(1)
        self.say(event("a"), reply(99), reply(1), event("b"), reply(1))
        self.successResultOf(answer)
        self.assertEqual(self.events(), ["a", None, "b", None])

    def test_order(self) -> None:
        """A reply takes effect in order with the messages around it."""
        self.begin()
        order = self.handler.calls
        self.ask(1).addCallback(lambda _: order.append(("reply", None, None)))
        self.say(event("a"), reply(1), event("b"))
        self.assertEqual(self.handler.names[1:], ["handle_frame", "reply", "handle_frame"])

    def test_binary(self) -> None:
        """Requests and replies may be binary; pings and pongs are no replies."""
        self.begin()
        answer = self.client.request(Binary(b'{"id": 1}'), key=1)
        self.say(server_frame(9, b'{"id": 1}'), server_frame(10, b'{"id": 1}'))
        self.assertNoResult(answer)
        self.say(server_frame(2, b'{"id": 1}'))
        self.assertEqual(self.successResultOf(answer), Binary(b'{"id": 1}'))
        self.assertEqual(self.handler.names[1:], ["handle_ping", "handle_pong"])

    def test_key_again(self) -> None:
        """A key may be used again after the reply."""
        self.begin()
        for result in ("first", "second"):
            answer = self.ask(1)
            self.say(reply(1, result))
            self.assertIn(result, self.successResultOf(answer).payload)

    def test_only_while_open(self) -> None:
        """``reply_key`` is not called while no request is open."""
        self.begin()
        self.say(text("not JSON"))
        self.assertEqual(len(self.handler.arguments("handle_frame")), 1)
        self.assertEqual(self.client.status, "open")

    def test_request_in_a_callback_of_the_reply(self) -> None:
        """A callback of the Deferred may send the next request, with the same key."""
        self.begin()
        answers: list[Any] = []
        self.ask(1).addCallback(lambda _: self.ask(1)).addCallback(answers.append)
        self.say(reply(1, "first"))
        self.assertEqual(len(self.peer.received()), 2)
        self.say(reply(1, "second"))
        self.assertIn("second", answers[0].payload)

    @each(("stop", "abort"))
    def test_end_in_a_callback_of_the_reply(self, how: str) -> None:
        """A callback of the Deferred may end the client; the rest of the read is dropped."""
        self.begin()
        self.ask(1).addCallback(lambda _: self.end(how))
        self.say(reply(1), event("a"))
        self.lose()
        self.assert_ended(self.client, wsx.Shutdown())
        self.assertEqual(self.events(), [])


class WaitTests(RequestCase):
    """Requests that a callback awaits."""

    def wait_in(self, callback: str, **options: Any) -> list[Any]:
        """Open a client whose callback awaits a request; return the list of its replies."""
        answers: list[Any] = []

        async def wait(argument: Any, state: Any) -> Any:
            answers.append(await self.handler.client.request(Text("{}"), key="k", timeout=20.0))
            return Ok("new")

        self.handler = Api(**{callback: wait})
        started = self.start(self.handler, **options)
        self.peer.answer()
        self.step()
        if callback != "handle_connect":
            self.client = self.successResultOf(started)
        else:
            self.client = self.handler.client
        return answers

    def test_handle_connect(self) -> None:
        """``handle_connect`` may await a reply, for example to log in."""
        answers = self.wait_in("handle_connect")
        self.assertNoResult(self.client.when_open())
        self.say(reply("k"))
        self.assertEqual((len(answers), self.client.sys.get_state()), (1, "new"))
        self.successResultOf(self.client.when_open())

    def test_frames_before_the_reply(self) -> None:
        """Messages that arrive before the reply are delivered after the callback."""
        answers = self.wait_in("handle_connect")
        for name in ("a", "b"):
            self.say(event(name))
            self.assertFalse(self.peer.transport.reading_paused)
        self.assertEqual(self.events(), [])
        self.say(reply("k"), event("c"))
        self.assertEqual((len(answers), self.events()), (1, ["a", "b", "c"]))
        self.assertFalse(self.peer.transport.reading_paused)

    def test_frames_that_wait_already(self) -> None:
        """A request resumes reading that was paused for messages that wait."""
        self.begin(Api(handle_frame=lambda frame, state: Deferred()))
        self.say(event("a"), event("b"))
        self.assertTrue(self.peer.transport.reading_paused)
        answer = self.ask()
        self.step()
        self.assertFalse(self.peer.transport.reading_paused)
        self.say(reply(1))
        self.successResultOf(answer)
        self.assertTrue(self.peer.transport.reading_paused)

    def test_pause_after_the_timeout(self) -> None:
        """Reading is paused again when the last request has failed."""
        self.begin(Api(handle_frame=lambda frame, state: Deferred()))
        answer = self.ask(timeout=5.0)
        self.say(event("a"), event("b"))
        self.assertFalse(self.peer.transport.reading_paused)
        self.pass_time(5)
        self.failureResultOf(answer, ReplyTimeout)
        self.assertTrue(self.peer.transport.reading_paused)

    def test_limit(self) -> None:
        """Not more than about 1 MiB is queued for the sake of a reply."""
        self.begin(Api(handle_frame=lambda frame, state: Deferred()))
        self.ask().addErrback(lambda _: None)
        big, count = event("x" * 100_000), 0
        while not self.peer.transport.reading_paused and count < 30:
            self.say(big)
            count += 1
        self.assertTrue(10 <= count <= 14, count)
        self.ask(2).addErrback(lambda _: None)
        self.step()
        self.assertTrue(self.peer.transport.reading_paused)

    def test_limit_is_restored(self) -> None:
        """Once the messages were delivered, the next request may queue as much."""
        answers = self.wait_in("handle_connect")
        for _ in range(8):
            self.say(event("x" * 100_000))
        self.say(reply("k"))
        self.assertEqual(len(self.events()), 8)
        self.handler.answers["handle_frame"] = lambda frame, state: Deferred()
        again = self.ask()
        for _ in range(8):
            self.say(event("x" * 100_000))
        self.assertFalse(self.peer.transport.reading_paused)
        self.say(reply(1))
        self.successResultOf(again)
        self.assertEqual(len(answers), 1)

    def test_suspended(self) -> None:
        """While the client is suspended, nothing is read, and requests time out."""
        self.begin()
        answer = self.ask(timeout=5.0)
        self.client.sys.suspend()
        self.assertTrue(self.peer.transport.reading_paused)
        self.pass_time(5)
        self.failureResultOf(answer, ReplyTimeout)
        self.client.sys.resume()
        self.step()
        self.assertFalse(self.peer.transport.reading_paused)

    def test_suspended_while_a_callback_waits(self) -> None:
        """After ``resume``, the reply is read even if messages wait for the callback."""
        answers = self.wait_in("handle_connect")
        self.say(event("a"))
        self.client.sys.suspend()
        self.assertTrue(self.peer.transport.reading_paused)
        self.client.sys.resume()
        self.step()
        self.assertFalse(self.peer.transport.reading_paused)
        self.say(reply("k"))
        self.assertEqual((len(answers), self.events()), (1, ["a"]))

    def test_stop(self) -> None:
        """``stop`` cancels the callback, which forgets the request."""
        self.wait_in("handle_frame")
        self.say(event("a"))
        self.client.stop()
        self.step()
        self.lose()
        self.assert_ended(self.client, wsx.Shutdown())

    def test_loss(self) -> None:
        """If the connection ends, the error is raised in the callback."""
        failures: list[Failure] = []

        async def wait(argument: Any, state: Any) -> Any:
            try:
                await self.handler.client.request(Text("{}"), key="k")
            except NoReplyError:
                failures.append(Failure())

        self.begin(Api(handle_frame=wait))
        self.say(event("a"))
        self.lose()
        [failure] = failures
        self.assertEqual(failure.value.reason, reasons(self.handler)[0])  # type: ignore[union-attr]


class FailureTests(RequestCase):
    """Requests without a reply."""

    def test_timeout(self) -> None:
        """A request fails after its time; a late reply is passed to ``handle_frame``."""
        self.begin()
        answer = self.ask(7, timeout=5.0)
        self.pass_time(4.5)
        self.assertNoResult(answer)
        self.pass_time(0.5)
        error = self.failureResultOf(answer, ReplyTimeout).value
        self.assertEqual((error.key, error.timeout), (7, 5.0))
        self.assertEqual(str(error), "no reply to request 7 within 5 s")
        self.say(reply(7))
        self.assertEqual((self.events(), self.client.status), ([None], "open"))

    def test_default(self) -> None:
        """The default time limit is 30 seconds; None is no limit."""
        self.begin()
        limited, unlimited = self.ask(1), self.ask(2, timeout=None)
        self.pass_time(30)
        self.failureResultOf(limited, ReplyTimeout)
        self.pass_time(1000)
        self.assertNoResult(unlimited)
        self.say(reply(2))
        self.successResultOf(unlimited)

    def test_reply_with_the_timeout(self) -> None:
        """A reply that is read in the reactor iteration of the time limit counts."""
        self.begin()
        answer = self.ask(1, timeout=5.0)
        self.clock.callLater(5.0, lambda: self.clock.callLater(0, self.peer.send, reply(1)))
        self.clock.advance(5.0)
        self.step()
        self.successResultOf(answer)

    def test_cancel(self) -> None:
        """Cancelling the Deferred forgets the request; its key is free again."""
        self.begin()
        answer = self.ask(1)
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.say(reply(1))
        self.assertEqual(self.events(), [None])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        again = self.ask(1)
        self.say(reply(1))
        self.successResultOf(again)

    def test_cancelled_by_a_message_before_the_reply(self) -> None:
        """A reply whose request is cancelled within the same read is another message."""
        self.begin()
        answer = self.ask(1)
        self.handler.answers["handle_frame"] = lambda frame, state: answer.cancel()
        self.say(event("a"), reply(1))
        self.failureResultOf(answer, CancelledError)
        self.assertEqual(self.events(), ["a", None])

    @each(
        [
            ("drop", lambda test: test.peer.drop()),
            ("server_close", lambda test: test.say(close(1012, "restart"))),
            ("close", lambda test: test.client.close(4000)),
            ("stop", lambda test: test.client.stop("enough")),
            ("abort", lambda test: test.client.abort()),
            ("bad_frame", lambda test: test.say(server_frame(3))),
            ("crash", lambda test: test.client.cast("x")),
        ]
    )
    def test_end(self, how: str, end: Any) -> None:
        """However the connection or the client ends, open requests fail with its reason."""
        self.begin(Api(handle_cast=ZeroDivisionError()))
        answers = [self.ask(key) for key in (1, "two")]
        end(self)
        self.step()
        self.lose()
        reason = self.successResultOf(self.client.terminated())
        for key, answer in zip((1, "two"), answers, strict=True):
            error = self.failureResultOf(answer, NoReplyError).value
            self.assertEqual((error.key, error.reason), (key, reason))
        self.assert_ended(self.client, reason)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_before_handle_disconnect(self) -> None:
        """The requests fail before ``handle_disconnect`` is called."""
        self.begin()
        order = self.handler.calls
        self.ask().addErrback(lambda _: order.append(("failed", None, None)))
        self.lose()
        self.assertEqual(
            self.handler.names, ["handle_connect", "failed", "handle_disconnect", "terminate"]
        )

    def test_next_connection(self) -> None:
        """A request belongs to its connection; after a reconnect its key is free."""

        handler = Api(handle_disconnect=lambda status, state: wsx.Reconnect(state, after=1.0))
        self.begin(handler)
        lost = self.ask(1)
        self.come_back()
        self.failureResultOf(lost, NoReplyError)
        answer = self.ask(1)
        self.say(reply(1))
        self.successResultOf(answer)

    def test_text_of_the_reason(self) -> None:
        """The text names the reason, without secrets that the server repeats."""
        self.begin(extra_headers={"Authorization": "Bearer s3cr3t-t0k3n"})
        answer = self.ask("two")
        self.say(close(4001, "no such token: s3cr3t-t0k3n"))
        self.lose()
        shown = str(self.failureResultOf(answer, NoReplyError).value)
        self.assertIn('no reply to request "two": closed by server: 4001 "no such token', shown)
        self.assertNotIn("s3cr3t", shown)


class RefusedTests(RequestCase):
    """Requests that are not sent."""

    def test_duplicate_key(self) -> None:
        """A key that an open request has is an error; nothing is sent."""
        self.begin()
        first, second = self.ask(1), self.ask(1)
        error = self.failureResultOf(second, DuplicateKeyError).value
        self.assertEqual(error.key, 1)
        self.assertIsInstance(error, ValueError)
        self.assertEqual(len(self.peer.received()), 1)
        self.say(reply(1))
        self.successResultOf(first)

    def test_key(self) -> None:
        """A key is hashable and not None."""
        self.begin()
        keys: list[Any] = [None, [], {}]
        for key in keys:
            with case(key):
                answer = self.client.request(Text("x"), key=key)
                error = self.failureResultOf(answer, TypeError).value
                self.assertIn("key: expected a hashable value other than None", str(error))
        self.assertEqual(self.peer.received(), [])

    @each([("nan", float("nan")), ("negative", -1.0), ("text", "x")])
    def test_timeout(self, _: str, timeout: Any) -> None:
        """The timeout is a number of at least 0."""
        self.begin()
        error = self.failureResultOf(self.ask(timeout=timeout), ValueError).value
        self.assertIn("timeout: expected a number of at least 0 or None, got ", str(error))

    @each(
        [("no_frame", "x", wsx.InvalidFrameError), ("long", Ping(b"x" * 126), wsx.FrameEncodeError)]
    )
    def test_frame(self, _: str, frame: Any, kind: type[Exception]) -> None:
        """A frame that cannot be sent fails the request, which is not open then."""
        self.begin()
        self.failureResultOf(self.client.request(frame, key=1), kind)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertNoResult(self.ask(1))

    def test_not_connected(self) -> None:
        """Without an open connection, a request fails at once."""
        self.begin(Api(handle_disconnect=lambda status, state: wsx.Reconnect(state, after=1.0)))
        self.lose()
        error = self.failureResultOf(self.ask(), wsx.NotConnectedError).value
        self.assertEqual(error.connection_state, "disconnected")

    def test_without_the_mixin(self) -> None:
        """The handler must be a ``wsx.Requests``."""
        self.begin(Recorder())
        error = self.failureResultOf(self.ask(), TypeError).value
        self.assertIn("Recorder is not a wsx.Requests", str(error))


class KeyFunctionTests(RequestCase):
    """Handlers whose ``reply_key`` is wrong."""

    def test_missing(self) -> None:
        """Without ``reply_key``, the client ends with an error that names it."""

        class Without(wsx.Requests, Recorder):
            pass

        self.begin(Without())
        self.ask().addErrback(lambda _: None)
        self.say(event("a"))
        self.lose()
        self.assertIn("reply_key", str(self.successResultOf(self.client.terminated())))
        self.assertEqual(len(self.flushLoggedErrors(NotImplementedError)), 1)

    def test_raises(self) -> None:
        """An exception in ``reply_key`` ends the client once; messages before it are delivered."""
        self.begin()
        answer = self.ask()
        self.say(event("a"), text("not JSON"), text("nor this"))
        self.lose()
        self.assertEqual(self.events(), ["a"])
        self.assertIsInstance(self.successResultOf(self.client.terminated()), ValueError)
        self.failureResultOf(answer, NoReplyError)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    @each([("list", []), ("coroutine", None)])
    def test_no_key(self, label: str, value: Any) -> None:
        """A result that cannot be a key is an error."""

        async def nothing() -> None:
            """Do nothing."""

        class Wrong(wsx.Requests, Recorder):
            def reply_key(self, frame: Any) -> Any:
                return nothing() if label == "coroutine" else value

        self.begin(Wrong())
        self.ask().addErrback(lambda _: None)
        self.say(event("a"))
        self.lose()
        reason = self.successResultOf(self.client.terminated())
        self.assertIn(f"reply_key: expected a hashable value or None, got {label}", str(reason))
        self.flushLoggedErrors(TypeError)

    def test_class_change(self) -> None:
        """If the new class of the handler matches no replies, all messages are delivered."""

        class First(Recorder, wsx.Requests):
            reply_key = Api.reply_key

        self.begin(First())
        answer = self.ask(timeout=5.0)
        self.successResultOf(self.client.sys.change_code(Recorder))
        self.say(reply(1))
        self.assertEqual(len(self.events()), 1)
        self.pass_time(5)
        self.failureResultOf(answer, ReplyTimeout)

    def test_new_key_function(self) -> None:
        """The key function of a new class is used at once."""

        class Next(wsx.Requests, Recorder):
            def reply_key(self, frame: Any) -> Any:
                return json.loads(frame.payload).get("number")

        self.begin()
        answer = self.ask(1)
        self.successResultOf(self.client.sys.change_code(Next))
        self.say(text('{"number": 1}'))
        self.successResultOf(answer)


class RandomApi(Api):
    """A handler whose callbacks return at once, wait, or await a request."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.chance = chance
        self.keys = itertools.count(1000)
        self.answered: list[Any] = []
        self.pending: list[Deferred[None]] = []

    async def handle_frame(self, frame: Any, state: Any) -> None:
        self.calls.append(("handle_frame", frame, state))
        choice = self.chance.random()
        if choice < 0.3:
            await self.ask()
        elif choice < 0.5:
            self.pending.append(Deferred())
            await self.pending[-1]

    async def ask(self) -> None:
        """Send a request, and wait for its reply."""
        key = next(self.keys)
        answer = await self.client.request(Text(json.dumps({"id": key})), key=key, timeout=None)
        self.answered.append((key, json.loads(answer.payload)["id"]))


class RandomTests(RequestCase):
    """Random replies and events, in reads of any size, while callbacks wait."""

    @each(tuple(range(20)))
    def test_nothing_is_lost(self, seed: int) -> None:
        """Each request has its reply, and each event is delivered once, in order."""
        chance = random.Random(seed)
        self.begin(RandomApi(chance))
        self.asked: list[int] = []
        names = (f"e{number}" for number in itertools.count())
        sent: list[str] = []
        for _ in range(150):
            action = chance.choice(("send", "send", "ask", "fire", "suspend", "resume"))
            if action == "send" and not self.peer.transport.reading_paused:
                self.send(chance, [next(names) for _ in range(chance.randint(0, 3))], sent)
            elif action == "ask":
                Deferred.fromCoroutine(self.handler.ask())
            elif action == "fire" and self.handler.pending:
                self.handler.pending.pop(0).callback(None)
            elif action in ("suspend", "resume") and chance.random() < 0.3:
                getattr(self.client.sys, action)()
            self.step()
        self.finish(chance, sent)
        self.assertEqual([name for name in self.events() if name], sent)
        self.assertTrue(all(key == answer for key, answer in self.handler.answered))
        self.assertEqual(len(self.handler.answered), next(self.handler.keys) - 1000)

    def send(self, chance: random.Random, names: list[str], sent: list[str]) -> None:
        """Send events and some of the replies that are expected, in one read."""
        self.asked += [json.loads(payload)["id"] for _, payload in self.peer.received()]
        chance.shuffle(self.asked)
        count = chance.randint(0, len(self.asked))
        replies, self.asked = self.asked[:count], self.asked[count:]
        messages = [reply(key) for key in replies]
        for name in names:
            messages.insert(chance.randint(0, len(messages)), event(name))
        sent += re.findall(r"e\d+", b"".join(messages).decode("latin-1"))
        self.peer.send(b"".join(messages))

    def finish(self, chance: random.Random, sent: list[str]) -> None:
        """Let all callbacks return, and send all replies."""
        self.client.sys.resume()
        for _ in range(1000):
            self.step()
            while self.handler.pending:
                self.handler.pending.pop().callback(None)
            self.step()
            if not self.peer.transport.reading_paused:
                self.send(chance, [], sent)
