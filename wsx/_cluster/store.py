"""The interface to NATS: a key-value bucket with revisions and a time to live, and requests.

All methods are called in the reactor's thread, and all Deferreds and callbacks fire there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred

__all__ = ["Entry", "Link", "NoResponder", "Serve", "Store", "WrongRevision"]

Serve = Callable[[bytes], Deferred[bytes]]


class WrongRevision(Exception):
    """The last revision of a key is not the expected one, so nothing was written.

    Attributes:
        last: The last revision of the key, or None if the server did not say it.
    """

    def __init__(self, last: int | None) -> None:
        super().__init__(last)
        self.last = last


class NoResponder(Exception):
    """No process subscribes to the subject of a request, so it was not delivered."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The last entry of a key.

    Attributes:
        revision: Its revision, which grows with each write to the bucket.
        value: The value. Empty if the key was deleted.
        is_deleted: Whether the entry is a delete marker.
    """

    revision: int
    value: bytes
    is_deleted: bool = False


class Store(Protocol):
    """A bucket whose entries expire unless they are written again."""

    def write(self, key: str, value: bytes, after: int) -> Deferred[int]:
        """Write a value if the last revision of the key is the expected one.

        Args:
            key: The key.
            value: The value.
            after: The expected last revision, or 0 if the key must not have an entry.

        Returns:
            A Deferred that fires with the new revision. It fails with :class:`WrongRevision`, and
            with :class:`wsx.ClusterError` if the server refuses or does not answer.
        """

    def read(self, key: str) -> Deferred[Entry | None]:
        """Return a Deferred that fires with the last entry of a key, or None.

        It fails with :class:`wsx.ClusterError` if the server refuses or does not answer.
        """

    def erase(self, key: str, after: int) -> Deferred[int]:
        """Write a delete marker if the last revision of the key is the expected one.

        Returns:
            A Deferred as that of :meth:`write`.
        """


class Link(Store, Protocol):
    """One connection to NATS.

    Attributes:
        is_connected: Whether the connection is up.
        max_payload: The maximum size of a message in bytes, as the server states it.
    """

    is_connected: bool
    max_payload: int

    def start(self) -> Deferred[None]:
        """Connect, and create the bucket or check it.

        Returns:
            A Deferred that fires with None. It may be cancelled. It fails with
            :class:`wsx.ClusterError` if trying again cannot help, such as with wrong credentials.
        """

    def stop(self) -> Deferred[None]:
        """Disconnect. The Deferred fires with None when everything has ended; it never fails."""

    def request(self, subject: str, payload: bytes, timeout: float) -> Deferred[bytes]:
        """Send a request.

        Args:
            subject: The subject.
            payload: The request.
            timeout: The time limit for the reply in seconds.

        Returns:
            A Deferred that fires with the reply. It fails with :class:`NoResponder`, and with
            :class:`wsx.ClusterError` if there is no connection or no reply in time.
        """

    def subscribe(self, subject: str, serve: Serve) -> Deferred[Callable[[], Deferred[None]]]:
        """Serve the requests of a subject.

        Args:
            subject: The subject.
            serve: Called with each request, in order and without waiting for the previous reply.
                Its Deferred fires with the reply and never fails.

        Returns:
            A Deferred that fires with a function that ends the subscription.
        """
