"""Generate a page: ``python -m wsx.test.parity > docs/explanation/parity.md``.

``ROWS`` lists the behaviour of WebSockex. The tests that cover a row are found by their docstrings,
which begin with the ids of rows in brackets.
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
    "S3": "a bad URL is an error, and nothing is started",
    "S4": "default ports and path",
    "S5": "http and https as synonyms",
    "S6": "an asynchronous start returns before there is a connection",
    "S7": "a failed asynchronous start ends the client, and the caller is not affected",
    "S8": "a synchronous start fails with the typed error",
    "S9": "linked start: the end of the parent ends the client",
    "S10": "unlinked start: the end of the parent does not end the client",
    "S11": "names: local, via, global",
    "S12": "a name that is taken",
    "S13": "cast, info and send_frame by name",
    "S14": "a name is free again after the client has ended",
    "S15": "extra request headers are sent",
    "S16": "response headers are visible in handle_connect",
    "S17": "timeouts of connecting and of the response",
    "S18": "custom CA, insecure, custom TLS options",
    "S19": "frames that arrive together with the response are delivered after handle_connect",
    "F1": "text, binary, empty messages, all length forms",
    "F2": "frames split at every byte",
    "F3": "several frames in one read",
    "F4": "fragments, with control frames between them",
    "F5": "a second initial fragment before the message is complete",
    "F6": "a continuation frame without an initial fragment",
    "F7": "a control frame that is fragmented, or over 125 bytes",
    "F8": "a close frame with one byte, with an invalid code, with invalid UTF-8",
    "F9": "text with invalid UTF-8, in one frame and across fragments",
    "F10": "reserved bits and opcodes",
    "F11": "a masked frame from the server",
    "F12": "a length that is not minimal",
    "F13": "encoding errors: large control frame, close code, not a frame, wrong payload type",
    "F14": "the receive buffer is new after a reconnect",
    "F15": "an incomplete frame is dropped when the connection ends",
    "C1": "handle_connect on the first and on later connections",
    "C2": "each result in each callback that allows it",
    "C3": "state is carried from callback to callback",
    "C4": "close from each callback, with and without code and message",
    "C5": "a reply to a connection that has just been lost leads to handle_disconnect",
    "C6": "an exception, an invalid result and an Exit in each callback: terminate is called once, "
    "with the reason",
    "C7": "terminate is not called before the client was initialised",
    "C8": "an exception, an invalid result and an Exit in handle_disconnect",
    "C9": "an exception, an invalid result and an Exit in terminate",
    "C10": "the defaults of the callbacks",
    "C11": "handle_ping and handle_pong, with and without payload",
    "N1": "send_frame of each kind of frame",
    "N2": "send_frame while opening, closing, disconnected, ended",
    "N3": "encoding and type errors affect only the caller",
    "N4": "a connection found dead while sending",
    "N5": "send_frame inside a callback",
    "D1": "handle_disconnect for each way in which a connection ends",
    "D2": "handle_disconnect is not called after a crash",
    "D3": "reconnect, several times, with a changed Conn",
    "D4": "a failed first connection, with and without handle_initial_conn_failure",
    "D5": "terminate receives the reason; normal and abnormal ends are distinguished",
    "D6": "terminate can turn an abnormal end into a normal one",
    "Y1": "get_state, replace_state (the handler's state only), get_status in every state",
    "Y2": "format_status: optional, used, failing, returning an unexpected value",
    "Y3": "requests are served while connecting and while closing",
    "Y4": "suspend and resume",
    "Y5": "trace, log, log depth, statistics, log to file, from options and at run time",
    "Y6": "code_change, failing code_change",
    "T1": "telemetry: connected",
    "T2": "telemetry: disconnected",
    "T3": "telemetry: frame received",
    "T4": "telemetry: frame sent",
    "T5": "telemetry: terminate",
    "T6": "telemetry is complete across reconnects and replies, with one terminate",
    "V1": "a child specification from a handler, with overrides",
    "V2": "permanent, transient, temporary",
    "V3": "restart intensity",
    "V4": "shutdown while open, connecting, closing",
    "V5": "the end of the parent during the first connection does not call terminate",
}

DIFFERENCES: dict[str, str] = {
    "S8": "The timeout covers the whole response, not each read, so that a slow server cannot "
    "extend it. The error has the status, headers and body.",
    "S9": "The server receives close code 1001, so that it knows why the client leaves.",
    "S11": "Global names need a cluster on NATS; without one they are known in this process only.",
    "S18": "Certificates are verified by default, because an unverified connection is not secure.",
    "F6": "The connection is closed with 1002 and handle_disconnect is called, so that a server "
    "cannot crash a client. WebSockex ends the process. The same holds for F5 and F7 to F12.",
    "F8": "Close code 1005 is neither accepted nor sent, because RFC 6455 section 7.4.1 forbids it "
    "on the wire.",
    "F9": "Fragmented text is checked too, as early as possible, as RFC 6455 section 8.1 requires.",
    "C2": "Replies are complete messages. WebSockex also sends `{:fragment, type, part}`, "
    "`{:continuation, part}` and `{:finish, part}`. In wsx another callback or send_frame could "
    "send a message between two fragments, which RFC 6455 section 5.4 forbids.",
    "C6": "The server receives close code 1011, so that it knows that the client failed.",
    "C7": "With `async_=True`, terminate is called even if there was never a connection, because "
    "the caller has the client from the start, and terminate may have to release resources. "
    "WebSockex exits without terminate.",
    "N1": "There are no fragments; see C2.",
    "N4": "A small frame sent to a dead socket succeeds, because the kernel accepts it before it "
    "knows that the connection is dead. The loss follows. WebSockex returns a ConnError if the "
    "socket is known to be closed, and `:ok` otherwise.",
    "N5": "It is allowed and may be awaited, because a client is not a process that waits for "
    "itself. In WebSockex it deadlocks.",
    "D1": "If sending finds the connection dead, WebSockex passes a ConnError to "
    "handle_disconnect. wsx passes `ConnectionDropped(original)`, because the connection ended "
    "without a close frame, whether reading or writing discovered it. In handle_disconnect, "
    "ConnError means that connecting failed.",
    "D3": "attempt_number keeps counting if the server accepts and then drops the connection, and "
    "there is at most one attempt per second without an explicit delay, so that a client does not "
    "flood a failing server.",
    "D5": 'A close frame without a code is `RemoteClose(1005, "")`, because RFC 6455 section 7.1.5 '
    "defines 1005 for it. WebSockex has `{:remote, :normal}`. It is a normal end in both.",
    "Y1": "replace_state returns a Deferred, because it waits for a pending callback.",
    "Y2": "A value that is not a dict counts as a failure and is logged, because get_status "
    "promises a dict.",
    "Y6": "The handler object and its attributes stay; the object becomes an instance of the new "
    "class. WebSockex has no handler object.",
    "T4": "Replies are reported too, so that counters are correct.",
    "T6": "WebSockex does not report reconnects and replies, and reports terminate twice.",
    "V4": "The server receives close code 1001. Then the client waits for at most `shutdown` "
    "seconds.",
}

_HEAD = """\
# WebSockex and wsx

This table lists what [WebSockex](https://hex.pm/packages/websockex) 0.4.3 does, and the tests that
show that wsx does it too. To find the tests of a row, search the linked files for the row's id in
brackets, such as `[S1]`. The third column says where wsx differs on purpose, and why.

To translate a WebSockex module to wsx, start with
[Migrate from WebSockex or OTP](../how-to/from-websockex.md).

| row | behaviour | difference in wsx | tests |
|---|---|---|---|
"""

_FOOT = """
This page is generated by `.venv/bin/python -m wsx.test.parity`. A test fails if it is out of date,
or if a row has no test.
"""


def rows_of(docstring: str | None) -> list[str]:
    """Return the ids with which a docstring begins."""
    ids = []
    text = docstring or ""
    while match := _IDS.match(text):
        ids.append(match[1])
        text = text[match.end() :]
    return ids


def tests() -> Iterator[tuple[str, str, list[str]]]:
    """Yield the file, the class and name, and the rows of each test."""
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
    """Return the text of ``docs/explanation/parity.md``."""
    found = tests_by_row()
    lines = []
    for row, what in ROWS.items():
        files = sorted({file for file, _ in found[row]})
        links = ", ".join(f"[{file}](../../wsx/test/{file})" for file in files)
        lines.append(f"| {row} | {what} | {DIFFERENCES.get(row, '')} | {links} |\n")
    return _HEAD + "".join(lines) + _FOOT


if __name__ == "__main__":
    print(page(), end="")
