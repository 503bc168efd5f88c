"""picows by its core API, which its documentation calls significantly more efficient."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from benchmarks.peers.job import LARGEST, Fan, Job, Tally, sent_numbers
from benchmarks.peers.on_asyncio import open_many, run, tls
from benchmarks.work import Numbers

TEXT = WSMsgType.TEXT


def answer_close(transport: WSTransport, frame: WSFrame) -> bool:
    """Answers a close frame; says whether it was one."""
    if frame.msg_type != WSMsgType.CLOSE:
        return False
    transport.send_close(WSCloseCode.OK)
    transport.disconnect()
    return True


class Receiver(Tally, WSListener):  # type: ignore[misc]
    """Decodes each text message.

    Pings, pongs and the close frame come here too: who does not look at the type of each, which
    saves a quarter of the time, takes them for messages.
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
            answer_close(transport, frame)


class Echoer(Tally, WSListener):  # type: ignore[misc]
    """Sends a message, and each that comes back."""

    def __init__(self, text: str) -> None:
        self._text = text

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.started = self.opened = perf_counter()
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
            answer_close(transport, frame)


class Sender(WSListener):  # type: ignore[misc]
    """Says when there is room, and waits for the receipt.

    Attributes:
        room: waits for it; None where there is some.
    """

    def __init__(self) -> None:
        self.receipt: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.room: asyncio.Future[None] | None = None

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if not answer_close(transport, frame):
            self.receipt.set_result(frame.get_payload_as_utf8_text())

    def pause_writing(self) -> None:
        self.room = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        room, self.room = self.room, None
        if room is not None:
            room.set_result(None)


class FanReceiver(WSListener):  # type: ignore[misc]
    """One of many connections."""

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
    """Opens a connection that ``listener`` serves."""
    options |= {"ssl_context": tls(job), "max_frame_size": LARGEST}
    transport, _ = await ws_connect(lambda: listener, job.url, **options)
    return transport


async def connect(job: Job) -> WSTransport:
    """Opens a connection that will be idle: with a small read buffer, which halves its memory."""
    return await connect_with(WSListener(), job, read_buffer_init_size=1024)


async def receive_with(receiver: Any, job: Job) -> Numbers:
    """Receives until the server ends the connection."""
    receiver.begin(job)
    transport = await connect_with(receiver, job)
    await transport.wait_disconnected()
    numbers: Numbers = receiver.numbers()
    return numbers


async def receive(job: Job) -> Numbers:
    """Receives a stream."""
    return await receive_with(Receiver(), job)


async def echo(job: Job) -> Numbers:
    """Does round trips."""
    return await receive_with(Echoer(job.text), job)


async def send(job: Job) -> Numbers:
    """Sends a stream."""
    sender = Sender()
    transport = await connect_with(sender, job)
    text = job.text
    started = perf_counter()
    for _ in range(job.count):
        transport.send(WSMsgType.TEXT, text.encode())
        if sender.room is not None:
            await sender.room
    receipt = await sender.receipt
    return sent_numbers(started, perf_counter(), receipt)


async def burst(job: Job) -> Numbers:
    """Send a burst without looking at the write buffer."""
    sender = Sender()
    transport = await connect_with(sender, job)
    text = job.text
    started = perf_counter()
    for _ in range(job.count):
        transport.send(WSMsgType.TEXT, text.encode())
    receipt = await sender.receipt
    return sent_numbers(started, perf_counter(), receipt)


async def fan(job: Job) -> Numbers:
    """Receives on many connections."""
    counter, done = Fan(job), asyncio.Event()

    async def connect_one(job: Job) -> WSTransport:
        return await connect_with(FanReceiver(counter, done), job)

    held = await open_many(connect_one, job, job.count)
    counter.next_burst()
    held[0].send(WSMsgType.TEXT, b"go")
    await done.wait()
    return counter.numbers()


if __name__ == "__main__":
    run(connect, receive=receive, echo=echo, send=send, burst=burst, fan=fan)
