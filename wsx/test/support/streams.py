"""Random streams of a server's frames, with the expected results."""

from __future__ import annotations

import itertools
import random
import zlib
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from wsx._wire.inflater import Inflater
from wsx.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT
from wsx.test.support import server_frame

FIN, RSV1, RSV2, RSV3 = 0x80, 0x40, 0x20, 0x10

# Registered codes and private ones. Code 1014 is missing from the lists of older libraries, so
# other tests cover it.
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

Item = tuple[str, str | bytes]
End = tuple[Any, ...]
CLEAN: End = ("clean",)


@dataclass(frozen=True)
class Terms:
    """Negotiated parameters of a connection; ``window_bits`` of 0 means no compression."""

    limit: int | None = None
    window_bits: int = 0
    keep_context: bool = True

    def inflater(self) -> Inflater | None:
        """Return an inflater of wsx, or None."""
        return Inflater(self.window_bits, self.keep_context) if self.window_bits else None

    def header(self, of_server: bool = True) -> str:
        """Return the extension header of a server's response.

        Args:
            of_server: Whether these are the terms of the server's messages, or of the client's.
        """
        side = "server" if of_server else "client"
        alone = "" if self.keep_context else f"; {side}_no_context_takeover"
        return f"permessage-deflate; {side}_max_window_bits={self.window_bits}{alone}"


class Outcome(NamedTuple):
    """What a reader decoded, and how the stream ended."""

    items: list[Item]
    end: End


class Stream:
    """The bytes of one connection, with the expected results.

    Attributes:
        data: The bytes.
        marks: The positions of headers and payloads.
        items: The frames that must be delivered.
        end: How the stream ends.
        interrupted: Whether a control frame is inside a compressed message.
        corrupt: Whether a message cannot be inflated.
    """

    def __init__(self, seed: int, rng: random.Random | None = None) -> None:
        self.seed = seed
        self.rng = rng or random.Random(seed)
        self.terms = Terms()
        self.data = bytearray()
        self.marks: list[int] = []
        self.items: list[Item] = []
        self.end = CLEAN
        self.interrupted = False
        self.corrupt = False
        self._compressor: Any = None

    def put(self, opcode: int, payload: bytes, flags: int = FIN, mask: bytes = b"") -> None:
        """Add one frame, valid or invalid."""
        frame = server_frame(opcode, payload, flags, mask)
        self.put_raw(frame[: len(frame) - len(payload)], payload, frame)

    def put_raw(self, header: bytes, payload: bytes, frame: bytes | None = None) -> None:
        """Add bytes that need not be a frame."""
        self.marks += (len(self.data), len(self.data) + len(header))
        self.data += header + payload if frame is None else frame

    def noise(self, size: int) -> bytes:
        """Return random bytes."""
        block = self.rng.randbytes(min(size, 251))
        return (block * (size // 251 + 1))[:size]

    def text(self, size: int) -> bytes:
        """Return random UTF-8 of exactly this size."""
        alphabet = self.rng.choice((CHARACTERS[0], *CHARACTERS, "".join(CHARACTERS)))
        block = "".join(self.rng.choices(alphabet, k=min(size, 64))).encode() or b"-"
        text = block * (size // len(block))
        return text + b"." * (size - len(text))

    def size(self) -> int:
        """Return a random size, often near a boundary of the length forms."""
        return self.rng.choice((*SIZES, self.rng.randrange(600)))

    def payload(self, opcode: int, size: int) -> bytes:
        """Return a payload for this opcode."""
        return self.text(size) if opcode == TEXT else self.noise(size)

    def deliver(self, opcode: int, payload: bytes) -> None:
        """Record that a frame must be delivered."""
        kind = {TEXT: "text", BINARY: "binary", PING: "ping", PONG: "pong"}[opcode]
        self.items.append((kind, payload.decode() if opcode == TEXT else payload))

    def message(self, size: int | None = None) -> None:
        """Add a message in one frame."""
        opcode = self.rng.choice((TEXT, BINARY))
        payload = self.payload(opcode, self.size() if size is None else size)
        flags, wire = self.deflated(payload)
        self.put(opcode, wire, FIN | flags)
        self.deliver(opcode, payload)

    def control(self) -> None:
        """Add a ping or a pong."""
        opcode = self.rng.choice((PING, PONG))
        payload = self.noise(self.rng.choice((0, 1, 4, 60, 124, 125)))
        self.put(opcode, payload)
        self.deliver(opcode, payload)

    def controls(self) -> None:
        """Add control frames inside a message, or none."""
        for _ in range(self.rng.choice((0, 0, 1, 3))):
            self.control()
            self.interrupted = self.interrupted or bool(self.terms.window_bits)

    def fragmented(self, size: int | None = None) -> None:
        """Add a message in random fragments, with control frames between them."""
        opcode = self.rng.choice((TEXT, BINARY))
        payload = self.payload(opcode, self.size() if size is None else size)
        flags, wire = self.deflated(payload)
        self.fragments(opcode, wire, flags)
        self.deliver(opcode, payload)

    def fragments(self, opcode: int, payload: bytes, flags: int = 0) -> None:
        """Add the frames of a message."""
        parts = self.parts(payload)
        last = len(parts) - 1
        for i, part in enumerate(parts):
            if i:
                self.controls()
                opcode, flags = CONTINUATION, 0
            self.put(opcode, part, flags | FIN if i == last else flags)

    def parts(self, payload: bytes) -> list[bytes]:
        """Split a payload into fragments, some of which may be empty."""
        places = range(len(payload) + 1)
        cuts = sorted(self.rng.choices(places, k=self.rng.randrange(1, 5)))
        return [payload[start:stop] for start, stop in itertools.pairwise([0, *cuts, len(payload)])]

    def many(self) -> None:
        """Add about as many frames as a batch holds, or more."""
        kinds = self.rng.choice(((TEXT,), (BINARY,), (TEXT, BINARY, PING), (PONG,)))
        for _ in range(self.rng.choice((510, 511, 512, 513, 1023, 1024, 1025, 1300))):
            opcode = self.rng.choice(kinds)
            payload = self.payload(opcode, self.rng.randrange(3))
            self.put(opcode, payload)
            self.deliver(opcode, payload)

    def deflated(self, payload: bytes, mode: int = zlib.Z_SYNC_FLUSH) -> tuple[int, bytes]:
        """Return the reserved bits and the compressed payload (RFC 7692 section 7.2)."""
        if not self.terms.window_bits or self.rng.random() < 0.2:
            return 0, payload
        if self._compressor is None or not self.terms.keep_context:
            self._compressor = zlib.compressobj(6, zlib.DEFLATED, -self.terms.window_bits)
        data = self._compressor.compress(payload) + self._compressor.flush(mode)
        return RSV1, data.removesuffix(b"\x00\x00\xff\xff")

    def close(self) -> None:
        """Add a close frame: empty, with a code, or with a code and a message."""
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
        """Add an incomplete frame, possibly one of 2^62 bytes."""
        opcode = self.rng.choice((TEXT, BINARY, PING, CLOSE))
        size = self.rng.choice((2, 125) if opcode & 8 else (2, 126, 65536))
        payload = b"\x03\xe8" if opcode == CLOSE else self.payload(opcode, size)
        frame = server_frame(opcode, payload)
        self.put_raw(frame[: self.rng.randrange(1, min(len(frame), 200))], b"")
        if len(self.data) - self.marks[-2] == 1 and self.rng.random() < 0.3:
            del self.data[-1]
            self.put_raw(b"\x82\x7f" + (1 << 62).to_bytes(8, "big"), b"some")

    def refused(self) -> None:
        """Add a frame that RFC 6455 forbids."""
        violation = self.rng.choice(VIOLATIONS)
        code = violation(self)
        self.end = ("failure", code)
        self.ignored()

    def ignored(self) -> None:
        """Add zero or more frames after the end."""
        if self.rng.random() < 0.5:
            self.put(TEXT, b"ignored")
            self.put(PING, b"ignored")

    def outcome(self) -> Outcome:
        """Return the expected outcome."""
        return Outcome(self.items, self.end)


def not_quite(stream: Stream, *opcodes: int) -> tuple[int, bytes]:
    """Return an opcode and a payload for it."""
    opcode = stream.rng.choice(opcodes)
    return opcode, b"" if opcode == CLOSE else stream.payload(opcode, stream.rng.randrange(9))


def begun(stream: Stream) -> None:
    """Begin a message without ending it."""
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
    """Add bad text in fragments. It is refused at once; nothing after the bad byte is delivered."""
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
    """Exceed the size limit by one byte; all earlier messages are within it."""
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
    """Return a stream without compression."""
    stream = Stream(seed)
    fill_plain(stream)
    return stream


def fill_plain(stream: Stream) -> None:
    """Add random frames without compression."""
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


@cache
def deflate_stream(seed: int) -> Stream:
    """Return a stream with permessage-deflate."""
    stream = Stream(seed)
    fill_deflate(stream)
    return stream


def fill_deflate(stream: Stream) -> None:
    """Negotiate permessage-deflate, and add random frames."""
    rng = stream.rng
    # zlib cannot deflate with a window of 8 bits, and wsproto cannot inflate with one.
    stream.terms = Terms(None, rng.randrange(9, 16), rng.random() < 0.5)
    for _ in range(rng.randrange(1, 7)):
        rng.choice((stream.message, stream.message, stream.fragmented, stream.control))()
    if rng.randrange(10) == 0:
        stream.message(rng.choice(BIG_SIZES))
    endings = (stream.close, lambda: deflate_violation(stream), lambda: None)
    rng.choice(endings)()


def deflate_violation(stream: Stream) -> None:
    """Add a frame that RFC 7692 forbids."""
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
        stream.put(BINARY, b"\x06\xff", FIN | RSV1)  # A block of the reserved type.
        stream.corrupt = True
        code = 1007
    stream.end = ("failure", code)
    stream.ignored()


# Reads


def cut_at(data: bytes, places: Iterator[int] | list[int]) -> list[bytes]:
    """Split into reads."""
    cuts = sorted({place for place in places if 0 < place < len(data)})
    return [data[start:stop] for start, stop in itertools.pairwise([0, *cuts, len(data)])]


def in_one_read(stream: Stream) -> list[bytes]:
    return [bytes(stream.data)]


def one_byte_at_a_time(stream: Stream) -> list[bytes]:
    """Split into single bytes.

    In a long stream only near the first and last headers, to save time.
    """
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
