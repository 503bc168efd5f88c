"""Tests of wsx._compiled: the compiled and the pure form, each in its own process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx import frames
from wsx._wire import buffer, decoder, encoder

FOLDER = str(Path(wsx.__file__).parents[1])
SCRIPT = """
import wsx, wsx.frames, wsx._wire.decoder
from wsx import frames
from wsx._wire import buffer, decoder, encoder
assert frames is wsx.frames and frames.Text is wsx.Text
assert decoder.Decoder().feed(bytes([0x81, 2]) + b"hi").frames == [wsx.Text("hi")]
files = {str(m.__file__) for m in (frames, buffer, encoder, decoder)}
print(wsx.compiled, *sorted({file.rpartition(".")[2] for file in files}))
"""


def run(pure: str | None) -> str:
    """Run the script with this value of ``WSX_PURE`` and return its output."""
    environment = {name: value for name, value in os.environ.items() if name != "WSX_PURE"}
    environment["PYTHONPATH"] = FOLDER
    if pure is not None:
        environment["WSX_PURE"] = pure
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False
    )
    return (ran.stdout + ran.stderr).strip()


class FormTests(SynchronousTestCase):
    """Which form runs, and that all modules use the same form."""

    def test_pure(self) -> None:
        """With ``WSX_PURE=1``, the pure form runs."""
        self.assertEqual(run("1"), "False py")

    def test_as_installed(self) -> None:
        """Without ``WSX_PURE``, or if it is empty or 0, the compiled form runs if installed."""
        expected = run(None)
        self.assertIn(expected, ("True so", "False py"))
        for value in ("", "0"):
            self.assertEqual(run(value), expected)

    def test_compiled(self) -> None:
        """``wsx.compiled`` says which form runs."""
        for module in (frames, buffer, encoder, decoder):
            self.assertEqual(str(module.__file__).endswith(".py"), not wsx.compiled)
