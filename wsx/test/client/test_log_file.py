"""Tests of the log file: lines are appended without making the reactor wait for the disk."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorThreads
from twisted.internet.task import Clock, deferLater
from twisted.internet.utils import getProcessOutputAndValue
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

import wsx
from wsx._client.log_file import LogFile, check_path
from wsx._text import shorten
from wsx.test.support import LoopbackCase, MemoryCase, MemoryServer, Recorder, case, text
from wsx.test.support.sockets import global_reactor

FULL = "/dev/full"
NAME = "wsx.test.client.test_log_file"

# A program with a slow disk that stops when its client ends, like the twistd plugin.
PROGRAM = """
import io, sys, time
from twisted.internet import reactor
import wsx
from wsx._client import log_file
from wsx.test.support import MemoryServer, Recorder

class Slow(io.TextIOWrapper):
    def flush(self):
        time.sleep(0.05)
        super().flush()

def open_slow(path, mode, *, opener, **options):
    return Slow(open(path, "ab", opener=opener), **options)

log_file.open = open_slow
server = MemoryServer(reactor)

def begin():
    debug = [("log_to_file", sys.argv[1])]
    started = wsx.start("ws://example.test/", Recorder(), endpoint=server, debug=debug)
    server.peer.answer()
    started.addCallback(opened)

def opened(client):
    client.terminated().addCallback(lambda reason: reactor.stop())
    client.abort()

reactor.callWhenRunning(begin)
reactor.run()
"""


class Pool:
    """A thread pool whose jobs run when the test calls ``work``: a slow disk."""

    def __init__(self) -> None:
        self.jobs: deque[tuple[Callable[..., object], Callable[[], object]]] = deque()

    def callInThreadWithCallback(
        self, on_result: Callable[..., object], function: Callable[..., object], *args: Any
    ) -> None:
        self.jobs.append((on_result, lambda: function(*args)))

    def work(self) -> None:
        """Run the next job; its result reaches the reactor in the next iteration."""
        on_result, job = self.jobs.popleft()
        try:
            result = job()
        except Exception:
            on_result(False, Failure())
        else:
            on_result(True, result)


@implementer(IReactorThreads)
class ThreadedClock(Clock):
    """A clock with threads."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = Pool()

    def getThreadPool(self) -> Any:
        return self.pool

    def callFromThread(self, callable: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        self.callLater(0, callable, *args, **kwargs)

    def callInThread(self, callable: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError

    def suggestThreadPoolSize(self, size: int) -> None:
        raise NotImplementedError


def open_files() -> list[str]:
    """Return the files that this process has open."""
    return [os.path.realpath(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")]


class LogFileCase(SynchronousTestCase):
    """Tests of a LogFile without a client."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.errors: list[BaseException] = []

    def assert_closed(self) -> None:
        """Check that this process does not have the file open."""
        self.assertNotIn(os.path.realpath(self.path), open_files())


class ClockTests(LogFileCase):
    """[Y5] without threads, lines are written at once."""

    def file(self, path: Any = None) -> LogFile:
        return LogFile(path or self.path, Clock(), self.errors.append)

    def test_mode(self) -> None:
        """A new file is for its owner only, under any umask; an existing one keeps its mode."""
        self.addCleanup(os.umask, os.umask(0))
        new, old = Path(self.mktemp()), Path(self.mktemp())
        old.touch()
        old.chmod(0o644)
        for path in (new, old):
            check_path(path)
            LogFile(path, Clock(), lambda _: None).close()
        self.assertEqual([path.stat().st_mode & 0o777 for path in (new, old)], [0o600, 0o644])

    def test_lines(self) -> None:
        """[Y5] each line is in the file when ``write`` returns."""
        file = self.file()
        self.addCleanup(file.close)
        for n in range(3):
            file.write(f"line {n}")
            self.assertEqual(self.path.read_text().splitlines()[-1], f"line {n}")

    def test_append(self) -> None:
        """[Y5] lines are appended to an existing file."""
        self.path.write_text("before\n")
        file = self.file()
        file.write("after")
        file.close()
        self.assertEqual(self.path.read_text(), "before\nafter\n")

    def test_characters(self) -> None:
        """[Y5] the file is UTF-8; characters that cannot be encoded are escaped."""
        file = self.file()
        file.write("gr\u00fc\u00dfe \U0001f600 \ud800")
        file.close()
        self.assertEqual(self.path.read_text("utf-8"), "gr\u00fc\u00dfe \U0001f600 \\ud800\n")
        self.assertEqual(self.errors, [])

    def test_close(self) -> None:
        """[Y5] a closed file accepts no lines, and may be closed again."""
        file = self.file()
        file.write("one")
        file.close()
        self.assert_closed()
        file.write("two")
        file.close()
        self.assertEqual(self.path.read_text(), "one\n")
        self.assertEqual(self.errors, [])

    def test_failing(self) -> None:
        """[Y5] a write that fails is reported once, and nothing is written after it."""
        file = self.file(FULL)
        for _ in range(3):
            file.write("x")
        file.close()
        self.assertEqual([type(error) for error in self.errors], [OSError])
        self.assertTrue(file.broken)
        self.assertNotIn(FULL, open_files())

    def test_cannot_be_opened(self) -> None:
        """[Y5] a file that cannot be opened is an OSError, and no file stays open."""
        self.path.mkdir()
        a_file = self.path / "file"
        a_file.touch()
        fifo = self.path / "fifo"
        os.mkfifo(fifo)
        before = len(open_files())
        ways = {
            "a directory": self.path,
            "no directory": self.path / "missing" / "file",
            "a file as directory": a_file / "file",
            "a name too long": self.path / ("x" * 300),
            "an empty path": "",
            "a pipe without a reader": fifo,
        }
        for way, path in ways.items():
            with case(way):
                self.assertRaises(OSError, LogFile, path, Clock(), self.errors.append)
        self.assertEqual(len(open_files()), before)
        self.assertEqual(self.errors, [])

    def test_pipe(self) -> None:
        """[Y5] lines can be written to a pipe with a reader."""
        os.mkfifo(self.path)
        reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        file = self.file()
        file.write("line")
        file.close()
        self.assertEqual(os.read(reader, 100), b"line\n")


class ThreadTests(LogFileCase):
    """[Y5] with threads, batches are written in a thread, one after another."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = ThreadedClock()
        self.pool = self.clock.pool

    def file(self, path: Any = None) -> LogFile:
        return LogFile(path or self.path, self.clock, self.errors.append)

    def work(self) -> None:
        """Run all jobs of the disk."""
        while self.pool.jobs:
            self.pool.work()
            self.clock.advance(0)

    def test_not_in_the_callers_step(self) -> None:
        """[Y5] ``write`` and ``close`` do not access the disk; a thread does."""
        file = self.file()
        file.write("one")
        file.close()
        self.assertEqual(self.path.read_text(), "")
        self.work()
        self.assertEqual(self.path.read_text(), "one\n")

    def test_one_at_a_time(self) -> None:
        """[Y5] a file has at most one writer thread."""
        file = self.file()
        for n in range(100):
            file.write(str(n))
            self.assertEqual(len(self.pool.jobs), 1)
        file.close()
        self.assertEqual(len(self.pool.jobs), 1)
        self.work()

    def test_batches(self) -> None:
        """[Y5] lines that arrive while the disk is busy or idle are written in order."""
        file = self.file()
        for first in range(0, 1000, 100):
            for n in range(first, first + 100):
                file.write(str(n))
            self.work()
            expected = [str(n) for n in range(first + 100)]
            self.assertEqual(self.path.read_text().split(), expected)
        file.close()
        self.work()

    def test_close_while_writing(self) -> None:
        """[Y5] lines before ``close`` are written, then the file is closed."""
        file = self.file()
        for line in ("one", "two"):
            file.write(line)
        file.close()
        file.write("too late")
        file.close()
        self.work()
        self.assertEqual(self.path.read_text(), "one\ntwo\n")
        self.assert_closed()

    def test_close_while_writing_the_last(self) -> None:
        """[Y5] ``close`` while the last batch is being written closes the file after it."""
        file = self.file()
        file.write("one")
        file.close()
        self.work()
        self.assert_closed()

    def test_close_idle(self) -> None:
        """[Y5] a file without waiting lines is closed as well."""
        for lines in ((), ("one",)):
            file = self.file()
            for line in lines:
                file.write(line)
            self.work()
            file.close()
            self.work()
            self.assert_closed()

    def test_failing(self) -> None:
        """[Y5] a write that fails is reported once, in the reactor's thread."""
        file = self.file(FULL)
        file.write("one")
        file.write("two")
        self.pool.work()
        self.assertEqual(self.errors, [])
        self.clock.advance(0)
        self.assertEqual([type(error) for error in self.errors], [OSError])
        self.assertTrue(file.broken)
        file.write("three")
        file.close()
        self.assertFalse(self.pool.jobs)
        self.assertEqual(len(self.errors), 1)
        self.assertNotIn(FULL, open_files())

    def test_failing_after_close(self) -> None:
        """[Y5] a failure of the last batch is reported."""
        file = self.file(FULL)
        file.write("one")
        file.close()
        self.work()
        self.assertEqual(len(self.errors), 1)

    def test_too_many_waiting_lines(self) -> None:
        """[Y5] too many waiting lines are a failure that is reported once."""
        file = self.file()
        for _ in range(300_000):
            file.write("x")
        self.assertEqual(len(self.errors), 1)
        self.assertTrue(file.broken)
        self.work()
        self.assertLess(len(self.path.read_text()), 1000)
        self.assert_closed()

    def test_too_many_waiting_lines_then_failure(self) -> None:
        """[Y5] a later failure of the same file is not reported again."""

        class Disk(StringIO):
            def write(self, lines: str) -> int:
                for _ in range(150_000):
                    file.write("meanwhile")
                raise OSError("on purpose")

        disk = Disk()
        with mock.patch("wsx._client.log_file.open", return_value=disk, create=True):
            file = self.file()
        file.write("x")
        self.work()
        self.assertEqual([type(error) for error in self.errors], [TimeoutError])
        self.assertTrue(disk.closed)


class ClientTests(MemoryCase):
    """[Y5] a client that logs to a slow disk."""

    def setUp(self) -> None:
        super().setUp()
        self.clock: ThreadedClock = ThreadedClock()
        self.server = MemoryServer(self.clock)
        self.handler = Recorder()
        self.client = self.open(self.handler)

    def work(self) -> None:
        """Run all jobs of the disk."""
        while self.clock.pool.jobs:
            self.clock.pool.work()
            self.step()

    def end(self) -> None:
        """End the client."""
        self.client.abort()
        self.step()
        self.assertEqual(self.client.status, "terminated")

    def errors(self, events: Any) -> list[Any]:
        """Return the events that are errors."""
        return [event for event in events if event["log_level"] >= LogLevel.error]

    def test_disk_that_does_not_respond(self) -> None:
        """[Y5] with a disk that does not respond, frames, casts and the end are not delayed."""
        path = Path(self.mktemp())
        self.client.sys.log_to_file(path)
        self.peer.send(text("1"))
        self.client.cast("2")
        self.step()
        self.assertEqual(self.handler.names[1:], ["handle_frame", "handle_cast"])
        self.end()
        self.assertEqual(path.read_text(), "")
        self.work()

    def test_last_line(self) -> None:
        """[Y5] all lines are written, even if the disk is slower than the client's end."""
        path = Path(self.mktemp())
        self.client.sys.log_to_file(path)
        for n in range(100):
            self.client.cast(n)
        self.end()
        self.work()
        lines = path.read_text().splitlines()
        for n in range(100):
            self.assertTrue(lines[n].endswith(f"received cast: {n}"), lines[n])
        self.assertIn("terminating: ", lines[-1])
        self.assertNotIn(os.path.realpath(path), open_files())

    def test_replaced(self) -> None:
        """[Y5] after a change of the file, each file holds the lines of its own time."""
        one, two = Path(self.mktemp()), Path(self.mktemp())
        self.client.sys.log_to_file(one)
        self.client.cast(1)
        self.client.cast(2)
        self.client.sys.log_to_file(two)
        self.client.cast(3)
        self.work()
        self.assertEqual([line[-1] for line in one.read_text().splitlines()], ["1", "2"])
        self.assertEqual([line[-1] for line in two.read_text().splitlines()], ["3"])
        self.assertNotIn(os.path.realpath(one), open_files())
        self.client.sys.log_to_file(False)
        self.work()
        self.assertNotIn(os.path.realpath(two), open_files())

    def test_replaced_one_fails(self) -> None:
        """[Y5] a late failure of the old file does not stop the new one."""
        path = Path(self.mktemp())
        self.client.sys.log_to_file(FULL)
        self.client.cast(1)
        self.client.sys.log_to_file(path)
        with capturedLogs() as events:
            self.work()
        self.assertEqual(len(self.errors(events)), 1)
        self.client.cast(2)
        self.work()
        self.assertEqual(len(path.read_text().splitlines()), 1)
        self.client.sys.log_to_file(False)
        self.work()

    def test_replacement_that_cannot_be_opened(self) -> None:
        """[Y5] if the new file cannot be opened, the old one stays in use."""
        path = Path(self.mktemp())
        self.client.sys.log_to_file(path)
        self.assertRaises(OSError, self.client.sys.log_to_file, path / "missing")
        self.client.cast(1)
        self.client.sys.log_to_file(False)
        self.work()
        self.assertEqual(len(path.read_text().splitlines()), 1)

    def test_full(self) -> None:
        """[Y5] a full disk writes one log line and stops the file; the client is not affected."""
        self.client.sys.log_to_file(FULL)
        with capturedLogs() as events:
            for n in range(10):
                self.peer.send(text(str(n)))
                self.work()
            self.step()
        self.assertEqual(len(self.errors(events)), 1, events)
        self.assertIn("No space left", str(events))
        frames = self.handler.arguments("handle_frame")
        self.assertEqual(frames, [wsx.Text(str(n)) for n in range(10)])
        self.assertFalse(self.client._life.tracing.active)

    def test_after_a_full_one(self) -> None:
        """[Y5] after a failure another file can be used."""
        self.client.sys.log_to_file(FULL)
        self.client.cast(1)
        with capturedLogs():
            self.work()
        path = Path(self.mktemp())
        self.client.sys.log_to_file(path)
        self.client.cast(2)
        self.client.sys.log_to_file(False)
        self.work()
        self.assertEqual(len(path.read_text().splitlines()), 1)

    def test_other_options(self) -> None:
        """[Y5] a file that fails does not stop the event log and statistics."""
        self.client.sys.log(True)
        self.client.sys.statistics(True)
        self.client.sys.log_to_file(FULL)
        self.client.cast(1)
        with capturedLogs():
            self.work()
        self.client.cast(2)
        self.assertEqual(len(self.client.sys.log("get") or ()), 2)
        self.assertEqual(self.client.sys.statistics("get"), {"received cast": 2})

    def test_full_at_the_end(self) -> None:
        """[Y5] a failure after the client's end writes one log line."""
        self.client.sys.log_to_file(FULL)
        self.end()
        with capturedLogs() as events:
            self.work()
        self.assertEqual(len(self.errors(events)), 1)

    def test_option_that_cannot_be_opened(self) -> None:
        """[Y5] if the file of the option cannot be opened, the client starts after one log line."""
        directory = Path(self.mktemp())
        directory.mkdir()
        options = [("log_to_file", str(directory)), "statistics"]
        with capturedLogs() as events:
            client = self.open(Recorder(), name=NAME, debug=options)
        [line] = [formatEvent(event) for event in self.errors(events)]
        self.assertTrue(line.startswith(f"{NAME}: log_to_file: cannot open "), line)
        self.assertIn(shorten(str(directory)), line)
        self.assertIn("IsADirectoryError", line)
        self.assertEqual(client.status, "open")
        self.assertIs(wsx.whereis(NAME), client)
        self.assertEqual((client.sys.statistics("get") or {})["successfully connected"], 1)
        client.abort()
        self.step()


class ReactorTests(LoopbackCase):
    """[Y5] a client on the real reactor with its threads; the server is in memory."""

    def setUp(self) -> None:
        self.reactor = global_reactor()
        self.server = MemoryServer(self.reactor)
        self.handler = Recorder()

    async def open(self, **options: Any) -> wsx.Client[Any]:
        """Open a client that is ended after the test."""
        started = wsx.start(
            "ws://example.test/",
            self.handler,
            endpoint=self.server,
            ping_interval=None,
            reactor=self.reactor,
            **options,
        )
        self.server.peer.answer()
        client = await started
        self.addCleanup(self.end, client)
        return client

    def end(self, client: wsx.Client[Any]) -> Deferred[Any]:
        """End a client at once."""
        client.abort()
        return client.terminated()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until a condition holds, at most until the test's timeout."""
        while not condition():
            await deferLater(self.reactor, 0.001)

    async def test_lines(self) -> None:
        """[Y5] very many lines are written in order, including the last one."""
        count = 20_000
        path = Path(self.mktemp())
        client = await self.open(debug=[("log_to_file", path)], mailbox_limit=count)
        for n in range(count):
            client.cast(n)
            if n % 1000 == 0:
                await deferLater(self.reactor, 0)
        await self.end(client)
        await self.until(lambda: os.path.realpath(path) not in open_files())
        lines = path.read_text().splitlines()
        casts = [line.rpartition(": ")[2] for line in lines if "received cast" in line]
        self.assertEqual(len(casts), count)
        self.assertEqual(casts, [str(n) for n in range(count)])
        self.assertIn("terminating: ", lines[-1])

    async def test_full(self) -> None:
        """[Y5] a full disk writes one log line, and no frame is lost."""
        with capturedLogs() as events:
            client = await self.open(debug=[("log_to_file", FULL)])
            for n in range(100):
                self.server.peer.send(text(str(n)))
            await self.until(lambda: not client._life.tracing.active)
            for n in range(100, 200):
                self.server.peer.send(text(str(n)))
        errors = [event for event in events if event["log_level"] >= LogLevel.error]
        self.assertEqual(len(errors), 1, errors)
        frames = self.handler.arguments("handle_frame")
        self.assertEqual(frames, [wsx.Text(str(n)) for n in range(200)])

    async def test_full_pipe(self) -> None:
        """[Y5] a full pipe blocks a thread, but not the reactor."""
        path = self.mktemp()
        os.mkfifo(path)
        readers = [os.open(path, os.O_RDONLY | os.O_NONBLOCK)]

        def close_readers() -> None:
            for reader in readers:
                os.close(reader)

        self.addCleanup(close_readers)
        client = await self.open()
        client.sys.log_to_file(path)
        message = "x" * 150
        with capturedLogs() as events:
            for _ in range(2000):  # About 400 kB; a pipe holds 64 KiB.
                self.server.peer.send(text(message))
                await deferLater(self.reactor, 0)
            self.assertEqual(len(self.handler.arguments("handle_frame")), 2000)
            self.assertTrue(client._life.tracing.active)
            os.close(readers.pop())
            await self.until(lambda: not client._life.tracing.active)
        errors = [event for event in events if event["log_level"] >= LogLevel.error]
        self.assertEqual(len(errors), 1, errors)
        self.assertEqual(client.status, "open")

    async def test_pipe_without_a_reader(self) -> None:
        """[Y5] a pipe without a reader is an OSError at once."""
        path = self.mktemp()
        os.mkfifo(path)
        client = await self.open()
        self.assertRaises(OSError, client.sys.log_to_file, path)

    async def test_end_of_the_process(self) -> None:
        """[Y5] the file is complete if the process stops when its client ends."""
        path = Path(self.mktemp())
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        arguments = ["-c", PROGRAM, str(path)]
        output, errors, status = await getProcessOutputAndValue(
            sys.executable, arguments, env=environment
        )
        self.assertEqual((output, errors, status), (b"", b"", 0))
        lines = path.read_text().splitlines()
        self.assertIn("terminating: ", lines[-1])
