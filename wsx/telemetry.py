"""Observers of what all clients of this process do, as Erlang's ``telemetry`` library has them.

::

    def count(event, measurements, metadata, config):
        config[event] = config.get(event, 0) + 1

    wsx.telemetry.attach("count", ["wsx.connected", "wsx.disconnected"], count, {})

The events, and what their metadata hold besides ``client``, ``name``, ``handler`` (its class) and
``conn`` (redacted, see :meth:`wsx.Conn.redacted`):

======================  ============  ===========================================================
event                   further       when
======================  ============  ===========================================================
``wsx.connecting``                    an attempt begins
``wsx.connected``                     each completed opening handshake, before ``handle_connect``
``wsx.disconnected``    ``reason``    each connection that ended, each attempt that failed
``wsx.frame.received``  ``frame``     each whole message, ping and pong
``wsx.frame.sent``      ``frame``     each message, ping and pong; close frames are not frames here
``wsx.callback``        ``callback``  a callback has answered; measurement ``duration``, in seconds
``wsx.terminate``       ``reason``    a client has ended, once
======================  ============  ===========================================================

The measurement ``time`` is in nanoseconds since the epoch. Where nothing is attached, all this
costs one look for each batch of frames.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from inspect import iscoroutinefunction
from typing import Any, Final, NamedTuple, TypeAlias

from twisted.logger import Logger

__all__ = ["EVENTS", "Observer", "attach", "detach", "list_handlers"]

_log = Logger("wsx.telemetry")

CONNECTING: Final = "wsx.connecting"
CONNECTED: Final = "wsx.connected"
DISCONNECTED: Final = "wsx.disconnected"
FRAME_RECEIVED: Final = "wsx.frame.received"
FRAME_SENT: Final = "wsx.frame.sent"
CALLBACK: Final = "wsx.callback"
TERMINATE: Final = "wsx.terminate"

EVENTS: Final = (
    CONNECTING,
    CONNECTED,
    DISCONNECTED,
    FRAME_RECEIVED,
    FRAME_SENT,
    CALLBACK,
    TERMINATE,
)

Function: TypeAlias = Callable[[str, Mapping[str, Any], Mapping[str, Any], Any], object]


class Observer(NamedTuple):
    """A function that hears of one event.

    Attributes:
        handler_id: what it was attached as.
        event: the event's name.
        function: the function.
        config: its last argument.
    """

    handler_id: Any
    event: str
    function: Function
    config: Any


# By event, in the order of attaching; events that nobody hears are not in it.
observers: Final[dict[str, tuple[Observer, ...]]] = {}


def attach(
    handler_id: Any, event_or_events: str | Iterable[str], function: Function, config: Any = None
) -> None:
    """Has a function called for one event, or for each of several.

    Observers hear in the order in which they were attached. One that raises is detached, and the
    log says so. It is called in the middle of things: it should be quick.

    Args:
        handler_id: any hashable thing; names the observer for :func:`detach`.
        event_or_events: of ``EVENTS``.
        function: called with the event, measurements, metadata and ``config``.
        config: whatever the function wants.

    Raises:
        ValueError: the id is attached already, or there is no such event.
        TypeError: this cannot be called.
    """
    events = (event_or_events,) if isinstance(event_or_events, str) else tuple(event_or_events)
    unknown = [event for event in events if event not in EVENTS]
    if unknown or not events:
        what = f"no event {unknown[0]!r}" if unknown else "no event given"
        raise ValueError(f"{what}; there are {', '.join(EVENTS)}")
    if not callable(function) or iscoroutinefunction(function):
        raise TypeError(f"an observer is a plain function, not {function!r}")
    if any(observer.handler_id == handler_id for observer in list_handlers()):
        raise ValueError(f"{handler_id!r} is attached already")
    for event in dict.fromkeys(events):
        added = Observer(handler_id, event, function, config)
        observers[event] = (*observers.get(event, ()), added)


def detach(handler_id: Any) -> None:
    """Has a function called no more.

    Raises:
        LookupError: nothing is attached as this.
    """
    found = [observer for observer in list_handlers() if observer.handler_id == handler_id]
    if not found:
        raise LookupError(f"{handler_id!r} is not attached")
    for observer in found:
        left = tuple(other for other in observers[observer.event] if other is not observer)
        if left:
            observers[observer.event] = left
        else:
            del observers[observer.event]


def list_handlers(prefix: str = "") -> list[Observer]:
    """Gives the observers of the events whose names begin with ``prefix``.

    Args:
        prefix: whole words, such as ``"wsx.frame"``; all events by default.
    """
    words = prefix.rstrip(".")
    return [
        observer
        for event in EVENTS
        if words in ("", event) or event.startswith(f"{words}.")
        for observer in observers.get(event, ())
    ]


def execute(event: str, metadata: Mapping[str, Any], **measurements: Any) -> None:
    """Tells the observers of an event."""
    measurements["time"] = time.time_ns()
    for observer in observers.get(event, ()):
        if observer not in observers.get(event, ()):
            continue  # detached by one before it
        try:
            observer.function(event, dict(measurements), dict(metadata), observer.config)
        except Exception:
            _log.failure("{id!r} raised and is detached", id=observer.handler_id)
            if observer in observers.get(event, ()):
                detach(observer.handler_id)
