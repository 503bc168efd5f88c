"""Tests of wsx.test.cluster_faults.history: planted contradictions are found."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsx.test.cluster_faults.history import (
    Event,
    count,
    find_double,
    find_problems,
    from_lines,
    to_lines,
)

TTL = 2.0


def act(time: float, process: str, kind: str, fence: int = 0, cast: int = 0) -> Event:
    """Return an event; the casts are those of the sender "s"."""
    return Event(time, process, kind, fence, "s" if cast else "", cast)


def hand_over() -> list[Event]:
    """Return a history without problems: a is stopped for too long, and b takes over."""
    return [
        act(0.0, "a", "acquired", 1),
        act(0.1, "a", "connected", 1),
        act(0.5, "s", "sent", cast=1),
        act(0.6, "a", "cast", 1, cast=1),
        act(0.7, "s", "acknowledged", cast=1),
        act(1.0, "a", "stopped"),
        act(3.1, "b", "acquired", 5),
        act(3.2, "b", "connected", 5),
        act(3.3, "b", "frame", 5),
        act(5.0, "a", "continued"),
        act(5.1, "a", "lost"),
        act(5.2, "a", "disconnected"),
        act(6.0, "s", "sent", cast=2),
        act(6.1, "b", "cast", 5, cast=2),
        act(6.2, "s", "acknowledged", cast=2),
    ]


class HistoryCase(SynchronousTestCase):
    """Base class: plant events in a history without problems."""

    def problems(self, *more: Event, without: int | None = None) -> list[str]:
        """Return the problems of the history with more events, and without one of them."""
        history = hand_over()
        if without is not None:
            del history[without]
        return find_problems([*history, *more], TTL)

    def assert_found(self, text: str, *more: Event) -> None:
        """A problem whose line begins with a text is found."""
        found = self.problems(*more)
        self.assertTrue(any(line.startswith(text) for line in found), found)


class HolderTests(HistoryCase):
    """Never two holders."""

    def test_no_problem(self) -> None:
        """An orderly history has no problem, in whatever order its events are given."""
        self.assertEqual(self.problems(), [])
        self.assertEqual(find_problems(reversed(hand_over()), TTL), [])

    def test_fence_does_not_grow(self) -> None:
        """A fence that is not greater than the one before is found."""
        self.assert_found("the fence does not grow", act(6.5, "c", "acquired", 5))
        self.assert_found("the fence does not grow", act(6.5, "c", "acquired", 2))

    def test_callback_of_the_old_holder(self) -> None:
        """A callback of the old holder after the first act of the new one is found."""
        self.assert_found("two holders", act(3.25, "a", "frame", 1))
        self.assert_found("two holders", act(3.25, "a", "cast", 1, cast=9))

    def test_connection_of_the_old_holder(self) -> None:
        """A connection that ends after the new holder has connected is found."""
        history = [event for event in hand_over() if event.kind not in ("stopped", "continued")]
        found = find_problems(history, TTL)
        self.assertEqual(len(found), 1, found)
        self.assertTrue(found[0].startswith("two holders: disconnected"), found)

    def test_second_connection(self) -> None:
        """A connection of the new holder before the old one has ended is found."""
        self.assert_found("two holders", act(0.9, "b", "connected", 5))

    def test_killed(self) -> None:
        """The connection of a process that is killed ends then."""
        history = [
            act(0.0, "a", "acquired", 1),
            act(0.1, "a", "connected", 1),
            act(1.0, "a", "killed"),
            act(3.0, "b", "acquired", 2),
            act(3.1, "b", "connected", 2),
        ]
        self.assertEqual(find_problems(history, TTL), [])
        history[2] = act(3.5, "a", "killed")
        self.assertEqual(len(find_problems(history, TTL)), 1)

    def test_act_after_the_pause(self) -> None:
        """An act after a pause that was longer than the lease is found, also without others."""
        history = [
            act(0.0, "a", "acquired", 1),
            act(0.1, "a", "connected", 1),
            act(1.0, "a", "stopped"),
            act(3.1, "a", "continued"),
            act(3.2, "a", "frame", 1),
        ]
        self.assertEqual(len(find_problems(history, TTL)), 1)
        history[3] = act(1.5, "a", "continued")
        self.assertEqual(find_problems(history, TTL), [])

    def test_act_after_the_loss(self) -> None:
        """An act under a lost fence is found, and one without any fence."""
        self.assert_found("after the end of the lease", act(5.15, "a", "frame", 1))
        self.assert_found("without the name", act(5.15, "a", "frame", 0))


class CastTests(HistoryCase):
    """Each acknowledged cast is delivered once, in order."""

    def test_twice(self) -> None:
        """A cast that is delivered twice is found."""
        self.assert_found("delivered twice", act(6.3, "b", "cast", 5, cast=2))

    def test_order(self) -> None:
        """A cast that a process gets after a later one is found."""
        self.assert_found("not in order", act(6.05, "b", "cast", 5, cast=3))

    def test_order_after_a_loss(self) -> None:
        """A process that has the name again may still deliver a cast of its first time."""
        again = [
            act(7.0, "b", "killed"),
            act(9.1, "a", "acquired", 9),
            act(9.2, "a", "connected", 9),
            act(9.3, "a", "cast", 9, cast=3),
        ]
        late = act(0.8, "s", "acknowledged", cast=3)
        self.assertEqual(self.problems(late, *again), [])

    def test_not_delivered(self) -> None:
        """An acknowledged cast that was not delivered is found, if the holder lives on."""
        self.assert_found("acknowledged, but", act(6.5, "s", "acknowledged", cast=3))
        later = act(6.6, "b", "cast", 5, cast=4), act(9.0, "b", "killed")
        self.assert_found("acknowledged, but", act(6.5, "s", "acknowledged", cast=3), *later)

    def test_lost_with_the_holder(self) -> None:
        """A holder that ends takes the messages in its mailbox with it; they are counted."""
        ended = act(6.5, "s", "acknowledged", cast=3), act(6.6, "b", "killed")
        self.assertEqual(self.problems(*ended), [])
        figures = count([*hand_over(), *ended])
        self.assertEqual((figures.holders, figures.delivered), (2, 2))
        self.assertEqual(figures.lost_with_holder, 1)

    def test_no_acknowledgement(self) -> None:
        """A cast whose acknowledgement was lost may have been delivered, or not."""
        refused = act(6.5, "s", "refused", cast=3)
        self.assertEqual(self.problems(refused), [])
        self.assertEqual(self.problems(act(6.4, "b", "cast", 5, cast=3), refused), [])


class ServerTests(SynchronousTestCase):
    """What the server has seen of the connections."""

    def test_double(self) -> None:
        """A connection is found that is opened before the previous one has ended."""
        one, end, two = (
            act(0.0, "a", "connected"),
            act(1.0, "a", "disconnected"),
            act(1.1, "b", "connected"),
        )
        self.assertEqual(find_double([one, end, two]), [])
        self.assertEqual(len(find_double([one, two, end])), 1)


class LineTests(SynchronousTestCase):
    """Histories are written to files."""

    def test_round_trip(self) -> None:
        """Lines become the same events again."""
        self.assertEqual(from_lines(to_lines(hand_over())), hand_over())
