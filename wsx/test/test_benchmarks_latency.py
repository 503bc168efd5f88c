"""Tests of the benchmarks: round trips under load, and rows within the limits of the machine."""

from __future__ import annotations

import json
import resource
import socket
from threading import Thread
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

try:
    from benchmarks import wire
    from benchmarks.latency import Echoing, Histogram, Measurement, bucket_bound, schedule
    from benchmarks.report import row_table
    from benchmarks.results import RowResult
    from benchmarks.rows import ROWS, Row, Target
    from benchmarks.work import Void, Work
except ModuleNotFoundError as error:
    if error.name != "benchmarks":
        raise
    skip = "the benchmarks are only in a checkout of wsx"


class HistogramTests(SynchronousTestCase):
    """Percentiles of round trips."""

    def test_percentiles(self) -> None:
        """Percentiles are right to within the width of a bucket; the maximum is exact."""
        histogram = Histogram(number / 1000 for number in range(1, 1001))
        for percent, exact in ((50.0, 0.5), (99.0, 0.99), (99.9, 0.999)):
            found = histogram.percentile(percent)
            self.assertTrue(exact <= found <= exact * 1.011, (percent, found))
        self.assertEqual((histogram.percentile(100.0), histogram.maximum), (1.0, 1.0))

    def test_few(self) -> None:
        """Of a single round trip, every percentile is that round trip."""
        histogram = Histogram([0.25])
        self.assertEqual([histogram.percentile(one) for one in (0.1, 50.0, 99.9)], [0.25] * 3)

    def test_bounds(self) -> None:
        """A round trip is in the bucket whose bounds are around it, or in the first one."""
        for seconds in (1e-6, 3.3e-5, 0.1, 7.0):
            [bucket] = Histogram([seconds]).buckets
            self.assertTrue(bucket_bound(bucket) <= seconds * 1.000001)
            self.assertTrue(seconds < bucket_bound(bucket + 1) * 1.000001)
        self.assertEqual(Histogram([1e-9]).buckets, {0: 1})

    def test_merge(self) -> None:
        """Histograms that were JSON meanwhile can be added."""
        runs = [Histogram([0.1, 0.2]), Histogram([0.2, 0.3])]
        merged = Histogram.merge(json.loads(json.dumps(run.as_json())) for run in runs)
        self.assertEqual(merged.as_json(), Histogram([0.1, 0.2, 0.2, 0.3]).as_json())


class ScheduleTests(SynchronousTestCase):
    """The times at which messages are sent."""

    def test_times(self) -> None:
        """The times have the requested rate, increase, and are always the same."""
        times = schedule(10_000, 2_000)
        self.assertEqual(times, sorted(times))
        self.assertTrue(4.5 < times[-1] < 5.5, times[-1])
        self.assertEqual(times, schedule(10_000, 2_000))


class EchoingTests(SynchronousTestCase):
    """Connections whose clients send back each message."""

    def setUp(self) -> None:
        self.server, self.client = socket.socketpair()
        self.addCleanup(self.server.close)
        self.addCleanup(self.client.close)
        self.client.settimeout(5.0)
        self.echo = wire.masked_frame(b"x" * 10, b"abcd")

    def test_receive(self) -> None:
        """Return one time for each complete message, however they arrive."""
        echoing = Echoing(self.server, 10)
        for _ in range(3):
            echoing.send()
        self.assertEqual(self.client.recv(100), wire.frame(b"x" * 10) * 3)
        counts = []
        for part in (self.echo[:5], self.echo[5:] + self.echo[:1], self.echo[1:] + self.echo):
            self.client.sendall(part)
            counts.append(len(echoing.receive()))
        self.assertEqual(counts, [0, 1, 2])

    def test_too_many(self) -> None:
        """A client that sends more than it received is an error."""
        self.client.sendall(self.echo)
        error = self.assertRaises(ConnectionError, Echoing(self.server, 10).receive)
        self.assertEqual(str(error), "the client sent more messages than it received")

    def test_closed(self) -> None:
        """A client that closes its connection is an error."""
        self.client.close()
        error = self.assertRaises(ConnectionError, Echoing(self.server, 10).receive)
        self.assertEqual(str(error), "the client closed the connection")

    def test_measurement(self) -> None:
        """All messages are sent, and all echoes are in the histogram."""
        size = len(wire.frame(b"x" * 10))

        def client() -> None:
            for _ in range(50):
                self.client.recv(size, socket.MSG_WAITALL)
                self.client.sendall(self.echo)

        thread = Thread(target=client)
        thread.start()
        histogram = Measurement([self.server], 50, 10_000, 10).run()
        thread.join()
        self.assertEqual(histogram.buckets.total(), 50)
        self.assertTrue(histogram.maximum > 0)


def latency_run(*seconds: float) -> dict[str, Any]:
    """Return the numbers of a run of the row "latency"."""
    histogram = Histogram(seconds).as_json()
    return {"seconds": 1.0, "cpu_seconds": 0.5, "server_cpu_seconds": 0.5, "latencies": histogram}


class RowTests(SynchronousTestCase):
    """Rows."""

    def test_latency(self) -> None:
        """The value is the 99th percentile; the table has the percentiles of all runs."""
        result = RowResult(ROWS["latency"], {"wsx": [latency_run(0.001), latency_run(0.004)]})
        self.assertEqual(result.spreads()["wsx"].median, 0.0025)
        line = row_table(result).splitlines()[-1]
        self.assertEqual(line.split(), ["wsx", "1.01", "m", "4", "m", "4", "m", "4", "m"])

    def test_void(self) -> None:
        """A run with fewer round trips than messages is void."""
        work = Work("latency", 10, connections=2, rate=5)
        work.check({"round_trips": 10})
        error = self.assertRaises(Void, work.check, {"round_trips": 9})
        self.assertEqual(str(error), "round_trips: expected 10, got 9")

    def test_limits(self) -> None:
        """The numbers of connections are within the limit on open files, those of messages not."""
        self.patch(resource, "getrlimit", lambda which: (300, 300))
        for name, connections, count in (
            ("latency", 200, 10_000),
            ("memory-tls", 0, 200),
            ("connects-tls", 0, 200),
            ("echo", 0, 20_000),
        ):
            work = ROWS[name].within_limits().work
            self.assertEqual((name, work.connections, work.count), (name, connections, count))

    def test_target_above(self) -> None:
        """A target can be a value above that of a peer."""
        target = Target(("wsx",), 1.0, "raw-pyopenssl", plus=30.0)
        row = Row("m", "M", "KiB", Work("memory", 1), 1, (target,), lower_is_better=True)
        for reached, outcome in ((65.0, "MET"), (67.0, "NOT MET")):
            result = RowResult(row, {"wsx": [{"kib": reached}], "raw-pyopenssl": [{"kib": 36.0}]})
            expected = f"1 x raw-pyopenssl + 30 KiB = 66.00: wsx reached {reached:.2f}: {outcome}"
            self.assertEqual(row_table(result).splitlines()[-1], f"  target: wsx: {expected}")
