"""Supervisors: services that start children in order, restart them, and stop them in reverse order.

The behaviour is that of OTP's ``supervisor`` ("Supervisor Behaviour" in its documentation), with
two additions: restarts wait for the ``Backoff`` of a child, and ``auto_shutdown`` ends a supervisor
when all of its children have ended and are not restarted.

Operations on several children are jobs, which run one after another, as in OTP: the first start, a
stop, the requests, and restarts that include siblings. The restart of a single child is not a job,
because other restarts must not wait if its server is slow.

This module is longer than 500 lines because it contains the documentation of the public methods.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from twisted.application.service import IServiceCollection, Service
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from zope.interface import implementer

from wsx._deferreds import Waiters
from wsx._supervision.child import Child, Running
from wsx._supervision.children import Children
from wsx._supervision.jobs import Job, JobQueue
from wsx._supervision.log import SupervisorLog
from wsx._supervision.restarts import Restarts
from wsx._text import expected, shorten
from wsx.backoff import Backoff
from wsx.child import ChildSpec, IClientParent, check_fields
from wsx.client import Client, make_client
from wsx.errors import ChildError, as_exception
from wsx.option_types import AutoShutdown, Restart, Strategy
from wsx.reasons import Shutdown, is_normal

__all__ = ["Supervisor"]

T = TypeVar("T")

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
        strategy: Which children are restarted when one has ended: ``"one_for_one"`` (default) that
            child, ``"one_for_all"`` all children, ``"rest_for_one"`` that child and those after it.
        max_restarts: The number of restarts that are allowed within ``max_seconds``. After one
            more, all children are stopped and the supervisor ends. Default 3.
        max_seconds: The period in seconds, not counting the time in which a restart waits for its
            ``Backoff``. Default 5.
        id: The id of this supervisor, in the log and as a child of another supervisor. Default: the
            qualified name of the class.
        restart: As in :class:`ChildSpec`, for the supervisor above. Default ``"permanent"``.
        shutdown: As in :class:`ChildSpec`, for the supervisor above. Default 5 seconds.
        backoff: As in :class:`ChildSpec`, for the supervisor above. Default None.
        auto_shutdown: ``"never"`` (default), or ``"all"`` to end the supervisor when every child
            has ended and is not restarted. The reason is then that of the first child that ended
            abnormally, or else of the last child. Children added by requests do not count.
        reactor: The reactor for the time. Default: that of the first child that has one, or else
            the global one.

    Raises:
        ValueError: An argument is out of range, or two children have the same id.
        TypeError: A child is neither a ChildSpec nor a Supervisor.
    """

    def __init__(
        self,
        children: Iterable[ChildSpec | Supervisor],
        strategy: Strategy = "one_for_one",
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        id: Any = None,
        restart: Restart = "permanent",
        shutdown: float = 5.0,
        *,
        backoff: Backoff | None = None,
        auto_shutdown: AutoShutdown = "never",
        reactor: Any = None,
    ) -> None:
        check_fields(restart=restart, shutdown=shutdown, backoff=backoff)
        if auto_shutdown not in AUTO_SHUTDOWNS:
            raise ValueError(expected("auto_shutdown", '"never" or "all"', auto_shutdown))
        self.id: Any = type(self).__qualname__ if id is None else id
        self._restart = restart
        self._shutdown = shutdown
        self._backoff = backoff
        self._auto_shutdown = auto_shutdown
        self._specs = _checked_specs(children)
        if reactor is None:
            reactor = next((s.reactor for s in self._specs if s.reactor is not None), None)
        self._log = SupervisorLog(self.id)
        self._jobs = JobQueue(self._log.internal_error)
        self._children = Children(self, self._child_ended, reactor)
        self._restarts = Restarts(
            self._children, self._jobs, self._log, lambda: self._is_ending, self._give_up
        )
        self.configure(strategy, max_restarts, max_seconds)
        self._state = _State.NEW
        self._pending_stops = 0
        self._pending_changes = 0
        self._reason: object = None
        self._up: Waiters[Supervisor] = Waiters()
        self._terminated: Waiters[object] = Waiters()

    def __repr__(self) -> str:
        counts = self.count_children()
        kind = f"{type(self).__module__.partition('.')[0]}.{type(self).__qualname__}"
        return f"<{kind} {shorten(self.id)} {counts['active']} of {counts['specs']} up>"

    if TYPE_CHECKING:  # Twisted's method has no annotations, which strict type checkers report.

        def setServiceParent(self, parent: Any) -> None:
            """Set the parent of this service."""

    def configure(self, strategy: Strategy, max_restarts: int, max_seconds: float) -> None:
        """Change the strategy and the restart intensity, and forget the restarts so far.

        The arguments are those of the constructor.

        Raises:
            ValueError: An argument is out of range; nothing has changed then.
        """
        self._restarts.configure(strategy, max_restarts, max_seconds)

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
        if self._has_ended:
            self._state = _State.NEW  # when_up() and terminated() concern this start.
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
        """Stop the supervisor like :meth:`stopService`. Clients have a method ``stop`` too."""
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

        It fails with the reason if the supervisor has ended or ends before that; a reason that is
        not an exception is wrapped in :class:`ClientEnded`.
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
            self._children.given_reactor,
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
            if the id is in use or the supervisor is not running, and with the exception of the
            start if the start fails. In both cases the child is not added.
        """

        async def start() -> Any:
            (checked,) = _checked_specs([spec])
            child = self._children.add(checked)
            try:
                return await self._children.start(child)
            except Exception:
                self._children.remove(child)
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
            child = self._children.find(id)
            self._restarts.cancel(child)
            await self._children.stop(child)

        self._children.cancel_starts(child for child in self._children if child.spec.id == id)
        return self._request(terminate)

    def restart_child(self, id: Any) -> Deferred[Any]:
        """Start a child that has ended or was stopped.

        Args:
            id: The id of the child.

        Returns:
            A Deferred that fires with the client or supervisor. It fails with :class:`ChildError`
            if no child has this id, the child is running or is to be restarted, or the supervisor
            is not running. It fails with the exception of the start if the start fails; the child
            is not restarted after that.
        """

        async def restart() -> Any:
            child = self._children.find_stopped(id)
            try:
                return await self._children.start(child)
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
            self._remove(self._children.find_stopped(id))

        return self._request(delete)

    def child(self, id: Any) -> Any:
        """Return the client or supervisor of a child, or None if the child is not running.

        Args:
            id: The id of the child.

        Raises:
            ChildError: No child has this id.
        """
        return self._children.find(id).running

    def which_children(self) -> list[tuple[Any, Any, str]]:
        """Return the id, the client or supervisor, and the type of each child, in order.

        The client or supervisor is None if the child is not running.
        """
        return self._children.rows()

    def count_children(self) -> dict[str, int]:
        """Return the numbers of ``specs``, ``active`` children, ``supervisors`` and ``workers``."""
        return self._children.counts()

    def change_children(
        self, children: Iterable[ChildSpec | Supervisor]
    ) -> Deferred[dict[Any, Exception]]:
        """Replace the child specifications: stop children that are gone, and start new ones.

        A child whose specification equals one of these is unchanged, even if it has ended. Linked
        clients are kept. ``auto_shutdown`` has no effect until the change is complete.

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
        specs = _checked_specs(children)
        self._children.cancel_starts(c for c in self._children if c.spec not in specs)
        self._pending_changes += 1
        return self._jobs.add(lambda: self._change(specs))

    async def _change(self, specs: list[ChildSpec]) -> dict[Any, Exception]:
        try:
            self._check_up()
            for child in reversed(list(self._children)):
                if child.spec not in specs and not child.is_linked:
                    await self._children.stop(child)
                    self._remove(child)
            return await self._start_new(specs)
        finally:
            self._pending_changes -= 1
            self._shut_down_if_done()

    async def _start_new(self, specs: list[ChildSpec]) -> dict[Any, Exception]:
        new = [s for s in specs if s not in self._specs and self._children.get(s.id) is None]
        old_ids = {spec.id for spec in specs if spec not in new}
        self._specs = specs
        for id in self._children.end_reasons.keys() - old_ids:
            del self._children.end_reasons[id]
        errors: dict[Any, Exception] = {}
        for child in [self._children.add(spec) for spec in new]:
            if not self._is_ending:
                try:
                    await self._children.start(child)
                    continue
                except Exception as error:
                    errors[child.spec.id] = error
            self._children.remove(child)
        self._children.sort(spec.id for spec in specs)
        return errors

    def _remove(self, child: Child) -> None:
        self._restarts.cancel(child)
        self._children.remove(child)

    def _request(self, job: Job[T]) -> Deferred[T]:
        async def checked_job() -> T:
            self._check_up()
            return await job()

        return self._jobs.add(checked_job)

    def _check_up(self) -> None:
        if not self._is_up:
            raise ChildError(self.id, "the supervisor is not running")

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
            TypeError: An argument has the wrong type.
            AlreadyStartedError: The name is in use.
            ChildError: The supervisor is ending or has ended.
        """
        client = make_client(conn_or_url, handler, state, options)
        if self._children.is_start_unannounced:
            started = client.begin()
            self.announce(client)  # Only now: a client that could not begin has nothing to stop.
            return started
        if self._is_ending or self._has_ended:
            raise ChildError(self.id, "the supervisor is not running")
        return self._children.link(client)

    def announce(self, running: Running) -> None:
        """Announce the client or supervisor that a start function is starting.

        If the supervisor is stopped meanwhile, it stops the announced client or supervisor instead
        of cancelling the Deferred of the start function. Call this in the ``start`` function of
        your own child specifications. ``start_link`` calls it for its client.

        Args:
            running: The client or supervisor.
        """
        self._children.announce(running)

    # The ends of children

    def _child_ended(self, child: Child, reason: object) -> None:
        if child.spec.restart == "temporary":
            self._children.remove(child)
        if child.in_group_restart or self._is_ending or not self.running:
            return
        if child.is_restarted_after(reason):
            self._restarts.restart(child, reason)
        else:
            self._child_ended_for_good(child, reason)

    def _child_ended_for_good(self, child: Child, reason: object) -> None:
        child.should_run = False
        if not is_normal(reason):
            self._log.not_restarting(child)
        if child.spec in self._specs:
            self._children.end_reasons[child.spec.id] = reason
        self._shut_down_if_done()

    def _shut_down_if_done(self) -> None:
        reasons = list(self._children.end_reasons.values())
        is_busy = self._pending_changes or any(child.should_run for child in self._children)
        if self._auto_shutdown == "all" and reasons and not (is_busy or self._is_ending):
            self._give_up(next((why for why in reasons if not is_normal(why)), reasons[-1]))

    # The first start, and the end

    async def _start_all(self) -> None:
        was_started = self._state not in (_State.NEW, _State.ENDED)
        if was_started or self._pending_stops:
            return
        self._state = _State.STARTING
        self._restarts.forget_all()
        for child in self._children:
            if child.running is None:  # Clients that were linked before are running.
                self._children.remove(child)
        for child in [self._children.add(spec) for spec in self._specs]:
            try:
                await self._children.start(child)
            except Exception as error:
                if child.should_run and not self._is_ending:  # Otherwise a stop caused the error.
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
        """Stop all children, then end the supervisor with this reason."""
        if not self._is_ending:
            self._state = _State.GIVING_UP
            self._cancel_all_starts()
            self._jobs.add_logged(lambda: self._stop_after_giving_up(reason))

    def _cancel_all_starts(self) -> None:
        self._restarts.cancel_all()
        self._children.cancel_starts(self._children)

    async def _stop_after_giving_up(self, reason: object) -> None:
        await self._children.stop_in_reverse(self._children)
        self._end(reason)

    async def _stop_service(self) -> None:
        await self._children.stop_in_reverse(self._children)
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


def _checked_specs(children: Iterable[ChildSpec | Supervisor]) -> list[ChildSpec]:
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
    return list(specs.values())
