"""Tests of the soak runs themselves: their checks find violations, and only those."""

from __future__ import annotations

import random
from argparse import Namespace
from threading import Event
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock
from xml.etree import ElementTree

from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from wsx import Backoff
from wsx.test.soak.clients import ClientRecord
from wsx.test.soak.echoes import EchoCheck
from wsx.test.soak.ledger import Ledger
from wsx.test.soak.memory import Memory, count_descriptors
from wsx.test.soak.plot import Line, Panel, draw
from wsx.test.soak.run import Run
from wsx.test.soak.storm import Storm, chart, longest_wait, most_attempts, most_within
from wsx.test.support.each import each


class LedgerTests(SynchronousTestCase):
    """Deferreds that must fire once, within a time limit."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.ledger = Ledger(self.clock.seconds)
        self.fires: Deferred[None] = Deferred()
        self.ledger.promise("send_frame", "c1", self.fires, 5.0)

    def test_kept(self) -> None:
        """A Deferred that fires in time is counted and forgotten."""
        self.clock.advance(4.0)
        self.fires.callback(None)
        self.ledger.check_promises()
        self.assertEqual(self.ledger.violations, [])
        self.assertEqual(self.ledger.counts["send_frame succeeded"], 1)
        self.assertEqual(self.ledger.longest, {"send_frame": 4.0})
        self.assertEqual(len(self.ledger.promises), 0)

    def test_failed(self) -> None:
        """A Deferred that fails in time is no violation."""
        self.fires.errback(ValueError())
        self.assertEqual(self.ledger.violations, [])
        self.assertEqual(self.ledger.counts["send_frame failed"], 1)

    def test_late(self) -> None:
        """A Deferred that fires too late is a violation."""
        self.clock.advance(6.0)
        self.fires.callback(None)
        self.assertEqual(self.ledger.violations, ["c1: send_frame fired after 6.0 s"])

    def test_never(self) -> None:
        """A Deferred that does not fire is a violation, once."""
        self.clock.advance(6.0)
        self.ledger.check_promises()
        self.ledger.check_promises()
        self.assertEqual(self.ledger.violations, ["c1: send_frame did not fire in time"])

    def test_many_violations(self) -> None:
        """All violations are counted, and some are kept."""
        for _ in range(1000):
            self.ledger.check(False, "{}", "x")
        self.assertEqual((self.ledger.violated, len(self.ledger.violations)), (1000, 20))


class ClientRecordTests(SynchronousTestCase):
    """What a client must observe."""

    def setUp(self) -> None:
        self.ledger = Ledger(Clock().seconds)
        self.record = ClientRecord("c1", self.ledger, random.Random(1))

    def open(self) -> None:
        """Open a connection."""
        self.record.observe("wsx.connected")
        self.record.opening()

    def lose(self) -> None:
        """Lose the connection."""
        self.record.observe("wsx.disconnected")
        self.record.losing()

    def assert_violation(self, text: str) -> None:
        """Assert that there is one violation, with this text."""
        self.assertEqual(len(self.ledger.violations), 1, self.ledger.violations)
        self.assertIn(text, self.ledger.violations[0])

    def test_all_is_well(self) -> None:
        """A usual sequence of events has no violation."""
        for _ in range(3):
            self.open()
            for source in ("send", "reply", "send"):
                self.record.received(self.record.message(source))
            self.record.posted += 1
            self.record.handling(self.record.handled)
            self.lose()
        self.record.terminated = 1
        self.record.ended()
        self.assertEqual(self.ledger.violations, [])
        self.assertEqual(self.ledger.counts["damaged"], 0)

    def test_connected_twice(self) -> None:
        """handle_connect must not be called twice without handle_disconnect."""
        self.open()
        self.record.opening()
        self.assert_violation("handle_connect without handle_disconnect")

    def test_loss_reported_twice(self) -> None:
        """handle_disconnect must be called once for each loss."""
        self.open()
        self.lose()
        self.record.losing()
        self.assert_violation("1 losses, but 2 calls of handle_disconnect")

    def test_loss_not_reported(self) -> None:
        """All losses except the last one must have been reported."""
        for _ in range(2):
            self.open()
            self.record.observe("wsx.disconnected")
            self.record.connected = False
        self.record.terminated = 1
        self.record.ended()
        self.assert_violation("2 losses were not reported")

    @each([(0, 2), (1, 0), (0, 1, 1)])
    def test_cast_order(self, *numbers: int) -> None:
        """Casts must be delivered once and in order."""
        self.open()
        for number in numbers:
            self.record.handling(number)
        self.assertNotEqual(self.ledger.violations, [])

    def test_cast_lost(self) -> None:
        """A cast must be delivered, or reported as undelivered."""
        self.record.posted, self.record.handled, self.record.terminated = 5, 3, 1
        self.record.undelivered = 2
        self.record.ended()
        self.assertEqual(self.ledger.violations, [])
        self.record.undelivered = 1
        self.record.ended()
        self.assert_violation("2 casts left, 1 reported")

    def test_cast_while_disconnected(self) -> None:
        """No cast may be delivered without a connection."""
        self.record.handling(0)
        self.assert_violation("a cast without a connection")

    def test_nested(self) -> None:
        """No callback may run inside another one."""
        self.record.enter()
        self.record.enter()
        self.assert_violation("inside another one")

    def test_message_of_an_old_connection(self) -> None:
        """No message may be delivered on a later connection."""
        self.open()
        old = self.record.message("send")
        self.lose()
        self.open()
        self.record.received(old)
        self.assert_violation("another connection")

    def test_damaged(self) -> None:
        """A damaged or missing message is counted once for each connection."""
        self.open()
        whole = self.record.message("send")
        self.record.received(whole.replace("send", "sens"))
        self.record.message("send")
        self.record.received(self.record.message("send"))
        self.assertEqual(self.ledger.counts["damaged"], 1)

    def test_flood(self) -> None:
        """A missing message of a flood is noticed."""
        self.open()
        for index in (0, 1, 3):
            self.record.received(f"flood {index} 4")
        self.assertEqual(self.ledger.counts["damaged"], 1)

    @each([0, 2])
    def test_terminate(self, calls: int) -> None:
        """``terminate`` must be called once."""
        self.open()
        self.lose()
        self.record.terminated = calls
        self.record.ended()
        self.assert_violation(f"terminate called {calls} times")

    def test_callback_after_the_end(self) -> None:
        """No callback may run after the client has ended, even if it was stopped while open."""
        self.open()
        self.record.observe("wsx.disconnected")
        self.record.terminated = 1
        self.record.ended()
        self.assertEqual(self.ledger.violations, [])
        self.record.received("bye")
        self.assert_violation("a message without a connection")

    @each(["connecting", "closing", "disconnected", "terminated"])
    def test_is_usable(self, status: str) -> None:
        """A client is usable from handle_connect until it starts closing."""
        client: Any = SimpleNamespace(status="open")
        self.record.client = client
        self.assertFalse(self.record.is_usable)
        self.open()
        self.assertTrue(self.record.is_usable)
        client.status = status
        self.assertFalse(self.record.is_usable)


class EchoCheckTests(SynchronousTestCase):
    """Each client must receive an echo at the end."""

    def setUp(self) -> None:
        self.ledger = Ledger(Clock().seconds)
        self.records: dict[str, ClientRecord] = {}
        self.check = EchoCheck(self.records)
        self.record, self.sent = self.start()

    def start(self) -> tuple[ClientRecord, list[str]]:
        """Start an open client in place of the last one, and return what it sends."""
        record, sent = ClientRecord("c1", self.ledger, random.Random(1)), []

        def send_frame(frame: Any, timeout: float) -> Deferred[None]:
            sent.append(frame.payload)
            return succeed(None)

        client: Any = SimpleNamespace(status="open", send_frame=send_frame)
        record.client = client
        record.opening()
        self.records["c1"] = record
        return record, sent

    def test_echo(self) -> None:
        """One message is sent, and its echo is noticed."""
        self.assertEqual(self.check.poll(), [self.record])
        self.assertEqual(self.check.poll(), [self.record])
        [message] = self.sent
        self.record.received(message)
        self.assertEqual(self.check.poll(), [])
        self.record.losing()
        self.assertEqual(self.check.poll(), [])

    def test_earlier_message(self) -> None:
        """The echo of a message that was sent before does not count."""
        earlier = self.record.message("send")
        self.check.poll()
        self.record.received(earlier)
        self.assertEqual(self.check.poll(), [self.record])

    def test_next_connection(self) -> None:
        """After a loss, another message is sent on the next connection."""
        self.check.poll()
        self.record.losing()
        self.assertEqual(self.check.poll(), [self.record])
        self.record.opening()
        self.assertEqual(self.check.poll(), [self.record])
        self.assertEqual(len(self.sent), 2)
        self.record.received(self.sent[1])
        self.assertEqual(self.check.poll(), [])

    def test_next_client(self) -> None:
        """A client that follows another one gets a message, although its connection is also 1."""
        self.check.poll()
        record, sent = self.start()
        self.assertEqual(self.check.poll(), [record])
        [message] = sent
        record.received(message)
        self.assertEqual(self.check.poll(), [])

    def test_stopping_client(self) -> None:
        """A client that is being stopped gets no message. The next one does."""
        client: Any = self.record.client
        client.status = "closing"
        self.assertEqual(self.check.poll(), [self.record])
        self.assertEqual(self.sent, [])
        record, sent = self.start()
        self.assertEqual(self.check.poll(), [record])
        self.assertEqual(len(sent), 1)


class RunTests(TestCase):
    """The conversation of a run with its network."""

    def test_reactor_runs_while_the_network_answers(self) -> Deferred[None]:
        """The clients go on while a server that was killed starts again."""
        from twisted.internet import reactor

        run: Any = Run(Namespace(seed=1, clients=1, compressed=0.0), reactor)
        reactor_ran = Event()
        network = Mock()
        network.stdout.readline = lambda: str(reactor_ran.wait(10)).lower()
        run.reactor.callLater(0, reactor_ran.set)

        def answered(answer: bool) -> None:
            self.assertTrue(answer)
            network.stdin.write.assert_called_once_with("calm\n")

        return ensureDeferred(run._ask(network, "calm")).addCallback(answered)


class MemoryTests(SynchronousTestCase):
    """The figures about memory."""

    def test_spread_and_growth(self) -> None:
        """Spread and growth concern the last two thirds of the samples."""
        memory = Memory()
        memory.samples = [(float(second), 50.0 + min(second, 10)) for second in range(31)]
        self.assertEqual((memory.spread(), memory.growth()), (0.0, 0.0))
        memory.samples = [(float(second), 50.0 + second) for second in range(31)]
        self.assertEqual(memory.spread(), 20.0)
        self.assertEqual(memory.growth(), 10.5)

    def test_sample(self) -> None:
        """A sample is the memory of this process."""
        self.assertGreater(Memory().sample(0.0), 5.0)

    def test_descriptors(self) -> None:
        """An open file is counted."""
        before = count_descriptors()
        with open("/dev/null"):
            self.assertEqual(count_descriptors(), before + 1)


class StormTests(SynchronousTestCase):
    """The bounds for a restart storm, and its chart."""

    def storm(self, down: float, seed: int, clients: int = 2000) -> Storm:
        """Return the attempts that ``Backoff`` makes after a restart, without a network."""
        storm = Storm(clients, None, down)
        rng = random.Random(seed)
        for _ in range(clients):
            policy, time, number = Backoff(rng=rng), 0.0, 0
            while time < down or number == 0:
                number += 1
                delay = policy(number)
                assert delay is not None
                time += delay
                storm.attempts.append(time)
            storm.opened.append(time)
        return storm

    @each([0.0, 0.2, 1.0, 1.4, 1.5, 2.0, 4.8, 10.0, 30.0, 100.0, 1000.0])
    def test_bounds(self, down: float) -> None:
        """All clients are open in time, and no 0.1 s has too many attempts."""
        for seed in range(3):
            storm = self.storm(down, seed)
            self.assertLessEqual(max(storm.opened), longest_wait(down))
            self.assertLessEqual(most_within(storm.opened, 0.1), most_attempts(2000, down))

    def test_most_within(self) -> None:
        """The period is half-open."""
        self.assertEqual(most_within([], 1.0), 0)
        self.assertEqual(most_within([3.0, 1.0, 2.0, 2.5], 1.0), 2)
        self.assertEqual(most_within([3.0, 1.0, 2.0, 2.5], 1.01), 3)

    def test_chart(self) -> None:
        """The chart is valid XML with a line for each storm in each panel."""
        root = ElementTree.fromstring(chart([self.storm(2.0, 1), self.storm(2.0, 2)]))
        lines = root.findall(".//{http://www.w3.org/2000/svg}polyline")
        self.assertEqual(len(lines), 4)

    def test_text_of_a_chart(self) -> None:
        """Text is escaped."""
        drawn = draw([Panel("a < b", "x", [Line("one", [(0, 0), (1, 1)])])])
        self.assertIn("a &lt; b", drawn)
