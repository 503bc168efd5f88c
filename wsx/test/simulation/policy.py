"""The reconnect rules of design.md, implemented independently of the library.

A loss is described by a tuple, the *expectation*: its first item is the kind.

==============================  ================================================================
``("local", code, message)``    LocalClose
``("remote", code, message)``   RemoteClose
``("dropped", error)``          ConnectionDropped with this exception
``("frame", code)``             FrameError with this close code
``("reply", type)``             the exception of a reply that cannot be sent
``("ping", timeout)``           PingTimeout
``("data", timeout)``           DataTimeout
``("conn", what)``              ConnError with this exception, or with one of this type
``("request", code, after)``    RequestError with this status; ``Retry-After`` in seconds (an int),
                                as a date (a float, seconds since the epoch), or None
``("handshake",)``              HandshakeError
``("object", value)``           this object
``("either", one, other)``      one of two expectations
``("shutdown", detail)``        Shutdown
==============================  ================================================================
"""

from __future__ import annotations

from typing import Any

import wsx

PERMANENT_CODES = {1002, 1003, 1007, 1008, 1009, 1010}
PERMANENT_STATUS = {200, 400, 401, 403, 404, 405, 407, 410, 426, 501, 505, *range(300, 400)}
Expectation = tuple[Any, ...]


def matches(expected: Expectation, reason: Any) -> bool:
    """Return whether a reason is the expected one."""
    kind = expected[0]
    if kind == "either":
        return any(matches(one, reason) for one in expected[1:])
    if kind == "local":
        return bool(reason == wsx.LocalClose(*expected[1:]))
    if kind == "remote":
        return bool(reason == wsx.RemoteClose(*expected[1:]))
    if kind == "shutdown":
        return bool(reason == wsx.Shutdown(expected[1]))
    if kind == "dropped":
        return isinstance(reason, wsx.ConnectionDropped) and reason.original is expected[1]
    if kind == "object":
        return reason is expected[1]
    return _matches_error(expected, reason)


def _matches_error(expected: Expectation, reason: Any) -> bool:
    kind = expected[0]
    if kind == "frame":
        return isinstance(reason, wsx.FrameError) and reason.close_code == expected[1]
    if kind == "reply":
        return isinstance(reason, expected[1])
    if kind == "ping":
        return isinstance(reason, wsx.PingTimeout) and reason.timeout == expected[1]
    if kind == "data":
        return isinstance(reason, wsx.DataTimeout) and reason.timeout == expected[1]
    if kind == "request":
        return (
            isinstance(reason, wsx.RequestError)
            and reason.code == expected[1]
            and expected[3] in (None, reason.body)
        )
    if kind == "handshake":
        return isinstance(reason, wsx.HandshakeError)
    if kind == "bad":
        return isinstance(reason, wsx.BadResponseError) and reason.response is expected[1]
    assert kind == "conn", kind
    if not isinstance(reason, wsx.ConnError):
        return False
    what = expected[1]
    return isinstance(reason.original, what) if isinstance(what, type) else reason.original is what


def is_normal(expected: Expectation) -> bool:
    """Return whether a client that ends for this reason ends normally."""
    kind = expected[0]
    if kind == "local":
        return bool(expected[1] == 1000)
    if kind == "remote":
        return expected[1] in (1000, 1005)
    if kind == "object":
        return getattr(expected[1], "normal", False) is True
    return kind == "shutdown"


def is_retried(expected: Expectation) -> bool:
    """Return whether the default policy reconnects after this loss."""
    kind = expected[0]
    if kind == "local":
        return False
    if kind == "remote":
        return expected[1] not in PERMANENT_CODES
    if kind == "request":
        return expected[1] not in PERMANENT_STATUS
    return True


def retry_after(expected: Expectation, wall_time: float) -> float:
    """Return the lower bound for the delay that the server has asked for."""
    if expected[0] != "request" or expected[2] is None:
        return 0.0
    after = expected[2] - wall_time if isinstance(expected[2], float) else expected[2]
    return float(min(max(after, 0.0), 3600.0))


def backoff_bounds(backoff: wsx.Backoff, number: int) -> tuple[float, float]:
    """Return the bounds of the delay after the n-th failure."""
    delay = min(backoff.maximum, backoff.initial * backoff.factor ** (number - 1))
    low, high = delay * (1 - backoff.jitter), delay * (1 + backoff.jitter)
    return min(low, backoff.maximum), min(high, backoff.maximum)


def policy_bounds(
    backoff: wsx.Backoff | None,
    expected: Expectation,
    number: int,
    since_attempt: float,
    wall_time: float,
) -> tuple[bool, float, float]:
    """Return whether the default handler reconnects, and the bounds of the policy's delay."""
    if backoff is None:
        low, high = (0.0, 0.0) if number <= 1 else backoff_bounds(wsx.Backoff(), number - 1)
        least = 1.0 - since_attempt
        return False, max(low, least), max(high, least)
    too_many = backoff.max_attempts is not None and number > backoff.max_attempts
    if too_many or not is_retried(expected):
        return False, backoff.maximum, backoff.maximum
    low, high = backoff_bounds(backoff, number)
    after = retry_after(expected, wall_time)
    return True, max(low, after), max(high, after)
