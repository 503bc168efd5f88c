"""Tests of wsx._arguments: the validators that several modules share."""

from __future__ import annotations

import decimal
import fractions

from twisted.trial.unittest import SynchronousTestCase

from wsx._arguments import is_number
from wsx.test.support.each import each


class IsNumberTests(SynchronousTestCase):
    """``is_number`` accepts what can be a duration or a count."""

    @each([0, -1, 10**18, 0.0, -0.5, 1e308])
    def test_number(self, value: object) -> None:
        """An int or a finite float is a number, whatever its sign."""
        self.assertIs(is_number(value), True)

    @each([True, False])
    def test_bool(self, value: object) -> None:
        """A bool is not, although it is an int to Python."""
        self.assertIs(is_number(value), False)

    @each([float("inf"), float("-inf"), float("nan")])
    def test_not_finite(self, value: object) -> None:
        """Infinity and NaN are not: a timer cannot use them."""
        self.assertIs(is_number(value), False)

    def test_int_past_the_floats(self) -> None:
        """An int that is too large for a float is not, and raises nothing."""
        self.assertIs(is_number(10**400), False)

    @each(["1", b"1", None, 1j, [1], decimal.Decimal(1), fractions.Fraction(1)])
    def test_other_types(self, value: object) -> None:
        """Other types are not, however much they look like numbers."""
        self.assertIs(is_number(value), False)

    def test_subclass(self) -> None:
        """An instance of a subclass of int is a number."""

        class Seconds(int):
            pass

        self.assertIs(is_number(Seconds(3)), True)
