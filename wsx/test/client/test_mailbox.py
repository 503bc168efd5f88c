"""Tests of the mailbox: what may be delivered, in which order, and its limit."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsx._client.mailbox import Connected, Frames, Lost, Mailbox, Message, Rest
from wsx.conn import Conn
from wsx.errors import MailboxFullError
from wsx.frames import Frame, Text
from wsx.reasons import ConnectionDropped, Disconnect

CONN = Conn("ws://example.test/")
ONE, TWO, THREE = (Message("handle_cast", n) for n in (1, 2, 3))


def connected() -> Connected:
    """Return the opening of a connection."""
    return Connected(CONN, lambda: None)


def lost() -> Lost:
    """Return the loss of a connection."""
    return Lost(Disconnect(ConnectionDropped(), 1, CONN))


def frames(*payloads: str) -> list[Frame]:
    """Return Text frames."""
    return [Text(payload) for payload in payloads]


def take_all(mailbox: Mailbox) -> list[object]:
    """Take everything that may be delivered; frames as a list, for comparisons."""
    taken: list[object] = []
    while (item := mailbox.take()) is not None:
        taken.append(list(item.frames) if isinstance(item, Frames) else item)
    return taken


class MailboxCase(SynchronousTestCase):
    """A mailbox without a connection, and one with an open connection."""

    def setUp(self) -> None:
        self.mailbox = Mailbox(10)
        self.open = Mailbox(10)
        self.open.connected(connected())
        self.open.take()

    def queue(self, *payloads: str) -> None:
        """Queue a batch of Text frames in the mailbox with the open connection."""
        self.open.frames(iter(frames(*payloads)), False)


class OrderTests(MailboxCase):
    """What is delivered, and in which order."""

    def test_empty(self) -> None:
        """A new mailbox is empty."""
        self.assertIsNone(self.mailbox.take())
        self.assertEqual((len(self.mailbox.queue), self.mailbox.waiting), (0, 0))
        self.assertEqual(self.mailbox.batches, 0)

    def test_order_of_arrival(self) -> None:
        """While the connection is open, everything is delivered in order of arrival."""
        self.open.message(ONE)
        self.queue("a")
        self.open.message(TWO)
        self.queue("b")
        self.open.message(THREE)
        expected = [ONE, frames("a"), TWO, frames("b"), THREE]
        self.assertEqual(take_all(self.open), expected)

    def test_messages_wait_for_a_connection(self) -> None:
        """Casts and infos are not delivered before the connection is open."""
        self.mailbox.message(ONE)
        self.assertIsNone(self.mailbox.take())
        self.assertEqual((len(self.mailbox.queue), self.mailbox.waiting), (0, 1))

    def test_messages_that_waited_follow_handle_connect(self) -> None:
        """Messages that have waited follow the opening, before everything that arrives later."""
        begin = connected()
        self.mailbox.message(ONE)
        self.mailbox.message(TWO)
        self.mailbox.connected(begin)
        self.mailbox.frames(iter(frames("a")), False)
        self.mailbox.message(THREE)
        self.assertEqual(take_all(self.mailbox), [begin, ONE, TWO, frames("a"), THREE])

    def test_closing_holds_messages_back(self) -> None:
        """Once the connection is closing, messages wait for the next one, in order."""
        self.open.message(ONE)
        self.queue("a")
        self.open.message(TWO)
        self.open.closing()
        self.open.message(THREE)
        self.assertEqual(take_all(self.open), [frames("a")])
        begin = connected()
        self.open.connected(begin)
        self.assertEqual(take_all(self.open), [begin, ONE, TWO, THREE])

    def test_frames_before_a_loss(self) -> None:
        """Frames that arrived before a loss are delivered before it."""
        end = lost()
        self.queue("a")
        self.queue("b")
        self.open.closing()
        self.open.lost(end)
        self.assertEqual(take_all(self.open), [frames("a"), frames("b"), end])

    def test_short_connection(self) -> None:
        """``handle_connect`` precedes ``handle_disconnect``, however short a connection is."""
        begin, end = connected(), lost()
        self.mailbox.message(ONE)
        self.mailbox.connected(begin)
        self.mailbox.closing()
        self.mailbox.lost(end)
        self.assertEqual(take_all(self.mailbox), [begin, end])
        self.assertEqual(self.mailbox.waiting, 1)

    def test_a_failed_attempt(self) -> None:
        """A failed attempt is delivered without a connection; messages still wait."""
        end = lost()
        self.mailbox.message(ONE)
        self.mailbox.lost(end)
        self.assertEqual(take_all(self.mailbox), [end])
        self.assertEqual(self.mailbox.waiting, 1)

    def test_messages_wait_between_connections(self) -> None:
        """After the loss of a connection, messages wait for the next one."""
        self.open.closing()
        self.open.lost(lost())
        self.open.message(ONE)
        self.assertNotIn(ONE, take_all(self.open))
        self.open.connected(connected())
        self.assertIn(ONE, take_all(self.open))

    def test_put_back(self) -> None:
        """The rest of a batch is delivered before everything else."""
        self.queue("a", "b", "c")
        self.open.message(ONE)
        self.open.take()
        self.open.put_back(iter(frames("b", "c")), False)
        self.assertEqual(self.open.batches, 1)
        self.assertEqual(take_all(self.open), [(frames("b", "c")), ONE])

    def test_has_controls(self) -> None:
        """Whether there are control frames is kept with the frames, also when put back."""
        for has_controls in (True, False):
            self.open.frames(iter(frames("a", "b")), has_controls)
            item = self.open.take()
            assert isinstance(item, Frames)
            self.assertIs(item.has_controls, has_controls)
            self.open.put_back(item.frames, has_controls)
            item = self.open.take()
            assert isinstance(item, Frames)
            self.assertIs(item.has_controls, has_controls)

    def test_starts_with_frames(self) -> None:
        """``starts_with_frames`` is true if frames are delivered next."""
        self.assertFalse(self.mailbox.starts_with_frames)
        self.assertFalse(self.open.starts_with_frames)
        self.open.message(ONE)
        self.queue("a")
        self.open.lost(lost())
        found = []
        while self.open.queue:
            found.append(self.open.starts_with_frames)
            self.open.take()
        self.assertEqual(found, [False, True, False])
        self.assertFalse(self.open.starts_with_frames)

    def test_starts_with_frames_of_held_messages(self) -> None:
        """Messages that wait for a connection are not delivered next."""
        self.open.message(ONE)
        self.queue("a")
        self.open.closing()
        self.assertTrue(self.open.starts_with_frames)

    def test_starts_with_frames_put_back(self) -> None:
        """Frames that are put back are delivered next."""
        self.open.message(ONE)
        self.open.put_back(iter(frames("a")), False)
        self.assertTrue(self.open.starts_with_frames)

    def test_batches(self) -> None:
        """``batches`` counts batches of frames, and nothing else."""
        self.open.message(ONE)
        self.assertEqual(self.open.batches, 0)
        self.queue("a")
        self.queue("b")
        for expected in (True, True, False):
            self.open.take()
            self.assertEqual(self.open.batches > 0, expected)

    def test_batches_while_closing(self) -> None:
        """``closing`` keeps the frames and their count."""
        self.open.message(ONE)
        self.queue("a")
        self.open.closing()
        self.assertEqual(self.open.batches, 1)


class LimitTests(MailboxCase):
    """``mailbox_limit``."""

    def fill(self, mailbox: Mailbox, count: int = 10) -> None:
        """Queue casts."""
        for n in range(count):
            mailbox.message(Message("handle_cast", n))

    def test_full_while_there_is_no_connection(self) -> None:
        """The first message above the limit is refused, with the limit in the error."""
        self.fill(self.mailbox)
        error = self.assertRaises(MailboxFullError, self.mailbox.message, ONE)
        self.assertEqual(error.limit, 10)

    def test_refused_messages_are_not_delivered(self) -> None:
        """A refused message is not delivered, and no other message is lost."""
        self.fill(self.mailbox)
        self.assertRaises(MailboxFullError, self.mailbox.message, Message("handle_cast", "no"))
        self.mailbox.connected(connected())
        taken = [item.message for item in take_all(self.mailbox) if isinstance(item, Message)]
        self.assertEqual(taken, list(range(10)))

    def test_delivered_messages_do_not_count(self) -> None:
        """After a message is delivered, one more is accepted."""
        self.fill(self.open)
        self.assertRaises(MailboxFullError, self.open.message, ONE)
        self.open.take()
        self.open.message(ONE)
        self.assertRaises(MailboxFullError, self.open.message, ONE)

    def test_frames_do_not_count(self) -> None:
        """The limit applies to casts and infos only."""
        for _ in range(20):
            self.queue("a")
        self.fill(self.open)
        self.assertEqual(self.open.waiting, 10)

    def test_casts_and_infos_count_together(self) -> None:
        """The limit applies to the sum of casts and infos."""
        mailbox = Mailbox(2)
        mailbox.message(Message("handle_cast", 1))
        mailbox.message(Message("handle_info", 2))
        self.assertRaises(MailboxFullError, mailbox.message, Message("handle_info", 3))

    def test_count_survives_opening_and_closing(self) -> None:
        """Messages that are held and queued again count once."""
        self.fill(self.mailbox)
        self.mailbox.connected(connected())
        self.assertEqual(self.mailbox.waiting, 10)
        self.mailbox.take()
        self.mailbox.take()
        self.mailbox.closing()
        self.assertEqual(self.mailbox.waiting, 9)
        self.mailbox.message(ONE)
        self.assertRaises(MailboxFullError, self.mailbox.message, TWO)

    def test_limit_of_0(self) -> None:
        """A limit of 0 refuses every message."""
        self.assertRaises(MailboxFullError, Mailbox(0).message, ONE)


class ClearTests(MailboxCase):
    """``clear``."""

    def test_clear(self) -> None:
        """Everything is dropped, and nothing is counted any more."""
        self.open.message(ONE)
        self.queue("a", "b")
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
        """Messages that wait for a connection are dropped too."""
        self.mailbox.message(ONE)
        self.assertEqual(self.mailbox.waiting, 1)
        self.mailbox.clear()
        begin = connected()
        self.mailbox.connected(begin)
        self.assertEqual(take_all(self.mailbox), [begin])

    def test_empty_mailboxes_share_a_queue(self) -> None:
        """All empty mailboxes share one queue, because there may be many idle clients."""
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

    def test_drop_connection(self) -> None:
        """The opening and the frames of a connection are dropped, its loss and messages are not."""
        self.open.connected(connected())
        self.queue("a", "b")
        self.open.message(ONE)
        self.open.rest(Rest(lambda: self.fail("the rest was decoded")))
        end = lost()
        self.open.lost(end)
        self.open.drop_connection()
        self.assertEqual(self.open.batches, 0)
        self.assertEqual(take_all(self.open), [ONE, end])
        self.assertEqual(self.open.waiting, 0)

    def test_clear_of_nothing(self) -> None:
        """Clearing an empty mailbox does nothing."""
        self.open.clear()
        self.assertEqual((len(self.open.queue), self.open.waiting), (0, 0))
