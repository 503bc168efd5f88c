"""Tests that the tests exist that the pages on security and reliability name."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

DOCS = Path(__file__).resolve().parents[2] / "docs"


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


def rows_of(page: str, heading: str) -> list[list[str]]:
    """Return the rows of a table below its heading."""
    path = DOCS / page
    if not path.exists():
        raise SkipTest("wsx is installed without its documentation")
    table = path.read_text().partition(f"{heading}\n")[2].partition("\n\n")[0]
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in table.splitlines()
        if line.startswith("| ")
    ]


class TestNamesTests(SynchronousTestCase):
    """The tables whose last column names tests."""

    def assert_tests_exist(self, rows: list[list[str]]) -> None:
        """Assert that each row names tests, and that all of them exist."""
        for row in rows:
            names = re.findall("`([^`]+)`", row[-1])
            self.assertTrue(all(row) and names, row)
            for name in names:
                try:
                    found = tests_of(name)
                except (ImportError, AttributeError) as error:
                    self.fail(f"{row[0]}: {name}: {error}")
                self.assertNotEqual(found, [], f"{row[0]}: {name}")

    def test_promises(self) -> None:
        """The promises of docs/explanation/security.md."""
        rows = rows_of("explanation/security.md", "| promise | rests on | tests |")
        self.assertGreater(len(rows), 20)
        self.assert_tests_exist(rows)

    def test_limits(self) -> None:
        """The limits of docs/contributing/reliability.md."""
        heading = "| limit | bound | beyond it | measured | tests |"
        rows = rows_of("contributing/reliability.md", heading)
        self.assertGreater(len(rows), 10)
        self.assert_tests_exist(rows)

    def test_missing_tests_are_found(self) -> None:
        """A module, class or method that does not exist is detected."""
        self.assertRaises(ImportError, tests_of, "test_missing")
        self.assertRaises(AttributeError, tests_of, "test_text.MissingTests")
        self.assertEqual(tests_of("test_text.EscapeTests.test_missing"), [])
