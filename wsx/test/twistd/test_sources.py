"""Tests of wsx._twistd.sources: values from files and environment variables."""

from __future__ import annotations

import os
from pathlib import Path

from wsx._twistd.invalid import InvalidValue
from wsx._twistd.sources import read_lines, read_value
from wsx.test.support import URL
from wsx.test.support.each import each
from wsx.test.support.twistd import OptionsCase, parse

SECRET = "s3cr3t"


class SourceCase(OptionsCase):
    """Base class: a directory, and environment variables of the test."""

    def set_variable(self, name: str, value: str) -> None:
        """Set an environment variable for this test."""
        self.addCleanup(os.environ.pop, name, None)
        os.environ[name] = value

    def message(self, given: str) -> str:
        """Return the message with which a value is refused."""
        return self.assertRaises(InvalidValue, read_value, given).about("--url")


class ReadTests(SourceCase):
    """``read_value`` and ``read_lines``."""

    @each(["ws://h/", "Env: env:X", "env: X", "env:1X", "env:", "A: @b", ""])
    def test_plain(self, given: str) -> None:
        """Any other value is returned as it is, without a source."""
        value = read_value(given)
        self.assertEqual((value.text, value.source), (given, None))

    def test_file(self) -> None:
        """A file with one line is its value; white space around it is removed."""
        for content in (SECRET, f"{SECRET}\n", f"\n  {SECRET} \r\n\n", f"\ufeff{SECRET}\n"):
            Path("file").write_text(content, encoding="utf-8")
            value = read_value("@file")
            self.assertEqual((value.text, value.source), (SECRET, "@file"))
            self.assertNotIn(SECRET, repr(value))

    def test_home(self) -> None:
        """``~`` in a path is the home directory, which the shell does not expand after ``@``."""
        self.patch(os.path, "expanduser", lambda path: path.replace("~", os.getcwd()))
        self.write("file", SECRET)
        self.assertEqual(read_value("@~/file").text, SECRET)

    def test_variable(self) -> None:
        """A variable is its value."""
        self.set_variable("WSX_TEST", f" {SECRET}\n")
        value = read_value("env:WSX_TEST")
        self.assertEqual((value.text, value.source), (SECRET, "env:WSX_TEST"))

    def test_lines(self) -> None:
        """Several lines are several values; blank lines are skipped."""
        self.write("file", "A: 1\n\n \nB: 2\r\n")
        self.assertEqual([value.text for value in read_lines("@file")], ["A: 1", "B: 2"])
        self.set_variable("WSX_TEST", "A: 1\nB: 2")
        self.assertEqual([value.text for value in read_lines("env:WSX_TEST")], ["A: 1", "B: 2"])

    def test_wrong_files(self) -> None:
        """The message about a file names the file and the problem, not the content."""
        self.write("blank", " \n")
        self.write("two", f"{SECRET}\n{SECRET}\n")
        self.write("long", SECRET * 20_000)
        Path("binary").write_bytes(b"\xff")
        for given, part in (
            ("@missing", 'expected a file that can be read, got "@missing": No such file'),
            ("@", 'got "@": No such file'),
            ("@.", 'got "@.": Is a directory'),
            ("@blank", "expected a source that is not empty"),
            ("@two", 'expected a source with one line, got "@two"'),
            ("@long", "expected a file of at most 65536 bytes"),
            ("@binary", "expected a file in UTF-8"),
            ("@/dev/zero", "expected a file of at most 65536 bytes"),
        ):
            message = self.message(given)
            self.assertIn(part, message)
            self.assertNotIn(SECRET, message)

    def test_wrong_variables(self) -> None:
        """A variable that is not set, or empty, is refused."""
        self.assertIn("an environment variable that is set", self.message("env:WSX_NOT_SET"))
        self.set_variable("WSX_TEST", "")
        self.assertIn("a source that is not empty", self.message("env:WSX_TEST"))

    def test_unreadable(self) -> None:
        """A file without permission to read is refused."""

        def refuse(*_: object) -> None:
            raise PermissionError(13, "Permission denied")

        self.patch(os.path, "expanduser", refuse)  # Tests may run as root, who may read any file.
        self.assertIn('got "@file": Permission denied', self.message("@file"))


class CommandLineTests(SourceCase):
    """``--header``, ``--proxy`` and ``--url`` with sources."""

    def test_headers(self) -> None:
        """Headers come from a file, a variable and the command line, in this order."""
        self.write("headers", f"Authorization: Bearer {SECRET}\nX-A: 1\n")
        self.set_variable("WSX_TEST", "X-B: 2")
        headers = ("--header", "@headers", "--header", "env:WSX_TEST", "--header", "X-C: 3")
        conn = parse("--url", URL, *headers)["conn"]
        expected = (("Authorization", f"Bearer {SECRET}"), ("X-A", "1"), ("X-B", "2"))
        self.assertEqual(conn.extra_headers, (*expected, ("X-C", "3")))

    def test_url_and_proxy(self) -> None:
        """A URL and a proxy come from a file or a variable."""
        self.write("url", f"ws://u:{SECRET}@h.test/\n")
        self.set_variable("WSX_TEST", f"http://u:{SECRET}@p.test:1")
        conn = parse("--url", "@url", "--proxy", "env:WSX_TEST")["conn"]
        self.assertEqual(conn.url, f"ws://u:{SECRET}@h.test/")
        self.assertEqual(conn.proxy, f"http://u:{SECRET}@p.test:1")

    def test_refused(self) -> None:
        """One line names the option and the source; it does not show what the source contains."""
        self.write("token", f"{SECRET}\n")
        self.write("header", f"{SECRET} x: {SECRET}\n")
        self.assert_refused(
            [
                (["--url", "@missing"], '--url: expected a file that can be read, got "@missing"'),
                (["--url", "env:WSX_NOT_SET"], "--url: expected an environment variable that is"),
                (["--url", "@token"], '--url: expected a WebSocket URL, got "@token": no scheme'),
                (["--url", URL, "--proxy", "@token"], "--proxy: expected http://[user:password@]"),
                (["--url", URL, "--proxy", ""], "--proxy: expected http://[user:password@]"),
                (["--url", URL, "--header", "@missing"], "--header: expected a file that can be"),
                (["--url", URL, "--header", "env:WSX_NOT_SET"], "--header: expected an environ"),
                (
                    ["--url", URL, "--header", "@token"],
                    '--header: expected lines "Name: value", got "@token"',
                ),
                (
                    ["--url", URL, "--header", "@header"],
                    '--header: expected lines "Name: value", got "@header"',
                ),
            ]
        )
        for arguments in (["--url", "@token"], ["--url", URL, "--header", "@header"]):
            self.assertNotIn(SECRET, self.refusal(*arguments))

    def test_secret_header(self) -> None:
        """``--secret-header`` names more secret headers."""
        options = ("--header", f"X-User: {SECRET}", "--secret-header", "x-user")
        conn = parse("--url", URL, *options)["conn"]
        self.assertEqual(conn.secret_headers, ("x-user",))
        self.assertNotIn(SECRET, repr(conn))
        self.assert_refused(
            [
                (
                    ["--url", URL, "--secret-header", "a b"],
                    "--secret-header: expected the name of a header",
                )
            ]
        )

    def test_help(self) -> None:
        """The help explains the syntax."""
        self.assertIn("@FILE or env:NAME", str(parse("--url", URL)))
