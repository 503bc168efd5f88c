"""Responses with status 101 that negotiate something wrong."""

from __future__ import annotations

from wsx.test.support.abuse import (
    ACCEPT,
    AbuseCase,
    Invalid,
    Opened,
    Outcome,
    switching,
)
from wsx.test.support.each import each

# White space that str.strip() removes, but that RFC 9110 section 5.6.3 does not allow.
PADDING = [
    ("vertical_tab", b"\x0b"),
    ("form_feed", b"\x0c"),
    ("file_separator", b"\x1c"),
    ("unit_separator", b"\x1f"),
    ("next_line", b"\x85"),
    ("no_break_space", b"\xa0"),
]


class AcceptTests(AbuseCase):
    """``Sec-WebSocket-Accept``."""

    @each(
        [
            ("missing", []),
            ("empty", [b""]),
            ("wrong", [b"AAAAAAAAAAAAAAAAAAAAAAAAAAA="]),
            ("of_another_key", [b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]),  # RFC 6455 section 1.3
            ("twice", [ACCEPT, ACCEPT]),
            ("right_and_wrong", [ACCEPT, b"AAAAAAAAAAAAAAAAAAAAAAAAAAA="]),
            ("list", [ACCEPT + b", " + ACCEPT]),
            ("trailing_comma", [ACCEPT + b","]),
            ("quoted", [b'"' + ACCEPT + b'"']),
            ("with_parameter", [ACCEPT + b";q=1"]),
            ("split_by_a_space", [b"x " + ACCEPT]),
            ("hexadecimal", [b"b37a4f2cc0624f1690f64606cf385945b2bec4ea"]),
            ("escaped", [b"%3D"]),
        ]
    )
    def test_wrong(self, label: str, values: list[bytes]) -> None:
        """A wrong value is a HandshakeError at once that names the header, without the value."""
        fields = [b"Sec-WebSocket-Accept: " + value for value in values]
        expected = Invalid(reason="Sec-WebSocket-Accept header: expected")
        self.assert_outcome([switching(*fields, without=b"Sec")], expected)
        self.assertNotIn("AAAAAAAA", str(self.error))

    @each([("lower_case", bytes.lower), ("upper_case", bytes.upper)])
    def test_wrong_case(self, label: str, change) -> None:
        """The value is case-sensitive."""
        self.patch(self, "_with_accept", self.changing_accept(change))
        expected = Invalid(reason="Sec-WebSocket-Accept header: expected")
        self.assert_outcome([switching()], expected)

    def changing_accept(self, change):
        """Return a substitute for ``_with_accept`` that changes the value."""
        original = self._with_accept
        return lambda data: data.replace(ACCEPT, change(original(ACCEPT)))

    @each(PADDING)
    def test_padding(self, label: str, padding: bytes) -> None:
        """Only spaces and tabs around the value are ignored."""
        field = b"Sec-WebSocket-Accept: " + padding + ACCEPT
        self.assert_outcome([switching(field, without=b"Sec")], Invalid())

    def test_optional_white_space(self) -> None:
        """Spaces and tabs around the value are ignored (RFC 9110 section 5.6.3)."""
        field = b"Sec-WebSocket-Accept:\t " + ACCEPT + b" \t"
        self.assert_outcome([switching(field, without=b"Sec")], Opened())

    def test_folded(self) -> None:
        """The value may be on a line of its own (RFC 9112 section 5.2)."""
        field = b"Sec-WebSocket-Accept:\r\n " + ACCEPT
        self.assert_outcome([switching(field, without=b"Sec")], Opened())

    def test_no_white_space(self) -> None:
        """The space behind the colon is optional."""
        field = b"sec-websocket-ACCEPT:" + ACCEPT
        self.assert_outcome([switching(field, without=b"Sec")], Opened())


class UpgradeTests(AbuseCase):
    """``Upgrade``."""

    @each(
        [
            ("missing", []),
            ("empty", [b""]),
            ("other", [b"h2c"]),
            ("list_with_another", [b"websocket, h2c"]),
            ("another_first", [b"h2c, websocket"]),
            ("two_fields", [b"websocket", b"h2c"]),
            ("twice", [b"websocket", b"websocket"]),
            ("with_version", [b"websocket/13"]),
            ("with_parameter", [b"websocket;q=1"]),
            ("quoted", [b'"websocket"']),
            ("prefix", [b"websockets"]),
            ("split", [b"web socket"]),
        ]
    )
    def test_wrong(self, label: str, values: list[bytes]) -> None:
        """Anything but the one protocol ``websocket`` is refused."""
        fields = [b"Upgrade: " + value for value in values]
        self.assert_outcome(
            [switching(*fields, without=b"Upgrade")], Invalid(reason="Upgrade header: expected")
        )

    @each(PADDING)
    def test_padding(self, label: str, padding: bytes) -> None:
        """Only spaces and tabs around the value are ignored."""
        for value in (padding + b"websocket", b"websocket" + padding):
            self.begin()
            self.assert_outcome(
                [switching(b"Upgrade: " + value, without=b"Upgrade")],
                Invalid(reason="Upgrade header: expected"),
            )

    @each(
        [
            ("mixed_case", b"WebSocket"),
            ("upper_case", b"WEBSOCKET"),
            ("white_space", b" \twebsocket\t "),
            ("empty_elements", b", websocket ,,"),
        ]
    )
    def test_accepted(self, label: str, value: bytes) -> None:
        """Case, optional white space and empty list elements do not matter."""
        self.assert_outcome([switching(b"Upgrade: " + value, without=b"Upgrade")], Opened())


class ConnectionTests(AbuseCase):
    """``Connection``."""

    @each(
        [
            ("missing", []),
            ("empty", [b""]),
            ("keep_alive", [b"keep-alive"]),
            ("close", [b"close"]),
            ("with_parameter", [b"upgrade;q=1"]),
            ("quoted", [b'"upgrade"']),
            ("prefix", [b"upgrades"]),
            ("part_of_a_token", [b"x-upgrade"]),
            ("separated_by_a_space", [b"keep-alive upgrade"]),
        ]
    )
    def test_wrong(self, label: str, values: list[bytes]) -> None:
        """A response whose ``Connection`` has no token ``upgrade`` is refused."""
        fields = [b"Connection: " + value for value in values]
        self.assert_outcome(
            [switching(*fields, without=b"Connection")],
            Invalid(reason="Connection header: expected"),
        )

    @each(PADDING)
    def test_padding(self, label: str, padding: bytes) -> None:
        """Only spaces and tabs around the elements of the list are ignored."""
        for value in (padding + b"Upgrade", b"keep-alive," + padding + b"upgrade"):
            self.begin()
            self.assert_outcome(
                [switching(b"Connection: " + value, without=b"Connection")],
                Invalid(reason="Connection header: expected"),
            )

    @each(
        [
            ("lower_case", [b"upgrade"]),
            ("upper_case", [b"UPGRADE"]),
            ("list", [b"keep-alive, Upgrade"]),
            ("list_with_empty_elements", [b",,keep-alive,,Upgrade,"]),
            ("two_fields", [b"keep-alive", b"Upgrade"]),
            ("twice", [b"Upgrade", b"upgrade"]),
            ("with_close", [b"close, upgrade"]),
        ]
    )
    def test_accepted(self, label: str, values: list[bytes]) -> None:
        """The token ``upgrade`` may be anywhere in the list, in any case."""
        fields = [b"Connection: " + value for value in values]
        self.assert_outcome([switching(*fields, without=b"Connection")], Opened())


class SubprotocolTests(AbuseCase):
    """``Sec-WebSocket-Protocol``."""

    WRONG = Invalid(reason="Sec-WebSocket-Protocol header: expected")

    @each(
        [
            ("not_offered", ("chat",), [b"news"]),
            ("none_offered", (), [b"chat"]),
            ("wrong_case", ("chat",), [b"Chat"]),
            ("empty", ("chat",), [b""]),
            ("empty_none_offered", (), [b""]),
            ("several", ("chat", "news"), [b"chat, news"]),
            ("several_fields", ("chat", "news"), [b"chat", b"news"]),
            ("twice", ("chat",), [b"chat", b"chat"]),
            ("quoted", ("chat",), [b'"chat"']),
            ("with_parameter", ("chat",), [b"chat;v=1"]),
            ("prefix", ("chat",), [b"cha"]),
            ("vertical_tab", ("chat",), [b"chat\x0b"]),
            ("no_break_space", ("chat",), [b"\xa0chat"]),
        ]
    )
    def test_wrong(self, label: str, offered: tuple[str, ...], values: list[bytes]) -> None:
        """Anything but one of the offered subprotocols is refused."""
        fields = [b"Sec-WebSocket-Protocol: " + value for value in values]
        self.assert_outcome([switching(*fields)], self.WRONG, subprotocols=offered)

    @each([("first", b"chat"), ("last", b"v2.chat"), ("white_space", b" \tchat ")])
    def test_selected(self, label: str, value: bytes) -> None:
        """One of the offered subprotocols may be selected."""
        script = [switching(b"Sec-WebSocket-Protocol:" + value)]
        self.assert_outcome(script, Opened(), subprotocols=("chat", "v2.chat"))
        self.assertEqual(self.client.conn.subprotocol, value.strip().decode())

    def test_none_selected(self) -> None:
        """The server need not select any."""
        self.assert_outcome([switching()], Opened(), subprotocols=("chat",))
        self.assertIsNone(self.client.conn.subprotocol)


NOT_OFFERED = Invalid(reason="not offered")
WRONG = Invalid(reason="the extension's parameters are wrong")


class ExtensionTests(AbuseCase):
    """``Sec-WebSocket-Extensions``."""

    @each(
        [
            ("deflate", b"permessage-deflate"),
            ("other", b"x-webkit-deflate-frame"),
            ("garbage", b"=;=,"),
            ("comma", b","),
        ]
    )
    def test_none_offered(self, label: str, value: bytes) -> None:
        """No extension is accepted if none was offered."""
        self.assert_outcome([switching(b"Sec-WebSocket-Extensions: " + value)], Invalid())

    def test_empty_header(self) -> None:
        """An empty header selects no extension."""
        self.assert_outcome([switching(b"Sec-WebSocket-Extensions:")], Opened())

    @each(
        [
            ("other", b"x-webkit-deflate-frame", NOT_OFFERED),
            ("similar", b"permessage-deflat", NOT_OFFERED),
            ("duplicated", b"permessage-deflate, permessage-deflate", NOT_OFFERED),
            (
                "duplicated_fields",
                b"permessage-deflate\r\nSec-WebSocket-Extensions: permessage-deflate",
                NOT_OFFERED,
            ),
            ("with_another", b"permessage-deflate, permessage-bzip2", NOT_OFFERED),
            ("another_first", b"permessage-bzip2, permessage-deflate", NOT_OFFERED),
            ("quoted_name", b'"permessage-deflate"', Invalid()),
            ("value_for_name", b"permessage-deflate=1", Invalid()),
            ("separated_by_a_space", b"permessage-deflate client_max_window_bits", Invalid()),
            ("comma", b",", NOT_OFFERED),
            ("semicolons", b";;;", Invalid()),
            ("equals_signs", b"=;=,=", Invalid()),
            ("quotation_mark", b'"', Invalid()),
            ("binary", bytes(range(128, 256)), Invalid()),
            ("unknown_parameter", b"permessage-deflate; fast", WRONG),
            ("unknown_parameter_with_value", b"permessage-deflate; level=9", WRONG),
            ("empty_name", b"permessage-deflate; =15", Invalid()),
            ("server_bits_7", b"permessage-deflate; server_max_window_bits=7", WRONG),
            ("server_bits_16", b"permessage-deflate; server_max_window_bits=16", WRONG),
            ("server_bits_0", b"permessage-deflate; server_max_window_bits=0", WRONG),
            ("server_bits_negative", b"permessage-deflate; server_max_window_bits=-9", WRONG),
            ("server_bits_empty", b"permessage-deflate; server_max_window_bits=", Invalid()),
            ("server_bits_leading_zero", b"permessage-deflate; server_max_window_bits=09", WRONG),
            ("server_bits_plus_sign", b"permessage-deflate; server_max_window_bits=+9", WRONG),
            ("client_bits_8", b"permessage-deflate; client_max_window_bits=8", WRONG),
            ("vertical_tab", b"permessage-deflate;\x0bserver_no_context_takeover", Invalid()),
            ("no_break_space", b"permessage-deflate\xa0", Invalid()),
            ("server_bits_without_value", b"permessage-deflate; server_max_window_bits", WRONG),
            ("server_bits_word", b"permessage-deflate; server_max_window_bits=many", WRONG),
            ("server_bits_fraction", b"permessage-deflate; server_max_window_bits=9.5", WRONG),
            (
                "server_bits_long",
                b"permessage-deflate; server_max_window_bits=" + b"9" * 5000,
                WRONG,
            ),
            ("client_bits_7", b"permessage-deflate; client_max_window_bits=7", WRONG),
            ("client_bits_16", b"permessage-deflate; client_max_window_bits=16", WRONG),
            ("client_bits_without_value", b"permessage-deflate; client_max_window_bits", WRONG),
            (
                "duplicated_parameter",
                b"permessage-deflate; server_max_window_bits=9; server_max_window_bits=15",
                WRONG,
            ),
            (
                "duplicated_flag",
                b"permessage-deflate; server_no_context_takeover; server_no_context_takeover",
                WRONG,
            ),
            ("flag_with_value", b"permessage-deflate; server_no_context_takeover=1", WRONG),
        ]
    )
    def test_deflate_offered(self, label: str, value: bytes, expected: Outcome) -> None:
        """Anything but permessage-deflate with valid parameters is refused."""
        self.assert_outcome(
            [switching(b"Sec-WebSocket-Extensions: " + value)], expected, compression="deflate"
        )

    @each(
        [
            ("no_parameters", b"permessage-deflate"),
            ("server_bits_8", b"permessage-deflate; server_max_window_bits=8"),
            ("server_bits_9", b"permessage-deflate; server_max_window_bits=9"),
            ("server_bits_15", b"permessage-deflate; server_max_window_bits=15"),
            ("client_bits_9", b"permessage-deflate; client_max_window_bits=9"),
            ("quoted_value", b'permessage-deflate; server_max_window_bits="10"'),
            ("flags", b"permessage-deflate;server_no_context_takeover;client_no_context_takeover"),
            ("white_space", b"\tpermessage-deflate ;\tserver_max_window_bits = 12 "),
        ]
    )
    def test_accepted(self, label: str, value: bytes) -> None:
        """permessage-deflate with the parameters of RFC 7692 is accepted."""
        self.assert_outcome(
            [switching(b"Sec-WebSocket-Extensions:" + value)], Opened(), compression="deflate"
        )

    def test_none_selected(self) -> None:
        """The server need not select the extension."""
        self.assert_outcome([switching()], Opened(), compression="deflate")
        self.assertEqual(self.client.conn.extensions, ())
