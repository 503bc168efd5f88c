"""Tests of the mailbox: what may be delivered, in which order, and how much may wait."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsx._client.mailbox import Connected, Frames, Lost, Mailbox, Message
from wsx.conn import Conn
from wsx.errors import MailboxFullError
from wsx.frames import Frame, Text
from wsx.reasons import ConnectionDropped, Disconnect

CONN = Conn("ws://example.test/")
ONE, TWO, THREE = (Message("handle_cast", n) for n in (1, 2, 3))


def connected() -> Connected:
    """The beginning of a connection."""
    return Connected(CONN, lambda: None)


def lost() -> Lost:
    """The end of a connection."""
    return Lost(Disconnect(ConnectionDropped(), 1, CONN))


def frames(*payloads: str) -> list[Frame]:
    """Text frames."""
    return [Text(payload) for payload in payloads]


def take_all(mailbox: Mailbox) -> list[object]:
    """Takes whatever may be delivered; frames as a list, to be compared."""
    taken: list[object] = []
    while (item := mailbox.take()) is not None:
        taken.append(list(item.frames) if isinstance(item, Frames) else item)
    return taken


class MailboxCase(SynchronousTestCase):
    """With a mailbox, and one with an open connection."""

    def setUp(self) -> None:
        self.mailbox = Mailbox(10)
        self.open = Mailbox(10)
        self.open.connected(connected())
        self.open.take()


class OrderTests(MailboxCase):
    """What is delivered, and when."""

    def test_empty(self) -> None:
        """Nothing is in a new mailbox."""
        self.assertIsNone(self.mailbox.take())
        self.assertEqual((len(self.mailbox.queue), self.mailbox.waiting), (0, 0))
        self.assertEqual(self.mailbox.batches, 0)

    def test_order_of_arrival(self) -> None:
        """While the connection is open, everything comes in the order of its arrival."""
        self.open.message(ONE)
        self.open.frames(frames("a"))
        self.open.message(TWO)
        self.open.frames(frames("b"))
        self.open.message(THREE)
        expected = [ONE, frames("a"), TWO, frames("b"), THREE]
        self.assertEqual(take_all(self.open), expected)

    def test_messages_wait_for_a_connection(self) -> None:
        """Casts and infos that come before the connection is open are not delivered."""
        self.mailbox.message(ONE)
        self.assertIsNone(self.mailbox.take())
        self.assertEqual((len(self.mailbox.queue), self.mailbox.waiting), (0, 1))

    def test_messages_that_waited_go_after_handle_connect(self) -> None:
        """What waited follows the opening, in order, and goes before what comes then."""
        begin = connected()
        self.mailbox.message(ONE)
        self.mailbox.message(TWO)
        self.mailbox.connected(begin)
        self.mailbox.frames(frames("a"))
        self.mailbox.message(THREE)
        self.assertEqual(take_all(self.mailbox), [begin, ONE, TWO, frames("a"), THREE])

    def test_closing_holds_messages_back(self) -> None:
        """Once the connection is open no more, the messages not yet delivered wait, in order."""
        self.open.message(ONE)
        self.open.frames(frames("a"))
        self.open.message(TWO)
        self.open.closing()
        self.open.message(THREE)
        self.assertEqual(take_all(self.open), [frames("a")])
        begin = connected()
        self.open.connected(begin)
        self.assertEqual(take_all(self.open), [begin, ONE, TWO, THREE])

    def test_frames_before_the_end_come_before_it(self) -> None:
        """Frames that arrived whole before a connection ended are delivered before its end."""
        end = lost()
        self.open.frames(frames("a"))
        self.open.frames(frames("b"))
        self.open.closing()
        self.open.lost(end)
        self.assertEqual(take_all(self.open), [frames("a"), frames("b"), end])

    def test_a_connection_that_opened_is_told_before_its_end(self) -> None:
        """``handle_connect`` comes before ``handle_disconnect``, however short it was."""
        begin, end = connected(), lost()
        self.mailbox.message(ONE)
        self.mailbox.connected(begin)
        self.mailbox.closing()
        self.mailbox.lost(end)
        self.assertEqual(take_all(self.mailbox), [begin, end])
        self.assertEqual(self.mailbox.waiting, 1)

    def test_a_failed_attempt(self) -> None:
        """The end of an attempt is delivered without a connection; messages go on waiting."""
        end = lost()
        self.mailbox.message(ONE)
        self.mailbox.lost(end)
        self.assertEqual(take_all(self.mailbox), [end])
        self.assertEqual(self.mailbox.waiting, 1)

    def test_messages_wait_between_connections(self) -> None:
        """After the end of a connection, messages wait for the next one."""
        self.open.closing()
        self.open.lost(lost())
        self.open.message(ONE)
        self.assertNotIn(ONE, take_all(self.open))
        self.open.connected(connected())
        self.assertIn(ONE, take_all(self.open))

    def test_put_back(self) -> None:
        """The rest of a batch goes before everything else."""
        self.open.frames(frames("a", "b", "c"))
        self.open.message(ONE)
        self.open.take()
        self.open.put_back(iter(frames("b", "c")))
        self.assertEqual(self.open.batches, 1)
        self.assertEqual(take_all(self.open), [(frames("b", "c")), ONE])

    def test_batches(self) -> None:
        """It knows whether frames wait, whatever else does."""
        self.open.message(ONE)
        self.assertEqual(self.open.batches, 0)
        self.open.frames(frames("a"))
        self.open.frames(frames("b"))
        for expected in (True, True, False):
            self.open.take()
            self.assertEqual(self.open.batches > 0, expected)

    def test_batches_while_closing(self) -> None:
        """Closing keeps the frames, and knows of them."""
        self.open.message(ONE)
        self.open.frames(frames("a"))
        self.open.closing()
        self.assertEqual(self.open.batches, 1)


class LimitTests(MailboxCase):
    """``mailbox_limit``."""

    def fill(self, mailbox: Mailbox, count: int = 10) -> None:
        """Puts casts in."""
        for n in range(count):
            mailbox.message(Message("handle_cast", n))

    def test_full_while_there_is_no_connection(self) -> None:
        """As many as the limit may wait; the next one is refused, and the limit is named."""
        self.fill(self.mailbox)
        error = self.assertRaises(MailboxFullError, self.mailbox.message, ONE)
        self.assertEqual(error.limit, 10)

    def test_what_was_refused_is_not_delivered(self) -> None:
        """Refusing a message neither takes it nor loses another."""
        self.fill(self.mailbox)
        self.assertRaises(MailboxFullError, self.mailbox.message, Message("handle_cast", "no"))
        self.mailbox.connected(connected())
        taken = [item.message for item in take_all(self.mailbox) if isinstance(item, Message)]
        self.assertEqual(taken, list(range(10)))

    def test_room_again(self) -> None:
        """A message that was delivered makes room for another."""
        self.fill(self.open)
        self.assertRaises(MailboxFullError, self.open.message, ONE)
        self.open.take()
        self.open.message(ONE)
        self.assertRaises(MailboxFullError, self.open.message, ONE)

    def test_frames_do_not_count(self) -> None:
        """The limit is for casts and infos alone."""
        for _ in range(20):
            self.open.frames(frames("a"))
        self.fill(self.open)
        self.assertEqual(self.open.waiting, 10)

    def test_casts_and_infos_count_together(self) -> None:
        """The limit is for both of them."""
        mailbox = Mailbox(2)
        mailbox.message(Message("handle_cast", 1))
        mailbox.message(Message("handle_info", 2))
        self.assertRaises(MailboxFullError, mailbox.message, Message("handle_info", 3))

    def test_count_survives_opening_and_closing(self) -> None:
        """Messages that move between the queues count once."""
        self.fill(self.mailbox)
        self.mailbox.connected(connected())
        self.assertEqual(self.mailbox.waiting, 10)
        self.mailbox.take()
        self.mailbox.take()
        self.mailbox.closing()
        self.assertEqual(self.mailbox.waiting, 9)
        self.mailbox.message(ONE)
        self.assertRaises(MailboxFullError, self.mailbox.message, TWO)

    def test_no_room_at_all(self) -> None:
        """A limit of 0 refuses every message."""
        self.assertRaises(MailboxFullError, Mailbox(0).message, ONE)


class ClearTests(MailboxCase):
    """Dropping everything."""

    def test_clear(self) -> None:
        """Nothing is left, and the casts and infos among it are counted."""
        self.open.message(ONE)
        self.open.frames(frames("a", "b"))
        self.open.message(TWO)
        self.open.closing()
        self.open.lost(lost())
        self.open.message(THREE)
        self.assertEqual(self.open.waiting, 3)
        self.open.clear()
        self.assertEqual((len(self.open.queue), self.open.waiting), (0, 0))
        self.assertEqual(self.open.batches, 0)
        self.assertIsNone(self.open.take())

    def test_clear_what_is_held(self) -> None:
        """What waited for a connection does not come with the next one."""
        self.mailbox.message(ONE)
        self.assertEqual(self.mailbox.waiting, 1)
        self.mailbox.clear()
        begin = connected()
        self.mailbox.connected(begin)
        self.assertEqual(take_all(self.mailbox), [begin])

    def test_nothing_takes_no_room(self) -> None:
        """All that are empty share one empty queue: idle clients are many."""
        used = Mailbox(10)
        used.connected(connected())
        used.message(ONE)
        take_all(used)
        self.assertIs(used.queue, self.mailbox.queue)
        used.message(TWO)
        self.assertIsNot(used.queue, self.mailbox.queue)
        used.clear()
        self.assertIs(used.queue, self.mailbox.queue)
        self.assertEqual(len(self.mailbox.queue), 0)

    def test_clear_of_nothing(self) -> None:
        """An empty mailbox drops no message."""
        self.open.clear()
        self.assertEqual((len(self.open.queue), self.open.waiting), (0, 0))
