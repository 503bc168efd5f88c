"""Tests of wsx._console.frontend: both front ends have what the console calls."""

from __future__ import annotations

from inspect import signature
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from wsx._console.console import Console
from wsx._console.frontend import Frontend, LineReceiver
from wsx._console.plain import Plain
from wsx.test.support.extras import require


def methods(protocol: type) -> list[str]:
    """Return the names of the public methods of a protocol."""
    return [name for name, value in vars(protocol).items() if name[0] != "_" and callable(value)]


class ProtocolTests(SynchronousTestCase):
    """The classes match the protocols."""

    def assert_implements(self, protocol: type, implementation: Any) -> None:
        """Assert that every method exists with the same parameters."""
        self.assertNotEqual(methods(protocol), [])
        for name in methods(protocol):
            wanted = list(signature(getattr(protocol, name)).parameters)
            found = list(signature(getattr(implementation, name)).parameters)
            self.assertEqual(found, wanted, name)

    def test_plain(self) -> None:
        """The front end for pipes matches."""
        self.assert_implements(Frontend, Plain)

    def test_console(self) -> None:
        """The console matches what the front ends report to."""
        self.assert_implements(LineReceiver, Console)

    def test_terminal(self) -> None:
        """The front end for terminals matches."""
        require("prompt_toolkit")
        from wsx._console.terminal import Terminal

        self.assert_implements(Frontend, Terminal)
