"""The error that a fuzzer raises."""

from __future__ import annotations


class Disagreement(AssertionError):
    """Two implementations, or two ways to call one, have different results for the same input.

    Args:
        what: What differs.
        given: The input.
    """

    def __init__(self, what: str, given: object) -> None:
        super().__init__(f"{what}\ninput: {given!r}")
