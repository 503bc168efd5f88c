"""Redaction of headers, messages and URLs that appear in logs, errors and ``repr``.

All code that shows a header or a URL uses these rules.
"""

from __future__ import annotations

import re
from typing import Final

from wsx._text import shorten

__all__ = [
    "HIDDEN",
    "is_secret_name",
    "redact_header",
    "redact_query",
    "redact_url",
    "show_message",
]

HIDDEN: Final = "..."
_MAX_DEPTH: Final = 4  # levels of containers that are shown of a message
_SECRET_WORDS: Final = re.compile("auth|token|key|secret|cookie|password|signature", re.IGNORECASE)
# RFC 3986 appendix B. This matches every str. Groups: scheme, authority, path, query, fragment.
_URL: Final = re.compile(
    r"(?:([^:/?#]+):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL
)
_PORT: Final = re.compile(r"[0-9A-Fa-f:]*")  # a number, or the rest of an IPv6 address


def is_secret_name(name: str) -> bool:
    """Return whether the value of a header with this name must not be shown.

    A name is secret if it contains ``auth``, ``token``, ``key``, ``secret``, ``cookie``,
    ``password`` or ``signature``, in any case: ``Authorization``, ``Set-Cookie``, ``X-Api-Key``,
    ``Sec-WebSocket-Key``. ``Sec-WebSocket-Accept`` and ``Keep-Alive`` contain none of these.
    """
    return _SECRET_WORDS.search(name) is not None


def redact_header(name: str, value: str) -> tuple[str, str]:
    """Return a header with its value hidden if its name is secret."""
    return name, HIDDEN if is_secret_name(name) else value


def show_message(message: object) -> str:
    """Return a cast or an info for a log line: shortened, with the values of secret keys hidden."""
    return shorten(_hide_secrets(message, _MAX_DEPTH))


def _hide_secrets(value: object, depth: int) -> object:
    """Return a copy of a container without secrets; anything below ``depth`` levels is hidden."""
    if type(value) not in (dict, list, tuple):
        return value
    if not depth:
        return HIDDEN
    if isinstance(value, dict):
        return {
            key: HIDDEN if _is_secret_key(key) else _hide_secrets(item, depth - 1)
            for key, item in value.items()
        }
    assert isinstance(value, (list, tuple))
    return type(value)(_hide_secrets(item, depth - 1) for item in value)


def _is_secret_key(key: object) -> bool:
    text = key.decode("latin-1") if isinstance(key, bytes) else key
    return isinstance(text, str) and is_secret_name(text)


def redact_query(query: str) -> str:
    """Return the query of a URL with its values hidden and its names shown."""
    pairs = [part.partition("=") for part in query.split("&")] if query else []
    return "&".join(f"{name}={HIDDEN}" if equals else HIDDEN for name, equals, _ in pairs)


def redact_url(url: str) -> str:
    """Return a URL, valid or not, with its secrets hidden.

    The password, the values of the query and the fragment are hidden. If part of a password may be
    outside the authority, because a ``/``, ``?`` or ``#`` in it is not percent-encoded, only the
    scheme is shown.
    """
    match = _URL.fullmatch(url)
    assert match is not None
    scheme, authority, path, query, fragment = match.groups()
    prefix = "" if scheme is None else f"{scheme}:"
    if authority is None:
        if _may_hide_credentials(url, ""):
            return HIDDEN
    elif _may_hide_credentials(url[len(prefix) + len("//") :], authority):
        return f"{prefix}//{HIDDEN}"
    place = "" if authority is None else f"//{_redact_authority(authority)}"
    shown_query = "" if query is None else f"?{redact_query(query)}"
    shown_fragment = "" if fragment is None else f"#{HIDDEN if fragment else ''}"
    return f"{prefix}{place}{path}{shown_query}{shown_fragment}"


def _may_hide_credentials(text: str, authority: str) -> bool:
    """Return whether ``user:password@`` may extend beyond the authority at the start of ``text``.

    In ``user:pass/word@host``, for example, the authority ends at the slash.
    """
    before, at, _ = text.rpartition("@")
    return bool(at) and ":" in before and len(before) >= len(authority)


def _redact_authority(authority: str) -> str:
    userinfo, at, place = authority.rpartition("@")
    user, colon, _ = userinfo.partition(":")
    shown_password = f":{HIDDEN}" if colon else ""
    return f"{user}{shown_password}{at}{_redact_port(place)}"


def _redact_port(place: str) -> str:
    """Hide a port that is not a number: it is a password if the ``@`` after it is ``%40``."""
    literal, bracket, rest = place.partition("]") if place.startswith("[") else ("", "", place)
    host, colon, port = rest.partition(":")
    shown = port if _PORT.fullmatch(port) else HIDDEN
    return f"{literal}{bracket}{host}{colon}{shown}"
