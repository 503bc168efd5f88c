"""Tests of ``wsx._callback_names``: methods that look like a misspelt callback."""

from __future__ import annotations

import warnings
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx.test.support.each import each


def method(*arguments: Any) -> None:
    """Do nothing, as a callback."""


def warnings_of(*names: str, base: type = wsx.Handler) -> list[warnings.WarningMessage]:
    """Return the warnings that are issued for a class with these methods."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        type("Feed", (base,), dict.fromkeys(names, method))
    return caught


class WarningTests(SynchronousTestCase):
    """Which names are warned about."""

    @each(
        [
            ("handle_conect", "handle_connect"),
            ("handle_connected", "handle_connect"),
            ("handle_conncet", "handle_connect"),
            ("handle_disconect", "handle_disconnect"),
            ("handle_frames", "handle_frame"),
            ("handle_cat", "handle_cast"),
            ("handle_infos", "handle_info"),
            ("handle_pings", "handle_ping"),
        ]
    )
    def test_similar(self, name: str, meant: str) -> None:
        """A similar name is warned about, and the callback is named."""
        (caught,) = warnings_of(name)
        expected = f"Feed.{name} is not a callback of wsx; did you mean {meant}?"
        self.assertEqual((caught.category, str(caught.message)), (RuntimeWarning, expected))
        self.assertEqual(caught.filename.removesuffix("c"), __file__.removesuffix("c"))

    @each(["handle_message", "handle_last", "handle_trade", "on_connect", "connect", "terminated"])
    def test_other(self, name: str) -> None:
        """Another name is a method of the user's own."""
        self.assertEqual(warnings_of(name), [])

    def test_callbacks(self) -> None:
        """The callbacks themselves are not warned about."""
        callbacks = [name for name in vars(wsx.Handler) if name.startswith("handle_")]
        self.assertEqual(len(callbacks), 7)
        self.assertEqual(warnings_of(*callbacks), [])

    def test_overridden(self) -> None:
        """Beside the callback itself, or with an inherited one, a similar name is no mistake."""
        self.assertEqual(warnings_of("handle_frame", "handle_frames"), [])
        base = type("Base", (wsx.Handler,), {"handle_frame": method})
        self.assertEqual(warnings_of("handle_frames", base=base), [])

    def test_inherited_name(self) -> None:
        """Only the class that defines the name is warned about."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            base = type("Base", (wsx.Handler,), {"handle_frames": method})
        self.assertEqual(warnings_of("other", base=base), [])
