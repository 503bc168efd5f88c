"""The fuzzing server of the Autobahn|Testsuite, in a process of its own."""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

ALL_CASES = ("*",)
# All cases without compression, and the first five of each group with it.
QUICK_CASES = (
    *("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*"),
    *("12.*.[1-5]$", "13.*.[1-5]$"),
)
START_TIMEOUT = 30.0  # seconds


class FuzzingServer:
    """Context manager that runs the fuzzing server on a free port.

    Args:
        command: The command that starts the suite, ``wstest`` with its path and arguments.
        cases: Patterns of the cases.
        folder: The folder for the report.

    Attributes:
        url: The URL of the server.
    """

    def __init__(self, command: str, cases: Sequence[str], folder: Path) -> None:
        self.port = free_port()
        self.url = f"ws://127.0.0.1:{self.port}"
        self._command = shlex.split(command)
        self._cases = list(cases)
        self._folder = folder.resolve()

    def __enter__(self) -> FuzzingServer:
        specification = self._folder / "specification.json"
        specification.write_text(json.dumps(self.specification()))
        arguments = ["-m", "fuzzingserver", "-u", "0", "-s", str(specification)]
        with (self._folder / "wstest.log").open("w") as log:
            self._process = subprocess.Popen([*self._command, *arguments], stdout=log, stderr=log)
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def specification(self) -> dict[str, object]:
        """Return the suite's configuration."""
        return {
            "url": self.url,
            "outdir": str(self._folder),
            "cases": self._cases,
            "exclude-cases": [],
            "exclude-agent-cases": {},
        }

    def _wait(self) -> None:
        """Wait until the server accepts connections."""
        deadline = time.monotonic() + START_TIMEOUT
        while not is_listening(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                log = (self._folder / "wstest.log").read_text()
                raise RuntimeError(f"{shlex.join(self._command)} did not start:\n{log[-2000:]}")
            time.sleep(0.1)


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_listening(port: int) -> bool:
    """Return whether a process listens on this port of the loopback interface."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
