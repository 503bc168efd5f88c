"""The lifecycle of a client, performed: what is behind the face of :class:`wsx.Client`.

It performs the actions of the table (:mod:`wsx._client.states`), has the handler called
(:mod:`wsx._client.delivery`), owns the present attempt or connection
(:mod:`wsx._transport.connection`), and keeps the promises: the Deferreds of ``start``,
``send_frame``, ``close``, ``stop`` and ``terminated``.

The module is long because one state has four sides, each a section below: what the client asks for,
what a connection reports, what the handler decides, and the actions of the table. Dividing them
would only hide who changes what.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from wsx import registry, telemetry
from wsx._client.delivery import Delivery
from wsx._client.history import Journal
from wsx._client.keepalive import Keepalive
from wsx._client.mailbox import Connected, Lost, Mailbox, Message
from wsx._client.states import Action, Event, Machine, State
from wsx._client.tracing import Debug, parse_options
from wsx._deferreds import Waiters
from wsx._options import Options
from wsx._text import describe, shorten
from wsx._transport.connection import Attempt, Connection
from wsx.conn import Conn
from wsx.errors import (
    ConnError,
    FrameEncodeError,
    FrameError,
    InvalidFrameError,
    MailboxFullError,
    NotConnectedError,
    PingTimeout,
    SendTimeout,
    WsxError,
    as_exception,
)
from wsx.frames import (
    GOING_AWAY,
    INTERNAL_ERROR,
    MAX_CLOSE_MESSAGE,
    NORMAL_CLOSURE,
    Binary,
    Frame,
    Ping,
    Pong,
    Text,
    close_payload,
)
from wsx.handler import Handler, Reconnect
from wsx.reasons import ConnectionDropped, Disconnect, LocalClose, RemoteClose, Shutdown, is_normal

if TYPE_CHECKING:
    from wsx.client import Client

__all__ = ["Lifecycle"]

S = TypeVar("S")

_log = Logger("wsx")

_GATHER_AT_MOST: Final = 65536  # bytes: the high-water mark of Twisted's transports
_LATER_AT_LEAST: Final = 64  # pending send_after calls before cancelled ones are looked for


class Lifecycle(Generic[S]):
    """What is behind a :class:`wsx.Client`; its methods say there what they do.

    Args:
        client: the client, for those who are to get it.
        conn, handler, state, options: as for :func:`wsx.start`.

    Attributes:
        gave_up: whether the ``reconnect`` policy had enough when it was asked last.
        delivery, mailbox, journal, debug: the parts that system requests look at.
    """

    __slots__ = (
        "_abandoned",
        "_answered",
        "_attempt",
        "_close_frame",
        "_close_timer",
        "_close_wanted",
        "_closed",
        "_conn",
        "_connection",
        "_delay",
        "_delay_timer",
        "_end_reason",
        "_hurried",
        "_initialised",
        "_keepalive",
        "_late_pong",
        "_later",
        "_machine",
        "_named",
        "_opening",
        "_options",
        "_prune_at",
        "_reactor",
        "_reading_paused",
        "_reason",
        "_senders",
        "_shown",
        "_started",
        "_target",
        "_terminated",
        "_terminating",
        "client",
        "debug",
        "delivery",
        "gave_up",
        "journal",
        "mailbox",
        "name",
    )

    def __init__(
        self, client: Client[S], conn: Conn, handler: Handler[S], state: S, options: Options
    ) -> None:
        self.client = client
        self.name = options.name
        self.gave_up = False
        self._options = options
        self._reactor = options.reactor
        self._target = conn  # where the next attempt goes
        self._conn = conn  # the same, or with the server's answer
        self._shown: tuple[Conn | None, Conn] = (None, conn)  # and what observers get for it
        self._machine = Machine()
        self.mailbox = Mailbox(options.mailbox_limit)
        self.delivery = Delivery(handler, state, self.mailbox, self._reactor, self)
        self._attempt: Attempt | None = None
        self._connection: Connection | None = None
        self._keepalive: Keepalive | None = None
        self._reading_paused = False
        self.journal = Journal(self._reactor, options.stable_after)
        self._answered = False  # handle_connect has, on this connection
        self._reason: object = None  # why the present connection ends
        self._close_frame: tuple[int, str] = (NORMAL_CLOSURE, "")
        self._close_timer: IDelayedCall | None = None
        self._close_wanted: tuple[int, str] | None = None  # while handle_disconnect is asked
        self._delay = 0.0
        self._delay_timer: IDelayedCall | None = None
        self._initialised = options.async_
        self._named = False  # the name is ours
        self._end_reason: object = None
        self._terminating: Deferred[object] | None = None
        self._hurried = False
        self._abandoned = False  # an attempt that had a TCP connection already
        self._started: Deferred[Client[S]] | None = None
        self._opening: Waiters[Client[S]] = Waiters()
        self._terminated: Waiters[object] = Waiters()
        self._closed: Waiters[None] = Waiters()
        self._senders: Waiters[None] = Waiters()
        self._late_pong: list[object] = []  # to be sent when there is room
        self._later: set[IDelayedCall] = set()
        self._prune_at = _LATER_AT_LEAST
        self.debug = Debug(self._trace_label, options.reactor)

    # Looking at it

    @property
    def label(self) -> str:
        """What log lines call it: its name, or handler and URL."""
        if self.name is not None:
            return shorten(self.name)
        kind = type(self.delivery.handler).__qualname__
        return f"<{kind} {self._target.parsed.redacted}>"

    def _trace_label(self) -> str:
        return repr(self.client) if self.name is None else shorten(self.name)

    @property
    def status(self) -> str:
        """``"connecting"``, ``"open"``, ``"closing"``, ``"disconnected"`` or ``"terminated"``."""
        return self._machine.state.status

    @property
    def conn(self) -> Conn:
        """Where it is connected or connecting to; with the server's answer once it is open."""
        return self._conn

    @property
    def handler(self) -> Handler[S]:
        """The handler."""
        return self.delivery.handler

    @property
    def latency(self) -> float | None:
        """Seconds of the last keepalive round trip on this connection, or None."""
        return None if self._keepalive is None else self._keepalive.latency

    # Talking to it

    def post(self, callback: str, message: Any) -> None:
        """Takes a cast or an info, for the callback of that name."""
        if self._machine.state.is_ending:
            raise NotConnectedError(self.connection_state())
        self.mailbox.message(Message(callback, message))
        if self.debug.active:
            self.debug.event(f"received {callback.removeprefix('handle_')}: {{!r}}", message)
        if self.mailbox.queue:
            self.delivery.wake()

    def send_after(self, delay: float, message: Any) -> IDelayedCall:
        """Delivers an info later."""

        def deliver() -> None:
            self._later.discard(call)
            try:
                self.post("handle_info", message)
            except NotConnectedError:
                return  # it is ending: dropped, as promised
            except MailboxFullError as error:
                _log.error("{label}: send_after: {error}", label=self.label, error=error)

        call: IDelayedCall = self._reactor.callLater(delay, deliver)
        if len(self._later) >= self._prune_at:  # of cancelled ones nobody tells us
            self._later = {later for later in self._later if later.active()}
            self._prune_at = 2 * len(self._later) + _LATER_AT_LEAST
        self._later.add(call)
        return call

    def send_frame(self, frame: Frame, timeout: float | None = 5.0) -> Deferred[None]:
        """Sends a frame."""
        if timeout is not None and not timeout >= 0:
            return fail(ValueError(f"timeout is not negative, unlike {timeout!r}"))
        connection = self._connection
        if connection is None or self._machine.state is not State.OPEN:
            return fail(NotConnectedError(self.connection_state()))
        try:
            if self.delivery.busy:
                connection.gather([frame])
                if connection.gathered >= _GATHER_AT_MOST:  # or the end of the batch flushes
                    connection.flush()
            else:
                connection.send(frame)
        except (InvalidFrameError, FrameEncodeError) as error:
            return fail(error)
        if self.debug.active:
            self.debug.event("sending frame: {!r}", frame)
        if telemetry.observers:
            self._tell(telemetry.FRAME_SENT, frame=frame)
        return succeed(None) if connection.writable else self._wait_for_buffer(timeout)

    def _wait_for_buffer(self, timeout: float | None) -> Deferred[None]:
        sender = self._senders.add()
        if timeout is not None:
            sender.addTimeout(timeout, self._reactor, lambda *_: _raise(SendTimeout()))
        return sender

    def close(self, code: int = NORMAL_CLOSURE, message: str = "") -> Deferred[None]:
        """Starts the closing handshake."""
        try:
            close_payload(code, message)
        except FrameEncodeError as error:
            return fail(error)
        self._close(code, message)
        if self._connection is None:
            return succeed(None)
        return self._closed.add()

    def terminated(self) -> Deferred[object]:
        """Gives a Deferred of the reason with which the client ends; never an errback."""
        if self._machine.state is State.TERMINATED:
            return succeed(self._end_reason)
        return self._terminated.add()

    def when_open(self) -> Deferred[Client[S]]:
        """Gives a Deferred of the open client."""
        if self._machine.state is State.TERMINATED:
            return fail(as_exception(self._end_reason))
        if self._machine.state is State.OPEN and self._answered:
            return succeed(self.client)
        return self._opening.add()

    def mark_healthy(self) -> None:
        """Says that this connection works: its loss will be attempt number 1."""
        if self._machine.state is State.OPEN:
            self.journal.mark_healthy()

    def reconnect_delay(self, status: Disconnect) -> float | None:
        """Applies the ``reconnect`` policy; None to give up, and without a policy."""
        policy = self._options.reconnect
        delay = None if policy is None else policy.delay(status)
        self.gave_up = policy is not None and delay is None
        return delay

    # Starting

    def begin(self) -> Deferred[Client[S]]:
        """Registers the name and makes the first attempt."""
        started: Deferred[Client[S]] = Deferred(self._start_cancelled)
        if not self._initialised:
            self._started = started
        try:
            self.debug.switch_on(parse_options(self._options.debug))
            if self.name is not None:
                registry.register(self.name, self.client)
                self._named = True
            self.handler.client = self.client
        except Exception:
            self._free_name()
            self._started = None
            self.debug.close()
            raise
        if self._initialised:
            started.callback(self.client)
        self.delivery.held = True  # an endpoint may connect, and its server answer, at once
        self._happen(Event.START)
        self.delivery.held = False
        return started

    def _start_cancelled(self, _: Deferred[Client[S]]) -> None:
        self._started = None
        self.end(Shutdown("start was cancelled"))

    def _connect_answered(self) -> None:
        self._initialised = True
        is_open = self._answered = self._machine.state is State.OPEN
        started, self._started = self._started, None
        if started is not None:
            started.callback(self.client)
        if is_open:
            self._opening.succeed(self.client)

    # What the connection says (a wsx._transport.connection.Listener)

    def opened(self, connection: Connection, conn: Conn) -> None:
        """The opening handshake is complete."""
        self._attempt = None
        self._connection = connection
        self._conn = conn
        self._answered = self._reading_paused = False
        self._late_pong = []
        self._keepalive = Keepalive(self._reactor, conn, self._send_ping, self._peer_is_gone)
        connection.expect_pongs(self._keepalive.token)
        self._keepalive.start()
        again = self.journal.ever_opened
        self._note("successfully reconnected" if again else "successfully connected")
        self.journal.opened(self.label, conn)
        self._happen(Event.OPENED)

    def failed(self, error: WsxError) -> None:
        """The attempt failed."""
        self._attempt = None
        self._reason = error
        self._attempt_is_lost(Event.FAILED)

    def received(self, frames: list[Frame], joined: list[Frame], controls: bool) -> None:
        """A batch of frames."""
        keepalive = self._keepalive
        assert keepalive is not None
        keepalive.heard = True
        if not frames:
            return
        if keepalive.watches_data and any(isinstance(f, (Text, Binary)) for f in frames):
            keepalive.data()
        if self.debug.active:
            self.debug.received(frames, joined)
        if telemetry.observers:
            for frame in frames:
                self._tell(telemetry.FRAME_RECEIVED, frame=frame)
        self.delivery.received(frames, controls)

    def own_pong(self, payload: bytes) -> None:
        """An answer to one of our keepalive pings."""
        if self._keepalive is not None:
            self._keepalive.pong(payload)
        if telemetry.observers:
            self._tell(telemetry.FRAME_RECEIVED, frame=Pong(payload))

    def peer_closed(self, code: int, message: str) -> None:
        """The peer's close frame."""
        if self._machine.state is State.OPEN:
            self._reason = RemoteClose(code, message)
            self._note("closing with remote reason: {!r}", self._reason)
            self._happen(Event.PEER_CLOSE)

    def violated(self, error: FrameError) -> None:
        """The peer broke the protocol."""
        self._break(error, error.close_code, error.reason)

    def writable(self) -> None:
        """The write buffer has room again."""
        pong, self._late_pong = self._late_pong, []
        if pong:
            self.reply("handle_ping", pong)
            self.flush()
        self._senders.succeed(None)

    def closed(self, reason: BaseException) -> None:
        """TCP is at its end."""
        if self._machine.state is State.OPEN:
            self._reason = ConnectionDropped(reason)
            self._note("connection dropped by the peer")
        else:
            self._note("connection closed")
        self._connection = None
        if self._machine.state is State.ENDING:  # otherwise handle_disconnect's status tells
            self._tell(telemetry.DISCONNECTED, reason=self._end_reason)
        if self._keepalive is not None:
            self._keepalive.stop()
            self._keepalive = None
        if self._close_timer is not None:
            self._close_timer.cancel()
            self._close_timer = None
        self._happen(Event.LOST)
        self._senders.fail(ConnError(reason))
        self._closed.succeed(None)

    def _send_ping(self, payload: bytes) -> None:
        if self._connection is not None and self._machine.state is State.OPEN:
            ping = Ping(payload)
            self._connection.send(ping)
            self._tell(telemetry.FRAME_SENT, frame=ping)

    def _peer_is_gone(self, error: WsxError) -> None:
        if isinstance(error, PingTimeout):
            self._cut(error)
        else:
            self._break(error, GOING_AWAY, str(error))

    # What the handler decides (a wsx._client.delivery.Owner)

    def reply(self, callback: str, frames: list[object]) -> None:
        """Sends a callback's frames; a connection that is open no more takes none."""
        if self._connection is None or self._machine.state is not State.OPEN:
            _log.debug(
                "{label}: a reply of {callback} came too late", label=self.label, callback=callback
            )
            return
        if not self._connection.writable and all(isinstance(frame, Pong) for frame in frames):
            # RFC 6455 section 5.5.3 allows to answer the latest ping only: a peer that pings and
            # does not read cannot fill our memory.
            self._late_pong = frames[-1:]
            return
        try:
            self._connection.gather(frames)
        except (InvalidFrameError, FrameEncodeError) as error:
            _log.error(
                "{label}: {callback}: {error}", label=self.label, callback=callback, error=error
            )
            self._break(error, INTERNAL_ERROR, "the client's reply could not be encoded")
            return
        if self.debug.active:
            for frame in frames:
                self.debug.event("replying from {} with {!r}", callback, frame)
        if telemetry.observers:
            for frame in frames:
                self._tell(telemetry.FRAME_SENT, frame=frame)

    def close_from_callback(self, code: int, message: str) -> None:
        """Starts the closing handshake."""
        try:
            close_payload(code, message)
        except FrameEncodeError as error:
            self._break(error, INTERNAL_ERROR, "the client's close frame could not be encoded")
        else:
            self._close(code, message)

    def disconnect_answered(self, status: Disconnect, decision: Reconnect[Any] | None) -> None:
        """Goes on after ``handle_disconnect``."""
        if decision is None:
            self.journal.decided(self.label, status, None)
            self._end_reason = status.reason
            self._happen(Event.GIVE_UP)
            return
        self.gave_up = False
        if decision.conn is not None:
            self._target = decision.conn.without_answer()
        self._conn = self._target
        self._delay = self._delay_of(status) if decision.after is None else float(decision.after)
        self.journal.decided(self.label, status, self._delay)
        self._happen(Event.RECONNECT)
        wanted, self._close_wanted = self._close_wanted, None
        if wanted is not None:
            self._close(*wanted)

    def _delay_of(self, status: Disconnect) -> float:
        """The delay of a ``Reconnect`` without one: never a hot loop of attempts."""
        policy = self._options.reconnect
        if policy is not None:
            delay = policy.delay(status)
            return policy.maximum if delay is None else delay
        return self.journal.gentle_delay()

    def answered(self, callback: str, seconds: float) -> None:
        """A callback took this long."""
        self._tell(telemetry.CALLBACK, {"duration": seconds}, callback=callback)

    def crashed(self, reason: object, failure: Failure | None) -> None:
        """A callback raised, or answered nonsense; or it raised Exit."""
        if failure is not None:
            _log.failure("{label}: a callback failed", failure, label=self.label)
        self.end(reason)

    def flush(self) -> None:
        """A batch of deliveries is done."""
        if self._connection is not None:
            self._connection.flush_now()

    def pause_reading(self) -> None:
        """Frames wait: hold the peer back."""
        if not self._reading_paused and self._machine.state is State.OPEN:
            assert self._connection is not None and self._keepalive is not None
            self._reading_paused = True
            self._keepalive.paused()
            self._connection.pause_reading()

    def resume_reading(self) -> None:
        """No frames wait any more."""
        if self._reading_paused:
            self._reading_paused = False
            if self._keepalive is not None:
                self._keepalive.resumed()
            if self._connection is not None:
                self._connection.resume_reading()

    # Events

    def _happen(self, event: Event) -> None:
        """Lets the machine make the transition, and performs its actions."""
        was_open = self._machine.state is State.OPEN
        actions = self._machine.handle(event)
        if actions is None:
            return
        if was_open and self._machine.state is not State.OPEN:
            self.mailbox.closing()
            self.journal.closing()
        for action in actions:
            _PERFORM[action](self)

    def _close(self, code: int, message: str) -> None:
        if self._machine.state is State.OPEN:
            self._close_frame = (code, message)
            self._reason = LocalClose(code, message)
            self._note("closing with local reason: {!r}", self._reason)
            self._happen(Event.CLOSE)
        elif self._machine.state in (State.CONNECTING, State.WAITING):
            self._reason = LocalClose(code, message)
            self._attempt_is_lost(Event.CLOSE)
        elif self._machine.state is State.DISCONNECTED:
            self._close_wanted = (code, message)  # should handle_disconnect answer Reconnect

    def _attempt_is_lost(self, event: Event) -> None:
        """There will be no connection: whether anybody handles that depends on the options."""
        if self.journal.ever_opened or self._options.handle_initial_conn_failure:
            self._happen(event)
            return
        self._end_reason = self._reason
        self._happen(Event.FAILED_FOR_GOOD)

    def _break(self, error: WsxError, code: int, message: str) -> None:
        """Gives the connection up with a close frame (RFC 6455 section 7.1.7)."""
        if self._machine.state is State.OPEN:
            self._reason = error
            self._close_frame = (code, _fit(message))
            self._note("closing due to error: {}", error)
            self._happen(Event.BREAK)

    def _cut(self, error: WsxError) -> None:
        """Gives the connection up without one: nobody is there to read it."""
        if self._machine.state is State.OPEN:
            self._reason = error
            self._note("closing due to error: {}", error)
            self._happen(Event.CUT)

    def end(self, reason: object, code: int | None = None) -> None:
        """Begins the end of the client; the first reason counts.

        Args:
            reason: what ``terminate`` and ``terminated()`` get.
            code: of the close frame; by default it follows from the reason.
        """
        if self._machine.state.is_ending:
            return
        self._end_reason = reason
        self._close_frame = (_close_code(reason) if code is None else code, "")
        self._happen(Event.END)

    def abort(self) -> None:
        """Ends the client and waits for nobody; ``terminate`` is called all the same."""
        self._hurried = True
        self.end(Shutdown())
        if self._machine.state is State.ENDING:
            self._happen(Event.CLOSE_OVERDUE)
        if self._terminating is not None:
            self._terminate_overdue(self._terminating)

    def _close_is_overdue(self) -> None:
        self._close_timer = None
        self._note("connection cut: the peer took too long to close")
        self._happen(Event.CLOSE_OVERDUE)

    def _delay_is_over(self) -> None:
        self._delay_timer = None
        self._happen(Event.DUE)

    # Actions

    def _do_connect(self) -> None:
        again = self.journal.retrying
        self._note("attempting to reconnect" if again else "attempting to connect")
        self.journal.trying()
        attempt = self._attempt = Attempt(self._target, self._reactor, self)
        self._tell(telemetry.CONNECTING)
        if self._attempt is attempt:  # an observer may have stopped the client
            attempt.start()

    def _do_abandon(self) -> None:
        if self._attempt is not None:
            self._abandoned = self._attempt.cancel()
            self._attempt = None

    def _do_call_connect(self) -> None:
        self.mailbox.connected(Connected(self._conn, self._connect_answered))
        self._tell(telemetry.CONNECTED)
        self.delivery.deliver()
        if self.delivery.suspended:
            self.pause_reading()

    def _do_call_disconnect(self) -> None:
        self.mailbox.lost(Lost(self._count_loss()))
        self.delivery.wake()

    def _do_send_close(self) -> None:
        assert self._connection is not None
        code, message = self._close_frame
        self._note("sending close frame: {!r}", self._close_frame)
        self._connection.start_closing(code, message)

    def _do_answer_close(self) -> None:
        assert self._connection is not None and isinstance(self._reason, RemoteClose)
        self._connection.answer_close(self._reason.code)

    def _do_start_close_timer(self) -> None:
        timeout = self._conn.close_timeout
        self._close_timer = self._reactor.callLater(timeout, self._close_is_overdue)

    def _do_cut(self) -> None:
        if self._connection is not None:
            self._connection.cut()

    def _do_wait(self) -> None:
        self._delay_timer = self._reactor.callLater(self._delay, self._delay_is_over)

    def _do_stop_waiting(self) -> None:
        if self._delay_timer is not None:
            self._delay_timer.cancel()
            self._delay_timer = None

    def _do_note_failure(self) -> None:
        self.journal.decided(self.label, self._count_loss(), None)

    def _do_silence(self) -> None:
        dropped = self.delivery.end()
        if dropped:
            _log.warn("{label}: messages not delivered: {n}", label=self.label, n=dropped)

    def _do_call_terminate(self) -> None:
        if self._initialised:
            self._reactor.callLater(0, self._terminate)
        elif self._abandoned:  # its TCP is at its end in the next step
            self._reactor.callLater(0, self._happen, Event.DONE)
        else:
            self._happen(Event.DONE)

    def _terminate(self) -> None:
        reason = self._end_reason  # an exception's repr may show headers
        shown = describe(reason) if isinstance(reason, BaseException) else shorten(reason)
        self._note("terminating: {}", shown)
        ending = self._terminating = self.delivery.terminate(self._end_reason)
        limit = 0 if self._hurried else self._conn.close_timeout
        self._close_timer = self._reactor.callLater(limit, self._terminate_overdue, ending)
        ending.addCallback(self._terminate_answered)

    def _terminate_answered(self, reason: object) -> None:
        if self._terminating is not None:
            self._end_reason = reason
            self._terminate_is_over()

    def _terminate_overdue(self, ending: Deferred[object]) -> None:
        """Ends all the same, also where ``terminate`` does not mind being cancelled."""
        _log.warn("{label}: terminate took too long and was cancelled", label=self.label)
        self._terminating = None
        ending.cancel()
        self._terminate_is_over()

    def _terminate_is_over(self) -> None:
        self._terminating = None
        if self._close_timer is not None and self._close_timer.active():
            self._close_timer.cancel()
        self._happen(Event.DONE)

    def _do_finish(self) -> None:
        self._free_name()
        for call in self._later:
            if call.active():
                call.cancel()
        self._later.clear()
        self.journal.ended(self.label, self._end_reason)
        self.debug.close()
        self.delivery.refuse_requests()
        self._tell(telemetry.TERMINATE, reason=self._end_reason)
        started, self._started = self._started, None
        if started is not None:
            started.errback(as_exception(self._end_reason))
        self._opening.fail(as_exception(self._end_reason))
        self._terminated.succeed(self._end_reason)

    def _free_name(self) -> None:
        if self.name is None or not self._named:
            return
        self._named = False
        try:
            registry.unregister(self.name)
        except Exception:  # a registry of the user's own: the end must be told all the same
            _log.failure("{label}: its registry did not free the name", label=self.label)

    # Small things

    def _count_loss(self) -> Disconnect:
        self._tell(telemetry.DISCONNECTED, reason=self._reason)
        return self.journal.lost(self._reason, self._conn)

    def connection_state(self) -> str:
        """The word that :class:`NotConnectedError` uses."""
        return "opening" if self.status == "connecting" else self.status

    def _note(self, what: str, *details: object) -> None:
        if self.debug.active:
            self.debug.event(what, *details)

    def _redacted(self) -> Conn:
        """Gives the present Conn as observers see it; kept, as making it takes longest."""
        if self._shown[0] is not self._conn:
            self._shown = (self._conn, self._conn.redacted())
        return self._shown[1]

    def _tell(
        self, event: str, measurements: dict[str, Any] | None = None, **metadata: Any
    ) -> None:
        """Tells the observers of an event, where there are any."""
        if event in telemetry.observers:
            metadata |= {
                "client": self.client,
                "name": self.name,
                "handler": type(self.handler),
                "conn": self._redacted(),
            }
            telemetry.execute(event, metadata, **(measurements or {}))


_PERFORM: Final[dict[Action, Callable[[Lifecycle[Any]], None]]] = {
    Action.CONNECT: Lifecycle._do_connect,
    Action.ABANDON: Lifecycle._do_abandon,
    Action.CALL_CONNECT: Lifecycle._do_call_connect,
    Action.CALL_DISCONNECT: Lifecycle._do_call_disconnect,
    Action.SEND_CLOSE: Lifecycle._do_send_close,
    Action.ANSWER_CLOSE: Lifecycle._do_answer_close,
    Action.START_CLOSE_TIMER: Lifecycle._do_start_close_timer,
    Action.CUT: Lifecycle._do_cut,
    Action.WAIT: Lifecycle._do_wait,
    Action.STOP_WAITING: Lifecycle._do_stop_waiting,
    Action.SILENCE: Lifecycle._do_silence,
    Action.NOTE_FAILURE: Lifecycle._do_note_failure,
    Action.CALL_TERMINATE: Lifecycle._do_call_terminate,
    Action.FINISH: Lifecycle._do_finish,
}


def _close_code(reason: object) -> int:
    """The close code with which a client that ends for this reason closes its connection."""
    if isinstance(reason, Shutdown):
        return GOING_AWAY
    return NORMAL_CLOSURE if is_normal(reason) else INTERNAL_ERROR


def _fit(message: str) -> str:
    """Cuts a message to what a close frame holds."""
    return message.encode(errors="replace")[:MAX_CLOSE_MESSAGE].decode(errors="ignore")


def _raise(error: Exception) -> Any:
    raise error
