"""The lease of one name: an entry in a bucket that expires unless it is written again.

The holder renews the lease every fifth of its time to live: it writes the entry again. Each write
names the revision that it replaces, so only one of several processes can write. The holder counts
the time from before it sends a write, the server from the arrival of the write, so the holder's
time is over first. The holder ends another 10 to 15 % earlier, so that the client can disconnect.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from wsx._cluster.store import Entry, Store, WrongRevision
from wsx._failures import log_failure
from wsx._scheduler import Scheduler
from wsx.errors import ClusterError, ClusterSetupError

__all__ = ["Lease", "Terms", "steady_clock"]

_log = Logger("wsx")

_RENEW: Final = 1 / 5  # All times are fractions of the time to live.
_MARGIN: Final = 0.15
_CHECK: Final = 1 / 20
_WATCH: Final = 1 / 3  # between two attempts while the holder renews its lease
_RELEASE_ATTEMPTS: Final = 3

_DID_NOT_RUN: Final = "the process did not run"


@dataclass(frozen=True, slots=True)
class Terms:
    """What all leases of a cluster share.

    Attributes:
        store: The bucket.
        ttl: The time to live of its entries in seconds.
        scheduler: The scheduler for timers.
        clock: Returns the monotonic time in seconds; see :func:`steady_clock`.
        is_own: Returns whether this process has written a value.
        describe: Returns a short description of the process that has written a value.
    """

    store: Store
    ttl: float
    scheduler: Scheduler
    clock: Callable[[], float]
    is_own: Callable[[bytes], bool]
    describe: Callable[[bytes], str]


class Lease:
    """The lease of one name.

    Args:
        terms: What all leases of the cluster share.
        key: The key of the name in the bucket.
        new_value: Returns a value that describes this process, its client and the present time, and
            that differs from all others.
        keep: Whether to keep an expired lease until another process has acquired it.
        lost: Called with the reason when the lease is lost.
        taken: Called with the entry of another holder, once for each entry that a standby reads.

    Attributes:
        fence: The revision with which the lease was acquired; 0 while it is not held.
        value: The value of the latest attempt to acquire the lease. Empty before the first one.
    """

    def __init__(
        self,
        terms: Terms,
        key: str,
        new_value: Callable[[], bytes],
        keep: bool,
        lost: Callable[[str], None],
        taken: Callable[[Entry], None],
    ) -> None:
        self.fence = 0
        self._terms = terms
        self._key = key
        self._new_value = new_value
        self.value = b""
        self._keep = keep
        self._lost = lost
        self._taken = taken
        self._revision = 0
        self._expires_at = 0.0  # on the clock of the terms
        self._renewed_at = 0.0
        self._problem = _DID_NOT_RUN  # why the latest renewal has failed
        self._timer: IDelayedCall | None = None
        self._renewing: Deferred[str | None] | None = None
        self._waiting: Deferred[None] | None = None

    # Acquire

    async def acquire(self, standby: bool) -> bool:
        """Acquire the lease: write the entry when there is none of another process.

        Args:
            standby: Whether to wait while there is an entry of another process.

        Returns:
            Whether the lease is held; always True for a standby.

        Raises:
            ClusterSetupError: The process may not write the entry.
            ClusterError: The store does not answer, and ``standby`` is False.
        """
        seen = 0  # The revision of the entry at the last attempt.
        while True:
            try:
                entry = await self._attempt()
            except ClusterError as error:
                if not standby or isinstance(error, ClusterSetupError):
                    raise
                await self._wait(self._terms.ttl * _CHECK)
                continue
            if entry is None:
                return True
            if not standby:
                return False
            if entry.revision != seen:
                self._taken(entry)
            # An unchanged revision means that the holder has not renewed its lease in time.
            part = _CHECK if entry.revision == seen else _WATCH
            seen = entry.revision
            await self._wait(self._terms.ttl * part)

    def try_now(self) -> None:
        """Let a waiting standby try at once, after a notice that the name is free."""
        if self._waiting is not None:
            self._waiting.callback(None)

    async def _attempt(self) -> Entry | None:
        """Try to acquire the lease once; return the entry of another holder, or None."""
        self.value = self._new_value()
        after = 0
        while True:
            sent = self._terms.clock()
            try:
                revision = await self._terms.store.write(self._key, self.value, after)
            except WrongRevision:
                entry = await self._terms.store.read(self._key)
                if entry is not None and not self._may_replace(entry):
                    return entry
                after = 0 if entry is None else entry.revision
            else:
                if self._terms.clock() < sent + self._terms.ttl * (1 - _MARGIN):
                    self._hold(revision, sent)
                    return None
                after = revision  # The write took too long: the time may be over.

    def _may_replace(self, entry: Entry) -> bool:
        """Return whether an entry is deleted, or left over from this process.

        An entry is left over if the reply to its write was lost.
        """
        return entry.is_deleted or self._terms.is_own(entry.value)

    async def _wait(self, seconds: float) -> None:
        waiting: Deferred[None] = Deferred()
        timer = self._terms.scheduler.callLater(seconds, waiting.callback, None)
        self._waiting = waiting
        try:
            await waiting
        finally:
            self._waiting = None
            if timer.active():
                timer.cancel()

    # Hold

    @property
    def is_held(self) -> bool:
        """Whether the lease is held."""
        return self.fence > 0

    @property
    def may_act(self) -> bool:
        """Whether no other process can hold the lease.

        The timer that ends the lease may be late, because the process was stopped.
        """
        return self.is_held and self.seconds_left() > 0

    def seconds_left(self) -> float:
        """Return the time in seconds until another process may hold the lease.

        It is infinite if an expired lease is kept.
        """
        return math.inf if self._keep else self._expires_at - self._terms.clock()

    def _hold(self, revision: int, sent: float) -> None:
        self.fence = revision
        self._extend(revision, sent)
        if self._timer is None:
            self._check_later()

    def _check_later(self) -> None:
        self._timer = self._terms.scheduler.callLater(self._terms.ttl * _CHECK, self._check)

    def _extend(self, revision: int, sent: float) -> None:
        self._revision = revision
        self._renewed_at = sent
        self._expires_at = sent + self._terms.ttl
        self._problem = _DID_NOT_RUN

    def _check(self) -> None:
        """Renew the lease if it is time, and end it if it could not be renewed."""
        self._check_later()
        ttl = self._terms.ttl
        now = self._terms.clock()
        if not self._keep and now > self._expires_at - ttl * _MARGIN:
            self._end(f"not renewed for {now - self._renewed_at:.1f} s: {self._problem}")
        elif self._renewing is None and now > self._renewed_at + ttl * (_RENEW - _CHECK / 2):
            renewing = self._renewing = Deferred.fromCoroutine(self._renew())
            renewing.addCallbacks(self._renewed, self._renewal_failed)

    def _renewed(self, loss: str | None) -> None:
        self._renewing = None
        if loss is not None:
            self._end(loss)

    def _renewal_failed(self, failure: Failure) -> None:
        self._renewing = None
        if not failure.check(CancelledError):
            log_failure(_log, "the lease of {key} could not be renewed", failure, key=self._key)

    async def _renew(self) -> str | None:
        """Write the entry again; return the reason if the lease is lost."""
        sent = self._terms.clock()
        try:
            revision = await self._terms.store.write(self._key, self.value, self._revision)
        except WrongRevision:
            return await self._find_out()
        except ClusterError as error:
            self._problem = error.reason
        else:
            self._extend(revision, sent)
        return None

    async def _find_out(self) -> str | None:
        """Find out why the entry has another revision; return the reason if the lease is lost."""
        try:
            entry = await self._terms.store.read(self._key)
            if entry is not None and entry.value == self.value:
                self._revision = entry.revision  # The reply to the write was lost.
                return None
            if self._keep:
                entry = await self._attempt()
                if entry is None:
                    return None
        except ClusterError as error:
            self._problem = error.reason
            return None
        if entry is None or self._may_replace(entry):
            return "its entry was deleted"
        return f"it is held by {self._terms.describe(entry.value)}"

    def _end(self, reason: str) -> None:
        self._stop()
        self._lost(reason)

    def _stop(self) -> None:
        self.fence = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        renewing, self._renewing = self._renewing, None
        if renewing is not None:
            renewing.cancel()

    # Release

    async def release(self) -> None:
        """Delete the entry, so that another process can have the lease at once.

        This also deletes the entry of a write whose reply did not arrive.

        Raises:
            ClusterError: The store does not answer, so the entry remains until it expires.
        """
        self._stop()
        revision = self._revision
        for _ in range(_RELEASE_ATTEMPTS):
            try:
                if revision:
                    await self._terms.store.erase(self._key, revision)
                    return
            except WrongRevision:
                pass  # A renewal was written first.
            entry = await self._terms.store.read(self._key)
            if entry is None or entry.value != self.value:
                return
            revision = entry.revision


def steady_clock(scheduler: Scheduler) -> Callable[[], float]:
    """Return a clock that is never set and also runs while the machine is suspended.

    It is CLOCK_BOOTTIME on Linux. Elsewhere it is the monotonic clock, which may stop then.
    """
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    if boot is None or scheduler.monotonic is not time.monotonic:
        return scheduler.monotonic
    return partial(time.clock_gettime, boot)
