"""Everything that wsx uses of Autobahn; no other library module imports it.

Autobahn negotiates permessage-deflate, compresses, and masks long payloads in native code. Its
protocol class is not used: its timers run on the global reactor in whole seconds, its factory
reseeds the shared random generator, its opening handshake loses the server's refusal, and its
frame parser copies the rest of the read for every frame.
"""

from __future__ import annotations

from typing import Any, Final

from autobahn.websocket.compress import (
    PerMessageDeflate,
    PerMessageDeflateOffer,
    PerMessageDeflateResponse,
    PerMessageDeflateResponseAccept,
)
from autobahn.websocket.xormasker import create_xor_masker

from wsx._wire.encoder import masks
from wsx._wire.inflater import Inflater

__all__ = ["DEFLATE", "Deflate", "install_native_masker", "offer_deflate"]

DEFLATE: Final = "permessage-deflate"  # RFC 7692 section 7


def offer_deflate() -> str:
    """Return the extension offer for the opening handshake's request."""
    return str(PerMessageDeflateOffer().get_extension_string())


class Deflate:
    """permessage-deflate on one connection, as client and server agreed on it.

    Args:
        parameters: The extension's parameters in the server's response.

    Raises:
        ValueError: The parameters do not answer the offer.
    """

    def __init__(self, parameters: dict[str, list[Any]]) -> None:
        try:
            response = PerMessageDeflateResponse.parse(parameters)
            accept = PerMessageDeflateResponseAccept(response)
            self._codec = PerMessageDeflate.create_from_response_accept(False, accept)
        except Exception as error:  # Autobahn raises plain exceptions here
            raise ValueError(str(error)) from None

    def compress(self, payload: bytes) -> bytes:
        """Return the payload of one message, compressed."""
        self._codec.start_compress_message()
        compressed = self._codec.compress_message_data(payload)
        return bytes(compressed + self._codec.end_compress_message())

    def inflater(self) -> Inflater:
        """Return an inflater for the server's messages."""
        return Inflater(
            self._codec.server_max_window_bits, not self._codec.server_no_context_takeover
        )


def install_native_masker() -> None:
    """Mask long payloads with Autobahn's native code if it is available."""
    if create_xor_masker.__module__.startswith("autobahn.nvx"):  # not the pure Python fallback
        masks.apply_long = _mask_natively


def _mask_natively(payload: bytes, mask: bytes) -> bytes:
    return bytes(create_xor_masker(mask, len(payload)).process(payload))
