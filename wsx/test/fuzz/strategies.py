"""Random connections for hypothesis, and the function that draws them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wsx.frames import BINARY, CLOSE, CONTINUATION, PING, TEXT
from wsx.test.fuzz.streams import Case
from wsx.test.support import server_frame
from wsx.test.support.streams import BAD_UTF8, CUT_UTF8, FIN, RSV1, Terms, cut_at

__all__ = ["bad_texts", "byte_cases", "check_examples", "frame_cases", "seeds", "urls"]

# The examples are the same in each run, and none is stored: long random runs are a command.
bounded = settings(
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

close_payloads = st.builds(
    lambda code, message: code.to_bytes(2, "big") + message,
    st.one_of(st.integers(999, 1020), st.sampled_from((0, 2999, 3000, 4999, 5000, 65535))),
    st.one_of(st.binary(max_size=5), st.text(max_size=5).map(str.encode)),
)
payloads = st.one_of(
    st.text(max_size=20).map(str.encode),
    st.binary(max_size=20),
    st.sampled_from((*BAD_UTF8, *CUT_UTF8)),
    st.sampled_from((125, 126, 127, 300)).map(bytes),
    close_payloads,
)
opcodes = st.one_of(
    st.sampled_from((CONTINUATION, CONTINUATION, TEXT, BINARY, PING, CLOSE)), st.integers(0, 15)
)
flags = st.one_of(
    st.sampled_from((FIN, FIN, FIN, 0, FIN | RSV1, RSV1)), st.integers(0, 15).map((16).__mul__)
)
masks = st.sampled_from((b"",) * 9 + (b"mask",))
frames = st.builds(server_frame, opcodes, payloads, flags, masks)
terms = st.builds(
    Terms,
    st.sampled_from((None, None, None, 0, 5, 125, 126)),
    st.sampled_from((0, 0, 9, 15)),
    st.booleans(),
)


@st.composite
def cases(draw: Any, data: st.SearchStrategy[bytes]) -> Case:
    """Draw a connection that receives this data in any reads."""
    stream = draw(data)
    places = draw(st.lists(st.integers(0, max(1, len(stream))), max_size=8))
    return Case(draw(terms), cut_at(stream, places))


frame_cases = cases(st.lists(frames, max_size=6).map(b"".join))
byte_cases = cases(st.binary(max_size=60))
bad_texts = st.tuples(
    st.text(max_size=9).map(str.encode), st.sampled_from((*BAD_UTF8, *CUT_UTF8)), st.integers(0, 40)
)
seeds = st.integers(0, 1 << 30)
urls = st.text(max_size=30).map("ws://".__add__)


def check_examples(
    check: Callable[[Any], None], values: st.SearchStrategy[Any], examples: int = 100
) -> None:
    """Call a function with this number of values."""

    @settings(bounded, max_examples=examples)
    @given(values)
    def check_example(value: Any) -> None:
        check(value)

    check_example()
