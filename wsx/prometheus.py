"""Metrics of all clients of this process for Prometheus, made from :mod:`wsx.telemetry`.

::

    Exporter().attach()  # before the clients start
    serverFromString(reactor, "tcp:9100:interface=127.0.0.1").listen(metrics_site())

``docs/telemetry.md`` has the table of the metrics. It needs ``pip install prometheus-client``;
nothing else of wsx imports it.

What it remembers: of a client its label, until it ends, and the client itself while it is open;
counters by label as long as there is an exporter. Labels are names of clients or of classes, kinds
of frames and of reasons: there are as many as the program has, whatever peers do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final
from weakref import WeakKeyDictionary

from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import Site

from wsx import telemetry
from wsx._text import shorten
from wsx.client import Client
from wsx.frames import Frame
from wsx.reasons import is_normal

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, Metric
    from prometheus_client.core import GaugeMetricFamily
    from prometheus_client.exposition import choose_encoder
except ImportError as error:
    raise ImportError(
        "wsx.prometheus needs prometheus-client: pip install prometheus-client"
    ) from error

__all__ = ["Exporter", "metrics_site"]

_BUCKETS: Final = (1e-5, 5e-5, 1e-4, 5e-4, 1e-3, 5e-3, 1e-2, 5e-2, 0.1, 0.5, 1.0, 5.0, 10.0)

Values = Mapping[str, Any]


def _counter(name: str, what: str, *labels: str) -> Counter:
    """Makes a counter that is in no registry: :class:`Exporter` is there, with all of them."""
    return Counter(name, what, ("client", *labels), registry=None)


class _Metrics:
    """What counts up, and never forgets a label."""

    def __init__(self) -> None:
        self.made = _counter("wsx_connections_made", "Opening handshakes that were completed.")
        self.reconnects = _counter(
            "wsx_reconnect_attempts", "Attempts to connect after a client's first one."
        )
        self.lost = _counter(
            "wsx_disconnects", "Established connections that ended, by reason.", "kind"
        )
        self.failed = _counter(
            "wsx_failed_attempts", "Attempts that made no connection, by reason.", "kind"
        )
        self.ended = _counter("wsx_clients_ended", "Clients that ended, and how.", "end")
        self.frames_in = _counter(
            "wsx_frames_received", "Messages, pings and pongs received.", "type"
        )
        self.frames_out = _counter("wsx_frames_sent", "Messages, pings and pongs sent.", "type")
        self.bytes_in = _counter(
            "wsx_payload_received_bytes", "Payload received, after inflation.", "type"
        )
        self.bytes_out = _counter(
            "wsx_payload_sent_bytes", "Payload sent, before compression.", "type"
        )
        self.callbacks = Histogram(
            "wsx_callback_duration_seconds",
            "Time until a callback had answered.",
            ("client", "callback"),
            buckets=_BUCKETS,
            registry=None,
        )

    def __iter__(self) -> Iterator[Counter | Histogram]:
        return iter(vars(self).values())


class Exporter:
    """Counts what telemetry tells, for a registry of ``prometheus_client``.

    It hears of what happens while it is attached: attach it before clients start. Clients without a
    name share the label of their handler's class. The label ``client`` of one client stays what it
    was at its start, also where its handler's class is replaced.

    Args:
        registry: where the metrics are found.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._registry = registry
        self._metrics = _Metrics()
        self._labels: WeakKeyDictionary[Client[Any], str] = WeakKeyDictionary()
        self._running: dict[str, int] = {}  # clients by label
        self._open: dict[Client[Any], str] = {}
        self._attached = False
        self._hearers: Final[dict[str, Callable[..., None]]] = {
            telemetry.CONNECTING: self._connecting,
            telemetry.CONNECTED: self._connected,
            telemetry.DISCONNECTED: self._disconnected,
            telemetry.FRAME_RECEIVED: self._frame_received,
            telemetry.FRAME_SENT: self._frame_sent,
            telemetry.CALLBACK: self._called_back,
            telemetry.TERMINATE: self._terminated,
        }

    def attach(self) -> None:
        """Begins to count, and to be found in the registry.

        Raises:
            ValueError: it is attached, or another one is in this registry.
        """
        self._registry.register(self)
        telemetry.attach(self, self._hearers, self._hear)
        self._attached = True

    def detach(self) -> None:
        """Counts no more, and leaves the registry; attached again, it counts on.

        Raises:
            LookupError: it is not attached.
        """
        if not self._attached:
            raise LookupError("the exporter is not attached")
        self._attached = False
        self._registry.unregister(self)
        self._labels.clear()
        self._running.clear()
        self._open.clear()
        if any(observer.handler_id is self for observer in telemetry.list_handlers()):
            telemetry.detach(self)

    # What a registry asks

    def describe(self) -> Iterable[Metric]:
        """Gives the metrics without values: two exporters do not go into one registry."""
        for metric in self._metrics:
            yield from metric.describe()
        yield from (_open_gauge(), _latency_gauge())

    def collect(self) -> Iterable[Metric]:
        """Gives the metrics as they are now; may be called in any thread."""
        for metric in self._metrics:
            yield from metric.collect()
        # dict.copy is one step for other threads; a loop over what the reactor changes is not.
        clients = self._open.copy()
        yield self._count_open(clients)
        yield self._read_latencies(clients)

    def _count_open(self, clients: dict[Client[Any], str]) -> Metric:
        counts = dict.fromkeys(self._running.copy(), 0)  # 0 is there to be alerted on
        for label in clients.values():
            counts[label] = counts.get(label, 0) + 1
        gauge = _open_gauge()
        for label, count in counts.items():
            gauge.add_metric([label], count)
        return gauge

    def _read_latencies(self, clients: dict[Client[Any], str]) -> Metric:
        slowest: dict[str, float] = {}
        for client, label in clients.items():
            latency = client.latency
            if latency is not None:
                slowest[label] = max(latency, slowest.get(label, 0.0))
        gauge = _latency_gauge()
        for label, latency in slowest.items():
            gauge.add_metric([label], latency)
        return gauge

    # What telemetry tells

    def _hear(self, event: str, measurements: Values, metadata: Values, _: object) -> None:
        client = metadata["client"]
        label = self._labels.get(client)
        if label is None:
            label = _label(metadata)
        self._hearers[event](client, label, metadata, measurements)

    def _connecting(self, client: Client[Any], label: str, *_: Values) -> None:
        if client in self._labels:
            self._metrics.reconnects.labels(label).inc()
        else:
            self._meet(client, label)

    def _meet(self, client: Client[Any], label: str) -> None:
        # An observer that was told first may have stopped it already.
        if client not in self._labels and client.status != "terminated":
            self._labels[client] = label
            self._running[label] = self._running.get(label, 0) + 1
            self._metrics.made.labels(label)  # from 0 on: a rate needs two values
            self._metrics.reconnects.labels(label)

    def _connected(self, client: Client[Any], label: str, *_: Values) -> None:
        self._meet(client, label)
        self._metrics.made.labels(label).inc()
        self._open[client] = label

    def _disconnected(self, client: Client[Any], label: str, metadata: Values, _: Values) -> None:
        self._open.pop(client, None)
        # The answer of a server is in the Conn of connections that were established, only there.
        established = metadata["conn"].resp_status is not None
        counter = self._metrics.lost if established else self._metrics.failed
        counter.labels(label, type(metadata["reason"]).__name__).inc()

    def _frame_received(self, _: object, label: str, metadata: Values, __: Values) -> None:
        frame: Frame = metadata["frame"]
        self._metrics.frames_in.labels(label, frame.kind).inc()
        self._metrics.bytes_in.labels(label, frame.kind).inc(_size(frame.payload))

    def _frame_sent(self, _: object, label: str, metadata: Values, __: Values) -> None:
        frame: Frame = metadata["frame"]
        self._metrics.frames_out.labels(label, frame.kind).inc()
        self._metrics.bytes_out.labels(label, frame.kind).inc(_size(frame.payload))

    def _called_back(self, _: object, label: str, metadata: Values, measurements: Values) -> None:
        # The system's clock may be set back meanwhile; a sum of durations never goes down.
        seconds = max(measurements["duration"], 0.0)
        self._metrics.callbacks.labels(label, metadata["callback"]).observe(seconds)

    def _terminated(self, client: Client[Any], label: str, metadata: Values, _: Values) -> None:
        end = "normal" if is_normal(metadata["reason"]) else "abnormal"
        self._metrics.ended.labels(label, end).inc()
        self._open.pop(client, None)
        if self._labels.pop(client, None) is not None:
            self._running[label] -= 1
            if not self._running[label]:
                del self._running[label]


def _open_gauge() -> GaugeMetricFamily:
    return GaugeMetricFamily("wsx_connections_open", "Open connections.", labels=["client"])


def _latency_gauge() -> GaugeMetricFamily:
    return GaugeMetricFamily(
        "wsx_latency_seconds",
        "Last keepalive round trip of the open connections; of several the slowest.",
        labels=["client"],
    )


def _label(metadata: Values) -> str:
    """Gives what the label ``client`` says: the name, its key, or the handler's class."""
    name = metadata["name"]
    if name is None:
        return _printable(metadata["handler"].__qualname__)
    key = name if isinstance(name, str) else name.key
    return _printable(key if isinstance(key, str) else shorten(key))


def _printable(text: str) -> str:
    """Replaces what has no UTF-8: one such label would make every scrape fail."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _size(payload: str | bytes) -> int:
    """Gives the bytes of a payload on the wire."""
    if isinstance(payload, str) and not payload.isascii():
        return len(payload.encode())
    return len(payload)


class _MetricsResource(Resource):
    """Answers a scrape.

    ``prometheus_client.twisted`` has a resource too, but it installs the reactor when it is
    imported and collects in a thread; its maintainers would rather drop it (client_python #554).
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._registry = registry

    def render_GET(self, request: Request) -> bytes:
        """Gives the metrics, in the format that the scraper accepts."""
        encode, content_type = choose_encoder(request.getHeader("accept") or "")
        request.setHeader(b"content-type", content_type.encode("ascii"))
        return encode(self._registry)


class _MetricsSite(Site):
    """A site without a line in the log for each scrape."""

    def log(self, request: Request) -> None:
        """Says nothing."""


def metrics_site(registry: CollectorRegistry = REGISTRY) -> Site:
    """Makes a site that has the metrics of a registry at ``/metrics``, and nothing else.

    Args:
        registry: what to show.

    Returns:
        a factory for a server endpoint. There is no authentication: listen on an interface that
        only your Prometheus reaches.
    """
    root = Resource()
    root.putChild(b"metrics", _MetricsResource(registry))
    return _MetricsSite(root)  # type: ignore[no-untyped-call]
