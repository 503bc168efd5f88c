"""A client for a language server, as an editor has one."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class LanguageServer:
    """Run a language server, and send requests to it over its standard input.

    Args:
        command: The command that starts the server.
        folder: The folder that the editor has open.
        settings: The settings of the editor.
        **environment: The environment variables of the server.
    """

    def __init__(
        self, command: list[str], folder: Path, settings: dict[str, Any], **environment: str
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._last_id = 0
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder, env=environment
        )

    def __enter__(self) -> Self:
        capabilities = {
            "workspace": {"configuration": True},
            "textDocument": {
                "completion": {
                    "completionItem": {"resolveSupport": {"properties": ["documentation"]}}
                },
                "hover": {"contentFormat": ["plaintext"]},
            },
        }
        folders = [{"uri": self._folder.as_uri(), "name": "user"}]
        self.request(
            "initialize", processId=None, capabilities=capabilities, workspaceFolders=folders
        )
        self._send(method="initialized", params={})
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def open(self, path: Path) -> None:
        """Open a file."""
        document = {
            "uri": path.as_uri(),
            "languageId": "python",
            "version": 1,
            "text": path.read_text(),
        }
        self._send(method="textDocument/didOpen", params={"textDocument": document})

    def at(self, method: str, path: Path, line: int, column: int) -> Any:
        """Return the result of a request about a position, counted from 0."""
        position = {"line": line, "character": column}
        return self.request(method, textDocument={"uri": path.as_uri()}, position=position)

    def request(self, method: str, **params: Any) -> Any:
        """Return the result of a request. Answer the requests of the server until it arrives."""
        self._last_id += 1
        self._send(id=self._last_id, method=method, params=params)
        while True:
            message = self._receive()
            if "method" in message and "id" in message:
                self._send(id=message["id"], result=self._answer(message))
            elif message.get("id") == self._last_id:
                return message["result"]

    def _answer(self, message: dict[str, Any]) -> Any:
        if message["method"] != "workspace/configuration":
            return None
        return [self._settings.get(item["section"], {}) for item in message["params"]["items"]]

    def _send(self, **message: Any) -> None:
        assert self._process.stdin is not None
        body = json.dumps({"jsonrpc": "2.0"} | message).encode()
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self._process.stdin.flush()

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        length = 0
        for line in iter(self._process.stdout.readline, b"\r\n"):
            if not line:
                raise EOFError("the language server has ended")
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        message: dict[str, Any] = json.loads(self._process.stdout.read(length))
        return message
