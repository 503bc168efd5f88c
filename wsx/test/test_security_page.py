"""Tests that the tests which ``docs/security.md`` names exist."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

PAGE = Path(__file__).resolve().parents[2] / "docs" / "security.md"


def tests_of(name: str) -> list[str]:
    """Return the names of the tests in a module, class or method below ``wsx.test``.

    Raises:
        ImportError: There is no such module.
        AttributeError: There is no such class.
    """
    *path, last = name.split(".")
    method = last if last.startswith("test_") and path and path[-1][0].isupper() else ""
    parts = path if method else [*path, last]
    modules = [part for part in parts if not part[0].isupper()]
    found: Any = import_module(".".join(["wsx.test", *modules]))
    for part in parts[len(modules) :]:
        found = getattr(found, part)
    if isinstance(found, type):
        # The decorator ``each`` appends the name of a case to the name of a test.
        return [test for test in dir(found) if test.startswith(method or "test_")]
    if hasattr(found, "__path__"):
        return [path.name for path in Path(found.__path__[0]).glob("test_*.py")]
    classes = [value for value in vars(found).values() if isinstance(value, type)]
    return [test for cls in classes for test in dir(cls) if test.startswith("test_")]


class SecurityPageTests(SynchronousTestCase):
    """The table of docs/security.md."""

    def rows(self) -> list[list[str]]:
        """Return the rows of the last table."""
        if not PAGE.exists():
            raise SkipTest("wsx is installed without its documentation")
        table = PAGE.read_text().partition("| promise | rests on | tests |\n")[2]
        return [
            [cell.strip() for cell in line.strip("|").split(" | ")]
            for line in table.splitlines()
            if line.startswith("| ")
        ]

    def test_tests_exist(self) -> None:
        """Each row names tests, and all of them exist."""
        rows = self.rows()
        self.assertGreater(len(rows), 20)
        for promise, rests_on, tests in rows:
            names = re.findall("`([^`]+)`", tests)
            self.assertTrue(rests_on and names, promise)
            for name in names:
                try:
                    found = tests_of(name)
                except (ImportError, AttributeError) as error:
                    self.fail(f"{promise}: {name}: {error}")
                self.assertNotEqual(found, [], f"{promise}: {name}")

    def test_missing_tests_are_found(self) -> None:
        """A module, class or method that does not exist is detected."""
        self.assertRaises(ImportError, tests_of, "test_missing")
        self.assertRaises(AttributeError, tests_of, "test_text.MissingTests")
        self.assertEqual(tests_of("test_text.EscapeTests.test_missing"), [])
