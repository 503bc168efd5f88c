"""Tests of wsx._arguments: the validators that several modules share."""

from __future__ import annotations

import decimal
import fractions

from twisted.trial.unittest import SynchronousTestCase

from wsx._arguments import as_list, check_delay, is_hashable, is_number, require
from wsx.test.support.each import each


class IsNumberTests(SynchronousTestCase):
    """``is_number`` accepts values that can be a duration or a count."""

    @each([0, -1, 10**18, 0.0, -0.5, 1e308])
    def test_number(self, value: object) -> None:
        """An int or a finite float is a number, whatever its sign."""
        self.assertIs(is_number(value), True)

    @each([True, False])
    def test_bool(self, value: object) -> None:
        """A bool is not a number, although it is an int in Python."""
        self.assertIs(is_number(value), False)

    @each([float("inf"), float("-inf"), float("nan")])
    def test_not_finite(self, value: object) -> None:
        """Infinity and NaN are not accepted, because a timer cannot use them."""
        self.assertIs(is_number(value), False)

    def test_int_past_the_floats(self) -> None:
        """An int that is too large for a float is not accepted, and raises nothing."""
        self.assertIs(is_number(10**400), False)

    @each(["1", b"1", None, 1j, [1], decimal.Decimal(1), fractions.Fraction(1)])
    def test_other_types(self, value: object) -> None:
        """Other types are not accepted, even if they can be converted."""
        self.assertIs(is_number(value), False)

    def test_subclass(self) -> None:
        """An instance of a subclass of int is a number."""

        class Seconds(int):
            pass

        self.assertIs(is_number(Seconds(3)), True)


class IsHashableTests(SynchronousTestCase):
    """``is_hashable`` checks the items of a value, not only its type."""

    def test_hashable(self) -> None:
        """A tuple is hashable if its items are."""
        self.assertIs(is_hashable(("a", 1)), True)
        self.assertIs(is_hashable(("a", [])), False)
        self.assertIs(is_hashable([]), False)


class AsListTests(SynchronousTestCase):
    """``as_list`` distinguishes collections from single values."""

    @each(
        [
            ("list", [1, 2]),
            ("tuple", (1, 2)),
            ("iterator", iter([1, 2])),
            ("keys", {1: 0, 2: 0}.keys()),
        ]
    )
    def test_collection(self, label: str, value: object) -> None:
        """The items of a collection are returned in order."""
        self.assertEqual(as_list(value), [1, 2])

    def test_copy(self) -> None:
        """A list is copied."""
        given = [1]
        self.assertIsNot(as_list(given), given)

    @each([("str", "ab"), ("bytes", b"ab"), ("mapping", {"a": 1}), ("number", 5), ("none", None)])
    def test_single_value(self, label: str, value: object) -> None:
        """A str, bytes, a mapping and a value that cannot be iterated are not collections."""
        self.assertIsNone(as_list(value))


class RequireTests(SynchronousTestCase):
    """``require`` raises an error about an invalid argument."""

    def test_valid(self) -> None:
        """A valid argument raises nothing, for any true condition."""
        require("yes", "limit", "a number", 5)

    @each([("false", False), ("none", None), ("empty", ())])
    def test_not_valid(self, label: str, valid: object) -> None:
        """The error is a ValueError that names the argument."""
        error = self.assertRaises(ValueError, require, valid, "limit", "a number", "x")
        self.assertEqual(str(error), 'limit: expected a number, got "x"')

    def test_error(self) -> None:
        """The class of the error can be chosen."""
        error = self.assertRaises(TypeError, require, False, "limit", "a number", "x", TypeError)
        self.assertEqual(str(error), 'limit: expected a number, got "x"')


class CheckDelayTests(SynchronousTestCase):
    """``check_delay``."""

    @each([0, 1.5, fractions.Fraction(1, 2), decimal.Decimal("0.5")])
    def test_number(self, value: object) -> None:
        """Whatever can be converted to a float is accepted."""
        check_delay(value)

    @each(["tick", None, [1]])
    def test_other_types(self, value: object) -> None:
        """Another value raises a TypeError, which does not show it."""
        error = self.assertRaises(TypeError, check_delay, value)
        self.assertEqual(
            str(error), f"delay: expected a number of seconds, got {type(value).__name__}"
        )
