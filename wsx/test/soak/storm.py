"""A restart storm: a server with many clients restarts, and all of them connect again.

``python -m wsx.test.soak.storm`` runs it without and with a ``ConnectLimiter``, prints the figures,
and draws ``docs/contributing/reliability/restart-storm.svg``.
"""

from __future__ import annotations

import argparse
import math
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import globalLogBeginner

import wsx
from wsx import Backoff, ConnectLimiter, telemetry
from wsx.test.soak.plot import Line, Panel, draw
from wsx.test.support.reactors import run_until_done

__all__ = ["Storm", "longest_wait", "most_attempts", "most_within"]

_STABLE = 6.0  # seconds; longer than the default of stable_after
_AT_ONCE = 50  # clients that are started together
_LONGEST = 600.0  # seconds
_WINDOW = 0.1  # seconds
_TICK = 0.01  # seconds
_JITTER = 0.01  # seconds by which the time of an attempt is not exact
_SERVER = Path(__file__).with_name("accepting.py")
_CHART = Path(__file__).parents[3] / "docs" / "contributing" / "reliability" / "restart-storm.svg"

# The bounds of docs/contributing/reliability.md, for the default Backoff.


def longest_wait(down: float) -> float:
    """Return the time in seconds within which every client makes an attempt that succeeds.

    The k-th delay is at most 1.5 * 2 ** (k - 1). A client that has made k attempts in vain has done
    so before ``down`` but not before 0.5 * (2 ** k - 1).

    Args:
        down: The time in seconds during which the server does not listen.
    """
    return min(4 * down + 1.5, down + 60.0)


def most_attempts(clients: int, down: float) -> float:
    """Return a bound for the attempts within 0.1 s that reach the server.

    The first attempts are uniform in one second, so the expected number in any 0.1 s is at most a
    tenth of the clients. If the server does not listen for 1.5 s, these fail, and the next ones are
    spread at least twice as far. To the expected number, 4.5 standard deviations are added.

    Args:
        clients: The number of clients.
        down: As for :func:`longest_wait`.
    """
    share = _WINDOW * (1.0 if down < 1.5 else 0.5)
    return clients * share + 4.5 * math.sqrt(clients * share * (1 - share))


def most_within(times: Sequence[float], seconds: float) -> int:
    """Return the largest number of times in any period of ``seconds``."""
    ordered = sorted(times)
    first, most = 0, 0
    for last, time in enumerate(ordered):
        while time - ordered[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


class Quiet(wsx.Handler[None]):
    """A client that only stays connected."""

    def handle_frame(self, frame: wsx.Frame, state: None) -> None:
        """Ignore the message."""


@dataclass
class Storm:
    """One restart and what followed.

    Attributes:
        clients: The number of clients.
        limiter: Their limiter, or None.
        down: How long the server did not listen, in seconds.
        attempts: The times of all attempts, in seconds since the server was killed.
        opened: The times at which a client was open again.
        pause: The longest time in seconds between two reactor iterations. It shows how busy the
            machine was.
    """

    clients: int
    limiter: ConnectLimiter | None
    down: float = 0.0
    attempts: list[float] = field(default_factory=list)
    opened: list[float] = field(default_factory=list)
    pause: float = 0.0

    @property
    def label(self) -> str:
        """The label of the storm in the chart."""
        if self.limiter is None:
            return "no limit"
        return f"{self.limiter.per_host} attempts in {self.limiter.per_seconds:g} s"

    @property
    def succeeded(self) -> list[float]:
        """The times of the attempts after the server listened again."""
        return [time for time in self.attempts if time >= self.down]

    def row(self) -> str:
        """Return the figures as a row of a table."""
        limit = longest_wait(self.down)
        if self.limiter is not None:
            rounds = math.ceil(self.clients / self.limiter.per_host)
            limit += rounds * self.limiter.per_seconds
        cells = [
            self.label,
            f"{self.clients:,}",
            f"{self.down:.1f} s",
            f"{len(self.attempts):,}",
            most_within(self.succeeded, _WINDOW),
            "" if self.limiter else round(most_attempts(self.clients, self.down)),
            most_within(self.attempts, self.limiter.per_seconds - _JITTER) if self.limiter else "",
            f"{max(self.opened):.1f} s",
            f"{limit:.1f} s",
            f"{self.pause:.2f} s",
        ]
        return f"| {' | '.join(str(cell) for cell in cells)} |"


HEADER = (
    "| limit | clients | server down | attempts | most in 0.1 s | bound | most in the period "
    "| all open after | bound | longest pause |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
)


class Server:
    """The server process, which always listens on the same port."""

    def __init__(self) -> None:
        self.port = 0
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start the process and wait until it listens."""
        self._process = subprocess.Popen(
            [sys.executable, "-S", str(_SERVER), str(self.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def kill(self) -> None:
        """Kill the process."""
        assert self._process is not None
        self._process.kill()
        self._process.communicate()


class Measurement:
    """Run storms.

    Args:
        reactor: The reactor.
        down: How long the server does not listen, in seconds.
    """

    def __init__(self, reactor: Any, down: float) -> None:
        self._reactor = reactor
        self._down = down
        self._storm: Storm | None = None
        self._killed_at = 0.0
        self._seen = 0.0  # The time of the latest reactor iteration.
        self._open: set[wsx.Client[Any]] = set()
        telemetry.attach(
            "storm", ["wsx.connecting", "wsx.connected", "wsx.disconnected"], self._observe
        )

    async def run(self, storm: Storm) -> None:
        """Start the clients, restart the server, and wait until all clients are open again."""
        server = Server()
        server.start()
        url = f"ws://127.0.0.1:{server.port}/"
        clients = await self._start_clients(url, storm)
        await self._until_open(storm.clients)
        await self._sleep(_STABLE)
        server.kill()
        self._killed_at = self._reactor.seconds()
        self._storm = storm
        self._seen = self._killed_at
        watching = LoopingCall(self._watch, storm)
        watching.clock = self._reactor
        watching.start(_TICK)
        await self._sleep(self._down)
        await self._restart(server, storm)
        await self._until_open(storm.clients)
        self._storm = None
        watching.stop()
        ending = [client.stop() for client in clients]
        server.kill()
        for end in ending:
            await end

    def _watch(self, storm: Storm) -> None:
        now = self._reactor.seconds()
        storm.pause = max(storm.pause, now - self._seen - _TICK)
        self._seen = now

    async def _start_clients(self, url: str, storm: Storm) -> list[wsx.Client[Any]]:
        options: dict[str, Any] = {
            "async_": True,
            "handle_initial_conn_failure": True,
            "connect_limiter": storm.limiter,
            "reactor": self._reactor,
        }
        clients = []
        for number in range(storm.clients):
            if number % _AT_ONCE == 0:
                await self._sleep(0.05)
            clients.append(await wsx.start(url, Quiet, reconnect=Backoff(), **options))
        return clients

    async def _restart(self, server: Server, storm: Storm) -> None:
        from twisted.internet.threads import deferToThread

        await deferToThread(server.start)
        storm.down = self._reactor.seconds() - self._killed_at

    async def _until_open(self, clients: int) -> None:
        begin = self._reactor.seconds()
        while len(self._open) < clients:
            if self._reactor.seconds() - begin > _LONGEST:
                raise TimeoutError(f"{len(self._open)} of {clients} clients are open")
            await self._sleep(0.05)

    def _sleep(self, seconds: float) -> Deferred[None]:
        return deferLater(self._reactor, seconds, lambda: None)

    def _observe(self, event: str, measurements: Any, metadata: Any, config: Any) -> None:
        since = self._reactor.seconds() - self._killed_at
        client, storm = metadata["client"], self._storm
        if event == "wsx.disconnected":
            self._open.discard(client)
        elif event == "wsx.connected":
            self._open.add(client)
            if storm is not None:
                storm.opened.append(since)
        elif storm is not None:
            storm.attempts.append(since)


def chart(storms: Sequence[Storm]) -> str:
    """Return the chart of several storms as SVG."""
    end = max(max(storm.opened) for storm in storms)
    x = "seconds since the server was killed"
    opened = [Line(storm.label, _cumulative(storm.opened, end)) for storm in storms]
    attempts = [Line(storm.label, _rate(storm.attempts, end)) for storm in storms]
    return draw([Panel("clients open again", x, opened), Panel("attempts per 0.1 s", x, attempts)])


def _cumulative(times: Sequence[float], end: float) -> list[tuple[float, float]]:
    ordered = sorted(times)
    step = max(1, len(ordered) // 200)
    points = [(0.0, 0.0)]
    points += [(time, number + 1.0) for number, time in enumerate(ordered) if number % step == 0]
    return [*points, (ordered[-1], float(len(ordered))), (end, float(len(ordered)))]


def _rate(times: Sequence[float], end: float) -> list[tuple[float, float]]:
    counts = [0.0] * (math.ceil(end / _WINDOW) + 1)
    for time in times:
        counts[min(int(time / _WINDOW), len(counts) - 1)] += 1
    return [(number * _WINDOW, count) for number, count in enumerate(counts)]


def main() -> None:
    """Run a storm without and with a limiter, print the figures and draw the chart."""
    parser = argparse.ArgumentParser(prog="python -m wsx.test.soak.storm", description=__doc__)
    parser.add_argument("--clients", type=int, default=2000)
    parser.add_argument("--down", type=float, default=2.0, help="seconds without a server")
    parser.add_argument("--per-host", type=int, default=300)
    parser.add_argument("--per-seconds", type=float, default=3.0)
    parser.add_argument("--svg", type=Path, default=_CHART)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    observers: list[Any] = []
    globalLogBeginner.beginLoggingTo(observers, redirectStandardIO=False)
    limiter = ConnectLimiter(per_host=options.per_host, per_seconds=options.per_seconds)
    storms = [Storm(options.clients, None), Storm(options.clients, limiter)]
    from twisted.internet import reactor

    measurement = Measurement(reactor, options.down)

    async def run() -> None:
        for storm in storms:
            await measurement.run(storm)

    run_until_done(reactor, run)
    print(HEADER)
    for storm in storms:
        print(storm.row())
    options.svg.parent.mkdir(exist_ok=True)
    options.svg.write_text(chart(storms))


if __name__ == "__main__":
    main()
