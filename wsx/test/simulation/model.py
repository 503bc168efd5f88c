"""A reference model of one client: what must happen next, according to docs and design.md.

The model is told about each event before the client is: a call of the API, the result of a
callback, bytes that arrive, the end of a connection. What the client then does (callbacks, writes,
attempts, ends of connections) is compared with what the model expects. Timers of the client cannot
be observed, only their effects; the model checks that these are neither early nor late.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import wsx
from wsx.test.simulation import wire
from wsx.test.simulation.policy import Expectation, is_normal, matches, policy_bounds
from wsx.test.simulation.rules import Rule
from wsx.test.simulation.terms import (
    BIG_READ,
    CALLBACK_OF,
    ENDING_PHASES,
    EPSILON,
    OPCODES,
    SILENT_CLOSE_TIMEOUT,
    Call,
    Entry,
    Phase,
    close_error,
    describe,
    frame_error,
    is_allowed,
    may_leave_a_rest,
)
from wsx.test.simulation.watch import Watch
from wsx.test.simulation.wire import Received

if TYPE_CHECKING:
    from wsx.test.simulation.network import Item, Link
    from wsx.test.simulation.subject import Subject


class Model(Watch):
    """The reference model of one client.

    Attributes:
        phase: The state.
        state: The handler's state that the next callback must receive.
        link: The current connection or the one that an attempt has made, or None.
        outgoing: Frames that were passed on and not written yet.
        close_due: The code and message of the close frame that must be written now, or None.
        write_held: Whether frames may be held back because of a full write buffer.
        has_ended: Whether the client has ended.
        waiting: The number of casts and infos that wait.
    """

    def __init__(self, subject: Subject, conn: wsx.Conn, options: dict[str, Any]) -> None:
        super().__init__()
        self.subject = subject
        self.world = subject.world
        self.conn = conn
        self.backoff: wsx.Backoff | None = options.get("reconnect")
        self.stable_after: float = options.get("stable_after", 5.0)
        self.limit: float = options.get("mailbox_limit", 10_000)
        self.passes_failures = bool(options.get("handle_initial_conn_failure"))
        self.initialised = bool(options.get("async_"))
        self.phase = Phase.NEW
        self.state: Any = None
        self.queue: deque[Entry] = deque()
        self.held: deque[Entry] = deque()
        self.waiting = 0
        self.has_frames = 0
        self.reads = 0
        self.big_read = 0
        self.relaxed = False  # Whether the last read may not be decoded completely.
        self.deferred_loss: BaseException | None = None
        self.emptied_at = 0.0  # When the last frame was delivered.
        self.pending: Call | None = None
        self.requests = 0
        self.suspended = False
        self.ended = False
        self.has_ended = False
        self.touched_at = 0.0
        # The current attempt or connection:
        self.link: Link | None = None
        self.outgoing: deque[wsx.Frame] = deque()
        self.late_pong: list[wsx.Frame] = []
        self.write_blocked = False
        self.write_held = False
        self.cause: Expectation | None = None
        self.close_due: tuple[Any, str] | None = None
        self.close_by: float | None = None
        self.end_item: Expectation | None = None
        self.may_end: Expectation | None = None
        self.close_requested: tuple[int, str] | None = None
        self.attempt_at = 0.0
        self.attempt_by: float | None = None
        self.tcp_pending = False
        self.abandoned = False
        self.due: tuple[float, float] | None = None
        # The history:
        self.ever_opened = False
        self.was_open = False
        self.answered = False  # Whether the Conn of the next loss has the server's response.
        self.place: object = None  # While an attempt waits for the connection limit.
        self.limited = False  # Whether the limit was asked for the next attempt.
        self.failures = 0
        self.healthy = False
        self.opened_at: float | None = None
        self.outage: list[Any] | None = None  # since when, and the number of failed attempts
        # The end:
        self.end_reason: Expectation = ("shutdown", "")
        self.terminate_called = False
        self.terminate_at = 0.0
        self.terminate_done = False
        self.killed = False
        self.gave_up = False

    # Helpers

    @property
    def is_open(self) -> bool:
        return self.phase is Phase.OPEN

    @property
    def is_ending(self) -> bool:
        return self.phase in ENDING_PHASES

    def duration_of(self, call: Call) -> float:
        """Return for how long a callback has run. Unlike for timers, pauses count."""
        return self.world.reactor.monotonic_now - call.began

    def connection_state(self) -> str:
        """Return the ``connection_state`` of a NotConnectedError now."""
        status = self.phase.statuses[0]
        if self.phase is Phase.TERMINATING:
            status = self.subject.client.status
        return "opening" if status == "connecting" else status

    # Time

    def audit(self) -> None:
        """Check that nothing is overdue. The subject calls this before each event."""
        self.sync()
        now = self.now
        late = now - self.world.tolerance - EPSILON
        if late > self.touched_at:
            self._check_progress()
        phase = self.phase
        if phase is Phase.OPEN:
            self._audit_keepalive(late)
        elif phase is Phase.CONNECTING:
            if self.place is not None:
                self.world.limiter.check(self.subject, late)
            if self.attempt_by is not None and late > self.attempt_by:
                self.fail(
                    Rule.ATTEMPT_TIMEOUT, f"the attempt should have ended at {self.attempt_by}"
                )
        elif phase is Phase.WAITING:
            if self.due is not None and late > self.due[1]:
                self.fail(Rule.RECONNECT_TIME, f"the attempt was due at {self.due[1]}")
        elif phase in (Phase.CLOSING, Phase.ENDING):
            link = self.link
            over = self.close_by is not None and late > self.close_by
            if over and link is not None and not (link.lost or link.aborted):
                self.fail(
                    Rule.CLOSE_TIMEOUT, f"the connection should have ended at {self.close_by}"
                )
            if over and link is not None and link.aborted and late > self.touched_at:
                self.fail(Rule.END_IN_TIME, "the client waits for an aborted connection")
        elif phase is Phase.TERMINATING:
            self._audit_terminate(late)
        self.touched_at = now

    def _audit_terminate(self, late: float) -> None:
        if not self.terminate_called:
            if late > self.terminate_at:
                self.fail(Rule.TERMINATE, "terminate was not called, or the client did not end")
        elif late > self.terminate_at + (0.0 if self.killed else self.conn.close_timeout):
            self.fail(Rule.END_IN_TIME, "terminate takes longer than close_timeout")

    def _check_progress(self) -> None:
        deliverable = self.queue and self.queue[0].kind != "held"
        if not deliverable or self.pending is not None or self.suspended or self.ended:
            return
        if self.write_held:
            return
        self.fail(Rule.PROGRESS, f"{self.queue[0].kind} was not delivered at {self.touched_at}")

    # Attempts

    def limit_asked(self) -> None:
        """The client asks for the permission to connect."""
        self._attempt_is_due()
        self.phase = Phase.CONNECTING
        self.link = None
        self.limited = True

    def attempt_begins(self) -> None:
        """The client calls ``endpoint.connect``."""
        if not self.limited:
            self._attempt_is_due()
        self.limited = False
        self.place = None
        self.check_timers(1)
        self.phase = Phase.CONNECTING
        self.link = None
        now = self.attempt_at = self.now
        self.was_open = False
        self.tcp_pending = True
        self.attempt_by = now + self.conn.socket_connect_timeout
        self.subject.telemetry.expect("connecting", None)

    def _attempt_is_due(self) -> None:
        link = self.link
        if link is not None and not (link.lost or link.aborted or link.disconnecting):
            self.fail(Rule.ONE_CONNECTION, "an attempt begins while a connection exists")
        now = self.now
        if self.phase is Phase.WAITING:
            assert self.due is not None
            if not self.due[0] - EPSILON <= now <= self.due[1] + EPSILON + self.world.tolerance:
                self.fail(Rule.RECONNECT_TIME, f"attempt at {now}, due in {self.due}")
        elif self.phase is not Phase.NEW:
            self.fail(Rule.RECONNECT_TIME, f"an attempt begins in {self.phase.name}")

    def check_timers(self, most: int) -> None:
        """Check that a client without a connection has no more than ``most`` timers.

        One more may be a wake-up; those of ``send_after`` are known.
        """
        if not self.subject.owns_timers:
            return
        left = self.subject.owner.timers - self.subject.delayed_timers()
        if left > most + 1:
            self.fail(Rule.TIMERS, f"{left} timers, expected at most {most + 1}")

    def tcp_connected(self, link: Link) -> None:
        """The client's protocol gets its transport."""
        self.tcp_pending = False
        if self.phase is Phase.CONNECTING:
            self.link = link

    def secured(self, link: Link) -> None:
        """The request of the opening handshake is sent now."""
        if self.link is link and self.phase is Phase.CONNECTING:
            self.attempt_by = self.now + self.conn.socket_recv_timeout

    def tcp_failed(self, error: Exception) -> None:
        """The endpoint reports an error."""
        self.tcp_pending = False
        self.attempt_failed(("conn", error))

    def tcp_cancelled(self) -> None:
        """The client cancels the endpoint's attempt."""
        self.subject.touch()
        self.tcp_pending = False
        if self.phase is Phase.CONNECTING:
            self._attempt_timed_out(("conn", TimeoutError))

    def _attempt_timed_out(self, expected: Expectation) -> None:
        assert self.attempt_by is not None
        if self.now < self.attempt_by - EPSILON:
            self.fail(Rule.ATTEMPT_TIMEOUT, f"an attempt was ended before {self.attempt_by}")
        self.attempt_failed(expected)

    def attempt_failed(self, expected: Expectation) -> None:
        """The attempt fails for this reason."""
        if self.phase is not Phase.CONNECTING:
            return
        self._attempt_lost(expected)

    def _attempt_lost(self, expected: Expectation) -> None:
        self.answered = False
        self._give_up_place()
        self.attempt_by = self.due = None
        self.tcp_pending = False
        if self.ever_opened or self.passes_failures:
            self.phase = Phase.LOST
            self._lost(expected)
            return
        number = self._count_loss(expected)
        self.subject.log.expect_lost(None, number, self.was_open)
        self.ended = True
        self.end_reason = expected
        self._drop()
        self._begin_terminate()

    def _give_up_place(self) -> None:
        self.place = None
        self.limited = False

    def _lost(self, expected: Expectation) -> None:
        number = self._count_loss(expected)
        self.queue.append(Entry("lost", expected, number))

    def _count_loss(self, expected: Expectation) -> int:
        self.failures = 1 if self.healthy else self.failures + 1
        self.healthy = False
        if self.outage is None:
            self.outage = [self.now, 0, self.relaxed]
        if not self.was_open:
            self.outage[1] += 1
        self.subject.telemetry.expect("disconnected", expected)
        return self.failures

    def _opened(self, link: Link, answer: Any) -> None:
        """The response to the opening handshake is complete and valid."""
        self.relaxed = False
        self.deferred_loss = None
        self.subject.telemetry.forget_received()
        self.phase = Phase.OPEN
        self.attempt_by = None
        again = self.ever_opened
        self.ever_opened = self.was_open = self.answered = link.opened = True
        link.decoder = wire.StrictDecoder(answer.deflater, self.world.is_new_mask)
        now = self.opened_at = self.last_data = self.now
        self.healthy = self.subject.is_ready = False
        self.cause = self.close_due = self.end_item = self.may_end = self.close_by = None
        self.write_blocked = self.write_held = False
        self.late_pong = []
        self.next_ping = None if self.conn.ping_interval is None else now + self.conn.ping_interval
        self.token = b""
        self.pings = {}
        self.watched = []
        self.expected_latency = None
        self.unclear_until = 0.0
        outage, self.outage = self.outage, None
        self.subject.log.expect_connected(again, outage, now)
        self.subject.telemetry.expect("connected", None)
        self.queue.append(Entry("connect", answer))
        self.queue.extend(self.held)
        self.held.clear()
        if link.producer is not None or link.options != ["nodelay True", "keepalive True"]:
            self.fail(Rule.NO_INTERNAL_ERROR, f"TCP options: {link.options}")

    # Bytes from the server

    def bytes_arrive(self, link: Link, complete: list[Item], begun: Item | None, size: int) -> None:
        """The next bytes are about to be passed to the client."""
        if link is not self.link:
            return
        if self.phase is Phase.OPEN:
            self._heard()
        self.reads += 1
        if len(complete) > BIG_READ or (link.decoder and self.conn.compression):
            self.big_read = self.reads
        if may_leave_a_rest(self.conn, complete, size) or (self.relaxed and self.has_frames):
            self.relaxed = True
        for item in complete:
            self._item_arrives(link, item)
        if begun is not None:
            self._item_begins(begun)

    def sync(self) -> None:
        """Notice the end of a connection whose last read was decoded later."""
        error = self.deferred_loss
        if error is None:
            over = self.relaxed and not self.has_frames and self.end_item is None
            if over and self.pending is None and self.now > self.emptied_at + EPSILON:
                self.relaxed = False
            return
        status = self.subject.client.status
        if self.phase is Phase.OPEN and status != "open":
            if self.end_item is not None and status == "closing":  # It was found in the rest.
                self._explain_close()
            else:
                self._leave(("dropped", error), None)
        if self.phase in (Phase.CLOSING, Phase.ENDING) and status not in ("open", "closing"):
            self.deferred_loss = None
            self._connection_over()

    def _heard(self) -> None:
        self.watched.clear()

    def _item_arrives(self, link: Link, item: Item) -> None:
        if self.phase is Phase.CONNECTING:
            if item.kind == "response":
                self._response_arrives(link, item.value)
            elif item.kind == "head":
                self.may_end = item.value
        elif self.phase is Phase.OPEN and self.end_item is None:
            if item.kind == "frame":
                self._frame_arrives(item.value)
            elif item.kind in ("close", "error"):
                self.end_item = item.value

    def _item_begins(self, item: Item) -> None:
        if self.phase is Phase.CONNECTING and item.kind == "response":
            if isinstance(item.value, tuple) and item.value[0] == "handshake":
                self.may_end = item.value
        elif self.phase is Phase.OPEN and item.kind == "error" and self.end_item is None:
            self.may_end = item.value

    def _response_arrives(self, link: Link, answer: Any) -> None:
        if isinstance(answer, tuple):
            self.attempt_failed(answer)
        else:
            self._opened(link, answer)

    def _frame_arrives(self, frame: wsx.Frame) -> None:
        if isinstance(frame, wsx.Pong) and self.token and frame.payload[:8] == self.token:
            self._pong_arrives(frame.payload)
            self.subject.telemetry.expect("pong", frame)
            return
        self.subject.telemetry.expect("received", frame)
        self.subject.statistics["received"] += 1
        if isinstance(frame, (wsx.Text, wsx.Binary)):
            self.last_data = self.now
        self.queue.append(Entry("frame", frame, None, self.reads))
        self.has_frames += 1

    # Writing

    def written(self, link: Link, data: bytes) -> list[Any]:
        """The client writes bytes. Return what the server will receive."""
        if not link.opened:
            link.request += data
            return self.subject.check_request(link)
        assert link.decoder is not None
        frames, problem = link.decoder.feed(data)
        if problem is not None:
            self.fail(Rule.RFC6455, problem)
        for frame in frames:
            self._frame_written(link, frame)
        if link.decoder.left():
            self.fail(Rule.RFC6455, "a frame is written in parts")
        return list(frames)

    def _frame_written(self, link: Link, frame: Received) -> None:
        self.world.note(self.subject, "wrote", frame.opcode, frame.payload)
        if link is not self.link:
            self.fail(Rule.ONE_CONNECTION, "a write on an old connection")
        elif frame.opcode == wire.CLOSE:
            self._close_written(frame.payload)
        elif frame.opcode == wire.PING and not frame.payload.startswith(b"app"):
            self._ping_written(frame.payload)
        elif not self.outgoing:
            self.fail(Rule.SENT, f"an unexpected frame: {frame}")
        else:
            expected = self.outgoing.popleft()
            if OPCODES[type(expected)] != frame.opcode or expected.payload != frame.payload:
                self.fail(Rule.SENT, f"{frame} instead of {expected!r}")

    def _close_written(self, payload: tuple[int | None, str]) -> None:
        if self.is_open:
            self._explain_close()
        if self.outgoing:
            self.fail(Rule.SENT, f"a close frame before {list(self.outgoing)[:3]}")
            self.outgoing.clear()
        due, self.close_due = self.close_due, None
        if due is None:
            self.fail(Rule.CLOSE_CODE, f"an unexpected close frame: {payload}")
        elif payload[0] != due[0] or (due[1] is not None and payload[1] != due[1]):
            self.fail(Rule.CLOSE_CODE, f"close frame {payload}, expected {due}")

    def _explain_close(self) -> None:
        """Find the cause of a close frame that nothing in the model has requested."""
        end = self.end_item or self.may_end
        limit = self.conn.data_timeout
        if end is not None:
            if end[0] == "remote":
                self._leave(end, (None if end[1] == 1005 else end[1], ""))
            else:
                self._leave(end, (end[1], None))
        elif limit is not None:
            unclear = self.write_held or self.relaxed or self.now < self.unclear_until
            early = self.now < self.last_data + limit - EPSILON
            if (early or self._paused_for_frames()) and not unclear:
                self.fail(Rule.NO_FALSE_TIMEOUT, f"DataTimeout; last message {self.last_data}")
            self._leave(("data", limit), (1001, None))
        else:
            self._leave(("unknown",), None)

    def _leave(self, cause: Expectation | None, close: tuple[Any, Any] | None) -> None:
        """The connection is no longer open."""
        if self.opened_at is not None:
            self.healthy = self.healthy or self.now - self.opened_at >= self.stable_after
            self.opened_at = None
        self.phase = Phase.CLOSING
        self.cause = cause
        self.close_due = close
        timeout = self.conn.close_timeout
        if cause is not None and cause[0] == "data":
            timeout = min(timeout, SILENT_CLOSE_TIMEOUT)
        self.close_by = self.now + timeout
        self.late_pong = []
        self._hold_messages()

    def _hold_messages(self) -> None:
        queue, self.queue = self.queue, deque()
        for entry in queue:
            (self.held if entry.kind == "message" else self.queue).append(entry)

    # The write buffer

    def write_paused(self, link: Link) -> None:
        """The transport tells the client that its write buffer is full."""
        if link is self.link:
            self.write_blocked = self.write_held = True

    def draining(self, link: Link) -> None:
        """The transport is about to tell the client that its write buffer has drained."""
        if link is not self.link:
            return
        self.write_blocked = False
        pong, self.late_pong = self.late_pong, []
        if pong and self.is_open:
            self._pass_on(pong)
        self._drained_at()

    def _drained_at(self) -> None:
        self.watched.clear()
        self.unclear_until = self.now + 130.0  # Longer than each time limit.
        if not self.has_frames:
            self.write_held = False

    def drained(self, link: Link) -> None:
        """The transport has told the client that its write buffer has drained."""
        if not link.write_paused:
            self.subject.sends_must_have_fired()

    def _pass_on(self, frames: list[wsx.Frame]) -> None:
        self.outgoing.extend(frames)
        for frame in frames:
            self.subject.telemetry.expect("sent", frame)

    # The end of a connection

    def ends_tcp(self, link: Link, gently: bool) -> None:
        """The client ends the TCP connection."""
        if link is not self.link:
            return
        if link.raises and self.subject.client.status != "closing":
            if self.phase is Phase.CONNECTING:
                assert self.attempt_by is not None
                over = self.now >= self.attempt_by - EPSILON
                self.attempt_failed(("conn", TimeoutError if over else RuntimeError))
        elif self.phase is Phase.CONNECTING:
            self._ends_attempt(gently)
        elif self.phase is Phase.OPEN:
            limit = self.conn.data_timeout
            if link.raises and limit is not None and self.now >= self.last_data + limit - EPSILON:
                self._explain_close()  # Reading has raised, before the close frame is written.
                return
            self._check_ping_timeout()
            self._leave(("ping", self.conn.ping_timeout), None)
        elif self.phase in (Phase.CLOSING, Phase.ENDING) and link.opened:
            early = (
                not link.raises and self.close_by is not None and self.now < self.close_by - EPSILON
            )
            if early and not self.killed and self.cause != ("ping", self.conn.ping_timeout):
                self.fail(Rule.CLOSE_TIMEOUT, f"TCP was cut before {self.close_by}")

    def _ends_attempt(self, gently: bool) -> None:
        may = self.may_end
        if may is not None and may[0] == "handshake":
            assert self.attempt_by is not None
            if self.now >= self.attempt_by - EPSILON:  # The rest may be necessary to see the error.
                may = ("either", may, ("conn", TimeoutError))
            self.attempt_failed(may)
        elif may is not None:
            self._attempt_timed_out(may)
        else:
            self._attempt_timed_out(("conn", TimeoutError))

    def connection_lost(self, link: Link, reason: BaseException) -> None:
        """``connectionLost`` is about to be called."""
        if link is not self.link:
            return
        if self.phase is Phase.CONNECTING:
            may = self.may_end if self.may_end and self.may_end[0] == "request" else None
            self.attempt_failed(may or ("conn", reason))
        elif self.relaxed and self.phase in (Phase.OPEN, Phase.CLOSING, Phase.ENDING):
            self.deferred_loss = reason
            self.write_blocked = self.write_held = True
        elif self.phase is Phase.OPEN:
            self._leave(("dropped", reason), None)
            self._connection_over()
        elif self.phase in (Phase.CLOSING, Phase.ENDING):
            self._connection_over()

    def connection_was_lost(self, link: Link) -> None:
        """``connectionLost`` has returned."""
        self.sync()
        if link.opened and self.deferred_loss is None:
            self.subject.connection_promises_must_have_fired(link)

    def _connection_over(self) -> None:
        self.close_due = self.close_by = None
        self.outgoing.clear()
        self.next_ping = None
        if self.phase is Phase.ENDING:
            self.subject.telemetry.expect("disconnected", self.end_reason)
            self._begin_terminate()
        else:
            self.phase = Phase.LOST
            assert self.cause is not None
            self._lost(self.cause)

    # Requests of the API and decisions of callbacks

    def post_error(self) -> type[Exception] | None:
        """Return the exception that a cast or info must raise now, or None."""
        self.sync()
        if self.is_ending:
            return wsx.NotConnectedError
        return wsx.MailboxFullError if self.waiting >= self.limit else None

    def posted(self, callback: str, message: Any) -> None:
        """A cast or info was accepted."""
        link = self.link
        read = self.reads if link is not None and link.reading_now else 0
        if self.has_frames and self.big_read:
            read = max(read, self.big_read)
        entry = Entry("message", message, callback, read)
        self.waiting += 1
        self.subject.statistics["posted"] += 1
        (self.queue if self.is_open else self.held).append(entry)

    def send_result(self, frame: Any) -> Any:
        """Return the exception type with which ``send_frame`` must fail now, or None."""
        self.sync()
        if not self.is_open:
            return wsx.NotConnectedError
        error = frame_error(frame)
        if error is None:
            self._pass_on([frame])
            self.subject.statistics["sent"] += 1
        return error

    def close(self, code: int, message: str) -> None:
        """``close()`` is called, or a callback has returned Close."""
        self.sync()
        if self.is_open:
            self._leave(("local", code, message), (code, message))
        elif self.phase in (Phase.CONNECTING, Phase.WAITING):
            self.abandoned = self.link is not None
            self._attempt_lost(("local", code, message))
        elif self.phase is Phase.LOST:
            self.close_requested = (code, message)

    def end(self, reason: Expectation, code: int) -> bool:
        """The client is ended; return whether it was not ending before."""
        self.sync()
        if self.relaxed:
            self.subject.counts_all = False
            self.subject.telemetry.ignores_received = True
        if self.is_ending:
            return False
        self.end_reason = reason
        was = self.phase
        self.ended = True
        self._drop()
        if was is Phase.OPEN:
            self._leave(None, (code, ""))
            self.phase = Phase.ENDING
        elif was is Phase.CLOSING:
            self.phase = Phase.ENDING
        else:
            self._give_up_place()
            self.abandoned = was is Phase.CONNECTING and self.link is not None
            self.attempt_by = self.due = None
            self._begin_terminate()
        return True

    def _drop(self) -> None:
        """Delivery stops."""
        self.subject.log.expect_dropped(self.waiting)
        self.queue.clear()
        self.held.clear()
        self.waiting = self.has_frames = 0
        if self.pending is not None:
            self.pending.cancelled = True

    def _begin_terminate(self) -> None:
        self.phase = Phase.TERMINATING
        self.terminate_at = self.now

    # Callbacks

    def callback_begins(self, name: str, argument: Any, state: Any) -> Call:
        """A callback is invoked."""
        self.sync()
        if self.pending is not None and not self.pending.cancelled:
            self.fail(Rule.ONE_AT_A_TIME, f"{name} while {self.pending.name} is pending")
        if state is not self.state:
            self.fail(Rule.STATE, f"{name} received state {state!r}, expected {self.state!r}")
        if name == "terminate":
            return self._terminate_begins(argument)
        if self.ended:
            self.fail(Rule.ENDED, f"{name} after the end")
        if self.suspended:
            self.fail(Rule.SUSPENDED, f"{name} while suspended")
        if self.requests:
            self.fail(Rule.REQUESTS, f"{name} before a request")
        entry = self._take(name, argument)
        call = self.pending = Call(name, argument, began=self.world.reactor.monotonic_now)
        if entry is not None:
            self._check_argument(call, entry)
        return call

    def _take(self, name: str, argument: Any) -> Entry | None:
        """Remove and return the entry that is delivered."""
        kind = {"handle_connect": "connect", "handle_disconnect": "lost"}.get(name, "frame")
        if name in ("handle_cast", "handle_info"):
            kind = "message"
        passed: list[Entry] = []
        while self.queue:
            entry = self.queue.popleft()
            if entry.kind == kind and self._fits(entry, passed):
                self.queue.extendleft(reversed(passed))
                self._count_out(entry)
                return entry
            passed.append(entry)
            if entry.kind in ("connect", "lost"):
                break
        self.queue.extendleft(reversed(passed))
        rule = Rule.LOSSES if kind == "lost" else Rule.ORDER
        if kind == "connect":
            rule = Rule.CONNECT_FIRST
        expected = self.queue[0].kind if self.queue else "nothing"
        self.fail(rule, f"{name} of {argument!r:.80}, expected {expected}")
        return None

    def _fits(self, entry: Entry, passed: list[Entry]) -> bool:
        if entry.kind == "message":  # It may overtake frames of the read in which it was posted.
            return all(e.kind == "frame" and e.read >= 1 and e.read <= entry.read for e in passed)
        return all(e.kind == "message" and e.read >= entry.read > 0 for e in passed)

    def _count_out(self, entry: Entry) -> None:
        if entry.kind == "message":
            self.waiting -= 1
        elif entry.kind == "frame":
            self.has_frames -= 1
            if not self.has_frames:
                self.big_read = 0
                self.emptied_at = self.now
                if self.write_held or self.relaxed:
                    self._drained_at()
                    self.write_held = self.write_blocked
                elif self._reading_is_paused() and not self.suspended:
                    self._restart_watch()

    def _check_argument(self, call: Call, entry: Entry) -> None:
        argument = call.argument
        if entry.kind == "message":
            if entry.extra != call.name or entry.value is not argument:
                self.fail(
                    Rule.ORDER,
                    f"{call.name}({argument!r:.60}) instead of {entry.extra}({entry.value!r:.60})",
                )
        elif entry.kind == "frame":
            if argument != entry.value or CALLBACK_OF[type(entry.value)] != call.name:
                self.fail(Rule.ORDER, f"{call.name}({argument!r}) instead of {entry.value!r}")
        elif entry.kind == "connect":
            self.subject.check_answer(argument, entry.value)
        else:
            self._check_loss(call, entry)

    def _check_loss(self, call: Call, entry: Entry) -> None:
        status = call.argument
        call.expected, call.number = entry.value, entry.extra
        if not matches(entry.value, status.reason):
            self.fail(Rule.LOSSES, f"reason {status.reason!r}, expected {entry.value}")
        if status.attempt_number != entry.extra:
            self.fail(Rule.LOSSES, f"number {status.attempt_number}, expected {entry.extra}")
        answered = 101 if self.answered else None
        if (status.conn.url, status.conn.resp_status) != (self.conn.url, answered):
            self.fail(Rule.LOSSES, f"a response {status.conn.resp_status}, expected {answered}")

    def _terminate_begins(self, reason: Any) -> Call:
        if self.phase is not Phase.TERMINATING or self.terminate_called or not self.initialised:
            self.fail(Rule.TERMINATE, f"terminate in {self.phase.name}")
        if not matches(self.end_reason, reason):
            self.fail(Rule.END_REASON, f"terminate({reason!r}), expected {self.end_reason}")
        if self.pending is not None and not self.pending.settled:
            self.fail(Rule.TERMINATE, f"{self.pending.name} was not cancelled")
        self.terminate_called = True
        self.terminate_at = self.now
        call = self.pending = Call("terminate", reason, began=self.world.reactor.monotonic_now)
        return call

    def conclude(self, call: Call, outcome: Any) -> None:
        """A callback is about to return, to fire its Deferred or to raise."""
        self.world.note(self.subject, "concludes", call.name, describe(outcome))
        call.settled = True
        if self.relaxed and not self.has_frames:
            self.emptied_at = self.now  # The rest of the read is decoded after this.
        measured = call.name != "terminate" and (call.sync or not call.cancelled)
        if measured:
            self.subject.telemetry.expect("callback", (call.name, self.duration_of(call)))
        if self.pending is not call or (call.cancelled and call.name != "terminate"):
            self._conclude_late(call, outcome)
            return
        self.pending = None
        if call.name == "terminate":
            self._terminate_concludes(outcome)
        elif isinstance(outcome, BaseException):
            self._callback_raises(call, outcome)
        elif not is_allowed(call.name, outcome):
            self.subject.log.expect_bad_response(outcome)
            self.end(("bad", outcome), 1011)
        else:
            self._decide(call, outcome)

    def _conclude_late(self, call: Call, outcome: Any) -> None:
        """The client has ended meanwhile: only the state is kept."""
        if self.pending is call:
            self.pending = None
        if call.sync:
            if isinstance(outcome, (wsx.Ok, wsx.Reply, wsx.Close, wsx.Reconnect)):
                self.state = outcome.state
        elif isinstance(outcome, Exception) and not isinstance(outcome, wsx.Exit):
            self.subject.log.expect_failure(outcome)

    def _callback_raises(self, call: Call, error: BaseException) -> None:
        if isinstance(error, wsx.Exit):
            reason = ("object", error.reason)
            self.end(reason, 1000 if is_normal(reason) else 1011)
        else:
            self.subject.log.expect_failure(error)
            self.end(("object", error), 1011)

    def _decide(self, call: Call, result: Any) -> None:
        if result is not None:
            self.state = result.state
        if isinstance(result, wsx.Reply):
            self._reply(call, result)
        elif isinstance(result, wsx.Close):
            error = close_error(result.code, result.message)
            if error is None:
                self.close(result.code, result.message)
            else:
                self._reply_is_invalid(error)
        elif call.name == "handle_disconnect":
            self._decide_loss(call, result)
        if call.name == "handle_connect":
            self.initialised = True
            self.subject.connect_returned()

    def _reply(self, call: Call, reply: wsx.Reply[Any]) -> None:
        frames: list[Any] = reply.frame if isinstance(reply.frame, list) else [reply.frame]
        if not self.is_open:
            return
        error = next((e for e in map(frame_error, frames) if e is not None), None)
        if error is not None:
            self._reply_is_invalid(error)
        elif self.write_blocked and all(isinstance(frame, wsx.Pong) for frame in frames):
            self.late_pong = frames[-1:]
        else:
            self._pass_on(frames)

    def _reply_is_invalid(self, error: type[Exception]) -> None:
        self.subject.log.expect_invalid_reply()
        if self.is_open:
            self._leave(("reply", error), (1011, None))

    def _decide_loss(self, call: Call, result: Any) -> None:
        reconnects, low, high = self._policy_bounds(call)
        if not isinstance(result, wsx.Reconnect):
            self.gave_up = call.asked and self.backoff is not None and not reconnects
            self.subject.log.expect_lost(None, call.number, self.was_open)
            self.end_reason = call.expected
            self.ended = True
            self._drop()
            self._begin_terminate()
            return
        if result.after is not None:
            low = high = float(result.after)
        if isinstance(result.conn, wsx.Conn):
            self.conn = result.conn
        self.due = (self.now + low, self.now + high)
        self.subject.log.expect_lost((low, high), call.number, self.was_open)
        self.phase = Phase.WAITING
        self.attempt_by = None
        self.may_end = None
        requested, self.close_requested = self.close_requested, None
        if requested is not None:
            self.close(*requested)

    def _policy_bounds(self, call: Call) -> tuple[bool, float, float]:
        since, wall_time = self.now - self.attempt_at, self.world.reactor.seconds()
        return policy_bounds(self.backoff, call.expected, call.number, since, wall_time)

    def check_policy(self, call: Call, delay: float | None) -> None:
        """Compare the answer of ``reconnect_delay`` with the rules."""
        call.asked = True
        reconnects, low, high = self._policy_bounds(call)
        if (delay is not None) != reconnects:
            self.fail(Rule.BACKOFF, f"delay {delay} for {call.expected} number {call.number}")
        elif delay is not None and not low - EPSILON <= delay <= high + EPSILON:
            self.fail(Rule.BACKOFF, f"delay {delay} is not in [{low}, {high}]")

    # The end of the client

    def _terminate_concludes(self, outcome: Any) -> None:
        self.terminate_done = True
        if isinstance(outcome, wsx.Exit):
            self.end_reason = ("object", outcome.reason)
        elif isinstance(outcome, Exception):
            self.subject.log.expect_failure(outcome)
            self.end_reason = ("object", outcome)

    def terminate_cancelled(self) -> None:
        """``terminate`` is cancelled; the reason stays."""
        limit = self.terminate_at + self.conn.close_timeout
        if self.now < limit - EPSILON and not self.killed:
            self.fail(Rule.END_IN_TIME, "terminate was cancelled early")
        self.terminate_done = True
        self.pending = None
        self.subject.log.expect_terminate_timeout()

    def attempt_number(self) -> int:
        """Return the ``attempt_number`` of ``get_status``."""
        if self.opened_at is None:
            return self.failures
        healthy = self.healthy or self.now - self.opened_at >= self.stable_after
        return 0 if healthy else self.failures

    def abandoned_timers(self) -> int:
        """Return the number of timers that may exist after the end of the client."""
        link = self.link
        return 1 if link is not None and link.disconnecting and not link.lost else 0

    def resumed(self) -> None:
        """``sys.resume`` is called."""
        was, self.suspended = self.suspended, False
        if was and self.is_open and not self.has_frames:
            self._restart_watch()

    def client_ended(self, reason: Any) -> None:
        """``wsx.terminate`` was observed, or ``terminated()`` has fired."""
        if self.has_ended:
            return
        self.sync()
        if self.phase is not Phase.TERMINATING:
            self.fail(Rule.END_REASON, f"ended in {self.phase.name}: {reason!r}")
        if self.initialised and not self.terminate_done:
            self.fail(Rule.TERMINATE, "the client ended without terminate")
        if self.subject.client.gave_up != self.gave_up:
            self.fail(Rule.END_REASON, f"gave_up should be {self.gave_up}")
        if not matches(self.end_reason, reason):
            self.fail(Rule.END_REASON, f"ended with {reason!r}, expected {self.end_reason}")
        self.phase = Phase.TERMINATED
        self.has_ended = True
