"""The lifecycle of a client: the implementation of :class:`wsx.Client`.

:class:`Lifecycle` performs the actions of the transition table (:mod:`wsx._client.states`). It owns
the current attempt or connection and its timers, and connects the parts of a client:
:class:`Delivery` calls the handler, :class:`Sender` sends frames, :class:`Reporter` writes log
lines, :class:`Termination` calls ``terminate``.

The module is longer than 500 lines because all code that changes the state is here, in four
sections: requests of the client, events of the connection, decisions of the handler, and the
actions of the table.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterable, Callable, Hashable, Iterable
from functools import partial
from typing import Any, Final, Generic, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from wsx import registry, telemetry
from wsx._client.delayed import DelayedMessages
from wsx._client.delivery import Delivery
from wsx._client.fragmented_message import Parts
from wsx._client.history import History
from wsx._client.keepalive import Keepalive
from wsx._client.mailbox import Connected, Lost, Mailbox, Message, Rest
from wsx._client.naming import naming_for
from wsx._client.open_connection import FRAMES_QUEUED, OpenConnection
from wsx._client.open_requests import OpenRequests
from wsx._client.promises import Promises
from wsx._client.reconnect import Plan, ReconnectPolicy
from wsx._client.reporter import Reporter
from wsx._client.sender import Sender
from wsx._client.states import Action, Event, Machine, State
from wsx._client.target import ProviderCall, Target
from wsx._client.termination import Termination
from wsx._client.tracing import Tracing, parse_options
from wsx._options import Options, Provided
from wsx._scheduler import Timeout, scheduler_for
from wsx._text import describe, expected, expected_type, shorten
from wsx._transport.attempt import Attempt
from wsx._transport.connection import Connection
from wsx._wire.batch import Batch, ServerClose
from wsx.conn import Conn
from wsx.errors import (
    AlreadyStartedError,
    CallbackTimeout,
    ConnError,
    DataTimeout,
    DuplicateKeyError,
    FrameEncodeError,
    FrameError,
    InvalidFrameError,
    MailboxFullError,
    NameLost,
    NotConnectedError,
    PingTimeout,
    WsxError,
)
from wsx.frames import (
    GOING_AWAY,
    INTERNAL_ERROR,
    MAX_CLOSE_MESSAGE,
    NORMAL_CLOSURE,
    Binary,
    Frame,
    Text,
    close_payload,
)
from wsx.handler import Handler, Reconnect
from wsx.limiter import Place
from wsx.option_types import Status
from wsx.reasons import ConnectionDropped, Disconnect, LocalClose, RemoteClose, Shutdown, is_normal
from wsx.requests import Requests

__all__ = ["Lifecycle"]

S = TypeVar("S")

_OPEN: Final = State.OPEN  # Reading an attribute of an Enum is slow.
_NO_REQUESTS: Final = "request: {} is not a wsx.Requests, which matches replies to requests"
_SILENT_CLOSE_TIMEOUT: Final = 1.0  # seconds; replaces close_timeout after a DataTimeout


class Lifecycle(Generic[S]):
    """The lifecycle of one client.

    Args:
        client: The client, for ``handler.client``, the registry and telemetry observers.
        source: Where and how to connect: a Conn or a connection provider.
        handler: The handler.
        state: The handler's first state.
        options: The options of :func:`wsx.start` that are not options of the connection.

    Attributes:
        name: The client's name, or None.
        gave_up: Whether the client ended because its ``reconnect`` policy gave up.
        delivery: Calls the handler and keeps its state.
        flush: Writes the frames that the callbacks of a batch have sent.
        mailbox: Holds the events and messages that wait for delivery.
        history: Counts failures and outages.
        reporter: Writes log lines and trace lines, and notifies telemetry observers.
    """

    __slots__ = (
        "_abandoned",
        "_attempt",
        "_call",
        "_client",
        "_close_frame",
        "_close_requested",
        "_close_timer",
        "_conn",
        "_connect_handled",
        "_delay",
        "_delay_timer",
        "_delayed",
        "_end_reason",
        "_initialised",
        "_machine",
        "_name_timer",
        "_naming",
        "_open",
        "_options",
        "_place",
        "_plan",
        "_policy",
        "_promises",
        "_reason",
        "_registered",
        "_requests",
        "_scheduler",
        "_sender",
        "_target",
        "_termination",
        "delivery",
        "flush",
        "gave_up",
        "history",
        "mailbox",
        "name",
        "reporter",
    )

    def __init__(
        self,
        client: Any,
        source: Conn | Provided,
        handler: Handler[S],
        state: S,
        options: Options,
    ) -> None:
        scheduler = scheduler_for(options.reactor)
        self.name = options.name
        self.gave_up = False
        self._client = client
        self._options = options
        self._scheduler = scheduler
        self._machine = Machine()
        self.mailbox = Mailbox(options.mailbox_limit)
        slow = math.inf if options.slow_callback is None else options.slow_callback
        limits = (options.callback_warning, options.callback_timeout)
        self.delivery = Delivery(handler, state, self.mailbox, scheduler, self, slow, *limits)
        self.history = History(scheduler, options.stable_after)
        self._target = Target(scheduler, self.delivery, source)
        # The Conn of the last attempt, possibly with the server's response, or of the next one.
        self._conn = self._target.conn
        self.reporter = Reporter(client, self._conn, options.reactor, scheduler)
        self._policy = ReconnectPolicy(options.reconnect)
        self._plan: tuple[Disconnect, Plan] | None = None  # for the last loss, once asked for
        self._sender = Sender(
            scheduler, self.reporter, self._replies_wait, self._message_incomplete
        )
        self.flush = self._sender.flush  # Called after each batch.
        self._requests: OpenRequests | None = None  # Created for the first request.
        self._delayed = DelayedMessages(scheduler, self._deliver_delayed)
        self._termination = Termination(
            scheduler, self.reporter.terminate_timed_out, self._terminate_returned
        )
        # The current attempt or connection:
        self._attempt: Attempt | None = None
        self._call: ProviderCall | None = None  # While a callable of the user is called.
        self._place: Place | None = None  # While the attempt waits for the connection limit.
        self._abandoned = False  # Whether a cancelled attempt had a TCP connection.
        self._open: OpenConnection | None = None
        self._connect_handled = False  # Whether handle_connect has returned on this connection.
        self._reason: object = None  # Why the attempt or connection ends.
        self._close_frame: tuple[int, str] = (NORMAL_CLOSURE, "")
        self._close_timer: Timeout | None = None
        self._close_requested: tuple[int, str] | None = None  # While handle_disconnect runs.
        self._delay = 0.0
        self._delay_timer: IDelayedCall | None = None
        self._name_timer: IDelayedCall | None = None
        # The client as a whole:
        self._registered = False
        self._naming = naming_for(
            options.name, client, scheduler, self._name_lost, self.reporter.name_not_released
        )
        if self._naming is not None:
            self.delivery.guard = self._naming.is_overdue
        # Whether the Deferred of start has fired, or is about to.
        self._initialised = options.async_ and (self._naming is None or self._naming.is_standby)
        self._end_reason: object = None
        self._promises = Promises(client)

    # Requests of the client

    @property
    def status(self) -> Status:
        """``"connecting"``, ``"open"``, ``"closing"``, ``"disconnected"`` or ``"terminated"``."""
        return self._machine.state.status

    @property
    def conn(self) -> Conn:
        """Where the client connects. While it is connected, this has the server's response."""
        return self._conn

    @property
    def handler(self) -> Handler[S]:
        """The handler."""
        return self.delivery.handler

    @property
    def tracing(self) -> Tracing:
        """Trace lines, the event log, statistics and the log file."""
        return self.reporter.tracing

    @property
    def latency(self) -> float | None:
        """The duration of the last keepalive round trip on this connection in seconds, or None."""
        return None if self._open is None else self._open.keepalive.latency

    @property
    def fence(self) -> int | None:
        """The fence of the client's name, or None."""
        return None if self._naming is None else self._naming.fence

    def post(self, callback: str, message: Any) -> None:
        """Queue a cast or an info.

        Args:
            callback: ``"handle_cast"`` or ``"handle_info"``.
            message: The first argument of the callback.

        Raises:
            NotConnectedError: The client has ended or is ending.
            MailboxFullError: The mailbox is full.
        """
        if self._machine.state.is_ending:
            raise NotConnectedError(self._connection_state())
        self.mailbox.message(Message(callback, message))
        self.reporter.message_queued(callback, message)
        if self.mailbox.queue:
            self.delivery.wake()

    def send_after(self, delay: float, message: Any) -> IDelayedCall:
        """Queue an info after ``delay`` seconds."""
        return self._delayed.add(delay, message)

    def _deliver_delayed(self, message: Any) -> None:
        try:
            self.post("handle_info", message)
        except NotConnectedError:
            return  # The client is ending: the message is dropped, as documented.
        except MailboxFullError as error:
            self.reporter.delayed_message_dropped(error)

    def send_frame(self, frame: Frame, timeout: float | None = 5.0) -> Deferred[None]:
        """Send a frame; see :meth:`wsx.Client.send_frame`."""
        if timeout is not None and not _is_time(timeout):
            return fail(_wrong_timeout(timeout))
        if self._naming is not None:
            self._naming.is_overdue()  # If it is, the client is no longer open.
        if self._machine.state is not _OPEN:
            return fail(NotConnectedError(self._connection_state()))
        return self._sender.send(frame, timeout, self.delivery.busy)

    def request(
        self, frame: Frame, key: Hashable, timeout: float | None
    ) -> Deferred[Text | Binary]:
        """Send a frame and wait for the reply; see :meth:`wsx.Client.request`."""
        if not isinstance(self.handler, Requests):
            return fail(TypeError(_NO_REQUESTS.format(type(self.handler).__qualname__)))
        if timeout is not None and not _is_time(timeout):
            return fail(_wrong_timeout(timeout))
        if self._naming is not None:
            self._naming.is_overdue()
        if self._machine.state is not _OPEN:
            return fail(NotConnectedError(self._connection_state()))
        if self._requests is None:
            self._requests = OpenRequests(self._scheduler, self._no_open_requests)
        try:
            request = self._requests.add(key, timeout)
        except (DuplicateKeyError, TypeError) as error:
            return fail(error)
        # The reply may arrive before the write buffer has drained.
        sent = self._sender.send(frame, None, self.delivery.busy)
        sent.addErrback(request.fail)
        if self._open is not None and self._open.causes & FRAMES_QUEUED:
            self._scheduler.call_soon(self._read_replies)
        return request.reply

    def send_fragments(
        self, kind: type[Text] | type[Binary], parts: Parts, timeout: float | None
    ) -> Deferred[None]:
        """Send a message in fragments; see :meth:`wsx.Client.send_fragments`."""
        if kind not in (Text, Binary):
            return fail(TypeError(expected("kind", "wsx.Text or wsx.Binary", kind)))
        is_iterable = isinstance(parts, (Iterable, AsyncIterable))
        if not is_iterable or isinstance(parts, (str, bytes, bytearray, memoryview)):
            what = "an iterable or async iterable of str or bytes"
            return fail(TypeError(expected_type("parts", what, parts)))
        if timeout is not None and not _is_time(timeout):
            return fail(_wrong_timeout(timeout))
        if self._naming is not None:
            self._naming.is_overdue()
        if self._machine.state is not _OPEN:
            return fail(NotConnectedError(self._connection_state()))
        return self._sender.send_fragments(kind, parts, timeout)

    def _message_incomplete(self, error: WsxError) -> None:
        """Close the connection, because a message in fragments cannot be completed."""
        self._fail_connection(error, INTERNAL_ERROR, "the client's message could not be completed")

    def close(self, code: int = NORMAL_CLOSURE, message: str = "") -> Deferred[None]:
        """Start the closing handshake; see :meth:`wsx.Client.close`."""
        try:
            close_payload(code, message)
        except FrameEncodeError as error:
            return fail(error)
        self._close(code, message)
        return succeed(None) if self._open is None else self._promises.when_closed()

    def terminated(self) -> Deferred[object]:
        """Return a Deferred that fires with the reason when the client has ended."""
        return self._promises.when_terminated()

    def when_open(self) -> Deferred[Any]:
        """Return a Deferred that fires with the client once it is open."""
        if self._machine.state is State.OPEN and self._connect_handled:
            return succeed(self._client)
        return self._promises.when_open()

    def mark_healthy(self) -> None:
        """Count the open connection as healthy."""
        if self._machine.state is State.OPEN:
            self.history.mark_healthy()

    def reconnect_delay(self, status: Disconnect) -> float | None:
        """Return the delay of the policy; see :meth:`wsx.Client.reconnect_delay`."""
        plan = self._plan_for(status)
        return plan.delay if plan.reconnects else None

    def _plan_for(self, status: Disconnect) -> Plan:
        """Return the plan for a loss. The policy is called once for each loss.

        A second call could return another delay, because of the jitter.
        """
        if self._plan is None or self._plan[0] is not status:
            since_attempt = self.history.seconds_since_attempt
            may_change = self._target.may_retry(status.reason, status.conn)
            self._plan = (status, self._policy.plan(status, since_attempt, may_change))
        return self._plan[1]

    def end(self, reason: object, code: int | None = None) -> None:
        """End the client, unless it is ending already.

        Args:
            reason: The reason for ``terminate`` and ``terminated()``.
            code: The close code, or None (default): 1001 for a :class:`Shutdown`, 1000 for other
                normal reasons, 1011 for abnormal ones.
        """
        if self._machine.state.is_ending:
            return
        self._end_reason = reason
        self._close_frame = (_close_code(reason) if code is None else code, "")
        self._handle(Event.END)

    def abort(self) -> None:
        """End the client without waiting for the server or for ``terminate``."""
        self.end(Shutdown())
        self._termination.hurry()
        if self._machine.state is State.ENDING:
            self._handle(Event.CLOSE_TIMEOUT)

    # Starting

    def begin(self) -> Deferred[Any]:
        """Register the name and start the first attempt; see :meth:`wsx.Client.begin`."""
        started = self._promises.start(lambda: self.end(Shutdown("start was cancelled")))
        try:
            self._register_name()
            self.handler.client = self._client
        except Exception:
            self._promises.forget_start()
            self._release_name()
            raise
        self._switch_on_tracing()
        if self._initialised:
            self._promises.fulfil_start()
        # An endpoint may connect, and its server may answer, before connect() returns.
        self.delivery.held = True
        self._handle(Event.START)
        self.delivery.held = False
        return started

    def _register_name(self) -> None:
        if self.name is not None and self._naming is None:
            registry.register(self.name, self._client)  # type: ignore[arg-type]
            self._registered = True
            if self._machine.state is State.TERMINATED:  # the user's registry has stopped it
                self._release_name()

    def _switch_on_tracing(self) -> None:
        try:
            self.tracing.switch_on(parse_options(self._options.debug))
        except OSError as error:
            self.reporter.log_file_failed(error.filename, error)

    def _handle_connect_returned(self) -> None:
        self._initialised = True
        self._connect_handled = self._machine.state is State.OPEN
        self._promises.fulfil_start()
        if self._machine.state is State.OPEN:  # Not if a callback of start has closed it.
            self._promises.fulfil_open()

    # Events of the connection (a wsx._transport.connection.Listener)

    def opened(self, connection: Connection, conn: Conn) -> None:
        """Enter the open state: the opening handshake is complete."""
        self._attempt = None
        self._conn = conn
        self._target.opened()
        self._reason = None
        self._connect_handled = False
        keepalive = Keepalive(self._scheduler, conn, self._sender.ping, self._server_is_silent)
        self._open = OpenConnection(connection, keepalive)
        self._sender.opened(connection)
        keepalive.start()
        again = self.history.ever_opened
        self.reporter.connected(conn, again, self.history.opened(), self._scheduler.seconds())
        self._handle(Event.OPENED)

    def failed(self, error: WsxError) -> None:
        """Handle a failed attempt."""
        self._attempt = self._call = None
        self._reason = error
        self._attempt_lost(Event.ATTEMPT_FAILED)

    def received(self, batch: Batch) -> None:
        """Deliver the frames of a batch, then handle the end of the stream if the batch has one."""
        assert self._open is not None
        if self._naming is not None and not self._naming.may_act():
            return  # Another client may have received the same frames.
        keepalive = self._open.keepalive
        keepalive.heard = True
        if batch.has_controls:
            self._take_pongs(keepalive, batch)
        if batch.frames:
            if self._open.budget is not None:
                self._open.spend_budget(batch)
            if keepalive.watches_data:
                keepalive.received(batch.frames)
            if self.reporter.tracing.active or telemetry.observers:
                self.reporter.received(batch)
            if self._requests is None or not self._requests.waiting:
                self.delivery.received(batch)
            else:
                self._receive_replies(self._requests, batch)
        if batch.end is not None and self._machine.state is State.OPEN:
            self._stream_ended(batch.end)

    def _receive_replies(self, requests: OpenRequests, batch: Batch) -> None:
        """Pass replies to their requests, in order with the delivery of the other frames."""
        if self.delivery.wants_pause:
            requests.queued(batch)
        frames, start = batch.frames, 0
        for index, frame in enumerate(frames):
            try:
                request = requests.find(self.handler, frame)
            except Exception:
                self._deliver_part(batch, frames[start:index])
                self.callback_failed(Failure(), "reply_key", frame)
                return
            if request is not None:
                self._deliver_part(batch, frames[start:index])
                start = index + 1 if request.succeed(frame) else index
        batch.frames = frames[start:] if start else frames
        if batch.frames:
            self.delivery.received(batch)

    def _deliver_part(self, batch: Batch, frames: list[Frame]) -> None:
        """Deliver a part of a batch, before the reply that follows it."""
        if frames:
            part = Batch()
            part.frames = frames
            part.has_controls = batch.has_controls
            self.delivery.received(part)

    def _take_pongs(self, keepalive: Keepalive, batch: Batch) -> None:
        for pong in keepalive.take_pongs(batch):
            self.reporter.pong_received(pong)

    def _keep_rest(self, opened: OpenConnection) -> None:
        """Queue the frames of the last read that are not decoded yet."""
        decoder = opened.connection.take_rest()
        if decoder is None:
            return

        def next_batch() -> Batch:
            batch = decoder.resume()
            self._take_pongs(opened.keepalive, batch)
            self.reporter.received(batch)
            return batch

        self.mailbox.rest(Rest(next_batch))

    def _stream_ended(self, end: ServerClose | FrameError) -> None:
        if isinstance(end, FrameError):
            self._fail_connection(end, end.close_code, end.reason)
            return
        self._reason = RemoteClose(end.code, end.message)
        self.reporter.trace("closing with remote reason: {!r}", self._reason)
        self._handle(Event.SERVER_CLOSE)

    def writable(self) -> None:
        """Continue sending, because the write buffer has drained."""
        self._sender.drained()

    def closed(self, reason: BaseException) -> None:
        """Handle the end of the TCP connection."""
        if self._machine.state is State.OPEN:
            self._reason = ConnectionDropped(reason)
            self.reporter.trace("connection dropped by the peer")
        else:
            self.reporter.trace("connection closed")
        if self._machine.state is State.ENDING:  # In other states _count_loss() reports it.
            self.reporter.disconnected(self._end_reason)
        ended_with = self._end_reason if self._machine.state is State.ENDING else self._reason
        if self._open is not None:
            self._open.keepalive.stop()
            self._open = None
        if self._name_timer is not None:
            self._name_timer.cancel()
            self._name_timer = None
        self._stop_close_timer()
        self._handle(Event.LOST)
        redactor = self._conn.redactor()
        if self._requests is not None:
            self._requests.fail_all(ended_with, redactor)
        self._sender.lost(ConnError(reason, redactor.text(describe(ended_with))))
        self._promises.fulfil_closed()

    def _server_is_silent(self, error: WsxError) -> None:
        """End the connection after a keepalive timeout."""
        if isinstance(error, PingTimeout):
            self._abort_connection(error)
        else:
            self._fail_connection(error, GOING_AWAY, str(error))

    # Decisions of the handler (a wsx._client.delivery.Owner)

    def reply(self, callback: str, frames: list[object]) -> None:
        """Send the replies of a callback."""
        try:
            self._sender.reply(callback, frames)
        except (InvalidFrameError, FrameEncodeError) as error:
            self.reporter.reply_invalid(self.handler, callback, error)
            self._fail_connection(error, INTERNAL_ERROR, "the client's reply is not valid")

    def close_from_callback(self, callback: str, code: int, message: str) -> None:
        """Start the closing handshake, because a callback returned Close."""
        try:
            close_payload(code, message)
        except FrameEncodeError as error:
            self.reporter.reply_invalid(self.handler, callback, error)
            self._fail_connection(error, INTERNAL_ERROR, "the client's close frame is not valid")
        else:
            self._close(code, message)

    def disconnect_decided(self, status: Disconnect, decision: Reconnect[Any] | None) -> None:
        """Reconnect, or end the client if the decision is None."""
        if decision is None:
            asked = self._plan is not None and self._plan[0] is status
            self.gave_up = asked and self._plan_for(status).gave_up
            self.reporter.lost(status, self.history.was_open, None)
            self._end_reason = status.reason
            self._handle(Event.GIVE_UP)
            return
        if decision.conn is not None:
            self._target.change(decision.conn)
        try:
            self._delay = self._delay_of(status, decision)
        except Exception:  # the user's Backoff, or its random generator
            self.callback_failed(Failure(), "handle_disconnect", status)
            return
        self.reporter.lost(status, self.history.was_open, self._delay)
        if self._plan is not None and self._plan[0] is status and self._plan[1].requires_other:
            self._target.require_other(status.conn, status.reason)
        self._conn = self.reporter.conn = self._target.conn
        self._handle(Event.RECONNECT)
        requested, self._close_requested = self._close_requested, None
        if requested is not None:
            self._close(*requested)

    def _delay_of(self, status: Disconnect, decision: Reconnect[Any]) -> float:
        if decision.after is not None:
            return float(decision.after)
        return self._plan_for(status).delay

    def callback_finished(self, callback: str, seconds: float) -> None:
        """Report a callback's duration."""
        self.reporter.callback_finished(callback, seconds)

    def callback_blocked(self, callback: str, seconds: float, calls: int) -> None:
        """Report callbacks that have blocked the reactor for too long."""
        self.reporter.callback_blocked(callback, seconds, calls)

    def callback_overdue(self, callback: str, argument: object, seconds: float) -> None:
        """Report a callback that has not completed for a long time."""
        self.reporter.callback_overdue(callback, argument, seconds, self._options.callback_timeout)

    def callback_timed_out(self, error: CallbackTimeout, argument: object) -> None:
        """Close the connection, because a callback was cancelled after its time limit.

        If there is none to close, end the client if the callback was ``handle_disconnect``, because
        it has not decided what follows.
        """
        if self._machine.state is State.OPEN:
            self._fail_connection(error, INTERNAL_ERROR, "a callback of the client timed out")
            return
        self.reporter.callback_timed_out(error, argument)
        if error.callback == "handle_disconnect":
            self.end(error)

    def callback_failed(self, failure: Failure, callback: str, argument: object) -> None:
        """Log an exception or an invalid result of a callback, and end the client."""
        self.reporter.callback_failed(failure, self.handler, callback, argument)
        self.end(failure.value)

    def exited(self, reason: object) -> None:
        """End the client, because a callback raised Exit."""
        self.end(reason)

    def pause_reading(self) -> None:
        """Pause reading from the server, because frames are queued."""
        if self._open is None or self._machine.state is not State.OPEN or self._expects_replies:
            return
        self._open.pause_reading(FRAMES_QUEUED)

    def resume_reading(self) -> None:
        """Resume reading from the server, because no frames are queued."""
        if self._requests is not None:
            self._requests.caught_up()
        if self._open is not None and self._open.causes:
            self._open.resume_reading(FRAMES_QUEUED)

    @property
    def _expects_replies(self) -> bool:
        """Whether reading goes on although frames are queued.

        A callback may wait for a reply, which would never arrive otherwise.
        """
        requests = self._requests
        return requests is not None and requests.may_read and not self.delivery.suspended

    def resume(self) -> None:
        """Resume delivery, and read the replies to requests that were open meanwhile."""
        self.delivery.resume()
        self._read_replies()

    def _read_replies(self) -> None:
        """Resume reading although frames are queued, if a reply is expected."""
        if self._open is not None and self._expects_replies:
            self._open.resume_reading(FRAMES_QUEUED)

    def _no_open_requests(self) -> None:
        """Pause reading if frames are queued, because no reply is expected any more."""
        if self.delivery.wants_pause:
            self.pause_reading()

    def _replies_wait(self, size: int) -> None:
        """Deliver no more frames while ``size`` bytes of replies wait for a full write buffer."""
        if self._open is not None:
            if size:
                self._open.limit_reading(size)
            else:
                self._open.end_limit()
        if size:
            self.delivery.hold_frames()
            if not self.delivery.suspended:
                self.resume_reading()
        else:
            self.delivery.release_frames()

    # Transitions

    def _handle(self, event: Event) -> None:
        """Make the transition for an event, and perform its actions."""
        was_open = self._machine.state is State.OPEN
        actions = self._machine.handle(event)
        if actions is None:
            return
        if was_open and self._machine.state is not State.OPEN:
            self.mailbox.closing()
            if self._open is not None:
                self._keep_rest(self._open)
            self.history.closing()
            self._sender.closing()
        for action in actions:
            _PERFORM[action](self)

    def _close(self, code: int, message: str) -> None:
        if self._machine.state is State.OPEN:
            self._close_frame = (code, message)
            self._reason = LocalClose(code, message)
            self.reporter.trace("closing with local reason: {!r}", self._reason)
            self._handle(Event.CLOSE)
        elif self._machine.state in (State.CONNECTING, State.WAITING):
            self._reason = LocalClose(code, message)
            self._attempt_lost(Event.CLOSE)
        elif self._machine.state is State.DISCONNECTED:
            self._close_requested = (code, message)  # For handle_disconnect returning Reconnect.

    def _attempt_lost(self, event: Event) -> None:
        """Call handle_disconnect for a failed attempt, or end the client if start must fail."""
        if self.history.ever_opened or self._options.handle_initial_conn_failure:
            self._handle(event)
            return
        self._end_reason = self._reason
        self._handle(Event.START_FAILED)

    def _fail_connection(self, error: WsxError, code: int, message: str) -> None:
        """Fail the connection with a close frame (RFC 6455 section 7.1.7)."""
        if self._machine.state is State.OPEN:
            self._reason = error
            self._close_frame = (code, _truncate_close_message(message))
            self.reporter.trace("closing due to error: {}", error)
            self._handle(Event.FAIL_CONNECTION)

    def _abort_connection(self, error: WsxError) -> None:
        """Fail the connection without a close frame, because the server would not read one."""
        if self._machine.state is State.OPEN:
            self._reason = error
            self.reporter.trace("closing due to error: {}", error)
            self._handle(Event.ABORT)

    def _close_timed_out(self) -> None:
        self._close_timer = None
        self.reporter.trace("connection cut: the peer took too long to close")
        self._handle(Event.CLOSE_TIMEOUT)

    def _delay_over(self) -> None:
        self._delay_timer = None
        self._handle(Event.RETRY)

    def _count_loss(self) -> Disconnect:
        """Count a loss, notify telemetry observers, and return the status of the loss."""
        self.reporter.disconnected(self._reason)
        return self.history.lost(self._reason, self._conn)

    # The name, if the registry may return Deferreds

    def _acquire_name(self) -> None:
        assert self._naming is not None
        self.reporter.trace("asking for the name {!r}", self.name)
        self._naming.acquire(self._name_acquired, self._name_refused)

    def _name_acquired(self) -> None:
        self.reporter.trace("the name {!r} is held, fence {}", self.name, self.fence)
        if self._options.async_ and not self._initialised:
            self._initialised = True
            self._promises.fulfil_start()
        if self._machine.state is State.CONNECTING:  # Not if a callback of start has stopped it.
            self._locate()

    def _name_refused(self, error: BaseException) -> None:
        if isinstance(error, WsxError) and not isinstance(error, AlreadyStartedError):
            self.failed(error)
        else:
            self.end(error)

    def _name_lost(self, error: NameLost, seconds: float) -> None:
        """Close the connection within ``seconds``, because another client may hold the name then.

        Half of that time is for the closing handshake.
        """
        state = self._machine.state
        if state is State.CONNECTING:
            self._reason = error
            self._attempt_lost(Event.CLOSE)
        elif state is State.OPEN and not seconds:
            self._abort_connection(error)
        elif state is State.OPEN:
            self._fail_connection(error, GOING_AWAY, "the client has lost its name")
        if state in (State.OPEN, State.CLOSING):
            callback = self.delivery.cancel_callback()
            if callback is not None:
                self.reporter.callback_cancelled(callback, error)
        # Otherwise frames that wait could be delivered after the time is over.
        dropped = self.delivery.drop_connection()
        if dropped:
            self.reporter.frames_dropped(dropped, error)
        if self._open is not None:
            self._name_timer = self._scheduler.callLater(seconds / 2, self._name_time_over)

    def _name_time_over(self) -> None:
        self._name_timer = None
        self._handle(Event.CLOSE_TIMEOUT)

    # Actions of the table

    def _connect(self) -> None:
        if self._naming is None or self._naming.is_held:
            self._locate()
        else:
            self._acquire_name()

    def _locate(self) -> None:
        if self._target.has_provider:
            self.history.attempting()
            self._ask(self._target.locate, self._located)
        else:
            self._wait_for_limit()

    def _ask(
        self,
        prepare: Callable[[int, Disconnect | None], ProviderCall],
        succeeded: Callable[[Conn], None],
    ) -> None:
        """Call a callable of the user for the next attempt.

        If the reactor does not run yet, the call waits for that: only then does asyncio's event
        loop run, which the callable may need.
        """
        call = self._call = prepare(self.history.failures, self.history.last)
        self.reporter.trace("calling the {}", call.subject)
        runs = getattr(self._options.reactor, "running", True)
        call.start(succeeded, self.failed, now=runs)

    def _located(self, conn: Conn) -> None:
        self._call = None
        self._conn = self.reporter.conn = conn
        self._wait_for_limit()

    def _wait_for_limit(self) -> None:
        limiter = self._options.connect_limiter
        if limiter is None:
            self._start_attempt()
            return
        host = self._target.conn.parsed.host
        self._place = limiter.enter(host, self._scheduler, self._wait_over)
        if self._place is None:
            self._start_attempt()
        else:
            self.reporter.waiting(host, limiter, self._place.seconds)

    def _wait_over(self) -> None:
        assert self._place is not None
        waited = self._place.waited
        self._place = None
        self._start_attempt(waited)

    def _start_attempt(self, waited: float | None = None) -> None:
        if self._target.has_headers_provider:
            self.history.attempting()
            self._ask(self._target.add_headers, partial(self._attempt_with, waited))
        else:
            self._attempt_with(waited, self._target.conn)

    def _attempt_with(self, waited: float | None, conn: Conn) -> None:
        self._call = None
        self._conn = self.reporter.conn = conn
        refusal = self._target.refusal(conn)
        if refusal is not None:
            self.reporter.not_retried()
            self.failed(refusal)
            return
        again = self.history.retrying
        self.history.attempting()
        attempt = self._attempt = Attempt(conn, self._options.reactor, self)
        self.reporter.connecting(again, waited)
        if self._attempt is attempt:  # A telemetry observer may have stopped the client.
            attempt.start()

    def _cancel_attempt(self) -> None:
        if self._naming is not None:
            self._naming.cancel()
        if self._attempt is not None:
            self._abandoned = self._attempt.cancel()
            self._attempt = None
        if self._call is not None:
            self._call.cancel()
            self._call = None
        if self._place is not None:
            self._place.leave()
            self._place = None

    def _call_connect(self) -> None:
        self.mailbox.connected(Connected(self._conn, self._handle_connect_returned))
        self.reporter.telemetry_connected()
        self.delivery.deliver()
        if self.delivery.suspended:
            self.delivery.pause_reading()

    def _call_disconnect(self) -> None:
        self.mailbox.lost(Lost(self._count_loss()))
        self.delivery.wake()

    def _send_close(self) -> None:
        assert self._open is not None
        code, message = self._close_frame
        self.reporter.trace("sending close frame: {!r}", self._close_frame)
        self._open.connection.start_closing(code, message)

    def _answer_close(self) -> None:
        assert self._open is not None and isinstance(self._reason, RemoteClose)
        self._open.connection.answer_close(self._reason.code)

    def _start_close_timer(self) -> None:
        timeout = self._conn.close_timeout
        if isinstance(self._reason, DataTimeout):
            timeout = min(timeout, _SILENT_CLOSE_TIMEOUT)
        self._close_timer = self._scheduler.timeout(timeout, self._close_timed_out)

    def _stop_close_timer(self) -> None:
        if self._close_timer is not None:
            self._close_timer.cancel()
            self._close_timer = None

    def _abort_tcp(self) -> None:
        if self._open is not None:
            self._open.connection.abort()

    def _start_delay(self) -> None:
        self._delay_timer = self._scheduler.callLater(self._delay, self._delay_over)

    def _cancel_delay(self) -> None:
        if self._delay_timer is not None:
            self._delay_timer.cancel()
            self._delay_timer = None

    def _report_failure(self) -> None:
        self.reporter.lost(self._count_loss(), self.history.was_open, None)

    def _stop_delivery(self) -> None:
        dropped = self.delivery.end()
        if dropped:
            self.reporter.not_delivered(dropped)

    def _call_terminate(self) -> None:
        if self._initialised:
            self._scheduler.call_soon(self._terminate)
        elif self._abandoned:  # The TCP connection ends in the next reactor iteration.
            self._scheduler.call_soon(partial(self._handle, Event.TERMINATE_RETURNED))
        else:
            self._handle(Event.TERMINATE_RETURNED)

    def _terminate(self) -> None:
        reason = self._end_reason
        # The repr of an exception may contain secrets, such as header values.
        shown = describe(reason) if isinstance(reason, BaseException) else shorten(reason)
        self.reporter.trace("terminating: {}", shown)
        limit = self._conn.close_timeout
        if self._options.callback_timeout is not None:
            limit = min(limit, self._options.callback_timeout)
        self._termination.start(self.delivery.terminate, reason, limit)

    def _terminate_returned(self, reason: object) -> None:
        self._end_reason = reason
        self._handle(Event.TERMINATE_RETURNED)

    def _finish(self) -> None:
        self._release_name()
        self._delayed.cancel()
        self.tracing.close()
        self.delivery.refuse_requests()
        self.reporter.ended(self._end_reason)
        if self._naming is None:
            self._promises.end(self._end_reason)
        else:  # After the end, the user may start another client with the name.
            self._naming.release().addCallback(lambda _: self._promises.end(self._end_reason))

    def _release_name(self) -> None:
        if self.name is None or not self._registered:
            return
        self._registered = False
        try:
            registry.unregister(self.name)  # type: ignore[arg-type]
        except Exception:  # The registry is the user's; the client must end nevertheless.
            self.reporter.name_not_released(Failure())

    def _connection_state(self) -> str:
        """Return the ``connection_state`` of a :class:`NotConnectedError`."""
        return "opening" if self.status == "connecting" else self.status


_PERFORM: Final[dict[Action, Callable[[Lifecycle[Any]], None]]] = {
    Action.CONNECT: Lifecycle._connect,
    Action.CANCEL_ATTEMPT: Lifecycle._cancel_attempt,
    Action.CALL_CONNECT: Lifecycle._call_connect,
    Action.CALL_DISCONNECT: Lifecycle._call_disconnect,
    Action.SEND_CLOSE: Lifecycle._send_close,
    Action.ANSWER_CLOSE: Lifecycle._answer_close,
    Action.START_CLOSE_TIMER: Lifecycle._start_close_timer,
    Action.ABORT: Lifecycle._abort_tcp,
    Action.START_DELAY: Lifecycle._start_delay,
    Action.CANCEL_DELAY: Lifecycle._cancel_delay,
    Action.STOP_DELIVERY: Lifecycle._stop_delivery,
    Action.REPORT_FAILURE: Lifecycle._report_failure,
    Action.CALL_TERMINATE: Lifecycle._call_terminate,
    Action.FINISH: Lifecycle._finish,
}


def _is_time(value: Any) -> bool:
    """Return whether a value is a number of seconds of at least 0; infinity is one."""
    try:
        return bool(value >= 0)
    except TypeError:
        return False


def _wrong_timeout(timeout: object) -> ValueError:
    return ValueError(expected("timeout", "a number of at least 0 or None", timeout))


def _close_code(reason: object) -> int:
    """Return the close code of a client that ends for this reason."""
    if isinstance(reason, Shutdown):
        return GOING_AWAY
    return NORMAL_CLOSURE if is_normal(reason) else INTERNAL_ERROR


def _truncate_close_message(message: str) -> str:
    """Return the part of a message that fits into a close frame (RFC 6455 section 5.5)."""
    return message.encode(errors="replace")[:MAX_CLOSE_MESSAGE].decode(errors="ignore")
