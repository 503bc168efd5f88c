"""Tests with hypothesis: wsx and other libraries agree; and tests of the fuzzer itself."""

from __future__ import annotations

import argparse
import random
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx.errors import FrameError
from wsx.frames import BINARY, CLOSE, CONTINUATION, PING, TEXT
from wsx.test.fuzz.disagreement import Disagreement
from wsx.test.fuzz.streams import Case
from wsx.test.support import server_frame
from wsx.test.support.extras import missing
from wsx.test.support.forms import PURE_DECODER
from wsx.test.support.streams import FIN, RSV1, Terms

skip = missing("h11", "hypothesis", "websockets", "wsproto", "yarl")
if not skip:
    from wsx.test.fuzz import __main__ as command_line
    from wsx.test.fuzz import coverage_guided, decoder, encoder, http, strategies, url
    from wsx.test.fuzz.differences import DIFFERENCES, Difference, table
    from wsx.test.fuzz.strategies import check_examples

ROOT = Path(wsx.__file__).resolve().parent.parent


def check_seeds(check: Callable[[random.Random], None], examples: int = 100) -> None:
    """Call a function with this number of random generators."""
    check_examples(lambda seed: check(random.Random(seed)), strategies.seeds, examples)


class AgreementTests(SynchronousTestCase):
    """wsx agrees with itself and with other libraries."""

    def test_frames(self) -> None:
        """Valid and invalid frames have the same outcome, however they are read."""
        check_examples(decoder.check, strategies.frame_cases)

    def test_bytes(self) -> None:
        """Arbitrary bytes have the same outcome, however they are read."""
        check_examples(decoder.check, strategies.byte_cases)

    def test_bad_text(self) -> None:
        """Text with bytes that are not UTF-8, in two fragments, is rejected at the same byte."""

        def check(value: tuple[bytes, bytes, int]) -> None:
            good, bad, place = value
            payload = good + bad + b"."
            end = server_frame(CONTINUATION, payload[place:])
            decoder.check(Case(Terms(), [server_frame(TEXT, payload[:place], 0) + end]))

        check_examples(check, strategies.bad_texts)

    def test_streams(self) -> None:
        """Long streams with mutations have the same outcome, too."""
        check_seeds(decoder.check_random, 40)

    def test_responses(self) -> None:
        """An HTTP response is parsed in the same way, however it is read, and as h11 parses it."""
        check_seeds(http.check_random)

    def test_urls(self) -> None:
        """A valid URL has the parts that yarl and hyperlink find."""
        check_seeds(url.check_random)

    def test_any_url(self) -> None:
        """Any other text is a URLError, or a URL that stays the same when it is joined again."""
        check_examples(url.check_any, strategies.urls)

    def test_encoder(self) -> None:
        """Other servers receive what wsx sends."""
        check_seeds(encoder.check_random, 40)


# Defects


class LateDecoder(PURE_DECODER):
    """Reports the end one read later."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.late: Any = None

    def feed(self, data: bytes) -> Any:
        batch = super().feed(data)
        batch.end, self.late = self.late, batch.end
        return batch


class OtherCodeDecoder(PURE_DECODER):
    """Reports another close code."""

    def feed(self, data: bytes) -> Any:
        batch = super().feed(data)
        if isinstance(batch.end, FrameError) and batch.end.close_code == 1007:
            batch.end = FrameError(batch.end.reason, batch.end.opcode, 1002)
        return batch


class TolerantDecoder(PURE_DECODER):
    """Ignores the mask bit."""

    def _check_first_bytes(self, first: int, second: int) -> None:
        super()._check_first_bytes(first, second & 0x7F)


class StrictDecoder(PURE_DECODER):
    """Rejects pings of more than 124 bytes."""

    def _check_first_bytes(self, first: int, second: int) -> None:
        super()._check_first_bytes(first, second)
        if first == FIN | PING and second == 125:
            raise FrameError("too long", PING, 1002)


def form_with(decoder: Any) -> Any:
    """Return a form with another decoder."""
    return SimpleNamespace(decoder=SimpleNamespace(Decoder=decoder))


BROKEN = form_with(OtherCodeDecoder)


class DefectTests(SynchronousTestCase):
    """The fuzzer finds defects in the decoder."""

    def assert_found(self, broken: Any, *streams: bytes) -> None:
        """One of the streams shows the defect."""
        self.patch(
            decoder,
            "FORMS",
            dict.fromkeys("ab", SimpleNamespace(decoder=SimpleNamespace(Decoder=broken))),
        )
        found = 0
        for stream in streams:
            try:
                decoder.check(Case(Terms(), [stream, b""]))
            except Disagreement:
                found += 1
        self.assertEqual(found, len(streams), broken.__name__)

    def test_late(self) -> None:
        """An end that is reported too late is found."""
        self.assert_found(
            LateDecoder, server_frame(3), server_frame(CLOSE), server_frame(TEXT, b"\xff")
        )

    def test_other_code(self) -> None:
        """A wrong close code is found."""
        self.assert_found(OtherCodeDecoder, server_frame(TEXT, b"\xff"))

    def test_tolerant(self) -> None:
        """A frame that must be rejected is found."""
        self.assert_found(TolerantDecoder, server_frame(PING, b"abcd", FIN, b"mask"))

    def test_strict(self) -> None:
        """A valid frame that is rejected is found, even if the stream ends in its header."""
        whole = server_frame(PING, bytes(125))
        self.assert_found(StrictDecoder, whole, whole[:2])


class CommandLineTests(SynchronousTestCase):
    """``python -m wsx.test.fuzz``."""

    def test_case(self) -> None:
        """A case is repeated by its seed and number, and its exception is reported."""

        def check(rng: random.Random) -> None:
            if rng.random() < 0.5:
                raise ValueError("found")

        self.patch(command_line, "TARGETS", {"decoder": check})
        results = [command_line.run_case("decoder", 7, number) for number in range(20)]
        again = [command_line.run_case("decoder", 7, number) for number in range(20)]
        self.assertEqual(results, again)
        self.assertEqual({result[-18:] for result in results}, {"", "ValueError: found\n"})

    def test_run(self) -> None:
        """Cases of each target run until the time is over."""
        self.patch(command_line, "TARGETS", dict.fromkeys(("url", "http"), lambda rng: None))
        arguments = argparse.Namespace(target=["url", "http"], seed=7)
        done, problems = command_line.run(arguments, range(5), end=float("inf"))
        self.assertEqual((dict(done), problems), ({"url": 5, "http": 5}, 0))
        done, _ = command_line.run(arguments, range(5), end=0)
        self.assertEqual(dict(done), {"url": 1, "http": 1})


class CoverageGuidedTests(SynchronousTestCase):
    """The targets of atheris."""

    def test_first_inputs(self) -> None:
        """The first inputs are valid for all targets."""
        folder = Path(self.mktemp())
        coverage_guided.write_first_inputs(folder)
        inputs = [path.read_bytes() for path in sorted(folder.iterdir())]
        self.assertEqual({data[0] for data in inputs}, {0, 1, 2})
        for data in [b"", *inputs[::10]]:
            coverage_guided.check_input(data)

    def test_each_target(self) -> None:
        """The rest of an input is given to the target as it is."""
        self.patch(decoder, "FORMS", {"imported": BROKEN, "pure": BROKEN})
        self.assertRaises(Disagreement, coverage_guided.check_input, b"\0\0\0\0\x81\x01\xff")

    def test_functions(self) -> None:
        """The functions of the pure form are instrumented."""
        names = {function.__qualname__ for function in coverage_guided.python_functions()}
        self.assertLess({"Decoder._decode_frame", "parse_head", "_parse_host"}, names)


class DifferencesTests(SynchronousTestCase):
    """The deliberate differences."""

    def test_documented(self) -> None:
        """The table in docs/contributing/reliability.md is the one of the fuzzer."""
        if not (ROOT / "docs").is_dir():
            self.skipTest("not a checkout")
        self.assertIn(table(), (ROOT / "docs" / "contributing" / "reliability.md").read_text())

    def test_each_occurs(self) -> None:
        """Each difference occurs, so the table has no stale rows."""
        found: set[Difference] = set()
        for limit, window_bits, stream in EXAMPLES:
            case = Case(Terms(limit, window_bits), [stream])
            ours = decoder.run_wsx(decoder.PURE.decoder, case)[0]
            for name, other in decoder.reference_verdicts(case, ours):
                self.assertIsNone(decoder.compare(name, ours, other, case.terms), (stream, name))
                if (ours.items, ours.end[:2]) != (other.items, other.end[:2]):
                    found |= {d for d in DIFFERENCES if d.explains(name, ours, other, case.terms)}
        often = [one for one in DIFFERENCES if "in rare cases" not in one.library_does]
        missing = [one.wsx_does for one in often if one not in found]
        self.assertEqual(missing, [])


def deflated(payload: bytes, mode: int = zlib.Z_SYNC_FLUSH) -> bytes:
    """Return a compressed binary message."""
    compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
    data = compressor.compress(payload) + compressor.flush(mode)
    if mode == zlib.Z_FINISH:  # RFC 7692 section 7.2.3.4
        data += b"\x00\x00\x00\xff\xff"
    return server_frame(BINARY, data.removesuffix(b"\x00\x00\xff\xff"), FIN | RSV1)


FINAL_BLOCK = deflated(b"one", zlib.Z_FINISH)
LONG_TEXT = server_frame(TEXT, bytes(70_000), 0) + server_frame(CONTINUATION, b"\xff", 0)

# The limit, the window bits and the bytes of a stream.
EXAMPLES: tuple[tuple[int | None, int, bytes], ...] = (
    (5, 0, server_frame(TEXT, bytes(10))),
    (None, 0, server_frame(CLOSE, b"\x03\xf6")),
    (None, 15, server_frame(TEXT, b"", RSV1) + server_frame(TEXT, b"\xff\xff")),
    (None, 15, FINAL_BLOCK + deflated(b"two")),
    (None, 0, LONG_TEXT),
    (None, 0, LONG_TEXT + server_frame(PING) + server_frame(CONTINUATION)),
    (None, 0, server_frame(TEXT, b"", 0) + 4096 * server_frame(CONTINUATION, b"", 0)),
    (None, 0, b"\x81\x7e\x00\x01a"),
    (None, 0, b"\x89\x7e\x00\x01a"),
    (None, 0, server_frame(CLOSE, b"\x03\xed\xff")),
    (None, 0, server_frame(TEXT, b"a", 0) + server_frame(CLOSE)),
    (None, 15, server_frame(BINARY, b"\x06\xff", FIN | RSV1)),
    (5, 15, deflated(b"12345")),
    (5, 0, server_frame(PING, bytes(10))),
    (5, 0, server_frame(TEXT, bytes(10), FIN | RSV1)),
    (None, 0, b"\xa1\x7f" + (1 << 40).to_bytes(8, "big")),
)
