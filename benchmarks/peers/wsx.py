"""wsx, with its public API only."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

import wsx
from benchmarks.peers.job import LARGEST, Fan, Job, Stopwatch, Tally, latency_numbers, sent_numbers
from benchmarks.peers.on_twisted import open_many, run
from benchmarks.work import Numbers

Ok, Text = wsx.Ok, wsx.Text


class Receiver(Tally, wsx.Handler[None]):
    """Read the payload of each text message and count it."""

    def handle_connect(self, conn: wsx.Conn, state: None) -> None:
        self.open()

    def handle_frame(self, frame: wsx.Frame, state: None) -> None:
        if type(frame) is Text:
            self.characters += len(frame.payload)
            self.left -= 1
            if not self.left:
                self.finish()


class StateReceiver(Receiver):
    """Do the same, and return the state from each call."""

    def handle_frame(self, frame: wsx.Frame, state: None) -> wsx.Ok[None]:  # type: ignore[override]
        if type(frame) is Text:
            self.characters += len(frame.payload)
            self.left -= 1
            if not self.left:
                self.finish()
        return Ok(state)


class Echoer(Tally, wsx.Handler[None]):
    """Send a first message, then send back each message that arrives."""

    def __init__(self, text: str) -> None:
        self._text = text

    def handle_connect(self, conn: wsx.Conn, state: None) -> wsx.Reply[None]:
        self.restart()
        return wsx.Reply(wsx.Text(self._text), state)

    def handle_frame(self, frame: wsx.Frame, state: None) -> wsx.Reply[None] | None:
        self.characters += len(frame.payload)
        self.left -= 1
        if self.left > 0:
            return wsx.Reply(frame, state)
        self.finish()
        return None


class Sender(wsx.Handler[None]):
    """Wait for the receipt of the server."""

    def __init__(self) -> None:
        self.receipt: Deferred[str] = Deferred()

    def handle_frame(self, frame: wsx.Frame, state: None) -> None:
        assert isinstance(frame, wsx.Text)
        self.receipt.callback(frame.payload)


class FanReceiver(wsx.Handler[None]):
    """Count the messages of one of many connections; each has its own handler."""

    def __init__(self, fan: Fan, done: Deferred[None]) -> None:
        self._fan = fan
        self._done = done

    def handle_frame(self, frame: wsx.Frame, state: None) -> wsx.Reply[None] | None:
        fan = self._fan
        fan.characters += len(frame.payload)
        fan.left -= 1
        if fan.left:
            return None
        if fan.next_burst():
            return wsx.Reply(wsx.Text("go"), state)
        self._done.callback(None)
        return None


def start(job: Job, handler: Any) -> Deferred[wsx.Client[None]]:
    """Start a client without keepalive, because not every peer supports keepalive."""
    return wsx.start(
        job.url, handler, None, ping_interval=None, max_message_size=LARGEST, cacerts=job.ca
    )


async def receive_with(handler: Any, job: Job) -> Numbers:
    """Receive until the server closes the connection."""
    handler.begin(job)
    client = await start(job, handler)
    await client.terminated()
    return {**handler.numbers(), **build_form()}


async def receive(reactor: Any, job: Job) -> Numbers:
    """Receive a stream of messages."""
    return await receive_with(StateReceiver() if job.returns_state else Receiver(), job)


async def echo(reactor: Any, job: Job) -> Numbers:
    """Make round trips."""
    return await receive_with(Echoer(job.text), job)


async def send(reactor: Any, job: Job) -> Numbers:
    """Send a stream of messages."""
    handler = Sender()
    client = await start(job, handler)
    text = job.text
    watch = Stopwatch()
    for _ in range(job.count):
        sent = client.send_frame(wsx.Text(text))
        if not sent.called:
            await sent
    receipt = await handler.receipt
    return {**sent_numbers(watch, receipt), **build_form()}


class BurstSender(Sender):
    """Send all messages in one callback, without waiting."""

    def handle_cast(self, job: Job, state: None) -> None:
        text = job.text
        self.watch = Stopwatch()
        for _ in range(job.count):
            self.client.send_frame(wsx.Text(text), timeout=60.0)


async def burst(reactor: Any, job: Job) -> Numbers:
    """Send all messages in one callback."""
    handler = BurstSender()
    client = await start(job, handler)
    client.cast(job)
    receipt = await handler.receipt
    return {**sent_numbers(handler.watch, receipt), **build_form()}


class EndlessEchoer(wsx.Handler[None]):
    """Send back each message."""

    def handle_frame(self, frame: wsx.Frame, state: None) -> wsx.Reply[None]:
        return wsx.Reply(frame, state)


async def latency(reactor: Any, job: Job) -> Numbers:
    """Send back messages on many connections."""

    async def connect_one(reactor: Any, job: Job) -> wsx.Client[None]:
        return await start(job, EndlessEchoer)

    held = await open_many(connect_one, reactor, job, job.connections)
    handler, watch = Sender(), Stopwatch()
    held.append(await start(job.measuring(), handler))
    receipt = await handler.receipt
    return {**latency_numbers(watch, receipt), **build_form()}


async def connect(reactor: Any, job: Job) -> wsx.Client[None]:
    """Open a connection."""
    return await start(job, wsx.Handler)


async def fan(reactor: Any, job: Job) -> Numbers:
    """Receive on many connections."""
    counter, done = Fan(job), Deferred[None]()

    async def connect_one(reactor: Any, job: Job) -> wsx.Client[None]:
        return await start(job, FanReceiver(counter, done))

    held = await open_many(connect_one, reactor, job, job.count)
    counter.next_burst()
    await held[0].send_frame(wsx.Text("go"))
    await done
    return {**counter.numbers(), **build_form()}


def build_form() -> Numbers:
    """Return whether the compiled form of wsx was measured."""
    return {"compiled": getattr(wsx, "compiled", False)}


if __name__ == "__main__":
    run(connect, receive=receive, echo=echo, send=send, burst=burst, latency=latency, fan=fan)
