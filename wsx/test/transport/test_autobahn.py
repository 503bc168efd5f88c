"""Tests of ``wsx._transport.autobahn``: what wsx uses of Autobahn, and that both agree."""

from __future__ import annotations

from typing import Any

from autobahn.websocket.protocol import WebSocketProtocol
from twisted.trial.unittest import SynchronousTestCase

from wsx import frames
from wsx._transport import autobahn
from wsx._transport.autobahn import DEFLATE, Deflate, install_native_masker, offer_deflate
from wsx._wire.encoder import MaskSource, apply_mask
from wsx._wire.handshake import parse_extensions
from wsx.frames import is_wire_close_code
from wsx.test.support.connections import Deflater
from wsx.test.support.each import each
from wsx.test.support.extras import wsproto

TEXT = "the quick brown fox jumps over the lazy dog " * 3


class SendingProtocol(WebSocketProtocol):  # type: ignore[misc]
    """Autobahn's protocol with an open connection; records the opcodes of its frames."""

    closeHandshakeTimeout = 0

    def __init__(self) -> None:
        self.state = WebSocketProtocol.STATE_OPEN
        self.opcodes: list[int] = []

    def sendFrame(self, opcode: int, payload: bytes = b"", **_: Any) -> None:
        self.opcodes.append(opcode)


class ConstantTests(SynchronousTestCase):
    """The constants of ``wsx.frames``, which has its own, equal those of Autobahn."""

    def test_message_opcodes(self) -> None:
        """Opcodes of messages are Autobahn's message types."""
        self.assertEqual(frames.TEXT, WebSocketProtocol.MESSAGE_TYPE_TEXT)
        self.assertEqual(frames.BINARY, WebSocketProtocol.MESSAGE_TYPE_BINARY)

    def test_control_opcodes(self) -> None:
        """Opcodes of control frames are those of the frames that Autobahn sends."""
        sender = SendingProtocol()
        sender.sendPing()
        sender.sendPong()
        sender.sendCloseFrame(1000)
        self.assertEqual(sender.opcodes, [frames.PING, frames.PONG, frames.CLOSE])

    def test_all_opcodes(self) -> None:
        """All opcodes are those of wsproto too."""
        for opcode in wsproto.frame_protocol.Opcode:
            self.assertEqual(getattr(frames, opcode.name), int(opcode), opcode.name)

    @each(
        (
            ("NORMAL", frames.NORMAL_CLOSURE),
            ("GOING_AWAY", frames.GOING_AWAY),
            ("PROTOCOL_ERROR", frames.PROTOCOL_ERROR),
            ("NULL", frames.NO_STATUS_RECEIVED),
            ("INVALID_PAYLOAD", frames.INVALID_PAYLOAD),
            ("MESSAGE_TOO_BIG", frames.MESSAGE_TOO_BIG),
            ("INTERNAL_ERROR", frames.INTERNAL_ERROR),
        )
    )
    def test_close_codes(self, name: str, code: int) -> None:
        """Each close code equals Autobahn's."""
        self.assertEqual(getattr(WebSocketProtocol, f"CLOSE_STATUS_CODE_{name}"), code)

    def test_wire_close_codes(self) -> None:
        """A close frame may have the registered codes that Autobahn allows, and 1014."""
        allowed = {code for code in range(3000) if is_wire_close_code(code)}
        # 1014 was registered with IANA after Autobahn's list was written.
        self.assertEqual(allowed, {*WebSocketProtocol.CLOSE_STATUS_CODES_ALLOWED, 1014})


class DeflateTests(SynchronousTestCase):
    """permessage-deflate (RFC 7692 section 7) as Autobahn negotiates it."""

    def negotiate(self, parameters: str) -> Deflate:
        """Return the extension for a server's response with these parameters."""
        ((name, parsed),) = parse_extensions(f"{DEFLATE}; {parameters}" if parameters else DEFLATE)
        self.assertEqual(name, DEFLATE)
        return Deflate(parsed)

    def test_offer(self) -> None:
        """The offer names permessage-deflate, and parameters that a client may offer."""
        ((name, parameters),) = parse_extensions(offer_deflate())
        self.assertEqual(name, DEFLATE)
        self.assertLessEqual(
            set(parameters),
            {
                "client_no_context_takeover",
                "client_max_window_bits",
                "server_no_context_takeover",
                "server_max_window_bits",
            },
        )

    @each(
        {
            "unknown": "bogus",
            "unknown with a value": "bogus=1",
            "window too small": "server_max_window_bits=7",
            "window too large": "server_max_window_bits=16",
            "window not a number": "server_max_window_bits=x",
            "window empty": "server_max_window_bits=",
            "window with a zero": "server_max_window_bits=09",
            "window with a sign": "server_max_window_bits=+9",
            "window with an underscore": "server_max_window_bits=1_0",
            "smallest client window": "client_max_window_bits=8",
            "window without a value": "server_max_window_bits",
            "window twice": "server_max_window_bits=10; server_max_window_bits=10",
            "client window without a value": "client_max_window_bits",
            "client window too small": "client_max_window_bits=7",
            "client window too large": "client_max_window_bits=16",
            "takeover with a value": "client_no_context_takeover=1",
            "server takeover with a value": "server_no_context_takeover=true",
            "takeover twice": "server_no_context_takeover; server_no_context_takeover",
            "empty": "; =",
            "not ASCII": "\xe9",
        }.items()
    )
    def test_bad_parameters(self, name: str, parameters: str) -> None:
        """[S8] Parameters that RFC 7692 does not allow in a response are a ValueError."""
        error = self.assertRaises(ValueError, self.negotiate, parameters)
        self.assertIs(type(error), ValueError)
        self.assertNotEqual(str(error), "")
        self.assertIsNone(error.__cause__)

    @each(
        {
            "none": ("", 15, True),
            "window": ("server_max_window_bits=10", 10, True),
            "smallest window": ("server_max_window_bits=9", 9, True),
            "no context": ("server_no_context_takeover", 15, False),
            "both": ("server_no_context_takeover; server_max_window_bits=12", 12, False),
            "client only": ("client_no_context_takeover; client_max_window_bits=9", 15, True),
        }.items()
    )
    def test_inflater(self, name: str, case: tuple[str, int, bool]) -> None:
        """The inflater has the server's window size and context takeover."""
        parameters, bits, keep_context = case
        inflater = self.negotiate(parameters).inflater()
        deflater = Deflater(takeover=keep_context, bits=bits)
        for _ in range(2):
            inflater.begin(frames.TEXT)
            parts = [*inflater.inflate(deflater.compress(TEXT.encode()), None), *inflater.end(None)]
            data = b"".join(parts)
            self.assertEqual(data, TEXT.encode())
        self.assertEqual(inflater._window_bits, bits)
        self.assertEqual(inflater._keep_context, keep_context)

    def test_smallest_window(self) -> None:
        """``server_max_window_bits=8`` is accepted, and messages for this window are inflated."""
        deflate = self.negotiate("server_max_window_bits=8")
        inflater, deflater = deflate.inflater(), Deflater(bits=9)  # zlib has no smaller window.
        for _ in range(2):
            inflater.begin(frames.TEXT)
            parts = [*inflater.inflate(deflater.compress(TEXT.encode()), None), *inflater.end(None)]
            data = b"".join(parts)
            self.assertEqual(data, TEXT.encode())

    def test_inflaters_are_separate(self) -> None:
        """Each call of ``inflater`` returns another one."""
        deflate = self.negotiate("")
        self.assertIsNot(deflate.inflater(), deflate.inflater())

    def test_compress(self) -> None:
        """Compressed messages refer to earlier ones."""
        deflate, peer = self.negotiate(""), Deflater()
        first, second = deflate.compress(TEXT.encode()), deflate.compress(TEXT.encode())
        self.assertLess(len(second), len(first))
        for data in (first, second):
            self.assertIs(type(data), bytes)
            self.assertEqual(peer.decompress(data), TEXT.encode())

    def test_compress_without_context(self) -> None:
        """With ``client_no_context_takeover`` no compressed message refers to another."""
        deflate = self.negotiate("client_no_context_takeover")
        first, second = deflate.compress(TEXT.encode()), deflate.compress(TEXT.encode())
        self.assertEqual(first, second)

    def test_compress_window(self) -> None:
        """With ``client_max_window_bits`` the server needs no larger window."""
        deflate, peer = self.negotiate("client_max_window_bits=9"), Deflater(bits=9)
        noise = bytes(33 + (i * i * 7) % 90 for i in range(5000))
        for _ in range(2):
            self.assertEqual(peer.decompress(deflate.compress(noise)), noise)

    def test_compress_empty(self) -> None:
        """[F1] Empty messages survive compression."""
        deflate, peer = self.negotiate(""), Deflater()
        for payload in (b"", b"", b"x", b""):
            self.assertEqual(peer.decompress(deflate.compress(payload)), payload)


class MaskerTests(SynchronousTestCase):
    """Masking of long payloads."""

    def setUp(self) -> None:
        self.source = MaskSource()
        self.patch(autobahn, "masks", self.source)

    def test_native(self) -> None:
        """Autobahn's native masker is used if it is there, and masks as RFC 6455 defines."""
        masker = vars(autobahn)["create_xor_masker"]
        native = masker.__module__.startswith("autobahn.nvx")
        install_native_masker()
        self.assertEqual(self.source.apply_long is not apply_mask, native)
        for length in (1, 4095, 4096, 100_003):
            payload, mask = bytes(i % 251 for i in range(length)), b"\x37\xfa\x00\x3d"
            self.assertTrue(self.source.apply_long(payload, mask) == apply_mask(payload, mask))

    def test_pure_python(self) -> None:
        """Autobahn's masker in pure Python is not used: wsx's own is faster."""

        def create_xor_masker(mask: bytes, length: int) -> Any:
            raise AssertionError("the masker in pure Python was used")

        create_xor_masker.__module__ = "autobahn.websocket.xormasker"
        self.patch(autobahn, "create_xor_masker", create_xor_masker)
        install_native_masker()
        self.assertEqual(self.source.apply_long(b"abc", b"abcd"), bytes(3))

    def test_wrapped(self) -> None:
        """A native masker receives the mask and the payload; its result is converted to bytes."""
        calls: list[tuple[bytes, int]] = []

        class Masker:
            def process(self, payload: bytes) -> bytearray:
                return bytearray(payload[::-1])

        def create_xor_masker(mask: bytes, length: int) -> Masker:
            calls.append((mask, length))
            return Masker()

        create_xor_masker.__module__ = "autobahn.nvx._xormasker"
        self.patch(autobahn, "create_xor_masker", create_xor_masker)
        install_native_masker()
        masked = self.source.apply_long(b"abc", b"mask")
        self.assertEqual((masked, type(masked)), (b"cba", bytes))
        self.assertEqual(calls, [(b"mask", 3)])
