"""Clusters of ``twistd wsx`` in memory, and files with valid credentials that no server knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wsx._twistd import cluster_options
from wsx.test.support.memory_cluster import TTL, MemoryCluster
from wsx.test.support.memory_nats import MemoryNats
from wsx.test.support.twistd import RunCase

__all__ = ["CREDENTIALS", "SEED", "ClusterRunCase", "Recorded"]

SEED = "SUAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H776Y"
CREDENTIALS = (
    "-----BEGIN NATS USER JWT-----\nabc\n------END NATS USER JWT------\n"
    f"-----BEGIN USER NKEY SEED-----\n{SEED}\n------END USER NKEY SEED------\n"
)


class Recorded(MemoryCluster):
    """A cluster in memory that records its arguments.

    Attributes:
        url: The URL or URLs.
        options: The other arguments.
        calls: The calls of ``startService`` and ``stopService``.
    """

    def __init__(
        self, nats: MemoryNats, calls: list[str], url: str | Sequence[str], **options: Any
    ) -> None:
        super().__init__(nats, options["reactor"])
        self.url = url
        self.options = {name: value for name, value in options.items() if name != "reactor"}
        self.calls = calls

    def startService(self) -> None:
        """Start the service, and connect at once."""
        self.calls.append("start")
        super().startService()
        if self.refusal is None:
            self._on_connected()

    def stopService(self) -> Any:
        """Stop the service."""
        self.calls.append("stop")
        return super().stopService()


class ClusterRunCase(RunCase):
    """Base class: ``--cluster`` leads to NATS in memory.

    Attributes:
        nats: The server of NATS.
        clusters: The clusters, in the order in which they were made.
        calls: The calls of ``startService`` and ``stopService`` of all clusters.
        refusal: The exception with which clusters that are made later fail to connect, or None.
    """

    refusal: Exception | None = None

    def setUp(self) -> None:
        super().setUp()
        self.nats = MemoryNats(self.clock, TTL)
        self.clusters: list[Recorded] = []
        self.calls: list[str] = []
        self.patch(cluster_options, "Cluster", self.make_cluster)

    def make_cluster(self, url: str | Sequence[str], **options: Any) -> Recorded:
        """Make a cluster in place of a :class:`wsx.Cluster`."""
        cluster = Recorded(self.nats, self.calls, url, **options)
        cluster.refusal = self.refusal
        self.clusters.append(cluster)
        return cluster

    def holder(self, key: str = "feed") -> Any:
        """Return whether a client has a name."""
        entry = self.nats.read(key)
        return entry is not None and not entry.is_deleted
