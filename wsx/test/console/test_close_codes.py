"""Tests of wsx._console.close_codes: the names of close codes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wsx._console.close_codes import KNOWN_CODES, name_of
from wsx.frames import is_wire_close_code
from wsx.test.support.each import each


class NameTests(SynchronousTestCase):
    """The name of a close code."""

    @each(
        [
            (1000, "normal closure"),
            (1001, "going away"),
            (1006, "no close frame"),
            (1012, "service restart"),
            (3000, "unauthorized"),
            (3999, "registered by a library or application"),
            (4000, "private use"),
            (4999, "private use"),
            (1004, "unassigned"),
            (2999, "unassigned"),
            (5000, "unassigned"),
        ]
    )
    def test_name(self, code: int, name: str) -> None:
        """A code has its own name, or that of its range."""
        self.assertEqual(name_of(code), name)

    def test_all_codes_of_rfc_6455(self) -> None:
        """Every code below 3000 that may be on the wire has a name of its own."""
        allowed = {code for code in range(1000, 3000) if is_wire_close_code(code)}
        self.assertEqual(allowed - set(KNOWN_CODES), set())
