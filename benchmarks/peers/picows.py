"""The core API of picows, which its documentation calls significantly more efficient.

picows depends on aiofastnet (TCP and TLS transports in Cython) and uses it by default. The option
``--aiofastnet`` decides here; without it the transports are those of the event loop.
"""

from __future__ import annotations

import asyncio
from typing import Any

import aiofastnet
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from benchmarks.peers.job import LARGEST, Fan, Job, Stopwatch, Tally, latency_numbers, sent_numbers
from benchmarks.peers.on_asyncio import open_many, run, tls_context
from benchmarks.work import Numbers

TEXT = WSMsgType.TEXT


def reply_to_close(transport: WSTransport, frame: WSFrame) -> bool:
    """Reply to a close frame; return whether the frame was one."""
    if frame.msg_type != WSMsgType.CLOSE:
        return False
    transport.send_close(WSCloseCode.OK)
    transport.disconnect()
    return True


class Receiver(Tally, WSListener):  # type: ignore[misc]
    """Decode and count each text message.

    picows delivers control frames to the same method, so it checks the type of each frame. Without
    the check, which takes a quarter of the time, control frames would count as messages.
    """

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.open()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == TEXT:
            self.characters += len(frame.get_payload_as_utf8_text())
            self.left -= 1
            if not self.left:
                self.finish()
        else:
            reply_to_close(transport, frame)


class Echoer(Tally, WSListener):  # type: ignore[misc]
    """Send a first message, then send back each message that arrives."""

    def __init__(self, text: str) -> None:
        self._text = text

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.restart()
        transport.send(WSMsgType.TEXT, self._text.encode())

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == TEXT:
            text = frame.get_payload_as_utf8_text()
            self.characters += len(text)
            self.left -= 1
            if self.left > 0:
                transport.send(TEXT, text.encode())
            else:
                self.finish()
        else:
            reply_to_close(transport, frame)


class Sender(WSListener):  # type: ignore[misc]
    """Watch the write buffer, and wait for the receipt of the server.

    Attributes:
        receipt: A Future that fires with the receipt.
        drained: A Future that fires when the write buffer has drained, or None while it is below
            its high-water mark.
    """

    def __init__(self) -> None:
        self.receipt: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.drained: asyncio.Future[None] | None = None

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if not reply_to_close(transport, frame):
            self.receipt.set_result(frame.get_payload_as_utf8_text())

    def pause_writing(self) -> None:
        self.drained = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        drained, self.drained = self.drained, None
        if drained is not None:
            drained.set_result(None)


class FanReceiver(WSListener):  # type: ignore[misc]
    """Count the messages of one of many connections."""

    def __init__(self, fan: Fan, done: asyncio.Event) -> None:
        self._fan = fan
        self._done = done

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        fan = self._fan
        fan.characters += len(frame.get_payload_as_utf8_text())
        fan.left -= 1
        if not fan.left:
            if fan.next_burst():
                transport.send(WSMsgType.TEXT, b"go")
            else:
                self._done.set()


async def connect_with(listener: Any, job: Job, **options: Any) -> WSTransport:
    """Open a connection served by ``listener``."""
    options |= {"ssl_context": tls_context(job), "max_frame_size": LARGEST}
    options |= {"use_aiofastnet": job.aiofastnet}
    transport, _ = await ws_connect(lambda: listener, job.url, **options)
    if isinstance(transport.underlying_transport, aiofastnet.Transport) != job.aiofastnet:
        raise SystemExit(f"aiofastnet: expected {job.aiofastnet}, got {not job.aiofastnet}")
    return transport


async def connect(job: Job) -> WSTransport:
    """Open a connection that stays idle, with a small read buffer, which halves its memory."""
    return await connect_with(WSListener(), job, read_buffer_init_size=1024)


async def receive_with(receiver: Any, job: Job) -> Numbers:
    """Receive until the server closes the connection."""
    receiver.begin(job)
    transport = await connect_with(receiver, job)
    await transport.wait_disconnected()
    numbers: Numbers = receiver.numbers()
    return numbers


async def receive(job: Job) -> Numbers:
    """Receive a stream of messages."""
    return await receive_with(Receiver(), job)


async def echo(job: Job) -> Numbers:
    """Make round trips."""
    return await receive_with(Echoer(job.text), job)


async def send(job: Job) -> Numbers:
    """Send a stream of messages."""
    sender = Sender()
    transport = await connect_with(sender, job)
    text = job.text
    watch = Stopwatch()
    for _ in range(job.count):
        transport.send(WSMsgType.TEXT, text.encode())
        if sender.drained is not None:
            await sender.drained
    receipt = await sender.receipt
    return sent_numbers(watch, receipt)


async def burst(job: Job) -> Numbers:
    """Send all messages without waiting for the write buffer to drain."""
    sender = Sender()
    transport = await connect_with(sender, job)
    text = job.text
    watch = Stopwatch()
    for _ in range(job.count):
        transport.send(WSMsgType.TEXT, text.encode())
    receipt = await sender.receipt
    return sent_numbers(watch, receipt)


class EndlessEchoer(WSListener):  # type: ignore[misc]
    """Send back each message."""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if not reply_to_close(transport, frame):
            transport.send(TEXT, frame.get_payload_as_utf8_text().encode())


async def latency(job: Job) -> Numbers:
    """Send back messages on many connections."""

    async def connect_one(job: Job) -> WSTransport:
        return await connect_with(EndlessEchoer(), job, read_buffer_init_size=1024)

    held = await open_many(connect_one, job, job.connections)
    sender, watch = Sender(), Stopwatch()
    held.append(await connect_with(sender, job.measuring()))
    receipt = await sender.receipt
    return latency_numbers(watch, receipt)


async def fan(job: Job) -> Numbers:
    """Receive on many connections."""
    counter, done = Fan(job), asyncio.Event()

    async def connect_one(job: Job) -> WSTransport:
        return await connect_with(FanReceiver(counter, done), job)

    held = await open_many(connect_one, job, job.count)
    counter.next_burst()
    held[0].send(WSMsgType.TEXT, b"go")
    await done.wait()
    return counter.numbers()


if __name__ == "__main__":
    run(connect, receive=receive, echo=echo, send=send, burst=burst, latency=latency, fan=fan)
