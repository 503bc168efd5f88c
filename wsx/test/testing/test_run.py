"""Tests of the block that runs a handler, and of what is left over at its end."""

from __future__ import annotations

import gc
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python import log

import wsx
from wsx import (
    Backoff,
    Close,
    Disconnect,
    Exit,
    LocalClose,
    Ok,
    Ping,
    Reply,
    RequestError,
    Shutdown,
    Text,
)
from wsx.test.support.kit import AGAIN, Echo, KitCase, Listener, run_echo, run_listener
from wsx.testing import PENDING, CloseFrame, MemoryServer, result_of, run


class StartTests(KitCase):
    """The beginning of the block."""

    def test_class_or_instance(self) -> None:
        """The handler is a class or an instance, as for start."""
        instance = Echo()
        for handler in (Echo, instance, instance):
            with run(handler, 0) as feed:
                feed.server.accept().send(Text("a")).expect(Text("a"))
                self.assertIsInstance(feed.handler, Echo)
                self.assertIs(feed.handler, feed.client.handler)
                self.assertEqual(type(feed.handler), Echo)

    def test_wrong_arguments(self) -> None:
        """Wrong arguments raise what start fails with, and nothing is left."""
        rows: list[tuple[Any, str, dict[str, Any]]] = [
            (TypeError, "recconect (did you mean reconnect?)", {"recconect": None}),
            (wsx.URLError, "unknown scheme", {"url": "ftp://test/"}),
            (ValueError, "ping_interval", {"ping_interval": "x"}),
            (TypeError, "run: reactor: expected no such option", {"reactor": None}),
            (TypeError, "run: endpoint: expected no such option", {"endpoint": None}),
            (TypeError, "handler: expected a subclass", {"handler": Text}),
        ]
        for kind, words, options in rows:
            arguments: Any = {"handler": Echo, **options}

            def block(arguments: Any = arguments) -> None:
                with run(**arguments):
                    self.fail("not reached")

            self.assertIn(words, self.failure_of(block, kind=kind))

    def test_name_in_use(self) -> None:
        """A name that is in use is an error, and the first client is not disturbed."""
        with run_echo(name="feed") as feed:

            def block() -> None:
                with run_echo(name="feed"):
                    self.fail("not reached")

            self.failure_of(block, kind=wsx.AlreadyStartedError)
            feed.server.accept()
            self.assertIs(wsx.whereis("feed"), feed.client)
        self.assertIsNone(wsx.whereis("feed"))

    def test_without_a_block(self) -> None:
        """A run that is not used in a ``with`` statement says so, whatever is done with it."""
        feed = run(Echo, 0)
        for action in (
            lambda: feed.client,
            lambda: feed.state,
            lambda: feed.wait_open(),
            lambda: feed.server.accept(),
        ):
            text = self.failure_of(action)
            self.assertIn("The client was not started: write `with run(...) as feed:`.", text)
        self.assertEqual((feed.calls, feed.reason), ([], None))

    def test_second_block(self) -> None:
        """A run has one block."""
        feed = run_echo()
        with feed:
            feed.server.accept()
        self.assertIn("one `with` block for each run", self.failure_of(feed.__enter__))

    def test_conn(self) -> None:
        """The URL may be a Conn."""
        with run(Echo, 0, wsx.Conn("ws://host/path")) as feed:
            self.assertEqual(feed.server.request.path, "/path")
            feed.server.accept()

    def test_provider(self) -> None:
        """The URL may come from a connection provider, which is called before each attempt."""
        numbers: list[int] = []

        def provide(attempt: wsx.Attempt) -> str:
            numbers.append(attempt.number)
            return f"wss://test/{attempt.number}"

        async def provide_later(attempt: wsx.Attempt) -> wsx.Conn:
            return wsx.Conn(provide(attempt))

        for provider in (provide, provide_later):
            with run(Echo, 0, provider, reconnect=AGAIN) as feed:
                self.assertEqual(feed.server.request.path, "/1")
                feed.server.accept().drop()
                feed.advance(1.0)
                self.assertEqual(feed.server.request.url, "wss://test/2")
                feed.server.accept()
        self.assertEqual(numbers, [1, 2, 1, 2])

    def test_async(self) -> None:
        """Options of start have their usual effect."""
        with run_echo(async_=True, slow_callback=None) as feed:
            feed.client.cast("early")
            feed.server.accept().expect(Text("early"))


class DriveTests(KitCase):
    """Let time pass, and look at the client."""

    def test_state(self) -> None:
        """The state is that after everything that is due now."""
        with run_listener() as feed:
            feed.server.accept()
            feed.client.sys.replace_state(lambda state: [*state, "replaced"])
            self.assertEqual(feed.state, ["replaced"])

    def test_what_is_due(self) -> None:
        """The state, the calls and the reason are those after everything that is due."""

        class Adding(Listener):
            def handle_cast(self, message: Any, state: Any) -> Any:
                return Ok([*state, message])

        with run(Adding) as feed:
            feed.server.accept()
            feed.client.cast(1)
            self.assertEqual(feed.state, [1])
            feed.client.cast(2)
            self.assertEqual(feed.calls[-1], ("handle_cast", 2, Ok([1, 2])))
            feed.client.stop("enough")
            self.assertEqual(feed.reason, Shutdown("enough"))
            feed.server.expect(CloseFrame(1001))

    def test_calls(self) -> None:
        """Calls have the callback, its argument and its answer, in order."""
        with run_echo() as feed:
            feed.server.accept().send(Text("a")).expect(Text("a"))
            feed.server.ping(b"p").expect(wsx.Pong(b"p"))
            feed.server.drop()
            names = ["handle_connect", "handle_frame", "handle_ping", "handle_disconnect"]
            self.assertEqual([call.callback for call in feed.calls], names)
            self.assertEqual(feed.calls[1], ("handle_frame", Text("a"), Reply(Text("a"), 1)))
            self.assertEqual(feed.calls[0].argument, feed.calls[3].argument.conn)
            self.assertIsInstance(feed.calls[3].argument, Disconnect)
            self.assertEqual(feed.calls[3].answer.after, 1.0)

    def test_advance(self) -> None:
        """Timers run at their own time, also those that timers add."""
        times = []

        class Ticking(Listener):
            def handle_connect(self, conn: Any, state: Any) -> Any:
                self.client.send_after(1.5, "tick")

            def handle_info(self, message: Any, state: Any) -> Any:
                times.append(self.client.reactor.seconds())
                if len(times) < 4:
                    self.client.send_after(1.5, "tick")

        with run(Ticking) as feed:
            feed.server.accept()
            feed.advance(100.0)
            self.assertEqual(times, [1.5, 3.0, 4.5, 6.0])
            self.assertEqual(feed.reactor.seconds(), 100.0)

    def test_advance_in_small_steps(self) -> None:
        """Rounding does not delay a timer."""
        with run_echo() as feed:
            feed.server.accept().drop()
            for _ in range(10):
                feed.advance(0.1)
            self.assertEqual(feed.server.attempts, 2)

    def test_advance_backwards(self) -> None:
        """Time does not go back."""
        with run_echo() as feed:
            text = self.failure_of(feed.advance, -1.0, kind=ValueError)
            self.assertEqual(text, "advance: expected at least 0 seconds, got -1.0")

    def test_no_rest(self) -> None:
        """A handler that never comes to rest is reported, and does not hang the test."""
        from wsx.testing import clock

        class Restless(Listener):
            def handle_info(self, message: Any, state: Any) -> Any:
                self.client.info("again")

        self.patch(clock, "_MAX_TURNS", 500)

        def block() -> None:
            with run(Restless) as feed:
                feed.server.accept()
                feed.client.info("first")
                feed.advance(1.0)

        self.assertIn("still had work to do after 500 reactor iterations", self.failure_of(block))

    def test_wait_open(self) -> None:
        """``wait_open`` accepts the attempt, and advances to the next one if necessary."""
        with run_echo() as feed:
            first = feed.wait_open()
            self.assertEqual((first.number, feed.reactor.seconds()), (1, 0.0))
            self.assertIs(feed.wait_open(), first)
            first.drop()
            second = feed.wait_open()
            self.assertEqual((second.number, feed.reactor.seconds()), (2, 1.0))
            second.send(Text("a")).expect(Text("a"))

    def test_wait_open_of_a_script(self) -> None:
        """Attempts with a script are left to the script."""

        def busy(connection: Any) -> Any:
            yield 3.0
            connection.refuse(503)

        with run_echo(server=MemoryServer(busy), handle_initial_conn_failure=True) as feed:
            self.assertEqual(feed.wait_open().number, 2)
            self.assertEqual(feed.reactor.seconds(), 4.0)

    def test_wait_open_in_vain(self) -> None:
        """If the client does not open, the failure says why."""
        with run_echo() as feed:
            feed.server.refuse(404)
            text = self.failure_of(feed.wait_open)
            self.assertIn("wait_open: the client does not open\nThe client has ended: ", text)
            self.assertIn("404", text)
        server = MemoryServer()
        server.down()
        with run_echo(server=server, handle_initial_conn_failure=True) as feed:
            text = self.failure_of(feed.wait_open, 10.0)
            self.assertIn("wait_open: the client has not opened in 10 s\n", text)
            self.assertIn("The client's status is disconnected. Its next timer is due in", text)
            self.assertGreater(feed.server.attempts, 3)

    def test_first_attempt(self) -> None:
        """If the policy does not retry the first attempt, the failure says how to change that."""
        hint = "handle_initial_conn_failure=True"
        with run_echo(reconnect=wsx.Backoff()) as feed:
            feed.server.refuse(503)
            self.assertIn(hint, self.failure_of(feed.wait_open))
        others: list[tuple[int, dict[str, Any]]] = [
            (503, {"reconnect": wsx.Backoff(max_attempts=0), "handle_initial_conn_failure": True}),
            (503, {"reconnect": None}),
            (401, {"reconnect": wsx.Backoff()}),
        ]
        for status, options in others:
            with run_echo(**options) as feed:
                feed.server.refuse(status)
                self.assertNotIn(hint, self.failure_of(feed.wait_open))
        with run_echo(reconnect=wsx.Backoff()) as feed:
            feed.wait_open().close(1008)
            self.assertNotIn(hint, self.failure_of(feed.wait_open))

    def test_wait_open_while_connect_is_pending(self) -> None:
        """A handle_connect that has not completed is named."""

        class Waiting(Listener):
            def handle_connect(self, conn: Any, state: Any) -> Any:
                return Deferred()

        with run(Waiting) as feed:
            text = self.failure_of(feed.wait_open, 1.0)
            self.assertIn("status is open. handle_connect has not completed.", text)
            self.assertIs(feed.calls[-1].answer, PENDING)

    def test_wait_open_after_suspension(self) -> None:
        """What the test has asked of the client happens before time passes."""
        with run_listener() as feed:
            feed.client.sys.suspend()
            feed.server.accept()
            feed.client.sys.resume()
            feed.wait_open()
            self.assertEqual(feed.reactor.seconds(), 0.0)

    def test_reason(self) -> None:
        """The reason is None until the client has ended."""
        with run(Echo, 0) as feed:
            self.assertIsNone(feed.reason)
            feed.server.refuse(401)
            self.assertIsInstance(feed.reason, RequestError)
        with run(Echo, 0) as feed:
            feed.server.accept()
            feed.client.close()
            feed.server.expect(CloseFrame(1000))
            self.assertEqual(feed.reason, LocalClose(1000, ""))

    def test_frames(self) -> None:
        """A script with ``client.frames()`` runs without a reactor."""
        got: list[Any] = []

        async def script(client: wsx.Client[Any]) -> None:
            async for frame in client.frames():
                got.append(frame)
                await client.send_frame(frame)

        with run(wsx.FrameQueue) as feed:
            feed.server.accept()
            ended = ensureDeferred(script(feed.client))
            feed.server.send(Text("a")).expect(Text("a"))
            feed.server.send(Text("b")).expect(Text("b")).close()
            self.assertEqual(got, [Text("a"), Text("b")])
            self.assertIsNone(result_of(ended))

    def test_in_a_callback(self) -> None:
        """A callback may look at its own run; nothing is delivered inside it."""
        seen: list[Any] = []

        class Nosy(Listener):
            def handle_frame(self, frame: Any, state: Any) -> Any:
                feed.server.send(Text("from inside")) if not seen else None
                seen.append((frame, feed.state, len(feed.calls)))
                return Ok([*state, frame])

        with run(Nosy) as feed:
            feed.server.accept().send(Text("a"))
            self.assertEqual(feed.state, [Text("a"), Text("from inside")])
            self.assertEqual(seen[0], (Text("a"), [], 2))

    def test_two_at_a_time(self) -> None:
        """Two clients run beside each other, each with a clock and a server of its own."""
        with run_echo() as one, run_listener() as other:
            one.server.accept().send(Text("a")).expect(Text("a"))
            other.server.accept().send(Text("b"))
            one.advance(5.0)
            self.assertEqual((other.reactor.seconds(), other.state), (0.0, [Text("b")]))


class EndTests(KitCase):
    """The end of the block: the client is stopped, and leftovers are failures."""

    def test_stopped(self) -> None:
        """The client is stopped with 1001, and terminate is called."""
        feed = run_echo()
        with feed:
            feed.server.accept()
        self.assertEqual(feed.reason, Shutdown())
        self.assertEqual(feed.client.status, "terminated")
        self.assertEqual(feed.calls[-1][:2], ("terminate", Shutdown()))
        self.assertEqual(feed.server.received, [CloseFrame(1001)])
        self.assertEqual(list(feed.reactor.getDelayedCalls()), [])
        Logger("app").error("after the end of the block")
        self.assertEqual(feed.errors(), [])

    def test_in_each_state(self) -> None:
        """The client can be stopped in any state, whatever the server does."""

        def pending(feed: Any) -> None:
            pass

        def silent(feed: Any) -> None:
            feed.server.accept().silence()

        def gone(feed: Any) -> None:
            feed.server.accept().half_open()

        def deaf(feed: Any) -> None:
            feed.server.accept().stop_reading()
            feed.client.send_frame(wsx.Binary(bytes(100_000))).addErrback(lambda _: None)

        def closing(feed: Any) -> None:
            feed.server.accept().silence()
            feed.client.close()
            feed.server.expect(CloseFrame(1000))

        def waiting(feed: Any) -> None:
            feed.server.accept().drop()

        def down(feed: Any) -> None:
            feed.server.accept().drop()
            feed.server.down(hang=True)
            feed.advance(1.0)

        for body in (pending, silent, gone, deaf, closing, waiting, down):
            feed = run_listener()
            with feed:
                body(feed)
            self.assertEqual(feed.client.status, "terminated", body)

    def test_pending_callback(self) -> None:
        """A pending callback is cancelled, which is no failure."""

        class Waiting(Listener):
            async def handle_frame(self, frame: Any, state: Any) -> Any:
                await Deferred()

        feed = run(Waiting)
        with feed:
            feed.server.accept().send(Text("a"))
            self.assertIs(feed.calls[-1].answer, PENDING)

    def test_frames(self) -> None:
        """Frames that were not expected are shown, with their connection."""

        def body(feed: Any) -> None:
            feed.server.accept().send(Text("a"), Text("b")).expect(Text("a")).drop()
            feed.wait_open().send(Text("c"))

        self.assertEqual(
            self.left_over(run_echo(), body),
            "the test has left something over:\n\n"
            "connection 1: the client has sent frames that were not expected:\n    Text('b')\n\n"
            "connection 2: the client has sent frames that were not expected:\n    Text('c')",
        )

    def test_close_frames(self) -> None:
        """The handler's own close frame is to be expected; an answer to the server's is not."""

        class Quitter(Listener):
            def handle_frame(self, frame: Any, state: Any) -> Any:
                return Close(state, 4000, "enough")

        def body(feed: Any) -> None:
            feed.server.accept().send(Text("a"))

        self.assertIn("    CloseFrame(4000, 'enough')", self.left_over(run(Quitter), body))
        with run(Quitter) as feed:
            feed.server.accept().close(1001)
        with run(Quitter) as feed:
            feed.server.accept().close(1001).expect(CloseFrame(1001))

    def test_timers(self) -> None:
        """Timers of the handler that the end of the client does not stop are named."""

        class Ticking(Listener):
            def handle_connect(self, conn: Any, state: Any) -> Any:
                self.client.reactor.callLater(7, self.refresh, "prices")
                self.loop = LoopingCall(self.poll)
                self.loop.clock = self.client.reactor
                self.loop.start(5, now=False)
                self.client.send_after(60, "is dropped by the end")
                return Ok([])

            def refresh(self, what: str) -> None:
                pass

            def poll(self) -> None:
                pass

        feed = run(Ticking)
        text = self.left_over(feed, lambda feed: feed.server.accept())
        self.assertIn("timers are still pending after the client has ended:\n    in 5 s: ", text)
        self.assertIn("in 7 s: EndTests.test_timers.<locals>.Ticking.refresh('prices')", text)
        self.assertIn("Ticking.poll", text)
        self.assertNotIn("dropped", text)
        self.assertEqual(list(feed.reactor.getDelayedCalls()), [])

    def test_logged_errors(self) -> None:
        """Logged errors of any logger are shown with their traceback."""

        class Failing(Listener):
            def handle_frame(self, frame: Any, state: Any) -> Any:
                raise KeyError("price")

        def body(feed: Any) -> None:
            feed.server.accept().send(Text("a")).expect(CloseFrame(1011))

        text = self.left_over(run(Failing), body)
        self.assertIn("an error was logged: ", text)
        self.assertIn("raised KeyError (message: Text, 1 character)", text)
        self.assertIn("in handle_frame", text)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

        def others(feed: Any) -> None:
            Logger("app").error("not good: {reason}", reason="x")
            log.err(ValueError("old style"), "why")
            feed.server.accept()
            feed.client.info("nobody handles this")

        class Deaf(wsx.Handler[Any]):
            pass

        text = self.left_over(run(Deaf), others)
        self.assertIn("an error was logged: not good: x", text)
        self.assertIn("old style", text)
        self.assertIn("Deaf has no handle_info", text)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_expected_errors(self) -> None:
        """``errors`` returns logged errors, which are not left over then, nor for trial."""
        with run_echo() as feed:
            log.err(ValueError("expected"))
            log.err(KeyError("other"))
            found = feed.errors(ValueError)
            self.assertEqual([str(one.error) for one in found], ["expected"])
            self.assertEqual(feed.errors(ValueError), [])
            self.assertEqual(len(feed.errors()), 1)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_expected_errors_of_deferreds(self) -> None:
        """``errors`` also returns those of Deferreds that nothing handles."""
        with run_echo() as feed:
            feed.server.accept()
            lost: Any = Deferred()
            lost.errback(ZeroDivisionError("lost"))
            lost.cycle = lost
            del lost
            self.assertEqual(len(feed.errors(ZeroDivisionError)), 1)

    def test_errors_of_what_is_due(self) -> None:
        """``errors`` lets the client do what is due first."""

        class Failing(Listener):
            def handle_cast(self, message: Any, state: Any) -> Any:
                raise KeyError(message)

        with run(Failing) as feed:
            feed.server.accept()
            feed.client.cast("a")
            self.assertEqual(len(feed.errors(KeyError)), 1)
            feed.server.expect(CloseFrame(1011))

    def test_unhandled_deferreds(self) -> None:
        """A Deferred that has failed without an errback is found, also in a cycle."""

        def body(feed: Any) -> None:
            feed.server.accept()
            lost: Any = Deferred()
            lost.errback(ZeroDivisionError("lost"))
            lost.cycle = lost

        def body_with_a_collection(feed: Any) -> None:
            lost: Any = Deferred()
            lost.errback(ZeroDivisionError("lost"))
            lost.cycle = lost
            gc.collect()  # The Deferred is old from now on.
            feed.server.accept()

        for one in (body, body_with_a_collection):
            text = self.left_over(run_echo(), one)
            self.assertIn("Unhandled error in Deferred", text)
            self.assertIn("ZeroDivisionError: lost", text)
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_unused_scripts(self) -> None:
        """Scripts that wait, or were not used, are left over."""

        def first(connection: Any) -> Any:
            connection.accept()
            yield [Text("a"), Ping]

        def second(connection: Any) -> Any:
            connection.accept()
            yield 5.0

        server = MemoryServer(first, second, second)
        text = self.left_over(run_echo(server=server), lambda feed: None)
        self.assertIn("connection 1: the script ", text)
        self.assertIn("first is still waiting for Text('a'), any Ping", text)
        self.assertIn("2 scripts were not used: the client has made 1 attempts to connect", text)

    def test_everything(self) -> None:
        """All leftovers are shown together."""

        def body(feed: Any) -> None:
            feed.server.accept().send(Text("a"))
            feed.client.reactor.callLater(3, print)
            Logger().error("bad")

        text = self.left_over(run_echo(), body)
        self.assertEqual(text.count("\n\n"), 3)
        for words in ("Text('a')", "in 3 s: print()", "an error was logged: bad"):
            self.assertIn(words, text)

    def test_error_in_the_block(self) -> None:
        """An error in the block is not hidden; it shows what was logged, and nothing is left."""

        class Failing(Listener):
            def handle_frame(self, frame: Any, state: Any) -> Any:
                raise KeyError("price")

        feed = run(Failing, name="feed")

        def block() -> None:
            with feed:
                feed.server.accept().send(Text("a"))
                assert feed.state == 1

        error = self.assertRaises(AssertionError, block)
        self.assertIn("logged before that: ", error.__notes__[0])
        self.assertIn("Failing.handle_frame raised KeyError", error.__notes__[0])
        self.assertIsNone(wsx.whereis("feed"))
        self.assertEqual(list(feed.reactor.getDelayedCalls()), [])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_error_while_a_callback_is_pending(self) -> None:
        """The error in the block names a callback that has not completed, unless it says so."""

        class Waiting(Listener):
            def handle_cast(self, message: Any, state: Any) -> Any:
                return Deferred()

        def block(check: Any) -> None:
            with run(Waiting) as feed:
                feed.wait_open()
                feed.client.cast("a")
                check(feed)

        def compare(feed: Any) -> None:
            assert feed.state == 1

        error = self.assertRaises(AssertionError, block, compare)
        self.assertEqual(error.__notes__, ["handle_cast has not completed."])
        error = self.assertRaises(AssertionError, block, lambda feed: feed.server.expect(Text))
        self.assertEqual(str(error).count("handle_cast has not completed."), 1)
        self.assertFalse(hasattr(error, "__notes__"))

    def test_error_in_the_block_of_an_open_client(self) -> None:
        """A client that is open then is aborted, and terminate is called."""
        feed = run_echo()

        def block() -> None:
            with feed:
                feed.server.accept()
                raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, block)
        self.assertEqual(feed.client.status, "terminated")
        self.assertEqual(feed.calls[-1].callback, "terminate")

    def test_terminate_that_hangs(self) -> None:
        """A terminate that does not return is cancelled after its time limit."""

        class Hanging(Listener):
            def terminate(self, reason: Any, state: Any) -> Any:
                return Deferred()

        for limit in (5.0, 500.0):
            feed = run(Hanging, close_timeout=limit)
            with feed:
                feed.server.accept().silence()
            self.assertEqual(feed.client.status, "terminated")
            self.assertEqual(feed.reactor.seconds(), 2 * limit)

    def test_exit(self) -> None:
        """A handler that ends by itself leaves nothing over."""

        class Quitter(Listener):
            def handle_frame(self, frame: Any, state: Any) -> Any:
                raise Exit

        with run(Quitter, reconnect=Backoff()) as feed:
            feed.server.accept().send(Text("a")).expect(CloseFrame(1000))
            self.assertEqual(feed.reason, LocalClose(1000))
            self.assertIsInstance(feed.calls[-2].answer, Exit)
