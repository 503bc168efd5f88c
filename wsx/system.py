"""System requests: what can be asked of a running client, as OTP's ``sys`` module has them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from inspect import iscoroutine
from os import PathLike
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

from wsx._client.lifecycle import Lifecycle
from wsx._text import describe, shorten
from wsx.errors import NotConnectedError
from wsx.frames import GOING_AWAY
from wsx.handler import Handler, as_reason

__all__ = ["System"]

S = TypeVar("S")
T = TypeVar("T")

_log = Logger("wsx.system")


class System(Generic[S]):
    """``client.sys``: looks at a running client and switches it. Everything works in every state.

    What reads or switches answers at once. ``replace_state`` and ``change_code`` give Deferreds:
    while a callback is under way they wait for its answer, and then go before any other event.

    On a client that has ended, ``get_state``, ``get_status``, ``log("get")`` and
    ``statistics("get")`` give the last values; everything else fails with
    ``NotConnectedError("terminated")``.
    """

    def __init__(self, life: Lifecycle[S]) -> None:
        self._life = life

    # Looking

    def get_state(self) -> S:
        """Gives the handler's state; while a callback is under way, the one before it."""
        return self._life.delivery.state

    def get_status(self) -> Any:
        """Gives what there is to know, passed through the handler's ``format_status``.

        Returns:
            a dict with ``name``, ``status``, ``handler`` (the class), ``version`` (the class's),
            ``conn``, ``attempt_number`` (failures since there was a healthy connection; 0 while
            there is), ``mailbox`` (casts and infos that wait), ``statistics``, ``log``,
            ``suspended`` and ``state``.
            Where ``format_status`` fails or answers with no dict, the log says so, and the dict
            is as it was before.
        """
        try:
            status = self._life.handler.format_status(self._status())
            if isinstance(status, dict):
                return status
            if iscoroutine(status):
                status.close()  # nobody will await it
            problem = f"a {type(status).__name__} instead of a dict"
            _log.error("{label}: format_status gave {it}", label=self._life.label, it=problem)
        except Exception:
            _log.failure("{label}: format_status failed", label=self._life.label)
        return self._status()

    def _status(self) -> dict[str, Any]:
        life = self._life
        return {
            "name": life.name,
            "status": life.status,
            "handler": type(life.handler),
            "version": type(life.handler).version,
            "conn": life.conn,
            "attempt_number": life.journal.attempt_number,
            "mailbox": life.mailbox.waiting,
            "statistics": self._statistics(),
            "log": self._events(),
            "suspended": life.delivery.suspended,
            "state": life.delivery.state,
        }

    def _events(self) -> list[tuple[float, str]]:
        return list(self._life.debug.events or ())

    def _statistics(self) -> dict[str, int] | None:
        counts = self._life.debug.counts
        return None if counts is None else dict(counts)

    # Between two events

    def replace_state(self, function: Callable[[S], Any]) -> Deferred[S]:
        """Replaces the handler's state.

        Args:
            function: gets the state and answers with the new one, also with a Deferred or as an
                ``async def``; where it fails, the state stays.

        Returns:
            a Deferred of the new state.
        """
        return self._ask(lambda: self._life.delivery.replace_state(function))

    def change_code(
        self, new_class: type[Handler[S]], old_version: Any = None, extra: Any = None
    ) -> Deferred[None]:
        """Goes on with another class, on the same connection and with the same handler object.

        Its ``code_change`` is called first, and converts the state. Where that fails, answers with
        anything but ``Ok`` or None, or the object cannot become one of the new class (its
        ``__slots__`` differ), the old class, the handler's attributes and the state stay.

        Args:
            new_class: a subclass of :class:`Handler`; its ``__init__`` is not called.
            old_version: the first argument of ``code_change``; None gives it the old class's
                ``version``.
            extra: its last one.

        Returns:
            a Deferred of None.
        """
        if not (isinstance(new_class, type) and issubclass(new_class, Handler)):
            return fail(TypeError(f"this is no subclass of wsx.Handler: {new_class!r}"))
        label, name = self._life.label, new_class.__qualname__

        def tell(outcome: T) -> T:
            reason = describe(outcome.value) if isinstance(outcome, Failure) else "done"
            _log.info("{label}: code change to {name}: {it}", label=label, name=name, it=reason)
            return outcome

        return self._ask(
            lambda: self._life.delivery.change_code(new_class, old_version, extra).addBoth(tell)
        )

    def _ask(self, action: Callable[[], Any]) -> Deferred[Any]:
        if self._ended:
            return fail(NotConnectedError("terminated"))
        return self._life.delivery.request(action)

    # Switches

    def suspend(self) -> None:
        """Has no callback invoked from now on, ``terminate`` at the end apart.

        Reading is paused, which is no sign of a dead peer; keepalive goes on; a connection that is
        being made is made. A callback that is under way may answer.
        """
        self._check()
        _log.info("{label}: suspended", label=self._life.label)
        self._life.delivery.suspend()

    def resume(self) -> None:
        """Ends :meth:`suspend`: what waited is delivered, from the next step on."""
        self._check()
        _log.info("{label}: resumed", label=self._life.label)
        self._life.delivery.resume()

    def trace(self, flag: bool) -> None:
        """Begins or ends trace lines on standard output.

        Raises:
            ValueError: this is no bool.
        """
        self._check()
        if not isinstance(flag, bool):
            raise ValueError(f"trace takes a bool, not {shorten(flag)}")
        self._life.debug.trace(flag)

    def log(self, what: bool | int | str) -> list[tuple[float, str]] | None:
        """Keeps the last events.

        Args:
            what: True keeps the last 10, a number so many, False none and forgets those there are;
                ``"get"`` gives them, ``"print"`` prints them on standard output.

        Returns:
            for ``"get"`` a list of pairs of the time (of the client's reactor) and the event,
            oldest first; else None.

        Raises:
            ValueError: it is none of these.
        """
        if isinstance(what, str) and what == "get":
            return self._events()
        self._check()
        if what == "print":
            self._life.debug.print_log()
        elif isinstance(what, int) and 0 <= what <= sys.maxsize:
            self._life.debug.log(what)
        else:
            raise ValueError(f"log takes a bool, a depth, 'get' or 'print', not {what!r}")
        return None

    def statistics(self, what: bool | str) -> dict[str, int] | None:
        """Counts the events.

        Args:
            what: True counts from now on, False no more; ``"get"`` gives the counts.

        Returns:
            for ``"get"`` the kinds of events with their counts, None where nothing is counted.

        Raises:
            ValueError: it is none of these.
        """
        if isinstance(what, str) and what == "get":
            return self._statistics()
        self._check()
        if not isinstance(what, bool):
            raise ValueError(f"statistics takes a bool or 'get', not {what!r}")
        self._life.debug.statistics(what)
        return None

    def log_to_file(self, path: str | PathLike[str] | bool) -> None:
        """Writes the events to a file, in threads of the reactor, or no more (False).

        A file that cannot be written any more later is one line in the log, and no more is written.

        Raises:
            OSError: it cannot be opened; a file from before goes on being written.
            ValueError: it is neither a path nor False.
        """
        self._check()
        if path is False:
            self._life.debug.log_to_file(None)
        elif isinstance(path, (str, PathLike)):
            self._life.debug.log_to_file(path)
        else:
            raise ValueError(f"log_to_file takes a path or False, not {path!r}")

    # The end

    def terminate(self, reason: Any) -> Deferred[Any]:
        """Ends the client with this reason, after close frame 1001 and ``terminate``.

        Returns:
            a Deferred of the end, with its reason. It fails with TypeError where the reason is a
            Deferred.
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
