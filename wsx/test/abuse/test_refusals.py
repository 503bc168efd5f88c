"""Refusals of the opening handshake: their status, and whether a client tries again."""

from __future__ import annotations

import wsx
from wsx import Backoff, is_retryable
from wsx.test.support import MemoryCase
from wsx.test.support.abuse import AbuseCase, Refused, respond
from wsx.test.support.each import each

EMPTY = b"Content-Length: 0"
PERMANENT = [200, 300, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 407, 410, 426, 501]
PERMANENT += [505]
TEMPORARY = [201, 202, 204, 402, 408, 409, 418, 421, 425, 429, 451, 499, 500, 502, 503, 504, 511]
TEMPORARY += [520, 599, 600, 999]


class StatusTests(AbuseCase):
    """Each status except 1xx is a RequestError, at once, and TCP is closed with FIN."""

    @each(PERMANENT)
    def test_permanent(self, code: int) -> None:
        """Another attempt cannot succeed."""
        self.refuse(code)
        self.assertFalse(is_retryable(self.error))

    @each(TEMPORARY)
    def test_temporary(self, code: int) -> None:
        """Another attempt may succeed."""
        self.refuse(code)
        self.assertTrue(is_retryable(self.error))

    def refuse(self, code: int) -> None:
        """Refuse with a status."""
        status = b"HTTP/1.1 %d Because" % code
        self.assert_outcome([respond(status, EMPTY, b"X: y")], Refused(code))
        self.assertEqual(self.error.message, "Because")
        self.assertEqual(self.error.headers, (("Content-Length", "0"), ("X", "y")))
        self.assertIn(f"the server answered {code} Because", str(self.error))

    @each([204, 304])
    def test_without_body(self, code: int) -> None:
        """A 204 or 304 has no body, whatever ``Content-Length`` promises."""
        status = b"HTTP/1.1 %d No" % code
        self.assert_outcome([respond(status, b"Content-Length: 5", body=b"ab")], Refused(code))

    @each([1, 0])
    def test_below_100(self, code: int) -> None:
        """A status below 100 is a refusal without a body."""
        self.assert_outcome([respond(b"HTTP/1.1 %03d Low" % code)], Refused(code))

    def test_http_1_0(self) -> None:
        """A refusal may be HTTP/1.0."""
        self.assert_outcome([respond(b"HTTP/1.0 403 No", EMPTY)], Refused())


class LocationTests(AbuseCase):
    """Redirects are not followed; the text names the target."""

    @each(
        [
            ("plain", b"https://example.test/x", "https://example.test/x"),
            ("secrets", b"https://u:pw@h.test/?token=abc#x", "https://u:...@h.test/?token=...#..."),
            ("escape_sequence", b"/\x1b[31m", "/\\x1b[31m"),
            ("relative", b"//other.test/y", "//other.test/y"),
            ("script", b"javascript:alert(1)", "javascript:alert(1)"),
        ]
    )
    def test_location(self, label: str, value: bytes, shown: str) -> None:
        """The target is escaped and has no secrets."""
        script = [respond(b"HTTP/1.1 301 Moved", EMPTY, b"Location: " + value)]
        self.assert_outcome(script, Refused(301))
        self.assertEqual(str(self.error), f"the server answered 301 Moved; Location: {shown}")

    def test_long(self) -> None:
        """A long target is truncated."""
        script = [respond(b"HTTP/1.1 302 Found", EMPTY, b"Location: /" + b"x" * 60_000)]
        self.assert_outcome(script, Refused(302))
        self.assertLess(len(str(self.error)), 250)

    def test_missing(self) -> None:
        """A redirect without a target is a refusal all the same."""
        self.assert_outcome([respond(b"HTTP/1.1 307 Temporary Redirect", EMPTY)], Refused(307))


class RetryAfterTests(MemoryCase):
    """``Retry-After`` is a lower bound for the time of the next attempt, up to one hour."""

    @each([(429, b"Too Many Requests"), (503, b"Service Unavailable")])
    def test_seconds(self, code: int, phrase: bytes) -> None:
        """The next attempt waits as long as the server asks."""
        self.assert_next_attempt(7.0, b"HTTP/1.1 %d %b" % (code, phrase), b"Retry-After: 7")

    @each(
        [
            ("shorter_than_the_policy", [b"0"], 2.0),
            ("missing", [], 2.0),
            ("empty", [b""], 2.0),
            ("garbage", [b"soon"], 2.0),
            ("negative", [b"-30"], 2.0),
            ("fraction", [b"30.5"], 2.0),
            ("exponent", [b"1e3"], 2.0),
            ("hexadecimal", [b"0x1e"], 2.0),
            ("infinity", [b"inf"], 2.0),
            ("not_a_number", [b"nan"], 2.0),
            ("superscript_digits", [b"\xb9\xb2"], 2.0),
            ("binary", [bytes(range(128, 256))], 2.0),
            ("white_space", [b" \t30 "], 30.0),
            ("leading_zeros", [b"0030"], 30.0),
            ("one_hour", [b"3600"], 3600.0),
            ("more_than_one_hour", [b"3601"], 3600.0),
            ("huge", [b"9" * 5000], 3600.0),
            ("first_of_two", [b"20", b"40"], 20.0),
            ("date_in_the_past", [b"Wed, 21 Oct 2015 07:28:00 GMT"], 2.0),
            ("date_in_the_future", [b"Fri, 01 Jan 2100 00:00:00 GMT"], 3600.0),
            ("date_without_zone", [b"Fri, 01 Jan 2100 00:00:00"], 3600.0),
            ("date_of_year_0", [b"Fri, 01 Jan 0000 00:00:00 GMT"], 2.0),
            ("date_of_year_9999", [b"Fri, 31 Dec 9999 23:59:59 GMT"], 3600.0),
            ("date_with_hour_25", [b"Fri, 01 Jan 2100 25:00:00 GMT"], 2.0),
            ("date_in_a_huge_zone", [b"Fri, 01 Jan 2100 00:00:00 +999999999999"], 2.0),
        ]
    )
    def test_values(self, label: str, values: list[bytes], delay: float) -> None:
        """A value that is malformed has no effect."""
        fields = [b"Retry-After: " + value for value in values]
        self.assert_next_attempt(delay, b"HTTP/1.1 429 Slow down", *fields)

    def assert_next_attempt(self, delay: float, status: bytes, *fields: bytes) -> None:
        """After this refusal, the next attempt starts after ``delay`` seconds, not earlier."""
        started = self.start(
            wsx.Handler(),
            async_=True,
            handle_initial_conn_failure=True,
            reconnect=Backoff(initial=2.0, jitter=0.0),
        )
        client = self.successResultOf(started)
        self.step()
        self.peer.send(respond(status, EMPTY, *fields))
        self.step()
        self.clock.advance(delay - 0.001)
        self.step()
        self.assertEqual(self.server.attempts, 1)
        self.clock.advance(0.002)
        self.step()
        self.assertEqual(self.server.attempts, 2)
        client.stop()
        self.step()
        self.assertEqual(self.clock.getDelayedCalls(), [])
