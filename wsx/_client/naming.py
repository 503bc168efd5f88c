"""A client's name in a registry that may return Deferreds and take the name away again."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from wsx._scheduler import Scheduler
from wsx._text import expected
from wsx.errors import AlreadyStartedError, NameLost
from wsx.registry import AsyncVia, Name, Registration, as_async

__all__ = ["Naming", "naming_for"]


class Naming:
    """Acquire, lose and release the name of one client.

    Args:
        name: The name.
        via: The registry and the key of the name.
        client: The client.
        scheduler: The scheduler for the time limit of a registration.
        lost: Called when the name is lost, with the reason and the time in seconds until another
            client may hold the name.
        not_released: Called with the exception of ``unregister_name``.

    Attributes:
        was_held: Whether the client has held the name. If so, it waits when the name is in use.
    """

    __slots__ = (
        "_asking",
        "_attempt",
        "_client",
        "_lost",
        "_lost_early",
        "_name",
        "_not_released",
        "_registration",
        "_scheduler",
        "_timer",
        "_via",
        "was_held",
    )

    def __init__(
        self,
        name: Name,
        via: AsyncVia,
        client: object,
        scheduler: Scheduler,
        lost: Callable[[NameLost, float], None],
        not_released: Callable[[Failure], None],
    ) -> None:
        self.was_held = False
        self._name = name
        self._via = via
        self._client = client
        self._scheduler = scheduler
        self._timer: IDelayedCall | None = None
        self._lost = lost
        self._not_released = not_released
        self._asking: Deferred[Registration] | None = None
        self._attempt: object = None  # The latest; an earlier one may still be answered.
        self._lost_early: str | None = None  # Why it was lost before it was held.
        self._registration: Registration | None = None

    @property
    def is_held(self) -> bool:
        """Whether the client has the name."""
        return self._registration is not None

    @property
    def is_standby(self) -> bool:
        """Whether the client waits while another one holds the name."""
        return self._via.standby

    @property
    def fence(self) -> int | None:
        """The fence of the registration, or None."""
        return None if self._registration is None else self._registration.fence

    def acquire(
        self, succeeded: Callable[[], None], failed: Callable[[BaseException], None]
    ) -> None:
        """Ask the registry for the name.

        Args:
            succeeded: Called when the client has the name.
            failed: Called with :class:`AlreadyStartedError` if another client holds the name, with
                :class:`NameLost` if the name was lost at once, or with the registry's exception.
        """
        asking = self._asking = Deferred.fromCoroutine(self._acquire())

        def done(outcome: Registration | Failure) -> None:
            if self._asking is not asking:
                return  # cancelled
            self._asking = None
            if isinstance(outcome, Failure):
                assert outcome.value is not None
                failed(outcome.value)
            else:
                self.was_held = True
                succeeded()

        asking.addBoth(done)

    async def _acquire(self) -> Registration:
        registry, key = self._via.registry, self._via.key
        attempt = self._attempt = object()
        self._lost_early = None
        registration: Any = await maybeDeferred(
            registry.register_name,
            key,
            self._client,
            standby=self._via.standby or self.was_held,
            lost=partial(self._taken_away, attempt),
        )
        if attempt is not self._attempt:
            await self._give_back(registration)
        if registration is None:
            client = await maybeDeferred(registry.whereis_name, key)
            raise AlreadyStartedError(self._name, client)
        if self._lost_early is not None:
            raise NameLost(self._name, self._lost_early)
        self._registration = _check(registration)
        self._watch_time()
        return self._registration

    def _watch_time(self) -> None:
        """Lose the name when its time is over, even if the registry is late.

        The registry's timers may depend on the wall clock; this one does not.
        """
        self._timer = None
        if self._registration is not None and not self.is_overdue():
            seconds = self._registration.seconds_left()
            if seconds < math.inf:
                self._timer = self._scheduler.callLater(seconds, self._watch_time)

    def _forget(self) -> None:
        self._registration = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _give_back(self, registration: Registration | None) -> NoReturn:
        """Release a name that the registry has granted after the attempt was cancelled."""
        if registration is not None and self._registration is None and self._asking is None:
            self._registration = registration
            await self.release()
        raise CancelledError

    def cancel(self) -> None:
        """Stop asking for the name."""
        asking, self._asking = self._asking, None
        if asking is not None:
            self._attempt = None
            asking.cancel()

    def may_act(self) -> bool:
        """Return whether the client holds the name and its time is not over."""
        return not self.is_overdue() and self._registration is not None

    def is_overdue(self) -> bool:
        """Return whether the time of the registration is over; if it is, the name is lost.

        The registry's timer may be late, because the process was stopped.
        """
        if self._registration is None or self._registration.seconds_left() > 0:
            return False
        self._taken_away(self._attempt, "the process did not run in time to renew the name")
        return True

    def _taken_away(self, attempt: object, reason: str) -> None:
        registration = self._registration
        if attempt is not self._attempt:
            return
        if registration is None:
            self._lost_early = reason
            return
        self._forget()
        seconds = max(0.0, registration.seconds_left())
        self._lost(NameLost(self._name, reason), seconds)

    def release(self) -> Deferred[None]:
        """Free the name if the client has it.

        Returns:
            A Deferred that fires with None when ``unregister_name`` has completed. It never fails.
        """
        if self._registration is None:
            return succeed(None)
        self._forget()
        unregister = self._via.registry.unregister_name
        released = maybeDeferred(unregister, self._via.key, self._client)
        return released.addCallbacks(lambda _: None, self._not_released)


def _check(registration: Any) -> Registration:
    """Return the result of ``register_name`` if it has the attributes of a Registration."""
    if not callable(getattr(registration, "seconds_left", None)):
        raise TypeError(expected("register_name", "a Registration or None", registration))
    checked: Registration = registration
    return checked


def naming_for(
    name: Name | None,
    client: object,
    scheduler: Scheduler,
    lost: Callable[[NameLost, float], None],
    not_released: Callable[[Failure], None],
) -> Naming | None:
    """Return the naming of a client, or None if its registry returns no Deferreds.

    The arguments are those of :class:`Naming`.
    """
    via = as_async(name)
    if name is None or via is None:
        return None
    return Naming(name, via, client, scheduler, lost, not_released)
