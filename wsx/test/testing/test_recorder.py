"""Tests of the record of callbacks."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

import wsx
from wsx import Close, Ok, Reply, Text
from wsx.test.support.kit import KitCase, Listener
from wsx.testing import PENDING, Call, CloseFrame, run
from wsx.testing.recorder import Recorder


class RecorderTests(KitCase):
    """Calls and their answers."""

    def test_answers(self) -> None:
        """An answer is recorded whether it is returned, awaited or the result of a Deferred."""
        waiting: Deferred[Any] = Deferred()

        class Mixed(Listener):
            def handle_connect(self, conn: Any, state: Any) -> Any:
                return None

            def handle_frame(self, frame: Any, state: Any) -> Any:
                return waiting

            async def handle_info(self, message: Any, state: Any) -> Any:
                return Ok(message)

        with run(Mixed) as feed:
            feed.server.accept().send(Text("a"))
            feed.client.info(5)
            self.assertEqual(feed.calls[-1], ("handle_frame", Text("a"), PENDING))
            self.assertEqual(repr(feed.calls[-1].answer), "PENDING")
            waiting.callback(Reply(Text("b"), 1))
            feed.server.expect(Text("b"))
            self.assertIsNone(feed.calls[0].answer)
            self.assertEqual(feed.calls[1].answer, Reply(Text("b"), 1))
            self.assertEqual(feed.calls[2], Call("handle_info", 5, Ok(5)))

    def test_exceptions(self) -> None:
        """An exception is the answer, wherever it is raised."""

        class Raising(Listener):
            def handle_frame(self, frame: Any, state: Any) -> Any:
                raise KeyError(frame.payload)

        class Later(Listener):
            async def handle_frame(self, frame: Any, state: Any) -> Any:
                raise KeyError(frame.payload)

        class Failing(Listener):
            def handle_frame(self, frame: Any, state: Any) -> Any:
                deferred: Deferred[Any] = Deferred()
                deferred.errback(KeyError(frame.payload))
                return deferred

        for handler in (Raising, Later, Failing):
            with run(handler) as feed:
                feed.server.accept().send(Text("a")).expect(CloseFrame(1011))
                self.assertIsInstance(feed.calls[1].answer, KeyError)
                self.assertEqual(feed.calls[2].callback, "terminate")
                self.assertEqual(len(feed.errors(KeyError)), 1)

    def test_inner_calls(self) -> None:
        """A callback that a callback calls itself is no call of the client."""

        class Sharing(Listener):
            def handle_info(self, message: Any, state: Any) -> Any:
                return self.handle_frame(Text(message), state)

        with run(Sharing) as feed:
            feed.server.accept()
            feed.client.info("a")
            self.assertEqual(feed.state, [Text("a")])
            self.assertEqual([c.callback for c in feed.calls], ["handle_connect", "handle_info"])

    def test_change_code(self) -> None:
        """After a change of the class, the callbacks of the new class are called and recorded."""

        class Quiet(Listener):
            def handle_frame(self, frame: Any, state: Any) -> Any:
                return Close(state, 4000)

            def code_change(self, old_version: Any, state: Any, extra: Any) -> Any:
                return Ok([extra])

        with run(Listener) as feed:
            feed.server.accept()
            feed.client.sys.change_code(Quiet, old_version=1, extra="new")
            self.assertEqual(feed.calls[-1], ("code_change", 1, Ok(["new"])))
            feed.server.send(Text("a")).expect(CloseFrame(4000))
            self.assertEqual(feed.calls[2], ("handle_frame", Text("a"), Close(["new"], 4000)))

    def test_patched_instance(self) -> None:
        """A callback that the test has replaced on the instance is called, and put back."""
        handler = Listener()
        seen: list[Any] = []

        def replaced(frame: Any, state: Any) -> None:
            seen.append(frame)

        handler.handle_frame = replaced  # type: ignore[method-assign]
        with run(handler) as feed:
            feed.server.accept().send(Text("a"))
            self.assertEqual(feed.calls[-1], ("handle_frame", Text("a"), None))
        self.assertEqual(seen, [Text("a")])
        self.assertEqual(set(vars(handler)), {"client", "handle_frame"})

    def test_all_callbacks(self) -> None:
        """Every callback of Handler that gets an event is recorded."""
        handler = Listener()
        recorder = Recorder(handler)
        recorded = set(vars(handler))
        callbacks = {name for name in vars(wsx.Handler) if name.startswith("handle_")}
        self.assertEqual(recorded, callbacks | {"terminate", "code_change"})
        recorder.remove()
        self.assertEqual(vars(handler), {})
