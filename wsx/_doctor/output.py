"""Prints the report of an examination."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import IO

from wsx._doctor.findings import Findings
from wsx._doctor.report import make_report
from wsx._doctor.text import format_report

__all__ = ["print_report"]


def print_report(findings: Findings, *, as_json: bool, output: IO[str] | None = None) -> None:
    """Print a report as text or as JSON.

    Args:
        findings: The findings of an examination that is over.
        as_json: Whether to print JSON, as one object on several lines.
        output: The file. Default: the standard output of the process, which twistd replaces in
            ``sys.stdout`` by its log.
    """
    output = output or sys.__stdout__
    report = make_report(findings)
    text = json.dumps(report, indent=2) + "\n" if as_json else format_report(report)
    if output is not None:
        with contextlib.suppress(BrokenPipeError):  # The reader has closed its end.
            output.write(_encodable(text, output))
            output.flush()


def _encodable(text: str, output: IO[str]) -> str:
    """Return the text with characters escaped that the encoding of a file does not have."""
    encoding = getattr(output, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
