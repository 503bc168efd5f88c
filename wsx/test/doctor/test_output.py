"""Tests of wsx._doctor.output: printing a report."""

from __future__ import annotations

import json
import sys
from io import BytesIO, StringIO, TextIOWrapper

from wsx._doctor.output import print_report
from wsx.test.support.doctor import DoctorCase


class ClosedPipe(StringIO):
    """A file whose reader has closed its end."""

    def write(self, text: str) -> int:
        """Fail."""
        raise BrokenPipeError


class PrintTests(DoctorCase):
    """Printing."""

    def setUp(self) -> None:
        super().setUp()
        self.succeed()
        self.findings = self.examination.findings

    def test_text(self) -> None:
        """Print text."""
        output = StringIO()
        print_report(self.findings, as_json=False, output=output)
        self.assertTrue(output.getvalue().startswith("ws://example.test/feed\n"))
        self.assertTrue(output.getvalue().endswith("ms\n"))

    def test_json(self) -> None:
        """Print one JSON object."""
        output = StringIO()
        print_report(self.findings, as_json=True, output=output)
        self.assertIs(json.loads(output.getvalue())["passed"], True)

    def test_standard_output(self) -> None:
        """By default, print to the standard output that twistd does not replace."""
        output = StringIO()
        self.patch(sys, "__stdout__", output)
        print_report(self.findings, as_json=False)
        self.assertIn("ws://example.test/feed", output.getvalue())

    def test_no_standard_output(self) -> None:
        """Nothing is printed if the standard output is closed."""
        self.patch(sys, "__stdout__", None)
        print_report(self.findings, as_json=False)
        print_report(self.findings, as_json=False, output=ClosedPipe())

    def test_other_encoding(self) -> None:
        """Characters that the terminal's encoding does not have are escaped."""
        self.findings.host = "b\u00fccher.test"
        raw = BytesIO()
        output = TextIOWrapper(raw, encoding="ascii")
        print_report(self.findings, as_json=False, output=output)
        self.assertIn(rb"b\xfccher.test", raw.getvalue())
