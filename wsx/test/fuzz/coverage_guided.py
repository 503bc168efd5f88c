"""Coverage-guided fuzzing with atheris, which must be installed (``pip install atheris``)."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import FunctionType
from typing import Any

from wsx import _url, frames
from wsx._wire import assembler, batch, buffer, decoder, encoder, http, inflater
from wsx.test.fuzz import decoder as decoder_target
from wsx.test.fuzz import http as http_target
from wsx.test.fuzz import url as url_target
from wsx.test.fuzz.streams import Case
from wsx.test.support.forms import PURE
from wsx.test.support.streams import Terms, cut_at, deflate_stream, plain_stream

MODULES = (_url, frames, assembler, batch, buffer, decoder, encoder, http, inflater, *PURE)
# The first bytes of an input select the target and its parameters; the rest is given to the target.
HEAD = 4
MAX_LENGTH = 300
LIMITS = (None, None, 0, 5, 125, 1000)
WINDOWS = (0, 9, 15)


def check_input(data: bytes) -> None:
    """Check one input of the fuzzer.

    Raises:
        Disagreement: Two implementations have different results.
    """
    head, data = data[:HEAD].ljust(HEAD, b"\0"), data[HEAD:]
    TARGETS[head[0] % len(TARGETS)](head, data)


def check_stream(head: bytes, data: bytes) -> None:
    """Decode the input."""
    window, keeps = WINDOWS[head[2] % len(WINDOWS)], head[2] < 128
    terms = Terms(LIMITS[head[1] % len(LIMITS)], window, keeps)
    decoder_target.check(Case(terms, split(head[3], data)))


def check_response(head: bytes, data: bytes) -> None:
    """Parse the input as an HTTP response."""
    http_target.check(http_target.Case((100, 16384)[head[1] % 2], split(head[3], data)))


def check_url(head: bytes, data: bytes) -> None:
    """Parse the input as a URL."""
    url_target.check_any(data.decode(errors="surrogateescape"))


TARGETS: tuple[Callable[[bytes, bytes], None], ...] = (check_stream, check_response, check_url)


def split(seed: int, data: bytes) -> list[bytes]:
    """Split the input into reads."""
    rng = random.Random(seed)
    return cut_at(data, [rng.randrange(len(data) + 1) for _ in range(seed % 8)])


def run_atheris(seconds: float, seed: int, corpus: Path) -> None:
    """Check inputs that reach new code, and end the process.

    Args:
        seconds: The time to run.
        seed: The seed of libFuzzer.
        corpus: The folder of the inputs that have reached new code.
    """
    atheris: Any = import_module("atheris")
    for function in python_functions():
        atheris.instrument_func(function)
    if not corpus.exists():
        write_first_inputs(corpus)
    options = [
        f"-max_total_time={seconds:.0f}",
        f"-seed={seed}",
        f"-max_len={MAX_LENGTH}",
        f"-artifact_prefix={corpus}/",
    ]
    atheris.Setup([sys.argv[0], str(corpus), *options], check_input)
    atheris.Fuzz()


def write_first_inputs(corpus: Path) -> None:
    """Write random streams, responses and URLs, with which the fuzzer begins."""
    rng = random.Random(0)
    inputs = [b"\0\0\0\3" + bytes(plain_stream(seed).data) for seed in range(30)]
    inputs += [b"\0\0\2\3" + bytes(deflate_stream(seed).data) for seed in range(30)]
    inputs += [b"\1\1\0\3" + http_target.random_responses(rng) for _ in range(30)]
    inputs += [b"\2\0\0\0" + url_target.random_url(rng).encode() for _ in range(30)]
    corpus.mkdir(parents=True)
    for number, data in enumerate(inputs):
        (corpus / f"first-{number}").write_bytes(data[:MAX_LENGTH])


def python_functions() -> list[FunctionType]:
    """Return the functions and methods of the fuzzed modules, as far as they are Python."""
    found: dict[int, FunctionType] = {}
    for module in MODULES:
        for value in vars(module).values():
            members = list(vars(value).values()) if isinstance(value, type) else [value]
            for member in members:
                if isinstance(member, FunctionType) and member.__module__ == module.__name__:
                    found[id(member)] = member
    return list(found.values())
