"""The deliberate differences between wsx and the libraries that it is compared with.

``docs/contributing/reliability.md`` contains :func:`table`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from wsx._wire.assembler import LARGE_PAYLOAD
from wsx.test.fuzz.references import Verdict
from wsx.test.support.streams import CLEAN, Terms


class Difference(NamedTuple):
    """A reason why a reference has another verdict about the same bytes.

    Attributes:
        library: The reference.
        wsx_does: What wsx does.
        library_does: What the reference does.
        why: Why wsx does not do the same.
        applies: Whether this explains a pair of verdicts, wsx's first.
    """

    library: str
    wsx_does: str
    library_does: str
    why: str
    applies: Callable[[Verdict, Verdict, Terms], bool]

    def explains(self, name: str, wsx: Verdict, other: Verdict, terms: Terms) -> bool:
        """Return whether this explains the verdicts of wsx and of the reference with this name."""
        return name in self.library and self.applies(wsx, other, terms)


def failed(verdict: Verdict, code: int, reason: str = "") -> bool:
    """Return whether a verdict is a failure with this close code and reason."""
    return verdict.end[:2] == ("failure", code) and reason in str(verdict.end[2:])


def is_failure(verdict: Verdict) -> bool:
    """Return whether a stream was rejected."""
    return verdict.end[0] == "failure"


DIFFERENCES = (
    Difference(
        "wsproto",
        "limits the size of a message: 1009",
        "has no limit at this layer",
        "The limit bounds the memory.",
        lambda wsx, other, terms: failed(wsx, 1009),
    ),
    Difference(
        "wsproto",
        "accepts close code 1014",
        "1002",
        "The code is registered with IANA.",
        lambda wsx, other, terms: wsx.end[:2] == ("close", 1014) and failed(other, 1002),
    ),
    Difference(
        "wsproto",
        "a new message inside a compressed one: 1002",
        "inflates its payload first: 1007",
        "wsx checks the header before the payload.",
        lambda wsx, other, terms: failed(wsx, 1002, "inside") and failed(other, 1007),
    ),
    Difference(
        "wsproto, websockets",
        "continues after a final deflate block (RFC 7692 section 7.2.3.4)",
        "ignores the rest of the message and all later messages",
        "The RFC allows such blocks.",
        lambda wsx, other, terms: other.has_final_block,
    ),
    Difference(
        "wsproto, websockets",
        "checks the UTF-8 of text longer than 64 KiB when the message is complete",
        "after each read, or each fragment",
        "The message is valid only as a whole, and checking it once costs less.",
        lambda wsx, other, terms: (
            (bool(terms.window_bits) or wsx.position > LARGE_PAYLOAD) and failed(other, 1007)
        ),
    ),
    Difference(
        "wsproto, websockets",
        "a message with more than 4096 empty fragments: 1009",
        "accepts it",
        "Empty fragments cost time, and no other limit counts them.",
        lambda wsx, other, terms: failed(wsx, 1009, "empty fragments"),
    ),
    Difference(
        "websockets",
        "a payload length that is not in its shortest form or has its highest bit set: 1002",
        "accepts it",
        "RFC 6455 section 5.2 forbids it.",
        lambda wsx, other, terms: failed(wsx, 1002, "the payload length"),
    ),
    Difference(
        "websockets",
        "a control frame with an extended payload length: 1002",
        "accepts it if the length is at most 125",
        "RFC 6455 section 5.5 forbids it.",
        lambda wsx, other, terms: failed(wsx, 1002, "longer than 125"),
    ),
    Difference(
        "websockets",
        "a close frame with an invalid code and an invalid message: 1002",
        "1007",
        "wsx checks the code first.",
        lambda wsx, other, terms: failed(wsx, 1002, "close code") and failed(other, 1007),
    ),
    Difference(
        "websockets",
        "accepts a close frame inside a fragmented message",
        "1002",
        "RFC 6455 section 5.4 allows control frames there.",
        lambda wsx, other, terms: wsx.end[0] == "close" and failed(other, 1002),
    ),
    Difference(
        "websockets",
        "a message that cannot be inflated: 1007",
        "1002",
        "The payload is invalid, not the frame.",
        lambda wsx, other, terms: (
            bool(terms.window_bits) and failed(wsx, 1007) and failed(other, 1002)
        ),
    ),
    Difference(
        "websockets",
        "a message that cannot be inflated: 1007",
        "in rare cases an AssertionError: 1011",
        "See the previous row.",
        lambda wsx, other, terms: failed(wsx, 1007) and failed(other, 1011),
    ),
    Difference(
        "websockets",
        "applies the limit to the inflated size of compressed messages only",
        "applies it to the size of the compressed frame, too: 1009",
        "Compression can make a short message longer.",
        lambda wsx, other, terms: bool(terms.window_bits) and failed(other, 1009),
    ),
    Difference(
        "websockets",
        "does not apply the limit to control frames",
        "does, with what the message in progress leaves of it: 1009",
        "They have at most 125 bytes, and are not part of the message.",
        lambda wsx, other, terms: terms.limit is not None and failed(other, 1009),
    ),
    Difference(
        "websockets",
        "checks all of a header before the limit: 1002",
        "checks the limit first: 1009",
        "The first error in the stream decides.",
        lambda wsx, other, terms: failed(wsx, 1002) and failed(other, 1009),
    ),
    Difference(
        "websockets",
        "rejects a frame when its first bytes are wrong",
        "waits for the whole payload",
        "A server must not occupy memory with a message that is invalid already.",
        lambda wsx, other, terms: is_failure(wsx) and other.end == CLEAN,
    ),
)


def is_deliberate(name: str, wsx: Verdict, other: Verdict, terms: Terms) -> bool:
    """Return whether a deliberate difference explains two verdicts."""
    return any(one.explains(name, wsx, other, terms) for one in DIFFERENCES)


def table() -> str:
    """Return the differences as a Markdown table."""
    lines = ["| library | wsx | the library | reason |", "|---|---|---|---|"]
    lines += [f"| {' | '.join(difference[:4])} |" for difference in DIFFERENCES]
    return "\n".join(lines)
