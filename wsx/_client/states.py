"""The transition table of a client's lifecycle. Pure.

A pair of a state and an event is either in ``TRANSITIONS``, with the next state and the actions
that the client then performs in order, or in ``IGNORED``, because the event has no effect in that
state. Any other pair is a programming error and raises. Frames never go through the table, and no
user code runs inside a transition.

``docs/explanation/lifecycle.md`` shows the table, as :func:`table` returns it, and a picture.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from wsx.option_types import Status

__all__ = ["IGNORED", "TRANSITIONS", "Action", "Event", "Machine", "State", "table"]


class State(Enum):
    """The state of a client.

    Attributes:
        status: The value of ``client.status`` in this state.
        meaning: A description of the state.
    """

    NEW = "connecting", "created, not started"
    CONNECTING = "connecting", "an attempt is in progress, or waits for the connection limit"
    OPEN = "open", "the connection is open"
    CLOSING = "closing", "a close frame was sent, or TCP is being aborted"
    DISCONNECTED = "disconnected", "handle_disconnect is called"
    WAITING = "disconnected", "the delay before the next attempt runs"
    ENDING = "closing", "like CLOSING, but then the client terminates"
    TERMINATING = "disconnected", "terminate is called"
    TERMINATED = "terminated", "the client has ended"

    def __init__(self, status: Status, meaning: str) -> None:
        self.status = status
        self.meaning = meaning

    @property
    def is_ending(self) -> bool:
        """Whether the client will not connect again."""
        return self in (State.ENDING, State.TERMINATING, State.TERMINATED)


class Event(Enum):
    """An event in the lifecycle of a client."""

    START = "start"
    OPENED = "opening handshake complete"
    ATTEMPT_FAILED = "attempt failed"
    START_FAILED = "first attempt failed, and handle_disconnect is not asked"
    LOST = "TCP connection ended"
    CLOSE = "close requested"
    SERVER_CLOSE = "close frame received"
    FAIL_CONNECTION = "connection failed, close frame possible"
    ABORT = "connection failed, close frame useless"
    CLOSE_TIMEOUT = "close_timeout expired"
    RECONNECT = "handle_disconnect returned Reconnect"
    GIVE_UP = "handle_disconnect returned Ok"
    RETRY = "delay over"
    END = "stop, crash or Exit"
    TERMINATE_RETURNED = "terminate returned"


class Action(Enum):
    """An action that a client performs in a transition."""

    CONNECT = "start an attempt"
    CANCEL_ATTEMPT = "cancel the attempt"
    CALL_CONNECT = "call handle_connect"
    CALL_DISCONNECT = "call handle_disconnect"
    SEND_CLOSE = "send a close frame"
    ANSWER_CLOSE = "answer the close frame"
    START_CLOSE_TIMER = "start the close timer"
    ABORT = "abort TCP"
    START_DELAY = "start the delay"
    CANCEL_DELAY = "cancel the delay"
    STOP_DELIVERY = "stop delivery"
    REPORT_FAILURE = "report the failure"
    CALL_TERMINATE = "call terminate"
    FINISH = "release the name and notify"


Transition = tuple[State, tuple[Action, ...]]

# The close timer is started first, because it must run even if writing the close frame fails.
_CLOSE_HANDSHAKE = (Action.START_CLOSE_TIMER, Action.SEND_CLOSE)
_TERMINATE = (Action.STOP_DELIVERY, Action.CALL_TERMINATE)

TRANSITIONS: Final[dict[tuple[State, Event], Transition]] = {
    (State.NEW, Event.START): (State.CONNECTING, (Action.CONNECT,)),
    (State.NEW, Event.END): (State.TERMINATING, _TERMINATE),
    (State.CONNECTING, Event.OPENED): (State.OPEN, (Action.CALL_CONNECT,)),
    (State.CONNECTING, Event.ATTEMPT_FAILED): (State.DISCONNECTED, (Action.CALL_DISCONNECT,)),
    (State.CONNECTING, Event.START_FAILED): (
        State.TERMINATING,
        (Action.CANCEL_ATTEMPT, Action.REPORT_FAILURE, *_TERMINATE),
    ),
    (State.CONNECTING, Event.CLOSE): (
        State.DISCONNECTED,
        (Action.CANCEL_ATTEMPT, Action.CALL_DISCONNECT),
    ),
    (State.CONNECTING, Event.END): (State.TERMINATING, (Action.CANCEL_ATTEMPT, *_TERMINATE)),
    (State.OPEN, Event.LOST): (State.DISCONNECTED, (Action.CALL_DISCONNECT,)),
    (State.OPEN, Event.CLOSE): (State.CLOSING, _CLOSE_HANDSHAKE),
    (State.OPEN, Event.FAIL_CONNECTION): (State.CLOSING, _CLOSE_HANDSHAKE),
    (State.OPEN, Event.SERVER_CLOSE): (
        State.CLOSING,
        (Action.START_CLOSE_TIMER, Action.ANSWER_CLOSE),
    ),
    (State.OPEN, Event.ABORT): (State.CLOSING, (Action.ABORT,)),
    (State.OPEN, Event.END): (State.ENDING, (Action.STOP_DELIVERY, *_CLOSE_HANDSHAKE)),
    (State.CLOSING, Event.LOST): (State.DISCONNECTED, (Action.CALL_DISCONNECT,)),
    (State.CLOSING, Event.CLOSE_TIMEOUT): (State.CLOSING, (Action.ABORT,)),
    (State.CLOSING, Event.END): (State.ENDING, (Action.STOP_DELIVERY,)),
    (State.DISCONNECTED, Event.RECONNECT): (State.WAITING, (Action.START_DELAY,)),
    (State.DISCONNECTED, Event.GIVE_UP): (State.TERMINATING, _TERMINATE),
    (State.DISCONNECTED, Event.END): (State.TERMINATING, _TERMINATE),
    (State.WAITING, Event.RETRY): (State.CONNECTING, (Action.CONNECT,)),
    (State.WAITING, Event.CLOSE): (
        State.DISCONNECTED,
        (Action.CANCEL_DELAY, Action.CALL_DISCONNECT),
    ),
    (State.WAITING, Event.END): (State.TERMINATING, (Action.CANCEL_DELAY, *_TERMINATE)),
    (State.ENDING, Event.LOST): (State.TERMINATING, (Action.CALL_TERMINATE,)),
    (State.ENDING, Event.CLOSE_TIMEOUT): (State.ENDING, (Action.ABORT,)),
    (State.TERMINATING, Event.TERMINATE_RETURNED): (State.TERMINATED, (Action.FINISH,)),
}

_CLOSING_OR_ENDING = (State.CLOSING, State.ENDING, State.TERMINATING, State.TERMINATED)

IGNORED: Final[frozenset[tuple[State, Event]]] = frozenset(
    # A registry may stop the client that it is asked to register.
    {(state, Event.START) for state in (State.TERMINATING, State.TERMINATED)}
    | {(state, Event.CLOSE) for state in (*_CLOSING_OR_ENDING, State.DISCONNECTED)}
    | {(state, Event.END) for state in (State.ENDING, State.TERMINATING, State.TERMINATED)}
    | {
        (state, event)
        for state in (State.CLOSING, State.ENDING)
        for event in (Event.SERVER_CLOSE, Event.FAIL_CONNECTION, Event.ABORT)
    }
)


class Machine:
    """The state machine of one client.

    Attributes:
        state: The current state. At first ``State.NEW``.
    """

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = State.NEW

    def handle(self, event: Event) -> tuple[Action, ...] | None:
        """Make the transition for an event.

        Returns:
            The actions to perform, in order; None if the event is ignored in this state.

        Raises:
            RuntimeError: The event cannot happen in this state.
        """
        transition = TRANSITIONS.get((self.state, event))
        if transition is not None:
            self.state, actions = transition
            return actions
        if (self.state, event) in IGNORED:
            return None
        raise RuntimeError(f"{event} cannot happen in {self.state}")


def table() -> str:
    """Return the transition table as a table in Markdown."""
    lines = ["| state | event | next state | actions |", "|---|---|---|---|"]
    for (state, event), (target, actions) in TRANSITIONS.items():
        performed = ", ".join(action.value for action in actions)
        lines.append(f"| {state.name} | {event.value} | {target.name} | {performed} |")
    return "\n".join(lines) + "\n"
