"""Supervisors: services that start children in order, restart them, and stop them in reverse.

The semantics are those of OTP's ``supervisor`` (its documentation, "Supervisor Behaviour"), with
Twisted's services around it and two additions: restarts wait for a child's ``Backoff``, and
``auto_shutdown`` ends a supervisor whose children have all ended for good.

What concerns several children goes onto one agenda and is done one after another, as in OTP: the
start, a stop, the requests, and restarts that take siblings along. A restart of one child alone
does not, so that one whose server is slow does not hold up the others.

The module is long because a supervisor is one state with four sides, each a section below: the
service, the requests, what a child's end leads to, and the agenda.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import Any, Final, TypeVar

from twisted.application.service import IServiceCollection, Service
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.logger import Logger
from zope.interface import implementer

from wsx._deferreds import Waiters
from wsx._supervision.child import Child, Running
from wsx._supervision.children import Children
from wsx._supervision.intensity import Intensity
from wsx._supervision.jobs import Job, JobQueue
from wsx._supervision.pending import PendingRestart, PendingRestarts
from wsx._text import describe, shorten
from wsx.backoff import Backoff
from wsx.child import ChildSpec, IClientParent, check_fields
from wsx.client import Client, make_client
from wsx.errors import (
    ChildError,
    ConnError,
    HandshakeError,
    MaxRestartsExceeded,
    RequestError,
    as_exception,
)
from wsx.reasons import Shutdown, is_normal

__all__ = ["Supervisor"]

T = TypeVar("T")

_log = Logger("wsx")

STRATEGIES: Final = ("one_for_one", "one_for_all", "rest_for_one")
AUTO_SHUTDOWNS: Final = ("never", "all")


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
        restart, shutdown, backoff: as in :class:`ChildSpec`, for the supervisor above.
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
        backoff: Backoff | None = None,
        auto_shutdown: str = "never",
        reactor: Any = None,
    ) -> None:
        check_fields(restart=restart, shutdown=shutdown, backoff=backoff)
        if auto_shutdown not in AUTO_SHUTDOWNS:
            raise ValueError(f"auto_shutdown is one of {', '.join(AUTO_SHUTDOWNS)}")
        self.id = type(self).__qualname__ if id is None else id
        self._restart = restart
        self._shutdown = shutdown
        self._backoff = backoff
        self._auto_shutdown = auto_shutdown
        self._given_reactor = reactor
        self._specs = self._checked(children)
        self._intensity = Intensity(max_restarts, max_seconds)
        self.configure(strategy, max_restarts, max_seconds)
        self._children = Children()
        self._pending = PendingRestarts(self._intensity, self._is_due)
        self._now_starting: Child | None = None  # its ``start`` is on the stack
        self._jobs = JobQueue(_log_failure)
        self._begun = False  # from the start of the first child to the end of the last
        self._is_up = False
        self._stops = 0  # that are asked for and not done
        self._giving_up = False
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
            raise ValueError(f"strategy is one of {', '.join(STRATEGIES)}, not {shorten(strategy)}")
        self._intensity.configure(max_restarts, max_seconds)
        self._strategy = strategy

    # As a service, and as a child of another supervisor

    def startService(self) -> None:
        """Starts the children in order, each after the one before is up.

        One whose first start fails stops the others and ends the supervisor. After a stop this
        begins anew, with the children of the constructor, once all is down.
        """
        if self.running and not self._over:
            return
        super().startService()
        self._jobs.add_logged(self._begin)

    def stopService(self) -> Deferred[Any]:
        """Stops the children one after another in reverse order, each within its ``shutdown``.

        Returns:
            a Deferred that fires when all is down.
        """
        super().stopService()
        self._stops += 1
        self._hold()
        return self._jobs.add(self._stopped)

    def stop(self) -> Deferred[Any]:
        """The same as :meth:`stopService`, under the name that clients have for it."""
        stopped: Deferred[Any] = maybeDeferred(self.stopService)
        # The stopService of a subclass may return anything, so wait for the job queue as well.
        return stopped.addCallback(lambda _: self._jobs.add(_nothing))

    def abort(self) -> None:
        """Stops, and cuts off all children, whatever they wait for."""
        self.stopService()
        for child in reversed(list(self._children)):
            child.abort()

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

        def start(parent: Any) -> Deferred[Supervisor]:
            if isinstance(parent, Supervisor):
                parent.announce(self)
            else:
                self.setServiceParent(IServiceCollection(parent))
            self.startService()
            return self.when_up()

        return ChildSpec(
            self.id,
            start,
            self._restart,
            self._shutdown,
            "supervisor",
            self._backoff,
            self._given_reactor,
        )

    # Requests

    def start_child(self, spec: ChildSpec | Supervisor) -> Deferred[Any]:
        """Adds a child and starts it.

        Returns:
            a Deferred of the child. It fails with :class:`ChildError` where the id is taken or the
            supervisor is not running, and as the start does; then there is no such child.
        """

        async def add() -> Any:
            (new,) = self._checked([spec])
            child = self._add(new)
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
            await self._stop(self._children.find(id))

        self._interrupt(child for child in self._children if child.spec.id == id)
        return self._request(terminate)

    def restart_child(self, id: Any) -> Deferred[Any]:
        """Starts a child again that has ended or was stopped.

        Returns:
            a Deferred of the child. It fails with :class:`ChildError` where there is no such child
            or it runs, and as the start does; then the child stays down.
        """

        async def restart() -> Any:
            child = self._children.find(id)
            _check_unwanted(child)
            try:
                return await self._start(child)
            except Exception:
                child.should_run = False
                raise

        return self._request(restart)

    def delete_child(self, id: Any) -> Deferred[None]:
        """Forgets a child that has ended or was stopped.

        Returns:
            a Deferred of None. It fails with :class:`ChildError` where there is no such child or
            it runs.
        """

        async def delete() -> None:
            child = self._children.find(id)
            _check_unwanted(child)
            self._drop(child)

        return self._request(delete)

    def child(self, id: Any) -> Any:
        """Gives the client or supervisor that is this child, None while it does not run.

        Raises:
            ChildError: there is no such child.
        """
        return self._children.find(id).running

    def which_children(self) -> list[tuple[Any, Any, str]]:
        """Gives id, child and type of each child, in order; the child is None unless it runs."""
        return self._children.rows()

    def count_children(self) -> dict[str, int]:
        """Gives how many ``specs`` there are, ``active`` children, ``supervisors``, ``workers``."""
        return self._children.counts()

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
        specs = self._checked(children)
        self._interrupt(child for child in self._children if child.spec not in specs)
        self._changing += 1
        return self._request(lambda: self._change(specs)).addBoth(self._changed)

    async def _change(self, specs: list[ChildSpec]) -> dict[Any, Exception]:
        for child in reversed(list(self._children)):
            if child.spec not in specs and not _is_linked(child):
                await self._stop(child)
                self._drop(child)
        new = [s for s in specs if s not in self._specs and self._children.get(s.id) is None]
        kept = {spec.id for spec in specs if spec not in new}
        self._specs = specs
        self._ends = {id: reason for id, reason in self._ends.items() if id in kept}
        failures: dict[Any, Exception] = {}
        for child in [self._add(spec) for spec in new]:
            if not self._ending:
                try:
                    await self._start(child)
                    continue
                except Exception as error:
                    failures[child.spec.id] = error
            self._drop(child)
        self._children.sort(spec.id for spec in specs)
        return failures

    def _changed(self, outcome: T) -> T:
        self._changing -= 1
        self._shut_down_if_done()
        return outcome

    def _request(self, job: Job[T]) -> Deferred[T]:
        """Has something done once what is under way is over."""

        async def checked() -> T:
            if not self._is_up or self._ending:
                raise ChildError(self.id, "the supervisor is not running")
            return await job()

        return self._jobs.add(checked)

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
        if self._now_starting is None or self._now_starting.announced is not None:
            return self._adopt(client)
        started = client.begin()
        self.announce(client)  # one that could not begin was never born
        return started

    def announce(self, running: Running) -> None:
        """Says what the child will be whose ``start`` is being called, so that a stop reaches it.

        For the start functions of your own child specifications; clients that they start with
        ``start_link`` are announced already.
        """
        if self._now_starting is not None:
            self._now_starting.announced = running

    def _adopt(self, client: Client[Any]) -> Deferred[Client[Any]]:
        """Takes a client as a temporary child, whose id is the client itself."""
        if self._ending or self._over:
            raise ChildError(self.id, "the supervisor is not running")
        child = self._add(ChildSpec(client, _linked, "temporary", reactor=client.reactor))
        try:
            started = client.begin()
        except Exception:
            self._drop(child)
            raise
        child.attach(client)
        return started

    # Starting and stopping children

    def _checked(self, children: Iterable[ChildSpec | Supervisor]) -> list[ChildSpec]:
        """Gives the specifications of children; the first reactor that one has is ours too."""
        specs: list[ChildSpec] = []
        if isinstance(children, (ChildSpec, Supervisor)):
            raise TypeError("children is a list of ChildSpecs and Supervisors, not one of them")
        for child in children:
            spec = child.child_spec() if isinstance(child, Supervisor) else child
            if not isinstance(spec, ChildSpec):
                raise TypeError(f"a child is a ChildSpec or a Supervisor, not {shorten(child)}")
            if any(spec.id == other.id for other in specs):
                raise ChildError(spec.id, "another child has this id: give it its own, by id=")
            specs.append(spec)
            if self._given_reactor is None:
                self._given_reactor = spec.reactor
        return specs

    def _add(self, spec: ChildSpec) -> Child:
        if self._given_reactor is None:
            self._given_reactor = spec.reactor
        child = Child(spec, self._ended)
        self._children.add(child)
        child.should_run = True
        return child

    async def _start(self, child: Child) -> Any:
        """Starts a child; gives what it is."""
        self._ends.pop(child.spec.id, None)
        running = await child.start(lambda: self._call_start(child), self._reactor)
        linked = self._children.get(running)
        if linked is not None and _is_linked(linked):  # before it was known whose it is
            self._drop(linked)
        return running

    def _call_start(self, child: Child) -> Deferred[Any]:
        before, self._now_starting = self._now_starting, child
        try:
            return child.spec.start(self)
        finally:
            self._now_starting = before

    async def _stop(self, child: Child) -> None:
        self._pending.discard(child)
        await child.stop(self._reactor)
        if child.spec.restart == "temporary":
            self._drop(child)

    async def _stop_all(self, children: Iterable[Child]) -> None:
        for child in reversed(list(children)):
            await self._stop(child)

    def _drop(self, child: Child) -> None:
        child.should_run = False
        self._pending.discard(child)
        self._intensity.forget(child)
        self._children.remove(child)

    def _interrupt(self, children: Iterable[Child]) -> None:
        """Stops those that are starting at once, or what is under way would wait for them."""
        for child in children:
            if child.is_starting:
                child.cancel_start(self._reactor)

    # When a child ends

    def _ended(self, child: Child, reason: object) -> None:
        """A child ended by itself."""
        if child.spec.restart == "temporary":
            self._drop(child)
        if child.in_group_restart or self._ending or not self.running:
            return
        if child.is_restarted_after(reason):
            self._restart_soon(child, reason)
        else:
            self._ended_for_good(child, reason)

    def _ended_for_good(self, child: Child, reason: object) -> None:
        child.should_run = False
        if not is_normal(reason):
            self._tell(_log.warn, child, "ended ({reason}) and stays down", reason)
        if child.spec in self._specs:  # of those that were added at run time none is remembered
            self._ends[child.spec.id] = reason
        self._shut_down_if_done()

    def _shut_down_if_done(self) -> None:
        """Ends the supervisor where that was asked for, and every child has ended for good."""
        busy = self._changing or any(child.should_run for child in self._children)
        if self._auto_shutdown == "all" and self._ends and not (busy or self._ending):
            ends = list(self._ends.values())
            self._give_up(next((end for end in ends if not is_normal(end)), ends[-1]))

    def _restart_soon(self, child: Child, reason: object) -> None:
        """Counts a restart, and makes it once the child's Backoff says so."""
        restarts = self._intensity.add(child, self._reactor.seconds())
        if self._intensity.is_exceeded:
            self._tell(_log.warn, child, "ended ({reason}); that is too often", reason)
            self._give_up(self._intensity.error(reason))
            return
        delay = child.restart_delay(restarts)
        members = self._scope(child)
        what = "ended ({reason}); restart {n} in {delay:.1f} s"
        if len(members) > 1:
            what += ", with {others} others"
        self._tell(_log.info, child, what, reason, n=restarts, delay=delay, others=len(members) - 1)
        if members == [child]:
            self._schedule(members, {child}, delay)
            return
        for member in members:
            member.in_group_restart = True
        self._jobs.add_logged(lambda: self._stop_siblings(child, members, delay))

    def _scope(self, child: Child) -> list[Child]:
        """Gives those that are restarted with a child, itself included."""
        if self._strategy == "one_for_one":
            return [child]
        if self._strategy == "one_for_all":
            return list(self._children)
        return self._children.starting_with(child)

    async def _stop_siblings(self, child: Child, members: list[Child], delay: float) -> None:
        """Stops those who are to be restarted with a child, and has them all wait."""
        causes, seconds_left = self._pending.take(members)
        causes.add(child)
        terminated = not child.should_run  # by a request: its siblings return all the same
        await self._stop_all(member for member in members if member is not child)
        child.in_group_restart = False
        if not self._ending:
            again = [m for m in members if m in self._children and not (m is child and terminated)]
            self._schedule(again, causes & set(again), max(delay, seconds_left))

    def _schedule(self, children: list[Child], causes: set[Child], delay: float) -> None:
        for child in children:
            child.should_run = True
        self._pending.add(children, causes, delay, self._reactor)

    def _is_due(self, restart: PendingRestart) -> None:
        if len(restart.children) == 1 and self._strategy == "one_for_one":
            _run(self._start_again(restart))
        else:
            self._jobs.add_logged(lambda: self._start_again(restart))

    async def _start_again(self, restart: PendingRestart) -> None:
        """Starts those who waited; a start that fails counts as another restart."""
        members = self._pending.finish(restart)
        while members and not self._ending:
            child = members.pop(0)
            try:
                await self._start(child)
            except Exception as error:
                if child.should_run and not self._ending:  # or it was stopped meanwhile
                    self._tell_failed_start(child, error)
                    self._restart_soon(child, error)
                    members = [member for member in members if member not in self._scope(child)]

    def _tell_failed_start(self, child: Child, error: Exception) -> None:
        """Logs it, with a traceback where that may help and nobody below has told it."""
        of_the_network = isinstance(error, (ConnError, RequestError, HandshakeError))
        plain = of_the_network or child.spec.type == "supervisor"
        log = _log.error if plain else _log.failure
        self._tell(log, child, "could not be started: {reason}", error)

    def _tell(self, log: Any, child: Child, what: str, reason: object, **values: object) -> None:
        log(
            "{supervisor}: child {child} " + what,
            supervisor=shorten(self.id),
            child=shorten(child.spec.id),
            reason=describe(reason),
            **values,
        )

    # Beginning and ending

    async def _begin(self) -> None:
        if not self.running or self._begun or self._stops:
            return  # that was taken back, or done
        self._begun, self._over, self._reason = True, False, None
        self._intensity.clear()
        self._ends.clear()
        for child in self._children:
            if child.running is None:
                self._drop(child)
        for child in [self._add(spec) for spec in self._specs]:
            try:
                await self._start(child)
            except Exception as error:
                if child.should_run and not self._ending:  # or it was stopped meanwhile
                    self._tell_failed_start(child, error)
                    self._give_up(error)
            if self._ending:
                return
        self._is_up = True
        self._up.succeed(self)

    @property
    def _ending(self) -> bool:
        """Whether everything is to be stopped."""
        return self._giving_up or self._stops > 0

    def _give_up(self, reason: object) -> None:
        """Ends by itself."""
        if not self._ending:
            self._giving_up = True
            self._hold()
            self._jobs.add_logged(lambda: self._gave_up(reason))

    def _hold(self) -> None:
        """Starts nothing more, and has what is starting stopped."""
        self._is_up = False
        self._pending.clear()
        self._interrupt(self._children)

    async def _gave_up(self, reason: object) -> None:
        await self._stop_all(self._children)
        self._giving_up = self._begun = False
        if isinstance(reason, MaxRestartsExceeded):
            what = "{id}: giving up, all is stopped: {reason}"
            _log.error(what, id=shorten(self.id), reason=reason)
        self._is_over(reason)

    async def _stopped(self) -> None:
        await self._stop_all(self._children)
        self._stops -= 1
        self._begun = False
        if not (self.running or self._over):  # or it was started again meanwhile
            self._is_over(Shutdown())

    def _is_over(self, reason: object) -> None:
        self._over = True
        self._reason = reason
        self._tell_end(reason)

    def _tell_end(self, reason: object) -> None:
        self._up.fail(as_exception(reason))
        self._terminated.succeed(reason)

    @property
    def _reactor(self) -> Any:
        if self._given_reactor is None:
            from twisted.internet import reactor

            self._given_reactor = reactor
        return self._given_reactor


def _linked(_: Any) -> Deferred[Any]:
    """The ``start`` of a child that was linked: nobody can start it again."""
    return fail(ChildError("a linked client", "it cannot be started again"))


def _is_linked(child: Child) -> bool:
    return child.spec.start is _linked


async def _nothing() -> None:
    """A job that is done when those before it are."""


def _check_unwanted(child: Child) -> None:
    if child.should_run:
        raise ChildError(child.spec.id, "it runs, or is about to")


def _run(job: Coroutine[Any, Any, Any]) -> None:
    Deferred.fromCoroutine(job).addErrback(_log_failure)


def _log_failure(failure: Any) -> None:
    _log.failure("a supervisor failed", failure)
