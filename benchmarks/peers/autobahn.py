"""Autobahn's client on Twisted."""

from __future__ import annotations

from functools import partial
from typing import Any

import txaio
from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet.defer import Deferred

from benchmarks.peers.job import Fan, Job, Stopwatch, Tally, latency_numbers, sent_numbers
from benchmarks.peers.on_twisted import WriteBufferWatcher, endpoint, open_many, run
from benchmarks.work import Numbers

txaio.use_twisted()


class Client(WebSocketClientProtocol):  # type: ignore[misc]
    """Fire Deferreds when the connection has opened and when it has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ready: Deferred[Client] = Deferred()
        self.ended: Deferred[None] = Deferred()

    def onOpen(self) -> None:
        self.ready.callback(self)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self.ended.callback(None)


class Receiver(Tally, Client):
    """Decode and count each message."""

    def onOpen(self) -> None:
        self.open()
        super().onOpen()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.characters += len(payload.decode())
        self.left -= 1
        if not self.left:
            self.finish()


class Echoer(Tally, Client):
    """Send a first message, then send back each message that arrives."""

    text = ""

    def onOpen(self) -> None:
        super().onOpen()
        self.restart()
        self.sendMessage(self.text.encode())

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        text = payload.decode()
        self.characters += len(text)
        self.left -= 1
        if self.left > 0:
            self.sendMessage(text.encode())
        else:
            self.finish()


class Sender(Client):
    """Wait for the receipt of the server."""

    def __init__(self) -> None:
        super().__init__()
        self.receipt: Deferred[str] = Deferred()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.receipt.callback(payload.decode())


class FanReceiver(Client):
    """Count the messages of one of many connections."""

    fan: Fan
    done: Deferred[None]

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        fan = self.fan
        fan.characters += len(payload.decode())
        fan.left -= 1
        if not fan.left:
            if fan.next_burst():
                self.sendMessage(b"go")
            else:
                self.done.callback(None)


def create_factory(job: Job, kind: Any, **attributes: Any) -> Any:
    """Create a factory whose protocols are instances of ``kind``; the time starts now.

    Autobahn does not validate UTF-8, because the receivers decode each message anyway.
    """
    watch = Stopwatch()
    factory = WebSocketClientFactory(job.url)
    factory.noisy = False
    factory.setProtocolOptions(utf8validateIncoming=False, tcpNoDelay=True)

    def build(address: Any) -> Any:
        protocol = kind()
        protocol.factory = factory
        vars(protocol).update(attributes)
        if isinstance(protocol, Tally):
            protocol.begin(job, watch)
        return protocol

    factory.buildProtocol = build
    return factory


async def connect_with(kind: Any, reactor: Any, job: Job, **attributes: Any) -> Any:
    """Open a connection served by ``kind``."""
    protocol = await endpoint(reactor, job).connect(create_factory(job, kind, **attributes))
    return await protocol.ready


async def connect(reactor: Any, job: Job) -> Client:
    """Open a connection."""
    client: Client = await connect_with(Client, reactor, job)
    return client


async def receive(reactor: Any, job: Job) -> Numbers:
    """Receive a stream of messages."""
    receiver = await connect_with(Receiver, reactor, job)
    await receiver.ended
    numbers: Numbers = receiver.numbers()
    return numbers


async def echo(reactor: Any, job: Job) -> Numbers:
    """Make round trips."""
    echoer = await connect_with(Echoer, reactor, job, text=job.text)
    await echoer.ended
    numbers: Numbers = echoer.numbers()
    return numbers


async def send(reactor: Any, job: Job) -> Numbers:
    """Send a stream of messages."""
    sender, watcher = await connect_with(Sender, reactor, job), WriteBufferWatcher()
    sender.registerProducer(watcher, True)
    text = job.text
    watch = Stopwatch()
    for _ in range(job.count):
        sender.sendMessage(text.encode())
        if watcher.drained is not None:
            await watcher.drained
    receipt = await sender.receipt
    return sent_numbers(watch, receipt)


async def burst(reactor: Any, job: Job) -> Numbers:
    """Send all messages without waiting for the write buffer to drain."""
    sender = await connect_with(Sender, reactor, job)
    text = job.text
    watch = Stopwatch()
    for _ in range(job.count):
        sender.sendMessage(text.encode())
    receipt = await sender.receipt
    return sent_numbers(watch, receipt)


class EndlessEchoer(Client):
    """Send back each message."""

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.sendMessage(payload.decode().encode())


async def latency(reactor: Any, job: Job) -> Numbers:
    """Send back messages on many connections."""
    connect_echoer = partial(connect_with, EndlessEchoer)
    held = await open_many(connect_echoer, reactor, job, job.connections)
    watch = Stopwatch()
    held.append(await connect_with(Sender, reactor, job.measuring()))
    receipt = await held[-1].receipt
    return latency_numbers(watch, receipt)


async def fan(reactor: Any, job: Job) -> Numbers:
    """Receive on many connections."""
    counter, done = Fan(job), Deferred[None]()

    async def connect_one(reactor: Any, job: Job) -> Any:
        return await connect_with(FanReceiver, reactor, job, fan=counter, done=done)

    held = await open_many(connect_one, reactor, job, job.count)
    counter.next_burst()
    held[0].sendMessage(b"go")
    await done
    return counter.numbers()


if __name__ == "__main__":
    run(connect, receive=receive, echo=echo, send=send, burst=burst, latency=latency, fan=fan)
