"""Tests of wsx._doctor.phases: the order, the outcome and the time of phases."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsx._doctor.phases import DNS, OPENING_HANDSHAKE, PING, PROXY, TCP, TLS, Timeline


class TimelineTests(SynchronousTestCase):
    """The phases of one examination."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.timeline = Timeline(self.clock.seconds)

    def pass_phases(self, *names: str) -> None:
        """Let phases take one second each."""
        for name in names:
            self.timeline.begin(name)
            self.clock.advance(1)

    def states(self) -> dict[str, tuple[str, float | None]]:
        """Return status and time of each phase that has one."""
        phases = self.timeline.phases.values()
        return {p.name: (p.status, p.seconds) for p in phases if p.status != "not_reached"}

    def test_each_begins_after_the_one_before(self) -> None:
        """A phase that begins ends the one before it."""
        self.pass_phases(DNS, TCP)
        self.timeline.begin(TLS)
        self.assertEqual(
            self.states(), {"dns": ("passed", 1), "tcp": ("passed", 1), "proxy": ("skipped", None)}
        )

    def test_begin_twice(self) -> None:
        """A phase that has begun does not begin again."""
        self.pass_phases(TCP, TCP, TCP)
        self.timeline.pass_current()
        self.assertEqual(self.states()["tcp"], ("passed", 3))

    def test_skipped(self) -> None:
        """Phases that are not needed are skipped from the start."""
        self.timeline = Timeline(self.clock.seconds, [PROXY, TLS])
        self.assertEqual(self.states(), {"proxy": ("skipped", None), "tls": ("skipped", None)})

    def test_first_begins_with_the_timeline(self) -> None:
        """The time before the first event belongs to the first phase."""
        self.clock.advance(2)
        self.timeline.begin(TCP)
        self.timeline.pass_current()
        self.assertEqual(self.states()["tcp"], ("passed", 2))

    def test_start(self) -> None:
        """The time before the start does not count."""
        self.clock.advance(5)
        self.timeline.start()
        self.pass_phases(TCP)
        self.timeline.pass_current()
        self.assertEqual((self.states()["tcp"], self.timeline.elapsed), (("passed", 1), 1))

    def test_fail(self) -> None:
        """The current phase fails; later ones are not reached."""
        self.pass_phases(DNS, TCP)
        self.timeline.fail(TCP)
        self.assertEqual(self.states(), {"dns": ("passed", 1), "tcp": ("failed", 1)})
        self.assertIsNone(self.timeline.current)

    def test_fail_before_it_begins(self) -> None:
        """A phase that has not begun fails at once."""
        self.timeline.fail(TCP)
        self.assertEqual(self.states(), {"dns": ("skipped", None), "tcp": ("failed", 0)})

    def test_fail_late(self) -> None:
        """An earlier phase fails with its own time, and the current one was not reached."""
        self.pass_phases(TCP, TLS, OPENING_HANDSHAKE)
        self.timeline.fail(TLS)
        self.assertEqual(self.states()["tls"], ("failed", 1))
        self.assertNotIn("opening_handshake", self.states())
        self.assertIsNone(self.timeline.phases[OPENING_HANDSHAKE].seconds)

    def test_elapsed(self) -> None:
        """The time of all phases together."""
        self.pass_phases(TCP, OPENING_HANDSHAKE, PING)
        self.assertEqual(self.timeline.elapsed, 3)
