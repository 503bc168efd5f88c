"""Tests of wsx._cluster.addresses."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from wsx._cluster.addresses import resolve
from wsx.test.support.network import NetworkReactor


class ResolveTests(SynchronousTestCase):
    """The addresses of a host."""

    def setUp(self) -> None:
        self.reactor = NetworkReactor()
        self.reactor.names.table["h"] = ["::1", "10.0.0.1", "::1"]

    def test_addresses(self) -> None:
        """All addresses, in order, each once."""
        found = self.successResultOf(resolve(self.reactor, "h"))
        self.assertEqual(found, ["::1", "10.0.0.1"])

    def test_address(self) -> None:
        """An IP address is not looked up."""
        self.reactor.names.silent = True
        for host in ("10.0.0.1", "::1"):
            self.assertEqual(self.successResultOf(resolve(self.reactor, host)), [host])

    def test_unknown(self) -> None:
        """An unknown host has none."""
        self.assertEqual(self.successResultOf(resolve(self.reactor, "unknown")), [])

    def test_cancel(self) -> None:
        """The Deferred can be cancelled."""
        self.reactor.names.silent = True
        looking_up = resolve(self.reactor, "h")
        looking_up.cancel()
        self.failureResultOf(looking_up, CancelledError)
