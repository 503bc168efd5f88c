"""Supervisors: services that start children in order, restart them, and stop them in reverse.

The semantics are those of OTP's ``supervisor`` (its documentation, "Supervisor Behaviour"), with
Twisted's services around it and two additions: restarts wait for a child's ``Backoff``, and
``auto_shutdown`` ends a supervisor whose children have all ended for good.

What concerns several children at once runs under one lock, one after another, as in OTP: the start,
a stop, the requests, and restarts that take siblings along. A restart of one child alone needs no
lock, so that one whose server is slow does not hold up the others.

The module is long because a supervisor is one state with four sides, each a section below: the
service, the requests, what starts and stops a child, and what a child's end leads to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final, Protocol, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredLock, fail, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from zope.interface import implementer

from wsx._intensity import Intensity
from wsx._waiters import Waiters
from wsx.child import ChildSpec, IClientParent, check_fields
from wsx.client import Client, make_client
from wsx.errors import (
    ChildError,
    ConnError,
    HandshakeError,
    MaxRestartsExceeded,
    RequestError,
    as_exception,
    describe,
    shorten,
)
from wsx.frames import Shutdown, is_normal

__all__ = ["Supervisor"]

T = TypeVar("T")

_log = Logger("wsx")

STRATEGIES: Final = ("one_for_one", "one_for_all", "rest_for_one")
AUTO_SHUTDOWNS: Final = ("never", "all")


class Running(Protocol):
    """What a started child can do: a client, or a Supervisor."""

    def terminated(self) -> Deferred[Any]:
        """Gives a Deferred of the reason with which it ends."""

    def stop(self) -> Deferred[Any]:
        """Ends it; gives a Deferred of the end."""

    def abort(self) -> object:
        """Ends it at once, whatever it waits for."""


class _Child:
    """One child of a supervisor.

    Attributes:
        running: what was started, while it runs.
        born: the same, already while it starts, where the supervisor knows it then.
        starting: the Deferred of a start that is under way.
        wanted: it runs, or is to run: False once it has ended for good or was stopped.
    """

    __slots__ = ("born", "running", "spec", "starting", "wanted")

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.running: Running | None = None
        self.born: Running | None = None
        self.starting: Deferred[Any] | None = None
        self.wanted = False


class _Wait:
    """Children that are started together, once a Backoff's delay is over."""

    __slots__ = ("members", "timer")

    def __init__(self, members: list[_Child]) -> None:
        self.members = members
        self.timer: IDelayedCall | None = None


@implementer(IClientParent)
class Supervisor(Service):
    """Starts, restarts and stops children.

    Args:
        children: :class:`ChildSpec` objects and other supervisors, in the order of starting.
        strategy: which children are restarted when one is: ``"one_for_one"`` that one,
            ``"one_for_all"`` all of them, ``"rest_for_one"`` that one and those after it.
        max_restarts: with more restarts than this...
        max_seconds: ...within so many seconds, all children are stopped and the supervisor ends.
            The time that restarts wait for a Backoff does not count.
        id: names it among the children of another supervisor; the class's qualified name by
            default.
        restart, shutdown: as in :class:`ChildSpec`, for the supervisor above.
        auto_shutdown: ``"all"`` ends it once every child has ended for good, with the reason of
            the first (of those that were not added by requests) that ended abnormally, else of the
            last.
        reactor: for time; by default the children's.

    Raises:
        ValueError: an argument is out of range, or two children have one id.
        TypeError: a child is neither a ChildSpec nor a Supervisor.
    """

    def __init__(
        self,
        children: Iterable[ChildSpec | Supervisor],
        strategy: str = "one_for_one",
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        id: Any = None,
        restart: str = "permanent",
        shutdown: float = 5.0,
        *,
        auto_shutdown: str = "never",
        reactor: Any = None,
    ) -> None:
        check_fields(restart=restart, shutdown=shutdown)
        if auto_shutdown not in AUTO_SHUTDOWNS:
            raise ValueError(f"auto_shutdown is one of {', '.join(AUTO_SHUTDOWNS)}")
        self.id = type(self).__qualname__ if id is None else id
        self._restart = restart
        self._shutdown = shutdown
        self._auto_shutdown = auto_shutdown
        self._specs = _check_children(children)
        if reactor is None:
            given = (spec.reactor for spec in self._specs if spec.reactor is not None)
            reactor = next(given, None)
        self._given_reactor = reactor
        self.configure(strategy, max_restarts, max_seconds)
        self._children: list[_Child] = []
        self._waits: list[_Wait] = []
        self._lock = DeferredLock()
        self._now_starting: _Child | None = None  # its ``start`` is on the stack
        self._is_up = False
        self._ending = False  # by a stop, or because it gives up
        self._over = False
        self._reason: object = None
        self._ends: dict[Any, object] = {}  # why children ended for good, by id
        self._changing = 0  # changes of the children that are under way
        self._up: Waiters[Supervisor] = Waiters()
        self._terminated: Waiters[object] = Waiters()

    def __repr__(self) -> str:
        counts = self.count_children()
        kind = f"{type(self).__module__.partition('.')[0]}.{type(self).__qualname__}"
        return f"<{kind} {shorten(self.id)} {counts['active']} of {counts['specs']} up>"

    def configure(self, strategy: str, max_restarts: int, max_seconds: float) -> None:
        """Changes these arguments, also while it runs; restarts so far are forgotten.

        Raises:
            ValueError: one is out of range.
        """
        if strategy not in STRATEGIES:
            raise ValueError(f"strategy is one of {', '.join(STRATEGIES)}, not {strategy!r}")
        self._strategy = strategy
        self._intensity = Intensity(max_restarts, max_seconds)

    # As a service, and as a child of another supervisor

    def startService(self) -> None:
        """Starts the children in order, each after the one before is up.

        One whose first start fails stops the others and ends the supervisor. After a stop this
        begins anew, with the children of the constructor, once all is down.
        """
        if self.running and not self._over:
            return
        super().startService()
        self._over = False
        self._intensity.forget()
        self._locked(self._begin)

    def stopService(self) -> Deferred[Any]:
        """Stops the children one after another in reverse order, each within its ``shutdown``.

        Returns:
            a Deferred that fires when all is down.
        """
        super().stopService()
        return self._end(Shutdown(), stopped=True)

    def stop(self) -> Deferred[Any]:
        """The same as :meth:`stopService`, under the name that clients have for it."""
        return self.stopService()

    def abort(self) -> None:
        """Cuts off all children, whatever they wait for."""
        self.stopService()
        for child in reversed(self._children):
            if child.born is not None:
                child.born.abort()

    def when_up(self) -> Deferred[Supervisor]:
        """Gives a Deferred of this supervisor, once all children have been started.

        It fails with the reason (:class:`ClientEnded`, where that is no exception) once the
        supervisor has ended.
        """
        if self._over:
            return fail(as_exception(self._reason))
        return succeed(self) if self._is_up else self._up.add()

    def terminated(self) -> Deferred[object]:
        """Gives a Deferred of the reason with which the supervisor ends; never an errback.

        That is :class:`Shutdown` where it was stopped, :class:`MaxRestartsExceeded` where it gave
        up, and the failure of a child's first start.
        """
        return succeed(self._reason) if self._over else self._terminated.add()

    def child_spec(self) -> ChildSpec:
        """Gives the specification of this supervisor, as a child of another."""

        def start(parent: Supervisor) -> Deferred[Supervisor]:
            parent.born(self)
            self.startService()
            return self.when_up()

        return ChildSpec(
            self.id, start, self._restart, self._shutdown, "supervisor", None, self._given_reactor
        )

    # Requests

    def start_child(self, spec: ChildSpec | Supervisor) -> Deferred[Any]:
        """Adds a child and starts it.

        Returns:
            a Deferred of the child. It fails with :class:`ChildError` where the id is taken or the
            supervisor is not running, and as the start does; then there is no such child.
        """

        async def add() -> Any:
            new = _check_children([spec])[0]
            if any(child.spec.id == new.id for child in self._children):
                raise ChildError(new.id, "another child has this id")
            child = _Child(new)
            self._children.append(child)
            try:
                return await self._start(child)
            except Exception:
                self._drop(child)
                raise

        return self._request(add)

    def terminate_child(self, id: Any) -> Deferred[None]:
        """Stops a child, which stays listed unless it is temporary, and is not restarted.

        Returns:
            a Deferred of None. It fails with :class:`ChildError` where there is no such child.
        """

        async def terminate() -> None:
            await self._stop(self._find(id))

        return self._request(terminate)

    def restart_child(self, id: Any) -> Deferred[Any]:
        """Starts a child again that has ended or was stopped.

        Returns:
            a Deferred of the child. It fails with :class:`ChildError` where there is no such child
            or it runs, and as the start does; then the child stays down.
        """

        async def restart() -> Any:
            child = self._find(id)
            _check_down(child)
            try:
                return await self._start(child)
            except Exception:
                child.wanted = False
                raise

        return self._request(restart)

    def delete_child(self, id: Any) -> Deferred[None]:
        """Forgets a child that has ended or was stopped.

        Returns:
            a Deferred of None. It fails with :class:`ChildError` where there is no such child or
            it runs.
        """

        async def delete() -> None:
            child = self._find(id)
            _check_down(child)
            self._drop(child)

        return self._request(delete)

    def which_children(self) -> list[tuple[Any, Any, str]]:
        """Gives id, child and type of each child, in order; the child is None unless it runs."""
        return [(child.spec.id, child.running, child.spec.type) for child in self._children]

    def count_children(self) -> dict[str, int]:
        """Gives how many ``specs`` there are, ``active`` children, ``supervisors``, ``workers``."""
        types = [child.spec.type for child in self._children]
        return {
            "specs": len(types),
            "active": sum(child.running is not None for child in self._children),
            "supervisors": types.count("supervisor"),
            "workers": types.count("worker"),
        }

    def _request(self, action: Callable[[], Coroutine[Any, Any, T]]) -> Deferred[T]:
        """Has something done once what is under way is over."""

        async def checked() -> T:
            if not self._is_up or self._ending:
                raise ChildError(self.id, "the supervisor is not running")
            return await action()

        return _shielded(self._lock.run(lambda: Deferred.fromCoroutine(checked())))

    def _find(self, id: Any) -> _Child:
        for child in self._children:
            if child.spec.id == id:
                return child
        raise ChildError(id, "there is no such child")

    def change_children(
        self, children: Iterable[ChildSpec | Supervisor]
    ) -> Deferred[dict[Any, Exception]]:
        """Has other children from now on: stops those that are not among them, starts new ones.

        Children whose specifications are among them go on undisturbed, also in being down; those
        that were linked stay too. The supervisor does not shut itself down meanwhile (see
        ``auto_shutdown``).

        Args:
            children: as for the constructor; a specification that is equal is the same child.

        Returns:
            a Deferred of the failures of those that could not be started, by id; they are not
            among the children then. It fails with :class:`ChildError` where the supervisor is not
            running.

        Raises:
            ChildError, TypeError: as the constructor.
        """
        specs = _check_children(children)
        for child in self._children:
            if child.starting is not None and child.spec not in specs:
                self._run(self._stop(child))  # or the lock would wait for it
        self._changing += 1
        return self._request(lambda: self._change(specs)).addBoth(self._changed)

    async def _change(self, specs: list[ChildSpec]) -> dict[Any, Exception]:
        failures: dict[Any, Exception] = {}
        linked = [child for child in self._children if child.spec.start is _linked]
        present = {child.spec.id: child for child in self._children if child.spec in specs}
        for child in reversed(self._children):
            if child not in linked and child.spec.id not in present:
                await self._stop(child)
                self._drop(child)
        new = {spec.id: _Child(spec) for spec in specs if spec not in self._specs}
        kept = {spec.id for spec in specs if spec in self._specs}
        self._specs = specs
        self._ends = {id: reason for id, reason in self._ends.items() if id in kept}
        if self._ending:
            return failures
        present |= new
        self._children = [present[spec.id] for spec in specs if spec.id in present] + linked
        for child in new.values():
            try:
                await self._start(child)
            except Exception as error:
                failures[child.spec.id] = error
                self._drop(child)
            if self._ending:
                break
        return failures

    def _changed(self, outcome: T) -> T:
        self._changing -= 1
        self._shut_down_if_done()
        return outcome

    # Clients below it (IClientParent)

    def start_client(
        self, conn_or_url: Any, handler: Any, state: Any, options: dict[str, Any]
    ) -> Deferred[Client[Any]]:
        """Starts a client for the child that is being started, or as a new temporary child.

        Returns:
            the Deferred of :func:`wsx.start`.

        Raises:
            URLError, ValueError, TypeError, AlreadyStartedError: an argument is wrong.
            ChildError: the supervisor ends.
        """
        client = make_client(conn_or_url, handler, state, options)
        if self._now_starting is None:
            return self._adopt(client)
        self.born(client)
        return client.begin()

    def born(self, running: Running) -> None:
        """Tells what the child that is being started will be, so that a stop can stop it."""
        if self._now_starting is not None:
            self._now_starting.born = running

    def _adopt(self, client: Client[Any]) -> Deferred[Client[Any]]:
        """Takes a client as a temporary child."""
        if self._ending or self._over:
            raise ChildError(client, "the supervisor ends")
        spec = ChildSpec(client, _linked, "temporary")
        child = _Child(spec)
        child.wanted, child.running, child.born = True, client, client
        self._children.append(child)
        try:
            started = client.begin()
        except Exception:
            self._drop(child)
            raise
        client.terminated().addCallback(self._ended, child, client)
        return started

    # Starting and stopping children

    async def _begin(self) -> None:
        if not self.running:
            return
        linked = [child for child in self._children if child.running is not None]
        new = [_Child(spec) for spec in self._specs]
        self._children = linked + new
        self._ends.clear()
        for child in new:
            child.wanted = True
        for child in new:
            try:
                await self._start(child)
            except Exception as error:
                if child.wanted and not self._ending:  # or it was stopped meanwhile
                    self._log_failed_start(child, error)
                    self._end(error)
            if self._ending:
                return
        self._is_up = True
        self._up.succeed(self)

    async def _start(self, child: _Child) -> Any:
        """Starts a child; gives it."""
        child.wanted = True
        self._ends.pop(child.spec.id, None)
        self._now_starting = child
        try:
            child.starting = maybeDeferred(child.spec.start, self)
        finally:
            self._now_starting = None
        try:
            running = await child.starting
        except BaseException:
            child.born = None
            raise
        finally:
            child.starting = None
        child.running = child.born = running
        running.terminated().addCallback(self._ended, child, running)
        return running

    async def _stop(self, child: _Child) -> None:
        """Stops a child, in whatever state, within its ``shutdown``."""
        child.wanted = False
        self._wait_no_more(child)
        target, child.running = child.born, None
        if target is not None:
            await self._stop_in_time(target, child.spec.shutdown)
        elif child.starting is not None:
            child.starting.cancel()
        if child.spec.restart == "temporary":
            self._drop(child)

    async def _stop_in_time(self, target: Running, seconds: float) -> None:
        stopped = target.stop()
        limit = None
        if seconds < math.inf and not stopped.called:
            limit = self._reactor.callLater(seconds, target.abort)
        await stopped
        if limit is not None and limit.active():
            limit.cancel()

    async def _stop_all(self, children: Iterable[_Child]) -> None:
        for child in reversed(list(children)):
            await self._stop(child)

    def _drop(self, child: _Child) -> None:
        self._wait_no_more(child)
        self._intensity.forget(child)
        if child in self._children:
            self._children.remove(child)

    # When a child ends

    def _ended(self, reason: object, child: _Child, running: Running) -> None:
        """A child ended, by itself or because it was stopped."""
        if child.born is running:
            child.born = None
        if child.running is not running:
            return  # it was stopped
        child.running = None
        if self._ending or not self.running:
            return
        if self._is_to_restart(child, reason, running):
            self._restart_soon(child, reason)
        else:
            self._ended_for_good(child, reason)

    def _is_to_restart(self, child: _Child, reason: object, running: Running) -> bool:
        if child.spec.restart == "transient":
            # A policy that has had enough (a 401, say) would only have had enough again.
            return not is_normal(reason) and not getattr(running, "gave_up", False)
        return child.spec.restart == "permanent"

    def _ended_for_good(self, child: _Child, reason: object) -> None:
        child.wanted = False
        if child.spec.restart == "temporary":
            self._drop(child)
        if child.spec in self._specs:  # of those that were added at run time none is remembered
            self._ends[child.spec.id] = reason
        self._shut_down_if_done()

    def _shut_down_if_done(self) -> None:
        """Ends the supervisor where that was asked for, and every child has ended for good."""
        busy = self._changing or any(child.wanted for child in self._children)
        if self._auto_shutdown == "all" and self._ends and not (busy or self._ending):
            ends = list(self._ends.values())
            self._end(next((end for end in ends if not is_normal(end)), ends[-1]))

    def _restart_soon(self, child: _Child, reason: object) -> None:
        """Counts a restart, and makes it once the child's Backoff says so."""
        restarts = self._intensity.add(child, self._reactor.seconds())
        if restarts is None:
            self._end(self._intensity.exceeded(reason))
            return
        delay = _delay(child.spec, restarts)
        self._intensity.pause(child, delay)
        _log.info(
            "{supervisor}: child {child} ended ({reason}); restart {n} in {delay:.1f} s",
            supervisor=shorten(self.id),
            child=shorten(child.spec.id),
            reason=describe(reason),
            n=restarts,
            delay=delay,
        )
        if self._strategy == "one_for_one":
            self._wait(delay, [child])
        else:
            self._locked(lambda: self._stop_siblings(child, delay))

    async def _stop_siblings(self, child: _Child, delay: float) -> None:
        """Stops those who are to be restarted with a child, and has them all wait."""
        if self._ending or not child.wanted or child.running is not None:
            return  # meanwhile everything ends, or it was stopped, or restarted with others
        first = 0 if self._strategy == "one_for_all" else self._children.index(child)
        members = self._children[first:]
        waiting = [delay]
        for wait in [wait for wait in self._waits if set(wait.members) & set(members)]:
            if wait.timer is not None:
                waiting.append(wait.timer.getTime() - self._reactor.seconds())
        await self._stop_all(member for member in members if member is not child)
        self._wait_no_more(child)
        if not self._ending:
            self._wait(max(waiting), [member for member in members if member in self._children])

    def _wait(self, delay: float, members: list[_Child]) -> None:
        for member in members:
            member.wanted = True
        wait = _Wait(members)
        wait.timer = self._reactor.callLater(delay, self._is_due, wait)
        self._waits.append(wait)

    def _wait_no_more(self, child: _Child) -> None:
        """Takes a child out of those that wait; where it was the last, nobody does."""
        for wait in list(self._waits):
            if child in wait.members:
                wait.members.remove(child)
            if not wait.members:
                self._waits.remove(wait)
                if wait.timer is not None and wait.timer.active():
                    wait.timer.cancel()

    def _is_due(self, wait: _Wait) -> None:
        if self._strategy == "one_for_one":
            self._run(self._start_again(wait))
        else:
            self._locked(lambda: self._start_again(wait))

    async def _start_again(self, wait: _Wait) -> None:
        """Starts those who waited; a start that fails counts as another restart."""
        if wait not in self._waits:
            return  # another restart took them along meanwhile, or a stop
        self._waits.remove(wait)
        for child in wait.members:
            try:
                await self._start(child)
            except Exception as error:
                if self._ending:
                    return
                if child.wanted:  # or it was stopped meanwhile
                    self._log_failed_start(child, error)
                    self._restart_soon(child, error)
                    return
            if self._ending:
                return

    def _log_failed_start(self, child: _Child, error: Exception) -> None:
        what = "{supervisor}: child {child} could not be started: {reason}"
        of_the_network = isinstance(error, (ConnError, RequestError, HandshakeError))
        log = _log.error if of_the_network else _log.failure  # else a traceback may help
        log(
            what,
            supervisor=shorten(self.id),
            child=shorten(child.spec.id),
            reason=describe(error),
        )

    # The end

    def _end(self, reason: object, stopped: bool = False) -> Deferred[Any]:
        """Stops everything; gives a Deferred that fires when all is down.

        Args:
            reason: why.
            stopped: by ``stopService``: should it be started again meanwhile, that was not the end.
        """
        if self._over:
            return succeed(None)
        self._ending = True
        self._is_up = False
        for wait in self._waits:
            if wait.timer is not None and wait.timer.active():
                wait.timer.cancel()
        self._waits.clear()
        for child in self._children:  # or the lock would wait for them
            if child.starting is not None:
                self._run(self._stop(child))
        return self._locked(lambda: self._finish(reason, stopped))

    async def _finish(self, reason: object, stopped: bool) -> None:
        if self._over:
            return
        await self._stop_all(self._children)
        self._ending = False
        if stopped and self.running:
            return  # it was started again meanwhile
        self._over = True
        self._reason = reason
        if isinstance(reason, MaxRestartsExceeded):
            _log.error("{id}: giving up: {reason}", id=shorten(self.id), reason=reason)
        self._tell_end(reason)

    def _tell_end(self, reason: object) -> None:
        self._up.fail(as_exception(reason))
        self._terminated.succeed(reason)

    # Small things

    def _locked(self, action: Callable[[], Coroutine[Any, Any, Any]]) -> Deferred[Any]:
        done = self._lock.run(lambda: Deferred.fromCoroutine(action()))
        return _shielded(done.addErrback(_log_failure))

    def _run(self, action: Coroutine[Any, Any, Any]) -> None:
        Deferred.fromCoroutine(action).addErrback(_log_failure)

    @property
    def _reactor(self) -> Any:
        if self._given_reactor is None:
            from twisted.internet import reactor

            self._given_reactor = reactor
        return self._given_reactor


def _check_children(children: Iterable[ChildSpec | Supervisor]) -> list[ChildSpec]:
    specs: list[ChildSpec] = []
    for child in children:
        spec = child.child_spec() if isinstance(child, Supervisor) else child
        if not isinstance(spec, ChildSpec):
            raise TypeError(f"a child is a ChildSpec or a Supervisor, not {child!r}")
        if any(spec.id == other.id for other in specs):
            raise ChildError(spec.id, "another child has this id")
        specs.append(spec)
    return specs


def _linked(_: Any) -> Deferred[Any]:
    """The ``start`` of a child that was linked: nobody can start it again."""
    return fail(ChildError("a linked client", "it cannot be started again"))


def _check_down(child: _Child) -> None:
    if child.wanted:
        raise ChildError(child.spec.id, "it runs, or is about to")


def _delay(spec: ChildSpec, restarts: int) -> float:
    if spec.backoff is None:
        return 0.0
    delay = spec.backoff(restarts)
    return spec.backoff.maximum if delay is None else delay


def _shielded(deferred: Deferred[T]) -> Deferred[T]:
    """Gives a Deferred that may be cancelled without harm to the work that fires it."""
    shown: Deferred[T] = Deferred()
    deferred.chainDeferred(shown)
    return shown


def _log_failure(failure: Any) -> None:
    _log.failure("a supervisor failed", failure)
