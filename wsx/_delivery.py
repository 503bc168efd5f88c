"""Calls the handler: one event at a time, each in a fresh step, and carries its state along.

A :class:`Delivery` takes what the mailbox gives, invokes the callback, waits where the callback
answers with a Deferred or is a coroutine, and tells its owner what was decided. It knows nothing of
connections.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from inspect import iscoroutine
from operator import length_hint
from typing import Any, Generic, Protocol, TypeVar

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from wsx._mailbox import Connected, Frames, Lost, Mailbox, Message
from wsx.errors import BadResponseError
from wsx.frames import Binary, Disconnect, Frame, Ping, Text
from wsx.handler import Close, Exit, Handler, Ok, Reconnect, Reply, frames_of, judge

__all__ = ["Delivery", "Owner"]

S = TypeVar("S")

_log = Logger("wsx")


class Owner(Protocol):
    """Who carries out what the handler decides."""

    def reply(self, callback: str, frames: list[object]) -> None:
        """Sends the frames that a callback answered with."""

    def close_from_callback(self, code: int, message: str) -> None:
        """Starts the closing handshake."""

    def disconnect_answered(self, status: Disconnect, decision: Reconnect[Any] | None) -> None:
        """Goes on after ``handle_disconnect``: reconnects, or ends where it is None."""

    def crashed(self, reason: object, failure: Failure | None) -> None:
        """Ends the client; ``failure`` is worth a traceback in the log."""

    def flush(self) -> None:
        """A batch is done: what was gathered may go out."""

    def pause_reading(self) -> None:
        """Frames wait: hold the peer back."""

    def resume_reading(self) -> None:
        """No frames wait any more."""


class _Call:
    """A callback whose answer is awaited."""

    __slots__ = ("answered", "argument", "callback", "deferred")

    def __init__(
        self, callback: str, argument: object, answered: Callable[[], None] | None
    ) -> None:
        self.callback = callback
        self.argument = argument
        self.answered = answered
        self.deferred: Deferred[Any] | None = None


class Delivery(Generic[S]):
    """Delivers to one handler.

    Args:
        handler: whom to call.
        state: the handler's first state.
        mailbox: what to deliver.
        reactor: for later steps.
        owner: is told what the callbacks decide.

    Attributes:
        handler, state: as they are now; the state before a pending callback's answer.
        held: the caller of ``start`` is on the stack: nothing is delivered in this step.
    """

    def __init__(
        self,
        handler: Handler[S],
        state: S,
        mailbox: Mailbox,
        reactor: IReactorTime,
        owner: Owner,
    ) -> None:
        self.handler = handler
        self.state = state
        self._mailbox = mailbox
        self._reactor = reactor
        self._owner = owner
        self.held = False
        self._busy = False  # a delivery is on the stack
        self._ended = False
        self._pending: _Call | None = None
        self._wakeup: IDelayedCall | None = None
        self._batch: Iterator[Frame] = iter(())  # the frames in delivery, from the next one on

    # What comes in

    def received(self, frames: list[Frame]) -> None:
        """Delivers frames that just arrived; called from the reactor."""
        if self._ended:
            return
        if self._busy or self._pending is not None or len(self._mailbox):
            self._mailbox.frames(frames)
            self._owner.pause_reading()
            self.deliver()
        else:
            self._busy = True
            try:
                self._deliver_frames(iter(frames))
            finally:
                self._busy = False
            self._rest()

    def wake(self) -> None:
        """Sees to it that what is in the mailbox is delivered in a later step."""
        if self._wakeup is None and self._pending is None and not self._busy and not self._ended:
            self._wakeup = self._reactor.callLater(0, self._on_wakeup)

    def _on_wakeup(self) -> None:
        self._wakeup = None
        self.deliver()

    def deliver(self) -> None:
        """Delivers what is in the mailbox now; called from the reactor.

        What comes meanwhile waits for the next step, so that a handler that casts to itself
        does not starve the reactor.
        """
        if self.held:
            self.wake()
        if self.held or self._busy or self._pending is not None or self._ended:
            return
        self._busy = True
        try:
            for _ in range(len(self._mailbox)):
                item = self._mailbox.take()
                if item is None:
                    break
                self._deliver_item(item)
                if self._pending is not None:
                    break
        finally:
            self._busy = False
        self._rest()

    def end(self) -> int:
        """Delivers nothing more; a pending callback is cancelled in the next step.

        Returns:
            how many casts and infos were dropped.
        """
        self._ended = True
        for _ in self._batch:
            pass  # an exhausted iterator ends the loop over it, at no cost for each frame
        if self._wakeup is not None:
            self._wakeup.cancel()
            self._wakeup = None
        pending, self._pending = self._pending, None
        if pending is not None and pending.deferred is not None:
            # Later, because the callback itself may be the one who ends the client.
            self._reactor.callLater(0, pending.deferred.cancel)
        dropped = self._mailbox.waiting
        self._mailbox.clear()
        return dropped

    def terminate(self, reason: object) -> Deferred[object]:
        """Calls ``terminate``.

        Returns:
            a Deferred of the reason with which the client ends: an ``Exit`` or an exception in
            ``terminate`` replaces the given one. Cancelling it cancels ``terminate``.
        """
        outcome: Deferred[Any] = maybeDeferred(self.handler.terminate, reason, self.state)
        return outcome.addCallbacks(lambda _: reason, self._terminate_raised, errbackArgs=(reason,))

    def _terminate_raised(self, failure: Failure, reason: object) -> object:
        if isinstance(failure.value, Exit):
            return failure.value.reason
        if failure.check(CancelledError):
            return reason  # it took too long; the owner says so
        self._owner.crashed(failure.value, failure)
        return failure.value

    # What goes out

    def _rest(self) -> None:
        """After a batch: what was gathered goes out, and what is left gets its next step."""
        self._owner.flush()
        if not self._mailbox.has_frames:
            self._owner.resume_reading()
        if len(self._mailbox):
            self.wake()

    def _deliver_item(self, item: Connected | Frames | Lost | Message) -> None:
        if type(item) is Frames:
            self._deliver_frames(item.frames)
        elif type(item) is Message:
            self._invoke(item.callback, item.message)
        elif type(item) is Connected:
            self._invoke("handle_connect", item.conn, item.answered)
        elif type(item) is Lost:
            self._invoke("handle_disconnect", item.status)

    def _deliver_frames(self, batch: Iterator[Frame]) -> None:
        """The hot loop: a callback that answers None or Ok costs nothing beyond its call."""
        handler = self.handler
        self._batch = batch
        for frame in batch:
            kind = type(frame)
            try:
                if kind is Text or kind is Binary:
                    callback = "handle_frame"
                    response = handler.handle_frame(frame, self.state)  # type: ignore[arg-type]
                elif kind is Ping:
                    callback = "handle_ping"
                    response = handler.handle_ping(frame, self.state)  # type: ignore[arg-type]
                else:
                    callback = "handle_pong"
                    response = handler.handle_pong(frame, self.state)  # type: ignore[arg-type]
            except BaseException as error:
                self._raised(error)
                return
            if response is None:
                continue
            if type(response) is Ok:
                self.state = response.state
                continue
            self._take(_Call(callback, frame, None), response)
            if self._pending is not None:
                break
        if length_hint(batch):
            self._mailbox.put_back(batch)
            self._owner.pause_reading()

    def _invoke(
        self, callback: str, argument: object, answered: Callable[[], None] | None = None
    ) -> None:
        try:
            response = getattr(self.handler, callback)(argument, self.state)
        except BaseException as error:
            self._raised(error)
        else:
            self._take(_Call(callback, argument, answered), response)

    def _raised(self, error: BaseException) -> None:
        """A callback raised; what is no Exception (SystemExit) goes on to the reactor as well."""
        self._crash(Failure(error))
        if not isinstance(error, Exception):
            raise error

    def _take(self, call: _Call, response: object) -> None:
        """Takes a callback's response, or waits for it."""
        if iscoroutine(response):
            response = Deferred.fromCoroutine(response)
        if not isinstance(response, Deferred):
            self._conclude(call, response)
            return
        self._pending = call
        call.deferred = response
        response.addCallbacks(
            lambda result: self._settled(call, result),
            lambda failure: self._settled(call, failure),
        )
        if self._ended and self._pending is call:
            self._pending = None
            response.cancel()

    def _settled(self, call: _Call, outcome: object) -> None:
        """The awaited answer is there; in a later step unless the Deferred had it already."""
        if self._pending is not call:  # the client ended meanwhile, and this was cancelled
            if isinstance(outcome, Failure) and not outcome.check(CancelledError, Exit):
                _log.failure("a cancelled {callback} failed", outcome, callback=call.callback)
            return
        self._pending = None
        if isinstance(outcome, Failure):
            self._crash(outcome)
        else:
            self._conclude(call, outcome)
        if not self._busy:
            self._rest()

    def _conclude(self, call: _Call, response: object) -> None:
        """Takes over the new state and has the rest carried out."""
        if self._ended:
            if isinstance(response, (Ok, Reply, Close, Reconnect)):
                self.state = response.state
            return
        arguments = (call.argument, self.state)
        try:
            result = judge(self.handler, call.callback, arguments, response)
        except BadResponseError:
            self._crash(Failure())
            return
        if result is not None:
            self.state = result.state
        if isinstance(result, Reply):
            self._owner.reply(call.callback, frames_of(result))
        elif isinstance(result, Close):
            self._owner.close_from_callback(result.code, result.message)
        elif isinstance(call.argument, Disconnect) and call.callback == "handle_disconnect":
            decision = result if isinstance(result, Reconnect) else None
            self._owner.disconnect_answered(call.argument, decision)
        if call.answered is not None:
            call.answered()

    def _crash(self, failure: Failure) -> None:
        if self._ended:
            return
        if isinstance(failure.value, Exit):
            self._owner.crashed(failure.value.reason, None)
        else:
            self._owner.crashed(failure.value, failure)
