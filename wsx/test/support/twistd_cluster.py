"""Clusters of ``twistd wsx`` in memory, and files with valid credentials that no server knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wsx._twistd import cluster_options, cluster_table
from wsx.test.support.memory_cluster import TTL, MemoryCluster
from wsx.test.support.memory_nats import MemoryNats
from wsx.test.support.twistd import RunCase
from wsx.test.support.twistd_runner import ConfigRunCase

__all__ = ["CREDENTIALS", "SEED", "ClusterConfigCase", "ClusterRunCase", "Recorded"]

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


class InMemory(RunCase):
    """Mixin: each cluster that ``twistd wsx`` makes is connected to NATS in memory.

    Attributes:
        servers_of_nats: A server of NATS for each URL.
        clusters: The clusters, in the order in which they were made.
        calls: The calls of ``startService`` and ``stopService`` of all clusters.
        refusal: The exception with which clusters that are made later fail to connect, or None.
    """

    refusal: Exception | None = None

    def setUp(self) -> None:
        super().setUp()
        self.servers_of_nats: dict[str, MemoryNats] = {}
        self.clusters: list[Recorded] = []
        self.calls: list[str] = []
        for module in (cluster_options, cluster_table):
            self.patch(module, "Cluster", self.make_cluster)

    def make_cluster(self, url: Sequence[str], **options: Any) -> Recorded:
        """Make a cluster in place of a :class:`wsx.Cluster`."""
        nats = self.servers_of_nats.setdefault(url[0], MemoryNats(self.clock, TTL))
        cluster = Recorded(nats, self.calls, url, **options)
        cluster.refusal = self.refusal
        self.clusters.append(cluster)
        return cluster

    def is_held(self, key: str = "feed", url: str = "nats://a.test") -> bool:
        """Return whether a client has a name."""
        entry = self.servers_of_nats[url].read(key)
        return entry is not None and not entry.is_deleted


class ClusterRunCase(InMemory):
    """Base class for tests of the command line."""


class ClusterConfigCase(InMemory, ConfigRunCase):
    """Base class for tests of a configuration file."""
