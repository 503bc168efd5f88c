"""The same random streams through wsx compiled, wsx pure, Autobahn's own parser and ``wsproto``."""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple, cast

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
from wsx.errors import FrameError
from wsx.frames import BINARY, CLOSE, CONTINUATION, TEXT
from wsx.test.support import server_frame
from wsx.test.support.streams import (
    BAD_CODES,
    BAD_UTF8,
    BIG_SIZES,
    CLEAN,
    CUTS,
    FIN,
    GOOD_CODES,
    OWN_PONG,
    RSV1,
    SIZES,
    VIOLATIONS,
    Item,
    Outcome,
    Stream,
    Terms,
    at_headers,
    at_random_places,
    deflate_stream,
    in_one_read,
    one_byte_at_a_time,
    plain_stream,
)

PLAIN_SEEDS = range(300)
DEFLATE_SEEDS = range(1000, 1080)


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
PURE_DECODER: Any = PURE.codec.Decoder


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
    taken: list[Step] = []
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
                    code, message = cast(tuple[int, str], frame.payload)
                    return Outcome(items, ("close", int(code), message))
                if frame.opcode.iscontrol():
                    items.append((frame.opcode.name.lower(), bytes(cast(bytes, frame.payload))))
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
        return [(frame.opcode.name.lower(), cast(str | bytes, frame.payload)) for frame in given]

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


class Forgetful(PURE_DECODER):
    """Drops the last frame of the first batch that has three."""

    forgot = False

    def feed(self, data: bytes) -> list[Any]:
        given: list[Any] = super().feed(data)
        if len(given) >= 3 and not self.forgot:
            self.forgot = True
            given.pop()
            self.joined.clear()
        return given


class Hasty(PURE_DECODER):
    """Gives two frames in the wrong order."""

    def feed(self, data: bytes) -> list[Any]:
        given: list[Any] = super().feed(data)
        given[:2] = given[1::-1]
        return given


class Lenient(PURE_DECODER):
    """Takes a failure for the end of the stream."""

    def feed(self, data: bytes) -> list[Any]:
        given: list[Any] = super().feed(data)
        self.failure = None
        return given


class Garbling(PURE_DECODER):
    """Gets one character wrong, and only in text of 126 bytes or more."""

    def feed(self, data: bytes) -> list[Any]:
        given: list[Any] = super().feed(data)
        for frame in given:
            if isinstance(frame.payload, str) and len(frame.payload) >= 126:
                frame.payload = frame.payload[:-1] + "?"
        return given


class Mumbling(PURE_DECODER):
    """Gives another reason for a failure."""

    failure: FrameError | None

    def feed(self, data: bytes) -> list[Any]:
        given: list[Any] = super().feed(data)
        if self.failure is not None:
            self.failure = FrameError("mumble", self.failure.opcode, self.failure.close_code)
        return given


class Blind(PURE_DECODER):
    """Does not see which frames were fragmented."""

    def feed(self, data: bytes) -> list[Any]:
        given: list[Any] = super().feed(data)
        self.joined.clear()
        return given


class Undivided(PURE_DECODER):
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
