"""Tests of wsx._cluster.candidates."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from wsx._cluster.candidates import Candidates
from wsx._cluster.servers import parse_servers


class CandidatesTests(SynchronousTestCase):
    """The order of the servers, and the delays."""

    def candidates(self, number: int, seed: int = 1) -> Candidates:
        """Return candidates with the hosts a, b, ..., and a first delay of 1 s."""
        return Candidates(parse_servers(list("abcdefgh"[:number])), 1.0, Random(seed))

    def round(self, candidates: Candidates, number: int) -> set[str]:
        """Return the hosts of the next attempts, which all fail."""
        hosts = set()
        for _ in range(number):
            hosts.add(candidates.current.host)
            candidates.next()
        return hosts

    def test_all_are_tried(self) -> None:
        """Each round tries each server, in a random order."""
        candidates = self.candidates(3)
        self.assertEqual(self.round(candidates, 3), set("abc"))
        self.assertEqual(self.round(candidates, 3), set("abc"))
        first = {self.candidates(3, seed).current.host for seed in range(20)}
        self.assertEqual(first, set("abc"))

    def test_delays(self) -> None:
        """There is a delay after each round only, which doubles up to 10 s."""
        candidates = self.candidates(2)
        delays = [candidates.next() for _ in range(12)]
        self.assertTrue(all(delay <= 0.1 for delay in delays[::2]), delays)
        for delay, longest in zip(delays[1::2], (1, 2, 4, 8, 10, 10), strict=True):
            self.assertTrue(longest / 2 <= delay <= longest, delays)

    def test_many_failures(self) -> None:
        """The delay stays at 10 s, however often an attempt has failed."""
        candidates = self.candidates(1)
        delays = [candidates.next() for _ in range(5000)]
        self.assertLessEqual(max(delays), 10)

    def test_loss(self) -> None:
        """After a connection is lost, the next server is tried at once, then those after it."""
        candidates = self.candidates(1)
        candidates.next()
        candidates.succeeded()
        self.assertLessEqual(candidates.next(), 0.1)
        self.assertGreaterEqual(candidates.next(), 0.5)

    def test_discovered(self) -> None:
        """Servers that the current one announces are tried, too, after the configured ones."""
        candidates = self.candidates(2)
        server = candidates.current
        (other,) = {"a", "b"} - {server.host}
        candidates.discover(server, ["c:4222", "d:4223", "nonsense", f"{other}:4222"])
        self.assertIs(candidates.current, server)
        candidates.next()
        self.assertEqual(candidates.current.host, other)
        candidates.next()
        self.assertEqual(self.round(candidates, 2), {"c", "d"})
        self.assertEqual(candidates.current, server)

    def test_forget_discovered(self) -> None:
        """Discovered servers are forgotten when another server announces others."""
        candidates = self.candidates(1)
        candidates.discover(candidates.current, ["c:4222"])
        candidates.discover(candidates.current, [])
        self.assertEqual(self.round(candidates, 3), {"a"})
