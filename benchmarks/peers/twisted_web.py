"""Twisted's own client, ``twisted.web.websocket``, which is built on wsproto."""

from __future__ import annotations

from functools import cache
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.client import BrowserLikePolicyForHTTPS, HostnameCachingHTTPSPolicy
from twisted.web.websocket import WebSocketClientEndpoint

from benchmarks.peers.job import Job, Stopwatch, Tally, latency_numbers, sent_numbers
from benchmarks.peers.on_twisted import WriteBufferWatcher, open_many, run, trust_root
from benchmarks.work import Numbers


class Client:
    """Ignore messages, and fire a Deferred when the connection has ended."""

    transport: Any

    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()

    def negotiationStarted(self, transport: Any) -> None:
        self.transport = transport

    def negotiationFinished(self) -> None:
        pass

    def pongReceived(self, payload: bytes) -> None:
        pass

    def textMessageReceived(self, message: str) -> None:
        pass

    def bytesMessageReceived(self, data: bytes | bytearray) -> None:
        pass

    def connectionLost(self, reason: Failure) -> None:
        self.ended.callback(None)


class Receiver(Tally, Client):
    """Count each message."""

    def negotiationFinished(self) -> None:
        self.open()

    def textMessageReceived(self, message: str) -> None:
        self.characters += len(message)
        self.left -= 1
        if not self.left:
            self.finish()


class Echoer(Tally, Client):
    """Send back each message that arrives; ``echo`` sends the first one."""

    def textMessageReceived(self, message: str) -> None:
        self.characters += len(message)
        self.left -= 1
        if self.left > 0:
            self.transport.sendTextMessage(message)
        else:
            self.finish()


class Sender(Client):
    """Wait for the receipt of the server."""

    def __init__(self) -> None:
        super().__init__()
        self.receipt: Deferred[str] = Deferred()

    def textMessageReceived(self, message: str) -> None:
        self.receipt.callback(message)


class EndlessEchoer(Client):
    """Send back each message."""

    def textMessageReceived(self, message: str) -> None:
        self.transport.sendTextMessage(message)


class ProtocolFactory:
    """Return the given client for the connection."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def buildProtocol(self, url: str) -> Any:
        return self._client


async def connect_with(client: Any, reactor: Any, job: Job) -> Any:
    """Open a connection served by ``client``."""
    endpoint = WebSocketClientEndpoint.new(reactor, job.url, policy(job.ca))
    return await endpoint.connect(ProtocolFactory(client))


@cache
def policy(ca: str | None) -> HostnameCachingHTTPSPolicy:
    """Return the policy with the context that all connections share."""
    root = None if ca is None else trust_root(ca)
    return HostnameCachingHTTPSPolicy(BrowserLikePolicyForHTTPS(root))


async def connect(reactor: Any, job: Job) -> Any:
    """Open a connection."""
    return await connect_with(Client(), reactor, job)


async def receive(reactor: Any, job: Job) -> Numbers:
    """Receive a stream of messages."""
    receiver = Receiver()
    receiver.begin(job)
    await connect_with(receiver, reactor, job)
    await receiver.ended
    return receiver.numbers()


async def echo(reactor: Any, job: Job) -> Numbers:
    """Make round trips."""
    echoer = Echoer()
    await connect_with(echoer, reactor, job)
    echoer.begin(job)
    echoer.transport.sendTextMessage(job.text)
    await echoer.ended
    return echoer.numbers()


async def send(reactor: Any, job: Job) -> Numbers:
    """Send a stream of messages."""
    sender, watcher = Sender(), WriteBufferWatcher()
    await connect_with(sender, reactor, job)
    sender.transport.attachProducer(watcher)
    text = job.text
    watch = Stopwatch()
    for _ in range(job.count):
        sender.transport.sendTextMessage(text)
        if watcher.drained is not None:
            await watcher.drained
    receipt = await sender.receipt
    return sent_numbers(watch, receipt)


async def latency(reactor: Any, job: Job) -> Numbers:
    """Send back messages on many connections."""

    async def connect_one(reactor: Any, job: Job) -> Any:
        return await connect_with(EndlessEchoer(), reactor, job)

    held = await open_many(connect_one, reactor, job, job.connections)
    sender, watch = Sender(), Stopwatch()
    held.append(await connect_with(sender, reactor, job.measuring()))
    receipt = await sender.receipt
    return latency_numbers(watch, receipt)


if __name__ == "__main__":
    run(connect, receive=receive, echo=echo, send=send, latency=latency)
