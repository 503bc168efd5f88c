"""Tests of ``client.sys.change_code``."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed

import wsx
from wsx import Close, NotConnectedError, Ok, Reconnect, Reply
from wsx.test.support import Recorder, case, text
from wsx.test.support.each import each
from wsx.test.support.system import FIRST, NEW, Second, SystemCase


def fail_half_way(handler: Any, state: Any) -> Any:
    handler.added = 1
    del handler.answers
    raise RuntimeError("on purpose")


async def fail_later(handler: Any, state: Any) -> Any:
    handler.added = 1
    await succeed(None)
    raise RuntimeError("on purpose")


FAILURES: list[tuple[str, Any, type[BaseException]]] = [
    ("raises", RuntimeError("on purpose"), RuntimeError),
    ("raises half way", fail_half_way, RuntimeError),
    ("raises later", fail_later, RuntimeError),
    ("Exit", wsx.Exit("reason"), wsx.Exit),
    ("nonsense", "nonsense", wsx.BadResponseError),
    ("nonsense later", lambda *_: succeed(5), wsx.BadResponseError),
    ("Reply", Reply(wsx.Text("x"), NEW), wsx.BadResponseError),
    ("Close", Close(NEW), wsx.BadResponseError),
    ("Reconnect", Reconnect(NEW), wsx.BadResponseError),
    ("cancelled", CancelledError(), CancelledError),
]


class ChangeCodeTests(SystemCase):
    """[Y6] ``change_code``; changes of a module on disk are tested in test_code_change."""

    def change(self, answer: Any, client: wsx.Client[Any], cls: Any = Second) -> Deferred[Any]:
        """Change to a class whose ``code_change`` returns this."""
        self.handler.answers["code_change"] = answer
        return client.sys.change_code(cls, "old", "more")

    def assert_old(self, client: wsx.Client[Any]) -> None:
        """Assert that class, object, attributes and state are unchanged."""
        self.assertIs(type(self.handler), Recorder)
        self.assertIs(client.handler, self.handler)
        self.assertEqual(client.sys.get_state(), FIRST)
        status = client.sys.get_status()
        self.assertEqual((status["handler"], status["version"]), (Recorder, None))
        self.assertFalse(hasattr(self.handler, "added"))
        client.cast("works")
        self.step()
        self.assertEqual(self.handler.calls[-1], ("handle_cast", "works", FIRST))

    def test_arguments(self) -> None:
        """[Y6] ``code_change`` of the new class gets the old version, the state and ``extra``."""
        client = self.opened()
        self.successResultOf(self.change(Ok(NEW), client))
        self.assertEqual(self.handler.calls[-1], ("code_change", ("old", "more"), FIRST))
        self.assertEqual(client.sys.get_state(), NEW)

    def test_default(self) -> None:
        """[Y6] A class without ``code_change`` keeps the state."""

        class Plain(Recorder):
            def handle_cast(self, message: Any, state: Any) -> Any:
                return Reply(wsx.Text("plain"), state)

        client = self.opened()
        self.assertIsNone(self.successResultOf(client.sys.change_code(Plain)))
        client.cast("x")
        self.step()
        self.assertEqual(self.peer.received(), [(1, b"plain")])
        self.assertEqual(client.sys.get_state(), FIRST)

    def test_none(self) -> None:
        """[Y6] If ``code_change`` returns None, the state stays the same."""
        client = self.opened()
        self.successResultOf(self.change(None, client))
        self.assertIs(type(self.handler), Second)
        self.assertEqual(client.sys.get_state(), FIRST)

    def test_attributes_stay(self) -> None:
        """[Y6] The handler is the same object, with its attributes and its client."""
        client = self.opened()
        calls = self.handler.calls
        self.successResultOf(self.change(Ok(NEW), client))
        self.assertIs(client.handler, self.handler)
        self.assertIs(self.handler.calls, calls)
        self.assertIs(self.handler.client, client)

    def test_connection_stays(self) -> None:
        """[Y6] The connection stays open, and no frame is lost or sent twice."""
        client = self.opened()
        self.peer.send(text("1"))
        self.successResultOf(self.change(Ok(NEW), client))
        self.peer.send(text("2"))
        self.assertEqual(self.notes("handle_frame"), [wsx.Text("1"), wsx.Text("2")])
        self.assertEqual(self.peer.received(), [])
        self.assertEqual(self.server.attempts, 1)

    @each(FAILURES)
    def test_failing(self, way: str, answer: Any, error: type[BaseException]) -> None:
        """[Y6] Each kind of failure fails the Deferred, and keeps the old class and state."""
        client = self.enter("open")
        self.failureResultOf(self.change(answer, client), error)
        self.assert_old(client)

    def test_bad_response(self) -> None:
        """[Y6] For an invalid result, the BadResponseError names ``code_change``."""
        client = self.opened()
        error = self.failureResultOf(self.change("nonsense", client), wsx.BadResponseError).value
        self.assertEqual((error.response, error.callback), ("nonsense", "code_change"))
        self.assertEqual(error.arguments, ("old", FIRST, "more"))

    def test_wrong_class(self) -> None:
        """[Y6] A value that is not a Handler subclass fails the Deferred and changes nothing."""
        client = self.opened()
        for wrong in (None, 5, "Second", int, object, Second(), wsx.Handler[int]):
            with case(wrong):
                changed = client.sys.change_code(wrong)  # type: ignore[arg-type]
                self.failureResultOf(changed, TypeError)
        self.assert_old(client)

    def test_other_slots(self) -> None:
        """[Y6] An object that cannot get the new class because of its slots fails the Deferred."""

        class Slotted(Recorder):
            __slots__ = ("slot",)

        client = self.opened()
        self.failureResultOf(client.sys.change_code(Slotted), TypeError)
        self.assert_old(client)

    def test_same_slots(self) -> None:
        """[Y6] Attributes in slots are kept, and restored if ``code_change`` fails."""

        class Old(Recorder):
            __slots__ = ("slot",)
            slot: str

        class New(Recorder):
            __slots__ = ("slot",)
            slot: str

            def code_change(self, old_version: Any, state: Any, extra: Any) -> Any:
                self.slot = "changed"
                if extra == "fail":
                    raise RuntimeError("on purpose")

        handler = Old()
        handler.slot = "old"
        client = self.open(handler)
        self.failureResultOf(client.sys.change_code(New, extra="fail"), RuntimeError)
        self.assertIs(type(handler), Old)
        self.assertEqual(handler.slot, "old")
        self.successResultOf(client.sys.change_code(New))
        self.assertEqual(handler.slot, "changed")

    def test_base_class(self) -> None:
        """[Y6] Any subclass of Handler is accepted, related to the old class or not."""

        class Stranger(wsx.Handler[Any]):
            def handle_cast(self, message: Any, state: Any) -> Any:
                return Reply(wsx.Text("stranger"), state)

        client = self.opened()
        self.successResultOf(client.sys.change_code(Stranger))
        client.cast("x")
        self.step()
        self.assertEqual(self.peer.received(), [(1, b"stranger")])

    def test_inside_a_batch(self) -> None:
        """[Y6] Requested in a callback, the change precedes the next frame."""
        client = self.opened()
        seen: list[tuple[type, Any]] = []

        def frame(frame: Any, state: Any) -> Any:
            seen.append((type(self.handler), state))
            if frame == wsx.Text("1"):
                client.sys.change_code(Second)
                seen.append((type(self.handler), client.sys.get_state()))
                return Ok("answered")
            return None

        self.handler.answers["handle_frame"] = frame
        self.peer.send(text("1") + text("2") + text("3"))
        self.step()
        converted = (Second, ("answered", "converted"))
        self.assertEqual(seen, [(Recorder, FIRST), (Recorder, FIRST), converted, converted])

    def test_order_of_requests(self) -> None:
        """[Y6] [Y1] Requests that wait for a callback are served in order, whatever their kind."""
        client = self.enter("callback pending")
        client.sys.replace_state(lambda state: f"{state} 1")
        client.sys.change_code(Second)
        client.sys.replace_state(lambda state: (*state, "2"))
        self.settle(Ok("answered"))
        self.assertEqual(client.sys.get_state(), ("answered 1", "converted", "2"))

    def test_coroutine(self) -> None:
        """[Y6] An asynchronous ``code_change`` is awaited; events wait meanwhile."""

        async def later(handler: Any, state: Any) -> Any:
            return Ok((state, await self.waits()))

        client = self.opened()
        changed = self.change(later, client)
        self.peer.send(text("1"))
        client.cast("2")
        self.step()
        self.assertNoResult(changed)
        self.assertEqual(client.sys.get_state(), FIRST)
        self.assertEqual(self.notes("handle_frame", "handle_cast"), [])
        self.assertTrue(self.peer.transport.reading_paused)
        self.settle(NEW)
        self.successResultOf(changed)
        self.assertEqual(self.notes("handle_frame", "handle_cast"), [wsx.Text("1"), "2"])
        self.assertEqual(self.handler.calls[-1][2], (FIRST, NEW))
        self.assertFalse(self.peer.transport.reading_paused)

    def test_failing_later(self) -> None:
        """[Y6] If ``code_change`` fails later, waiting events are delivered to the old class."""
        client = self.opened()
        changed = self.change(self.waits, client)
        client.cast("waits")
        self.pending.errback(RuntimeError("on purpose"))
        self.step()
        self.failureResultOf(changed, RuntimeError)
        self.assertEqual(self.handler.calls[-1], ("handle_cast", "waits", FIRST))
        self.assert_old(client)

    @each(("open", "waiting to reconnect"))
    def test_stop_meanwhile(self, state: str) -> None:
        """[Y6] A ``code_change`` that ``stop`` cancels leaves the old class."""
        client = self.enter(state)
        changed = self.change(self.waits, client)
        client.stop()
        self.clock.pump([1.0] * 20)
        self.failureResultOf(changed, CancelledError, NotConnectedError)
        self.assertIs(type(self.handler), Recorder)
        self.assertEqual(self.handler.calls[-1], ("terminate", wsx.Shutdown(), FIRST))

    def test_cancelled_meanwhile(self) -> None:
        """[Y6] Cancelling the Deferred of a pending ``code_change`` keeps the old class."""
        client = self.opened()
        changed = self.change(self.waits, client)
        changed.cancel()
        self.failureResultOf(changed, CancelledError)
        self.step()
        self.assert_old(client)

    def test_cancelled_before(self) -> None:
        """[Y6] A change that is cancelled while it waits for a callback never begins."""
        client = self.enter("callback pending")
        changed = self.change(Ok(NEW), client)
        changed.cancel()
        self.failureResultOf(changed, CancelledError)
        self.settle()
        self.assertNotIn("code_change", self.handler.names)
        self.handler.answers.clear()
        self.assert_old(client)

    def test_drop_meanwhile(self) -> None:
        """[Y6] A loss during ``code_change`` is delivered to the new class."""
        client = self.opened()
        changed = self.change(self.waits, client)
        self.peer.drop()
        self.step()
        self.assertEqual(self.notes("handle_disconnect"), [])
        self.settle(Ok(NEW))
        self.successResultOf(changed)
        self.assertEqual(self.handler.names[-2:], ["handle_disconnect", "terminate"])
        self.assertEqual(self.handler.calls[-1][2], NEW)

    def test_terminate_of_the_new_class(self) -> None:
        """[Y6] After a change while ending, the new class's ``terminate`` is called."""
        called: list[Any] = []

        class Last(Second):
            def terminate(self, reason: Any, state: Any) -> None:
                called.append(state)

        client = self.enter("ending")
        self.successResultOf(self.change(Ok(NEW), client, Last))
        self.end(client)
        self.assertEqual(called, [NEW])

    def test_for_one_client(self) -> None:
        """[Y6] Another client with a handler of the old class keeps that class."""
        other = Recorder()
        self.open(other)
        self.successResultOf(self.change(Ok(NEW), self.opened()))
        self.assertIs(type(other), Recorder)

    def test_again(self) -> None:
        """[Y6] Successive changes each get the version before them."""

        class Third(Second):
            version = "3"

        client = self.opened()
        del self.handler.answers
        self.handler.answers = {}
        for cls in (Second, Third, Second):
            self.successResultOf(client.sys.change_code(cls, client.sys.get_status()["version"]))
            self.assertEqual(client.sys.get_status()["version"], cls.version)
        changes = [argument[0] for argument in self.handler.arguments("code_change")]
        self.assertEqual(changes, [None, "2", "3"])
