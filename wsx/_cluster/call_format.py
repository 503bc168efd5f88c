"""The format of requests and replies between processes, and the operations of each subject.

A request is ``[1, calls]``, where each call is a list of an operation and its arguments. The reply
is ``[1, outcomes]`` in the same order, where each outcome is ``[True, value]`` or
``[False, error]``. If a request is refused as a whole, the reply is ``[1, None, error]``. The 1 is
the version of the format.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from wsx._arguments import is_number
from wsx._cluster.error_values import error_to_value
from wsx._cluster.values import pack, unpack
from wsx._text import expected, expected_type, shorten

__all__ = [
    "DONE",
    "MAX_CALLS",
    "MAX_TIMEOUT",
    "OPERATIONS",
    "REQUEST_OVERHEAD",
    "check_timeout",
    "decode_reply",
    "decode_request",
    "encode_refusal",
    "encode_reply",
    "encode_request",
    "subject_for",
    "subjects_for",
]

# NATS grants permissions by subject, so each group of operations has a subject of its own.
OPERATIONS: Final = {
    "call": ("cast", "info", "send_frame"),
    "read": ("status", "get_state", "get_status"),
    "control": ("trace", "close", "stop"),
}

MAX_CALLS: Final = 1000  # in one request, so that a request takes the holder few milliseconds
MAX_TIMEOUT: Final = 3600.0  # seconds
REQUEST_OVERHEAD: Final = 5  # bytes of a request besides those of its calls

DONE: Final[list[Any]] = [True, None]  # the outcome of most calls

_VERSION: Final = 1
_START: Final = bytes([0x92, _VERSION, 0xDC])  # [1, and the beginning of a list


def subject_for(bucket: str, group: str, token: str) -> str:
    """Return the subject for a group of operations.

    Args:
        bucket: The name of the bucket.
        group: A key of ``OPERATIONS``.
        token: The token for the name.
    """
    return f"wsx.{bucket}.{group}.{token}"


def subjects_for(bucket: str, token: str) -> dict[str, str]:
    """Return the subject of each group of operations.

    The arguments are those of :func:`subject_for`.
    """
    return {group: subject_for(bucket, group, token) for group in OPERATIONS}


def check_timeout(timeout: object) -> None:
    """Check the time limit of a call.

    Raises:
        ValueError: It is not a number of seconds above 0 and at most ``MAX_TIMEOUT``.
    """
    valid = is_number(timeout) and 0 < timeout <= MAX_TIMEOUT  # type: ignore[operator]
    if not valid:
        raise ValueError(expected("timeout", f"a number above 0, at most {MAX_TIMEOUT:g}", timeout))


def encode_request(calls: Sequence[bytes]) -> bytes:
    """Return the request for calls, each of them packed."""
    return b"".join([_START, len(calls).to_bytes(2, "big"), *calls])


def decode_request(request: bytes) -> list[list[Any]]:
    """Return the calls of a request. Their arguments are not checked.

    Raises:
        ValueError: The request is malformed.
    """
    content = unpack(request)
    calls = content[1] if _is_message(content) and len(content) == 2 else None
    if type(calls) is not list or not all(map(_is_call, calls)):
        raise ValueError(_wrong("request", f"[{_VERSION}, calls]", content))
    if len(calls) > MAX_CALLS:
        raise ValueError(f"{expected('request', f'at most {MAX_CALLS} calls')}, got {len(calls)}")
    return calls


def _is_call(call: object) -> bool:
    return type(call) is list and len(call) > 0 and type(call[0]) is str


def encode_reply(outcomes: Sequence[list[Any]]) -> bytes:
    """Return the reply to a request."""
    return pack([_VERSION, outcomes])


def encode_refusal(error: Exception) -> bytes:
    """Return the reply to a request that is refused as a whole."""
    return pack([_VERSION, None, error_to_value(error)])


def decode_reply(reply: bytes, count: int) -> list[list[Any]]:
    """Return the outcomes in a reply. Their values are not checked.

    Args:
        reply: The reply.
        count: The number of calls in the request.

    Raises:
        ValueError: The reply is malformed.
    """
    content = unpack(reply)
    if _is_message(content):
        if len(content) == 3 and content[1] is None:
            return [[False, content[2]]] * count
        outcomes = content[1]
        if type(outcomes) is list and len(outcomes) == count and all(map(_is_outcome, outcomes)):
            return outcomes
    raise ValueError(_wrong("reply", f"[{_VERSION}, outcomes], one for each of {count}", content))


def _is_outcome(outcome: object) -> bool:
    return type(outcome) is list and len(outcome) == 2 and type(outcome[0]) is bool


def _wrong(subject: str, expectation: str, content: object) -> str:
    """Return the error message for a malformed request or reply, without its content."""
    if isinstance(content, list) and content and type(content[0]) is int:
        return (
            f"{expected(subject, expectation)}, got a list that begins with {shorten(content[0])}"
        )
    return expected_type(subject, expectation, content)


def _is_message(content: object) -> bool:
    """Return whether a request or a reply has the form and the version that is supported."""
    return type(content) is list and len(content) in (2, 3) and content[0] == _VERSION
