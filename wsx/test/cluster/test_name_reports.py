"""Tests of wsx._cluster.name_reports: log lines and telemetry events about names."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

import wsx
from wsx import telemetry
from wsx._cluster.lease import Terms
from wsx._cluster.name_reports import NameReports
from wsx._scheduler import Scheduler
from wsx.test.support import MemoryCase, Recorder
from wsx.test.support.memory_nats import MemoryLink, MemoryNats

NAME = "wsx.test.name_reports"


class ReportTests(MemoryCase):
    """NameReports."""

    def setUp(self) -> None:
        super().setUp()
        clock = Clock()
        link = MemoryLink(MemoryNats(clock), clock)
        terms = Terms(
            link, 10.0, Scheduler(clock), clock.seconds, lambda _: False, lambda v: v.decode()
        )
        self.client = self.open(Recorder(), name=NAME)
        self.addCleanup(self.step)
        self.addCleanup(self.client.abort)
        self.reports = NameReports("feeds", self.client, terms)

    def lines(self, *reports: tuple[Any, ...]) -> list[str]:
        """Return the log lines of reports, each a method and its arguments."""
        with capturedLogs() as events:
            for report, *arguments in reports:
                report(*arguments)
        return [formatEvent(event) for event in events]

    def test_lines(self) -> None:
        """Each change is one line."""
        self.assertEqual(
            self.lines(
                (self.reports.acquired, 3),
                (self.reports.lost, "no answer"),
                (self.reports.waiting, b"host b"),
                (self.reports.acquired, 9),
                (self.reports.released,),
                (self.reports.not_released, "no answer\n"),
            ),
            [
                f'cluster feeds: this process has the name "{NAME}" (fence 3; it was free)',
                f'cluster feeds: the name "{NAME}" is held by host b',
                f'cluster feeds: this process has the name "{NAME}" (fence 9; before: host b)',
                f'cluster feeds: released the name "{NAME}"',
                f'cluster feeds: could not release the name "{NAME}" (no answer); '
                "it will be free in 10 s or less",
            ],
        )

    def test_holder_once(self) -> None:
        """The same holder is reported once, another one again."""
        holders = (b"b", b"b", b"c", b"b")
        lines = self.lines(*((self.reports.waiting, holder) for holder in holders))
        self.assertEqual([line[-1] for line in lines], ["b", "c", "b"])

    def test_key(self) -> None:
        """The name of a Global is shown by its key."""
        self.client.name = wsx.Global(("feed", 7))
        (line,) = self.lines((self.reports.released,))
        self.assertEqual(line, "cluster feeds: released the name ('feed', 7)")

    def test_telemetry(self) -> None:
        """The events have the metadata of the client, and the cluster."""
        seen: list[Any] = []
        names = [event for event in telemetry.EVENTS if event.startswith("wsx.name.")]
        telemetry.attach("test", names, lambda *arguments: seen.append(arguments))
        self.addCleanup(telemetry.detach, "test")
        self.reports.waiting(b"b")
        self.reports.acquired(9)
        self.reports.lost("no answer")
        self.reports.released()
        self.assertEqual([event for event, *_ in seen], names)
        others: list[dict[str, Any]] = [{"holder": "b"}, {"fence": 9}, {"reason": "no answer"}, {}]
        for (_, measurements, metadata, _), more in zip(seen, others, strict=True):
            self.assertEqual(list(measurements), ["time"])
            usual = {"client": self.client, "name": NAME, "handler": Recorder, "cluster": "feeds"}
            self.assertEqual(metadata, usual | more | {"conn": self.client.conn.redacted()})
