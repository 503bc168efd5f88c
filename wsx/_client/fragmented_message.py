"""Send one message in fragments, with backpressure for each part."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable
from inspect import isasyncgen, isgenerator
from typing import Protocol, TypeAlias

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from wsx._client.coroutines import run_coroutine
from wsx._deferreds import AnyDeferred
from wsx._failures import log_failure
from wsx._scheduler import MAX_WORK_SECONDS, Scheduler
from wsx._transport.connection import Connection
from wsx._wire.fragments import FragmentEncoder, Part
from wsx.frames import Binary, Text

__all__ = ["FragmentedMessage", "Parts", "Sending"]

_log = Logger("wsx")

Parts: TypeAlias = Iterable[Part] | AsyncIterable[Part]


class Sending(Protocol):
    """The interface through which a message is sent."""

    def when_drained(self, timeout: float | None) -> Deferred[None]:
        """Return a Deferred that fires once the write buffer has drained."""

    def fragment_sent(self, frame: Text | Binary) -> None:
        """Report a part that was sent."""

    def message_completed(self) -> None:
        """Send the frames that wait for the end of the message."""

    def message_failed(self, error: BaseException, begun: bool) -> None:
        """Close the connection if a part was sent; otherwise go on without the message."""


class FragmentedMessage:
    """A message that is sent in fragments.

    Args:
        kind: ``Text`` or ``Binary``.
        parts: The parts of the message.
        timeout: The time limit in seconds for the write buffer to drain after each part, or None.
        scheduler: For work that continues in a later reactor iteration.
        sending: Carries out what follows.

    Attributes:
        sent: The Deferred of :meth:`wsx.Client.send_fragments`.
        connection: The connection, once the message has been started.
    """

    __slots__ = (
        "_driver",
        "_encoder",
        "_kind",
        "_parts",
        "_scheduler",
        "_sending",
        "_stopped",
        "_timeout",
        "_until",
        "connection",
        "sent",
    )

    def __init__(
        self,
        kind: type[Text] | type[Binary],
        parts: Parts,
        timeout: float | None,
        scheduler: Scheduler,
        sending: Sending,
    ) -> None:
        self.sent: Deferred[None] = AnyDeferred(self._cancelled)
        self.connection: Connection | None = None
        self._kind = kind
        self._parts = parts
        self._timeout = timeout
        self._scheduler = scheduler
        self._sending = sending
        self._driver: Deferred[None] | None = None
        self._encoder: FragmentEncoder | None = None
        self._stopped = False
        self._until = 0.0  # The monotonic time at which the reactor must run again.

    def start(self, connection: Connection) -> None:
        """Begin to send the parts."""
        self.connection = connection
        self._encoder = connection.fragments(self._kind)
        sending = self._send(connection, self._encoder)
        self._driver = maybeDeferred(run_coroutine, sending, self, "send_fragments")
        self._driver.addCallbacks(self._completed, self._failed)

    def stop(self) -> None:
        """Send nothing more, because the connection is closing. ``sent`` does not fire."""
        self._stopped = True
        # The iterable itself may have closed the connection, and must return before it is closed.
        self._scheduler.call_soon(self._cancel_driver)

    def fail(self, error: Exception) -> None:
        """Fail ``sent``, unless it has fired."""
        if not self.sent.called:
            self.sent.errback(error)

    def _cancel_driver(self) -> None:
        if self._driver is not None:
            self._driver.cancel()

    def _cancelled(self, _: Deferred[None]) -> None:
        """Handle that the user has cancelled ``sent``."""
        if self._encoder is not None and not self._stopped:
            self.stop()
            self._sending.message_failed(CancelledError(), self._encoder.begun)

    # Sending

    async def _send(self, connection: Connection, encoder: FragmentEncoder) -> None:
        self._until = self._scheduler.monotonic() + MAX_WORK_SECONDS
        try:
            if isinstance(self._parts, AsyncIterable):
                async for part in self._parts:
                    if self._stopped:
                        return
                    await self._send_part(connection, encoder, part)
            else:
                for part in self._parts:
                    if self._stopped:
                        return
                    await self._send_part(connection, encoder, part)
            if not self._stopped:
                connection.send_encoded(encoder.end())
        finally:
            await self._close_parts()

    async def _send_part(
        self, connection: Connection, encoder: FragmentEncoder, part: Part
    ) -> None:
        data, frame = encoder.add(part)
        if data:
            connection.send_encoded(data)
        if frame.payload:
            self._sending.fragment_sent(frame)
        if not connection.writable:
            await self._sending.when_drained(self._timeout)
        elif self._scheduler.monotonic() < self._until:
            return
        else:
            await self._next_iteration()
        self._until = self._scheduler.monotonic() + MAX_WORK_SECONDS

    @property
    def monotonic(self) -> Callable[[], float]:
        """Returns the monotonic time in seconds."""
        return self._scheduler.monotonic

    def check_blocked_since(self, began: float, callback: str) -> None:
        """Do nothing: what the iterable does is not part of a callback."""

    def _next_iteration(self) -> Deferred[None]:
        waiting: Deferred[None] = Deferred()
        self._scheduler.call_soon(lambda: None if waiting.called else waiting.callback(None))
        return waiting

    async def _close_parts(self) -> None:
        """Close a generator, so that it releases its files now and not some time later."""
        if isgenerator(self._parts):
            self._parts.close()
        elif isasyncgen(self._parts):
            await self._parts.aclose()

    # The end

    def _completed(self, _: None) -> None:
        if self._stopped or self.connection is None:
            return
        connection = self.connection
        self._stopped = True
        self._sending.message_completed()
        if connection.writable:
            self._succeed(None)
        else:
            drained = self._sending.when_drained(self._timeout)
            drained.addCallbacks(self._succeed, lambda failure: self.fail(failure.value))

    def _succeed(self, _: None) -> None:
        if not self.sent.called:
            self.sent.callback(None)

    def _failed(self, failure: Failure) -> None:
        if self._stopped:
            if not failure.check(CancelledError):
                text = "the parts of a message failed after its connection had ended"
                log_failure(_log, text, failure)
            return
        assert self._encoder is not None
        self._stopped = True
        error = failure.value if failure.value is not None else CancelledError()
        self._sending.message_failed(error, self._encoder.begun)
        if not self.sent.called:
            self.sent.errback(failure)
