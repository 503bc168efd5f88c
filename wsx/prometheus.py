"""Prometheus metrics of all clients of this process, derived from :mod:`wsx.telemetry`.

::

    Exporter().attach()  # before the clients start
    serverFromString(reactor, "tcp:9100:interface=127.0.0.1").listen(metrics_site())

``docs/reference/telemetry.md`` lists the metrics. This module requires
``pip install prometheus-client``; no other module of wsx imports it.

An exporter keeps the label of each client until the client ends, a reference to each open client,
and one counter per label for as long as the exporter exists. Labels are names of clients or
classes, kinds of frames and kinds of reasons. A server cannot add labels, so their number is fixed
by the program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
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
    """Return a counter outside any registry; the :class:`Exporter` is registered instead."""
    return Counter(name, what, ("client", *labels), registry=None)


class _Metrics:
    """The metrics that only increase and keep all labels: counters and a histogram."""

    def __init__(self) -> None:
        self.made = _counter("wsx_connections_made", "Opening handshakes that were completed.")
        self.reconnects = _counter(
            "wsx_reconnect_attempts", "Attempts to connect after a client's first one."
        )
        self.lost = _counter(
            "wsx_disconnects", "Connections that were open and ended, by reason.", "kind"
        )
        self.failed = _counter(
            "wsx_failed_attempts", "Attempts to connect that failed, by reason.", "kind"
        )
        self.ended = _counter(
            "wsx_clients_ended", "Clients that ended, normally or abnormally.", "end"
        )
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
        self.slow_callbacks = _counter(
            "wsx_slow_callbacks", "Times that callbacks blocked the reactor too long.", "callback"
        )
        self.overdue_callbacks = _counter(
            "wsx_overdue_callbacks", "Reports of callbacks that have not completed.", "callback"
        )
        self.name_changes = _counter(
            "wsx_name_changes", "Names in a cluster: waiting, acquired, lost, released.", "change"
        )
        self.callbacks = Histogram(
            "wsx_callback_duration_seconds",
            "Time until a callback has produced its result.",
            ("client", "callback"),
            buckets=_BUCKETS,
            registry=None,
        )

    def __iter__(self) -> Iterator[Counter | Histogram]:
        return iter(vars(self).values())


class Exporter:
    """Count telemetry events for a registry of ``prometheus_client``.

    An exporter counts while it is attached. Attach it before clients start. The label ``client`` is
    the name of the client; clients without a name share the label of their handler's class. The
    label of a client does not change when the class of its handler is replaced.

    Args:
        registry: The registry of the metrics. Default: the global one.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._registry = registry
        self._metrics = _Metrics()
        self._labels: WeakKeyDictionary[Client[Any], str] = WeakKeyDictionary()
        self._running: dict[str, int] = {}  # The number of clients by label.
        self._open: dict[Client[Any], str] = {}
        self._attached = False
        self._observers: Final[dict[str, Callable[..., None]]] = {
            telemetry.CONNECTING: self._connecting,
            telemetry.CONNECTED: self._connected,
            telemetry.DISCONNECTED: self._disconnected,
            telemetry.FRAME_RECEIVED: self._frame_received,
            telemetry.FRAME_SENT: self._frame_sent,
            telemetry.CALLBACK: self._called_back,
            telemetry.SLOW_CALLBACK: self._blocked,
            telemetry.CALLBACK_OVERDUE: self._overdue,
            telemetry.TERMINATE: self._terminated,
            telemetry.NAME_WAITING: partial(self._name_changed, "waiting"),
            telemetry.NAME_ACQUIRED: partial(self._name_changed, "acquired"),
            telemetry.NAME_LOST: partial(self._name_changed, "lost"),
            telemetry.NAME_RELEASED: partial(self._name_changed, "released"),
        }

    def attach(self) -> None:
        """Register the metrics and start counting.

        Raises:
            ValueError: This exporter or another one is attached to the registry already.
        """
        self._registry.register(self)
        telemetry.attach(self, self._observers, self._observe)
        self._attached = True

    def detach(self) -> None:
        """Stop counting and unregister the metrics. :meth:`attach` continues from their values.

        Raises:
            LookupError: The exporter is not attached.
        """
        if not self._attached:
            raise LookupError("exporter is not attached")
        self._attached = False
        self._registry.unregister(self)
        self._labels.clear()
        self._running.clear()
        self._open.clear()
        if any(observer.handler_id is self for observer in telemetry.list_handlers()):
            telemetry.detach(self)

    # Called by the registry

    def describe(self) -> Iterable[Metric]:
        """Return the metrics without values. The registry rejects metrics with the same names."""
        for metric in self._metrics:
            yield from metric.describe()
        yield from (_open_gauge(), _latency_gauge())

    def collect(self) -> Iterable[Metric]:
        """Return the metrics with their current values. May be called in any thread."""
        for metric in self._metrics:
            yield from metric.collect()
        # dict.copy is atomic; a loop over a dict that the reactor's thread changes may fail.
        clients = self._open.copy()
        yield self._count_open(clients)
        yield self._read_latencies(clients)

    def _count_open(self, clients: dict[Client[Any], str]) -> Metric:
        counts = dict.fromkeys(self._running.copy(), 0)  # An alert needs the value 0.
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

    # Called by telemetry

    def _observe(self, event: str, measurements: Values, metadata: Values, _: object) -> None:
        client = metadata["client"]
        label = self._labels.get(client)
        if label is None:
            label = _label(metadata)
        self._observers[event](client, label, metadata, measurements)

    def _connecting(self, client: Client[Any], label: str, *_: Values) -> None:
        if client in self._labels:
            self._metrics.reconnects.labels(label).inc()
        else:
            self._add(client, label)

    def _add(self, client: Client[Any], label: str) -> None:
        # An observer that was called first may have stopped the client already.
        if client not in self._labels and client.status != "terminated":
            self._labels[client] = label
            self._running[label] = self._running.get(label, 0) + 1
            self._metrics.made.labels(label)  # A rate needs two values: start at 0.
            self._metrics.reconnects.labels(label)

    def _connected(self, client: Client[Any], label: str, *_: Values) -> None:
        self._add(client, label)
        self._metrics.made.labels(label).inc()
        self._open[client] = label

    def _disconnected(self, client: Client[Any], label: str, metadata: Values, _: Values) -> None:
        self._open.pop(client, None)
        # Only the Conn of a connection that was open has the status of the server's response.
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
        # The sum of durations must not decrease, even if the system clock is set back.
        seconds = max(measurements["duration"], 0.0)
        self._metrics.callbacks.labels(label, metadata["callback"]).observe(seconds)

    def _blocked(self, _: object, label: str, metadata: Values, __: Values) -> None:
        self._metrics.slow_callbacks.labels(label, metadata["callback"]).inc()

    def _overdue(self, _: object, label: str, metadata: Values, __: Values) -> None:
        self._metrics.overdue_callbacks.labels(label, metadata["callback"]).inc()

    def _name_changed(self, change: str, _: object, label: str, *__: Values) -> None:
        self._metrics.name_changes.labels(label, change).inc()

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
        "Last keepalive round trip of the open connections; the slowest for each label.",
        labels=["client"],
    )


def _label(metadata: Values) -> str:
    """Return the label ``client``: the name, its key, or the class of the handler."""
    name = metadata["name"]
    if name is None:
        return _printable(metadata["handler"].__qualname__)
    key = name if isinstance(name, str) else name.key
    return _printable(key if isinstance(key, str) else shorten(key))


def _printable(text: str) -> str:
    """Replace lone surrogates, because a label that is not UTF-8 makes every scrape fail."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _size(payload: str | bytes) -> int:
    """Return the size of a payload in bytes, text as UTF-8."""
    if isinstance(payload, str) and not payload.isascii():
        return len(payload.encode())
    return len(payload)


class _MetricsResource(Resource):
    """The resource that Prometheus scrapes.

    ``prometheus_client.twisted`` is not used: importing it installs the reactor, it collects in a
    thread, and its maintainers consider removing it (client_python #554).
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._registry = registry

    def render_GET(self, request: Request) -> bytes:
        """Return the metrics in the format that the scraper accepts."""
        encode, content_type = choose_encoder(request.getHeader("accept") or "")
        request.setHeader(b"content-type", content_type.encode("ascii"))
        return encode(self._registry)


class _MetricsSite(Site):
    """A site that does not log scrapes."""

    def log(self, request: Request) -> None:
        """Do not log the request."""


def metrics_site(registry: CollectorRegistry = REGISTRY) -> Site:
    """Return a site that serves the metrics of a registry at ``/metrics``.

    There is no authentication: listen on an interface that only your Prometheus can reach.

    Args:
        registry: The registry of the metrics. Default: the global one.

    Returns:
        A factory for a server endpoint.
    """
    root = Resource()
    root.putChild(b"metrics", _MetricsResource(registry))
    return _MetricsSite(root)  # type: ignore[no-untyped-call]
