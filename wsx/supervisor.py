"""Supervisors: services that start children in order, restart them, and stop them in reverse order.

The behaviour is that of OTP's ``supervisor`` ("Supervisor Behaviour" in its documentation), with
two additions: restarts wait for the ``Backoff`` of a child, and ``auto_shutdown`` ends a supervisor
whose children have all ended for good.

Whatever concerns several children runs as a job, one job after another, as in OTP: the first start,
a stop, the requests, and restarts that include siblings. A restart of one child alone is not a job:
if its server is slow, the other restarts do not wait for it.

This module is long because the documentation of the public methods is part of it.
"""

from __future__ import annotations

import enum
from collections.abc import Coroutine, Iterable
from typing import Any, Final, TypeVar

from twisted.application.service import IServiceCollection, Service
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from zope.interface import implementer

from wsx._deferreds import Waiters
from wsx._supervision.child import Child, Running, linked_spec
from wsx._supervision.children import Children
from wsx._supervision.intensity import Intensity
from wsx._supervision.jobs import Job, JobQueue
from wsx._supervision.log import SupervisorLog
from wsx._supervision.pending import PendingRestart, PendingRestarts
from wsx._text import expected, shorten
from wsx.backoff import Backoff
from wsx.child import ChildSpec, IClientParent, check_fields
from wsx.client import Client, make_client
from wsx.errors import ChildError, as_exception
from wsx.reasons import Shutdown, is_normal

__all__ = ["Supervisor"]

T = TypeVar("T")

STRATEGIES: Final = ("one_for_one", "one_for_all", "rest_for_one")
AUTO_SHUTDOWNS: Final = ("never", "all")


class _State(enum.Enum):
    NEW = "not started, or stopped in order to be started again"
    STARTING = "the children are being started for the first time"
    UP = "all children have been started"
    GIVING_UP = "the supervisor ends by itself: the children are being stopped"
    ENDED = "the supervisor has ended, by itself or because it was stopped"


@implementer(IClientParent)
class Supervisor(Service):
    """Start, restart and stop children.

    Args:
        children: :class:`ChildSpec` objects and other supervisors, in the order of starting.
        strategy: The children that are restarted when one is: ``"one_for_one"`` (default) that
            child, ``"one_for_all"`` all children, ``"rest_for_one"`` that child and those after it.
        max_restarts: The number of restarts that are allowed within ``max_seconds``. After one
            more, all children are stopped and the supervisor ends. Default 3.
        max_seconds: The period in seconds. While a restart waits for a ``Backoff``, the time does
            not count. Default 5.
        id: The id of this supervisor, in the log and as a child of another one. Default: the
            qualified name of the class.
        restart: As in :class:`ChildSpec`, for the supervisor above. Default ``"permanent"``.
        shutdown: As in :class:`ChildSpec`, for the supervisor above. Default 5 seconds.
        backoff: As in :class:`ChildSpec`, for the supervisor above. Default None.
        auto_shutdown: ``"all"`` ends the supervisor when every child has ended for good. Its reason
            is that of the first child that ended abnormally, or else of the last child; children
            added by requests do not count. Default ``"never"``.
        reactor: The reactor for the time. Default: that of the first child that has one, or else
            the global one.

    Raises:
        ValueError: An argument is out of range, or two children have the same id.
        TypeError: A child is neither a ChildSpec nor a Supervisor.
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
        backoff: Backoff | None = None,
        auto_shutdown: str = "never",
        reactor: Any = None,
    ) -> None:
        check_fields(restart=restart, shutdown=shutdown, backoff=backoff)
        if auto_shutdown not in AUTO_SHUTDOWNS:
            raise ValueError(expected("auto_shutdown", '"never" or "all"', auto_shutdown))
        self.id = type(self).__qualname__ if id is None else id
        self._restart = restart
        self._shutdown = shutdown
        self._backoff = backoff
        self._auto_shutdown = auto_shutdown
        self._given_reactor = reactor
        self._specs = self._checked_specs(children)
        self._intensity = Intensity(max_restarts, max_seconds)
        self.configure(strategy, max_restarts, max_seconds)
        self._log = SupervisorLog(self.id)
        self._jobs = JobQueue(self._log.internal_error)
        self._children = Children()
        self._pending = PendingRestarts(self._intensity, self._restart_is_due)
        self._child_in_start: Child | None = None  # The child whose start function is running.
        self._state = _State.NEW
        self._pending_stops = 0
        self._pending_changes = 0
        self._end_reasons: dict[Any, object] = {}  # of the children that ended for good, by id
        self._reason: object = None
        self._up: Waiters[Supervisor] = Waiters()
        self._terminated: Waiters[object] = Waiters()

    def __repr__(self) -> str:
        counts = self.count_children()
        kind = f"{type(self).__module__.partition('.')[0]}.{type(self).__qualname__}"
        return f"<{kind} {shorten(self.id)} {counts['active']} of {counts['specs']} up>"

    def configure(self, strategy: str, max_restarts: int, max_seconds: float) -> None:
        """Change the strategy and the restart intensity, and forget the restarts so far.

        The arguments are those of the constructor.

        Raises:
            ValueError: An argument is out of range; nothing has changed then.
        """
        if strategy not in STRATEGIES:
            any_strategy = '"one_for_one", "one_for_all" or "rest_for_one"'
            raise ValueError(expected("strategy", any_strategy, strategy))
        self._intensity.configure(max_restarts, max_seconds)
        self._strategy = strategy

    # The service, which may be a child of another supervisor

    def startService(self) -> None:
        """Start the children in order, each one after the previous one is up.

        If the first start of a child fails, the others are stopped and the supervisor ends. After a
        stop, the supervisor starts again with the children of the constructor, once everything has
        stopped.
        """
        if self.running and self._state is not _State.ENDED:
            return
        super().startService()
        self._jobs.add_logged(self._start_all)

    def stopService(self) -> Deferred[Any]:
        """Stop the children one after another in reverse order, each within its ``shutdown``.

        Returns:
            A Deferred that fires when everything has stopped.
        """
        super().stopService()
        self._pending_stops += 1
        self._cancel_all_starts()
        return self._jobs.add(self._stop_service)

    def stop(self) -> Deferred[Any]:
        """Do the same as :meth:`stopService`; clients have a method with this name too."""
        stopped: Deferred[Any] = maybeDeferred(self.stopService)
        # The stopService of a subclass may return anything, so wait for the job queue as well.
        return stopped.addCallback(lambda _: self._jobs.add(_do_nothing))

    def abort(self) -> None:
        """Stop the supervisor, and abort all children without waiting for anything."""
        self.stopService()
        for child in reversed(list(self._children)):
            child.abort()

    def when_up(self) -> Deferred[Supervisor]:
        """Return a Deferred that fires with this supervisor when all children have been started.

        It fails with the reason (as :class:`ClientEnded`, if that is not an exception) if the
        supervisor has ended.
        """
        if self._has_ended:
            return fail(as_exception(self._reason))
        return succeed(self) if self._is_up else self._up.add()

    def terminated(self) -> Deferred[object]:
        """Return a Deferred that fires with the reason when the supervisor has ended.

        The reason is :class:`Shutdown` if it was stopped, :class:`MaxRestartsExceeded` if there
        were too many restarts, or the exception with which the first start of a child failed. With
        ``auto_shutdown`` it may be the reason of a child. The Deferred never fails.
        """
        return succeed(self._reason) if self._has_ended else self._terminated.add()

    def child_spec(self) -> ChildSpec:
        """Return the specification of this supervisor as a child of another."""
        return ChildSpec(
            self.id,
            self._start_below,
            self._restart,
            self._shutdown,
            "supervisor",
            self._backoff,
            self._given_reactor,
        )

    def _start_below(self, parent: Any) -> Deferred[Supervisor]:
        if isinstance(parent, Supervisor):
            parent.announce(self)
        else:
            self.setServiceParent(IServiceCollection(parent))
        self.startService()
        return self.when_up()

    # Requests

    def start_child(self, spec: ChildSpec | Supervisor) -> Deferred[Any]:
        """Add a child and start it.

        Args:
            spec: The specification, or a supervisor.

        Returns:
            A Deferred that fires with the client or supervisor. It fails with :class:`ChildError`
            if the id is taken or the supervisor is not running, and with the exception of the
            start if that fails. The child is not added then.
        """

        async def start() -> Any:
            (checked,) = self._checked_specs([spec])
            child = self._add(checked)
            try:
                return await self._start(child)
            except Exception:
                self._remove(child)
                raise

        return self._request(start)

    def terminate_child(self, id: Any) -> Deferred[None]:
        """Stop a child. It is not restarted, but stays listed unless it is temporary.

        Args:
            id: The id of the child.

        Returns:
            A Deferred that fires with None when the child has stopped. It fails with
            :class:`ChildError` if no child has this id or the supervisor is not running.
        """

        async def terminate() -> None:
            await self._stop(self._children.find(id))

        child = self._children.get(id)
        if child is not None:
            self._cancel_starts([child])
        return self._request(terminate)

    def restart_child(self, id: Any) -> Deferred[Any]:
        """Start a child that has ended or was stopped.

        Args:
            id: The id of the child.

        Returns:
            A Deferred that fires with the client or supervisor. It fails with :class:`ChildError`
            if no child has this id, the child is running or is to be restarted, or the supervisor
            is not running, and with the exception of the start if that fails. The child is not
            restarted then.
        """

        async def restart() -> Any:
            child = self._find_stopped(id)
            try:
                return await self._start(child)
            except Exception:
                child.should_run = False
                raise

        return self._request(restart)

    def delete_child(self, id: Any) -> Deferred[None]:
        """Remove a child that has ended or was stopped.

        Args:
            id: The id of the child.

        Returns:
            A Deferred that fires with None. It fails with :class:`ChildError` if no child has this
            id, the child is running or is to be restarted, or the supervisor is not running.
        """

        async def delete() -> None:
            self._remove(self._find_stopped(id))

        return self._request(delete)

    def child(self, id: Any) -> Any:
        """Return the client or supervisor that is the child with this id, or None.

        It is None unless the child is running.

        Raises:
            ChildError: No child has this id.
        """
        return self._children.find(id).running

    def which_children(self) -> list[tuple[Any, Any, str]]:
        """Return the id, the client or supervisor, and the type of each child, in order.

        The client or supervisor is None unless the child is running.
        """
        return self._children.rows()

    def count_children(self) -> dict[str, int]:
        """Return the numbers of ``specs``, ``active`` children, ``supervisors`` and ``workers``."""
        return self._children.counts()

    def change_children(
        self, children: Iterable[ChildSpec | Supervisor]
    ) -> Deferred[dict[Any, Exception]]:
        """Replace the child specifications: stop children that are gone, and start new ones.

        A child whose specification is equal to one of these is left as it is, also if it has ended.
        Linked clients stay. ``auto_shutdown`` has no effect until the change is complete.

        Args:
            children: As for the constructor.

        Returns:
            A Deferred that fires with the exceptions of the children that could not be started, by
            id. They are not added. It fails with :class:`ChildError` if the supervisor is not
            running.

        Raises:
            ChildError: Two children have the same id.
            TypeError: A child is neither a ChildSpec nor a Supervisor.
        """
        specs = self._checked_specs(children)
        self._cancel_starts(child for child in self._children if child.spec not in specs)
        self._pending_changes += 1
        return self._jobs.add(lambda: self._change(specs))

    async def _change(self, specs: list[ChildSpec]) -> dict[Any, Exception]:
        try:
            self._check_up()
            for child in reversed(list(self._children)):
                if child.spec not in specs and not child.is_linked:
                    await self._stop(child)
                    self._remove(child)
            return await self._start_new(specs)
        finally:
            self._pending_changes -= 1
            self._shut_down_if_done()

    async def _start_new(self, specs: list[ChildSpec]) -> dict[Any, Exception]:
        new = [s for s in specs if s not in self._specs and self._children.get(s.id) is None]
        old_ids = {spec.id for spec in specs if spec not in new}
        self._specs = specs
        self._end_reasons = {id: why for id, why in self._end_reasons.items() if id in old_ids}
        errors: dict[Any, Exception] = {}
        for child in [self._add(spec) for spec in new]:
            if not self._is_ending:
                try:
                    await self._start(child)
                    continue
                except Exception as error:
                    errors[child.spec.id] = error
            self._remove(child)
        self._children.sort(spec.id for spec in specs)
        return errors

    def _request(self, job: Job[T]) -> Deferred[T]:
        async def checked_job() -> T:
            self._check_up()
            return await job()

        return self._jobs.add(checked_job)

    def _check_up(self) -> None:
        if not self._is_up:
            raise ChildError(self.id, "the supervisor is not running")

    def _find_stopped(self, id: Any) -> Child:
        child = self._children.find(id)
        if child.should_run:
            raise ChildError(id, "the child is running or is to be restarted")
        return child

    # The parent of clients (IClientParent)

    def start_client(
        self, conn_or_url: Any, handler: Any, state: Any, options: dict[str, Any]
    ) -> Deferred[Client[Any]]:
        """Start a client as the child that is being started, or as a new temporary child.

        The arguments are those of :func:`wsx.start`.

        Returns:
            The Deferred of :func:`wsx.start`.

        Raises:
            URLError: The URL is not valid.
            ValueError: An argument is out of range.
            TypeError: An argument has a wrong type.
            AlreadyStartedError: The name is taken.
            ChildError: The supervisor is ending or has ended.
        """
        client = make_client(conn_or_url, handler, state, options)
        if self._child_in_start is None or self._child_in_start.announced is not None:
            return self._link(client)
        started = client.begin()
        self.announce(client)  # Only now: a client that could not begin has nothing to stop.
        return started

    def announce(self, running: Running) -> None:
        """Announce the client or supervisor that a start function is starting.

        A stop then stops it instead of cancelling the Deferred of the start function. Call this in
        the ``start`` of your own child specifications. Clients that are started with ``start_link``
        are announced already.

        Args:
            running: The client or supervisor.
        """
        if self._child_in_start is not None:
            self._child_in_start.announced = running

    def _link(self, client: Client[Any]) -> Deferred[Client[Any]]:
        if self._is_ending or self._has_ended:
            raise ChildError(self.id, "the supervisor is not running")
        child = self._add(linked_spec(client))
        try:
            started = client.begin()
        except Exception:
            self._remove(child)
            raise
        child.attach(client)
        return started

    # Adding, starting, stopping and removing children

    def _checked_specs(self, children: Iterable[ChildSpec | Supervisor]) -> list[ChildSpec]:
        if isinstance(children, (ChildSpec, Supervisor)):
            raise TypeError(expected("children", "a list of ChildSpecs and Supervisors", children))
        specs: dict[Any, ChildSpec] = {}
        for child in children:
            spec = child.child_spec() if isinstance(child, Supervisor) else child
            if not isinstance(spec, ChildSpec):
                raise TypeError(expected("child", "a ChildSpec or a Supervisor", child))
            if spec.id in specs:
                raise ChildError(spec.id, "another child has this id; choose one with id=")
            specs[spec.id] = spec
            self._use_reactor_of(spec)
        return list(specs.values())

    def _add(self, spec: ChildSpec) -> Child:
        self._use_reactor_of(spec)
        child = Child(spec, self._child_ended)
        child.should_run = True
        self._children.add(child)
        return child

    async def _start(self, child: Child) -> Any:
        self._end_reasons.pop(child.spec.id, None)
        running = await child.start(lambda: self._call_start(child), self._reactor)
        linked = self._children.get(running)
        if linked is not None and linked.is_linked:
            # The start function linked its client after it had returned, so that it was not
            # known for which child. Now it is this child.
            self._remove(linked)
        return running

    def _call_start(self, child: Child) -> Deferred[Any]:
        before, self._child_in_start = self._child_in_start, child
        try:
            return child.spec.start(self)
        finally:
            self._child_in_start = before

    async def _stop(self, child: Child) -> None:
        self._pending.discard(child)
        await child.stop(self._reactor)
        if child.spec.restart == "temporary":
            self._remove(child)

    async def _stop_in_reverse(self, children: Iterable[Child]) -> None:
        for child in reversed(list(children)):
            await self._stop(child)

    def _remove(self, child: Child) -> None:
        child.should_run = False
        self._pending.discard(child)
        self._intensity.forget(child)
        self._children.remove(child)

    def _cancel_starts(self, children: Iterable[Child]) -> None:
        # The job that is running may wait for these starts, and so would the jobs after it.
        for child in children:
            if child.is_starting:
                child.cancel_start(self._reactor)

    @property
    def _reactor(self) -> Any:
        if self._given_reactor is None:
            from twisted.internet import reactor

            self._given_reactor = reactor
        return self._given_reactor

    def _use_reactor_of(self, spec: ChildSpec) -> None:
        if self._given_reactor is None:
            self._given_reactor = spec.reactor

    # Restarts

    def _child_ended(self, child: Child, reason: object) -> None:
        if child.spec.restart == "temporary":
            self._remove(child)
        if child.in_group_restart or self._is_ending or not self.running:
            return
        if child.is_restarted_after(reason):
            self._restart_child(child, reason)
        else:
            self._child_ended_for_good(child, reason)

    def _child_ended_for_good(self, child: Child, reason: object) -> None:
        child.should_run = False
        if not is_normal(reason):
            self._log.not_restarting(child)
        if child.spec in self._specs:
            self._end_reasons[child.spec.id] = reason
        self._shut_down_if_done()

    def _shut_down_if_done(self) -> None:
        is_busy = self._pending_changes or any(child.should_run for child in self._children)
        if self._auto_shutdown == "all" and self._end_reasons and not (is_busy or self._is_ending):
            reasons = list(self._end_reasons.values())
            self._give_up(next((why for why in reasons if not is_normal(why)), reasons[-1]))

    def _restart_child(self, child: Child, reason: object) -> None:
        """Count a restart, and schedule it for the child and the siblings of the strategy."""
        restarts = self._intensity.add(child, self._reactor.seconds())
        if self._intensity.is_exceeded:
            self._log.too_many_restarts(self._intensity)
            self._give_up(self._intensity.error(reason))
            return
        delay = child.restart_delay(restarts)
        group = self._restarted_with(child)
        self._log.restarting(child, len(group) - 1, delay, self._intensity)
        if group == [child]:
            self._schedule(group, {child}, delay)
            return
        for member in group:
            member.in_group_restart = True
        self._jobs.add_logged(lambda: self._restart_group(child, group, delay))

    def _restarted_with(self, child: Child) -> list[Child]:
        """Return the children that the strategy restarts with a child, itself included."""
        if self._strategy == "one_for_one":
            return [child]
        if self._strategy == "one_for_all":
            return list(self._children)
        return self._children.starting_with(child)

    async def _restart_group(self, cause: Child, group: list[Child], delay: float) -> None:
        """Stop the siblings of a child that has ended, then schedule the restart of all."""
        causes, seconds_left = self._pending.take(group)
        causes.add(cause)
        # A request may have terminated the child meanwhile. Its siblings are restarted anyway.
        was_terminated = not cause.should_run
        await self._stop_in_reverse(child for child in group if child is not cause)
        cause.in_group_restart = False
        if not self._is_ending:
            restarted = [child for child in group if child in self._children]
            if was_terminated and cause in restarted:
                restarted.remove(cause)
            self._schedule(restarted, causes & set(restarted), max(delay, seconds_left))

    def _schedule(self, children: list[Child], causes: set[Child], delay: float) -> None:
        for child in children:
            child.should_run = True
        self._pending.add(children, causes, delay, self._reactor)

    def _restart_is_due(self, restart: PendingRestart) -> None:
        if len(restart.children) == 1 and self._strategy == "one_for_one":
            self._run(self._start_again(restart))
        else:
            self._jobs.add_logged(lambda: self._start_again(restart))

    async def _start_again(self, restart: PendingRestart) -> None:
        """Start the children of a restart. A start that fails counts as another restart."""
        children = self._pending.finish(restart)
        while children and not self._is_ending:
            child = children.pop(0)
            try:
                await self._start(child)
            except Exception as error:
                if child.should_run and not self._is_ending:  # Otherwise a stop made it fail.
                    self._log.restart_failed(child, error)
                    self._restart_child(child, error)
                    group = self._restarted_with(child)
                    children = [child for child in children if child not in group]

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        Deferred.fromCoroutine(coroutine).addErrback(self._log.internal_error)

    # The first start, and the end

    async def _start_all(self) -> None:
        was_started = self._state not in (_State.NEW, _State.ENDED)
        if was_started or self._pending_stops or not self.running:
            return
        self._state = _State.STARTING
        self._intensity.clear()
        self._end_reasons.clear()
        for child in self._children:
            if child.running is None:  # Clients that were linked before are running.
                self._remove(child)
        for child in [self._add(spec) for spec in self._specs]:
            try:
                await self._start(child)
            except Exception as error:
                if child.should_run and not self._is_ending:  # Otherwise a stop made it fail.
                    self._log.first_start_failed(child, error)
                    self._give_up(error)
            if self._is_ending:
                return
        self._state = _State.UP
        self._up.succeed(self)

    @property
    def _is_up(self) -> bool:
        return self._state is _State.UP and not self._pending_stops

    @property
    def _is_ending(self) -> bool:
        return self._state is _State.GIVING_UP or self._pending_stops > 0

    @property
    def _has_ended(self) -> bool:
        return self._state is _State.ENDED

    def _give_up(self, reason: object) -> None:
        """Stop all children and end with this reason."""
        if not self._is_ending:
            self._state = _State.GIVING_UP
            self._cancel_all_starts()
            self._jobs.add_logged(lambda: self._stop_after_giving_up(reason))

    def _cancel_all_starts(self) -> None:
        self._pending.clear()
        self._cancel_starts(self._children)

    async def _stop_after_giving_up(self, reason: object) -> None:
        await self._stop_in_reverse(self._children)
        self._end(reason)

    async def _stop_service(self) -> None:
        await self._stop_in_reverse(self._children)
        self._pending_stops -= 1
        if self._has_ended:
            return
        if self.running:  # It was started again meanwhile; that job is waiting.
            self._state = _State.NEW
        else:
            self._end(Shutdown())

    def _end(self, reason: object) -> None:
        self._state = _State.ENDED
        self._reason = reason
        self._notify_end(reason)

    def _notify_end(self, reason: object) -> None:
        self._up.fail(as_exception(reason))
        self._terminated.succeed(reason)


async def _do_nothing() -> None:
    """Do nothing. As a job, it is complete when the jobs before it are."""
