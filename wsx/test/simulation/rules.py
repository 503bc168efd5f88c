"""The invariants: their names, and those that are checked after each step.

A *step* is one call from the reactor: a timer, or something that the network reports. The other
rules are checked by the model when the event happens.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsx.test.simulation.subject import Subject


class Rule(Enum):
    """What must always hold."""

    ORDER = "events are delivered once, in order of arrival, and none is lost"
    CONNECT_FIRST = "handle_connect is called once for each connection, before its frames"
    LOSSES = "each loss is reported once, in order, with its reason and number"
    ONE_AT_A_TIME = "no callback runs inside another, or inside a call of the client"
    SUSPENDED = "no callback is invoked while delivery is suspended"
    PROGRESS = "what can be delivered is delivered at once"
    STATE = "each callback receives the state that the previous one has returned"
    ENDED = "no callback is invoked after the client has ended"
    TERMINATE = "terminate is called once, with the reason, for each initialised client"
    END_REASON = "a client ends with the reason for which it was ended"
    END_IN_TIME = "a client that was stopped ends within close_timeout"
    STATUS = "the status is that of the model"
    RFC6455 = "a client sends only what RFC 6455 allows"
    REQUEST = "the request of the opening handshake is complete and correct"
    RESPONSE = "handle_connect receives what the server has answered"
    SENT = "what is sent is what callbacks and send_frame have passed on, once and in order"
    FLUSHED = "nothing stays in a buffer after a step"
    CLOSE_CODE = "a close frame has the code that belongs to its cause"
    NO_USE_AFTER_LOSS = "a transport is not used after its end"
    ONE_CONNECTION = "a client has at most one connection"
    CLOSE_TIMEOUT = "a connection ends within close_timeout after a close frame, and not earlier"
    LIMIT = "attempts under a connection limit start in order, and as soon as the limit allows"
    ATTEMPT_TIMEOUT = "an attempt ends at its time limit, and not earlier"
    RECONNECT_TIME = "the next attempt begins after the delay that was decided"
    BACKOFF = "a delay is within the bounds of its Backoff"
    READING = "reading is paused while frames are queued, and only then"
    PING_SENT = "keepalive pings are sent at each ping_interval"
    PING_TIMEOUT = "a server that does not answer is noticed within ping_timeout of a ping"
    NO_FALSE_TIMEOUT = "a server that has answered in time is not dropped"
    DATA_TIMEOUT = "a server without messages is noticed after data_timeout"
    LATENCY = "the latency is the time between a ping and its pong"
    DEFERREDS = "each Deferred fires once, in time, with the right result"
    MAILBOX = "the mailbox holds what was accepted, up to mailbox_limit"
    REQUESTS = "requests are served before any other event, and as their result says"
    NAMES = "a name is registered while its client is alive, and free after it"
    TIME = "pauses and steps of the wall clock do not count, and timers go on"
    TIMERS = "no timer is left"
    CONNECTIONS = "no connection is left"
    LOG = "each failure is logged once, and nothing else is logged as one"
    LOG_LINES = "each loss and each connection is logged once, with what happens next"
    TELEMETRY = "observers are notified of each event once, in order"
    STATISTICS = "statistics count each event once"
    NO_INTERNAL_ERROR = "the library raises no exception of its own"
    SUPERVISION = "children are started, restarted and stopped as OTP specifies"
    MEMORY = "the memory stays flat"


class StepCheck:
    """A rule that is checked after each step, for each client that the step has touched."""

    rule: Rule

    def check(self, subject: Subject) -> str | None:
        """Return what is wrong, or None."""
        raise NotImplementedError


class StatusIsRight(StepCheck):
    """``client.status`` is that of the model."""

    rule = Rule.STATUS

    def check(self, subject: Subject) -> str | None:
        subject.model.sync()
        status, phase = subject.client.status, subject.model.phase
        if subject.model.deferred_loss is not None:
            return None
        if status in phase.statuses:
            return None
        return f"status {status}, but the model is {phase.name}"


class NothingIsBuffered(StepCheck):
    """All frames that were passed on have been written."""

    rule = Rule.FLUSHED

    def check(self, subject: Subject) -> str | None:
        left = subject.model.outgoing
        return f"not written: {list(left)[:3]}" if left else None


class CloseFrameIsWritten(StepCheck):
    """A connection that closes has sent its close frame."""

    rule = Rule.CLOSE_CODE

    def check(self, subject: Subject) -> str | None:
        model = subject.model
        due = model.close_due
        if model.is_open and model.end_item is not None and not model.relaxed:
            return f"the end of the stream was not handled: {model.end_item}"
        return f"no close frame was written: {due}" if due is not None else None


class ReadingIsPaused(StepCheck):
    """Reading is paused while frames are queued or delivery is suspended, and only then."""

    rule = Rule.READING

    def check(self, subject: Subject) -> str | None:
        model = subject.model
        link = model.link
        if link is None or not link.opened or link.lost or model.relaxed or link.raises:
            return None
        if not model.is_open:
            closing = link.read_paused and not link.aborted
            return "reading is paused although the connection is closing" if closing else None
        # While replies wait for the write buffer, reading goes on up to a limit.
        should = model.suspended or (model.has_frames and not model.write_held)
        if should and not link.read_paused:
            return "reading goes on although frames are queued or delivery is suspended"
        if link.read_paused and not (should or model.write_held):
            return "reading is paused although nothing is queued"
        return None


class FailuresAreLogged(StepCheck):
    """What must be logged has been logged."""

    rule = Rule.LOG

    def check(self, subject: Subject) -> str | None:
        missing = subject.log.missing()
        return f"not logged: {missing}" if missing else None


class ObserversAreNotified(StepCheck):
    """Telemetry observers have been notified of everything."""

    rule = Rule.TELEMETRY

    def check(self, subject: Subject) -> str | None:
        missing = subject.telemetry.missing()
        return f"not notified: {missing}" if missing else None


class DeferredsHaveFired(StepCheck):
    """After the end of a client, all its Deferreds have fired."""

    rule = Rule.DEFERREDS

    def check(self, subject: Subject) -> str | None:
        if not subject.model.has_ended:
            return None
        left = subject.open_promises()
        return f"did not fire: {left}" if left else None


class StartHasFired(StepCheck):
    """The Deferreds of ``start`` and ``when_open`` have fired once the client is open."""

    rule = Rule.DEFERREDS

    def check(self, subject: Subject) -> str | None:
        return subject.check_start()


class NameIsRight(StepCheck):
    """The name belongs to the client as long as it is alive."""

    rule = Rule.NAMES

    def check(self, subject: Subject) -> str | None:
        return subject.check_name()


STEP_CHECKS: tuple[StepCheck, ...] = (
    StatusIsRight(),
    NothingIsBuffered(),
    CloseFrameIsWritten(),
    ReadingIsPaused(),
    FailuresAreLogged(),
    ObserversAreNotified(),
    DeferredsHaveFired(),
    StartHasFired(),
    NameIsRight(),
)
