"""Tests of wsx._doctor.service: twistd wsx --doctor."""

from __future__ import annotations

import json
import sys
from io import StringIO
from typing import Any

from wsx import tap
from wsx._doctor.examination import PAYLOAD
from wsx._twistd.runner import exit_with_failure
from wsx.test.support import URL
from wsx.test.support.doctor import PONG
from wsx.test.support.sockets import HOST
from wsx.test.support.twistd import RunCase, TwistdCase, parse
from wsx.test.support.wire import server_frame


class ServiceTests(RunCase):
    """The service in memory."""

    def setUp(self) -> None:
        super().setUp()
        self.printed = StringIO()
        self.patch(sys, "__stdout__", self.printed)

    def run_doctor(self, *arguments: str) -> Any:
        """Start the service with an in-memory server."""
        options = parse("--doctor", "--url", URL, *arguments)
        options["conn"] = options["conn"].replace(endpoint=self.server)
        service = tap.makeService(options)
        service.startService()
        self.reactor.run()
        self.step()
        return service

    def test_passed(self) -> None:
        """Print the report, close the connection, and stop twistd with exit status 0."""
        self.run_doctor()
        self.peer.answer()
        self.peer.send(server_frame(PONG, PAYLOAD))
        self.assertIn("all phases passed", self.printed.getvalue())
        self.assertEqual(self.reactor.stops, 0)
        self.peer.drop()
        self.assertEqual((self.reactor.stops, self.exits), (1, []))

    def test_failed(self) -> None:
        """Stop twistd with exit status 1."""
        self.run_doctor("--json")
        self.peer.send(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual(json.loads(self.printed.getvalue())["problem"]["code"], "forbidden")
        self.assertEqual((self.reactor.stops, self.exits), (1, [exit_with_failure]))

    def test_stopped(self) -> None:
        """If twistd is stopped, print what is known; the exit status is 1."""
        service = self.run_doctor()
        self.peer.answer()
        stopping = service.stopService()
        self.step()
        self.assertIsNone(self.successResultOf(stopping))
        self.assertIn("the examination was interrupted", self.printed.getvalue())
        self.assertEqual((self.reactor.stops, self.exits), (0, [exit_with_failure]))


class ProcessTests(TwistdCase):
    """The real process."""

    async def test_refused_port(self) -> None:
        """Only the report is on standard output; the exit status is 1."""
        url = f"ws://{HOST}:{self.unused_port()}/"
        process = self.twistd("--doctor", "--json", "--url", url)
        self.assertEqual(await process.ended(), 1)
        self.assertEqual(json.loads(process.output)["problem"]["code"], "connection_refused")

    async def test_passed(self) -> None:
        """The exit status is 0 if all phases have passed."""
        process = self.twistd("--doctor", "--url", self.serve().url())
        self.assertEqual(await process.ended(), 0)
        self.assertIn("result:      all phases passed", process.output)
