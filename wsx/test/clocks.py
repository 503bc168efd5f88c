"""Real clients whose clock is set and whose process stops: ``python -m wsx.test.clocks``.

For each reactor, a client with short time limits runs in a process of its own, against a server in
this process that sends a message every half second. The command

* sets the wall clock of the client back and forward by an hour with libfaketime (Debian package
  ``faketime``), also while the client waits to reconnect,
* stops the client's process with SIGSTOP for longer than all time limits,
* lets a callback block the client's reactor for longer than all time limits.

The client must lose no connection, except those that the server ends, must go on sending pings, and
must reconnect in time. A pause must be logged once. The exit status is 1 if one of this fails.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any, Final

from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame
from websockets.sync.server import ServerConnection, serve

from wsx.test.support.reactors import REACTORS, install_reactor

LIBRARY: Final = "usr/lib/*/faketime/libfaketimeMT.so.1"
MESSAGE_SECONDS: Final = 0.5  # between two messages of the server
PING_SECONDS: Final = 1.0
LIMIT_SECONDS: Final = 2.0  # ping_timeout and data_timeout
PAUSE_SECONDS: Final = 6.0
ALLOWED_SECONDS: Final = 5.0  # for a ping or a reconnect after a step of the clock


class Server:
    """A server that sends messages and records what its client does.

    Attributes:
        url: The URL.
        events: ``"open"``, ``"ping"`` and ``"lost"``, in order.
    """

    def __init__(self) -> None:
        self.events: Queue[str] = Queue()
        self._command: str | None = None
        self._server = serve(self._handle, "127.0.0.1", 0, ping_interval=None)
        self.url = f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}/"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def tell(self, command: str) -> None:
        """Send ``"block"`` as the next message, or ``"drop"`` the connection."""
        self._command = command

    def stop(self) -> None:
        self._server.shutdown()

    def _handle(self, connection: ServerConnection) -> None:
        self.events.put("open")
        self._record_pings(connection)
        try:
            while True:
                command, self._command = self._command, None
                if command == "drop":
                    connection.socket.shutdown(2)
                    return
                connection.send(command or "tick")
                time.sleep(MESSAGE_SECONDS)
        except (ConnectionClosed, OSError):
            self.events.put("lost")

    def _record_pings(self, connection: ServerConnection) -> None:
        protocol: Any = connection.protocol
        original = protocol.recv_frame

        def recv_frame(frame: Frame) -> None:
            if frame.opcode.name == "PING":
                self.events.put("ping")
            original(frame)

        protocol.recv_frame = recv_frame


class Failed(Exception):
    """The client did not behave as expected."""


class Trial:
    """A client in a process of its own.

    Args:
        server: The server.
        reactor: The name of the reactor.
        library: The path of libfaketime.
        folder: A folder for files.
    """

    def __init__(self, server: Server, reactor: str, library: str, folder: str) -> None:
        self._server = server
        self._clock = Path(folder, f"clock-{reactor}")
        self._log = Path(folder, f"log-{reactor}")
        self.set_clock(0)
        environment = os.environ | {
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": str(self._clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }
        command = [sys.executable, "-m", "wsx.test.clocks", "--client", server.url, reactor]
        self._process = subprocess.Popen(
            command, env=environment, stdout=self._log.open("w"), stderr=subprocess.STDOUT
        )

    def set_clock(self, seconds: int) -> None:
        """Set the wall clock of the client to the true time plus an offset in seconds."""
        self._clock.write_text(f"{seconds:+d}\n")

    def expect(self, event: str, seconds: float = ALLOWED_SECONDS) -> None:
        """Wait for an event that happens from now on; no connection may be lost before."""
        while not self._server.events.empty():
            self._check(self._server.events.get())
        until = time.monotonic() + seconds
        while True:
            try:
                found = self._server.events.get(timeout=max(0.0, until - time.monotonic()))
            except Empty:
                raise Failed(f"no {event} within {seconds:g} s") from None
            if found == event:
                return
            self._check(found)

    def _check(self, event: str) -> None:
        if event in ("lost", "open"):
            raise Failed(f"the client lost its connection:\n{self._log.read_text()}")

    def pause(self) -> None:
        """Stop the process for some time."""
        os.kill(self._process.pid, signal.SIGSTOP)
        time.sleep(PAUSE_SECONDS)
        os.kill(self._process.pid, signal.SIGCONT)

    def expect_life(self, pauses: int) -> None:
        """Wait for several pings; then compare the number of logged pauses."""
        for _ in range(4):
            self.expect("ping")
        logged = self._log.read_text().count("the reactor did not run for")
        if logged != pauses:
            raise Failed(f"expected {pauses} logged pauses:\n{self._log.read_text()}")

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


def run_trial(trial: Trial, server: Server) -> Iterator[str]:
    """Run all steps; yield the name of each one that is complete."""
    trial.expect("open", 20.0)
    trial.expect("ping")
    for name, seconds in (("back", -3600), ("forward", 0), ("further", 3600)):
        trial.set_clock(seconds)
        trial.expect_life(pauses=0)
        yield f"clock {name}"
    for name, seconds in (("back", -3600), ("forward", 3600)):
        server.tell("drop")
        time.sleep(2 * MESSAGE_SECONDS)
        trial.set_clock(seconds)
        wait_for_reconnect(server)
        yield f"clock {name} while waiting to reconnect"
    trial.pause()
    trial.expect_life(pauses=1)
    yield "SIGSTOP"
    server.tell("block")
    time.sleep(PAUSE_SECONDS)
    trial.expect_life(pauses=2)
    yield "blocked reactor"


def wait_for_reconnect(server: Server) -> None:
    """Wait until the client has connected again."""
    until = time.monotonic() + ALLOWED_SECONDS
    while time.monotonic() < until:
        try:
            if server.events.get(timeout=0.1) == "open":
                return
        except Empty:
            continue
    raise Failed(f"no reconnect within {ALLOWED_SECONDS:g} s")


def run_client(url: str, reactor_name: str) -> None:
    """Run the client in this process, until the process is killed."""
    install_reactor(reactor_name)
    from twisted.internet import reactor
    from twisted.logger import globalLogBeginner, textFileLogObserver

    import wsx

    class Feed(wsx.Handler[None]):
        """Receive messages; block the reactor for the message "block"."""

        def handle_frame(self, frame: wsx.Text | wsx.Binary, state: None) -> None:
            if frame == wsx.Text("block"):
                Event().wait(PAUSE_SECONDS)  # time.sleep raises OSError with libfaketime.

    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stdout)], redirectStandardIO=False)
    service = wsx.ClientService(
        url,
        Feed,
        reconnect=wsx.Backoff(initial=2.0, jitter=0.0),
        ping_interval=PING_SECONDS,
        ping_timeout=LIMIT_SECONDS,
        data_timeout=LIMIT_SECONDS,
    )
    real_reactor: Any = reactor
    real_reactor.callWhenRunning(service.startService)
    real_reactor.run()


@contextmanager
def running(reactor: str, library: str) -> Iterator[tuple[Trial, Server]]:
    """Run a server and a client."""
    server = Server()
    with TemporaryDirectory() as folder:
        trial = Trial(server, reactor, library, folder)
        try:
            yield trial, server
        finally:
            trial.end()
            server.stop()


def find_library() -> str:
    """Return the path of libfaketime."""
    found = [str(path) for path in Path("/").glob(LIBRARY)]
    if not found:
        sys.exit("libfaketime not found: install the Debian package faketime")
    return found[0]


def main() -> None:
    """Run the trial on the reactors that the command line names, or on all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--client", nargs=2, metavar=("URL", "REACTOR"), help=argparse.SUPPRESS)
    parser.add_argument("reactors", nargs="*", default=REACTORS, metavar="REACTOR")
    arguments = parser.parse_args()
    if arguments.client:
        run_client(*arguments.client)
        return
    library = find_library()
    failed = False
    for reactor in arguments.reactors:
        with running(reactor, library) as (trial, server):
            try:
                for step in run_trial(trial, server):
                    print(f"{reactor}: {step}: passed", flush=True)
            except Failed as error:
                print(f"{reactor}: failed: {error}", flush=True)
                failed = True
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
