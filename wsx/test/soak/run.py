"""One soak run: start everything, let it run, end the faults, and check that all is well."""

from __future__ import annotations

import gc
import json
import random
import subprocess
import sys
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.task import LoopingCall, deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogBeginner

import wsx
from wsx import telemetry
from wsx._scheduler import scheduler_for
from wsx.test.soak.clients import CLOSE_TIMEOUT, OPTIONS, SHOWN, SLACK, ClientRecord
from wsx.test.soak.echoes import EchoCheck
from wsx.test.soak.ledger import Ledger
from wsx.test.soak.memory import Memory, count_descriptors
from wsx.test.support.extras import trustme

__all__ = ["Run"]

_TICK = 0.02  # seconds between two rounds of actions
_RECOVERY = 25.0  # seconds after the faults until all clients are open
_ECHO = 20  # seconds until a message was echoed, on another connection if one was half-open
_WATCHED = ("wsx.connecting", "wsx.connected", "wsx.disconnected", "wsx.terminate")
_TROUBLE = (LogLevel.error, LogLevel.critical)


class Run:
    """One soak run.

    Args:
        options: The options of the command line.
        reactor: The reactor.

    Attributes:
        ledger: What has happened, and violations.
        memory: The resident memory over time.
        faults: How often each fault has occurred.
    """

    def __init__(self, options: Namespace, reactor: Any) -> None:
        self.options = options
        self.reactor = reactor
        self.ledger = Ledger(reactor.seconds)
        self.memory = Memory()
        self.faults: dict[str, int] = {}
        self.recovery = 0.0  # Seconds after the faults until all clients were open.
        self._rng = random.Random(f"{options.seed} clients")
        self._records: dict[str, ClientRecord] = {}
        self._url = ""
        self._client_options = dict(OPTIONS)
        self._compressed = round(options.clients * options.compressed)
        self._restarting = True  # Whether clients that end are followed by new ones.
        self._started_at = 0.0

    async def run(self) -> None:
        """Run everything."""
        observers: list[Any] = [self._logged]
        globalLogBeginner.beginLoggingTo(observers, redirectStandardIO=False)
        telemetry.attach("soak", _WATCHED, self._observe)
        with tempfile.TemporaryDirectory() as folder:
            pem = self._prepare_tls(Path(folder)) if self.options.tls else []
            network = self._start_network(pem)
            try:
                await self._soak(network)
            finally:
                network.kill()
                network.wait()

    async def _soak(self, network: subprocess.Popen[str]) -> None:
        descriptors = count_descriptors()
        self._started_at = self.reactor.seconds()
        acting = LoopingCall(self._act)
        acting.clock = self.reactor
        sampling = LoopingCall(self._sample)
        sampling.clock = self.reactor
        for number in range(self.options.clients):
            self._start(f"c{number}")
        acting.start(_TICK)
        sampling.start(max(1.0, self.options.seconds / 180))
        await deferLater(self.reactor, self.options.seconds, lambda: None)
        acting.stop()
        sampling.stop()
        self.faults = await self._ask(network, "calm")
        await self._recover()
        await self._check_echoes()
        self._restarting = False
        await self._stop_all()
        await self._check_leaks(descriptors)
        self.faults = await self._ask(network, "report")
        self.ledger.check(
            self.ledger.counts["damaged"] <= self.faults.get("corrupt, injected", 0),
            "{} connections with damaged messages, {} were corrupted",
            self.ledger.counts["damaged"],
            self.faults.get("corrupt, injected", 0),
        )

    # The network

    def _prepare_tls(self, folder: Path) -> list[str]:
        authority = trustme.CA()
        certificate = authority.issue_cert("127.0.0.1")
        path = folder / "server.pem"
        certificate.private_key_and_cert_chain_pem.write_to_path(str(path))
        trusted = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(trusted))
        self._client_options["cacerts"] = str(trusted)
        return [str(path)]

    def _start_network(self, pem: list[str]) -> subprocess.Popen[str]:
        seed, crashes = str(self.options.seed), str(self.options.crashes)
        network = subprocess.Popen(
            [sys.executable, "-m", "wsx.test.soak.network", seed, crashes, *pem],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert network.stdout is not None
        port = json.loads(network.stdout.readline())["port"]
        self._url = f"{'wss' if self.options.tls else 'ws'}://127.0.0.1:{port}/"
        return network

    async def _ask(self, network: subprocess.Popen[str], word: str) -> Any:
        """Send a word to the network and return its answer.

        The reactor runs meanwhile. The answer takes seconds if a server has to start again first.
        """
        pool = self.reactor.getThreadPool()
        return await deferToThreadPool(self.reactor, pool, _exchange, network, word)

    # The clients

    def _start(self, name: str) -> None:
        record = ClientRecord(name, self.ledger, random.Random(self._rng.random()))
        self._records[name] = record
        compression = "deflate" if int(name[1:]) < self._compressed else None
        options = {**self._client_options, "compression": compression}
        record.start(self._url, self.reactor, options)
        assert record.client is not None
        record.client.terminated().addCallback(self._ended, record)

    def _ended(self, reason: object, record: ClientRecord) -> None:
        # The log line about undelivered casts is written before, the last telemetry event too.
        record.ended()
        self.ledger.counts["clients ended"] += 1
        if self._restarting:
            self.reactor.callLater(self._rng.uniform(0.0, 1.0), self._start_again, record.name)

    def _start_again(self, name: str) -> None:
        if self._restarting:
            self._start(name)

    def _act(self) -> None:
        names = list(self._records)
        count = self.options.clients * self.options.rate * _TICK
        whole = int(count) + (self._rng.random() < count % 1)
        for _ in range(whole):
            self._records[self._rng.choice(names)].act()

    # What happens

    def _observe(self, event: str, measurements: Any, metadata: Any, config: Any) -> None:
        record = self._records.get(metadata["name"])
        if record is not None:
            record.observe(event)

    def _logged(self, event: LogEvent) -> None:
        self.ledger.counts["log lines"] += 1
        if event.get("log_level") in _TROUBLE or "log_failure" in event:
            failure = event.get("log_failure")
            shown = "" if failure is None else failure.getTraceback()[-SHOWN:]
            self.ledger.check(False, "logged: {} {}", formatEvent(event), shown)
        elif "undelivered" in event.get("log_format", ""):
            self._records[event["label"]].undelivered += event["n"]

    def _sample(self) -> None:
        seconds = self.reactor.seconds() - self._started_at
        resident = self.memory.sample(seconds)
        self.ledger.check_promises()
        if self.options.verbose:
            open_clients = sum(record.is_open for record in self._records.values())
            counts = self.ledger.counts
            print(
                f"{seconds:7.1f} s  {resident:7.2f} MiB  {open_clients:4d} open  "
                f"{counts['casts']:8d} casts  {self.ledger.violated} violations",
                flush=True,
            )

    # The end

    async def _recover(self) -> None:
        """Wait until all clients are open."""
        begin = self.reactor.seconds()
        while self.reactor.seconds() - begin < _RECOVERY:
            if all(record.is_usable for record in self._records.values()):
                break
            await deferLater(self.reactor, 0.1, lambda: None)
        self.recovery = self.reactor.seconds() - begin
        for record in self._records.values():
            self.ledger.check(
                record.is_usable, "{}: not open {:.0f} s after the faults", record.name, _RECOVERY
            )

    async def _check_echoes(self) -> None:
        """Check that every client gets an echo."""
        echoes = EchoCheck(self._records)
        for _ in range(_ECHO * 10):
            if not echoes.poll():
                return
            await deferLater(self.reactor, 0.1, lambda: None)
        for record in echoes.poll():
            self.ledger.check(False, "no echo at the end: {}", record)

    async def _stop_all(self) -> None:
        ending: list[Deferred[Any]] = []
        for record in self._records.values():
            assert record.client is not None
            ending.append(record.client.terminated())
            record.attempt("stop")
        limit = deferLater(self.reactor, CLOSE_TIMEOUT + SLACK, lambda: None)
        limit.addErrback(lambda failure: failure.trap(CancelledError))
        either: list[Deferred[Any]] = [DeferredList(ending), limit]
        await DeferredList(either, fireOnOneCallback=True)
        limit.cancel()
        await deferLater(self.reactor, 0.5, lambda: None)  # For what ends in later iterations.
        for record in self._records.values():
            status = "none" if record.client is None else record.client.status
            self.ledger.check(status == "terminated", "{}: {} after stop", record.name, status)

    async def _check_leaks(self, descriptors: int) -> None:
        check = self.ledger.check
        for promise in list(self.ledger.promises):
            check(False, "{}: {} has not fired at the end", promise.client, promise.what)
        left = count_descriptors() - descriptors
        check(left <= 0, "{} file descriptors are left", left)
        timers = scheduler_for(self.reactor).getDelayedCalls()
        check(not timers, "{} timers are left: {}", len(timers), timers[:3])
        self._records.clear()
        gc.collect()
        await deferLater(self.reactor, 0.1, lambda: None)  # Finalizers may call the event loop.
        gc.collect()
        kept = [one for one in gc.get_objects() if isinstance(one, wsx.Client)]
        check(not kept, "{} clients are left in memory", len(kept))


def _exchange(network: subprocess.Popen[str], word: str) -> Any:
    assert network.stdin is not None and network.stdout is not None
    network.stdin.write(f"{word}\n")
    network.stdin.flush()
    return json.loads(network.stdout.readline())
