"""Check that wsproto and websockets, as servers, decode what wsx encodes, compressed or not."""

from __future__ import annotations

import random
from typing import Any, cast

from websockets.protocol import OPEN, SERVER, Protocol

from wsx._transport.autobahn import Deflate
from wsx._wire.encoder import FIN, RSV1
from wsx.frames import CLOSE, is_wire_close_code
from wsx.test.fuzz.disagreement import Disagreement
from wsx.test.fuzz.references import WsprotoDecoder
from wsx.test.support.forms import IMPORTED, PURE, Form
from wsx.test.support.readers import first_difference
from wsx.test.support.streams import BIG_SIZES, CLEAN, Item, Stream, Terms

PLAIN = Terms()
OPCODES = {"text": 1, "binary": 2, "ping": 9, "pong": 10}


def check_random(rng: random.Random) -> None:
    """Encode random frames with both forms, and decode them."""
    items = random_items(rng)
    for form in (IMPORTED, PURE):
        data = b"".join(encode(form, *item) for item in items)
        require(items, decode_wsproto(data), "wsproto")
        require(items, decode_websockets(data), "websockets")
        check_close(rng, form)
    check_compressed(rng, items)


def require(sent: list[Item], received: list[Item], name: str) -> None:
    """Raise a Disagreement unless the frames were received as they were sent."""
    if sent != received:
        raise Disagreement(f"{name}: {first_difference(sent, received)}", sent)


def random_items(rng: random.Random) -> list[Item]:
    """Return up to eight random frames."""
    stream = Stream(0, rng)
    items: list[Item] = []
    for _ in range(rng.randrange(1, 9)):
        kind = rng.choice(tuple(OPCODES))
        size = (
            rng.choice(BIG_SIZES)
            if rng.random() < 0.05
            else rng.choice((stream.size(), 4095, 4096))
        )
        size = min(size, 125) if kind in ("ping", "pong") else size
        items.append((kind, stream.text(size).decode() if kind == "text" else rng.randbytes(size)))
    return items


def encode(form: Form, kind: str, payload: str | bytes) -> bytes:
    """Return the bytes of a frame."""
    return bytes(form.encoder.encode_frame(getattr(form.frames, kind.title())(payload)))


def decode_wsproto(data: bytes, terms: Terms = PLAIN) -> list[Item]:
    """Decode as a server with wsproto."""
    decoder = WsprotoDecoder(terms, is_client=False)
    decoder.feed(data)
    end = [] if decoder.end == CLEAN else [("end", repr(decoder.end))]
    return [*decoder.items, *end]


def decode_websockets(data: bytes) -> list[Item]:
    """Decode as a server with websockets."""
    protocol = Protocol(SERVER, state=OPEN, max_size=None)
    protocol.receive_data(data)
    items: list[Item] = []
    for frame in cast(list[Any], protocol.events_received()):
        payload = bytes(frame.data)
        kind = frame.opcode.name.lower()
        items.append((kind, payload.decode() if kind == "text" else payload))
    return items


def check_close(rng: random.Random, form: Form) -> None:
    """Check the payload of a close frame, in both directions."""
    code = rng.choice((1000, 1001, 1011, 1013, 3000, 4999, rng.randrange(70000)))
    message = Stream(0, rng).text(rng.randrange(124)).decode()
    if not is_wire_close_code(code):
        return
    payload = form.frames.close_payload(code, message)
    decoder = WsprotoDecoder(PLAIN, is_client=False)
    decoder.feed(form.encoder.encode(CLOSE, payload, rng.randbytes(4)))
    if decoder.end != ("close", code, message) and code != 1014:  # wsproto does not know it.
        raise Disagreement(f"wsproto received {decoder.end}", (code, message))


def check_compressed(rng: random.Random, items: list[Item]) -> None:
    """Compress all messages with one context, or a new one for each message."""
    terms = Terms(None, rng.randrange(9, 16), rng.random() < 0.5)
    codec = Deflate(parameters(terms))
    data = bytearray()
    for kind, payload in items:
        plain = payload.encode() if isinstance(payload, str) else payload
        if kind in ("text", "binary"):
            compressed = codec.compress(plain)
            data += IMPORTED.encoder.encode(OPCODES[kind], compressed, rng.randbytes(4), FIN | RSV1)
        else:
            data += encode(IMPORTED, kind, payload)
    require(items, decode_wsproto(bytes(data), terms), f"wsproto, {terms}")


def parameters(terms: Terms) -> dict[str, list[Any]]:
    """Return the parameters of a server's response, as wsx parses them."""
    alone: dict[str, list[Any]] = {"client_no_context_takeover": [True]}
    bits: dict[str, list[Any]] = {"client_max_window_bits": [str(terms.window_bits)]}
    return bits if terms.keep_context else bits | alone
