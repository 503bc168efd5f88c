"""Tests of wsx._console.console: the handler of the console in real processes."""

from __future__ import annotations

import os
from typing import Any

from wsx.test.support.twistd import Twistd, TwistdCase


class ProcessTests(TwistdCase):
    """The console in a real process, between real pipes."""

    def type(self, process: Twistd, data: bytes, end: bool = True) -> None:
        """Writes into its standard input, and ends that."""
        transport: Any = process.transport
        transport.write(data)
        if end:
            transport.closeStdin()

    async def assert_echoes(self, process: Twistd, output: str) -> None:
        """It ends with status 0, and wrote this; its log is on standard error."""
        self.assertEqual(await process.ended(), 0, process.errors)
        self.assertEqual(process.output, output)
        self.assertIn("Main loop terminated", process.errors)

    async def test_pipes(self) -> None:
        """[Y5] Lines are echoed, with or without a last newline; an empty input is; status 0.

        Trace lines go where the log goes: standard output has the messages only.
        """
        server = self.serve()
        echoes = {b"one\ntwo\n": "one\ntwo\n", b"one\nzw\xc3\xb6lf": "one\nzw\xf6lf\n", b"": ""}
        processes = {
            data: self.twistd("--url", server.url(), "--debug", "trace") for data in echoes
        }
        for data, process in processes.items():
            self.type(process, data)
        for data, process in processes.items():
            await self.assert_echoes(process, echoes[data])
            self.assertEqual(await server.closes.get(), 1000)
            self.assertRegex(process.errors, r"\*DBG\* <wsx.Client Console .*> sending close frame")

    async def test_files(self) -> None:
        """Input may be a file, also an empty one, and output too."""
        server = self.serve()
        (self.directory / "lines").write_bytes(b"one\ntwo\n" * 200)
        processes = []
        for path in (self.directory / "lines", os.devnull):
            with open(path, "rb") as file:
                processes.append(self.twistd("--url", server.url(), stdin=file.fileno()))
        with (
            open(self.directory / "lines", "rb") as source,
            open(self.directory / "out", "wb") as out,
        ):
            to_file = self.twistd("--url", server.url(), stdin=source.fileno(), stdout=out.fileno())
        await self.assert_echoes(processes[0], "one\ntwo\n" * 200)
        await self.assert_echoes(processes[1], "")
        await self.assert_echoes(to_file, "")
        self.assertEqual((self.directory / "out").read_bytes(), b"one\ntwo\n" * 200)

    async def test_closed_output(self) -> None:
        """A reader that goes away, as ``head`` does, ends it with status 0."""
        server = self.serve()
        process = self.twistd("--url", server.url())
        self.type(process, b"one\n", end=False)
        await process.says("one\n")
        transport: Any = process.transport
        transport.closeChildFD(1)
        self.assertEqual(await process.ended(), 0, process.errors)
        self.assertEqual(await server.closes.get(), 1000)

    async def test_sigterm(self) -> None:
        """[V4] SIGTERM ends the console with close code 1001 and status 0."""
        server = self.serve()
        process = self.twistd("--url", server.url())
        self.type(process, b"one\n", end=False)
        await process.says("one\n")
        process.transport.signalProcess("TERM")
        await self.assert_echoes(process, "one\n")
        self.assertEqual(await server.closes.get(), 1001)

    async def test_restarted(self) -> None:
        """A console whose client ended and was restarted goes on: lines are sent, and it ends."""
        server = self.serve()
        process = self.twistd(
            "--url", server.url(), "--no-reconnect", "--restart", "transient", "--debug", "trace"
        )
        self.type(process, b"drop\n", end=False)
        await process.says("successfully connected", times=2)
        self.type(process, b"two\n")
        self.assertEqual(await process.ended(), 1, process.errors)
        self.assertEqual(process.output, "two\n")
        self.assertIn("a connection was lost before the end of the input", process.errors)

    test_restarted.timeout = 20  # type: ignore[attr-defined]

    async def test_exit_status(self) -> None:
        """The exit status tells a normal close by the server from any other end."""
        expected = {b"close 1000 bye\n": 0, b"close 4001 bye\n": 1, b"drop\n": 1}
        # One server each, because "drop" drops all connections of a server.
        processes = {data: self.twistd("--url", self.serve().url()) for data in expected}
        for data, process in processes.items():
            self.type(process, b"one\n", end=False)
            await process.says("one\n")  # A reset discards what the client has not read.
            self.type(process, data)
        for data, process in processes.items():
            self.assertEqual(await process.ended(), expected[data], process.errors)
            self.assertEqual(process.output, "one\n")
            self.assertIn(f"twistd stops with exit status {expected[data]}\n", process.errors)

    async def test_exit_status_after_a_reconnect(self) -> None:
        """A connection that was dropped before the end of the input is exit status 1 too."""
        server = self.serve()
        process = self.twistd("--url", server.url(), "--debug", "trace")
        self.type(process, b"drop\n", end=False)
        await process.says("successfully reconnected")
        self.type(process, b"two\n")
        self.assertEqual(await process.ended(), 1, process.errors)
        self.assertEqual(process.output, "two\n")

    async def test_no_reconnect(self) -> None:
        """With --no-reconnect the exit statuses are the same."""
        server = self.serve()
        for data, status in ((b"close 1000 bye\n", 0), (b"close 4001 bye\n", 1), (b"drop\n", 1)):
            process = self.twistd("--url", server.url(), "--no-reconnect")
            self.type(process, data)
            self.assertEqual(await process.ended(), status, process.errors)
