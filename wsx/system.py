"""System requests to a running client, like those of OTP's ``sys`` module."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from inspect import iscoroutine
from os import PathLike
from typing import Any, Generic, Literal, TypeVar, overload

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

from wsx._client.lifecycle import Lifecycle
from wsx._failures import log_failure
from wsx._text import describe, expected, expected_type
from wsx.errors import NotConnectedError
from wsx.frames import GOING_AWAY
from wsx.handler import Handler, as_reason

__all__ = ["System"]

State = TypeVar("State")
T = TypeVar("T")

_log = Logger("wsx.system")


class System(Generic[State]):
    """``client.sys``: inspect and control a running client, in every state.

    Requests that only read or switch something are answered at once. ``replace_state`` and
    ``change_code`` return Deferreds: while a callback is pending they wait for its result, and are
    then served before any other event.

    On a client that has ended, ``get_state``, ``get_status``, ``log("get")`` and
    ``statistics("get")`` return the last values; the other requests fail with
    ``NotConnectedError("terminated")``.
    """

    def __init__(self, life: Any) -> None:
        self._life: Lifecycle[State] = life

    @property
    def _label(self) -> str:
        return self._life.reporter.label

    # Inspection

    def get_state(self) -> State:
        """Return the handler's state. While a callback is pending, this is the state before it."""
        return self._life.delivery.state

    def get_status(self) -> dict[str, Any]:
        """Return the client's status, passed through the handler's ``format_status``.

        Returns:
            A dict with the keys ``name``, ``status``, ``handler`` (the class), ``version`` (of the
            class), ``conn`` (redacted), ``attempt_number`` (failures since the last healthy
            connection; 0 while a healthy connection is open), ``mailbox`` (number of waiting casts
            and infos), ``pending_callback`` (None, or a dict with the name of the pending
            ``callback`` and the ``seconds`` since it began), ``statistics``, ``log``,
            ``suspended`` and ``state``. If
            ``format_status`` raises or does not return a dict, this is logged and the unformatted
            dict is returned.
        """
        try:
            status = self._format_status()
            if isinstance(status, dict):
                return status
            if iscoroutine(status):
                status.close()  # Otherwise Python warns that it was never awaited.
            problem = f"returned {type(status).__name__} (expected dict)"
            _log.error("{label}: format_status {problem}", label=self._label, problem=problem)
        except Exception:
            log_failure(_log, "{label}: format_status failed", label=self._label)
        return self._status()

    def _format_status(self) -> Any:
        delivery = self._life.delivery
        began = delivery.monotonic()
        try:
            return self._life.handler.format_status(self._status())
        finally:
            delivery.check_blocked_since(began, "format_status")

    def _status(self) -> dict[str, Any]:
        life = self._life
        return {
            "name": life.name,
            "status": life.status,
            "handler": type(life.handler),
            "version": type(life.handler).version,
            "conn": life.conn.redacted(),
            "attempt_number": life.history.attempt_number,
            "mailbox": life.mailbox.waiting,
            "pending_callback": self._pending_callback(),
            "statistics": self._statistics(),
            "log": self._events(),
            "suspended": life.delivery.suspended,
            "state": life.delivery.state,
        }

    def _pending_callback(self) -> dict[str, Any] | None:
        pending = self._life.delivery.pending_callback
        return None if pending is None else {"callback": pending[0], "seconds": pending[1]}

    def _events(self) -> list[tuple[float, str]]:
        return list(self._life.tracing.events or ())

    def _statistics(self) -> dict[str, int] | None:
        counts = self._life.tracing.counts
        return None if counts is None else dict(counts)

    # Between two events

    def replace_state(
        self, function: Callable[[State], State | Awaitable[State]]
    ) -> Deferred[State]:
        """Replace the handler's state.

        Args:
            function: Called with the state. Returns the new state, or a Deferred or coroutine of
                the new state.

        Returns:
            A Deferred that fires with the new state. If the function fails or is not callable, the
            Deferred fails too and the state is unchanged.
        """
        if not callable(function):
            return fail(TypeError(expected_type("function", "a function of the state", function)))
        replace = self._life.delivery.replace_state
        return self._ask(lambda: replace(function), "replace_state")

    def change_code(
        self, new_class: type[Handler[State]], old_version: Any = None, extra: Any = None
    ) -> Deferred[None]:
        """Replace the handler's class, on the same connection and with the same handler object.

        ``code_change`` of the new class converts the state first.

        Args:
            new_class: A subclass of :class:`Handler`; its ``__init__`` is not called.
            old_version: The first argument of ``code_change``. Default: the ``version`` of the old
                class.
            extra: The last argument of ``code_change``. Default None.

        Returns:
            A Deferred that fires with None. It fails if ``code_change`` fails or returns anything
            but ``Ok`` or None, or if the ``__slots__`` of the two classes differ. The handler then
            keeps its class, its attributes and its state.
        """
        if not (isinstance(new_class, type) and issubclass(new_class, Handler)):
            problem = expected("new_class", "a subclass of wsx.Handler", new_class)
            return fail(TypeError(problem))

        def log(outcome: T) -> T:
            result = "done"
            if isinstance(outcome, Failure):
                result = f"failed: {describe(outcome.value)}"
            name = new_class.__qualname__
            what = "{label}: code change to {name} {result}"
            _log.info(what, label=self._label, name=name, result=result)
            return outcome

        return self._ask(
            lambda: self._life.delivery.change_code(new_class, old_version, extra).addBoth(log),
            "code_change",
        )

    def _ask(self, action: Callable[[], Any], callback: str) -> Deferred[Any]:
        if self._ended:
            return fail(NotConnectedError("terminated"))
        return self._life.delivery.request(action, callback)

    # Switches

    def suspend(self) -> None:
        """Suspend delivery. ``terminate`` is still called.

        Reading from the server is paused. Meanwhile no keepalive timeout runs, but keepalive pings
        are still sent. An attempt in progress is completed. A pending callback may still return its
        result.
        """
        self._check()
        _log.info("{label}: suspended", label=self._label)
        self._life.delivery.suspend()

    def resume(self) -> None:
        """Resume delivery, from the next reactor iteration on."""
        self._check()
        _log.info("{label}: resumed", label=self._label)
        self._life.resume()

    def trace(self, flag: bool) -> None:
        """Start or stop trace lines on standard output.

        Args:
            flag: True to start, False to stop.

        Raises:
            ValueError: ``flag`` is not a bool.
        """
        self._check()
        if not isinstance(flag, bool):
            raise ValueError(expected("trace", "True or False", flag))
        self._life.tracing.trace(flag)

    @overload
    def log(self, what: Literal["get"]) -> list[tuple[float, str]]: ...

    @overload
    def log(self, what: bool | int | Literal["print"]) -> None: ...

    def log(self, what: object) -> list[tuple[float, str]] | None:
        """Keep, return or print the last events.

        Args:
            what: True to keep the last 10 events from now on, a number to keep that many, False to
                keep none; ``"get"`` to return the events, ``"print"`` to print them on standard
                output.

        Returns:
            For ``"get"`` a list of pairs, oldest first: the time in seconds on the clock of the
            client's reactor, and the text of the event. Otherwise None.

        Raises:
            ValueError: ``what`` is something else.
        """
        if isinstance(what, str) and what == "get":
            return self._events()
        self._check()
        if what == "print":
            self._life.tracing.print_log()
        elif isinstance(what, int) and 0 <= what <= sys.maxsize:
            self._life.tracing.log(what)
        else:
            known = 'True, False, a number of events, "get" or "print"'
            raise ValueError(expected("log", known, what))
        return None

    @overload
    def statistics(self, what: Literal["get"]) -> dict[str, int] | None: ...

    @overload
    def statistics(self, what: bool) -> None: ...

    def statistics(self, what: object) -> dict[str, int] | None:
        """Count events by kind, or return the counts.

        Args:
            what: True to start counting, False to stop, ``"get"`` to return the counts.

        Returns:
            For ``"get"`` a dict of counts by kind of event, or None if counting is off. Otherwise
            None.

        Raises:
            ValueError: ``what`` is something else.
        """
        if isinstance(what, str) and what == "get":
            return self._statistics()
        self._check()
        if not isinstance(what, bool):
            raise ValueError(expected("statistics", 'True, False or "get"', what))
        self._life.tracing.statistics(what)
        return None

    def log_to_file(self, path: str | PathLike[str] | Literal[False]) -> None:
        """Append events to a file from now on, in the reactor's thread pool.

        If a write fails later, this is logged once and writing stops.

        Args:
            path: The path of the file, or False to stop writing.

        Raises:
            OSError: The file cannot be opened; a previous file stays in use.
            ValueError: ``path`` is neither a path nor False.
        """
        self._check()
        if path is False:
            self._life.tracing.log_to_file(None)
        elif isinstance(path, (str, PathLike)):
            self._life.tracing.log_to_file(path)
        else:
            raise ValueError(expected("log_to_file", "a path or False", path))

    # The end

    def terminate(self, reason: Any) -> Deferred[Any]:
        """End the client: send close code 1001 if the connection is open, then call ``terminate``.

        Args:
            reason: The reason with which the client ends, any object except a Deferred.

        Returns:
            A Deferred that fires with the reason once the client has ended. It fails with
            TypeError if the reason is a Deferred.
        """
        if self._ended:
            return fail(NotConnectedError("terminated"))
        try:
            self._life.end(as_reason(reason), GOING_AWAY)
        except TypeError as error:
            return fail(error)
        return self._life.terminated()

    @property
    def _ended(self) -> bool:
        return self._life.status == "terminated"

    def _check(self) -> None:
        if self._ended:
            raise NotConnectedError("terminated")
