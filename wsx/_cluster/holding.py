"""The registration of one client under a name: its lease, and the calls from other processes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred, succeed

from wsx._cluster.call_format import subject_for
from wsx._cluster.calls import Calls
from wsx._cluster.lease import Lease, Terms
from wsx._cluster.name_reports import NameReports
from wsx._cluster.serving import Serving
from wsx._cluster.store import Entry, Link, NoResponder
from wsx.errors import ClusterError, ClusterSetupError

__all__ = ["Holding", "Shared"]

_NOTICE_SECONDS = 1.0  # for a standby to confirm the notice that the name is free


@dataclass(frozen=True, slots=True)
class Shared:
    """What all registrations of a process share.

    Attributes:
        link: The link to NATS.
        bucket: The name of the bucket.
        terms: The terms of the leases.
        calls: The calls to clients in other processes.
    """

    link: Link
    bucket: str
    terms: Terms
    calls: Calls


class Holding:
    """Register one client under a name.

    Args:
        shared: What all registrations of the process share.
        token: The token for the name.
        client: The client.
        new_value: Returns a new value that describes this process, the client and the present time.
        keep: Whether to keep the name while NATS cannot be reached.
        lost: Called with the reason when the name is lost.

    Attributes:
        client: The client.
        is_registered: Whether the client has the name.
    """

    def __init__(
        self,
        shared: Shared,
        token: str,
        client: Any,
        new_value: Callable[[], bytes],
        keep: bool,
        lost: Callable[[str], None],
    ) -> None:
        self.client = client
        self.is_registered = False
        self._shared = shared
        self._lost = lost
        self._reports = NameReports(shared.bucket, client, shared.terms)
        self._lease = Lease(shared.terms, token, new_value, keep, self._lease_lost, self._taken)
        self._serving = self._new_serving(token)
        self._token = token
        self._stop_listening: Callable[[], Deferred[None]] | None = None

    def _new_serving(self, token: str) -> Serving:
        shared = self._shared
        name = self.client.name
        return Serving(
            shared.link, self.client, name, token, shared.bucket, lambda: self._lease.may_act
        )

    @property
    def value(self) -> bytes:
        """The value of the entry of this registration, or of its latest attempt."""
        return self._lease.value

    # A registration, for the client

    @property
    def fence(self) -> int:
        """The revision with which the name was acquired."""
        return self._lease.fence

    def seconds_left(self) -> float:
        """Return the time in seconds until another client may hold the name."""
        return self._lease.seconds_left()

    # Register

    async def register(self, standby: bool) -> bool:
        """Acquire the name, and serve calls to it.

        Args:
            standby: Whether to wait while another client holds the name.

        Returns:
            Whether the client holds the name; always True for a standby.

        Raises:
            ClusterError: NATS cannot be reached, and ``standby`` is False.
        """
        try:
            if standby:
                await self._listen()
            registered = await self._acquire(standby)
        except BaseException:
            self._start(self._lease.release())  # The server may have got a write.
            raise
        finally:
            self._end_listening()
        if registered:
            self.is_registered = True
            self._reports.acquired(self._lease.fence)
        return registered

    async def _acquire(self, standby: bool) -> bool:
        while True:
            if not await self._lease.acquire(standby):
                return False
            try:
                await self._serving.start()
                if self._lease.is_held:
                    return True
                reason = "the name was lost before calls to it were served"
            except ClusterSetupError:
                raise
            except ClusterError as error:
                reason = error.reason
            await _ignore_failure(self._lease.release())
            self._serving = self._new_serving(self._token)
            if not standby:
                raise ClusterError(reason)

    def _taken(self, entry: Entry) -> None:
        self._reports.waiting(entry.value)

    # Notices that the name is free

    async def _listen(self) -> None:
        def notice(_: bytes) -> Deferred[bytes]:
            self._lease.try_now()
            return succeed(b"")

        try:
            self._stop_listening = await self._shared.link.subscribe(self._subject, notice)
        except ClusterError:
            return  # Without a notice, the standby tries again after some time.

    def _end_listening(self) -> None:
        stop, self._stop_listening = self._stop_listening, None
        if stop is not None:
            self._start(stop())

    @property
    def _subject(self) -> str:
        return subject_for(self._shared.bucket, "free", self._token)

    # The end

    def _lease_lost(self, reason: str) -> None:
        was_registered, self.is_registered = self.is_registered, False
        self._start(self._serving.stop())
        if was_registered:
            self._reports.lost(reason)
            self._lost(reason)

    async def release(self) -> None:
        """Release the name, and tell the standbys. If NATS does not answer, this is logged."""
        self.is_registered = False
        await self._serving.stop()
        try:
            await self._lease.release()
        except ClusterError as error:
            self._reports.not_released(error.reason)
            return
        self._reports.released()
        # A link that stops now would not send the notice.
        with suppress(NoResponder, ClusterError):
            await self._shared.link.request(self._subject, b"", _NOTICE_SECONDS)

    def _start(self, ending: Awaitable[object]) -> None:
        """Run a coroutine whose failure needs no report, because the entry expires anyway."""
        Deferred.fromCoroutine(_ignore_failure(ending))


async def _ignore_failure(ending: Awaitable[object]) -> None:
    try:
        await ending
    except ClusterError:
        return
