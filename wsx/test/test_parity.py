"""Tests that every row of the page on parity has a test, and that the page is up to date."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from wsx.test import parity

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "parity.md"


class ParityTests(SynchronousTestCase):
    """The table of docs/explanation/parity.md."""

    def test_every_row_has_a_test(self) -> None:
        """Every row has at least one test."""
        found = parity.tests_by_row()
        self.assertEqual([row for row in parity.ROWS if not found[row]], [])

    def test_the_page_is_fresh(self) -> None:
        """The page is what ``parity.page`` generates."""
        if not PAGE.exists():
            raise SkipTest("wsx is installed without its documentation")
        self.assertEqual(PAGE.read_text(), parity.page())

    def test_differences_have_rows(self) -> None:
        """Every difference belongs to a row."""
        self.assertEqual(set(parity.DIFFERENCES) - set(parity.ROWS), set())
