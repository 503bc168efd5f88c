"""Redaction of headers, messages and URLs that appear in logs, errors and ``repr``.

All code that shows a header or a URL uses these rules.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Final

from wsx._text import shorten

__all__ = [
    "HIDDEN",
    "is_secret_name",
    "is_token_like",
    "redact_header",
    "redact_query",
    "redact_subprotocols",
    "redact_text",
    "redact_url",
    "redact_user",
    "show_message",
]

HIDDEN: Final = "..."
_MAX_DEPTH: Final = 4  # levels of containers that are shown of a message
_SECRET_WORDS: Final = re.compile("auth|token|key|secret|cookie|password|signature", re.IGNORECASE)
_JSON_WEB_TOKEN: Final = re.compile(r"eyJ[\w-]+(?:\.[\w-]*)*")  # RFC 7519 section 3
_UUID: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_LONG_RUN: Final = re.compile(r"[A-Za-z0-9+/_~=-]{16,}")  # base64, base64url or hexadecimal
_HEXADECIMAL: Final = re.compile("[0-9a-fA-F]+")
# Subprotocols that announce that the next subprotocol is a token.
_TOKEN_MARKERS: Final = re.compile(
    "(?:access[_-]?token|auth(?:orization|entication)?|bearer|id[_-]?token|jwt|token|api[_-]?key)",
    re.IGNORECASE,
)
_SECRET_SUBPROTOCOL: Final = re.compile(f"{_SECRET_WORDS.pattern}|bearer|jwt", re.IGNORECASE)
# RFC 3986 appendix B. This matches every str. Groups: scheme, authority, path, query, fragment.
_URL: Final = re.compile(
    r"(?:([^:/?#]+):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL
)
_URL_IN_TEXT: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>)]+")
_CREDENTIALS: Final = re.compile(
    r"\b((?:bearer|basic) +|(?:token|password|secret|key)[:=] ?)[^\s,;'\"]+", re.IGNORECASE
)
_WORD: Final = re.compile(r"[^\s,;:\"'=/?&]+")
_PORT: Final = re.compile(r"[0-9A-Fa-f:]*")  # a number, or the rest of an IPv6 address


def is_secret_name(name: str, more: Collection[str] = ()) -> bool:
    """Return whether the value of a header with this name must not be shown.

    A name is secret if it contains ``auth``, ``token``, ``key``, ``secret``, ``cookie``,
    ``password`` or ``signature``, in any case: ``Authorization``, ``Set-Cookie``, ``X-Api-Key``,
    ``Sec-WebSocket-Key``. ``Sec-WebSocket-Accept`` and ``Keep-Alive`` contain none of these.

    Args:
        name: The name.
        more: More secret names, in lower case. Default none.
    """
    return _SECRET_WORDS.search(name) is not None or name.lower() in more


def redact_header(name: str, value: str, more: Collection[str] = ()) -> tuple[str, str]:
    """Return a header with its value hidden if its name is secret.

    Args:
        name: The name of the header.
        value: The value.
        more: More secret names, in lower case. Default none.
    """
    return name, HIDDEN if is_secret_name(name, more) else value


def is_token_like(text: str) -> bool:
    """Return whether text looks like a credential instead of a name.

    These look like credentials: a JSON Web Token, a UUID, 16 or more hexadecimal digits, and 16 or
    more characters of base64 that change often between small letters, capitals and digits.
    """
    if _JSON_WEB_TOKEN.fullmatch(text) or _UUID.search(text):
        return True
    return any(_is_random(run) for run in _LONG_RUN.findall(text))


def _is_random(run: str) -> bool:
    """Return whether characters look random: words and camel case change less often."""
    if _HEXADECIMAL.fullmatch(run):
        return True
    kinds = ["digit" if c.isdigit() else c.isupper() for c in run if c.isalnum()]
    changes = sum(one != two for one, two in pairwise(kinds))
    return changes * 3 >= len(run)


def redact_subprotocols(names: Sequence[str]) -> tuple[str, ...]:
    """Return subprotocols with those hidden that carry a credential.

    A subprotocol is hidden if it looks like a token, if it contains one of the words of a secret
    name, ``bearer`` or ``jwt``, such as ``base64url.bearer.authorization.k8s.io.c2Vj``, or if it
    follows one that is only such a word, such as ``access_token``.
    """
    shown = []
    after_marker = False
    for name in names:
        is_marker = _TOKEN_MARKERS.fullmatch(name) is not None
        has_word = _SECRET_SUBPROTOCOL.search(name) is not None
        hidden = not is_marker and (after_marker or has_word or is_token_like(name))
        shown.append(HIDDEN if hidden else name)
        after_marker = is_marker
    return tuple(shown)


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


def redact_text(text: str) -> str:
    """Return text from any source with the secrets of URLs and what looks like a token hidden."""
    text = _URL_IN_TEXT.sub(lambda match: redact_url(match[0]), text)
    text = _CREDENTIALS.sub(rf"\1{HIDDEN}", text)
    return _WORD.sub(lambda match: HIDDEN if is_token_like(match[0]) else match[0], text)


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
    return f"{redact_user(user)}{shown_password}{at}{_redact_port(place)}"


def redact_user(user: str) -> str:
    """Return a user name, hidden if it looks like a token: ``https://TOKEN@host/``."""
    return HIDDEN if is_token_like(user) else user


def _redact_port(place: str) -> str:
    """Hide a port that is not a number: it is a password if the ``@`` after it is ``%40``."""
    literal, bracket, rest = place.partition("]") if place.startswith("[") else ("", "", place)
    host, colon, port = rest.partition(":")
    shown = port if _PORT.fullmatch(port) else HIDDEN
    return f"{literal}{bracket}{host}{colon}{shown}"
