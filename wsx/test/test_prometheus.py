"""Tests of wsx.prometheus: what is counted, what is dropped, and what a scrape returns."""

from __future__ import annotations

import gc
import importlib
import json
import os
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import Agent, HTTPConnectionPool, readBody
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

import wsx
from wsx import telemetry
from wsx.test.support import LoopbackCase, MemoryCase, Recorder, case, close, server_frame, text
from wsx.test.support.extras import missing

MISSING = missing("prometheus_client")
if not MISSING:
    import prometheus_client
    from prometheus_client.parser import text_string_to_metric_families

    from wsx.prometheus import Exporter, metrics_site

ROOT = Path(wsx.__file__).resolve().parents[1]
NAME = "wsx.test.prometheus"
SECRET = "s3cr3t"

FRESH = """
import json, sys
import wsx, wsx.service, wsx.tap
print(json.dumps([name for name in sys.modules if "prometheus" in name]))
"""


def again(status: Any, state: Any) -> Any:
    """Reconnect after one second; a ``handle_disconnect`` callback."""
    return wsx.Reconnect(state, after=1.0)


class ImportTests(SynchronousTestCase):
    """prometheus-client is an optional dependency."""

    def test_without_prometheus_client(self) -> None:
        """Without prometheus-client, the import error says what to install."""
        hidden = {name: None for name in sys.modules if name.startswith("prometheus_client")}
        with mock.patch.dict(sys.modules, hidden | {"prometheus_client": None}):
            sys.modules.pop("wsx.prometheus", None)
            error = self.assertRaises(ImportError, importlib.import_module, "wsx.prometheus")
        self.assertIn("pip install prometheus-client", str(error))

    def test_wsx_does_not_import_it(self) -> None:
        """``import wsx`` and the twistd plugin do not import prometheus-client."""
        done = subprocess.run(
            [sys.executable, "-c", FRESH],
            env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        self.assertEqual(json.loads(done.stdout), [])


class ExporterCase(MemoryCase):
    """Base class: an attached exporter with its own registry."""

    skip = MISSING

    def setUp(self) -> None:
        super().setUp()
        self.registry = prometheus_client.CollectorRegistry(auto_describe=True)
        self.exporter = Exporter(self.registry)
        self.exporter.attach()
        self.addCleanup(self.leave)

    def leave(self) -> None:
        """Detach the exporter if it is attached."""
        if self.exporter in (observer.handler_id for observer in telemetry.list_handlers()):
            self.exporter.detach()

    def value(self, name: str, client: str = NAME, **labels: str) -> float | None:
        """Return the value of a metric, or None if there is no sample."""
        value: float | None = self.registry.get_sample_value(name, {"client": client, **labels})
        return value

    def labels(self, name: str, label: str = "client") -> list[str]:
        """Return the values of a label in a metric's samples."""
        return [
            sample.labels[label]
            for metric in self.registry.collect()
            for sample in metric.samples
            if sample.name == name
        ]

    def named(self, handler: Any = None, **options: Any) -> Any:
        """Open a client with a name; it is stopped at the end of the test."""
        client = self.open(handler or Recorder(), **({"name": NAME} | options))
        self.addCleanup(self.end, client)
        return client

    def end(self, client: Any) -> None:
        """Stop a client and wait for its end."""
        client.stop()
        self.clock.advance(10)
        self.step()


class ConnectionTests(ExporterCase):
    """Connections: open, made, retried, lost, failed."""

    def test_life(self) -> None:
        """The gauge of open connections falls when a connection ends; the counter stays."""
        self.named(Recorder(handle_disconnect=again))
        self.assertEqual(self.value("wsx_connections_open"), 1)
        self.assertEqual(self.value("wsx_connections_made_total"), 1)
        self.peer.drop()
        self.step()
        self.assertEqual(self.value("wsx_connections_open"), 0)
        self.assertEqual(self.value("wsx_connections_made_total"), 1)

    def test_from_zero(self) -> None:
        """While the first connection is being made, the values are 0."""
        client = self.successResultOf(self.start(Recorder(), name=NAME, async_=True))
        for name in (
            "wsx_connections_open",
            "wsx_connections_made_total",
            "wsx_reconnect_attempts_total",
        ):
            self.assertEqual(self.value(name), 0, name)
        self.end(client)

    def test_reconnects(self) -> None:
        """Attempts after the first are counted, successful or not."""
        self.named(Recorder(handle_disconnect=again))
        self.assertEqual(self.value("wsx_reconnect_attempts_total"), 0)
        self.peer.drop()
        self.server.refusal = Refused()
        for _ in range(2):
            self.step()
            self.clock.advance(1)
        self.server.refusal = None
        self.step()
        self.clock.advance(1)
        self.peer.answer()
        self.assertEqual(self.value("wsx_reconnect_attempts_total"), 3)
        self.assertEqual(self.value("wsx_connections_made_total"), 2)
        self.assertEqual(self.value("wsx_connections_open"), 1)

    def test_lost_and_failed(self) -> None:
        """Ended connections and failed attempts are counted separately, by reason."""
        self.named(Recorder(handle_disconnect=again))
        self.peer.drop()
        self.server.refusal = Refused()
        self.step()
        self.clock.advance(1)
        self.step()
        self.assertEqual(self.value("wsx_disconnects_total", kind="ConnectionDropped"), 1)
        self.assertEqual(self.value("wsx_failed_attempts_total", kind="ConnError"), 1)
        self.assertEqual(self.labels("wsx_disconnects_total", "kind"), ["ConnectionDropped"])
        self.assertEqual(self.labels("wsx_failed_attempts_total", "kind"), ["ConnError"])

    def test_first_attempt_fails(self) -> None:
        """A failed first attempt counts as a failed attempt and as an abnormal end."""
        self.server.refusal = Refused()
        self.failureResultOf(self.start(Recorder(), name=NAME))
        self.assertEqual(self.value("wsx_failed_attempts_total", kind="ConnError"), 1)
        self.assertEqual(self.value("wsx_clients_ended_total", end="abnormal"), 1)
        self.assertEqual(self.labels("wsx_disconnects_total"), [])

    def test_kinds(self) -> None:
        """The kind is the name of the reason's class, without its message."""
        ways: list[tuple[Any, str]] = [
            (lambda client: client.close(3000, SECRET), "LocalClose"),
            (lambda client: self.peer.send(close(1000, SECRET)), "RemoteClose"),
            (lambda client: self.peer.send(b"\xff\xff"), "FrameError"),
            (lambda client: client.stop(SECRET), "Shutdown"),
            (lambda client: client.sys.terminate(SECRET), "str"),
        ]
        for end, kind in ways:
            with case(kind):
                client = self.named()
                end(client)
                self.peer.drop()
                self.step()
                self.assertEqual(self.value("wsx_disconnects_total", kind=kind), 1)

    def test_stop_while_closing(self) -> None:
        """A closing connection counts as open until it ends."""
        client = self.named()
        client.stop()
        self.assertEqual(self.value("wsx_connections_open"), 1)
        self.peer.drop()
        self.assertEqual(self.value("wsx_connections_open"), 0)

    def test_several_with_one_label(self) -> None:
        """Clients without a name share the label of their handler's class."""

        class Feed(Recorder):
            pass

        label = Feed.__qualname__
        clients = [self.open(Feed()) for _ in range(3)]
        self.assertEqual(self.value("wsx_connections_open", label), 3)
        self.end(clients[0])
        self.assertEqual(self.value("wsx_connections_open", label), 2)
        self.assertEqual(self.value("wsx_connections_made_total", label), 3)
        for client in clients:
            self.end(client)

    def test_attached_later(self) -> None:
        """An exporter attached while a client is open counts the following events."""
        self.exporter.detach()
        self.named(Recorder(handle_disconnect=again))
        self.exporter.attach()
        self.peer.send(text("x"))
        self.peer.drop()
        self.step()
        self.assertEqual(self.value("wsx_disconnects_total", kind="ConnectionDropped"), 1)
        self.clock.advance(1)
        self.peer.answer()
        self.assertEqual(self.value("wsx_connections_open"), 1)
        self.assertEqual(self.value("wsx_frames_received_total", type="text"), 1)


class FrameTests(ExporterCase):
    """Frames and their sizes, by type and direction."""

    def test_received(self) -> None:
        """Received messages, pings and pongs are counted with their payload."""
        self.named()
        self.peer.send(text("abc") * 2 + server_frame(2, b"1234"))
        self.peer.send(server_frame(9, b"12") + server_frame(10, b"1"))
        for kind, frames, size in (
            ("text", 2, 6),
            ("binary", 1, 4),
            ("ping", 1, 2),
            ("pong", 1, 1),
        ):
            with case(kind):
                self.assertEqual(self.value("wsx_frames_received_total", type=kind), frames)
                self.assertEqual(self.value("wsx_payload_received_bytes_total", type=kind), size)
        self.assertEqual(self.labels("wsx_frames_sent_total"), [])

    def test_sent(self) -> None:
        """Sent frames are counted, including replies and keepalive pings."""
        handler = Recorder(handle_ping=lambda ping, s: wsx.Reply(wsx.Pong(ping.payload), s))
        client = self.named(handler, ping_interval=5.0)
        client.send_frame(wsx.Text("abc"))
        client.send_frame(wsx.Binary(b"1234"))
        self.peer.send(server_frame(9, b"12"))
        self.clock.advance(5)
        for kind, size in (("text", 3), ("binary", 4), ("pong", 2), ("ping", 16)):
            with case(kind):
                self.assertEqual(self.value("wsx_frames_sent_total", type=kind), 1)
                self.assertEqual(self.value("wsx_payload_sent_bytes_total", type=kind), size)

    def test_bytes_of_text(self) -> None:
        """The size of text is that of its UTF-8."""
        client = self.named()
        for payload in ("", "ascii", "\x00\x7f", "é", "€uro", "𝄞", "a" * 70_000 + "ß"):
            with case(payload[:9]):
                before = self.value("wsx_payload_sent_bytes_total", type="text") or 0
                client.send_frame(wsx.Text(payload))
                sent = self.value("wsx_payload_sent_bytes_total", type="text")
                self.assertEqual(sent, before + len(payload.encode()))

    def test_ascii_is_not_encoded(self) -> None:
        """The size of ASCII text is determined without encoding it again."""

        class Watched(str):
            def encode(self, *_: Any, **__: Any) -> bytes:
                raise AssertionError("encoded")

        from wsx import prometheus

        self.assertEqual(prometheus._size(Watched("plain")), 5)
        self.assertRaises(AssertionError, prometheus._size, Watched("é"))

    def test_no_close_frames(self) -> None:
        """Close frames are not counted."""
        client = self.named()
        client.close()
        self.peer.send(close(1000))
        self.assertEqual(self.labels("wsx_frames_sent_total"), [])
        self.assertEqual(self.labels("wsx_frames_received_total"), [])


class CallbackTests(ExporterCase):
    """The duration of callbacks."""

    def test_seconds(self) -> None:
        """The durations of each callback are added and counted under its name."""
        pending: Deferred[Any] = Deferred()
        self.named(Recorder(handle_frame=lambda *_: pending))
        self.peer.send(text("x"))
        self.clock.advance(0.25)
        pending.callback(None)
        name = "wsx_callback_duration_seconds"
        self.assertEqual(self.value(f"{name}_sum", callback="handle_frame"), 0.25)
        self.assertEqual(self.value(f"{name}_count", callback="handle_frame"), 1)
        self.assertEqual(self.value(f"{name}_count", callback="handle_connect"), 1)
        self.assertEqual(self.value(f"{name}_bucket", callback="handle_frame", le="0.1"), 0)
        self.assertEqual(self.value(f"{name}_bucket", callback="handle_frame", le="0.5"), 1)

    def test_buckets(self) -> None:
        """The buckets range from 10 microseconds to seconds, in order."""
        self.named()
        bounds = [float(le) for le in self.labels("wsx_callback_duration_seconds_bucket", "le")]
        self.assertEqual(bounds, sorted(bounds))
        self.assertEqual(bounds[0], 1e-5)
        self.assertTrue(1 <= bounds[-2] <= 60)

    def test_clock_that_is_set_back(self) -> None:
        """If the clock is set back during a callback, the sum does not decrease."""
        pending: Deferred[Any] = Deferred()
        self.named(Recorder(handle_frame=lambda *_: pending))
        self.peer.send(text("x"))
        self.clock.rightNow -= 100
        pending.callback(None)
        total = self.value("wsx_callback_duration_seconds_sum", callback="handle_frame")
        self.assertEqual(total, 0)


class LatencyTests(ExporterCase):
    """The latency of open connections."""

    def ping(self, seconds: float) -> None:
        """Let the server answer the keepalive ping after this number of seconds."""
        self.peer.received()
        self.clock.advance(5)
        [(_, payload)] = self.peer.received()
        self.clock.advance(seconds)
        self.peer.send(server_frame(10, payload))

    def set_latency(self, client: wsx.Client[Any], seconds: float) -> None:
        """Set the latency that the keepalive of the open connection measured last."""
        connection = client._life._open
        assert connection is not None
        connection.keepalive.latency = seconds

    def test_latency(self) -> None:
        """The sample exists from the first pong until the connection ends."""
        self.named(ping_interval=5.0)
        self.assertEqual(self.value("wsx_latency_seconds"), None)
        self.ping(0.25)
        self.assertEqual(self.value("wsx_latency_seconds"), 0.25)
        self.peer.drop()
        self.step()
        self.assertEqual(self.value("wsx_latency_seconds"), None)

    def test_read_when_asked(self) -> None:
        """The value is the client's latency at the time of the scrape."""
        client = self.named()
        self.set_latency(client, 3.0)
        self.assertEqual(self.value("wsx_latency_seconds"), 3.0)
        self.set_latency(client, 4.0)
        self.assertEqual(self.value("wsx_latency_seconds"), 4.0)

    def test_slowest(self) -> None:
        """Of several clients with one label, the highest latency is shown, in one sample."""
        clients = [self.open(Recorder()) for _ in range(3)]
        for client, latency in zip(clients, (1.0, 3.0, 2.0), strict=True):
            self.set_latency(client, latency)
        self.assertEqual(self.value("wsx_latency_seconds", "Recorder"), 3.0)
        self.assertEqual(self.labels("wsx_latency_seconds"), ["Recorder"])
        for client in clients:
            self.end(client)


class EndTests(ExporterCase):
    """Clients that end, and what is dropped then."""

    def test_normal_and_abnormal(self) -> None:
        """Ended clients are counted by normal and abnormal end."""
        self.end(self.named())
        self.named(Recorder(handle_frame=ZeroDivisionError()))
        self.peer.send(text("x"))
        self.peer.drop()
        self.step()
        self.assertEqual(self.value("wsx_clients_ended_total", end="normal"), 1)
        self.assertEqual(self.value("wsx_clients_ended_total", end="abnormal"), 1)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_gauges_are_dropped(self) -> None:
        """With the last client of a label its gauges are dropped; its counters are kept."""
        first = self.open(Recorder())
        second = self.open(Recorder())
        self.end(first)
        self.assertEqual(self.value("wsx_connections_open", "Recorder"), 1)
        self.end(second)
        self.assertEqual(self.labels("wsx_connections_open"), [])
        self.assertEqual(self.labels("wsx_latency_seconds"), [])
        self.assertEqual(self.value("wsx_connections_made_total", "Recorder"), 2)

    def test_the_name_comes_back(self) -> None:
        """The next client of the same name continues the counters."""
        self.end(self.named())
        self.named()
        self.assertEqual(self.value("wsx_connections_made_total"), 2)
        self.assertEqual(self.value("wsx_connections_open"), 1)
        self.assertEqual(self.value("wsx_reconnect_attempts_total"), 0)

    def test_clients_are_not_held(self) -> None:
        """The exporter holds a client only while it is open."""
        for way in ("ended", "lost"):
            with case(way):
                handler = Recorder(handle_disconnect=lambda *_: Deferred())
                client: Any = self.open(handler)
                gone = weakref.ref(client)
                if way == "ended":
                    self.end(client)
                else:
                    self.peer.drop()
                    self.step()
                held = self.exporter in gc.get_referrers(client)
                self.assertFalse(held or self.holds(client))
                del client, handler
                self.server.peers.clear()
                self.clock.calls.clear()
                gc.collect()
                self.assertIsNone(gone())

    def holds(self, client: Any) -> bool:
        """Return whether an attribute of the exporter refers to the client."""
        return any(
            type(value) is dict and client in value for value in vars(self.exporter).values()
        )

    def test_many_clients(self) -> None:
        """A thousand clients of one class lead to as many series as one."""

        def series() -> int:
            return sum(len(metric.samples) for metric in self.registry.collect())

        self.end(self.open(Recorder()))
        few = series()
        for _ in range(1000):
            client = self.open(Recorder())
            client.stop()
            self.peer.drop()
            self.step()
            self.server.peers.clear()
        self.assertEqual(series(), few)
        self.assertEqual((self.exporter._open, self.exporter._running), ({}, {}))

    def test_stopped_by_an_observer_before(self) -> None:
        """A client that an earlier observer stops leaves nothing in the exporter."""
        self.exporter.detach()
        for event in telemetry.EVENTS:
            with case(event):
                telemetry.attach(
                    "stop", event, lambda _, __, metadata, ___: metadata["client"].stop()
                )
                self.exporter.attach()
                self.start(Recorder(), name=NAME).addErrback(lambda _: None)
                if self.server.peers and event != "wsx.connecting":
                    self.peer.answer()
                    self.step()
                    self.peer.send(text("x"))
                    self.peer.drop()
                    self.step()
                telemetry.detach("stop")
                self.clock.advance(10)
                self.step()
                self.assertEqual((self.exporter._open, self.exporter._running), ({}, {}))
                self.exporter.detach()


class LabelTests(ExporterCase):
    """The label ``client``."""

    def test_names(self) -> None:
        """The label is the name; for ``Global`` and ``Via`` it is the key."""

        class Registry:
            def register_name(self, key: Any, client: Any) -> bool:
                return True

            def unregister_name(self, key: Any) -> None:
                pass

            def whereis_name(self, key: Any) -> None:
                pass

            def send(self, key: Any, message: Any) -> None:
                pass

        for name, label in (
            (NAME, NAME),
            ("Größe", "Größe"),
            (wsx.Global("g"), "g"),
            (wsx.Global(("feed", 7)), "('feed', 7)"),
            (wsx.Via(Registry(), "v"), "v"),
            (wsx.Via(Registry(), 7), "7"),
        ):
            with case(name):
                client = self.named(name=name)
                self.assertEqual(self.labels("wsx_connections_open"), [label])
                self.end(client)

    def test_odd_names(self) -> None:
        """Any name of a client or class can be exported and scraped."""

        class Bad:
            def __repr__(self) -> str:
                raise ZeroDivisionError

        class Odd(Recorder):
            __qualname__ = "Ödd"

        for name in ('a"b\\c\nd', "\ud800", wsx.Global(Bad()), None):
            with case(repr(name) if isinstance(name, str) else type(name)):
                client = self.named(Odd(), name=name)
                page = prometheus_client.generate_latest(self.registry).decode()
                [label] = self.labels("wsx_connections_open")
                found = {
                    sample.labels["client"]
                    for metric in text_string_to_metric_families(page)
                    for sample in metric.samples
                    if sample.name == "wsx_connections_open"
                }
                self.assertEqual(found, {label})
                self.end(client)
        self.assertNotEqual(telemetry.list_handlers(), [])

    def test_code_change(self) -> None:
        """A client keeps its label when its handler's class is replaced."""

        class Newer(Recorder):
            pass

        client = self.open(Recorder())
        self.successResultOf(client.sys.change_code(Newer))
        client.send_frame(wsx.Text("x"))
        self.assertEqual(self.value("wsx_frames_sent_total", "Recorder", type="text"), 1)
        self.end(client)
        self.assertEqual(set(self.labels("wsx_connections_made_total")), {"Recorder"})
        self.assertEqual(self.labels("wsx_connections_open"), [])

    def test_bounded(self) -> None:
        """No label contains a URL, payload, header, close message or address."""
        client = self.named(
            url=f"ws://user:{SECRET}@example.test/{SECRET}?t={SECRET}",
            extra_headers={"X-A": SECRET},
        )
        client.send_frame(wsx.Text(SECRET))
        self.peer.send(text(SECRET) + server_frame(9, SECRET.encode()) + close(3000, SECRET))
        self.peer.drop()
        self.step()
        page = prometheus_client.generate_latest(self.registry).decode()
        self.assertIn("RemoteClose", page)
        for word in (SECRET, "example.test", "ws://"):
            self.assertNotIn(word, page)


class RegistryTests(ExporterCase):
    """The exporter and its registry."""

    def test_names(self) -> None:
        """Names have a prefix, base units, and ``_total`` for counters."""
        self.named(ping_interval=5.0)
        self.peer.send(text("x"))
        for metric in self.registry.collect():
            with case(metric.name):
                self.assertRegex(metric.name, r"^wsx_[a-z]+(_[a-z]+)*$")
                self.assertTrue(metric.documentation.endswith("."))
                names = {sample.name for sample in metric.samples}
                if metric.type == "counter":
                    self.assertTrue(names <= {f"{metric.name}_total", f"{metric.name}_created"})
                elif metric.type == "histogram":
                    self.assertTrue(metric.name.endswith("_seconds"))
                else:
                    self.assertEqual(metric.type, "gauge")
                    self.assertFalse(metric.name.endswith("_total"))

    def test_one_sample_each(self) -> None:
        """No series occurs twice, which Prometheus would refuse."""
        for _ in range(2):
            self.open(Recorder(), ping_interval=5.0)
        series = [
            (sample.name, *sorted(sample.labels.items()))
            for metric in self.registry.collect()
            for sample in metric.samples
        ]
        self.assertEqual(len(series), len(set(series)))

    def test_both_formats(self) -> None:
        """Both formats can be written, and the text format can be parsed."""
        self.named()
        self.peer.send(text("x"))
        page = prometheus_client.generate_latest(self.registry).decode()
        families = {family.name for family in text_string_to_metric_families(page)}
        self.assertIn("wsx_connections_open", families)
        openmetrics = prometheus_client.openmetrics.exposition.generate_latest(self.registry)
        self.assertTrue(openmetrics.endswith(b"# EOF\n"))

    def test_detach(self) -> None:
        """A detached exporter is in no registry, observes nothing and holds no client."""
        self.named()
        self.exporter.detach()
        self.assertEqual(telemetry.list_handlers(), [])
        self.assertEqual(list(self.registry.collect()), [])
        self.assertEqual((self.exporter._open, self.exporter._running), ({}, {}))

    def test_attach_again(self) -> None:
        """An exporter attached again continues its counters."""
        self.end(self.named())
        self.exporter.detach()
        self.end(self.named())
        self.exporter.attach()
        self.end(self.named())
        self.assertEqual(self.value("wsx_connections_made_total"), 2)

    def test_attach_twice(self) -> None:
        """Attaching an attached exporter raises ValueError and changes nothing."""
        self.assertRaises(ValueError, self.exporter.attach)
        self.named()
        self.assertEqual(self.value("wsx_connections_made_total"), 1)

    def test_detach_twice(self) -> None:
        """Detaching an exporter that is not attached raises LookupError."""
        self.exporter.detach()
        self.assertRaises(LookupError, self.exporter.detach)
        self.assertRaises(LookupError, Exporter(self.registry).detach)

    def test_two_in_one_registry(self) -> None:
        """A second exporter in one registry raises ValueError and stays detached."""
        other = Exporter(self.registry)
        self.assertRaises(ValueError, other.attach)
        self.assertEqual({o.handler_id for o in telemetry.list_handlers()}, {self.exporter})
        self.assertRaises(LookupError, other.detach)

    def test_two_registries(self) -> None:
        """Two exporters with their own registries both count, and detach independently."""
        registry = prometheus_client.CollectorRegistry()
        other = Exporter(registry)
        other.attach()
        self.named()
        labels = {"client": NAME}
        self.assertEqual(registry.get_sample_value("wsx_connections_made_total", labels), 1)
        other.detach()
        self.assertEqual(self.value("wsx_connections_made_total"), 1)
        self.peer.send(text("x"))
        self.assertEqual(self.value("wsx_frames_received_total", type="text"), 1)

    def test_detached_by_telemetry(self) -> None:
        """An exporter that telemetry has detached can still leave its registry."""
        telemetry.detach(self.exporter)
        self.exporter.detach()
        self.assertEqual(list(self.registry.collect()), [])

    def test_default_registry(self) -> None:
        """The default registry is ``prometheus_client.REGISTRY``, used from attach to detach."""
        exporter = Exporter()
        name = "wsx_connections_made_total"
        self.named()
        self.assertIsNone(prometheus_client.REGISTRY.get_sample_value(name, {"client": NAME}))
        exporter.attach()
        try:
            self.end(self.named(name="other"))
            found = prometheus_client.REGISTRY.get_sample_value(name, {"client": "other"})
            self.assertEqual(found, 1)
        finally:
            exporter.detach()
        self.assertIsNone(prometheus_client.REGISTRY.get_sample_value(name, {"client": "other"}))

    def test_name_changes(self) -> None:
        """Changes of names in a cluster are counted."""
        client = self.named(Recorder())
        for change in ("waiting", "acquired", "lost", "acquired", "released"):
            telemetry.execute(f"wsx.name.{change}", {"client": client, "name": client.name})
        counted = {
            change: self.value("wsx_name_changes_total", change=change)
            for change in ("waiting", "acquired", "lost", "released")
        }
        self.assertEqual(counted, {"waiting": 1, "acquired": 2, "lost": 1, "released": 1})
        self.end(client)

    def test_no_error_in_a_whole_life(self) -> None:
        """The exporter never raises: nothing is logged, and it stays attached."""
        with capturedLogs() as logged:
            client = self.named(Recorder(handle_disconnect=again), ping_interval=3.0)
            self.peer.send(text("x") + server_frame(9) + close(1000))
            self.peer.drop()
            self.step()
            self.clock.advance(1)
            self.peer.answer()
            self.end(client)
        self.assertEqual([e for e in logged if e["log_namespace"] == "wsx.telemetry"], [])
        self.assertEqual(len(telemetry.list_handlers()), len(telemetry.EVENTS))


class SiteTests(LoopbackCase):
    """``metrics_site`` over a real connection."""

    skip = MISSING

    async def get(self, path: bytes, accept: str | None = None, method: bytes = b"GET") -> Any:
        """Make a request and return the response and its body."""
        url = b"http://127.0.0.1:%d%s" % (self.port, path)
        headers = Headers({} if accept is None else {"accept": [accept]})
        response: IResponse = await self.agent.request(method, url, headers)
        return response, await readBody(response)

    async def listen(self) -> None:
        """Serve a registry with one counter and an exporter."""
        from twisted.internet import reactor

        self.agent = Agent(reactor, pool=HTTPConnectionPool(reactor, persistent=False))
        registry = prometheus_client.CollectorRegistry(auto_describe=True)
        prometheus_client.Counter("other_things", "Of another part.", registry=registry).inc(7)
        exporter = Exporter(registry)
        exporter.attach()
        self.addCleanup(exporter.detach)
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        port = await endpoint.listen(metrics_site(registry))
        self.addCleanup(port.stopListening)
        self.port = port.getHost().port

    async def test_metrics(self) -> None:
        """GET /metrics returns the registry's metrics as text."""
        await self.listen()
        response, body = await self.get(b"/metrics")
        self.assertEqual(response.code, 200)
        [kind] = response.headers.getRawHeaders("content-type")
        self.assertTrue(kind.startswith("text/plain; version="), kind)
        families = {family.name for family in text_string_to_metric_families(body.decode())}
        self.assertIn("other_things", families)
        self.assertIn("wsx_connections_open", families)
        self.assertIn(b"other_things_total 7.0", body)

    async def test_openmetrics(self) -> None:
        """A scraper that accepts OpenMetrics receives OpenMetrics."""
        await self.listen()
        accept = (
            "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*"
        )
        response, body = await self.get(b"/metrics", accept)
        [kind] = response.headers.getRawHeaders("content-type")
        self.assertTrue(kind.startswith("application/openmetrics-text"), kind)
        self.assertTrue(body.endswith(b"# EOF\n"))

    async def test_elsewhere(self) -> None:
        """Every other path is a 404."""
        await self.listen()
        for path in (b"/", b"/other", b"/metrics/", b"/metrics/more", b"/other/metrics"):
            response, _ = await self.get(path)
            self.assertEqual(response.code, 404, path)

    async def test_methods(self) -> None:
        """The response to HEAD has no body; other methods are refused."""
        await self.listen()
        response, body = await self.get(b"/metrics", method=b"HEAD")
        self.assertEqual((response.code, body), (200, b""))
        response, _ = await self.get(b"/metrics", method=b"POST")
        self.assertEqual(response.code, 405)

    async def test_query(self) -> None:
        """A query is ignored."""
        await self.listen()
        response, body = await self.get(b"/metrics?a=b")
        self.assertEqual(response.code, 200)
        self.assertIn(b"other_things_total", body)

    async def test_log(self) -> None:
        """Scrapes are not logged."""
        await self.listen()
        with capturedLogs() as logged:
            await self.get(b"/metrics")
        lines = [str(event.get("log_text", event.get("log_format"))) for event in logged]
        self.assertFalse([line for line in lines if "/metrics" in line])
