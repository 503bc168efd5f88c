"""Scripted hostile servers: what they send and when, and the expected outcome for a client.

A script is a sequence of steps: bytes arrive in one read, a number lets seconds pass, ``FIN`` and
``RESET`` end TCP. It may be endless: it ends with the connection.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure

import wsx
from wsx import ConnError, HandshakeError, RequestError
from wsx._wire import handshake
from wsx.test.support import MemoryCase, MemoryServer, Recorder

ACCEPT = b"<accept>"  # In a script: the value that belongs to the key of the client's request.
SWITCHING = b"HTTP/1.1 101 Switching Protocols"
_KEY = re.compile(rb"sec-websocket-key: (\S+)", re.IGNORECASE)
_USUAL = (b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Accept: " + ACCEPT)
_LONGEST = 100.0  # seconds, more than any time limit of a client


class End(Enum):
    """The ways in which TCP ends."""

    FIN = "fin"
    RESET = "reset"


FIN, RESET = End.FIN, End.RESET
Step = bytes | float | End
Script = Iterable[Step]


def respond(status: bytes, *fields: bytes, body: bytes = b"", eol: bytes = b"\r\n") -> bytes:
    """Return a response."""
    return eol.join([status, *fields, b"", b""]) + body


def switching(
    *fields: bytes, status: bytes = SWITCHING, without: bytes = b"-", rest: bytes = b""
) -> bytes:
    """Return a response that opens the connection, unless the arguments make it invalid.

    Args:
        fields: Further header fields, behind the usual ones.
        status: The status line.
        without: The name of a usual header field to leave out.
        rest: Bytes behind the response.
    """
    kept = [field for field in _USUAL if not field.startswith(without)]
    return respond(status, *kept, *fields, body=rest)


class Chain:
    """A script of several scripts, one after another, that may be performed more than once."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts = scripts

    def __iter__(self) -> Iterator[Step]:
        for script in self._scripts:
            yield from script


class Drip:
    """A script that sends single bytes, each one some seconds after the last one."""

    def __init__(self, data: bytes, seconds: float) -> None:
        self._data = data
        self._seconds = seconds

    def __iter__(self) -> Iterator[Step]:
        for byte in self._data:
            yield self._seconds
            yield bytes([byte])


@dataclass(frozen=True)
class Outcome:
    """Base class of the expected outcomes.

    Attributes:
        at: When the client reports it, in seconds after the TCP connection was made.
    """

    at: float = field(default=0.0, kw_only=True)

    def check(self, case: AbuseCase) -> None:
        """Compare with the outcome of a script."""
        raise NotImplementedError


@dataclass(frozen=True)
class Refused(Outcome):
    """A RequestError; TCP is closed with FIN."""

    code: int = 403
    body: bytes = b""

    def check(self, case: AbuseCase) -> None:
        error = case.error
        case.assertIsInstance(error, RequestError)
        case.assertEqual((error.code, error.body), (self.code, self.body))
        case.assertFalse(case.peer.transport.aborted, "TCP was reset")


@dataclass(frozen=True)
class Invalid(Outcome):
    """A HandshakeError; TCP is aborted.

    Attributes:
        reason: Part of the error's ``reason``.
    """

    reason: str = ""

    def check(self, case: AbuseCase) -> None:
        case.assertIsInstance(case.error, HandshakeError)
        case.assertIn(self.reason, case.error.reason)
        case.assertTrue(case.peer.transport.aborted)


@dataclass(frozen=True)
class Failed(Outcome):
    """A ConnError.

    Attributes:
        original: The type of the error's ``original``.
        text: Part of the error's text.
    """

    original: type[BaseException] = TimeoutError
    text: str = ""

    def check(self, case: AbuseCase) -> None:
        case.assertIsInstance(case.error, ConnError)
        case.assertIsInstance(case.error.original, self.original)
        case.assertIn(self.text, str(case.error))


@dataclass(frozen=True)
class ProxyRefused(Outcome):
    """A ConnError whose ``original`` is the proxy's refusal; TCP is closed with FIN."""

    code: int = 407
    body: bytes = b""

    def check(self, case: AbuseCase) -> None:
        case.assertIsInstance(case.error, ConnError)
        original = case.error.original
        case.assertIsInstance(original, RequestError)
        case.assertEqual((original.code, original.body), (self.code, self.body))
        case.assertTrue(str(original).startswith("the proxy answered"), str(original))
        case.assertFalse(case.peer.transport.aborted, "TCP was reset")


@dataclass(frozen=True)
class ProxyInvalid(Outcome):
    """A ConnError whose ``original`` is a HandshakeError about the proxy; TCP is aborted."""

    reason: str = ""

    def check(self, case: AbuseCase) -> None:
        case.assertIsInstance(case.error, ConnError)
        case.assertIsInstance(case.error.original, HandshakeError)
        case.assertIn("proxy", case.error.original.reason)
        case.assertIn(self.reason, case.error.original.reason)
        case.assertTrue(case.peer.transport.aborted)


@dataclass(frozen=True)
class Opened(Outcome):
    """An open connection.

    Attributes:
        frames: The messages, pings and pongs that the handler received.
        ended: The reason for which the connection ended, its type, or None if it is still open.
        ended_at: When the handler heard about the end.
    """

    frames: tuple[Any, ...] = ()
    ended: Any = None
    ended_at: float = 0.0

    def check(self, case: AbuseCase) -> None:
        case.assertIsNone(case.error)
        received = [argument for name, argument, _ in case.handler.calls if "frame" in name]
        case.assertEqual(tuple(received), self.frames)
        if self.ended is None:
            case.assertEqual(case.client.status, "open")
            case.peer.drop()
            case.step()
            return
        (status,) = case.handler.arguments("handle_disconnect")
        if isinstance(self.ended, type):
            case.assertIsInstance(status.reason, self.ended)
        else:
            case.assertEqual(status.reason, self.ended)
        case.assertAlmostEqual(case.lost_at, self.ended_at)


class AbuseCase(MemoryCase):
    """Base class for tests with a scripted server.

    Attributes:
        handler: The client's handler.
        client: The client, if its start succeeded.
        error: The exception that the start failed with, or None.
        lost_at: When ``handle_disconnect`` was called.
    """

    client: wsx.Client[Any]

    def setUp(self) -> None:
        super().setUp()
        self.begin()

    def begin(self) -> None:
        """Replace the clock, the server and the handler; a test may perform several scripts."""
        self.clock = Clock()
        self.server = MemoryServer(self.clock)
        self.handler = Recorder(handle_disconnect=self._lost)
        self.error: Any = None
        self.outcome_at: float | None = None
        self.lost_at = -1.0

    def play(self, script: Script, **options: Any) -> None:
        """Start a client, perform the script, and let all timers of the client run."""
        self.start(self.handler, **options).addCallbacks(self._opened, self._failed)
        for step in script:
            self._perform(step)
            if self.peer.transport.ended:
                break
            self.assertLess(self.clock.seconds(), _LONGEST, "no time limit ended the script")
        self._run_timers()

    def assert_outcome(self, script: Script, expected: Outcome, **options: Any) -> None:
        """Perform a script; its outcome, its time, and what is left must be as expected."""
        self.play(script, **options)
        self.assertIsNotNone(self.outcome_at, "neither opened nor failed")
        expected.check(self)
        self.assertAlmostEqual(self.outcome_at, expected.at)
        self.assertTrue(self.peer.transport.ended, "the connection still exists")
        self.assertEqual(self.clock.getDelayedCalls(), [], "timers are left")
        self.assertEqual(self.server.attempts, 1)
        self.assertEqual(self.flushLoggedErrors(), [])

    def _opened(self, client: wsx.Client[Any]) -> None:
        self.client = client
        self.outcome_at = self.clock.seconds()

    def _failed(self, failure: Failure) -> None:
        self.error = failure.value
        self.outcome_at = self.clock.seconds()

    def _lost(self, status: wsx.Disconnect, state: Any) -> None:
        self.lost_at = self.clock.seconds()

    def _perform(self, step: Step) -> None:
        if isinstance(step, bytes):
            self.peer.send(self._with_accept(step))
        elif isinstance(step, End):
            self.peer.drop(ConnectionDone() if step is FIN else ConnectionLost())
        else:
            self._wait(step)
        self.step()

    def _with_accept(self, data: bytes) -> bytes:
        if ACCEPT not in data:
            return data
        *_, key = _KEY.findall(self.peer.transport.value())
        return data.replace(ACCEPT, handshake.accept_value(key.decode()).encode())

    def _wait(self, seconds: float) -> None:
        """Let time pass; each timer of the client runs at its time."""
        end = self.clock.seconds() + seconds
        while (next_call := self._next_call()) is not None and next_call <= end:
            self._advance_to(next_call)
        self._advance_to(end)

    def _run_timers(self) -> None:
        while (next_call := self._next_call()) is not None and next_call < _LONGEST:
            self._advance_to(next_call)

    def _next_call(self) -> float | None:
        return min((call.getTime() for call in self.clock.getDelayedCalls()), default=None)

    def _advance_to(self, time: float) -> None:
        self.clock.advance(max(0.0, time - self.clock.seconds()))
        self.step()
