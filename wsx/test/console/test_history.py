"""Tests of wsx._console.history: the file with typed lines."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from wsx.test.support.each import each
from wsx.test.support.extras import missing

SKIP = missing("prompt_toolkit")
if SKIP is None:
    from wsx._console import history
    from wsx._console.history import history_path, is_secret, open_history


class HistoryCase(SynchronousTestCase):
    """Base class of the tests, each with its own file."""

    skip = SKIP

    def setUp(self) -> None:
        self.path = Path(self.mktemp()) / "state" / "wsx" / "history"

    def lines(self) -> list[str]:
        """Return the stored lines, the latest first."""
        return list(open_history(self.path).load_history_strings())


class FileTests(HistoryCase):
    """The file."""

    def test_lines(self) -> None:
        """Lines are stored, the latest first; several lines of one message stay together."""
        history = open_history(self.path)
        for line in ("one", "two\nlines", "z\xf6lf"):
            history.append_string(line)
        self.assertEqual(self.lines(), ["z\xf6lf", "two\nlines", "one"])

    def test_mode(self) -> None:
        """Only the owner can read the file and its folder."""
        self.addCleanup(os.umask, os.umask(0))
        open_history(self.path).append_string("one")
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(self.path.parent.stat().st_mode), 0o700)

    def test_mode_is_corrected(self) -> None:
        """A file that others can read is made private."""
        self.path.parent.mkdir(parents=True)
        self.path.touch()
        self.path.chmod(0o644)
        open_history(self.path)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)

    def test_long_file(self) -> None:
        """Of a file that is too long, the last half is kept, with whole entries."""
        history = open_history(self.path)
        with open(self.path, "w") as file:
            file.writelines(f"\n# 2026-11-27\n+line {number:080}\n" for number in range(12_000))
        size = self.path.stat().st_size
        history = open_history(self.path)
        self.assertLess(self.path.stat().st_size, size / 2)
        lines = list(history.load_history_strings())
        self.assertEqual(lines[0], f"line {11_999:080}")
        self.assertEqual({len(line) for line in lines}, {85})

    def test_not_stored(self) -> None:
        """Without a path, lines stay in memory."""
        history = open_history(None)
        history.append_string("one")
        self.assertFalse(self.path.exists())

    def test_cannot_be_opened(self) -> None:
        """A folder in place of the file is an error."""
        self.path.mkdir(parents=True)
        self.assertRaises(OSError, open_history, self.path)

    def test_full_disk(self) -> None:
        """A line that cannot be stored stays in memory."""
        history = open_history(self.path)
        self.path.unlink()
        self.path.mkdir()
        history.append_string("one")
        self.assertEqual(history.get_strings(), ["one"])


class SecretTests(HistoryCase):
    """Lines that are not stored."""

    @each(
        [
            '{"password": "hunter2"}',
            "token=abc",
            '{"op": "login", "apiKey": "x"}',
            "Authorization: Bearer x",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
            "2password : x",
            "--my-token=x",
        ]
    )
    def test_secrets(self, line: str) -> None:
        """A line with a password or token is not stored, but can be edited in this session."""
        history = open_history(self.path)
        history.append_string(line)
        self.assertTrue(is_secret(line))
        self.assertEqual(self.lines(), [])
        self.assertEqual(history.get_strings(), [line])

    @each(["hello", '{"op": "subscribe", "channel": "trades"}', "/close 1000 bye", "a key", ""])
    def test_others(self, line: str) -> None:
        """Other lines are stored."""
        self.assertFalse(is_secret(line))


class LongLineTests(HistoryCase):
    """Lines of any length are examined in linear time."""

    def test_repeated(self) -> None:
        """A name is searched once for each word, not once for each letter."""
        matches = history._NAME.finditer("z" * 200_000 + " token=x")
        self.assertEqual([match[1] for match in matches], ["token"])
        # A quadratic search needs minutes for this line.
        self.assertFalse(is_secret("z" * 2_000_000))


class PathTests(HistoryCase):
    """The path of the file."""

    def test_state_directory(self) -> None:
        """The file is in the state directory of the XDG specification."""
        self.patch(os, "environ", {"XDG_STATE_HOME": "/state", "HOME": "/home/me"})
        self.assertEqual(history_path(), Path("/state/wsx/history"))

    @each(["", "relative"])
    def test_default(self, value: str) -> None:
        """A relative path is ignored, as the specification says."""
        self.patch(os, "environ", {"XDG_STATE_HOME": value, "HOME": "/home/me"})
        self.assertEqual(history_path(), Path("/home/me/.local/state/wsx/history"))
