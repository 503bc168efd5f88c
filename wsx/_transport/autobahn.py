"""The features of Autobahn that the client uses. Only the demo server imports Autobahn as well.

Autobahn negotiates permessage-deflate, compresses, and masks long payloads in native code. Its
protocol class is not used: it truncates timeouts to whole seconds on the global reactor, reseeds
the shared random generator, discards the server's refusal of the opening handshake, and copies the
rest of the read for every frame.
"""

from __future__ import annotations

import re
from typing import Any, Final

from autobahn.websocket.compress import (
    PerMessageDeflate,
    PerMessageDeflateOffer,
    PerMessageDeflateResponse,
    PerMessageDeflateResponseAccept,
)
from autobahn.websocket.xormasker import create_xor_masker

from wsx._text import expected
from wsx._wire.encoder import FIN, RSV1, encode, masks
from wsx._wire.inflater import Inflater
from wsx.frames import Binary, Frame, Text, wire_payload

__all__ = ["DEFLATE", "Deflate", "install_native_masker", "offer_deflate"]

DEFLATE: Final = "permessage-deflate"  # RFC 7692 section 7
_SERVER_BITS: Final = "server_max_window_bits"
_WINDOW_BITS: Final = re.compile("8|9|1[0-5]")  # RFC 7692 section 7.1.2


def offer_deflate() -> str:
    """Return the offer of permessage-deflate: the value of ``Sec-WebSocket-Extensions``."""
    return str(PerMessageDeflateOffer().get_extension_string())


class Deflate:
    """permessage-deflate on one connection, with the negotiated parameters.

    Args:
        parameters: The parameters of the extension in the server's response, by name.

    Raises:
        ValueError: The parameters are not valid for the offer.
    """

    def __init__(self, parameters: dict[str, list[Any]]) -> None:
        _check_window_bits(parameters)
        try:
            response = PerMessageDeflateResponse.parse(_with_larger_window(parameters))
            accept = PerMessageDeflateResponseAccept(response)
            self._codec = PerMessageDeflate.create_from_response_accept(False, accept)
        except Exception as error:  # Autobahn raises instances of Exception itself here.
            raise ValueError(str(error)) from None

    def compress(self, payload: bytes) -> bytes:
        """Return the compressed payload of one message."""
        self.begin()
        return self.add(payload) + self.end()

    def begin(self) -> None:
        """Begin a message."""
        self._codec.start_compress_message()

    def add(self, payload: bytes) -> bytes:
        """Compress a part of the message. The result may be empty."""
        return bytes(self._codec.compress_message_data(payload))

    def end(self) -> bytes:
        """Return the last compressed bytes of the message."""
        return bytes(self._codec.end_compress_message())

    def encode(self, frames: list[object]) -> list[bytes]:
        """Encode frames with compressed messages: all of them or none.

        All are checked first, because compressing a message changes the shared LZ77 window.

        Raises:
            InvalidFrameError: One of the values is not a frame.
            FrameEncodeError: RFC 6455 does not allow one of the frames.
        """
        checked = [(frame, wire_payload(frame)) for frame in frames]
        encoded = []
        for frame, payload in checked:
            assert isinstance(frame, Frame)
            flags = FIN
            if isinstance(frame, (Text, Binary)):
                payload = self.compress(payload)
                flags |= RSV1
            encoded.append(encode(frame.opcode, payload, masks.take(), flags))
        return encoded

    def inflater(self) -> Inflater:
        """Return an inflater for the server's messages."""
        return Inflater(
            self._codec.server_max_window_bits, not self._codec.server_no_context_takeover
        )


def _check_window_bits(parameters: dict[str, list[Any]]) -> None:
    """Check the sizes of the LZ77 windows, for which Autobahn accepts more than RFC 7692."""
    for name in (_SERVER_BITS, "client_max_window_bits"):
        for value in parameters.get(name, ()):
            if value is True or not _WINDOW_BITS.fullmatch(value):
                raise ValueError(expected(name, "8 to 15", "nothing" if value is True else value))


def _with_larger_window(parameters: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Return parameters with which messages for a window of 2**8 bytes can be inflated.

    Autobahn does not accept ``server_max_window_bits=8``. A larger window inflates the same
    messages, and zlib does not compress with a window of 2**8 bytes. The same replacement for
    ``client_max_window_bits`` would be wrong, because the server's window may be the smaller one.
    """
    if parameters.get(_SERVER_BITS) != ["8"]:
        return parameters
    return parameters | {_SERVER_BITS: ["9"]}


def install_native_masker() -> None:
    """Mask long payloads with Autobahn's native code if it is available."""
    if create_xor_masker.__module__.startswith("autobahn.nvx"):  # Not the pure Python fallback.
        masks.apply_long = _mask_natively


def _mask_natively(payload: bytes, mask: bytes) -> bytes:
    return bytes(create_xor_masker(mask, len(payload)).process(payload))
