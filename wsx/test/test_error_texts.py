"""Tests of wsx._error_texts: texts of refusals, causes and invalid results."""

from __future__ import annotations

import os
from typing import Any

from service_identity import VerificationError
from twisted.internet.error import ConnectError, ConnectionDone, ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx._error_texts import (
    cause,
    certificate_problem,
    is_clean_close,
    refusal,
    refusal_details,
    wrong_result,
)
from wsx.test.support.each import each

SECRET = "s3cr3t"


class RefusalTests(SynchronousTestCase):
    """``refusal`` describes who refused, with which status, and where a redirect leads."""

    def test_status(self) -> None:
        """The text says who refused, with the code and the phrase."""
        self.assertEqual(refusal("the server", 503, "Busy", ()), "the server answered 503 Busy")
        self.assertEqual(refusal("the proxy", 407, "No", ()), "the proxy answered 407 No")

    @each(
        [
            (404, "Not Found", "404 Not Found"),
            (404, "not found", "404 not found"),
            (404, "expected the path / or /feed", '404 "expected the path / or /feed"'),
            (400, "Not Found", '400 "Not Found"'),
            (799, "Something Else", '799 "Something Else"'),
        ]
    )
    def test_own_phrase(self, code: int, phrase: str, shown: str) -> None:
        """A sentence of the server's own is quoted; the standard phrase is not."""
        self.assertEqual(refusal("the server", code, phrase, ()), f"the server answered {shown}")

    def test_no_phrase(self) -> None:
        """Without a phrase the text ends with the code."""
        self.assertEqual(refusal("the server", 503, "", ()), "the server answered 503")

    @each([300, 301, 302, 303, 307, 308])
    def test_redirect(self, code: int) -> None:
        """The target of a redirect is shown without its secrets, whatever the header's case."""
        url = f"https://u:{SECRET}@h.test/p?a={SECRET}#{SECRET}"
        self.assertEqual(
            refusal("the server", code, "Moved", [("location", url)]),
            f"the server answered {code} Moved; Location: https://u:...@h.test/p?a=...#...",
        )

    @each([200, 201, 401, 503])
    def test_location_of_another_status(self, code: int) -> None:
        """A Location header of a status that is not a redirect is left out."""
        text = refusal("the server", code, "No", [("Location", "/elsewhere")])
        self.assertEqual(text, f"the server answered {code} No")

    def test_redirect_without_target(self) -> None:
        """A redirect without a target is shown as any other status."""
        self.assertEqual(refusal("the server", 302, "", ()), "the server answered 302")

    def test_foreign_text(self) -> None:
        """Phrase and target are on one line, escaped and truncated."""
        hostile = "\x1b[31m\x07\x9b2J\u202e\u2028\r\n" + "x" * 60_000
        text = refusal("the server", 302, hostile, [("Location", "https://h/" + hostile)])
        self.assertTrue(text.isprintable(), text)
        self.assertIn(r"\x1b[31m\x07\x9b2J\u202e", text)
        self.assertLess(len(text), 300)


class RefusalDetailsTests(SynchronousTestCase):
    """``refusal_details`` returns what a log shows in addition."""

    def test_none(self) -> None:
        """Without these headers and a body there are no details."""
        self.assertEqual(refusal_details([("Set-Cookie", SECRET), ("X-Auth", SECRET)], b""), [])

    def test_headers(self) -> None:
        """Challenges and Retry-After are shown, in any case; several values are joined."""
        headers = [
            ("retry-after", "30"),
            ("www-authenticate", 'Basic realm="x"'),
            ("WWW-Authenticate", "Bearer"),
            ("Proxy-Authenticate", "Digest"),
        ]
        self.assertEqual(
            refusal_details(headers, b""),
            [
                'WWW-Authenticate: Basic realm="x", Bearer',
                "Proxy-Authenticate: Digest",
                "Retry-After: 30",
            ],
        )

    @each(
        [
            ("plain", "text/plain; charset=utf-8", b"go away\nmore", "go away"),
            ("JSON", "application/json", b'{"error": 1}', '{"error": 1}'),
            ("problem", "application/problem+json", b"{}", "{}"),
            ("no type", None, b"go away", "go away"),
            ("blank lines", "TEXT/HTML", b" \r\n\n  <html>\r\nmore", "<html>"),
            ("UTF-8", "text/plain", "nö".encode(), "nö"),
            ("not UTF-8", "text/plain", b"n\xf6", "n\ufffd"),
        ]
    )
    def test_body(self, label: str, kind: str | None, body: bytes, shown: str) -> None:
        """The first line of a text body that is not blank is shown."""
        headers = [] if kind is None else [("Content-Type", kind)]
        self.assertEqual(refusal_details(headers, body), [f'body: "{shown}"'])

    @each(
        [
            ("binary", [("Content-Type", "image/png")], b"\x89PNG"),
            ("compressed", [("Content-Encoding", "gzip")], b"\x1f\x8b"),
            ("blank", [], b" \r\n\t\n"),
        ]
    )
    def test_no_text(self, label: str, headers: list[tuple[str, str]], body: bytes) -> None:
        """A body that is not text is not shown."""
        self.assertEqual(refusal_details(headers, body), [])

    def test_foreign_text(self) -> None:
        """Headers and body are on one line, escaped and truncated."""
        hostile = "\x1b[31m\u2028" + "x" * 60_000
        headers = [("WWW-Authenticate", hostile), ("Retry-After", hostile)]
        for detail in refusal_details(headers, b"\x1b[31m" + b"x" * 60_000):
            self.assertTrue(detail.isprintable(), detail)
            self.assertIn(r"\x1b[31m", detail)
            self.assertLess(len(detail), 120)


class CauseTests(SynchronousTestCase):
    """``cause`` describes why a connection failed."""

    @each(
        [
            ("other", OSError("No route to host"), "OSError: No route to host"),
            (
                "file",
                FileNotFoundError(2, "No such file or directory", "ca.pem"),
                'cannot read the file "ca.pem": No such file or directory',
            ),
            (
                "file in bytes",
                PermissionError(13, "Permission denied", b"\x1b.pem"),
                r'cannot read the file "\x1b.pem": Permission denied',
            ),
            ("of the system", ConnectError(2, "odd"), os.strerror(2).lower()),
            ("time limit", TimeoutError("it took 6 s"), "it took 6 s"),
            (
                "time limit of the system",
                TimeoutError(110, "Connection timed out"),
                "TimeoutError: [Errno 110] Connection timed out",
            ),
            ("of wsx", wsx.PingTimeout(5), str(wsx.PingTimeout(5))),
            ("clean close", ConnectionDone(), "the server closed the TCP connection"),
            (
                "name",
                VerificationError(errors=[]),
                "the server's certificate is not valid for this host name",
            ),
            (
                "chain",
                Exception([("SSL routines", "", "certificate verify failed")]),
                "the server's certificate failed verification",
            ),
        ]
    )
    def test_cause(self, label: str, error: Exception, text: str) -> None:
        """Certificate errors and clean closes have texts of their own."""
        self.assertEqual(cause(error), text)
        self.assertEqual(cause(error, detailed=True), text)

    def test_detailed(self) -> None:
        """Details of wsx exceptions are shown on request."""
        error = wsx.RequestError(407, "No", [("Proxy-Authenticate", "Basic")], b"", "the proxy")
        self.assertEqual(cause(error), "the proxy answered 407 No")
        shown = "the proxy answered 407 No; Proxy-Authenticate: Basic"
        self.assertEqual(cause(error, detailed=True), shown)

    def test_certificate_problem_of_another_error(self) -> None:
        """An error that is not about a certificate has no certificate problem."""
        self.assertIsNone(certificate_problem(OSError("Connection refused")))

    def test_is_clean_close(self) -> None:
        """ConnectionDone and its subclasses are clean; every other exception is not."""

        class Own(ConnectionDone):
            pass

        for error in (ConnectionDone(), Own()):
            self.assertIs(is_clean_close(error), True)
        for other in (ConnectionLost(), OSError(), None):
            self.assertIs(is_clean_close(other), False)


MOST = "Ok, Reply, Close or None"


class WrongResultTests(SynchronousTestCase):
    """``wrong_result`` describes what a callback returned and what it may return."""

    @each(
        [
            ("handle_connect", MOST),
            ("handle_frame", MOST),
            ("handle_cast", MOST),
            ("handle_info", MOST),
            ("handle_ping", MOST),
            ("handle_pong", MOST),
            ("handle_disconnect", "Ok, Reconnect or None"),
            ("code_change", "Ok or None"),
        ]
    )
    def test_allowed(self, callback: str, allowed: str) -> None:
        """The allowed results depend on the callback."""
        text = wrong_result(callback, "abc")
        self.assertEqual(text, f"{callback} returned 'abc' (expected {allowed})")

    @each(
        [
            ("Ok", wsx.Ok(SECRET)),
            ("Reply", wsx.Reply(wsx.Text(SECRET), SECRET)),
            ("Close", wsx.Close(SECRET)),
            ("Reconnect", wsx.Reconnect(SECRET)),
        ]
    )
    def test_hides_the_state(self, name: str, result: object) -> None:
        """A result is shown by its name, without its state."""
        text = wrong_result("code_change", result)
        self.assertEqual(text, f"code_change returned {name}(...) (expected Ok or None)")

    def test_misplaced_reconnect(self) -> None:
        """The text says where a Reconnect belongs."""
        text = wrong_result("handle_frame", wsx.Reconnect(SECRET))
        allowed = f"{MOST}; Reconnect is for handle_disconnect, which is called after a Close"
        self.assertEqual(text, f"handle_frame returned Reconnect(...) (expected {allowed})")

    @each(
        [
            ("after", wsx.Reconnect(SECRET, after=-1), "conn=None, after=-1"),
            (
                "conn",
                wsx.Reconnect(SECRET, f"wss://u:{SECRET}@h/"),  # type: ignore[arg-type]
                "conn=<str>, after=None",
            ),
        ]
    )
    def test_wrong_reconnect(self, label: str, result: Any, shown: str) -> None:
        """For a Reconnect with a wrong value, the value and the expectation are shown."""
        allowed = "conn: a Conn, a callable or None; after: a number of at least 0 or None"
        text = wrong_result("handle_disconnect", result)
        self.assertEqual(
            text, f"handle_disconnect returned Reconnect({shown}) (expected {allowed})"
        )

    def test_long(self) -> None:
        """A long result is truncated, and a ``repr`` that fails is handled."""

        class Broken:
            def __repr__(self) -> str:
                raise OSError

        self.assertLess(len(wrong_result("handle_frame", "x" * 10_000)), 150)
        self.assertIn("Broken", wrong_result("handle_frame", Broken()))
