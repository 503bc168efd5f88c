"""Telemetry: call functions for the events of all clients of this process.

The interface is that of Erlang's ``telemetry`` library.

::

    def count(event, measurements, metadata, config):
        config[event] = config.get(event, 0) + 1

    wsx.telemetry.attach("count", ["wsx.connected", "wsx.disconnected"], count, {})

The metadata of every event are ``client``, ``name``, ``handler`` (the class) and ``conn``
(redacted, see :meth:`wsx.Conn.redacted`). Those of ``wsx.name`` also have ``cluster``, the name of
the bucket. Some events have more:

========================  ============  ===========================================================
event                     metadata      when
========================  ============  ===========================================================
``wsx.connecting``                      an attempt to connect starts
``wsx.connected``                       an opening handshake is complete; before ``handle_connect``
``wsx.disconnected``      ``reason``    a connection ended, or an attempt to connect failed
``wsx.frame.received``    ``frame``     a complete message, a ping or a pong was received
``wsx.frame.sent``        ``frame``     a message, a ping or a pong was sent; not for close frames
``wsx.callback``          ``callback``  a callback has produced its result
``wsx.callback.slow``     ``callback``  a callback has blocked the reactor for too long
``wsx.callback.overdue``  ``callback``  a callback has not completed for ``callback_warning``
                                        seconds; again every minute
``wsx.terminate``         ``reason``    a client has ended; once for each client
``wsx.name.waiting``      ``holder``    a standby waits, because another process holds its name
``wsx.name.acquired``     ``fence``     a client has acquired its name in a cluster
``wsx.name.lost``         ``reason``    a client has lost its name in a cluster
``wsx.name.released``                   a client has released its name in a cluster
========================  ============  ===========================================================

Every event has the measurement ``time``, in nanoseconds since the epoch. ``wsx.callback`` also has
``duration``, in seconds. ``wsx.callback.slow`` has ``duration`` and ``calls``, the number of calls
that took so long together. ``wsx.callback.overdue`` has ``duration``, the seconds since the
callback began. ``wsx.connecting`` has ``waited``, in seconds, if a
:class:`wsx.ConnectLimiter` has delayed the attempt. While no function is attached, telemetry costs
one lookup per batch of frames.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from inspect import iscoroutinefunction
from typing import Any, Final, NamedTuple, TypeAlias

from twisted.logger import Logger

from wsx._arguments import require
from wsx._failures import log_failure
from wsx._text import quote

__all__ = [
    "CALLBACK",
    "CALLBACK_OVERDUE",
    "CONNECTED",
    "CONNECTING",
    "DISCONNECTED",
    "EVENTS",
    "FRAME_RECEIVED",
    "FRAME_SENT",
    "NAME_ACQUIRED",
    "NAME_LOST",
    "NAME_RELEASED",
    "NAME_WAITING",
    "SLOW_CALLBACK",
    "TERMINATE",
    "Function",
    "Observer",
    "attach",
    "detach",
    "execute",
    "list_handlers",
    "observers",
]

_log = Logger("wsx.telemetry")

CONNECTING: Final = "wsx.connecting"
CONNECTED: Final = "wsx.connected"
DISCONNECTED: Final = "wsx.disconnected"
FRAME_RECEIVED: Final = "wsx.frame.received"
FRAME_SENT: Final = "wsx.frame.sent"
CALLBACK: Final = "wsx.callback"
SLOW_CALLBACK: Final = "wsx.callback.slow"
CALLBACK_OVERDUE: Final = "wsx.callback.overdue"
TERMINATE: Final = "wsx.terminate"
NAME_WAITING: Final = "wsx.name.waiting"
NAME_ACQUIRED: Final = "wsx.name.acquired"
NAME_LOST: Final = "wsx.name.lost"
NAME_RELEASED: Final = "wsx.name.released"

EVENTS: Final = (
    CONNECTING,
    CONNECTED,
    DISCONNECTED,
    FRAME_RECEIVED,
    FRAME_SENT,
    CALLBACK,
    SLOW_CALLBACK,
    CALLBACK_OVERDUE,
    TERMINATE,
    NAME_WAITING,
    NAME_ACQUIRED,
    NAME_LOST,
    NAME_RELEASED,
)

Function: TypeAlias = Callable[[str, Mapping[str, Any], Mapping[str, Any], Any], object]


class Observer(NamedTuple):
    """A function that is attached to one event.

    Attributes:
        handler_id: The id with which it was attached.
        event: The name of the event.
        function: The function.
        config: The last argument of the function.
    """

    handler_id: Any
    event: str
    function: Function
    config: Any


# By event, in the order of attaching. An event without observers is not in it, because other
# modules use ``event in observers`` to skip the preparation of an event.
observers: Final[dict[str, tuple[Observer, ...]]] = {}


def attach(
    handler_id: Any, event_or_events: str | Iterable[str], function: Function, config: Any = None
) -> None:
    """Call a function for one event, or for each of several.

    Observers are called synchronously, in the order in which they were attached, so the function
    should return quickly. A function that raises is detached, and the exception is logged.

    Args:
        handler_id: The id of the observer, for :func:`detach`. No attached observer may have it.
        event_or_events: One or several names of ``EVENTS``.
        function: Called as ``function(event, measurements, metadata, config)``; not a coroutine
            function.
        config: The last argument of the function. Default None.

    Raises:
        ValueError: The id is attached already, or an event is unknown.
        TypeError: The function is not callable, or is a coroutine function.
    """
    events = (event_or_events,) if isinstance(event_or_events, str) else tuple(event_or_events)
    _check_events(events)
    valid = callable(function) and not iscoroutinefunction(function)
    require(valid, "function", "a function that is not async", function, TypeError)
    if any(observer.handler_id == handler_id for observer in list_handlers()):
        raise ValueError(f"handler_id: {quote(handler_id)} is attached already")
    for event in dict.fromkeys(events):
        added = Observer(handler_id, event, function, config)
        observers[event] = (*observers.get(event, ()), added)


def _check_events(events: tuple[object, ...]) -> None:
    known = f"names of events ({', '.join(EVENTS)})"
    require(events, "event_or_events", known, events)
    for event in events:
        require(event in EVENTS, "event_or_events", known, event)


def detach(handler_id: Any) -> None:
    """Detach an observer from all its events.

    Args:
        handler_id: The id with which it was attached.

    Raises:
        LookupError: No observer is attached with this id.
    """
    found = [observer for observer in list_handlers() if observer.handler_id == handler_id]
    if not found:
        raise LookupError(f"handler_id: {quote(handler_id)} is not attached")
    for observer in found:
        others = tuple(other for other in observers[observer.event] if other is not observer)
        if others:
            observers[observer.event] = others
        else:
            del observers[observer.event]


def list_handlers(prefix: str = "") -> list[Observer]:
    """Return the observers of the events whose names start with ``prefix``.

    Args:
        prefix: One or more complete words, such as ``"wsx.frame"``. Default: all events.
    """
    words = prefix.rstrip(".")
    return [
        observer
        for event in EVENTS
        if words in ("", event) or event.startswith(f"{words}.")
        for observer in observers.get(event, ())
    ]


def execute(event: str, metadata: Mapping[str, Any], **measurements: Any) -> None:
    """Call the observers of an event.

    Args:
        event: One of ``EVENTS``.
        metadata: The metadata; each observer receives a copy.
        **measurements: The measurements except ``time``.
    """
    measurements["time"] = time.time_ns()
    for observer in observers.get(event, ()):
        if observer not in observers.get(event, ()):
            continue  # An observer that was called earlier has detached this one.
        try:
            observer.function(event, dict(measurements), dict(metadata), observer.config)
        except Exception:
            log_failure(
                _log,
                "telemetry observer {id!r} raised an exception for {event} and is detached",
                id=observer.handler_id,
                event=event,
            )
            if observer in observers.get(event, ()):
                detach(observer.handler_id)
