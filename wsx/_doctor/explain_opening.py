"""Explanations of failures of the opening handshake."""

from __future__ import annotations

from typing import Final

from wsx._doctor.findings import Findings, Problem
from wsx._text import line, quote
from wsx.conn import Conn
from wsx.errors import ConnError, HandshakeError, RequestError

__all__ = ["explain_opening"]

_LIMIT: Final = 300  # characters
_CHECK_PATH: Final = "correct the path of the URL: this one does not lead to a WebSocket server"
_REVERSE_PROXY: Final = (
    "if there is a reverse proxy before the server, let it pass on the headers Upgrade and "
    "Connection; otherwise correct the path of the URL"
)


def explain_opening(findings: Findings) -> Problem:
    """Return the problem of a failed opening handshake."""
    reason = findings.reason
    if isinstance(reason, RequestError):
        return _explain_refusal(reason, findings.conn)
    if isinstance(reason, HandshakeError):
        return _explain_invalid(reason, findings.conn)
    if findings.timed_out:
        return Problem(
            "no_response",
            "the server did not complete its response to the opening handshake within "
            f"{findings.conn.socket_recv_timeout:g} s",
            "check that the URL leads to a WebSocket server, and that this server is not "
            "overloaded",
        )
    text = str(reason).removeprefix("connection failed: ")
    text = reason.explanation or text if isinstance(reason, ConnError) else text
    return _explain_lost(line(text, _LIMIT))


def _explain_lost(text: str) -> Problem:
    plain, _, hint = text.partition("; ")
    if "wss://" in hint:
        suggestion = "if the server uses TLS, use wss:// in place of ws://; otherwise see its log"
    else:
        suggestion = "see the log of the server: it may have failed, or require other headers"
    return Problem("closed_during_handshake", plain, suggestion)


# The server has refused


def _explain_refusal(error: RequestError, conn: Conn) -> Problem:
    code, suggestion = _advice_for_status(error, conn)
    return Problem(code, line(_describe(error), _LIMIT), suggestion)


def _describe(error: RequestError) -> str:
    if 200 <= error.code < 300:
        return f"{error.summary} (a web page or an API, not a WebSocket)"
    return error.summary


def _advice_for_status(error: RequestError, conn: Conn) -> tuple[str, str]:
    status = error.code
    if _speaks_only_tls(error):
        return "server_needs_tls", "use wss:// in place of ws://: the server speaks TLS"
    if 200 <= status < 300:
        return "not_a_websocket", _CHECK_PATH
    if 300 <= status < 400:
        return "redirected", _advice_for_redirect(error, conn)
    if status == 401:
        return "unauthorized", _advice_for_401(conn)
    if status in _STATUSES:
        return _STATUSES[status]
    if status in (429, 503):
        return _advice_for_overload(error)
    if status >= 500:
        return "server_error", "see the log of the server or its reverse proxy, and try again later"
    return "refused", "send what the server expects: check --header, --subprotocol and the URL"


_STATUSES: Final = {
    403: (
        "forbidden",
        "check that the credentials permit this; some servers also require "
        "--header 'Origin: https://HOST'",
    ),
    404: ("not_found", _CHECK_PATH),
    405: ("not_found", _CHECK_PATH),
    410: ("not_found", _CHECK_PATH),
    426: ("upgrade_required", _REVERSE_PROXY),
}


def _speaks_only_tls(error: RequestError) -> bool:
    """Return whether a server says so in its refusal, as nginx and Go's net/http do."""
    body = error.body.lower()
    return error.code in (400, 497) and (b"https port" in body or b"https server" in body)


def _advice_for_redirect(error: RequestError, conn: Conn) -> str:
    target = next((v for name, v in error.headers if name.lower() == "location"), None)
    if target is None:
        return _CHECK_PATH
    shown = quote(conn.redactor().location(target), 200)
    scheme = "" if target.lower().startswith(("ws:", "wss:")) else " with wss:// or ws://"
    return f"use the address {shown}{scheme}, if it is a WebSocket and not a web page"


def _advice_for_401(conn: Conn) -> str:
    names = {name.lower() for name, _ in conn.extra_headers}
    if "authorization" in names or conn.parsed.username is not None:
        return "replace the credentials: the server does not accept these, or they have expired"
    return (
        "add the credentials that the server expects, for example --header @FILE with a line "
        "'Authorization: Bearer TOKEN'"
    )


def _advice_for_overload(error: RequestError) -> tuple[str, str]:
    code = "too_many_requests" if error.code == 429 else "unavailable"
    wait = next((v for name, v in error.headers if name.lower() == "retry-after"), None)
    if wait is None:
        return code, "try again later, or see the log of the server or its reverse proxy"
    unit = " seconds" if wait.isdecimal() else ""
    return code, f"try again {'in' if unit else 'after'} {line(wait)}{unit}"


# The response with status 101 is not valid, or there is no HTTP


def _explain_invalid(error: HandshakeError, conn: Conn) -> Problem:
    reason = line(error.reason, _LIMIT)
    plain = reason.partition("; did you mean")[0]
    if "did you mean wss://" in reason:
        return Problem(
            "server_needs_tls",
            "the server speaks TLS on this port, not HTTP",
            "use wss:// in place of ws://",
        )
    for header, explain in _HEADERS.items():
        if reason.startswith(header):
            return explain(error, conn)
    if "extension" in reason.lower():
        return Problem(
            "extension_not_offered",
            plain,
            "let the server accept only extensions that the client offers; with --compression "
            "deflate, wsx offers permessage-deflate",
        )
    if "not HTTP" in reason or "status line" in reason:
        return Problem(
            "not_http", plain, "correct the port in the URL: another protocol is spoken there"
        )
    return Problem("invalid_response", plain, "report this to the operator of the server")


def _explain_accept(error: HandshakeError, _: Conn) -> Problem:
    kind = "has no" if error.response is None else "has a wrong"
    return Problem(
        "wrong_accept",
        f"the server's response {kind} Sec-WebSocket-Accept header, which shows that it did not "
        "process this opening handshake",
        "correct the URL, or the server's WebSocket implementation; a cache before the server may "
        "also answer in its place",
    )


def _explain_subprotocol(error: HandshakeError, conn: Conn) -> Problem:
    chosen = conn.redactor().subprotocol(error.response or "")
    return Problem(
        "subprotocol_not_offered",
        f"the server selected the subprotocol {quote(chosen)}, which was not offered",
        "offer the subprotocol that the server expects, with --subprotocol NAME",
    )


def _explain_upgrade(error: HandshakeError, _: Conn) -> Problem:
    return Problem("not_upgraded", line(error.reason, _LIMIT), _REVERSE_PROXY)


_HEADERS: Final = {
    "Sec-WebSocket-Accept": _explain_accept,
    "Sec-WebSocket-Protocol": _explain_subprotocol,
    "Upgrade header": _explain_upgrade,
    "Connection header": _explain_upgrade,
    "HTTP version": _explain_upgrade,
}
