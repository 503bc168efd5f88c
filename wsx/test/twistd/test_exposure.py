"""Tests of wsx._twistd.exposure: secrets in configuration files that others can read."""

from __future__ import annotations

import os
from typing import Any

from twisted.logger import LogLevel
from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx._twistd.exposure import exposed_mode, has_secret
from wsx.test.support.each import each
from wsx.test.support.twistd_runner import ConfigRunCase

SECRET = "s3cr3t"
WITH_SECRET = {"extra_headers": f'{{ X-Token = "{SECRET}" }}'}


class SecretTests(SynchronousTestCase):
    """``has_secret`` recognises passwords and tokens."""

    @each(
        [
            ("password", "ws://u:p@h/", {}),
            ("token as user", "ws://4bf92f3577b34da6a3ce929d0e0e4736@h/", {}),
            ("query", "ws://h/?a=1&access_token=x", {}),
            ("proxy", "ws://h/", {"proxy": "http://u:p@p:1"}),
            ("header", "ws://h/", {"extra_headers": {"Cookie": "a"}}),
            ("more", "ws://h/", {"extra_headers": {"X-U": "a"}, "secret_headers": ["x-u"]}),
            ("subprotocol", "ws://h/", {"subprotocols": ["auth-abc"]}),
        ]
    )
    def test_secret(self, label: str, url: str, options: dict[str, Any]) -> None:
        """Each kind of secret is recognised."""
        self.assertIs(has_secret(wsx.Conn(url, **options)), True)

    def test_no_secret(self) -> None:
        """Other options are not secrets."""
        options: dict[str, Any] = {"proxy": "http://u@p:1", "extra_headers": {"X-A": "b"}}
        conn = wsx.Conn("ws://u@h/?symbol=btc", subprotocols=["chat"], **options)
        self.assertIs(has_secret(conn), False)


class ModeTests(SynchronousTestCase):
    """``exposed_mode`` reads the permissions of a file."""

    @each([(0o600, None), (0o400, None), (0o644, 0o644), (0o640, 0o640), (0o604, 0o604)])
    def test_mode(self, mode: int, exposed: int | None) -> None:
        """The mode is returned if the group or others can read the file."""
        path = self.mktemp()
        with open(path, "w"):
            os.chmod(path, mode)
        self.assertEqual(exposed_mode(path), exposed)

    def test_missing(self) -> None:
        """A file that does not exist is not readable."""
        self.assertIsNone(exposed_mode(self.mktemp()))


class WarningTests(ConfigRunCase):
    """The warning of ``twistd wsx --config``."""

    def warnings(self) -> list[str]:
        """Return the warnings about the mode since the last call."""
        return [line for line in self.lines(LogLevel.warn) if "mode" in line]

    def write_mode(self, mode: int, **clients: dict[str, str]) -> None:
        """Write the file with permissions."""
        self.write(**clients)
        self.path.chmod(mode)

    def run_mode(self, mode: int, **clients: dict[str, str]) -> None:
        """Start the service with a file that has these permissions."""
        self.write_mode(mode, **clients)
        self.patch(type(self), "write", lambda *_, **__: None)  # The file is there already.
        self.run_config(**clients)

    def test_readable(self) -> None:
        """A file with a secret that others can read is one warning with its name and mode."""
        self.run_mode(0o644, a=WITH_SECRET, b=WITH_SECRET)
        [line] = self.warnings()
        self.assertIn(str(self.path), line)
        self.assertIn("mode 0644", line)
        self.assertNotIn(SECRET, line)
        self.hang_up()
        self.step()
        self.assertEqual(self.warnings(), [])

    def test_private(self) -> None:
        """A file with mode 0600 is no warning, until a reload finds another mode."""
        self.run_mode(0o600, a=WITH_SECRET)
        self.assertEqual(self.warnings(), [])
        self.path.chmod(0o640)
        self.hang_up()
        self.step()
        [line] = self.warnings()
        self.assertIn("mode 0640", line)

    def test_no_secret(self) -> None:
        """A file without a secret may be readable."""
        self.run_mode(0o644, a={})
        self.assertEqual(self.warnings(), [])
