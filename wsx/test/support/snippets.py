"""Run the snippets of a page of the documentation as a reader does, in an empty folder.

A page is a list of code blocks. What a block is follows from the page itself:

* a block after a paragraph that ends with "`NAME`:" is the file NAME;
* a block ``sh`` holds commands, one in each line; the paragraph before it says if they are for
  another terminal;
* a block ``text`` after commands shows lines of their output, in this order. ``...`` stands for any
  text, and a number for any number.

A command that runs until the reader stops it is interrupted before the next command. A demo server,
and a command before one for another terminal, runs until the end. The port 8080 and those after it
are replaced by free ones.
"""

from __future__ import annotations

import re
import socket
import stat
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wsx.test.support.sockets import HOST, SocketCase, global_reactor
from wsx.test.support.twistd import REPOSITORY, Twistd

__all__ = ["Snippet", "SnippetCase", "pattern_of", "snippets_of"]

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"`([\w./-]+)`[^`\n]*:\Z")
_PORT = re.compile(r"\b80[89]\d\b")

# The commands of the virtual environment. The whole suite does not run inside of itself. Nothing is
# built or installed.
_COMMANDS = {
    "python": '[ "$1" = setup.py ] || exec "{python}" "$@"',
    "twistd": 'exec "{python}" -P -c "from twisted.scripts.twistd import run; run()" "$@"',
    "trial": """case "$*" in *" wsx") exit;; esac
        exec "{python}" -P -c "from twisted.scripts.trial import run; run()" "$@\"""",
    "pip": 'echo "pip $@"',
}
# A python3 that creates such an environment, in no time and without a network.
_PYTHON = """[ "$1 $2" = "-m venv" ] || exec "{python}" "$@"
    for folder; do :; done
    mkdir -p "$folder/bin" && cp "$(dirname "$0")"/* "$folder/bin\""""


@dataclass(frozen=True)
class Snippet:
    """A code block.

    Attributes:
        kind: ``"file"``, ``"sh"``, ``"text"``, or ``"?"`` if the page does not say what it is.
        text: The content.
        name: The name of the file.
        beside: Whether the commands are for another terminal.
    """

    kind: str
    text: str
    name: str = ""
    beside: bool = False


def snippets_of(page: str) -> Iterator[Snippet]:
    """Return the code blocks of a page in Markdown."""
    for match in _FENCE.finditer(page):
        language, text = match.groups()
        paragraph = page[: match.start()].rstrip("\n").rpartition("\n\n")[2]
        named = _FILE.search(paragraph)
        if language in ("sh", "text"):
            yield Snippet(language, text, beside="another terminal" in paragraph)
        elif named is not None:
            yield Snippet("file", text, named[1])
        else:
            yield Snippet("?", text)


def pattern_of(text: str) -> re.Pattern[str]:
    """Return the pattern of an output that shows these lines in this order."""
    lines = [re.sub(r"\d+(\\\.\d+)*", r"[\\d.]+", re.escape(line)) for line in text.splitlines()]
    parts = [line.replace(r"\.\.\.", "[^\\n]*") for line in lines]
    return re.compile("(?s:.*?)".join(rf"^{part}" for part in parts), re.MULTILINE)


class SnippetCase(SocketCase):
    """Base class for tests that run all snippets of pages, one after another."""

    timeout = 120

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir(parents=True)
        self._ports: dict[str, int] = {}
        self._command = ""
        self._process: Twistd | None = None  # The last command.
        self._servers: list[Twistd] = []
        self._bin = self.directory.with_name(f"{self.directory.name}-bin")
        self._bin.mkdir()
        for name, script in (_COMMANDS | {"python3": _PYTHON}).items():
            path = self._bin / name
            path.write_text(f"#!/bin/sh\n{script.format(python=sys.executable)}\n")
            path.chmod(path.stat().st_mode | stat.S_IXUSR)

    async def run_page(self, page: str) -> None:
        """Run all snippets of a page, and check their output."""
        for snippet in snippets_of(page):
            text = _PORT.sub(self._free_port, snippet.text)
            if snippet.kind == "file":
                (self.directory / snippet.name).write_text(text)
            elif snippet.kind == "sh":
                if snippet.beside and self._process is not None:
                    self._servers.append(self._process)
                for command in text.splitlines():
                    await self._run_command(command)
            elif snippet.kind == "text":
                await self._expect(text)
            else:
                self.fail(f"which file is this block? Name it before the block:\n{text}")

    async def end(self) -> None:
        """Wait for the last command, and stop what still runs."""
        await self._end_command()
        for server in reversed(self._servers):
            if server.status is None:
                server.transport.signalProcess("INT")
            await server.ended()
            self.assertNotIn("Traceback", server.output)

    def _free_port(self, match: re.Match[str]) -> str:
        if match[0] not in self._ports:
            with socket.create_server((HOST, 0)) as server:
                self._ports[match[0]] = server.getsockname()[1]
        return str(self._ports[match[0]])

    async def _run_command(self, command: str) -> None:
        """Start a command after the end of the previous one, and wait until it has begun."""
        await self._end_command()
        is_long = "|" not in command and (" -n" in command or "demo" in command)
        process = Twistd()
        global_reactor().spawnProcess(
            process,
            "/bin/sh",
            ["/bin/sh", "-c", f"exec 2>&1; {'exec env' if is_long else ''} {command}"],
            env={
                "PATH": f"{self._bin}:/usr/local/bin:/usr/bin:/bin",
                "PYTHONPATH": REPOSITORY,
                "PYTHONUNBUFFERED": "1",
            },
            path=str(self.directory),
        )
        self.addCleanup(process.kill)
        self._command, self._process = command, process
        if "--demo-server" in command:
            self._servers.append(process)
            await process.says("an echo at")
        elif is_long:
            await process.says("connected to")
        else:
            process.transport.closeChildFD(0)

    async def _expect(self, text: str) -> None:
        """Wait until the last command has written these lines."""
        pattern, process = pattern_of(text), self._process
        assert process is not None
        await process.until(lambda: pattern.search(process.output) is not None)

    async def _end_command(self) -> None:
        """Wait for the end of the last command; interrupt it if it does not end by itself."""
        process, self._process = self._process, None
        if process is None or process in self._servers:
            return
        interrupted = process.output.count("starting up") and "|" not in self._command
        if interrupted and process.status is None:
            process.transport.signalProcess("INT")
        status = await process.ended()
        self.assertIn(status, (0, -2, 130) if interrupted else (0,), process.output)
        self.assertNotIn("Traceback", process.output)
        self._check_requirements(process.output)

    def _check_requirements(self, output: str) -> None:
        """Check that what pip is told to install is wsx, with extras that exist."""
        extras = tomllib.loads(Path(REPOSITORY, "pyproject.toml").read_text())["project"]
        for name, names in re.findall(r"^pip install .*?(?<![\w.-])([\w-]+)(?:\[(.*)\])?$", output):
            self.assertEqual(name, "txwsx")
            for extra in filter(None, names.split(",")):
                self.assertIn(extra, extras["optional-dependencies"])
