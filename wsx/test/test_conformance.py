"""Tests of the driver for the Autobahn|Testsuite, without the suite."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from wsx.test.conformance.results import failures, read_results, table
from wsx.test.conformance.server import FuzzingServer, free_port, is_listening


def result(behavior: str, close: str = "OK") -> dict[str, str]:
    """Return the result of a case as the suite writes it."""
    return {"behavior": behavior, "behaviorClose": close}


class ResultsTests(SynchronousTestCase):
    """The report of the suite."""

    def test_table(self) -> None:
        """The table has a row for each group, in order, and one for their sum."""
        results = {
            "10.1.1": result("OK"),
            "7.1.6": result("INFORMATIONAL"),
            "7.1.5": result("OK"),
            "7.1.4": result("FAILED"),
        }
        self.assertEqual(
            table(results).splitlines()[2:],
            [
                "| 7 closing handshake | 3 | 1 | 1 | 1 |",
                "| 10 miscellaneous | 1 | 1 | 0 | 0 |",
                "| all | 4 | 2 | 1 | 1 |",
            ],
        )

    def test_failures(self) -> None:
        """Every behaviour fails except OK and INFORMATIONAL, and so does a wrong close."""
        for bad in ("FAILED", "NON-STRICT", "UNIMPLEMENTED", "WRONG CODE", "UNCLEAN"):
            found = failures({"1.1.1": result("OK"), "2.1": result(bad), "3.1": result("OK", bad)})
            self.assertEqual(
                found,
                [
                    f"case 2.1 failed: behavior {bad}, close OK",
                    f"case 3.1 failed: behavior OK, close {bad}",
                ],
            )

    def test_no_failure(self) -> None:
        """OK and INFORMATIONAL are no failures."""
        results = {"1.1.1": result("OK"), "7.1.6": result("INFORMATIONAL", "INFORMATIONAL")}
        self.assertEqual(failures(results), [])

    def test_read(self) -> None:
        """The results of one agent are read."""
        path = Path(self.mktemp())
        path.write_text(json.dumps({"wsx": {"1.1.1": result("OK")}, "other": {}}))
        self.assertEqual(read_results(path, "wsx"), {"1.1.1": result("OK")})


class ServerTests(SynchronousTestCase):
    """The process of the fuzzing server."""

    def test_does_not_start(self) -> None:
        """A command that ends at once is an error, which shows what the command printed."""
        folder = Path(self.mktemp())
        folder.mkdir()
        command = f"{sys.executable} -c 'print(\"no such suite\")'"
        with self.assertRaises(RuntimeError) as caught:
            FuzzingServer(command, ["*"], folder).__enter__()
        self.assertIn("no such suite", str(caught.exception))

    def test_specification(self) -> None:
        """The suite's configuration names the port, the folder and the cases."""
        server = FuzzingServer("wstest", ["1.*", "7.*"], Path("out"))
        specification = server.specification()
        self.assertEqual(specification["url"], f"ws://127.0.0.1:{server.port}")
        self.assertEqual(specification["outdir"], str(Path("out").resolve()))
        self.assertEqual(specification["cases"], ["1.*", "7.*"])

    def test_is_listening(self) -> None:
        """A port is in use while a socket listens on it."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.assertTrue(is_listening(listening.getsockname()[1]))
        self.assertFalse(is_listening(free_port()))
