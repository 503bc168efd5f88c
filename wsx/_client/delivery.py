"""Delivery: call the handler's callbacks, one event at a time, and keep the handler's state.

:class:`Delivery` takes events from the mailbox, invokes the callback in a later reactor iteration,
waits if the callback returns a Deferred or a coroutine, and passes the decision on to its owner.
Between two events it serves requests, which change the state or the handler's class. It does not
know connections.

The module is longer than 500 lines because its three sections (incoming events, requests between
two events, and delivery) all depend on whether a callback is running or pending.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine, Iterator
from itertools import islice
from operator import length_hint
from types import CoroutineType
from typing import Any, Final, Generic, Protocol, TypeVar

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from wsx import telemetry
from wsx._client.callback_watch import CallbackWatch
from wsx._client.class_change import change_class
from wsx._client.coroutines import as_coroutine, is_awaitable, run_coroutine
from wsx._client.mailbox import Connected, Frames, Item, Lost, Mailbox, Message, Rest
from wsx._deferreds import AnyDeferred
from wsx._failures import log_failure
from wsx._scheduler import MAX_WORK_SECONDS, Scheduler, SoonCall
from wsx._wire.batch import Batch
from wsx.errors import BadResponseError, CallbackTimeout, NotConnectedError
from wsx.frames import Binary, Frame, Ping, Pong, Text
from wsx.handler import Close, Exit, Handler, Ok, Reconnect, Reply, frames_of, validate_result
from wsx.reasons import Disconnect

__all__ = ["Delivery", "Owner"]

S = TypeVar("S")

_log = Logger("wsx")

_NO_FRAMES: Final[Iterator[Frame]] = iter(())
_CALLS_BETWEEN_CHECKS: Final = 128  # of the time, because reading the clock for each would be slow

_CALLBACKS: Final[dict[type[Frame], str]] = {
    Text: "handle_frame",
    Binary: "handle_frame",
    Ping: "handle_ping",
    Pong: "handle_pong",
}


class Owner(Protocol):
    """The interface through which :class:`Delivery` carries out the handler's decisions."""

    def reply(self, callback: str, frames: list[object]) -> None:
        """Send the frames that a callback returned."""

    def close_from_callback(self, callback: str, code: int, message: str) -> None:
        """Start the closing handshake."""

    def disconnect_decided(self, status: Disconnect, decision: Reconnect[Any] | None) -> None:
        """Reconnect, or end the client if the decision is None."""

    def callback_finished(self, callback: str, seconds: float) -> None:
        """Report the duration of a callback. Called only if there are telemetry observers."""

    def callback_blocked(self, callback: str, seconds: float, calls: int) -> None:
        """Report callbacks that have blocked the reactor for longer than ``slow_callback``."""

    def callback_overdue(self, callback: str, argument: object, seconds: float) -> None:
        """Report a callback that has been pending for longer than ``callback_warning``."""

    def callback_timed_out(self, error: CallbackTimeout, argument: object) -> None:
        """End the connection, because a callback was pending for longer than its limit."""

    def callback_failed(self, failure: Failure, callback: str, argument: object) -> None:
        """End the client, because a callback raised or returned an invalid result."""

    def exited(self, reason: object) -> None:
        """End the client, because a callback raised Exit."""

    def flush(self) -> None:
        """Write the frames that the callbacks of a batch have sent."""

    def pause_reading(self) -> None:
        """Pause reading, because frames are queued."""

    def resume_reading(self) -> None:
        """Resume reading, because no frames are queued."""


class _Call:
    """One call of a callback.

    Attributes:
        callback: The name of the callback.
        argument: The first argument of the callback.
        concluded: Called after the result has taken effect, or None (default).
        began: The monotonic time of the call, in seconds; None if there are no
            telemetry observers.
        deferred: The Deferred that the callback returned, or None.
        pending_since: The time at which the callback has become pending, or None.
    """

    __slots__ = ("argument", "began", "callback", "concluded", "deferred", "pending_since")

    def __init__(
        self,
        callback: str,
        argument: object,
        concluded: Callable[[], None] | None = None,
    ) -> None:
        self.callback = callback
        self.argument = argument
        self.concluded = concluded
        self.began: float | None = None
        self.deferred: Deferred[Any] | None = None
        self.pending_since: float | None = None


class _Request:
    """An action to perform between two events.

    Attributes:
        callback: The name of the callback that the action calls.
        action: The action, a function without arguments.
        result: A Deferred that fires with the result of the action.
        deferred: The Deferred of the action itself, or None before the action is started.
        timeout: The error with which a cancelled action fails, because it has exceeded its time
            limit, or None.
    """

    __slots__ = ("action", "callback", "deferred", "result", "timeout")

    def __init__(self, callback: str, action: Callable[[], Any]) -> None:
        self.callback = callback
        self.action = action
        self.timeout: CallbackTimeout | None = None
        self.result: Deferred[Any] = AnyDeferred(self._cancel)
        self.deferred: Deferred[Any] | None = None

    def _cancel(self, _: Deferred[Any]) -> None:
        if self.deferred is not None:
            self.deferred.cancel()


class Delivery(Generic[S]):
    """Deliver events to one handler.

    Args:
        handler: The handler.
        state: The handler's first state.
        mailbox: The mailbox to deliver from.
        scheduler: The scheduler, for calls in a later reactor iteration.
        owner: Carries out the decisions of the callbacks.
        slow_callback: The time in seconds after which a callback that blocks the reactor is
            reported. Default: never.
        callback_warning: The time in seconds after which a pending callback is reported, or None
            (default) for never.
        callback_timeout: The time in seconds after which a pending callback is cancelled, or None
            (default) for never.

    Attributes:
        handler: The handler.
        state: The handler's state; while a callback is pending, the state before it.
        held: Whether ``start`` is on the stack. Nothing is delivered in this reactor iteration
            then.
        monotonic: Returns the monotonic time in seconds.
        suspended: Whether delivery is suspended until :meth:`resume`.
        busy: Whether a callback is on the stack. :meth:`Owner.flush` is called after it.
        guard: Called before items of the mailbox are delivered. If it returns True, none are.
            Default None: no check.
    """

    __slots__ = (
        "_ended",
        "_frames",
        "_frames_held",
        "_has_controls",
        "_mailbox",
        "_now",
        "_owner",
        "_pending",
        "_reading_paused",
        "_requests",
        "_scheduler",
        "_serving",
        "_slow_callback",
        "_timeout",
        "_wakeup",
        "_warning",
        "_watch",
        "busy",
        "guard",
        "handler",
        "held",
        "monotonic",
        "state",
        "suspended",
    )

    def __init__(
        self,
        handler: Handler[S],
        state: S,
        mailbox: Mailbox,
        scheduler: Scheduler,
        owner: Owner,
        slow_callback: float = math.inf,
        callback_warning: float | None = None,
        callback_timeout: float | None = None,
    ) -> None:
        self.handler = handler
        self.state = state
        self._mailbox = mailbox
        self._scheduler = scheduler
        self.monotonic = scheduler.monotonic
        self._now = 0.0  # The monotonic time in seconds, as it was read last.
        self._owner = owner
        self._slow_callback = slow_callback
        self._warning = callback_warning
        self._timeout = callback_timeout
        self._watch: CallbackWatch | None = None  # Created for the first pending callback.
        self.held = False
        self.suspended = False
        self.busy = False
        self.guard: Callable[[], bool] | None = None
        self._ended = False
        self._frames_held = False
        self._pending: _Call | _Request | None = None
        self._wakeup: SoonCall | None = None
        self._frames: Iterator[Frame] = _NO_FRAMES  # The undelivered frames of the current batch.
        self._has_controls = False  # Whether these may include pings or pongs.
        self._reading_paused = False  # Whether the owner was told to, since it resumed.
        self._requests: list[_Request] = []
        self._serving = False  # Whether _serve is on the stack.

    # Incoming events

    def received(self, batch: Batch) -> None:
        """Deliver the frames of a batch, or queue them. Called directly by the reactor."""
        if self._ended:
            return
        waits = self.busy or self.suspended or self._frames_held or self._mailbox.queue
        if waits or self._pending is not None:
            self._mailbox.frames(iter(batch.frames), batch.has_controls)
            self.pause_reading()
            self.deliver()
        else:
            self.busy = True
            try:
                self._deliver_frames(iter(batch.frames), batch.has_controls)
            finally:
                self.busy = False
            self._owner.flush()
            if self._requests or self._reading_paused or self._mailbox.queue:
                self._continue()
            if batch.more and self._pending is not None:
                self.pause_reading()  # The next batch may inflate to a large message.

    def wake(self) -> None:
        """Deliver the items of the mailbox in the next reactor iteration."""
        if self._wakeup is None and not self._blocked:
            self._wakeup = self._scheduler.call_soon(self._on_wakeup)

    def _on_wakeup(self) -> None:
        self._wakeup = None
        self.deliver()

    def deliver(self) -> None:
        """Deliver the items that are in the mailbox now. Called directly by the reactor.

        Items that are queued meanwhile wait for the next reactor iteration. Otherwise a handler
        that casts to itself would block the reactor.
        """
        if self.held:
            self.wake()
        if self.held or self._blocked or (self.guard is not None and self.guard()):
            return
        self.busy = True
        self._now = self.monotonic()
        until = self._now + MAX_WORK_SECONDS
        try:
            for _ in range(len(self._mailbox.queue)):
                item = None if self._waits_for_drain else self._mailbox.take()
                if item is None:
                    break
                self._deliver_item(item)
                if self._pending is not None or self._requests or self.suspended:
                    break
                if self._now >= until:
                    break
        finally:
            self.busy = False
        self._after_batch()

    @property
    def _blocked(self) -> bool:
        """Whether nothing may be delivered now."""
        return self.busy or self._pending is not None or self.suspended or self._ended

    @property
    def _waits_for_drain(self) -> bool:
        """Whether the next item is frames, which must wait until the write buffer has drained."""
        return self._frames_held and self._mailbox.starts_with_frames

    @property
    def _only_held(self) -> bool:
        """Whether frames are queued for no other reason than the write buffer."""
        return self._frames_held and not self.suspended and self._pending is None

    @property
    def _may_read(self) -> bool:
        """Whether no frames are queued, or only because of the write buffer."""
        return self._only_held or not self._mailbox.batches

    def pause_reading(self) -> None:
        """Stop reading because frames are queued; the owner limits reading while they are held."""
        if not self._only_held:
            self._reading_paused = True
            self._owner.pause_reading()

    @property
    def wants_pause(self) -> bool:
        """Whether the owner was asked to pause reading, because frames are queued."""
        return self._reading_paused

    def hold_frames(self) -> None:
        """Stop delivering frames, because replies to earlier frames wait for the write buffer."""
        self._frames_held = True
        self._put_back(self._interrupt())

    def release_frames(self) -> None:
        """Deliver frames again, from the next reactor iteration on."""
        self._frames_held = False
        if self._mailbox.queue:
            self.wake()

    def end(self) -> int:
        """Stop delivery permanently. Cancel a pending callback in the next reactor iteration.

        Returns:
            The number of casts and infos that were dropped.
        """
        self._ended = True
        self._interrupt()
        if self._wakeup is not None:
            self._wakeup.cancel()
            self._wakeup = None
        pending, self._pending = self._pending, None
        self._stop_watching()
        if pending is not None and pending.deferred is not None:
            # Not now, because the pending callback itself may have ended the client.
            self._scheduler.call_soon(pending.deferred.cancel)
        if self._requests:
            self._scheduler.call_soon(self._serve)
        dropped = self._mailbox.waiting
        self._mailbox.clear()
        return dropped

    def cancel_callback(self) -> str | None:
        """Cancel the pending callback, and ignore its result.

        Returns:
            The name of the callback, or None if none is pending.
        """
        pending = self._pending
        if not isinstance(pending, _Call) or pending.deferred is None:
            return None
        self._forget(pending)
        pending.deferred.cancel()
        if not self.busy:
            self._after_batch()
        return pending.callback

    def drop_connection(self) -> int:
        """Drop all events of the connection except its loss.

        Returns:
            The number of decoded frames that were dropped.
        """
        return length_hint(self._interrupt()) + self._mailbox.drop_connection()

    def _forget(self, pending: _Call) -> None:
        """Ignore the result of the pending callback, which may ignore its cancellation."""
        self._pending = None
        self._finish_watching()
        self._measure(pending)

    def _interrupt(self) -> Iterator[Frame]:
        """Stop the loop over the current batch after the current frame; return the other frames.

        Exhausting the iterator of the loop stops the loop without a check for each frame.
        """
        return iter(list(self._frames))

    def terminate(self, reason: object) -> Deferred[object]:
        """Call ``terminate``.

        Args:
            reason: The reason of the client's end so far.

        Returns:
            A Deferred that fires with the reason with which the client ends. An ``Exit`` or an
            exception in ``terminate`` replaces the given reason. Cancelling the Deferred cancels
            ``terminate``.
        """
        if self._pending is not None and self._pending.deferred is not None:
            self._pending.deferred.cancel()  # A request that was started after the end began.
        self._pending = _Call("terminate", reason)  # Requests wait until terminate returns.
        outcome = self._call("terminate", self.handler.terminate, reason, self.state)
        if not outcome.called:
            self._watch_pending(expires=False)  # It has its own limit, close_timeout.
            outcome.addBoth(self._finish_watching)
        return outcome.addCallbacks(lambda _: reason, self._terminate_raised, errbackArgs=(reason,))

    def _terminate_raised(self, failure: Failure, reason: object) -> object:
        if isinstance(failure.value, Exit):
            return failure.value.reason
        if failure.check(CancelledError):
            return reason  # terminate exceeded its time limit, which the owner logs.
        self._owner.callback_failed(failure, "terminate", reason)
        return failure.value

    # Between two events

    def suspend(self) -> None:
        """Suspend delivery. Requests are still served."""
        self.suspended = True
        self._put_back(self._interrupt())
        self.pause_reading()

    def resume(self) -> None:
        """Deliver again, from the next reactor iteration on."""
        self.suspended = False
        if not (self.busy or self._ended):
            self._after_batch()

    def request(self, action: Callable[[], Any], callback: str = "request") -> Deferred[Any]:
        """Queue an action. It runs before any other event, at once if no callback is pending.

        Args:
            action: A function without arguments, which may return a Deferred.
            callback: The name of what the action calls, for reports. Default ``"request"``.

        Returns:
            A Deferred that fires with the result of the action.
        """
        request = _Request(callback, action)
        self._requests.append(request)
        if not self._ended:
            self._put_back(self._interrupt())
        self._serve()
        return request.result

    def replace_state(self, function: Callable[[S], Any]) -> Deferred[S]:
        """Replace the state with ``function(state)``.

        Returns:
            A Deferred that fires with the new state. If the function fails, the Deferred fails too
            and the state is unchanged.
        """

        def replace(state: S) -> S:
            self.state = state
            return state

        return self._call("replace_state", function, self.state).addCallback(replace)

    def change_code(
        self, new_class: type[Handler[S]], old_version: Any, extra: Any
    ) -> Deferred[None]:
        """Replace the handler's class and call its ``code_change`` to convert the state.

        Returns:
            A Deferred that fires with None. If it fails, the handler keeps its class, its
            attributes and its state.

        Raises:
            TypeError: The ``__slots__`` of the two classes differ.
        """
        handler = self.handler
        if old_version is None:
            old_version = type(handler).version
        restore = change_class(handler, new_class)

        def conclude(response: Any) -> None:
            arguments = (old_version, self.state, extra)
            result = validate_result(handler, "code_change", arguments, response)
            if result is not None:
                self.state = result.state

        def undo(failure: Failure) -> Failure:
            restore()
            return failure

        converted = self._call(
            "code_change", lambda: handler.code_change(old_version, self.state, extra)
        )
        return converted.addCallback(conclude).addErrback(undo)

    def refuse_requests(self) -> None:
        """Fail the requests that were not served before the client ended."""
        self._stop_watching()
        while self._requests:
            result = self._requests.pop(0).result
            if not result.called:
                result.errback(NotConnectedError("terminated"))

    def _serve(self) -> None:
        """Serve the requests one after another, unless a callback runs or is pending."""
        if self._serving:
            return
        self._serving = True
        try:
            while self._requests and self._pending is None and not self.busy:
                request = self._requests.pop(0)
                if not request.result.called:  # A cancelled request is skipped.
                    self._serve_one(request)
        finally:
            self._serving = False
        if self._mailbox.queue:  # A request may have called cast or info.
            self.wake()

    def _serve_one(self, request: _Request) -> None:
        was_ended = self._ended
        self._pending = request
        self.busy = True
        try:
            request.deferred = maybeDeferred(request.action)
        finally:
            self.busy = False
        self._owner.flush()  # The action may have sent frames.
        request.deferred.addBoth(self._served, request)
        if self._ended and not was_ended:
            request.deferred.cancel()  # The action itself stopped the client.
        elif self._pending is request:
            self._watch_pending()
            request.deferred.addCallback(lambda _: None if self._ended else self._after_batch())

    def _served(self, outcome: Any, request: _Request) -> None:
        if self._pending is request:
            self._pending = None
            self._finish_watching()
        if request.timeout is not None and isinstance(outcome, Failure):
            outcome = Failure(request.timeout)
        if not request.result.called:
            request.result.callback(outcome)  # A Failure makes the Deferred fail.

    # Delivery

    def _after_batch(self) -> None:
        """Flush buffered frames, then schedule delivery of the rest."""
        self._owner.flush()
        self._continue()

    def _continue(self) -> None:
        """Serve requests, resume reading, and schedule delivery of queued items."""
        if self._requests:
            self._serve()
        if self._reading_paused and not self.suspended and self._may_read:
            self._reading_paused = False
            self._owner.resume_reading()
        if self._mailbox.queue and not self._waits_for_drain:
            self.wake()

    def _deliver_item(self, item: Item) -> None:
        if type(item) is Frames:
            self._deliver_frames(item.frames, item.has_controls)
        elif type(item) is Message:
            self._invoke(item.callback, item.message)
        elif type(item) is Connected:
            self._invoke("handle_connect", item.conn, item.concluded)
        elif type(item) is Rest:
            self._deliver_rest(item)
        elif type(item) is Lost:
            self._invoke("handle_disconnect", item.status)

    def _deliver_rest(self, rest: Rest) -> None:
        batch = rest.next_batch()
        if batch.more:
            self._mailbox.put_back_rest(rest)
        self._deliver_frames(iter(batch.frames), batch.has_controls)

    def _deliver_frames(self, frames: Iterator[Frame], has_controls: bool) -> None:
        """Deliver frames until a callback is pending or the time of the iteration is over."""
        self._frames = frames
        self._has_controls = has_controls
        self._now = self.monotonic()
        until = self._now + MAX_WORK_SECONDS
        one_by_one = has_controls or telemetry.CALLBACK in telemetry.observers
        left = length_hint(frames)
        while left and self._pending is None and self._now < until:
            few = left <= _CALLS_BETWEEN_CHECKS
            some = frames if few else islice(frames, _CALLS_BETWEEN_CHECKS)
            if one_by_one:
                self._deliver_each(some)
            else:
                self._deliver_messages(some)
                began, self._now = self._now, self.monotonic()
                if self._now - began >= self._slow_callback:
                    calls = left - length_hint(frames)
                    self._owner.callback_blocked("handle_frame", self._now - began, calls)
            left = length_hint(frames)
        self._frames = _NO_FRAMES
        if left:
            self._put_back(frames)

    def _check_blocked(self, callback: str) -> None:
        """Report a callback if it has blocked the reactor since the clock was read."""
        began, self._now = self._now, self.monotonic()
        if self._now - began >= self._slow_callback:
            self._owner.callback_blocked(callback, self._now - began, 1)

    def check_blocked_since(self, began: float, callback: str) -> None:
        """Report a callback if it has blocked the reactor since a monotonic time in seconds."""
        seconds = self.monotonic() - began
        if seconds >= self._slow_callback:
            self._owner.callback_blocked(callback, seconds, 1)

    def _call(self, callback: str, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """Call a function between two events, and return a Deferred of its result."""
        self._now = self.monotonic()
        outcome: Deferred[Any] = maybeDeferred(self._call_now, callback, function, *arguments)
        self._check_blocked(callback)
        return outcome

    def _call_now(self, callback: str, function: Callable[..., Any], *arguments: Any) -> Any:
        result = function(*arguments)
        if not is_awaitable(result) or isinstance(result, Deferred):
            return result
        return self._run(callback, as_coroutine(result))

    def _run(self, callback: str, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine; return its result, or a Deferred if the coroutine waits."""
        return run_coroutine(coroutine, self, callback)

    def _deliver_messages(self, frames: Iterator[Frame]) -> None:
        """Deliver frames that are all messages.

        Hot loop: ``None``, ``Ok`` and ``Reply`` are handled inline, also those of a coroutine that
        does not wait. Keep in step with ``_take`` and ``_conclude``.
        """
        handler, state = self.handler, self.state  # A request that changes them ends the loop.
        for frame in frames:
            try:
                response = handler.handle_frame(frame, state)  # type: ignore[arg-type]
            except BaseException as error:
                self._raised(error, "handle_frame", frame)
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
            if type(response) is CoroutineType:
                try:
                    response = run_coroutine(response, self, "handle_frame")
                except BaseException:
                    self._fail(Failure(), "handle_frame", frame)
                    return
                if response is None:
                    continue
                if type(response) is Ok:
                    self.state = state = response.state
                    continue
            self._take(_Call("handle_frame", frame), response)
            if self._pending is not None:
                break
            state = self.state

    def _deliver_each(self, frames: Iterator[Frame]) -> None:
        """Deliver frames of any type, and measure each callback."""
        for frame in frames:
            self._invoke(_CALLBACKS[type(frame)], frame)
            if self._pending is not None:
                break

    def _put_back(self, frames: Iterator[Frame]) -> None:
        """Put undelivered frames back into the mailbox, as its first item."""
        if length_hint(frames):
            self._mailbox.put_back(frames, self._has_controls)
            self.pause_reading()
        self._frames = _NO_FRAMES

    def _invoke(
        self, callback: str, argument: object, concluded: Callable[[], None] | None = None
    ) -> None:
        call = _Call(callback, argument, concluded)
        if telemetry.CALLBACK in telemetry.observers:
            call.began = self._now
        try:
            response = getattr(self.handler, callback)(argument, self.state)
        except BaseException as error:
            self._measure(call)
            self._raised(error, callback, argument)
        else:
            self._take(call, response)
        self._check_blocked(callback)

    def _raised(self, error: BaseException, callback: str, argument: object) -> None:
        """End the client. Raise the error again if it is not an Exception, such as SystemExit."""
        self._fail(Failure(error), callback, argument)
        if not isinstance(error, Exception):
            raise error

    def _take(self, call: _Call, response: object) -> None:
        """Conclude a callback with its response. If that is awaitable, wait for its result."""
        try:
            while is_awaitable(response) and not isinstance(response, Deferred):
                response = self._run(call.callback, as_coroutine(response))
        except BaseException:
            self._measure(call)
            self._fail(Failure(), call.callback, call.argument)
            return
        if not isinstance(response, Deferred):
            self._measure(call)
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
        elif self._pending is call:
            self._watch_call(call)

    def _settled(self, call: _Call, outcome: object) -> None:
        """Conclude a callback whose Deferred has fired."""
        if self._pending is not call:  # The client has ended, and the callback was cancelled.
            if isinstance(outcome, Failure) and not outcome.check(CancelledError, Exit):
                log_failure(
                    _log,
                    "{callback} failed after it was cancelled",
                    outcome,
                    callback=call.callback,
                )
            return
        self._pending = None
        self._finish_watching()
        if is_awaitable(outcome):
            self._take(call, outcome)
        else:
            self._measure(call)
            if isinstance(outcome, Failure):
                self._fail(outcome, call.callback, call.argument)
            else:
                self._conclude(call, outcome)
        if not self.busy:
            self._after_batch()

    def _conclude(self, call: _Call, response: object) -> None:
        """Validate a result, store its state, and carry out its decision."""
        if self._ended:
            if isinstance(response, (Ok, Reply, Close, Reconnect)):
                self.state = response.state
            return
        arguments = (call.argument, self.state)
        try:
            result = validate_result(self.handler, call.callback, arguments, response)
        except BadResponseError:
            self._fail(Failure(), call.callback, call.argument)
            return
        if result is not None:
            self.state = result.state
        if isinstance(result, Reply):
            self._owner.reply(call.callback, frames_of(result))
        elif isinstance(result, Close):
            self._owner.close_from_callback(call.callback, result.code, result.message)
        elif isinstance(call.argument, Disconnect) and call.callback == "handle_disconnect":
            decision = result if isinstance(result, Reconnect) else None
            self._owner.disconnect_decided(call.argument, decision)
        if call.concluded is not None:
            call.concluded()

    # Pending callbacks

    @property
    def pending_callback(self) -> tuple[str, float] | None:
        """The name of the pending callback, and the seconds since it began; or None."""
        seconds = None if self._watch is None else self._watch.seconds
        if seconds is None or self._pending is None:
            return None
        return self._pending.callback, seconds

    def _watch_call(self, call: _Call) -> None:
        """Watch a callback. Its time does not start again if its result is an awaitable."""
        if call.pending_since is None or self._watch is None:
            call.pending_since = self._watch_pending()
        else:
            self._watch.resume(call.pending_since)

    def _watch_pending(self, expires: bool = True) -> float:
        if self._watch is None:
            self._watch = CallbackWatch(
                self._scheduler, self._warning, self._timeout, self._overdue, self._expired
            )
        return self._watch.begin(expires)

    def _finish_watching(self, outcome: Any = None) -> Any:
        if self._watch is not None:
            self._watch.finish()
        return outcome

    def _stop_watching(self) -> None:
        if self._watch is not None:
            self._watch.stop()

    def _overdue(self, seconds: float) -> None:
        """Report the callback that has been pending for so many seconds."""
        pending = self._pending
        if pending is not None:
            argument = pending.argument if isinstance(pending, _Call) else None
            self._owner.callback_overdue(pending.callback, argument, seconds)

    def _expired(self) -> None:
        """Cancel the callback that has been pending for too long."""
        pending = self._pending
        if pending is None or pending.deferred is None or self._timeout is None:
            return
        error = CallbackTimeout(self.handler, pending.callback, self._timeout)
        if isinstance(pending, _Request):
            pending.timeout = error
            pending.deferred.cancel()
            return
        self._forget(pending)
        self._owner.callback_timed_out(error, pending.argument)
        pending.deferred.cancel()
        if not self.busy:
            self._after_batch()

    def _measure(self, call: _Call) -> None:
        """Report the duration of a callback if there were observers when it began."""
        if call.began is not None:
            self._owner.callback_finished(call.callback, self.monotonic() - call.began)

    def _fail(self, failure: Failure, callback: str, argument: object) -> None:
        if self._ended:
            return
        if isinstance(failure.value, Exit):
            self._owner.exited(failure.value.reason)
        else:
            self._owner.callback_failed(failure, callback, argument)
