"""Random input for the decoder: frames, mutations of them, and their split into reads."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

from wsx.frames import BINARY, CONTINUATION
from wsx.test.support.streams import (
    BAD_UTF8,
    CUT_UTF8,
    FIN,
    RSV1,
    Stream,
    Terms,
    cut_at,
    fill_deflate,
    fill_plain,
)

_LIMITS = (0, 1, 10, 125, 126, 300, 1000, 65535, 65536)
_MAX_MUTATIONS = 4
# Of a longer stream, only parts are split byte by byte.
MAX_BYTEWISE = 1500


class Case(NamedTuple):
    """One connection.

    Attributes:
        terms: The negotiated compression, and the limit.
        reads: The bytes of each read.
    """

    terms: Terms
    reads: list[bytes]

    @property
    def data(self) -> bytes:
        """All bytes."""
        return b"".join(self.reads)


def random_case(rng: random.Random) -> Case:
    """Return a random connection; two in three have mutations."""
    stream = Stream(0, rng)
    if rng.random() < 0.03:
        add_fragments(stream)
    rng.choice((fill_plain, fill_plain, fill_deflate))(stream)
    if rng.random() < 0.03:
        add_large_messages(stream)
    data, marks = bytes(stream.data), stream.marks
    for _ in range(rng.choice((0, 1, rng.randrange(1, _MAX_MUTATIONS + 1)))):
        data = rng.choice(MUTATIONS)(rng, data, marks)
    limit = rng.choice((stream.terms.limit, stream.terms.limit, rng.choice(_LIMITS)))
    terms = Terms(limit, stream.terms.window_bits, stream.terms.keep_context)
    return Case(terms, split(rng, data, marks))


def add_fragments(stream: Stream) -> None:
    """Add about as many fragments as a batch or a message may have, or more."""
    stream.put(BINARY, b"", 0)
    part = stream.rng.choice((b"", b"", b"x"))
    for _ in range(stream.rng.choice((2046, 2048, 4094, 4095, 4096, 5000))):
        stream.put(CONTINUATION, part, 0)
    stream.put(CONTINUATION, b"")


def add_large_messages(stream: Stream) -> None:
    """Add messages that are longer, when inflated, than a batch may be."""
    for _ in range(4):
        stream.message(140_000)


def split(rng: random.Random, data: bytes, marks: list[int]) -> list[bytes]:
    """Split a stream into reads: not at all, byte by byte, at headers, or anywhere."""
    size = len(data)
    near = [mark + rng.randrange(-2, 12) for mark in marks]
    anywhere = [rng.randrange(size + 1) for _ in range(rng.choice((1, 2, 5, 20)))]
    bytewise = list(range(size)) if size <= MAX_BYTEWISE else near
    return cut_at(data, rng.choice(([], bytewise, marks, near, anywhere, [*near, *anywhere])))


# Mutations


Mutation = Callable[[random.Random, bytes, list[int]], bytes]


def place(rng: random.Random, data: bytes, marks: list[int]) -> int:
    """Return a position, often in a header or at the beginning of a payload."""
    if marks and rng.random() < 0.6:
        return max(0, min(rng.choice(marks) + rng.randrange(3), len(data) - 1))
    return rng.randrange(max(1, len(data)))


def change(data: bytes, at: int, new: bytes, old: int | None = None) -> bytes:
    """Replace ``old`` bytes, by default as many as there are new ones."""
    return data[:at] + new + data[at + (len(new) if old is None else old) :]


def flip_bit(rng: random.Random, data: bytes, marks: list[int]) -> bytes:
    at = place(rng, data, marks)
    return change(data, at, bytes([byte ^ 1 << rng.randrange(8) for byte in data[at : at + 1]]))


def flip_bits_of_header(rng: random.Random, data: bytes, marks: list[int]) -> bytes:
    """Set or clear FIN, a reserved bit or the mask bit."""
    at = min(rng.choice(marks or [0]), max(0, len(data) - 2))
    bits = rng.choice(((FIN, 0), (RSV1, 0), (0x20, 0), (0x10, 0), (0, 0x80), (FIN, 0x80)))
    return change(data, at, bytes([a ^ b for a, b in zip(data[at:], bits, strict=False)]))


def change_opcode(rng: random.Random, data: bytes, marks: list[int]) -> bytes:
    at = min(rng.choice(marks or [0]), max(0, len(data) - 1))
    return change(data, at, bytes([byte & 0xF0 | rng.randrange(16) for byte in data[at : at + 1]]))


def change_length(rng: random.Random, data: bytes, marks: list[int]) -> bytes:
    """Change the length of a frame, or the form in which it is written."""
    at = rng.choice(marks or [0]) + 1
    length = rng.choice((0, 1, 125, 126, 127, 65535, 65536, 1 << 62, 1 << 63))
    form = rng.choice((0, 2, 8))
    if not form:
        return change(data, at, bytes([length & 0x7F]))
    head = bytes([126 if form == 2 else 127])
    new = head + (length & (1 << 8 * form) - 1).to_bytes(form, "big")
    return change(data, at, new, 1)


def truncate(rng: random.Random, data: bytes, marks: list[int]) -> bytes:
    return data[: place(rng, data, marks)]


def delete(rng: random.Random, data: bytes, marks: list[int]) -> bytes:
    return change(data, place(rng, data, marks), b"", rng.randrange(1, 10))


def insert_noise(rng: random.Random, data: bytes, marks: list[int]) -> bytes:
    return change(data, place(rng, data, marks), rng.randbytes(rng.randrange(1, 10)), 0)


def replace_by_noise(rng: random.Random, data: bytes, marks: list[int]) -> bytes:
    return change(data, place(rng, data, marks), rng.randbytes(rng.randrange(1, 10)))


def insert_bad_text(rng: random.Random, data: bytes, marks: list[int]) -> bytes:
    """Overwrite a part with bytes that are not UTF-8, so lengths stay correct."""
    return change(data, place(rng, data, marks), rng.choice((*BAD_UTF8, *CUT_UTF8)))


def repeat(rng: random.Random, data: bytes, marks: list[int]) -> bytes:
    """Repeat a part, often a number of whole frames."""
    start, stop = sorted((rng.choice(marks or [0]), place(rng, data, marks)))
    return (
        data[:stop] + data[start : min(stop, start + 2000)] * rng.choice((1, 1, 30)) + data[stop:]
    )


MUTATIONS: tuple[Mutation, ...] = (
    flip_bit,
    flip_bits_of_header,
    change_opcode,
    change_length,
    truncate,
    delete,
    insert_noise,
    replace_by_noise,
    insert_bad_text,
    repeat,
)
