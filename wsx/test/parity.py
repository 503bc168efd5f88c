"""The table of ``docs/parity.md``; update it with ``python -m wsx.test.parity > docs/parity.md``.

``ROWS`` describes what WebSockex does. The tests that show the same for wsx are found by their
docstrings, which begin with the ids of the rows in brackets.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
_IDS = re.compile(r"(?:\[([A-Z]\d+)\]\s*)")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

ROWS: dict[str, str] = {
    "S1": "start with a URL",
    "S2": "start with a Conn",
    "S3": "a bad URL is an error, nothing started",
    "S4": "default ports and path",
    "S5": "http and https as synonyms",
    "S6": "asynchronous start returns before the connection exists",
    "S7": "its failure ends the client, the caller is not harmed",
    "S8": "synchronous start fails with the typed error",
    "S9": "linked start: the parent's end ends the client",
    "S10": "an unlinked start does not",
    "S11": "names: local, via, global",
    "S12": "a taken name",
    "S13": "cast, info and send_frame by name",
    "S14": "a name is free after the end",
    "S15": "extra request headers are sent",
    "S16": "response headers are visible in handle_connect",
    "S17": "time-outs of connecting and of the response",
    "S18": "custom CA, insecure, custom TLS options",
    "S19": "frames that arrive together with the response come after handle_connect",
    "F1": "text, binary, empty ones, all length forms",
    "F2": "split at every byte",
    "F3": "several in one read",
    "F4": "fragments, with control frames between them",
    "F5": "two starts",
    "F6": "a continuation without a start",
    "F7": "a control frame fragmented or over 125 bytes",
    "F8": "close with one byte, with a bad code, with bad UTF-8",
    "F9": "text with bad UTF-8, whole and across fragments",
    "F10": "reserved bits and opcodes",
    "F11": "a masked server frame",
    "F12": "a length that is not minimal",
    "F13": "encoding errors: oversize control, close code, not a frame, wrong payload type",
    "F14": "the receive buffer is fresh after a reconnect",
    "F15": "an incomplete frame at disconnect is dropped",
    "C1": "handle_connect on the first and later connects",
    "C2": "each result in each callback that allows it",
    "C3": "state is carried from callback to callback",
    "C4": "close from each callback, with and without code and message",
    "C5": "a reply to a connection that has just died leads to handle_disconnect",
    "C6": "an exception, a bad result, an Exit in each callback: terminate once, with the reason",
    "C7": "no terminate before the client was initialised",
    "C8": "the same in handle_disconnect",
    "C9": "the same in terminate itself",
    "C10": "the defaults of the callbacks",
    "C11": "handle_ping and handle_pong with and without payload",
    "N1": "send_frame of each kind",
    "N2": "send_frame while opening, closing, disconnected, ended",
    "N3": "encode and type errors reach the caller only",
    "N4": "a connection found dead while sending",
    "N5": "send_frame from inside a callback",
    "D1": "handle_disconnect for each way a connection ends",
    "D2": "not for crashes",
    "D3": "reconnect, several times, with a changed Conn",
    "D4": "a failing first connection, with and without handle_initial_conn_failure",
    "D5": "terminate gets the reason; normal and abnormal ends are told apart",
    "D6": "an abnormal end made normal from terminate",
    "Y1": "get_state, replace_state (the handler's state only), get_status in every state",
    "Y2": "format_status: optional, used, failing, returning something odd",
    "Y3": "requests are served while connecting and while closing",
    "Y4": "suspend and resume",
    "Y5": "trace, log, log depth, statistics, log to file, from options and at run time",
    "Y6": "code_change, failing code_change",
    "T1": "telemetry: connected",
    "T2": "telemetry: disconnected",
    "T3": "telemetry: frame received",
    "T4": "telemetry: frame sent",
    "T5": "telemetry: terminate",
    "T6": "telemetry is complete over reconnects and replies, with one terminate",
    "V1": "a child specification from a handler, with overrides",
    "V2": "permanent, transient, temporary",
    "V3": "restart intensity",
    "V4": "shutdown while open, connecting, closing",
    "V5": "the parent's end during the first connect does not call terminate",
}

DIFFERENCES: dict[str, str] = {
    "S8": "the time-out is for the whole response, not for each read of it; status, headers and "
    "body are in the error",
    "S18": "certificates are verified by default",
    "F6": "close 1002 and handle_disconnect, where WebSockex crashes; so F5, F7 to F12",
    "F8": "close code 1005 is neither accepted nor echoed",
    "F9": "fragmented text is checked as well, as early as can be",
    "C6": "the peer is told with close code 1011",
    "D3": "attempt_number counts on when the server accepts and drops; attempts without a delay of "
    "their own are at most one a second",
    "N5": "allowed, and may be awaited: it deadlocks in WebSockex",
    "S9": "the peer is told with close code 1001",
    "S11": "there is no cluster: global names are known in this process",
    "Y1": "replace_state gives a Deferred: it waits for a callback that is under way",
    "Y2": "an answer that is no dict counts as a failure: the log says so",
    "Y6": "the handler object stays, attributes included, and becomes one of the new class",
    "T4": "replies too",
    "T6": "WebSockex misses reconnects and replies, and reports terminate twice",
    "V4": "close code 1001, then at most `shutdown` seconds",
}

_HEAD = """\
# WebSockex and wsx

What [WebSockex](https://hex.pm/packages/websockex) 0.4.3 does, row by row, and the tests that
show that wsx does it: search the files for the row's id in brackets. Where wsx does it differently,
on purpose, the table says how. This page is written by `python -m wsx.test.parity`; a test fails
when it is stale, or when a row has no test. Who comes from there begins best with
[from-websockex.md](from-websockex.md).

| row | what | differently in wsx | tests |
|---|---|---|---|
"""


def rows_of(docstring: str | None) -> list[str]:
    """Return the ids at the beginning of a docstring."""
    ids = []
    text = docstring or ""
    while match := _IDS.match(text):
        ids.append(match[1])
        text = text[match.end() :]
    return ids


def tests() -> Iterator[tuple[str, str, list[str]]]:
    """Yield each test's file, its name with its class, and its rows."""
    for path in sorted(HERE.rglob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                for item in node.body:
                    if isinstance(item, _FUNCTIONS) and item.name.startswith("test"):
                        rows = rows_of(ast.get_docstring(item))
                        yield path.relative_to(HERE).as_posix(), f"{node.name}.{item.name}", rows


def tests_by_row() -> dict[str, list[tuple[str, str]]]:
    """Return the tests of each row, as pairs of file and name."""
    found: dict[str, list[tuple[str, str]]] = {row: [] for row in ROWS}
    for file, name, rows in tests():
        for row in rows:
            found.setdefault(row, []).append((file, name))
    return found


def page() -> str:
    """Return the text of ``docs/parity.md``."""
    found = tests_by_row()
    lines = []
    for row, what in ROWS.items():
        files = sorted({file for file, _ in found[row]})
        links = ", ".join(f"[{file}](../wsx/test/{file})" for file in files)
        lines.append(f"| {row} | {what} | {DIFFERENCES.get(row, '')} | {links} |\n")
    return _HEAD + "".join(lines)


if __name__ == "__main__":
    print(page(), end="")
