"""The names of close codes."""

from __future__ import annotations

from typing import Final

__all__ = ["KNOWN_CODES", "name_of"]

# RFC 6455 section 7.4.1 and the IANA registry "WebSocket Close Code Number".
KNOWN_CODES: Final = {
    1000: "normal closure",
    1001: "going away",
    1002: "protocol error",
    1003: "unsupported data",
    1005: "no close code",
    1006: "no close frame",
    1007: "invalid payload data",
    1008: "policy violation",
    1009: "message too big",
    1010: "mandatory extension missing",
    1011: "internal error",
    1012: "service restart",
    1013: "try again later",
    1014: "bad gateway",
    1015: "TLS handshake failed",
    3000: "unauthorized",
    3003: "forbidden",
    3008: "timeout",
}


def name_of(code: int) -> str:
    """Return the name of a close code, or the name of its range (RFC 6455 section 7.4.2)."""
    if code in KNOWN_CODES:
        return KNOWN_CODES[code]
    if 3000 <= code <= 3999:
        return "registered by a library or application"
    return "private use" if 4000 <= code <= 4999 else "unassigned"
