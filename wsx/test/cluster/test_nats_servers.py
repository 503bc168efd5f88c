"""Tests of wsx.test.nats_servers, the command that starts servers for development."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol

from wsx.test.support.nats import NatsCase
from wsx.test.support.sockets import global_reactor


class Command(ProcessProtocol):
    """A process that prints some URLs and runs until it gets a signal.

    Args:
        count: The number of URLs.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._output = ""
        self.printed: Deferred[str] = Deferred()
        self.ended: Deferred[int | None] = Deferred()

    def outReceived(self, data: bytes) -> None:
        self._output += data.decode()
        if self._output.endswith("\n") and len(self._output.split()) == self._count:
            self.printed.callback(self._output)

    def processEnded(self, reason: Any) -> None:
        self.ended.callback(reason.value.exitCode)


class CommandTests(NatsCase):
    """``python -m wsx.test.nats_servers``."""

    async def test_three(self) -> None:
        """It prints the URLs of three servers, and ends them with a signal."""
        folder = Path(self.mktemp())
        folder.mkdir()
        command = Command(3)
        process = global_reactor().spawnProcess(
            command,
            sys.executable,
            [sys.executable, "-m", "wsx.test.nats_servers", "--three"],
            env={**os.environ, "TMPDIR": str(folder)},
        )
        urls = (await command.printed).split()
        self.assertEqual(len(urls), 3)
        link = await self.connected(urls, replicas=3, ttl=10.0)
        await link.write("feed", b"one", 0)
        await link.stop()
        process.signalProcess("TERM")
        self.assertEqual(await command.ended, 0)
        self.assertEqual(list(folder.iterdir()), [])
