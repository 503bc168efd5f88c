"""Where the next attempt connects: a ``Conn``, or what the user's callables return for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import isawaitable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from wsx._client.coroutines import Watcher, as_coroutine, run_coroutine
from wsx._failures import cause_of
from wsx._options import Provided, is_placeholder
from wsx._scheduler import Scheduler, SoonCall, Timeout
from wsx._text import describe
from wsx.conn import Conn
from wsx.errors import PROVIDERS, ProviderError, RequestError, WsxError
from wsx.provider import Attempt
from wsx.reasons import Disconnect

__all__ = ["ProviderCall", "Target"]

_log = Logger("wsx")

_PROVIDER, _HEADERS = PROVIDERS


class Target:
    """Where the next attempts of a client connect.

    Args:
        scheduler: The scheduler, for the time limits.
        watcher: Measures the callables.
        source: The Conn or the connection provider of the client.

    Attributes:
        conn: The Conn of the next attempt, or of the last one before a provider was called again.
            Its headers may be a callable.
    """

    __slots__ = ("_provided", "_refused", "_scheduler", "_used_retry", "_watcher", "conn")

    def __init__(self, scheduler: Scheduler, watcher: Watcher, source: Conn | Provided) -> None:
        self._scheduler = scheduler
        self._watcher = watcher
        self._provided: Provided | None = None
        self._refused: tuple[Conn, RequestError] | None = None  # To be retried with another value.
        self._used_retry = False  # Whether such a retry was made since the last open connection.
        self.conn = self._use(source)

    @property
    def has_provider(self) -> bool:
        """Whether a provider returns the Conn of each attempt."""
        return self._provided is not None

    @property
    def has_headers_provider(self) -> bool:
        """Whether a callable returns the headers of the next attempt."""
        return callable(self.conn.extra_headers)

    def change(self, source: Any) -> None:
        """Connect elsewhere from now on.

        Args:
            source: A Conn, or a provider. The options beside an earlier provider, or else those of
                the last Conn, apply to the URLs that it returns.
        """
        if isinstance(source, Conn):
            self._use(source.without_answer())
        else:
            template = self.conn if self._provided is None else self._provided.template
            self._provided = Provided(source, template)

    def _use(self, source: Conn | Provided) -> Conn:
        self._provided = source if isinstance(source, Provided) else None
        self.conn = source.template if isinstance(source, Provided) else source
        return self.conn

    def locate(self, failures: int, last: Disconnect | None) -> ProviderCall:
        """Return the call of the provider. If it succeeds, its Conn is in :attr:`conn`.

        Args:
            failures: The number of failures since the last healthy connection.
            last: The last loss, or None before the first one.
        """
        provided = self._provided
        assert provided is not None

        def convert(result: object) -> Conn:
            self.conn = provided.conn_for(result)
            return self.conn

        function = partial(provided.provider, _attempt_after(failures, last))
        return self._call(_PROVIDER, function, convert, provided.template)

    def add_headers(self, failures: int, last: Disconnect | None) -> ProviderCall:
        """Return the call of the headers callable. It succeeds with a Conn that has the headers.

        Args:
            failures: As for :meth:`locate`.
            last: As for :meth:`locate`.
        """
        headers: Any = self.conn.extra_headers
        function = partial(headers, _attempt_after(failures, last))
        return self._call(_HEADERS, function, self.conn.with_headers, self.conn)

    def _call(
        self, subject: str, function: Callable[[], Any], convert: Callable[[Any], Conn], conn: Conn
    ) -> ProviderCall:
        seconds = conn.socket_connect_timeout
        return ProviderCall(self._scheduler, self._watcher, subject, seconds, function, convert)

    # Retries after 401

    def may_retry(self, reason: object, conn: Conn) -> bool:
        """Return whether an attempt that failed with 401 can succeed with other credentials.

        Args:
            reason: Why the attempt failed.
            conn: The Conn of the attempt.
        """
        is_provided = self._provided is not None or conn.headers_provider is not None
        return is_provided and _is_unauthorized(reason) and not self._used_retry

    def require_other(self, conn: Conn, reason: RequestError) -> None:
        """Make the next attempt only if it differs from one that the server has refused."""
        self._refused = (conn, reason)

    def refusal(self, conn: Conn) -> RequestError | None:
        """Return why an attempt must not be made, or None.

        It must not be made if the server has just answered 401 to the same URL and headers.
        """
        refused, self._refused = self._refused, None
        if refused is None:
            return None
        self._used_retry = True
        refused_conn, reason = refused
        return reason if conn == refused_conn else None

    def opened(self) -> None:
        """Allow another retry, because the server has accepted the credentials."""
        self._refused = None
        self._used_retry = False


def _attempt_after(failures: int, last: Disconnect | None) -> Attempt:
    """Return the argument of the callables."""
    if last is None:
        return Attempt(failures + 1)
    return Attempt(failures + 1, last.reason, None if is_placeholder(last.conn) else last.conn)


def _is_unauthorized(reason: object) -> bool:
    """Return whether the server has answered 401 to an attempt."""
    return isinstance(reason, RequestError) and reason.code == 401


class ProviderCall:
    """One call of a user's callable, within a time limit.

    Args:
        scheduler: The scheduler for the time limit.
        watcher: Measures how long the callable blocks the reactor.
        subject: The callable, for messages.
        seconds: The time limit in seconds.
        function: Calls the callable.
        convert: Returns the Conn for the result of the callable, or raises.

    Attributes:
        subject: The callable, for messages.
    """

    __slots__ = (
        "_convert",
        "_failed",
        "_function",
        "_over",
        "_pending",
        "_scheduler",
        "_seconds",
        "_soon",
        "_succeeded",
        "_timer",
        "_watcher",
        "subject",
    )

    def __init__(
        self,
        scheduler: Scheduler,
        watcher: Watcher,
        subject: str,
        seconds: float,
        function: Callable[[], Any],
        convert: Callable[[Any], Conn],
    ) -> None:
        self._scheduler = scheduler
        self._watcher = watcher
        self.subject = subject
        self._seconds = seconds
        self._function = function
        self._convert = convert
        self._over = False
        self._pending: Deferred[Any] | None = None
        self._soon: SoonCall | None = None
        self._timer: Timeout | None = None

    def start(
        self, succeeded: Callable[[Conn], None], failed: Callable[[WsxError], None], *, now: bool
    ) -> None:
        """Call the callable.

        Args:
            succeeded: Called with the Conn.
            failed: Called with a :class:`ProviderError`.
            now: Whether to call the callable before this returns, or in a later reactor iteration.
        """
        self._succeeded = succeeded
        self._failed = failed
        if now:
            self._call()
        else:
            self._soon = self._scheduler.call_soon(self._call)

    def cancel(self) -> None:
        """Cancel the call. Neither ``succeeded`` nor ``failed`` is called then."""
        self._finish()
        if self._soon is not None:
            self._soon.cancel()
        if self._pending is not None:
            self._pending.cancel()

    def _call(self) -> None:
        self._soon = None
        began = self._scheduler.monotonic()
        try:
            result = self._function()
            if isawaitable(result) and not isinstance(result, Deferred):
                result = run_coroutine(as_coroutine(result), self._watcher, self.subject)
        except Exception as error:
            result = Failure(error)
        except BaseException as error:  # Such as SystemExit.
            self._fail(error)
            raise
        self._watcher.check_blocked_since(began, self.subject)
        # Outside of the except block: an exception there would have the original as its context,
        # and a traceback would show what the original may contain.
        if isinstance(result, Deferred):
            self._wait(result)
        elif isinstance(result, Failure):
            self._fail(cause_of(result))
        else:
            self._returned(result)

    def _wait(self, result: Deferred[Any]) -> None:
        self._pending = result
        if not self._over:
            self._timer = self._scheduler.timeout(self._seconds, self._timed_out)
        result.addCallbacks(self._returned, self._deferred_failed)
        if self._over:  # Also if the callable itself has stopped the client.
            result.cancel()

    def _returned(self, result: Any) -> None:
        if self._over:
            return
        try:
            conn: Conn | Failure = self._convert(result)
        except Exception as error:
            conn = Failure(error)
        if isinstance(conn, Failure):
            self._fail(cause_of(conn))
        else:
            self._finish()
            self._succeeded(conn)

    def _deferred_failed(self, failure: Failure) -> None:
        if not self._over:
            self._fail(cause_of(failure))
        elif not failure.check(CancelledError):
            error = ProviderError(cause_of(failure), self.subject)
            _log.error("{error} (after it was cancelled)", error=describe(error))

    def _timed_out(self) -> None:
        self._timer = None
        self._fail(TimeoutError(f"it took longer than {self._seconds:g} s"))
        if self._pending is not None:
            self._pending.cancel()

    def _fail(self, error: BaseException) -> None:
        if not self._over:
            self._finish()
            self._failed(ProviderError(error, self.subject))

    def _finish(self) -> None:
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
