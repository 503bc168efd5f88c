"""Hostile header fields in the response to the opening handshake."""

from __future__ import annotations

from wsx.test.support.abuse import (
    ACCEPT,
    SWITCHING,
    AbuseCase,
    Drip,
    Failed,
    Invalid,
    Opened,
    Outcome,
    switching,
)
from wsx.test.support.each import each

NO_NAME = Invalid(reason="no valid name")
CONTROL = Invalid(reason="NUL, or CR without LF")
LIMIT = 64 * 1024  # bytes, the default of max_header_size
ACCEPT_LENGTH = 28  # characters of a Sec-WebSocket-Accept value


def of_size(size: int) -> bytes:
    """Return a response that opens the connection and whose head has this size."""
    missing = size - len(switching(b"X: ")) - ACCEPT_LENGTH + len(ACCEPT)
    return switching(b"X: " + b"x" * missing)


class MalformedFieldTests(AbuseCase):
    """Header fields that RFC 9112 section 5 forbids are refused at once."""

    @each(
        [
            ("no_colon", b"X"),
            ("only_text", b"some text"),
            ("status_line", b"HTTP/1.1 200 OK"),
            ("empty_name", b": value"),
            ("only_colon", b":"),
            ("space_before_colon", b"X : value"),
            ("tab_before_colon", b"X\t: value"),
            ("second_accept_with_a_space", b"Sec-WebSocket-Accept : " + ACCEPT),
            ("space_in_name", b"X Y: value"),
            ("tab_in_name", b"X\tY: value"),
            ("control_in_name", b"X\x01: value"),
            ("vertical_tab_in_name", b"X\x0b: value"),
            ("escape_in_name", b"X\x1b[31m: value"),
            ("delete_in_name", b"X\x7f: value"),
            ("latin_1_name", b"X\xe9: value"),
            ("no_break_space_in_name", b"X\xa0: value"),
            ("quotation_mark_in_name", b'"X": value'),
            ("slash_in_name", b"X/Y: value"),
            ("brackets_in_name", b"[X]: value"),
        ]
    )
    def test_name(self, label: str, field: bytes) -> None:
        """A malformed field makes a response invalid that is otherwise correct."""
        self.assert_outcome([switching(field)], NO_NAME)

    @each(
        [
            ("nul_in_name", b"X\0: value"),
            ("nul_in_value", b"X: a\0b"),
            ("nul_before_value", b"X: \0value"),
            ("cr_in_name", b"X\rY: value"),
            ("cr_in_value", b"X: a\rY: b"),
            ("cr_cr_lf", b"X: a\r\r\nY: b"),
        ]
    )
    def test_control(self, label: str, field: bytes) -> None:
        """NUL, and CR outside a line end, make a response invalid (RFC 9110 section 5.5)."""
        self.assert_outcome([switching(field)], CONTROL)

    def test_folded_first_field(self) -> None:
        """A line that begins with a space needs a field before it."""
        self.assert_outcome([switching(status=SWITCHING + b"\r\n X: y")], NO_NAME)


class UnusualFieldTests(AbuseCase):
    """Header fields that a client accepts, and their values in ``Conn``."""

    @each(
        [
            ("empty", b"X:", [""]),
            ("no_space_after_colon", b"X:y", ["y"]),
            ("spaces_and_tabs", b"X: \t y \t ", ["y"]),
            ("colon_in_value", b"X: a:b: c", ["a:b: c"]),
            ("latin_1_value", b"X: caf\xe9", ["caf\xe9"]),
            ("non_breaking_space", b"X: \xa0y\xa0", ["\xa0y\xa0"]),
            ("next_line_character", b"X: a\x85b", ["a\x85b"]),
            ("escape_sequence", b"X: \x1b[31m", ["\x1b[31m"]),
            ("folded", b"X: a\r\n b\r\n\tc", ["a b c"]),
            ("folded_before_the_value", b"X:\r\n a", ["a"]),
            ("folded_after_the_value", b"X: a\r\n \t", ["a"]),
            ("duplicates", b"X: a\r\nx: b\r\nX: a", ["a", "b", "a"]),
            ("single_lf", b"X: a\nX: b", ["a", "b"]),
        ]
    )
    def test_field(self, label: str, field: bytes, values: list[str]) -> None:
        """The value is delivered as it was received, without the white space around it."""
        self.assert_outcome([switching(field)], Opened())
        conn = self.handler.arguments("handle_connect")[0]
        self.assertEqual([v for name, v in conn.resp_headers if name.lower() == "x"], values)

    def test_only_lf(self) -> None:
        """A head whose lines end with a single LF opens the connection (RFC 9112 section 2.2)."""
        self.assert_outcome([switching().replace(b"\r\n", b"\n")], Opened())

    def test_only_cr(self) -> None:
        """Lines that end with a single CR never end: a timeout."""
        self.assert_outcome([switching().replace(b"\r\n", b"\r")], Failed(at=5.0))


class SizeTests(AbuseCase):
    """The size of the head, at most ``max_header_size`` bytes."""

    @each(
        [
            ("exactly", LIMIT, Opened()),
            ("plus_one", LIMIT + 1, Invalid(reason="longer than 65536 bytes")),
            ("ten_times", LIMIT * 10, Invalid(reason="longer than 65536 bytes")),
        ]
    )
    def test_default_limit(self, label: str, size: int, expected: Outcome) -> None:
        """A head of 64 KiB is accepted. One byte more is refused."""
        self.assert_outcome([of_size(size)], expected)

    @each([("exactly", 300, Opened()), ("plus_one", 301, Invalid(reason="longer than 300 bytes"))])
    def test_own_limit(self, label: str, size: int, expected: Outcome) -> None:
        """``max_header_size`` changes the limit."""
        self.assert_outcome([of_size(size)], expected, max_header_size=300)

    def test_refused_before_its_end(self) -> None:
        """A head without an end is refused with the first byte above the limit."""
        endless = b"HTTP/1.1 101 " + b"x" * (LIMIT - 13)
        self.assert_outcome([endless, 1.0, b"x"], Invalid(at=1.0, reason="65536 bytes"))

    def test_frames_do_not_count(self) -> None:
        """Bytes behind the head do not count."""
        self.assert_outcome([of_size(LIMIT) + b"\x8a\x7d" + b"x" * 125], Opened())

    def test_10000_fields(self) -> None:
        """10,000 short fields are within the limit."""
        self.assert_outcome([switching(*[b"a:b"] * 10_000)], Opened())
        conn = self.handler.arguments("handle_connect")[0]
        self.assertEqual(len(conn.resp_headers), 10_003)

    def test_20000_fields(self) -> None:
        """20,000 short fields are above the limit."""
        self.assert_outcome([switching(*[b"a:b"] * 20_000)], Invalid(reason="longer"))

    def test_endless_fields(self) -> None:
        """Fields without end are refused at the limit."""

        def script():
            yield switching()[:-2]
            while True:
                yield b"X: " + b"y" * 997
                yield b"\r\n"

        self.assert_outcome(script(), Invalid(reason="65536 bytes"))


class SlowHeadTests(AbuseCase):
    """The time limit covers the whole response, not each read."""

    @each([("0_1", 0.1), ("1", 1.0), ("4_9", 4.9)])
    def test_dripping(self, label: str, seconds: float) -> None:
        """A head that arrives byte by byte does not extend ``socket_recv_timeout``."""
        self.assert_outcome(
            Drip(b"HTTP/1.1 101 " + b"x" * 1000, seconds),
            Failed(at=5.0, text="took longer than 5 s"),
        )

    def test_dripping_own_limit(self) -> None:
        """``socket_recv_timeout`` changes the limit."""
        script = Drip(b"HTTP/1.1 101 " + b"x" * 1000, 0.1)
        expected = Failed(at=0.75, text="took longer than 0.75 s")
        self.assert_outcome(script, expected, socket_recv_timeout=0.75)

    def test_slow_but_in_time(self) -> None:
        """A slow response that is complete in time opens the connection."""
        response = switching()
        self.assert_outcome([response[:50], 4.9, response[50:]], Opened(at=4.9))

    def test_complete_too_late(self) -> None:
        """A response that is complete after the time limit comes too late."""
        response = switching()
        self.assert_outcome([response[:50], 5.1, response[50:]], Failed(at=5.0))

    def test_silence_after_half_of_the_head(self) -> None:
        """Silence after half of the fields is a timeout."""
        response = switching(*[b"X: y"] * 50)
        self.assert_outcome([response[: len(response) // 2]], Failed(at=5.0))
