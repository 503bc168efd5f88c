"""Tests of the race for a name: many processes start a client at once, and one of them has it."""

from __future__ import annotations

from twisted.internet.defer import gatherResults

from wsx.test.support.cluster_case import KEY, ProcessCase


class RaceTests(ProcessCase):
    """Start a client in twenty processes at once."""

    timeout = 300
    ttl = 10.0

    async def test_twenty_times(self) -> None:
        """One of twenty starters wins, twenty times; the others get a reference that works."""
        servers = await self.serve()
        starters = [self.spawn(servers.urls) for _ in range(20)]
        for number in range(20):
            key = number if number % 2 else f"{KEY}-{number}"
            outcomes = await gatherResults(
                [
                    starter.call("start", self.feed.url(starter.name), key, {})
                    for starter in starters
                ]
            )
            [[winner, status]] = [rest for what, *rest in outcomes if what == "started"]
            self.assertEqual(status, "open")
            others = [rest for what, *rest in outcomes if what == "in use"]
            self.assertEqual(len(others), 19)
            for pid, _ in others:
                self.assertEqual(pid, winner)
            self.assertTrue({seen for _, seen in others} <= {"connecting", "open"}, others)
        self.assertEqual(len(self.events("acquired")), 20)
        await self.stop_all()
