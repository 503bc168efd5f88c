"""Run a handler with the real client, an in-memory server and a clock that the test advances."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Generic, Unpack, overload

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from typing_extensions import TypeVar

from wsx._text import describe, expected
from wsx.backoff import is_retryable
from wsx.client import Client, FirstState, H_co, HandlerOf, check_handler, start
from wsx.errors import WsxError
from wsx.handler import Handler
from wsx.option_types import StartOptions
from wsx.provider import ConnSource
from wsx.testing.clock import MemoryReactor
from wsx.testing.leftovers import LoggedError, LoggedErrors, describe_timer
from wsx.testing.recorder import PENDING, Call, Recorder
from wsx.testing.server import MemoryServer, ServerConnection

__all__ = ["URL", "Run", "run"]

__tracebackhide__ = True  # pytest shows the line of the test instead.

State = TypeVar("State")
H = TypeVar("H", bound=Handler[Any])

URL: Final = "ws://test/"
_NOT_STARTED: Final = "The client was not started: write `with run(...) as feed:`."
_MAX_END: Final = 10.0  # seconds in which a stopped client must end, besides its own limits
_INITIAL: Final = "handle_initial_conn_failure"
_OWN: Final = ("reactor", "endpoint")  # The options that the kit sets.


class Run(Generic[State, H_co]):
    """A handler under test; :func:`run` creates it. Use it in a ``with`` statement.

    Attributes:
        handler: The handler.
        server: The server.
        reactor: The reactor of the client, a clock.
    """

    def __init__(
        self,
        handler: Any,
        state: Any,
        url: Any,
        server: MemoryServer,
        options: dict[str, Any],
    ) -> None:
        self.handler: H_co = handler
        self.server = server
        self.reactor: MemoryReactor = server.reactor
        self._begin: Callable[[], Deferred[Any]] = lambda: start(
            url, handler, state, reactor=server.reactor, **options
        )
        self._client: Client[State, H_co] | None = None
        self._recorder: Recorder | None = None
        self._logged: LoggedErrors | None = None
        self._reason: list[object] = []  # Why the client has ended, once it has.
        self._ends_at_first = bool(options.get("reconnect")) and not options.get(_INITIAL)
        server.explain_with(self._situation)

    # The block

    def __enter__(self) -> Run[State, H_co]:
        if self._logged is not None:
            raise AssertionError("run: expected one `with` block for each run, got another one")
        self._recorder = Recorder(self.handler)
        self._logged = LoggedErrors()
        try:
            self._start()
        except BaseException:
            self._clean_up()
            raise
        return self

    def _start(self) -> None:
        outcome: list[object] = []
        before = getattr(self.handler, "client", None)
        self._begin().addBoth(outcome.append)
        client = getattr(self.handler, "client", None)
        if client is before or client is None:  # An argument is wrong, or the name is in use.
            assert outcome and isinstance(outcome[0], Failure)
            outcome[0].raiseException()
        self._client = client
        client.terminated().addCallback(self._reason.append)
        self.reactor.settle()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            self._add_logged(error)
            self._clean_up()
            return
        try:
            found = self._end()
        finally:
            self._clean_up()
        if found:
            raise AssertionError("\n\n".join(["the test has left something over:", *found]))

    def _end(self) -> list[str]:
        """Stop the client; return what is left over."""
        assert self._logged is not None
        self.reactor.settle()
        found = self.server.left_over()
        self.server.stop_scripts()
        self._stop()
        found += self._timers()
        self._logged.collect_garbage()
        found += [f"an error was logged: {error}" for error in self._logged.errors]
        return found

    def _stop(self) -> None:
        self.client.stop()
        # close_timeout limits the closing handshake, and then terminate.
        limit = 2 * self.client.conn.close_timeout + _MAX_END
        deadline = self.reactor.seconds() + limit
        while not self._reason:
            when = self.reactor.next_at()
            if when is None or when > deadline:
                raise AssertionError(f"the client has not ended {limit:g} s after stop()")
            self.reactor.advance(max(0.0, when - self.reactor.seconds()))

    def _timers(self) -> list[str]:
        now = self.reactor.seconds()
        timers = [describe_timer(call, now) for call in self.reactor.timers()]
        if not timers:
            return []
        return ["\n    ".join(["timers are still pending after the client has ended:", *timers])]

    def _add_logged(self, error: BaseException) -> None:
        """Show what may be the cause with the failure of the test."""
        assert self._logged is not None
        for logged in self._logged.errors:
            error.add_note(f"logged before that: {logged}")
        if self._pending and self._pending not in str(error):
            error.add_note(self._pending)

    def _clean_up(self) -> None:
        """Leave nothing behind for the next test, whatever has happened."""
        assert self._logged is not None and self._recorder is not None
        if self._client is not None and not self._reason:
            self._client.abort()
            with suppress(Exception):  # The test has failed already.
                self.reactor.advance(0)
        for call in list(self.reactor.getDelayedCalls()):
            call.cancel()
        self._logged.stop()
        self._recorder.remove()

    # For the test

    @property
    def client(self) -> Client[State, H_co]:
        """The client.

        Raises:
            AssertionError: The ``with`` block has not begun.
        """
        if self._client is None:
            raise AssertionError(_NOT_STARTED)
        return self._client

    @property
    def state(self) -> State:
        """The handler's state."""
        self.reactor.settle()
        state: State = self.client.sys.get_state()
        return state

    @property
    def calls(self) -> list[Call]:
        """The calls of callbacks so far, in order, each with callback, argument and answer."""
        self.reactor.settle()
        return [] if self._recorder is None else self._recorder.calls

    @property
    def reason(self) -> object:
        """Why the client has ended, as ``terminated()`` reports it; None while it has not."""
        self.reactor.settle()
        return self._reason[0] if self._reason else None

    def advance(self, seconds: float) -> None:
        """Let time pass. Timers of the client and of the handler run at their own time.

        Args:
            seconds: The time.
        """
        self.reactor.advance(seconds)

    def wait_open(self, seconds: float = 60.0) -> ServerConnection:
        """Let the client open: accept its attempts, and advance the clock as far as necessary.

        Attempts that have a script are left to the script.

        Args:
            seconds: The most time to let pass. Default 60.

        Returns:
            The server's side of the connection.

        Raises:
            AssertionError: The client has ended, or does not open in this time.
        """
        deadline = self.reactor.seconds() + seconds
        opened = self.client.when_open()
        opened.addErrback(lambda _: None)
        self.reactor.settle()
        while self._reason or not opened.called:
            if self._reason:
                raise self.server.problem("wait_open: the client does not open")
            waiting = self.server.waiting
            when = self.reactor.next_at()
            if waiting is not None:
                waiting.accept()
            elif when is None or when > deadline:
                raise self.server.problem(f"wait_open: the client has not opened in {seconds:g} s")
            else:
                self.reactor.advance(max(0.0, when - self.reactor.seconds()))
        return self.server.connection

    def errors(self, *kinds: type[BaseException]) -> list[LoggedError]:
        """Return the errors that were logged, which the test has expected.

        They are not left over then, also for trial: ``flushLoggedErrors`` is not necessary.

        Args:
            *kinds: The classes of the exceptions. Default: all logged errors.
        """
        assert self._logged is not None
        self.reactor.settle()
        self._logged.collect_garbage()
        return self._logged.flush(kinds)

    @property
    def _pending(self) -> str:
        """A sentence that names the pending callback; empty if there is none."""
        pending = [call for call in self.calls if call.answer is PENDING]
        return f"{pending[-1].callback} has not completed." if pending else ""

    @property
    def _is_not_retried(self) -> bool:
        """Whether the reconnect policy was not asked, although it would retry the first attempt."""
        failed = isinstance(self._reason[0], WsxError) and not self.calls
        return failed and self._ends_at_first and is_retryable(self._reason[0])

    def _situation(self) -> str:
        """Return what the client does now, for failures."""
        if self._client is None:
            return _NOT_STARTED
        lines = [f"The client's status is {self.client.status}."]
        if self._reason:
            lines = [f"The client has ended: {describe(self._reason[0])}."]
            if self._is_not_retried:
                lines.append(f"The first attempt is retried only with {_INITIAL}=True.")
        if self._pending:
            lines.append(self._pending)
        timers = self.reactor.timers()
        if timers and self.client.status == "disconnected":
            delay = timers[0].getTime() - self.reactor.seconds()
            lines.append(f"Its next timer is due in {delay:g} s: advance({delay:g}).")
        assert self._logged is not None
        return "\n".join([" ".join(lines), *(f"Logged: {e.text}" for e in self._logged.errors)])


@overload
def run(
    handler: type[HandlerOf[State, H]],
    state: FirstState[State],
    url: ConnSource = URL,
    *,
    server: MemoryServer | None = None,
    **options: Unpack[StartOptions],
) -> Run[State, H]: ...


@overload
def run(
    handler: HandlerOf[State, H],
    state: FirstState[State],
    url: ConnSource = URL,
    *,
    server: MemoryServer | None = None,
    **options: Unpack[StartOptions],
) -> Run[State, H]: ...


@overload
def run(
    handler: type[HandlerOf[State | None, H]] | HandlerOf[State | None, H],
    *,
    url: ConnSource = URL,
    server: MemoryServer | None = None,
    **options: Unpack[StartOptions],
) -> Run[State | None, H]: ...


def run(
    handler: Any,
    state: Any = None,
    url: ConnSource = URL,
    *,
    server: MemoryServer | None = None,
    **options: Any,
) -> Run[Any, Any]:
    """Run a handler with the real client, without sockets and without real time.

    Use the result in a ``with`` statement. At its end, the client is stopped. Anything left over
    is an AssertionError: frames that the test did not expect, timers, logged errors, errors in
    Deferreds that nothing has handled, and scripts that are not complete.

    Args:
        handler: A subclass of :class:`wsx.Handler`, or an instance.
        state: The handler's first state. It may be omitted if the state may be None.
        url: As for :func:`wsx.start`. The server accepts any. Default ``"ws://test/"``.
        server: A server, with scripts or with settings for the first attempt. Default: a new one.
        **options: The options of :func:`wsx.start`, except for ``reactor`` and ``endpoint``. A
            ``proxy`` and TLS options are accepted, but not used.

    Raises:
        TypeError: The handler is not a Handler, or an option is one of the kit itself.
    """
    for name in _OWN:
        if name in options:
            raise TypeError(expected(f"run: {name}", "no such option, because the kit sets it"))
    checked = check_handler(handler)
    instance = checked() if isinstance(checked, type) else checked
    return Run(instance, state, url, MemoryServer() if server is None else server, options)
