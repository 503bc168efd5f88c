"""Calls the handler: one event at a time, each in a fresh step, and carries its state along.

A :class:`Delivery` takes what the mailbox gives, invokes the callback, waits where the callback
answers with a Deferred or is a coroutine, and tells its owner what was decided. Between two events
it serves requests, which change the state or the handler's class. It knows nothing of connections.

The module is long because one question, whether the handler is at work, decides what comes in, what
is done between two events, and what goes out: the three sections of the class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from inspect import iscoroutine
from operator import length_hint
from typing import Any, Final, Generic, Protocol, TypeVar

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from wsx import telemetry
from wsx._client.class_change import change_class
from wsx._client.mailbox import Connected, Frames, Lost, Mailbox, Message
from wsx.errors import BadResponseError, NotConnectedError
from wsx.frames import Binary, Frame, Ping, Pong, Text
from wsx.handler import Close, Exit, Handler, Ok, Reconnect, Reply, frames_of, judge
from wsx.reasons import Disconnect

__all__ = ["Delivery", "Owner"]

S = TypeVar("S")

_log = Logger("wsx")

_CALLBACKS: Final[dict[type[Frame], str]] = {
    Text: "handle_frame",
    Binary: "handle_frame",
    Ping: "handle_ping",
    Pong: "handle_pong",
}


class Owner(Protocol):
    """Who carries out what the handler decides."""

    def reply(self, callback: str, frames: list[object]) -> None:
        """Sends the frames that a callback answered with."""

    def close_from_callback(self, code: int, message: str) -> None:
        """Starts the closing handshake."""

    def disconnect_answered(self, status: Disconnect, decision: Reconnect[Any] | None) -> None:
        """Goes on after ``handle_disconnect``: reconnects, or ends where it is None."""

    def answered(self, callback: str, seconds: float) -> None:
        """A callback took this long; only told where somebody observes it."""

    def crashed(self, reason: object, failure: Failure | None) -> None:
        """Ends the client; ``failure`` is worth a traceback in the log."""

    def flush(self) -> None:
        """A batch is done: what was gathered may go out."""

    def pause_reading(self) -> None:
        """Frames wait: hold the peer back."""

    def resume_reading(self) -> None:
        """No frames wait any more."""


class _Call:
    """A callback whose answer is awaited.

    Attributes:
        began: when it was invoked, where somebody observes that.
    """

    __slots__ = ("answered", "argument", "began", "callback", "deferred")

    def __init__(
        self,
        callback: str,
        argument: object,
        answered: Callable[[], None] | None = None,
    ) -> None:
        self.callback = callback
        self.argument = argument
        self.answered = answered
        self.began: float | None = None
        self.deferred: Deferred[Any] | None = None


class _Request:
    """Something to be done between two events, and who waits for it."""

    __slots__ = ("action", "asked", "deferred")

    def __init__(self, action: Callable[[], Any]) -> None:
        self.action = action
        self.asked: Deferred[Any] = Deferred(self._cancel)
        self.deferred: Deferred[Any] | None = None  # once it was begun

    def _cancel(self, _: Deferred[Any]) -> None:
        if self.deferred is not None:
            self.deferred.cancel()


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
        suspended: nothing is delivered until :meth:`resume`.
        busy: the handler's code is on the stack; a :meth:`Owner.flush` follows.
    """

    __slots__ = (
        "_batch",
        "_controls",
        "_ended",
        "_mailbox",
        "_owner",
        "_pending",
        "_reactor",
        "_requests",
        "_serving",
        "_wakeup",
        "busy",
        "handler",
        "held",
        "state",
        "suspended",
    )

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
        self.suspended = False
        self.busy = False  # the handler's code is on the stack
        self._ended = False
        self._pending: _Call | _Request | None = None
        self._wakeup: IDelayedCall | None = None
        self._batch: Iterator[Frame] = iter(())  # the frames in delivery, from the next one on
        self._controls = False  # whether there may be pings or pongs among them
        self._requests: list[_Request] = []
        self._serving = False  # requests, further up the stack

    # What comes in

    def received(self, frames: list[Frame], controls: bool = True) -> None:
        """Delivers frames that just arrived; called from the reactor.

        Args:
            frames: in their order.
            controls: whether there may be pings or pongs among them.
        """
        if self._ended:
            return
        if self.busy or self.suspended or self._pending is not None or self._mailbox.queue:
            self._mailbox.frames(frames, controls)
            self._owner.pause_reading()
            self.deliver()
        else:
            self.busy = True
            try:
                self._deliver_frames(iter(frames), controls)
            finally:
                self.busy = False
            self._rest()

    def wake(self) -> None:
        """Sees to it that what is in the mailbox is delivered in a later step."""
        if self._wakeup is None and not self._blocked:
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
        if self.held or self._blocked:
            return
        self.busy = True
        try:
            for _ in range(len(self._mailbox.queue)):
                item = self._mailbox.take()
                if item is None:
                    break
                self._deliver_item(item)
                if self._pending is not None or self._requests or self.suspended:
                    break
        finally:
            self.busy = False
        self._rest()

    @property
    def _blocked(self) -> bool:
        """Whether nothing may be delivered in this step."""
        return self.busy or self._pending is not None or self.suspended or self._ended

    def end(self) -> int:
        """Delivers nothing more; a pending callback is cancelled in the next step.

        Returns:
            how many casts and infos were dropped.
        """
        self._ended = True
        self._interrupt()
        if self._wakeup is not None:
            self._wakeup.cancel()
            self._wakeup = None
        pending, self._pending = self._pending, None
        if pending is not None and pending.deferred is not None:
            # Later, because the callback itself may be the one who ends the client.
            self._reactor.callLater(0, pending.deferred.cancel)
        if self._requests:
            self._reactor.callLater(0, self._serve)
        dropped = self._mailbox.waiting
        self._mailbox.clear()
        return dropped

    def _interrupt(self) -> Iterator[Frame]:
        """Ends the loop over a batch after the present frame; gives those that are left.

        An exhausted iterator does it, at no cost for each frame.
        """
        return iter(list(self._batch))

    def terminate(self, reason: object) -> Deferred[object]:
        """Calls ``terminate``.

        Returns:
            a Deferred of the reason with which the client ends: an ``Exit`` or an exception in
            ``terminate`` replaces the given one. Cancelling it cancels ``terminate``.
        """
        if self._pending is not None and self._pending.deferred is not None:
            self._pending.deferred.cancel()  # a request that began after the end did
        self._pending = _Call("terminate", reason)  # requests wait for its answer
        outcome: Deferred[Any] = maybeDeferred(self.handler.terminate, reason, self.state)
        return outcome.addCallbacks(lambda _: reason, self._terminate_raised, errbackArgs=(reason,))

    def _terminate_raised(self, failure: Failure, reason: object) -> object:
        if isinstance(failure.value, Exit):
            return failure.value.reason
        if failure.check(CancelledError):
            return reason  # it took too long; the owner says so
        self._owner.crashed(failure.value, failure)
        return failure.value

    # Between two events

    def suspend(self) -> None:
        """Delivers nothing from now on; requests are served all the same."""
        self.suspended = True
        self._put_back(self._interrupt())
        self._owner.pause_reading()

    def resume(self) -> None:
        """Delivers again, from the next step on."""
        self.suspended = False
        if not (self.busy or self._ended):
            self._rest()

    def request(self, action: Callable[[], Any]) -> Deferred[Any]:
        """Has something done before any other event: at once where no callback is under way.

        Returns:
            a Deferred of what it answers; what it answers with a Deferred is waited for.
        """
        request = _Request(action)
        self._requests.append(request)
        if not self._ended:
            self._put_back(self._interrupt())
        self._serve()
        return request.asked

    def replace_state(self, function: Callable[[S], Any]) -> Deferred[S]:
        """Replaces the state with what a function makes of it.

        Returns:
            a Deferred of the new state; where it fails, the state is as before.
        """

        def take_over(state: S) -> S:
            self.state = state
            return state

        made: Deferred[S] = maybeDeferred(function, self.state)
        return made.addCallback(take_over)

    def change_code(
        self, new_class: type[Handler[S]], old_version: Any, extra: Any
    ) -> Deferred[None]:
        """Gives the handler another class, whose ``code_change`` converts the state.

        Returns:
            a Deferred of None; where it fails, class, attributes and state are as before.

        Raises:
            TypeError: the handler cannot become one of that class.
        """
        handler = self.handler
        if old_version is None:
            old_version = type(handler).version
        go_back = change_class(handler, new_class)

        def take_over(response: Any) -> None:
            result = judge(handler, "code_change", (old_version, self.state, extra), response)
            if result is not None:
                self.state = result.state

        def give_up(failure: Failure) -> Failure:
            go_back()
            return failure

        converted: Deferred[Any] = maybeDeferred(
            lambda: handler.code_change(old_version, self.state, extra)
        )
        return converted.addCallback(take_over).addErrback(give_up)

    def refuse_requests(self) -> None:
        """Fails the requests that came too late to be served."""
        while self._requests:
            asked = self._requests.pop(0).asked
            if not asked.called:
                asked.errback(NotConnectedError("terminated"))

    def _serve(self) -> None:
        """Serves the requests, one after another, unless the handler is at work."""
        if self._serving:
            return
        self._serving = True
        try:
            while self._requests and self._pending is None and not self.busy:
                request = self._requests.pop(0)
                if not request.asked.called:  # or it was cancelled
                    self._serve_one(request)
        finally:
            self._serving = False
        if self._mailbox.queue:  # a request may have cast something
            self.wake()

    def _serve_one(self, request: _Request) -> None:
        was_ended = self._ended
        self._pending = request
        self.busy = True
        try:
            request.deferred = maybeDeferred(request.action)
        finally:
            self.busy = False
        self._owner.flush()  # the action may have sent something
        request.deferred.addBoth(self._served, request)
        if self._ended and not was_ended:
            request.deferred.cancel()  # it stopped the client itself
        elif self._pending is request:
            request.deferred.addCallback(lambda _: None if self._ended else self._rest())

    def _served(self, outcome: Any, request: _Request) -> None:
        if self._pending is request:
            self._pending = None
        if not request.asked.called:
            request.asked.callback(outcome)  # a Failure too

    # What goes out

    def _rest(self) -> None:
        """After a batch: what was gathered goes out, and what is left gets its next step."""
        self._owner.flush()
        if self._requests:
            self._serve()
        if not (self._mailbox.batches or self.suspended):
            self._owner.resume_reading()
        if self._mailbox.queue:
            self.wake()

    def _deliver_item(self, item: Connected | Frames | Lost | Message) -> None:
        if type(item) is Frames:
            self._deliver_frames(item.frames, item.controls)
        elif type(item) is Message:
            self._invoke(item.callback, item.message)
        elif type(item) is Connected:
            self._invoke("handle_connect", item.conn, item.answered)
        elif type(item) is Lost:
            self._invoke("handle_disconnect", item.status)

    def _deliver_frames(self, batch: Iterator[Frame], controls: bool) -> None:
        self._batch = batch
        self._controls = controls
        if controls or telemetry.CALLBACK in telemetry.observers:
            self._deliver_each(batch)
        else:
            self._deliver_messages(batch)

    def _deliver_messages(self, batch: Iterator[Frame]) -> None:
        """The hot loop: a callback that answers None or Ok costs nothing beyond its call.

        So little for a Reply: ``_conclude`` does with it what is done here.
        """
        handler, state = self.handler, self.state  # a request that changes them ends the loop
        for frame in batch:
            try:
                response = handler.handle_frame(frame, state)  # type: ignore[arg-type]
            except BaseException as error:
                self._raised(error)
                return
            if response is None:
                continue
            if type(response) is Ok:
                self.state = state = response.state
                continue
            if type(response) is Reply and not self._ended:
                self.state = state = response.state
                self._owner.reply("handle_frame", frames_of(response))
                continue
            self._take(_Call("handle_frame", frame), response)
            if self._pending is not None:
                break
            state = self.state
        self._put_back(batch)

    def _deliver_each(self, batch: Iterator[Frame]) -> None:
        """The same, slower, for any frames, and where somebody wants to know how long it takes."""
        for frame in batch:
            self._invoke(_CALLBACKS[type(frame)], frame)
            if self._pending is not None:
                break
        self._put_back(batch)

    def _put_back(self, frames: Iterator[Frame]) -> None:
        """Keeps the frames that were not delivered, where the loop was left early."""
        if length_hint(frames):
            self._mailbox.put_back(frames, self._controls)
            self._owner.pause_reading()
        self._batch = iter(())

    def _invoke(
        self, callback: str, argument: object, answered: Callable[[], None] | None = None
    ) -> None:
        call = _Call(callback, argument, answered)
        if telemetry.CALLBACK in telemetry.observers:
            call.began = self._reactor.seconds()
        try:
            response = getattr(self.handler, callback)(argument, self.state)
        except BaseException as error:
            self._observe(call)
            self._raised(error)
        else:
            self._take(call, response)

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
            self._observe(call)
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
        self._observe(call)
        if isinstance(outcome, Failure):
            self._crash(outcome)
        else:
            self._conclude(call, outcome)
        if not self.busy:
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

    def _observe(self, call: _Call) -> None:
        """Tells how long a callback took, where that was to be told when it began."""
        if call.began is not None:
            self._owner.answered(call.callback, self._reactor.seconds() - call.began)

    def _crash(self, failure: Failure) -> None:
        if self._ended:
            return
        if isinstance(failure.value, Exit):
            self._owner.crashed(failure.value.reason, None)
        else:
            self._owner.crashed(failure.value, failure)
