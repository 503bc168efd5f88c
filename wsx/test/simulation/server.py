"""Scripted servers behind an endpoint: what a server answers, sends and ends."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import ConnectionRefusedError, DNSLookupError
from twisted.internet.error import TimeoutError as TCPTimeout
from twisted.internet.interfaces import IStreamClientEndpoint
from zope.interface import implementer

import wsx
from wsx.test.simulation import wire
from wsx.test.simulation.network import Link, SecureLink
from wsx.test.simulation.wire import BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, RSV1, TEXT

if TYPE_CHECKING:
    from wsx.test.simulation.subject import Subject
    from wsx.test.simulation.world import World

LETTERS = ("a", "x" * 7, "é", "€", "😀", "0")
SIZES = (0, 1, 2, 5, 20, 50, 100, 124, 125, 126, 127, 200, 300)
LARGE_SIZES = (4095, 4096, 65535, 65536, 70000, 200_000)
COMPRESSED_SIZES = (65536, 262_143, 262_144, 262_145, 300_000, 600_001)
REFUSALS = (401, 403, 404, 503, 503, 503, 200, 302, 500, 429)
GOOD_CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999)
BAD_CODES = (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
BAD_TEXT = (b"\xff", b"ok \xc3\x28", b"\xed\xa0\x80", b"abc\xf8", b"\xc0\x80")


@dataclass(slots=True)
class Request:
    """The request of an opening handshake."""

    key: str
    subprotocols: tuple[str, ...]
    offers_deflate: bool


@dataclass(slots=True)
class Answer:
    """A valid response to the opening handshake."""

    headers: tuple[tuple[str, str], ...]
    subprotocol: str | None
    extensions: tuple[str, ...]
    deflater: wire.Deflater | None


@implementer(IStreamClientEndpoint)
class Site:
    """A server, as an endpoint; it has one connection for each attempt of its client.

    Attributes:
        subject: Returns the client that connects.
        down: Whether connections are refused.
        session: The last connection's server side, or None.
    """

    def __init__(
        self, world: World, rng: random.Random, subject: Callable[[], Subject], secure: bool
    ) -> None:
        self.world = world
        self.rng = rng
        self.subject = subject
        self.secure = secure
        self.down = False
        self.session: Session | None = None
        self.sent = 0

    def connect(self, protocolFactory: Any) -> Any:
        subject = self.subject()
        subject.touch()
        subject.model.attempt_begins()
        self.world.note(subject, "attempt", "", "")
        roll = self.rng.random() if self.world.has("attempts") else 1.0
        if self.down or roll < 0.05:
            return self._refuse(subject)
        if roll < 0.08:
            return Deferred(lambda _: subject.model.tcp_cancelled())
        return self._connect(subject, protocolFactory)

    def _refuse(self, subject: Subject) -> Any:
        error = self.rng.choice((ConnectionRefusedError, DNSLookupError, TCPTimeout))()
        if self.rng.random() < 0.3:
            subject.model.tcp_failed(error)
            return fail(error)
        refused: Deferred[Any] = Deferred(lambda _: subject.model.tcp_cancelled())

        def refuse() -> None:
            if not refused.called:
                subject.enter()
                subject.model.tcp_failed(error)
                refused.errback(error)
                subject.leave()

        self.world.reactor.later(self.rng.choice((0.0, 0.01, 1.0, 10.0)), refuse)
        return refused

    def _connect(self, subject: Subject, factory: Any) -> Any:
        connected: Deferred[Any] = Deferred(lambda _: subject.model.tcp_cancelled())

        def connect() -> None:
            if connected.called:
                return
            subject.enter()
            try:
                protocol = factory.buildProtocol(None)
                kind = SecureLink if self.secure else Link
                session = self.session = Session(self)
                link = session.link = kind(self.world, subject, session, protocol)
                subject.model.tcp_connected(link)
                if not self.secure:
                    subject.model.secured(link)
                protocol.makeConnection(link)
                connected.callback(protocol)
                if self.secure:
                    session.secure()
            finally:
                subject.leave()

        if self.rng.random() < 0.1:
            connect()
        else:
            self.world.reactor.later(self.rng.choice((0.0, 0.01, 0.01, 0.5, 2.0)), connect)
        return connected


class Session:
    """The server's side of one connection."""

    link: Link

    def __init__(self, site: Site) -> None:
        self.site = site
        self.world = site.world
        self.rng = site.rng
        self.deflater: wire.Deflater | None = None
        self.is_open = False
        self.close_sent = False
        self.close_received = False
        self.answers_pings = True
        self.answers_close = self.rng.random() < 0.8 or not self.world.has("silence")
        self.closes_tcp = self.rng.random() < 0.85 or not self.world.has("silence")
        self.echoes = self.rng.random() < 0.5

    # Events of the network

    def secure(self) -> None:
        """Answer the TLS handshake."""
        assert isinstance(self.link, SecureLink)
        roll = self.rng.random() if self.world.has("attempts") else 1.0
        if roll < 0.05:
            self.link.reset()
        elif roll >= 0.08:
            self.world.reactor.later(self.rng.choice((0.0, 0.02, 1.0)), self.link.shake_hands)

    def receive(self, frame: Any) -> None:
        """Receive a frame or a request."""
        if self.link.lost or self.link.dead:
            return
        if isinstance(frame, Request):
            self._request(frame)
        elif frame.opcode == CLOSE:
            self._close_received(frame.payload)
        elif frame.opcode == PING:
            if self.answers_pings and not self.close_sent:
                self.send_frame(PONG, frame.payload, wsx.Pong(frame.payload))
        elif frame.opcode in (TEXT, BINARY) and self.echoes and self.rng.random() < 0.2:
            kind = wsx.Text if frame.opcode == TEXT else wsx.Binary
            payload = frame.payload.encode() if frame.opcode == TEXT else frame.payload
            if len(payload) < 1000:
                self.send_frame(frame.opcode, payload, kind(frame.payload))

    def lost(self) -> None:
        """The connection has ended."""
        self.is_open = False

    def _close_received(self, payload: tuple[int | None, str]) -> None:
        self.close_received = True
        if not self.close_sent and self.answers_close:
            self.close_sent = True
            code = b"" if payload[0] is None else payload[0].to_bytes(2, "big")
            data = wire.server_frame(CLOSE, code)
            self.link.send(data, [])
        if self.closes_tcp:
            self.link.finish()

    # The opening handshake

    def _request(self, request: Request) -> None:
        roll = self.rng.random() if self.world.has("attempts") else 1.0
        delay = self.rng.choice((0.0, 0.0, 0.05, 1.0))
        if roll < 0.02:
            return  # No response.
        if roll < 0.04:
            action: Callable[..., None] = self.link.reset
            arguments: tuple[Any, ...] = ()
        elif roll < 0.14:
            action, arguments = self._refuse, ()
        elif roll < 0.18:
            action, arguments = self._answer_wrongly, (request,)
        else:
            action, arguments = self._accept, (request,)
        self.world.reactor.later(delay, action, *arguments)

    def _interim(self) -> bytes:
        if self.rng.random() < 0.9:
            return b""
        one = self.rng.choice(
            (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early\r\nA: b\r\n\r\n")
        )
        return one * self.rng.randint(1, 3)

    def _retry_after(self) -> int | float | None:
        """Return seconds, or the seconds since the epoch of a date as a float, or None."""
        if self.rng.random() < 0.02:
            return 7200
        after = self.rng.choice((None, 0, 3, 20))
        if after is None or self.rng.random() < 0.6:
            return after
        return float(int(self.world.reactor.seconds()) + after)

    def _refuse(self) -> None:
        code = self.rng.choice(REFUSALS)
        after = self._retry_after() if code in (503, 429) else None
        body = b"refused " * self.rng.choice((0, 1, 100))
        lines = [f"HTTP/1.1 {code} Because"]
        if after is not None:
            value = after if isinstance(after, int) else formatdate(after, usegmt=True)
            lines.append(f"Retry-After: {value}")
        if code == 302:
            lines.append("Location: ws://elsewhere/")
        known = self.rng.random() < 0.7
        if known:
            lines.append(f"Content-Length: {len(body)}")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode()
        prefix = self._interim()
        start, middle = len(prefix), len(prefix) + len(head)
        data = prefix + head + body
        expected = ("request", code, after, body)
        # A time limit may pass before the body is complete.
        items: list[Any] = [("head", ("request", code, after, None), start, middle)]
        items.append(("response" if known else "head", expected, start, len(data)))
        self.link.send(data, items)
        if not known or self.rng.random() < 0.5:
            self.link.finish()

    def _accept_headers(self, request: Request) -> tuple[list[tuple[str, str]], Answer]:
        rng = self.rng
        headers = [("Upgrade", "websocket"), ("Connection", "Upgrade")]
        headers.append(("Sec-WebSocket-Accept", wire.accept_value(request.key)))
        subprotocol = None
        if request.subprotocols and rng.random() < 0.7:
            subprotocol = rng.choice(request.subprotocols)
            headers.append(("Sec-WebSocket-Protocol", subprotocol))
        extensions: tuple[str, ...] = ()
        deflater = None
        if request.offers_deflate and rng.random() < 0.8:
            deflater = wire.Deflater(
                rng.random() < 0.5, rng.random() < 0.5, rng.choice((15, 15, 9)), rng.random() < 0.5
            )
            extensions = (deflater.header(),)
            headers.append(("Sec-WebSocket-Extensions", extensions[0]))
        if rng.random() < 0.3:
            headers += [("X-Twice", "1"), ("X-Twice", "2")]
        rng.shuffle(headers)
        return headers, Answer(tuple(headers), subprotocol, extensions, deflater)

    def _accept(self, request: Request) -> None:
        if self.link.lost or self.link.fin_sent:
            return
        headers, answer = self._accept_headers(request)
        self.deflater = answer.deflater
        lines = ["HTTP/1.1 101 Switching Protocols", *(f"{n}: {v}" for n, v in headers), "", ""]
        prefix = self._interim()
        data = prefix + "\r\n".join(lines).encode()
        items: list[Any] = [("response", answer, len(prefix), len(data))]
        self.is_open = True
        if self.rng.random() < 0.2:  # The first frames are in the same packet.
            frame, payload = self._payload(self.rng.choice(SIZES))
            more = wire.server_frame(frame.opcode, payload)
            items.append(("frame", frame, len(data), len(data) + len(more)))
            data += more
        self.link.send(data, items)

    def _answer_wrongly(self, request: Request) -> None:
        good = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Accept": wire.accept_value(request.key),
        }
        status = "HTTP/1.1 101 Switching Protocols"
        kind = self.rng.randrange(7)
        if kind == 0:
            good["Sec-WebSocket-Accept"] = wire.accept_value(request.key + "x")
        elif kind == 1:
            del good["Upgrade"]
        elif kind == 2:
            good["Connection"] = "close"
        elif kind == 3:
            good["Sec-WebSocket-Protocol"] = "never-offered"
        elif kind == 4:
            good["Sec-WebSocket-Extensions"] = "x-unknown"
        elif kind == 5:
            status = "HTTP/1.0 101 Switching Protocols"
        else:
            status = "SSH-2.0-OpenSSH_9.6"
        lines = [status, *(f"{n}: {v}" for n, v in good.items()), "", ""]
        data = "\r\n".join(lines).encode()
        self.link.send(data, [("response", ("handshake",), 0, len(data))])

    # Frames

    def _payload(self, size: int) -> tuple[wsx.Frame, bytes]:
        """Return a message and its bytes. Each has its own number."""
        self.site.sent += 1
        mark = f"s{self.site.sent}"
        if self.rng.random() < 0.5:
            letter = self.rng.choice(LETTERS)
            text = mark + letter * ((size - len(mark)) // len(letter.encode()))
            return wsx.Text(text), text.encode()
        data = (mark.encode() + bytes(size))[: max(size, len(mark))]
        return wsx.Binary(data), data

    def send_frame(self, opcode: int, payload: bytes, frame: wsx.Frame) -> None:
        """Send one frame in one piece."""
        data = self._encode(opcode, payload)
        self.link.send(data, [("frame", frame, 0, len(data))])

    def _encode(self, opcode: int, payload: bytes) -> bytes:
        if self.deflater is not None and not opcode & 8 and self.rng.random() < 0.8:
            return wire.server_frame(opcode, self.deflater.compress(payload), FIN | RSV1)
        return wire.server_frame(opcode, payload)

    def message(self, large: bool = False) -> None:
        """Send a message, in one frame or in fragments."""
        if self.close_sent or not self.is_open:
            return
        size = self.rng.choice(LARGE_SIZES if large else SIZES)
        limit = self.link.subject.conn.max_message_size
        if large and self.deflater is not None and limit is not None and limit > 1_000_000:
            size = self.rng.choice(COMPRESSED_SIZES)
        frame, payload = self._payload(size)
        if self.rng.random() < 0.25:
            self._fragments(frame, payload)
        else:
            self.send_frame(frame.opcode, payload, frame)

    def _fragments(self, frame: wsx.Frame, payload: bytes) -> None:
        first_bits = 0
        if self.deflater is not None and self.rng.random() < 0.8:
            payload, first_bits = self.deflater.compress(payload), RSV1
        count = self.rng.randint(2, 5)
        cuts = sorted(self.rng.randint(0, len(payload)) for _ in range(count - 1))
        parts = [payload[a:b] for a, b in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
        data = b""
        items: list[Any] = []
        for i, part in enumerate(parts):
            opcode = CONTINUATION if i else frame.opcode
            last = FIN if i == len(parts) - 1 else 0
            data += wire.server_frame(opcode, part, last | (0 if i else first_bits))
            if not last and self.rng.random() < 0.3:
                start = len(data)
                data += wire.server_frame(PING, b"mid")
                items.append(("frame", wsx.Ping(b"mid"), start, len(data)))
        items.append(("frame", frame, 0, len(data)))
        items.sort(key=lambda item: item[3])
        self.link.send(data, items)

    def burst(self, count: int, controls: bool) -> None:
        """Send many frames in one packet."""
        if self.close_sent or not self.is_open:
            return
        data = b""
        items: list[Any] = []
        for _ in range(count):
            if controls and self.rng.random() < 0.7:
                self.site.sent += 1
                payload = f"p{self.site.sent}".encode()
                kind = self.rng.choice((wsx.Ping, wsx.Pong))
                frame: wsx.Frame = kind(payload)
            else:
                frame, payload = self._payload(self.rng.choice((0, 1, 5, 30)))
            encoded = self._encode(frame.opcode, payload)
            items.append(("frame", frame, len(data), len(data) + len(encoded)))
            data += encoded
        self.link.send(data, items)

    def ping(self) -> None:
        """Send a ping or an unsolicited pong."""
        if self.close_sent or not self.is_open:
            return
        payload = b"z" * self.rng.choice((0, 1, 60, 125))
        kind = self.rng.choice((wsx.Ping, wsx.Ping, wsx.Pong))
        self.send_frame(kind.opcode, payload, kind(payload))

    def close(self) -> None:
        """Send a close frame, and nothing after it; sometimes garbage."""
        if self.close_sent or not self.is_open:
            return
        self.close_sent = True
        code = self.rng.choice((None, *GOOD_CODES))
        text = "" if code is None else self.rng.choice(("", "bye", "é" * 61))
        payload = b"" if code is None else code.to_bytes(2, "big") + text.encode()
        frames: bytes = b""
        items: list[Any] = []
        if self.rng.random() < 0.3:  # A message before it, in the same packet.
            frame, data = self._payload(5)
            frames = self._encode(frame.opcode, data)
            items.append(("frame", frame, 0, len(frames)))
        start = len(frames)
        frames += wire.server_frame(CLOSE, payload)
        value = ("remote", 1005 if code is None else code, text)
        items.append(("close", value, start, len(frames)))
        if self.rng.random() < 0.2:
            frames += wire.server_frame(TEXT, b"after the close frame")
        self.link.send(frames, items)
        if self.rng.random() < 0.2:
            self.link.finish()

    def violate(self) -> None:
        """Send something that RFC 6455 forbids."""
        if self.close_sent or not self.is_open:
            return
        self.close_sent = True  # Nothing more is sent.
        frames: bytes = b""
        items: list[Any] = []
        if self.rng.random() < 0.5:
            frame, payload = self._payload(5)
            frames = self._encode(frame.opcode, payload)
            items.append(("frame", frame, 0, len(frames)))
        data, code = self._violation()
        start = len(frames)
        items.append(("error", ("frame", code), start, start + len(data)))
        self.link.send(frames + data, items)

    def _violation(self) -> tuple[bytes, int]:
        rng, frame = self.rng, wire.server_frame
        limit = self.link.subject.conn.max_message_size or 0
        bits = (0x20, 0x10, 0x30) if self.deflater is not None else (0x40, 0x20, 0x10, 0x70)
        options: list[tuple[bytes, int]] = [
            (frame(TEXT, b"x", FIN | rng.choice(bits)), 1002),
            (frame(rng.choice((3, 4, 5, 6, 7, 11, 12, 13, 14, 15)), b""), 1002),
            (frame(TEXT, rng.choice(BAD_TEXT)), 1007),
            (frame(TEXT, b"ok", 0) + frame(CONTINUATION, rng.choice(BAD_TEXT), 0), 1007),
            (frame(CONTINUATION, b"x"), 1002),
            (frame(BINARY, b"x", 0) + frame(TEXT, b"y"), 1002),
            (frame(PING, b"x", 0), 1002),
            (frame(PING, b"x" * 126), 1002),
            (frame(CLOSE, rng.choice(BAD_CODES).to_bytes(2, "big")), 1002),
            (frame(CLOSE, b"\x03"), 1002),
            (frame(CLOSE, b"\x03\xe8\xff"), 1007),
            (b"\x81\x85abcd12345", 1002),
            (b"\x82\x7e\x00\x05hello", 1002),
            (b"\x82\x7f" + (65535).to_bytes(8, "big"), 1002),
            (b"\x82\x7f" + (1 << 63).to_bytes(8, "big"), 1002),
        ]
        if 0 < limit <= 200_000:
            options += [(frame(BINARY, bytes(limit + 1)), 1009)] * 3
            options.append((frame(BINARY, bytes(limit), 0) + frame(CONTINUATION, b"1"), 1009))
            if self.deflater is not None and rng.random() < 0.2:
                bomb = self.deflater.compress(bytes(limit + 1))
                return frame(BINARY, bomb, FIN | RSV1), 1009
        if self.deflater is not None:
            options += [(frame(BINARY, b"\x06\xff", FIN | RSV1), 1007)] * 2
            options.append((frame(PING, b"", FIN | RSV1), 1002))
        return rng.choice(options)

    def largest(self) -> None:
        """Send a message of exactly the largest size."""
        limit = self.link.subject.conn.max_message_size
        if limit and limit <= 100_000 and self.is_open and not self.close_sent:
            payload = bytes(limit)
            self.send_frame(BINARY, payload, wsx.Binary(payload))


__all__ = ["Answer", "CancelledError", "Request", "Session", "Site"]
