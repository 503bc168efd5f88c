"""The lifecycle of a client: one transition table, and nothing else.

The rule of the table: **every** pair of a state and an event either stands in ``TRANSITIONS``, with
the next state and the names of the actions that the client then performs in order, or in
``IGNORED``, because the event comes too late there; any other pair is a mistake in the program and
raises. Frames never go through the machine, and no user code runs inside a transition.

``docs/lifecycle.md`` shows the table as a diagram, which :func:`diagram` draws.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

__all__ = ["IGNORED", "TRANSITIONS", "Action", "Event", "Machine", "State", "diagram"]


class State(Enum):
    """Where a client is; ``status`` is the word its users see."""

    NEW = "connecting", "made, not started"
    CONNECTING = "connecting", "an attempt is under way, up to the end of the opening handshake"
    OPEN = "open", "frames flow"
    CLOSING = "closing", "a close frame is out, or TCP is being cut; handle_disconnect follows"
    DISCONNECTED = "disconnected", "handle_disconnect is asked"
    WAITING = "disconnected", "the delay before the next attempt runs"
    ENDING = "closing", "as CLOSING, but the end of the client follows"
    TERMINATING = "disconnected", "terminate is called"
    TERMINATED = "terminated", "over"

    def __init__(self, status: str, meaning: str) -> None:
        self.status = status
        self.meaning = meaning

    @property
    def is_ending(self) -> bool:
        """Whether there is no way back from here."""
        return self in (State.ENDING, State.TERMINATING, State.TERMINATED)


class Event(Enum):
    """What can happen to a client."""

    START = "start"
    OPENED = "the opening handshake is complete"
    FAILED = "the attempt failed"
    FAILED_FOR_GOOD = "the first attempt failed, and nobody handles that"
    LOST = "the connection is gone"
    CLOSE = "this side closes"
    PEER_CLOSE = "the peer's close frame"
    BREAK = "the connection must be given up, with a close frame"
    CUT = "the connection must be given up at once"
    CLOSE_OVERDUE = "close_timeout ran out"
    RECONNECT = "handle_disconnect answered Reconnect"
    GIVE_UP = "handle_disconnect answered Ok"
    DUE = "the delay is over"
    END = "stop, a crash or Exit"
    DONE = "terminate answered"


class Action(Enum):
    """What the client does on a transition."""

    CONNECT = "connect"
    ABANDON = "abandon the attempt"
    CALL_CONNECT = "call handle_connect"
    CALL_DISCONNECT = "call handle_disconnect"
    SEND_CLOSE = "send the close frame"
    ANSWER_CLOSE = "answer the close frame"
    START_CLOSE_TIMER = "start the close timer"
    CUT = "cut the TCP connection"
    WAIT = "start the delay"
    STOP_WAITING = "stop the delay"
    SILENCE = "deliver nothing more"
    NOTE_FAILURE = "note the failure"
    CALL_TERMINATE = "call terminate"
    FINISH = "tell everyone"


Transition = tuple[State, tuple[Action, ...]]

_CLOSE_HANDSHAKE = (Action.SEND_CLOSE, Action.START_CLOSE_TIMER)
_TERMINATE = (Action.SILENCE, Action.CALL_TERMINATE)

TRANSITIONS: Final[dict[tuple[State, Event], Transition]] = {
    (State.NEW, Event.START): (State.CONNECTING, (Action.CONNECT,)),
    (State.NEW, Event.END): (State.TERMINATING, _TERMINATE),
    (State.CONNECTING, Event.OPENED): (State.OPEN, (Action.CALL_CONNECT,)),
    (State.CONNECTING, Event.FAILED): (State.DISCONNECTED, (Action.CALL_DISCONNECT,)),
    (State.CONNECTING, Event.FAILED_FOR_GOOD): (
        State.TERMINATING,
        (Action.ABANDON, Action.NOTE_FAILURE, *_TERMINATE),
    ),
    (State.CONNECTING, Event.CLOSE): (
        State.DISCONNECTED,
        (Action.ABANDON, Action.CALL_DISCONNECT),
    ),
    (State.CONNECTING, Event.END): (State.TERMINATING, (Action.ABANDON, *_TERMINATE)),
    (State.OPEN, Event.LOST): (State.DISCONNECTED, (Action.CALL_DISCONNECT,)),
    (State.OPEN, Event.CLOSE): (State.CLOSING, _CLOSE_HANDSHAKE),
    (State.OPEN, Event.BREAK): (State.CLOSING, _CLOSE_HANDSHAKE),
    (State.OPEN, Event.PEER_CLOSE): (
        State.CLOSING,
        (Action.ANSWER_CLOSE, Action.START_CLOSE_TIMER),
    ),
    (State.OPEN, Event.CUT): (State.CLOSING, (Action.CUT,)),
    (State.OPEN, Event.END): (State.ENDING, (Action.SILENCE, *_CLOSE_HANDSHAKE)),
    (State.CLOSING, Event.LOST): (State.DISCONNECTED, (Action.CALL_DISCONNECT,)),
    (State.CLOSING, Event.CLOSE_OVERDUE): (State.CLOSING, (Action.CUT,)),
    (State.CLOSING, Event.END): (State.ENDING, (Action.SILENCE,)),
    (State.DISCONNECTED, Event.RECONNECT): (State.WAITING, (Action.WAIT,)),
    (State.DISCONNECTED, Event.GIVE_UP): (State.TERMINATING, _TERMINATE),
    (State.DISCONNECTED, Event.END): (State.TERMINATING, _TERMINATE),
    (State.WAITING, Event.DUE): (State.CONNECTING, (Action.CONNECT,)),
    (State.WAITING, Event.CLOSE): (
        State.DISCONNECTED,
        (Action.STOP_WAITING, Action.CALL_DISCONNECT),
    ),
    (State.WAITING, Event.END): (State.TERMINATING, (Action.STOP_WAITING, *_TERMINATE)),
    (State.ENDING, Event.LOST): (State.TERMINATING, (Action.CALL_TERMINATE,)),
    (State.ENDING, Event.CLOSE_OVERDUE): (State.ENDING, (Action.CUT,)),
    (State.TERMINATING, Event.DONE): (State.TERMINATED, (Action.FINISH,)),
}

_ON_THE_WAY_OUT = (State.CLOSING, State.ENDING, State.TERMINATING, State.TERMINATED)

IGNORED: Final[frozenset[tuple[State, Event]]] = frozenset(
    # A registry may stop the client that it is given to register.
    {(state, Event.START) for state in (State.TERMINATING, State.TERMINATED)}
    | {(state, Event.CLOSE) for state in (*_ON_THE_WAY_OUT, State.DISCONNECTED)}
    | {(state, Event.END) for state in (State.ENDING, State.TERMINATING, State.TERMINATED)}
    | {
        (state, event)
        for state in (State.CLOSING, State.ENDING)
        for event in (Event.PEER_CLOSE, Event.BREAK, Event.CUT)
    }
)


class Machine:
    """Keeps the state of one client.

    Attributes:
        state: where it is.
    """

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = State.NEW

    def handle(self, event: Event) -> tuple[Action, ...] | None:
        """Makes the transition.

        Returns:
            the actions to perform, in order; None where the event comes too late and changes
            nothing.

        Raises:
            RuntimeError: the event cannot happen in this state.
        """
        transition = TRANSITIONS.get((self.state, event))
        if transition is not None:
            self.state, actions = transition
            return actions
        if (self.state, event) in IGNORED:
            return None
        raise RuntimeError(f"{event} cannot happen in {self.state}")


def diagram() -> str:
    """Draws the table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.NEW.name}"]
    for (state, event), (target, actions) in TRANSITIONS.items():
        does = ", ".join(action.value for action in actions)
        lines.append(f"    {state.name} --> {target.name}: {event.value} / {does}")
    lines.append(f"    {State.TERMINATED.name} --> [*]")
    return "\n".join(lines) + "\n"
