"""Texts of exceptions that need more than a format string, for :mod:`wsx.errors`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from http.client import responses
from traceback import walk_tb
from typing import Final

from wsx._redaction import redact_text, show_message
from wsx._redactor import Redactor
from wsx._text import describe, line, quote, safely, shorten

__all__ = [
    "cause",
    "certificate_problem",
    "is_clean_close",
    "provider_cause",
    "refusal",
    "refusal_details",
    "tcp_detail",
    "wrong_result",
]

Headers = Sequence[tuple[str, str]]

# Twisted's exceptions whose texts repeat their names; this layer does not import Twisted.
_CAUSES: Final = {
    "ConnectionRefusedError": "connection refused",
    "DNSLookupError": "host name not found",
    "NoRouteError": "no route to the host",
    "TCPTimedOutError": "TCP connection timed out",
}
_CHALLENGES: Final = ("WWW-Authenticate", "Proxy-Authenticate")
_FRAMEWORKS: Final = ("wsx._", "wsx.conn", "twisted.", "asyncio.")
_NO_SECRETS: Final = Redactor()
_URL_LIMIT: Final = 150  # characters
_BODY_LIMIT: Final = 100  # characters
_LINE_BYTES: Final = 1000  # bytes of a body, more than are shown of its first line
_TEXT_TYPES: Final = ("text/", "application/json", "application/problem+", "application/xml")
_RESULTS: Final = "Ok, Reply, Close or None"
_OTHER_RESULTS: Final = {"handle_disconnect": "Ok, Reconnect or None", "code_change": "Ok or None"}
_RECONNECT_VALUES: Final = "conn: a Conn, a callable or None; after: a number of at least 0 or None"


def refusal(
    who: str, code: int, phrase: str, headers: Headers, redactor: Redactor | None = None
) -> str:
    """Return the text for a refused request: the status and, for a redirect, the target.

    Args:
        who: ``"the server"`` or ``"the proxy"``.
        code: The HTTP status code.
        phrase: The reason phrase.
        headers: The pairs of names and values of the response.
        redactor: Hides the secrets of the request, which the response may repeat; or None
            (default).

    Returns:
        ``the server answered 301 Moved Permanently; Location: https://example.com/``. A phrase of
        several words is quoted, unless it is the standard one of the status.
    """
    redactor = redactor or _NO_SECRETS
    text = line(f"{who} answered {code} {_phrase(code, redactor.text(phrase))}")
    location = _header(headers, "Location") if 300 <= code < 400 else None
    if location is None:
        return text
    return f"{text}; Location: {line(redactor.location(location), _URL_LIMIT)}"


def _phrase(code: int, phrase: str) -> str:
    """Return a reason phrase, quoted if it is a sentence of the server's own."""
    is_standard = phrase.lower() == responses.get(code, "").lower()
    return phrase if is_standard or " " not in phrase.strip() else quote(phrase)


def refusal_details(headers: Headers, body: bytes, redactor: Redactor | None = None) -> list[str]:
    """Return the details that log lines add to :func:`refusal`.

    Args:
        headers: The pairs of names and values of the response.
        body: The beginning of the body.
        redactor: Hides the secrets of the request, which the response may repeat; or None
            (default).

    Returns:
        The challenges, ``Retry-After``, and the first line of a text body, as far as present.
    """
    redactor = redactor or _NO_SECRETS
    shown = ((name, _header(headers, name)) for name in (*_CHALLENGES, "Retry-After"))
    found = [
        f"{name}: {line(redactor.challenge(name, value))}"
        for name, value in shown
        if value is not None
    ]
    first = _first_line(headers, body, redactor)
    return [*found, f"body: {quote(first, _BODY_LIMIT)}"] if first else found


def _header(headers: Headers, wanted: str) -> str | None:
    values = [value for name, value in headers if name.lower() == wanted.lower()]
    return ", ".join(values) if values else None


def _first_line(headers: Headers, body: bytes, redactor: Redactor) -> str | None:
    """Return the first line of a body that is text and is neither blank nor compressed."""
    kind = (_header(headers, "Content-Type") or "text/plain").lower()
    if not kind.startswith(_TEXT_TYPES) or _is_compressed(headers):
        return None
    # Secrets are hidden before the text is cut, because a part of one would not be recognised.
    start = redactor.text(body.lstrip()[: 4 * _LINE_BYTES].decode("utf-8", "replace"))
    return start[:_LINE_BYTES].splitlines()[0].strip() if start else None


def _is_compressed(headers: Headers) -> bool:
    """Return whether a body, after its chunks were joined, is still encoded."""
    encodings = (_header(headers, name) for name in ("Content-Encoding", "Transfer-Encoding"))
    codings = ",".join(value for value in encodings if value is not None).lower().split(",")
    return not {coding.strip() for coding in codings} <= {"", "identity", "chunked"}


def cause(error: BaseException, *, detailed: bool = False) -> str:
    """Return one line about the exception with which a connection failed.

    Args:
        error: The exception.
        detailed: Whether to show the ``summary`` of an exception of wsx. Default False.
    """
    text = certificate_problem(error) or _tls_problem(error)
    text = text or _CAUSES.get(type(error).__name__)
    if text is None and is_clean_close(error):
        text = "the server closed the TCP connection"
    text = text or _os_problem(error)
    return describe(error, detailed=detailed) if text is None else text


def _os_problem(error: BaseException) -> str | None:
    """Return a sentence about an error of the system or a time limit of wsx, or None."""
    number = getattr(error, "osError", None)
    if type(error).__name__ == "ConnectError" and isinstance(number, int):
        return os.strerror(number).lower()  # Twisted's text repeats its class and the number.
    if not isinstance(error, OSError):
        return None
    if isinstance(error.filename, (str, bytes)):
        return f"cannot read the file {quote(os.fsdecode(error.filename))}: {error.strerror}"
    # An exception of the operating system has an errno.
    return describe(error).removeprefix("TimeoutError: ") if error.errno is None else None


def provider_cause(error: BaseException) -> str:
    """Return one line about the exception with which a user's callable failed.

    Args:
        error: The exception. Its text may contain anything, so what looks like a secret is hidden.
    """
    if isinstance(error, TimeoutError):
        return describe(error).removeprefix("TimeoutError: ")
    place = _raised_at(error)
    if getattr(error, "describes_itself", False):
        return describe(error)
    text = redact_text(describe(error))
    return text if place is None else f"{text} ({place})"


def _raised_at(error: BaseException) -> str | None:
    """Return the first line of the user's code in a traceback, or None if there is none."""
    for frame, number in walk_tb(error.__traceback__):
        module = frame.f_globals.get("__name__", "")
        if not module.startswith(_FRAMEWORKS):
            name = os.path.basename(frame.f_code.co_filename)
            return line(f"{name}, line {number}")
    return None


def certificate_problem(error: BaseException) -> str | None:
    """Return what is wrong with the server's certificate, or None for any other error.

    The error is recognised by its module or its text, because this module imports no TLS library.
    """
    if any(cls.__module__.partition(".")[0] == "service_identity" for cls in type(error).__mro__):
        return "the server's certificate is not valid for this host name"
    if "certificate verify failed" in safely(str, error).lower():
        return "the server's certificate failed verification"
    return None


def _tls_problem(error: BaseException) -> str | None:
    """Return OpenSSL's reasons, or None for any other error.

    The class is recognised by its module, because this module imports no TLS library.
    """
    is_tls = type(error).__module__ == "OpenSSL.SSL"
    if not is_tls or not error.args or not isinstance(error.args[0], list):
        return None
    reasons = [part[-1] for part in error.args[0] if isinstance(part, tuple)]
    return line(f"TLS error: {', '.join(map(str, reasons))}") if reasons else None


def is_clean_close(error: object) -> bool:
    """Return whether an error is Twisted's ``ConnectionDone``: a FIN closed the TCP connection.

    The class is recognised by its name, because this module does not import Twisted.
    """
    return any(cls.__name__ == "ConnectionDone" for cls in type(error).__mro__)


def tcp_detail(error: BaseException) -> str | None:
    """Return one line about an error of TCP, or None if the error names no cause.

    Twisted's ``ConnectionLost`` without arguments stands for a reset, a timeout or a local abort.
    """
    has_no_cause = type(error).__name__ == "ConnectionLost" and not error.args
    return None if has_no_cause else _tls_problem(error) or describe(error)


def wrong_result(callback: str, result: object) -> str:
    """Return the text for a callback's invalid result: the result and what was expected.

    Args:
        callback: The name of the callback.
        result: The result, which this callback may not return.

    Returns:
        ``handle_frame returned 'abc' (expected Ok, Reply, Close or None)``.
    """
    if callback == "handle_disconnect" and _is_result(result, "Reconnect"):
        shown, allowed = _show_reconnect(result), _RECONNECT_VALUES
    else:
        shown, allowed = _show_result(result), _OTHER_RESULTS.get(callback, _RESULTS)
        if _is_result(result, "Reconnect") and callback not in _OTHER_RESULTS:
            allowed += "; Reconnect is for handle_disconnect, which is called after a Close"
    return f"{callback} returned {shown} (expected {allowed})"


def _is_result(value: object, *names: str) -> bool:
    """Return whether a value is a callback result with one of these class names.

    The class is recognised by its name, because :mod:`wsx.results` imports this module indirectly.
    """
    return type(value).__module__ == "wsx.results" and type(value).__name__ in names


def _show_result(result: object) -> str:
    """Return the text for a result, without the state that it carries."""
    if _is_result(result, "Ok", "Reply", "Close", "Reconnect"):
        return f"{type(result).__name__}(...)"
    return show_message(result)


def _show_reconnect(result: object) -> str:
    conn, after = getattr(result, "conn", None), getattr(result, "after", None)
    # A wrong conn may be a URL with a password, so only its type is shown.
    shown_conn = "None" if conn is None else f"<{type(conn).__name__}>"
    return f"Reconnect(conn={shown_conn}, after={shorten(after)})"
