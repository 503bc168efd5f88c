"""The same random streams through wsx compiled, wsx pure, Autobahn's own parser and ``wsproto``."""

from __future__ import annotations

import itertools
import random
import sys
import zlib
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateResponseAccept
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from wsproto.extensions import Extension, PerMessageDeflate
from wsproto.frame_protocol import FrameProtocol, Opcode, ParseFailed

import wsx
from wsx import _compiled, frames
from wsx._wire import decoder, encoder
from wsx._wire.handshake import accept_value
from wsx._wire.inflater import Inflater
from wsx.errors import FrameError
from wsx.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT
from wsx.test.support import server_frame

FIN, RSV1, RSV2, RSV3 = 0x80, 0x40, 0x20, 0x10
PLAIN_SEEDS = range(300)
DEFLATE_SEEDS = range(1000, 1080)
OWN_PONG = b"own!"

# Registered codes and private ones. Not 1014, which is younger than the lists of the peers, and
# which test_codec has.
GOOD_CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4999)
BAD_CODES = (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
SIZES = (0, 1, 2, 3, 7, 30, 124, 125, 126, 127, 128, 300)
BIG_SIZES = (65534, 65535, 65536, 65537, 140_000)
CHARACTERS = "az 09\x00\x7f", "\x80é߿", "ࠀ€한\ud7ff\ue000￿", "\U00010000😀\U0010ffff"
BAD_UTF8 = (
    b"\xff",
    b"\x80",
    b"\xc0\x80",
    b"\xc1\xbf",
    b"\xe0\x80\x80",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xf0\x80\x80\x80",
    b"\xf4\x90\x80\x80",
    b"\xf5\x80\x80\x80",
    b"\xe2\x82a",
    b"\xf0\x9f\x98a",
    b"\xc3\xc3\xa9",
)
CUT_UTF8 = (b"\xc3", b"\xe2", b"\xe2\x82", b"\xf0", b"\xf0\x9f", b"\xf0\x9f\x98")


# The forms of wsx


class Form(NamedTuple):
    """A form of the fast path: the modules with the decoder, the other way, and the frames."""

    codec: Any
    encode: Any
    frames: Any


def load_pure() -> Form:
    """Loads the sources once more, beside what is imported, past their compiled forms."""
    names = [f"wsx.{name}" for name in _compiled._SOURCES]
    imported = {name: sys.modules[name] for name in names}
    loaded: dict[str, ModuleType] = {}
    try:
        for name in names:
            short = name.rpartition(".")[2]
            path = Path(wsx.__file__).parents[1].joinpath(*name.split(".")).with_suffix(".py")
            spec = spec_from_file_location(f"wsx_pure.{short}", path)
            assert spec is not None and spec.loader is not None
            module = module_from_spec(spec)
            spec.loader.exec_module(module)
            sys.modules[name] = module  # so that the next one imports it
            loaded[short] = module
    finally:
        sys.modules.update(imported)
    return Form(loaded["decoder"], loaded["encoder"], loaded["frames"])


IMPORTED = Form(decoder, encoder, frames)
PURE = load_pure()


# Streams

Item = tuple[str, str | bytes]
End = tuple[Any, ...]
CLEAN: End = ("clean",)


@dataclass(frozen=True)
class Terms:
    """What was agreed on for a connection; ``window_bits`` of 0 is no compression."""

    limit: int | None = None
    window_bits: int = 0
    keep_context: bool = True

    def inflater(self) -> Inflater | None:
        """Gives wsx's own."""
        return Inflater(self.window_bits, self.keep_context) if self.window_bits else None

    def header(self) -> str:
        """The extension as a server's response states it."""
        alone = "" if self.keep_context else "; server_no_context_takeover"
        return f"permessage-deflate; server_max_window_bits={self.window_bits}{alone}"


class Outcome(NamedTuple):
    """What a reader made of a stream: what it delivered, and how that ended."""

    items: list[Item]
    end: End


class Stream:
    """The bytes of one connection, and what they mean: known, because they are made here.

    Attributes:
        data: the bytes.
        marks: where headers and payloads begin.
        items: what is delivered.
        end: how it ends.
        interrupted: whether a control frame stands inside a compressed message.
        corrupt: whether something cannot be inflated.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.terms = Terms()
        self.data = bytearray()
        self.marks: list[int] = []
        self.items: list[Item] = []
        self.end = CLEAN
        self.interrupted = False
        self.corrupt = False
        self._compressor: Any = None

    def put(self, opcode: int, payload: bytes, flags: int = FIN, mask: bytes = b"") -> None:
        """Adds one frame, whatever it means."""
        frame = server_frame(opcode, payload, flags, mask)
        self.put_raw(frame[: len(frame) - len(payload)], payload, frame)

    def put_raw(self, header: bytes, payload: bytes, frame: bytes | None = None) -> None:
        """Adds what may be no frame at all."""
        self.marks += (len(self.data), len(self.data) + len(header))
        self.data += header + payload if frame is None else frame

    def noise(self, size: int) -> bytes:
        """Random bytes."""
        block = self.rng.randbytes(min(size, 251))
        return (block * (size // 251 + 1))[:size]

    def text(self, size: int) -> bytes:
        """Random UTF-8 of exactly that size."""
        alphabet = self.rng.choice((CHARACTERS[0], *CHARACTERS, "".join(CHARACTERS)))
        block = "".join(self.rng.choices(alphabet, k=min(size, 64))).encode() or b"-"
        text = block * (size // len(block))
        return text + b"." * (size - len(text))

    def size(self) -> int:
        """A size that is near a boundary of the wire, or any."""
        return self.rng.choice((*SIZES, self.rng.randrange(600)))

    def payload(self, opcode: int, size: int) -> bytes:
        """A payload that is right for that opcode."""
        return self.text(size) if opcode == TEXT else self.noise(size)

    def deliver(self, opcode: int, payload: bytes) -> None:
        """Notes that this is to be delivered."""
        kind = {TEXT: "text", BINARY: "binary", PING: "ping", PONG: "pong"}[opcode]
        self.items.append((kind, payload.decode() if opcode == TEXT else payload))

    def message(self, size: int | None = None) -> None:
        """Adds a message in one frame."""
        opcode = self.rng.choice((TEXT, BINARY))
        payload = self.payload(opcode, self.size() if size is None else size)
        flags, wire = self.deflated(payload)
        self.put(opcode, wire, FIN | flags)
        self.deliver(opcode, payload)

    def control(self) -> None:
        """Adds a ping or a pong."""
        opcode = self.rng.choice((PING, PONG))
        payload = self.noise(self.rng.choice((0, 1, 4, 60, 124, 125)))
        if opcode == PONG and self.rng.random() < 0.5:
            payload = OWN_PONG + payload[:121]
        self.put(opcode, payload)
        self.deliver(opcode, payload)

    def controls(self) -> None:
        """Adds some, or none, inside a message."""
        for _ in range(self.rng.choice((0, 0, 1, 3))):
            self.control()
            self.interrupted = self.interrupted or bool(self.terms.window_bits)

    def fragmented(self, size: int | None = None) -> None:
        """Adds a message in fragments, cut anywhere, with control frames in between."""
        opcode = self.rng.choice((TEXT, BINARY))
        payload = self.payload(opcode, self.size() if size is None else size)
        flags, wire = self.deflated(payload)
        self.fragments(opcode, wire, flags)
        self.deliver(opcode, payload)

    def fragments(self, opcode: int, payload: bytes, flags: int = 0) -> None:
        """Adds the frames of a message."""
        parts = self.parts(payload)
        last = len(parts) - 1
        for i, part in enumerate(parts):
            if i:
                self.controls()
                opcode, flags = CONTINUATION, 0
            self.put(opcode, part, flags | FIN if i == last else flags)

    def parts(self, payload: bytes) -> list[bytes]:
        """Cuts a payload into fragments, empty ones too."""
        places = range(len(payload) + 1)
        cuts = sorted(self.rng.choices(places, k=self.rng.randrange(1, 5)))
        return [payload[start:stop] for start, stop in itertools.pairwise([0, *cuts, len(payload)])]

    def many(self) -> None:
        """Adds more frames than a decoder gives at once, or nearly so."""
        kinds = self.rng.choice(((TEXT,), (BINARY,), (TEXT, BINARY, PING), (PONG,)))
        for _ in range(self.rng.choice((510, 511, 512, 513, 1023, 1024, 1025, 1300))):
            opcode = self.rng.choice(kinds)
            payload = self.payload(opcode, self.rng.randrange(3))
            self.put(opcode, payload)
            self.deliver(opcode, payload)

    def deflated(self, payload: bytes, mode: int = zlib.Z_SYNC_FLUSH) -> tuple[int, bytes]:
        """Gives the reserved bits and the payload as it goes on the wire (RFC 7692 section 7.2)."""
        if not self.terms.window_bits or self.rng.random() < 0.2:
            return 0, payload
        if self._compressor is None or not self.terms.keep_context:
            self._compressor = zlib.compressobj(6, zlib.DEFLATED, -self.terms.window_bits)
        data = self._compressor.compress(payload) + self._compressor.flush(mode)
        return RSV1, data.removesuffix(b"\x00\x00\xff\xff")

    def close(self) -> None:
        """Adds a close frame: nothing in it, a code, or a code and a message."""
        code, message = self.rng.choice(GOOD_CODES), self.text(self.rng.choice((1, 20, 123)))
        payload, end = self.rng.choice(
            (
                (b"", (1005, "")),
                (code.to_bytes(2, "big"), (code, "")),
                (code.to_bytes(2, "big") + message, (code, message.decode())),
            )
        )
        self.put(CLOSE, payload)
        self.end = ("close", *end)
        self.ignored()

    def truncated(self) -> None:
        """Adds a part of a frame, or one of 2^62 bytes that never comes whole."""
        opcode = self.rng.choice((TEXT, BINARY, PING, CLOSE))
        size = self.rng.choice((2, 125) if opcode & 8 else (2, 126, 65536))
        payload = b"\x03\xe8" if opcode == CLOSE else self.payload(opcode, size)
        frame = server_frame(opcode, payload)
        self.put_raw(frame[: self.rng.randrange(1, min(len(frame), 200))], b"")
        if len(self.data) - self.marks[-2] == 1 and self.rng.random() < 0.3:
            del self.data[-1]
            self.put_raw(b"\x82\x7f" + (1 << 62).to_bytes(8, "big"), b"some")

    def refused(self) -> None:
        """Adds something that RFC 6455 forbids."""
        violation = self.rng.choice(VIOLATIONS)
        code = violation(self)
        self.end = ("failure", code)
        self.ignored()

    def ignored(self) -> None:
        """Adds what nobody reads any more, perhaps."""
        if self.rng.random() < 0.5:
            self.put(TEXT, b"ignored")
            self.put(PING, b"ignored")

    def outcome(self) -> Outcome:
        """What everybody should make of it."""
        return Outcome(self.items, self.end)


def not_quite(stream: Stream, *opcodes: int) -> tuple[int, bytes]:
    """An opcode and a payload that goes with it."""
    opcode = stream.rng.choice(opcodes)
    return opcode, b"" if opcode == CLOSE else stream.payload(opcode, stream.rng.randrange(9))


def begun(stream: Stream) -> None:
    """Begins a message that will not end."""
    opcode, payload = not_quite(stream, TEXT, BINARY)
    stream.put(opcode, payload, 0)
    stream.controls()


def reserved_bit(stream: Stream) -> int:
    opcode, payload = not_quite(stream, TEXT, BINARY, PING, PONG, CLOSE)
    stream.put(opcode, payload, FIN | stream.rng.choice((RSV1, RSV2, RSV3, RSV1 | RSV3)))
    return 1002


def reserved_bit_within(stream: Stream) -> int:
    begun(stream)
    stream.put(CONTINUATION, b"x", FIN | stream.rng.choice((RSV1, RSV2, RSV3)))
    return 1002


def reserved_opcode(stream: Stream) -> int:
    opcode = stream.rng.choice((3, 4, 5, 6, 7, 11, 12, 13, 14, 15))
    stream.put(opcode, stream.noise(stream.rng.randrange(9)))
    return 1002


def masked(stream: Stream) -> int:
    opcode, payload = not_quite(stream, TEXT, BINARY, PING, PONG, CLOSE)
    stream.put(opcode, payload, mask=stream.noise(4))
    return 1002


def not_minimal(stream: Stream) -> int:
    opcode = stream.rng.choice((TEXT, BINARY))
    width, mark, most = stream.rng.choice(((2, 126, 125), (8, 127, 65535)))
    length = stream.rng.choice((0, 1, most - 1, most, stream.rng.randrange(most)))
    header = bytes([FIN | opcode, mark]) + length.to_bytes(width, "big")
    stream.put_raw(header, stream.payload(opcode, length))
    return 1002


def highest_bit(stream: Stream) -> int:
    length = (1 << 63) + stream.rng.randrange(100)
    stream.put_raw(b"\x82\x7f" + length.to_bytes(8, "big"), b"some")
    return 1002


def fragmented_control(stream: Stream) -> int:
    stream.put(*not_quite(stream, PING, PONG, CLOSE), flags=0)
    return 1002


def long_control(stream: Stream) -> int:
    size = stream.rng.choice((126, 127, 200, 65536))
    stream.put(stream.rng.choice((PING, PONG, CLOSE)), b"\x03\xe8" + stream.text(size - 2))
    return 1002


def bad_text(stream: Stream) -> int:
    around = stream.text(stream.size())
    stream.put(TEXT, around + stream.rng.choice(BAD_UTF8) + around)
    return 1007


def cut_text(stream: Stream) -> int:
    stream.put(TEXT, stream.text(stream.size()) + stream.rng.choice(CUT_UTF8))
    return 1007


def bad_text_in_fragments(stream: Stream) -> int:
    """What stands behind the bad byte is not delivered: it is seen at once (section 8.1)."""
    bad = stream.rng.choice((*BAD_UTF8, *CUT_UTF8))
    text = stream.text(20) + bad + (b"" if bad in CUT_UTF8 else stream.text(20))
    decoder = getincrementaldecoder("utf-8")()
    parts = stream.parts(text)
    last = len(parts) - 1
    for i, part in enumerate(parts):
        stream.put(CONTINUATION if i else TEXT, part, FIN if i == last else 0)
        try:
            decoder.decode(part, i == last)
        except UnicodeDecodeError:
            break
        stream.controls()
    stream.put(PING, b"too late")
    return 1007


def continuation_of_nothing(stream: Stream) -> int:
    stream.put(CONTINUATION, b"x", stream.rng.choice((0, FIN)))
    return 1002


def message_inside_a_message(stream: Stream) -> int:
    begun(stream)
    stream.put(*not_quite(stream, TEXT, BINARY), flags=stream.rng.choice((0, FIN)))
    return 1002


def bad_close_code(stream: Stream) -> int:
    payload = stream.rng.choice(BAD_CODES).to_bytes(2, "big")
    stream.put(CLOSE, payload + stream.text(stream.rng.choice((0, 9))))
    return 1002


def bad_close_message(stream: Stream) -> int:
    stream.put(CLOSE, b"\x03\xe8ab" + stream.rng.choice((*BAD_UTF8, *CUT_UTF8)))
    return 1007


def half_a_close_code(stream: Stream) -> int:
    stream.put(CLOSE, b"\x03")
    return 1002


def too_big(stream: Stream) -> int:
    """One byte over the limit, with all messages before it within."""
    payloads = [p.encode() if isinstance(p, str) else p for _, p in stream.items]
    longest = max(map(len, payloads), default=0)
    stream.terms = Terms(limit=longest + 3)
    payload = stream.payload(TEXT, longest + 4)
    if stream.rng.random() < 0.5:
        stream.put(TEXT, payload)
    else:
        stream.put(TEXT, payload[:2], 0)
        stream.controls()
        stream.put(CONTINUATION, payload[2:])
    return 1009


VIOLATIONS: tuple[Callable[[Stream], int], ...] = (
    reserved_bit,
    reserved_bit_within,
    reserved_opcode,
    masked,
    not_minimal,
    highest_bit,
    fragmented_control,
    long_control,
    bad_text,
    cut_text,
    bad_text_in_fragments,
    bad_text_in_fragments,
    continuation_of_nothing,
    message_inside_a_message,
    bad_close_code,
    bad_close_message,
    half_a_close_code,
    too_big,
)


@cache
def plain_stream(seed: int) -> Stream:
    """Makes a stream without compression."""
    stream = Stream(seed)
    rng = stream.rng
    for _ in range(rng.randrange(9)):
        rng.choice((stream.message, stream.message, stream.fragmented, stream.control))()
    special = rng.randrange(20)
    if special == 0:
        stream.many()
    elif special == 1:
        rng.choice((stream.message, stream.fragmented))(rng.choice(BIG_SIZES))
        stream.message()
    rng.choice((stream.refused, stream.refused, stream.close, stream.truncated, lambda: None))()
    return stream


@cache
def deflate_stream(seed: int) -> Stream:
    """Makes a stream with permessage-deflate."""
    stream = Stream(seed)
    rng = stream.rng
    # zlib deflates with no window of 8 bits, and wsproto does not inflate with one.
    stream.terms = Terms(None, rng.randrange(9, 16), rng.random() < 0.5)
    for _ in range(rng.randrange(1, 7)):
        rng.choice((stream.message, stream.message, stream.fragmented, stream.control))()
    if rng.randrange(10) == 0:
        stream.message(rng.choice(BIG_SIZES))
    ending = rng.choice((stream.close, deflate_violation, lambda: None))
    if ending is deflate_violation:
        deflate_violation(stream)
    else:
        ending()
    return stream


def deflate_violation(stream: Stream) -> None:
    """Adds something that RFC 7692 forbids."""
    kind = stream.rng.randrange(4)
    code = 1002
    if kind == 0:
        stream.put(*not_quite(stream, PING, PONG, CLOSE), flags=FIN | RSV1)
    elif kind == 1:
        flags, wire = stream.deflated(b"begun")
        stream.put(TEXT, wire, flags)
        stream.put(CONTINUATION, b"x", FIN | RSV1)
    elif kind == 2:
        flags, wire = stream.deflated(b"text \xff text")
        stream.put(TEXT, wire, FIN | flags)
        code = 1007
    else:
        stream.put(BINARY, b"\x06\xff", FIN | RSV1)  # a block of the reserved type
        stream.corrupt = True
        code = 1007
    stream.end = ("failure", code)
    stream.ignored()


# Reads


def cut_at(data: bytes, places: Iterator[int] | list[int]) -> list[bytes]:
    """Cuts into reads."""
    cuts = sorted({place for place in places if 0 < place < len(data)})
    return [data[start:stop] for start, stop in itertools.pairwise([0, *cuts, len(data)])]


def in_one_read(stream: Stream) -> list[bytes]:
    return [bytes(stream.data)]


def one_byte_at_a_time(stream: Stream) -> list[bytes]:
    """In a long stream only around the first and the last headers: all would take too long."""
    if len(stream.data) <= 300:
        return cut_at(bytes(stream.data), list(range(len(stream.data))))
    marks = stream.marks[:10] + stream.marks[-10:]
    return cut_at(bytes(stream.data), [mark + i for mark in marks for i in range(-3, 12)])


def at_headers(stream: Stream) -> list[bytes]:
    return cut_at(bytes(stream.data), stream.marks)


def at_random_places(stream: Stream) -> list[bytes]:
    rng = random.Random(stream.seed)
    count = rng.choice((1, 2, 5, 20))
    return cut_at(bytes(stream.data), [rng.randrange(len(stream.data) + 1) for _ in range(count)])


CUTS = (in_one_read, one_byte_at_a_time, at_headers, at_random_places)

Reader = Callable[[list[bytes], Terms], Outcome]


# Readers


class Step(NamedTuple):
    """What one call of a decoder's ``feed`` gave, in full."""

    frames: list[tuple[str, str | bytes, str]]
    joined: list[int]
    own_pongs: list[bytes]
    more: bool
    close: tuple[int, str] | None
    failure: tuple[str, int, int, str] | None


def take_step(decoder: Any, given: list[Any]) -> Step:
    """Does what the caller owes the decoder after a step that gave these frames."""
    joined = [[frame is one for frame in given].index(True) for one in decoder.joined]
    own_pongs = list(decoder.own_pongs)
    decoder.joined.clear()
    decoder.own_pongs.clear()
    close, failure = decoder.close, decoder.failure
    return Step(
        [(frame.kind, frame.payload, repr(frame)) for frame in given],
        joined,
        own_pongs,
        decoder.more,
        close and (close.code, close.message),
        failure and (failure.reason, failure.opcode, failure.close_code, str(failure)),
    )


def steps(decoder: Any, reads: list[bytes], to_its_room: bool = False) -> list[Step]:
    """Feeds everything, as ``_protocol`` does.

    Args:
        decoder: of any form.
        reads: the bytes.
        to_its_room: whether large payloads are read to where the decoder has them.
    """
    taken = []
    for read in reads:
        data = fill_room(decoder, read, taken) if to_its_room else read
        if not data and read:
            continue
        taken.append(take_step(decoder, decoder.feed(data)))
        while taken[-1].more:
            taken.append(take_step(decoder, decoder.feed(b"")))
    return taken


def fill_room(decoder: Any, data: bytes, taken: list[Step]) -> bytes:
    """Puts data to where the decoder has room for it; gives what is left."""
    while data and (room := decoder.room()) is not None:
        with room:
            size = min(len(room), len(data))
            room[:size] = data[:size]
        taken.append(take_step(decoder, decoder.fill(size)))
        data = data[size:]
    return data


def wsx_reader(codec: Any, to_its_room: bool = False) -> Reader:
    """A reader that is a form of wsx, or something that looks like one."""

    def read(reads: list[bytes], terms: Terms) -> Outcome:
        taken = steps(codec.Decoder(terms.limit, terms.inflater()), reads, to_its_room)
        items = [frame[:2] for step in taken for frame in step.frames]
        last = taken[-1]
        if last.failure is not None:
            return Outcome(items, ("failure", last.failure[2]))
        return Outcome(items, CLEAN if last.close is None else ("close", *last.close))

    return read


class Autobahn(WebSocketClientProtocol):  # type: ignore[misc]
    """Autobahn's protocol, parser and all; what it decides on is noted instead of done."""

    def __init__(self) -> None:
        super().__init__()
        self.items: list[Item] = []
        self.end = CLEAN

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.items.append(("binary", payload) if isBinary else ("text", payload.decode()))

    def onPing(self, payload: bytes) -> None:
        self.items.append(("ping", payload))

    def onPong(self, payload: bytes) -> None:
        self.items.append(("pong", payload))

    def sendCloseFrame(self, *_: Any, **__: Any) -> None:
        code = 1005 if self.remoteCloseCode is None else self.remoteCloseCode
        self.end = ("close", code, self.remoteCloseReason or "")
        self.state = self.STATE_CLOSED  # it would go on until TCP ends

    def _fail_connection(self, code: int = 1001, reason: str = "") -> None:
        self.end = ("failure", code)
        self.failedByMe = True
        self.state = self.STATE_CLOSED


@cache
def autobahn_factory() -> WebSocketClientFactory:
    """Makes one, without its timers; it reseeds the generator that everybody shares."""
    state = random.getstate()
    try:
        factory = WebSocketClientFactory("ws://example.test/")
    finally:
        random.setstate(state)
    factory.protocol = Autobahn
    factory.setProtocolOptions(
        utf8validateIncoming=True,
        failByDrop=True,
        openHandshakeTimeout=0,
        closeHandshakeTimeout=0,
        serverConnectionDropTimeout=0,
        perMessageCompressionOffers=[PerMessageDeflateOffer()],
        perMessageCompressionAccept=PerMessageDeflateResponseAccept,
    )
    return factory


def handshake_response(request: bytes, terms: Terms) -> bytes:
    """Gives a server's answer (RFC 6455 section 4.2.2)."""
    key = request.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0].decode()
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept_value(key)}",
    ]
    if terms.window_bits:
        lines.append(f"Sec-WebSocket-Extensions: {terms.header()}")
    return "\r\n".join([*lines, "", ""]).encode()


def read_autobahn(reads: list[bytes], terms: Terms) -> Outcome:
    """Reads with Autobahn, after an opening handshake."""
    protocol = autobahn_factory().buildProtocol(None)
    transport = StringTransport()
    protocol.maxMessagePayloadSize = terms.limit or 0
    protocol.makeConnection(transport)
    protocol.dataReceived(handshake_response(transport.value(), terms))
    assert protocol.state == protocol.STATE_OPEN, "the opening handshake failed"
    for read in reads:
        protocol.dataReceived(read)
    return Outcome(protocol.items, protocol.end)


def read_wsproto(reads: list[bytes], terms: Terms) -> Outcome:
    """Reads with wsproto, and joins what it gives in pieces."""
    extensions: list[Extension] = []
    if terms.window_bits:
        deflate = PerMessageDeflate()
        deflate.finalize(terms.header())
        extensions.append(deflate)
    protocol = FrameProtocol(client=True, extensions=extensions)
    items: list[Item] = []
    parts: list[Any] = []
    for read in reads:
        protocol.receive_bytes(read)
        try:
            for frame in protocol.received_frames():
                if frame.opcode is Opcode.CLOSE:
                    code, message = frame.payload
                    return Outcome(items, ("close", int(code), message))
                if frame.opcode.iscontrol():
                    items.append((frame.opcode.name.lower(), bytes(frame.payload)))
                    continue
                parts.append(frame.payload)
                if frame.message_finished:
                    empty: Any = "" if frame.opcode is Opcode.TEXT else b""
                    items.append((frame.opcode.name.lower(), empty.join(parts)))
                    parts.clear()
        except ParseFailed as error:
            return Outcome(items, ("failure", int(error.code)))
    return Outcome(items, CLEAN)


READERS: dict[str, Reader] = {
    "wsx": wsx_reader(IMPORTED.codec),
    "wsx pure": wsx_reader(PURE.codec),
    "wsx, to its room": wsx_reader(IMPORTED.codec, to_its_room=True),
    "wsx pure, to its room": wsx_reader(PURE.codec, to_its_room=True),
    "Autobahn": read_autobahn,
    "wsproto": read_wsproto,
}


def can_read(name: str, stream: Stream) -> bool:
    """Tells whether a peer is a judge of this stream."""
    if name == "wsproto":
        # It knows no limit at this layer, and after a control frame inside a compressed message it
        # takes the rest of that message for uncompressed.
        return stream.terms.limit is None and not stream.interrupted
    # Lower versions of Autobahn let an exception of zlib through.
    return name != "Autobahn" or not stream.corrupt


def shorten(value: object) -> str:
    """Gives a repr that can be read."""
    shown = repr(value)
    return shown if len(shown) < 300 else f"{shown[:150]} ... {shown[-150:]}"


def first_difference(one: list[Any], other: list[Any]) -> str:
    """Says where two lists part."""
    for i, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return f"item {i} is {shorten(a)}, not {shorten(b)}"
    ends = f"the ends are {shorten(one[-1:])} and {shorten(other[-1:])}"
    return f"{len(one)} items, not {len(other)}; {ends}"


def disagreements(
    stream: Stream, reads: list[bytes], readers: dict[str, Reader] = READERS
) -> dict[str, str]:
    """Says for each reader that does not read the stream as it was meant what it made of it."""
    expected = stream.outcome()
    found = {}
    for name, reader in readers.items():
        if not can_read(name, stream):
            continue
        got = reader(reads, stream.terms)
        if got.items != expected.items:
            found[name] = first_difference(got.items, expected.items)
        elif got.end != expected.end:
            found[name] = f"it ends with {got.end}, not {expected.end}"
    return found


class PeersTests(SynchronousTestCase):
    """wsx in both forms, Autobahn and wsproto: everybody reads the same."""

    def assert_agree(self, streams: Iterator[Stream], cut: Callable[[Stream], list[bytes]]) -> None:
        """Nobody disagrees about any of the streams when they come cut like this."""
        found = {
            stream.seed: bad for stream in streams if (bad := disagreements(stream, cut(stream)))
        }
        told = [f"seed {seed}, {cut.__name__}: {bad}" for seed, bad in found.items()]
        self.assertEqual(told, [], "\n".join(told[:5]))

    def test_in_one_read(self) -> None:
        """All that a connection brings may come at once."""
        self.assert_agree(map(plain_stream, PLAIN_SEEDS), in_one_read)

    def test_one_byte_at_a_time(self) -> None:
        """The bytes may come one by one."""
        self.assert_agree(map(plain_stream, PLAIN_SEEDS), one_byte_at_a_time)

    def test_at_headers(self) -> None:
        """Headers and payloads may come apart."""
        self.assert_agree(map(plain_stream, PLAIN_SEEDS), at_headers)

    def test_at_random_places(self) -> None:
        """The bytes may come cut anywhere."""
        self.assert_agree(map(plain_stream, PLAIN_SEEDS), at_random_places)

    def test_ahead_of_the_batches(self) -> None:
        """The next reads may come before the batches of the last one were taken."""
        for stream in map(plain_stream, PLAIN_SEEDS):
            for form in (IMPORTED, PURE):
                decoder = form.codec.Decoder(stream.terms.limit)
                given = [frame for read in at_random_places(stream) for frame in decoder.feed(read)]
                while decoder.more:
                    given += decoder.feed(b"")
                got = [(frame.kind, frame.payload) for frame in given]
                same = got == stream.items
                self.assertTrue(same, f"seed {stream.seed}: {first_difference(got, stream.items)}")

    def test_compressed(self) -> None:
        """Compressed messages may come cut in any of these ways."""
        for cut in CUTS:
            self.assert_agree(map(deflate_stream, DEFLATE_SEEDS), cut)

    def test_each_violation(self) -> None:
        """Everybody refuses each violation, first thing and inside a stream."""
        for violation in VIOLATIONS:
            for seed in range(5):
                stream = Stream(seed)
                if seed:
                    stream.message()
                stream.end = ("failure", violation(stream))
                self.assert_agree_however_cut(stream, violation.__name__)

    def test_each_close_code(self) -> None:
        """Everybody takes the same close codes, and refuses the same."""
        for code in GOOD_CODES + BAD_CODES:
            stream = Stream(code)
            stream.put(CLOSE, code.to_bytes(2, "big") + b"bye")
            stream.end = ("close", code, "bye") if code in GOOD_CODES else ("failure", 1002)
            self.assert_agree_however_cut(stream, code)

    def test_each_bad_text(self) -> None:
        """Everybody refuses what is not UTF-8, as early as it can be known."""
        for bad in BAD_UTF8:
            for size in range(1, len(bad)):
                stream = Stream(0)
                stream.put(TEXT, b"ab" + bad[:size], 0)
                stream.put(CONTINUATION, bad[size:], 0)
                stream.end = ("failure", 1007)
                self.assert_agree_however_cut(stream, bad)

    def assert_agree_however_cut(self, stream: Stream, what: object) -> None:
        """Nobody disagrees about the stream."""
        for cut in CUTS:
            self.assertEqual(disagreements(stream, cut(stream)), {}, f"{what!r}, {cut.__name__}")


class FormsTests(SynchronousTestCase):
    """The compiled form and the pure one: the same, to the last detail."""

    if not wsx.compiled:
        skip = "this installation is pure Python: there is no other form to compare it with"

    def assert_same_steps(self, stream: Stream, terms: Terms, own: bytes | None = None) -> None:
        """Both forms give the same in each step, however the stream is cut."""
        for cut, to_its_room in itertools.product(CUTS, (False, True)):
            reads = cut(stream)
            taken = []
            for form in (IMPORTED, PURE):
                decoder = form.codec.Decoder(terms.limit, terms.inflater())
                if own is not None:
                    decoder.expect_pongs(own)
                taken.append(steps(decoder, reads, to_its_room))
            if taken[0] != taken[1]:
                difference = first_difference(*taken)
                self.fail(f"seed {stream.seed}, {cut.__name__}, {terms}: compiled {difference}")

    def test_frames_and_ends(self) -> None:
        """Frames, batches, ``joined``, own pongs, close, failure with its text: all the same."""
        for stream in map(plain_stream, PLAIN_SEEDS):
            self.assert_same_steps(stream, stream.terms, OWN_PONG)

    def test_limits(self) -> None:
        """A limit anywhere hits the same frame, with the same words."""
        for stream in map(plain_stream, PLAIN_SEEDS[::10]):
            for limit in (0, 1, 125, 126, 65535):
                self.assert_same_steps(stream, Terms(limit=limit))

    def test_compressed(self) -> None:
        """Compressed messages too, with a limit and without."""
        for stream in map(deflate_stream, DEFLATE_SEEDS):
            terms = stream.terms
            for limit in (None, 100):
                same = Terms(limit, terms.window_bits, terms.keep_context)
                self.assert_same_steps(stream, same)

    def test_noise(self) -> None:
        """Bytes that mean nothing are refused the same way."""
        for seed in range(300):
            stream = Stream(seed)
            head = bytes([stream.rng.choice((0x81, 0x82, 0x01, 0x80, 0x88, 0x89))])
            stream.put_raw(head, stream.noise(stream.rng.randrange(1, 40)))
            self.assert_same_steps(stream, Terms())

    def test_encode(self) -> None:
        """The same frame with the same key is the same bytes."""
        rng = random.Random(1)
        for size in (*range(20), *SIZES, *BIG_SIZES):
            payload, mask = rng.randbytes(size), rng.randbytes(4)
            for opcode, flags in ((TEXT, FIN), (BINARY, FIN | RSV1), (CONTINUATION, 0)):
                one, other = (
                    f.encode.encode(opcode, payload, mask, flags) for f in (IMPORTED, PURE)
                )
                self.assertTrue(one == other, f"{size} bytes, opcode {opcode}")

    def test_encode_frame(self) -> None:
        """A frame is the same bytes, but for the key; what may not be sent fails the same way."""
        for kind, payload in SENDABLE + NOT_SENDABLE:
            told = [attempt_to_send(form, kind, payload) for form in (IMPORTED, PURE)]
            self.assertEqual(told[0], told[1], f"{kind} of {shorten(payload)}")

    def test_close_payload(self) -> None:
        """What may stand in a close frame is the same."""
        codes = (*range(-1, 5100), 65535, 65536, True, None, "1000", 1000.0)
        messages = ("é" * 61 + "x", "é" * 62, "\ud800", None, b"bytes")
        for code, message in [(code, "") for code in codes] + [(1000, text) for text in messages]:
            told = [attempt_to_close(form, code, message) for form in (IMPORTED, PURE)]
            self.assertEqual(told[0], told[1], f"{code!r} and {message!r}")


SENDABLE: tuple[tuple[str, Any], ...] = (
    *(("Text", "x" * size) for size in (*SIZES, *BIG_SIZES)),
    *(("Text", text) for text in ("é" * 62, "é" * 63, "😀" * 31, "€" * 21845, "\x00")),
    *(("Binary", bytes(size)) for size in (*SIZES, *BIG_SIZES)),
    *(("Binary", data) for data in (bytearray(b"abc"), memoryview(b"abcdef")[::2])),
    *((kind, bytes(size)) for kind in ("Ping", "Pong") for size in (0, 1, 124, 125)),
)
NOT_SENDABLE: tuple[tuple[str, Any], ...] = (
    *(("Text", payload) for payload in ("\ud800", b"bytes", None, 5)),
    *(("Binary", payload) for payload in ("text", None, 5)),
    *((kind, payload) for kind in ("Ping", "Pong") for payload in (bytes(126), "text", None)),
    *(("Frame", payload) for payload in ("text", b"bytes")),
)


def attempt_to_send(form: Form, kind: str, payload: Any) -> tuple[str, str | bytes]:
    """Gives the frame on the wire without its key, or the error."""
    try:
        sent = form.encode.encode_frame(getattr(form.frames, kind)(payload))
    except Exception as error:
        return type(error).__name__, str(error)
    start = {126: 4, 127: 10}.get(sent[1] & 0x7F, 2)
    key, masked_payload = sent[start : start + 4], sent[start + 4 :]
    return "sent", sent[:start] + PURE.encode.apply_mask(masked_payload, key)


def attempt_to_close(form: Form, code: Any, message: Any) -> tuple[str, str | bytes]:
    """Gives the payload of a close frame, or the error."""
    try:
        return "made", form.frames.close_payload(code, message)
    except Exception as error:
        return type(error).__name__, str(error)


class SendTests(SynchronousTestCase):
    """What wsx encodes, read by wsproto as a server."""

    def received_by_a_server(self, data: bytes) -> list[Item]:
        """Decodes what a client sent; refuses what is not masked."""
        protocol = FrameProtocol(client=False, extensions=[])
        protocol.receive_bytes(data)
        given = list(protocol.received_frames())
        self.assertTrue(all(frame.message_finished for frame in given))
        return [(frame.opcode.name.lower(), frame.payload) for frame in given]

    def test_sizes(self) -> None:
        """A frame of any size comes out as it went in, in both forms."""
        for form in (IMPORTED, PURE):
            for kind, payload in SENDABLE:
                frame = getattr(form.frames, kind)(payload)
                got = self.received_by_a_server(form.encode.encode_frame(frame))
                same = got == [(frame.kind, frame.payload)]
                self.assertTrue(same, f"{kind} of {shorten(payload)}: {shorten(got)}")

    def test_streams(self) -> None:
        """Frames one after the other are as many, in order."""
        for seed in range(30):
            items = plain_stream(seed).items
            for form in (IMPORTED, PURE):
                sent = [getattr(form.frames, kind.title())(payload) for kind, payload in items]
                data = b"".join(form.encode.encode_frame(frame) for frame in sent)
                got = self.received_by_a_server(data)
                self.assertTrue(got == items, f"seed {seed}: {first_difference(got, items)}")


class PureFormTests(SynchronousTestCase):
    """The pure form that the comparison loads is what it says."""

    def test_is_pure(self) -> None:
        """It is from the sources, and its decoder makes its own frames."""
        for module in PURE:
            self.assertTrue(module.__file__.endswith(".py"), module.__file__)
        (frame,) = PURE.codec.Decoder().feed(server_frame(TEXT, b"hi"))
        self.assertIs(type(frame), PURE.frames.Text)
        self.assertIsNot(type(frame), wsx.Text)

    def test_disturbs_nobody(self) -> None:
        """What others import stays what it was."""
        load_pure()
        self.assertIs(sys.modules["wsx.frames"], frames)
        self.assertIs(sys.modules["wsx._wire.decoder"], decoder)
        self.assertIs(wsx.Text, frames.Text)


class Forgetful(PURE.codec.Decoder):  # type: ignore[misc]
    """Drops the last frame of the first batch that has three."""

    forgot = False

    def feed(self, data: bytes) -> list[Any]:
        given: list[Any] = super().feed(data)
        if len(given) >= 3 and not self.forgot:
            self.forgot = True
            given.pop()
            self.joined.clear()
        return given


class Hasty(PURE.codec.Decoder):  # type: ignore[misc]
    """Gives two frames in the wrong order."""

    def feed(self, data: bytes) -> list[Any]:
        given: list[Any] = super().feed(data)
        given[:2] = given[1::-1]
        return given


class Lenient(PURE.codec.Decoder):  # type: ignore[misc]
    """Takes a failure for the end of the stream."""

    def feed(self, data: bytes) -> list[Any]:
        given: list[Any] = super().feed(data)
        self.failure = None
        return given


class Garbling(PURE.codec.Decoder):  # type: ignore[misc]
    """Gets one character wrong, and only in text of 126 bytes or more."""

    def feed(self, data: bytes) -> list[Any]:
        given: list[Any] = super().feed(data)
        for frame in given:
            if isinstance(frame.payload, str) and len(frame.payload) >= 126:
                frame.payload = frame.payload[:-1] + "?"
        return given


class Mumbling(PURE.codec.Decoder):  # type: ignore[misc]
    """Gives another reason for a failure."""

    def feed(self, data: bytes) -> list[Any]:
        given: list[Any] = super().feed(data)
        if self.failure is not None:
            self.failure = FrameError("mumble", self.failure.opcode, self.failure.close_code)
        return given


class Blind(PURE.codec.Decoder):  # type: ignore[misc]
    """Does not see which frames were fragmented."""

    def feed(self, data: bytes) -> list[Any]:
        given: list[Any] = super().feed(data)
        self.joined.clear()
        return given


class Undivided(PURE.codec.Decoder):  # type: ignore[misc]
    """Gives all batches at once."""

    def feed(self, data: bytes) -> list[Any]:
        given: list[Any] = super().feed(data)
        while self.more:
            given += super().feed(b"")
        return given


class ComparisonTests(SynchronousTestCase):
    """The comparison itself: it notices, and it looks at everything."""

    def test_notices_a_broken_decoder(self) -> None:
        """A decoder with a mistake is found out, and nobody else is suspected."""
        for broken in (Forgetful, Hasty, Lenient, Garbling):
            readers = READERS | {"broken": wsx_reader(SimpleNamespace(Decoder=broken))}
            found: set[str] = set()
            for stream in map(plain_stream, PLAIN_SEEDS[:60]):
                found.update(disagreements(stream, in_one_read(stream), readers))
            self.assertEqual(found, {"broken"}, broken.__name__)

    def test_notices_small_differences(self) -> None:
        """What only the forms have in common is compared too: words, ``joined``, batches."""
        streams = [plain_stream(seed) for seed in PLAIN_SEEDS[:100]]
        for broken in (Mumbling, Blind, Undivided):
            different = [
                stream
                for stream in streams
                if steps(broken(stream.terms.limit), in_one_read(stream))
                != steps(PURE.codec.Decoder(stream.terms.limit), in_one_read(stream))
            ]
            self.assertNotEqual(different, [], broken.__name__)

    def test_streams_have_everything(self) -> None:
        """Each kind of frame, end, violation and size is there, and large batches."""
        streams = [plain_stream(seed) for seed in PLAIN_SEEDS]
        failures = {stream.end[1] for stream in streams if stream.end[0] == "failure"}
        self.assertEqual(failures, {1002, 1007, 1009})
        self.assertEqual({stream.end[0] for stream in streams}, {"clean", "close", "failure"})
        self.assertEqual(
            {kind for s in streams for kind, _ in s.items}, {"text", "binary", "ping", "pong"}
        )
        pongs = [payload for s in streams for kind, payload in s.items if kind == "pong"]
        self.assertEqual({payload[:4] == OWN_PONG for payload in pongs}, {True, False})
        self.assertGreater(max(len(stream.items) for stream in streams), 2 * decoder.BATCH)
        self.assertGreater(max(len(stream.data) for stream in streams), 65536)

    def test_cuts_lose_nothing(self) -> None:
        """Put together again, the reads are the stream."""
        for stream in map(plain_stream, PLAIN_SEEDS[:60]):
            for cut in CUTS:
                self.assertEqual(b"".join(cut(stream)), stream.data, cut.__name__)
