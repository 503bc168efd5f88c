"""Redaction of text that a server or a proxy sent and that may repeat secrets of the request."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final
from urllib.parse import quote, unquote, unquote_plus

from wsx._redaction import (
    HIDDEN,
    is_secret_name,
    is_token_like,
    redact_header,
    redact_subprotocols,
    redact_url,
    redact_user,
)

__all__ = ["Redactor"]

Pairs = Sequence[tuple[str, str]]

# Shorter values are hidden only beside their names, because they are often words of a message.
_MIN_VALUE: Final = 6
_MIN_SECRET: Final = 3
_MIN_UNBOUNDED: Final = 8  # Shorter needles must not be part of a longer word.
_NOT_IN_WORD: Final = "(?:(?<![A-Za-z0-9])|(?<=%[0-9A-Fa-f]{2}))"
# RFC 7519 section 3. A match begins only at the beginning of a word: a search at each "eyJ" in a
# long word would take quadratic time.
_JSON_WEB_TOKEN: Final = re.compile(
    r"(?:(?<![\w-])|(?<=%[0-9A-Fa-f]{2}))eyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?"
)
_WORD: Final = re.compile(r"[^\s,;\"'=]+")
_URL_HEADERS: Final = frozenset({"location", "content-location"})


class Redactor:
    """Hide the secrets of one request in text of the response to it.

    A server may repeat the request in its refusal, for example in ``Cannot GET /feed?token=...``.
    The secrets are the values of the URL's query, passwords, the values of secret headers, and
    subprotocols that look like tokens. They are also hidden when percent-encoded, decoded or
    escaped for HTML.

    Args:
        query: The query of the URL. Default empty.
        credentials: Pairs of user name and password, of the URL and of the proxy; the password may
            be empty, and the user name may be a token. Default none.
        headers: The headers of the request. Default none.
        secret_headers: More names of secret headers. Default none.
        subprotocols: The subprotocols that were offered. Default none.
    """

    __slots__ = ("_names", "_offered", "_pattern", "_shown")

    def __init__(
        self,
        query: str = "",
        credentials: Pairs = (),
        headers: Pairs = (),
        secret_headers: Iterable[str] = (),
        subprotocols: Sequence[str] = (),
    ) -> None:
        self._names = frozenset(name.lower() for name in secret_headers)
        self._offered = dict(zip(subprotocols, redact_subprotocols(subprotocols), strict=True))
        values = _query_values(query)
        secrets = [
            *(value for name, value in values if len(value) >= _min_length(name)),
            *_credential_secrets(credentials),
            *_header_secrets(headers, self._names),
            *(name for name, shown in self._offered.items() if name != shown),
        ]
        self._shown = {form: HIDDEN for secret in secrets for form in _forms(secret)}
        for name, value in values:
            if name:
                self._shown |= {f"{name}={form}": f"{name}={HIDDEN}" for form in _forms(value)}
        ordered = sorted(self._shown, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(_bounded, ordered))) if ordered else None

    def text(self, text: str) -> str:
        """Return text with the secrets replaced by ``...``; the names of query values stay."""
        if self._pattern is not None:
            text = self._pattern.sub(lambda match: self._shown[match[0]], text)
        return _JSON_WEB_TOKEN.sub(HIDDEN, text)

    def challenge(self, name: str, value: str) -> str:
        """Return the value of a header that asks for credentials, without tokens in it."""
        if name.lower() in self._names:
            return HIDDEN
        return _WORD.sub(lambda m: HIDDEN if is_token_like(m[0]) else m[0], self.text(value))

    def location(self, value: str) -> str:
        """Return the value of a ``Location`` header, redacted."""
        return HIDDEN if "location" in self._names else self.text(redact_url(value))

    def header(self, name: str, value: str) -> tuple[str, str]:
        """Return a header of the response with its value redacted."""
        if name.lower() == "sec-websocket-protocol":
            return name, self.subprotocol(value)
        if name.lower() in _URL_HEADERS:
            value = redact_url(value)
        return redact_header(name, self.text(value), self._names)

    def subprotocol(self, name: str) -> str:
        """Return the subprotocol that the server selected, hidden if it looks like a token."""
        return self._offered.get(name) or redact_subprotocols([name])[0]


def _query_values(query: str) -> list[tuple[str, str]]:
    """Return the names and values of a query; the name is empty if there is none."""
    parts = (part.partition("=") for part in query.split("&") if part)
    return [(name, value) if equals else ("", name) for name, equals, value in parts]


def _min_length(name: str) -> int:
    return _MIN_SECRET if is_secret_name(name) else _MIN_VALUE


def _credential_secrets(credentials: Pairs) -> Iterator[str]:
    for username, password in credentials:
        yield base64.b64encode(f"{username}:{password}".encode()).decode("ascii")
        if len(password) >= _MIN_SECRET:
            yield password
        if redact_user(username) != username:
            yield username


def _header_secrets(headers: Pairs, names: frozenset[str]) -> Iterator[str]:
    """Yield the values of secret headers, and the parts that may be repeated alone."""
    for name, value in headers:
        if is_secret_name(name, names):
            words = [word for word in _WORD.findall(value) if len(word) > _MIN_VALUE]
            parts = [value, value.partition(" ")[2].strip(), *words]
            yield from (part for part in parts if len(part) >= _MIN_SECRET)


def _forms(secret: str) -> set[str]:
    """Return the forms in which a server may repeat a secret."""
    decoded = {secret, unquote(secret), unquote_plus(secret)}
    forms = {form for text in decoded for form in (text, quote(text, safe=""), html.escape(text))}
    # The head of a response is decoded as ISO-8859-1, its body as UTF-8.
    forms |= {form.encode("utf-8", "replace").decode("latin-1") for form in forms}
    return forms - {""}


def _bounded(needle: str) -> str:
    """Return the pattern for a needle; a short one must not be part of a longer word."""
    if len(needle) >= _MIN_UNBOUNDED:
        return re.escape(needle)
    before = _NOT_IN_WORD if needle[0].isalnum() and "=" not in needle else ""
    after = r"(?![A-Za-z0-9])" if needle[-1].isalnum() else ""
    return f"{before}{re.escape(needle)}{after}"
