"""Tests of wsx.errors: the hierarchy, the attributes, and the texts without secrets."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

from service_identity import VerificationError
from twisted.internet.error import ConnectionDone
from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx import errors
from wsx._text import describe
from wsx.errors import as_exception
from wsx.test.support import case
from wsx.test.support.each import each

SECRET = "s3cr3t"

# Every class of design section 6, with the names and values of its arguments, in order.
FAMILY: list[tuple[type[wsx.WsxError], dict[str, Any]]] = [
    (wsx.URLError, {"url": "nonsense"}),
    (wsx.ConnError, {"original": OSError("refused")}),
    (wsx.ProviderError, {"original": OSError("refused")}),
    (
        wsx.RequestError,
        {"code": 503, "message": "Busy", "headers": (("A", "b"), ("A", "c")), "body": b"later"},
    ),
    (wsx.HandshakeError, {"challenge": "due", "response": "came"}),
    (wsx.FrameError, {"reason": "reserved bits", "opcode": 1, "close_code": 1002}),
    (wsx.InvalidFrameError, {"frame": "no frame"}),
    (
        wsx.FrameEncodeError,
        {"reason": "too long", "frame_type": "ping", "frame_payload": b"x", "close_code": None},
    ),
    (wsx.NotConnectedError, {"connection_state": "closing"}),
    (wsx.SendTimeout, {}),
    (wsx.PingTimeout, {}),
    (wsx.DataTimeout, {}),
    (
        wsx.BadResponseError,
        {"response": 5, "handler": "h", "callback": "handle_cast", "arguments": ("m", None)},
    ),
    (wsx.CallbackTimeout, {"handler": "h", "callback": "handle_cast", "timeout": 60.0}),
    (wsx.IncompleteMessageError, {"original": OSError("no more")}),
    (wsx.ReplyTimeout, {"key": 7, "timeout": 30.0}),
    (wsx.NoReplyError, {"key": 7, "reason": wsx.LocalClose()}),
    (wsx.DuplicateKeyError, {"key": 7}),
    (wsx.AlreadyStartedError, {"name": "feed", "client": "its client"}),
    (wsx.UnknownNameError, {"name": "feed"}),
    (wsx.ClusterError, {"reason": "no answer"}),
    (wsx.ClusterSetupError, {"reason": "no permission"}),
    (wsx.NameLost, {"name": "feed", "reason": "no answer"}),
    (wsx.RemoteError, {"kind": "KeyError", "text": "feed"}),
    (wsx.ClientEnded, {"reason": wsx.LocalClose()}),
    (wsx.ChildError, {"id": "feed", "reason": "it runs"}),
    (wsx.MaxRestartsExceeded, {"max_restarts": 3, "max_seconds": 5.0, "reason": "crash"}),
    (wsx.MailboxFullError, {"limit": 10}),
]


class Feed(wsx.Handler[Any]):
    """A handler with a short name."""


def make(kind: type[wsx.WsxError], values: dict[str, Any]) -> wsx.WsxError:
    """Make an error from positional arguments, as in the design."""
    return kind(*values.values())


def classes() -> list[str]:
    """Return the names of the public classes of the module."""
    return [name for name in errors.__all__ if inspect.isclass(getattr(errors, name))]


def comparable(values: dict[str, Any]) -> dict[str, Any]:
    """Return a value to compare errors by: exceptions are equal only to themselves."""
    return {k: repr(v) if isinstance(v, Exception) else v for k, v in values.items()}


class FamilyTests(SynchronousTestCase):
    """The exception hierarchy of design section 6."""

    def test_all_derive_from_wsx_error(self) -> None:
        """Every exception of the module derives from WsxError, which is an Exception."""
        self.assertTrue(issubclass(wsx.WsxError, Exception))
        for name in classes():
            with case(name):
                self.assertTrue(issubclass(getattr(errors, name), wsx.WsxError))

    def test_all_are_public(self) -> None:
        """Every exception is exported by the package."""
        for name in classes():
            with case(name):
                self.assertIn(name, wsx.__all__)
                self.assertIs(getattr(wsx, name), getattr(errors, name))

    def test_family_is_complete(self) -> None:
        """The module has the classes of the design, and their base class."""
        listed = {kind.__name__ for kind, _ in FAMILY} | {"WsxError"}
        self.assertEqual(set(classes()), listed)

    def test_url_error_is_a_value_error(self) -> None:
        """URLError is also a ValueError."""
        self.assertTrue(issubclass(wsx.URLError, ValueError))

    def test_unknown_name_error_is_a_lookup_error(self) -> None:
        """UnknownNameError is also a LookupError."""
        self.assertTrue(issubclass(wsx.UnknownNameError, LookupError))

    def test_none_is_another(self) -> None:
        """No class of the hierarchy catches another one, except for ClusterError."""
        for kind, values in FAMILY:
            error = make(kind, values)
            caught = [other.__name__ for other, _ in FAMILY if isinstance(error, other)]
            wider = [wsx.ClusterError.__name__] if kind is wsx.ClusterSetupError else []
            self.assertEqual(caught, [*wider, kind.__name__])


class AttributeTests(SynchronousTestCase):
    """Errors carry values as attributes."""

    def test_attributes(self) -> None:
        """Each argument is an attribute with the name in the design."""
        for kind, values in FAMILY:
            with case(kind.__name__):
                error = make(kind, values)
                self.assertEqual({name: getattr(error, name) for name in values}, values)

    def test_keywords(self) -> None:
        """The arguments can be given by name."""
        for kind, values in FAMILY:
            with case(kind.__name__):
                error = kind(**values)
                self.assertEqual({name: getattr(error, name) for name in values}, values)

    def test_pickle(self) -> None:
        """An error can be pickled with all its attributes."""
        for kind, values in FAMILY:
            with case(kind.__name__):
                error = make(kind, values)
                again = pickle.loads(pickle.dumps(error))
                self.assertIs(type(again), kind)
                self.assertEqual(comparable(vars(again)), comparable(vars(error)))
                self.assertEqual(str(again), str(error))

    def test_copy(self) -> None:
        """An error can be copied, shallowly and deeply."""
        for kind, values in FAMILY:
            for duplicate in (copy.copy, copy.deepcopy):
                with case((kind.__name__, duplicate.__name__)):
                    error = make(kind, values)
                    again = duplicate(error)
                    self.assertIs(type(again), kind)
                    self.assertEqual(comparable(vars(again)), comparable(vars(error)))

    def test_request_error_keeps_headers_as_they_came(self) -> None:
        """The headers of a refusal keep order, case and duplicates."""
        headers = [("Set-Cookie", "a"), ("x", "1"), ("Set-Cookie", "b")]
        self.assertEqual(list(wsx.RequestError(401, "", headers).headers), headers)

    def test_request_error_does_not_share_its_headers(self) -> None:
        """Changing the list afterwards does not change the error."""
        headers = [("A", "b")]
        error = wsx.RequestError(401, "", headers)
        headers.clear()
        self.assertEqual(list(error.headers), [("A", "b")])


class TextTests(SynchronousTestCase):
    """What ``str()`` shows, and what it hides."""

    def test_text_is_one_line(self) -> None:
        """The text of every error is one line that is not empty."""
        for kind, values in FAMILY:
            with case(kind.__name__):
                text = str(make(kind, values))
                self.assertTrue(text.strip())
                self.assertEqual(len(text.splitlines()), 1, text)

    def test_request_error(self) -> None:
        """The text of a refusal has its code and message."""
        self.assertIn("503 Busy", str(wsx.RequestError(503, "Busy", (), b"")))

    def test_request_error_hides_headers_and_body(self) -> None:
        """The text of a refusal has neither header values nor the body."""
        error = wsx.RequestError(401, "No", [("Set-Cookie", SECRET)], SECRET.encode())
        self.assertNotIn(SECRET, str(error))
        self.assertNotIn("Set-Cookie", str(error))

    def test_handshake_error_says_which_check(self) -> None:
        """The text of a HandshakeError names the check that failed, without the header's value."""
        error = wsx.HandshakeError("due", SECRET, "the Upgrade header is missing")
        self.assertIn("the Upgrade header is missing", str(error))
        self.assertNotIn(SECRET, str(error))

    def test_frame_encode_error_hides_the_payload(self) -> None:
        """The text of a FrameEncodeError does not show the payload."""
        error = wsx.FrameEncodeError("over 125 bytes", "ping", SECRET.encode(), None)
        self.assertIn("over 125 bytes", str(error))
        self.assertIn("ping", str(error))
        self.assertNotIn(SECRET, str(error))

    def test_url_error_hides_the_url(self) -> None:
        """The text of a URLError does not show a password of the URL."""
        self.assertNotIn(SECRET, str(wsx.URLError(f"ws://user:{SECRET}@h:0")))

    def test_url_error_in_full(self) -> None:
        """Only ``URLError.url`` has the URL as it was given; all other forms are redacted."""
        for url in (f"ws://user:{SECRET}@h:0", f"nonsense?{SECRET}", SECRET.encode()):
            error = wsx.URLError(url)
            self.assertEqual(error.url, url)
            for shown in (str(error), repr(error), repr(error.args), error.summary):
                self.assertNotIn(SECRET, shown)
            self.assertEqual(pickle.loads(pickle.dumps(error)).url, url)

    @each(
        [
            ("hostile", "\x1b[31m\x07\x9b\u202e\u2028\ud800"),
            ("long", "x" * 60_000),
        ]
    )
    def test_foreign_text(self, label: str, text: str) -> None:
        """The text of every error is printable and has less than 700 characters."""
        errors = [
            wsx.URLError(text, text, text),
            wsx.ConnError(ValueError(text)),
            wsx.ConnError(ValueError(text), text),
            wsx.RequestError(
                302,
                text,
                [("Location", text), ("Retry-After", text)],
                text.encode("utf-8", "replace"),
            ),
            wsx.HandshakeError(text, text, text),
            wsx.FrameError(text, 1, 1002),
            wsx.InvalidFrameError(text),
            wsx.FrameEncodeError(text, text, text, text),
            wsx.NotConnectedError(text),
            wsx.BadResponseError(text, text, text, ()),
            wsx.CallbackTimeout(text, text, 60.0),
            wsx.IncompleteMessageError(ValueError(text)),
            wsx.ReplyTimeout(text, 30.0),
            wsx.NoReplyError(text, wsx.RemoteClose(4000, text)),
            wsx.DuplicateKeyError(text),
            wsx.ClientEnded(wsx.RemoteClose(4000, text)),
            wsx.AlreadyStartedError(text, None),
            wsx.UnknownNameError(text),
            wsx.ClusterError(text),
            wsx.NameLost(text, text),
            wsx.RemoteError(text, text),
            wsx.ChildError(text, text),
            wsx.MaxRestartsExceeded(3, 5, wsx.RemoteClose(4000, text)),
        ]
        for error in errors:
            for shown in (str(error), repr(error), error.summary):
                self.assertTrue(shown.isprintable(), shown[:300])
                self.assertLess(len(shown), 700, shown[:300])

    def test_invalid_frame_error_hides_the_payload(self) -> None:
        """The text of an InvalidFrameError shows only the beginning and the end of the value."""
        error = wsx.InvalidFrameError("a" * 100 + SECRET + "a" * 100)
        self.assertNotIn(SECRET, str(error))
        self.assertLess(len(str(error)), 160)

    def test_bad_response_error_hides_the_arguments(self) -> None:
        """The text of a BadResponseError has callback and result, but not the arguments."""
        error = wsx.BadResponseError(7, wsx.Handler(), "handle_frame", (wsx.Text(SECRET), SECRET))
        self.assertIn("handle_frame", str(error))
        self.assertIn("7", str(error))
        self.assertNotIn(SECRET, str(error))

    def test_bad_response_error_cuts_the_answer(self) -> None:
        """A long result is truncated."""
        error = wsx.BadResponseError("x" * 10_000, wsx.Handler(), "handle_frame", ())
        self.assertLess(len(str(error)), 200)

    def test_conn_error_names_its_original(self) -> None:
        """The text of a ConnError names the original error, even if that has no text."""
        self.assertIn("OSError: refused", str(wsx.ConnError(OSError("refused"))))
        self.assertIn("TimeoutError", str(wsx.ConnError(TimeoutError())))

    def test_invalid_frame_error_of_a_frame_without_payload(self) -> None:
        """An InvalidFrameError of any value has a text, also of a bare ``Frame``."""
        self.assertTrue(str(wsx.InvalidFrameError(wsx.Frame.__new__(wsx.Frame))))


class HelperTests(SynchronousTestCase):
    """Helpers of other modules."""

    def test_as_exception(self) -> None:
        """``as_exception`` returns an exception itself, and any other reason in a ClientEnded."""
        error = OSError()
        self.assertIs(as_exception(error), error)
        wrapped = as_exception(wsx.Shutdown("x"))
        self.assertIsInstance(wrapped, wsx.ClientEnded)
        self.assertEqual(wrapped.args, (wsx.Shutdown("x"),))


class ExplanationTests(SynchronousTestCase):
    """The explanation in a ConnError."""

    def test_certificate(self) -> None:
        """[S18] A certificate that fails verification is reported as such, for chain and name."""
        error = Exception([("SSL routines", "", "certificate verify failed")])
        text = "connection failed: the server's certificate failed verification"
        self.assertEqual(str(wsx.ConnError(error)), text)
        text = "connection failed: the server's certificate is not valid for this host name"
        self.assertEqual(str(wsx.ConnError(VerificationError(errors=[]))), text)

    def test_explanation(self) -> None:
        """An explanation replaces the text of the cause."""
        cause = Exception([("SSL routines", "", "certificate verify failed")])
        error = wsx.ConnError(cause, "the server's certificate has expired")
        self.assertEqual(str(error), "connection failed: the server's certificate has expired")
        self.assertEqual(error.summary, str(error))
        self.assertIs(error.original, cause)
        self.assertEqual(error.explanation, "the server's certificate has expired")

    def test_no_explanation(self) -> None:
        """By default there is no explanation."""
        self.assertIsNone(wsx.ConnError(OSError()).explanation)

    def test_explanation_survives_pickling(self) -> None:
        """An explanation is pickled with the error."""
        again = pickle.loads(pickle.dumps(wsx.ConnError(OSError(), "no TLS on this port")))
        self.assertEqual(again.explanation, "no TLS on this port")

    def test_explanation_is_escaped(self) -> None:
        """An explanation that quotes a server is one line, escaped and truncated."""
        text = str(wsx.ConnError(OSError(), "\x1b[2J\n" + "x" * 10_000))
        self.assertTrue(text.isprintable(), text)
        self.assertLess(len(text), 400)

    def test_clean_close(self) -> None:
        """The text of a clean TCP close does not contradict itself."""
        text = "connection failed: the server closed the TCP connection"
        self.assertEqual(str(wsx.ConnError(ConnectionDone())), text)


class RefusalTests(SynchronousTestCase):
    """The short and long texts of a RequestError."""

    HEADERS = (("WWW-Authenticate", "Basic"), ("Set-Cookie", SECRET), ("Retry-After", "30"))

    def test_who(self) -> None:
        """The text names the server by default, or the proxy."""
        error = wsx.RequestError(407, "No", who="the proxy")
        self.assertEqual(error.who, "the proxy")
        self.assertEqual(str(error), "the proxy answered 407 No")
        self.assertEqual(wsx.RequestError(503, "Busy").who, "the server")

    def test_who_survives_pickling(self) -> None:
        """The name of who refused is pickled."""
        again = pickle.loads(pickle.dumps(wsx.RequestError(407, "No", who="the proxy")))
        self.assertEqual(str(again), "the proxy answered 407 No")

    def test_redirect(self) -> None:
        """The text names the redacted target of a redirect."""
        error = wsx.RequestError(302, "Found", [("Location", f"https://h/?token={SECRET}")])
        text = "the server answered 302 Found; Location: https://h/?token=..."
        self.assertEqual(str(error), text)
        self.assertEqual(error.summary, text)

    def test_summary(self) -> None:
        """The summary adds challenges, Retry-After and the first line of the body."""
        error = wsx.RequestError(401, "No", self.HEADERS, b"go away\nnow")
        self.assertEqual(str(error), "the server answered 401 No")
        self.assertEqual(
            error.summary,
            'the server answered 401 No; WWW-Authenticate: Basic; Retry-After: 30; body: "go away"',
        )

    def test_summary_of_a_proxy(self) -> None:
        """The summary of a ConnError includes that of the proxy's refusal."""
        error = wsx.ConnError(wsx.RequestError(401, "No", self.HEADERS, b"", "the proxy"))
        self.assertEqual(str(error), "connection failed: the proxy answered 401 No")
        self.assertEqual(
            error.summary,
            "connection failed: the proxy answered 401 No; "
            "WWW-Authenticate: Basic; Retry-After: 30",
        )

    def test_summary_of_others(self) -> None:
        """The summary of every other error is its text."""
        for kind, values in FAMILY:
            if kind is not wsx.RequestError:
                with case(kind.__name__):
                    error = make(kind, values)
                    self.assertEqual(error.summary, str(error))

    def test_describe_detailed(self) -> None:
        """``describe`` shows the summary on request."""
        error = wsx.RequestError(401, "No", self.HEADERS)
        self.assertEqual(describe(error), str(error))
        self.assertEqual(describe(error, detailed=True), error.summary)
        self.assertEqual(describe(ValueError("x"), detailed=True), "ValueError: x")

    def test_longest(self) -> None:
        """The summary of a hostile refusal is one line of limited length."""
        hostile = "\x1b[31m\u202e" + "x" * 60_000
        names = ("WWW-Authenticate", "Proxy-Authenticate", "Retry-After", "Location")
        error = wsx.RequestError(302, hostile, [(name, hostile) for name in names], b"x" * 60_000)
        text = describe(error, detailed=True)
        self.assertTrue(text.isprintable(), text)
        self.assertLessEqual(len(text), 600)
        self.assertIn("Retry-After", text)


class MessageTests(SynchronousTestCase):
    """The texts of the other errors: what happened, which value, what was expected."""

    @each(
        [
            (
                "opening",
                wsx.NotConnectedError("opening"),
                'client is not connected: the opening handshake is not complete (state "opening")',
            ),
            (
                "terminated",
                wsx.NotConnectedError("terminated"),
                'client is not connected: the client has ended (state "terminated")',
            ),
            (
                "send timeout",
                wsx.SendTimeout(5.0),
                "send_frame timed out after 5 s: server reads too slowly and the write buffer is "
                "above its high-water mark; the frame may still be sent",
            ),
            (
                "ping timeout",
                wsx.PingTimeout(20.0),
                "nothing received from server within 20 s of a keepalive ping",
            ),
            (
                "data timeout",
                wsx.DataTimeout(2.5),
                "no message received from server within 2.5 s",
            ),
            (
                "mailbox",
                wsx.MailboxFullError(10),
                "mailbox is full (mailbox_limit 10); the message was not accepted",
            ),
            (
                "result",
                wsx.BadResponseError("abc", Feed(), "handle_frame", ()),
                "Feed.handle_frame returned 'abc' (expected Ok, Reply, Close or None)",
            ),
            (
                "callback timeout",
                wsx.CallbackTimeout(Feed(), "handle_frame", 60.0),
                "Feed.handle_frame did not complete within 60 s and was cancelled",
            ),
            (
                "incomplete message",
                wsx.IncompleteMessageError(OSError("no more")),
                "message in fragments could not be completed: OSError: no more",
            ),
            (
                "reply timeout",
                wsx.ReplyTimeout("seven", 30.0),
                'no reply to request "seven" within 30 s',
            ),
            (
                "no reply",
                wsx.NoReplyError(7, wsx.RemoteClose(1012, "restart")),
                'no reply to request 7: closed by server: 1012 "restart"',
            ),
            (
                "duplicate key",
                wsx.DuplicateKeyError(7),
                "key: a request with the key 7 is open; use another key",
            ),
            (
                "name in use",
                wsx.AlreadyStartedError("feed", None),
                'name "feed" is in use by a client that has not ended',
            ),
            (
                "unknown name",
                wsx.UnknownNameError(wsx.Global(("feed", 7))),
                "no client has the name Global(key=('feed', 7))",
            ),
            ("child", wsx.ChildError("feed", "it runs"), '"feed": it runs'),
            (
                "restarts",
                wsx.MaxRestartsExceeded(3, 5.0, wsx.RemoteClose(1012, "restart")),
                "restart intensity exceeded: more than 3 restarts in 5 s, not counting delays; "
                'last reason: closed by server: 1012 "restart"',
            ),
            (
                "ended",
                wsx.ClientEnded(wsx.LocalClose()),
                "client ended: closed by this client: 1000",
            ),
            (
                "frame",
                wsx.InvalidFrameError(5),
                "frame: expected a Text with a str, or a Binary, Ping or Pong with bytes, got 5",
            ),
            (
                "rejected",
                wsx.FrameError("a reserved bit is set", 1, 1002),
                "frame from server rejected: a reserved bit is set (close code 1002)",
            ),
        ]
    )
    def test_message(self, label: str, error: wsx.WsxError, text: str) -> None:
        """The text is complete."""
        self.assertEqual(str(error), text)

    @each([wsx.SendTimeout, wsx.PingTimeout, wsx.DataTimeout])
    def test_timeout_without_seconds(self, kind: type[Any]) -> None:
        """The seconds of a timeout are optional."""
        self.assertIsNone(kind().timeout)
        self.assertNotIn("None", str(kind()))
        self.assertEqual(kind(1.5).timeout, 1.5)

    def test_nested_restarts(self) -> None:
        """The reason shown is that of the innermost supervisor."""
        inner = wsx.MaxRestartsExceeded(1, 2.0, wsx.PingTimeout())
        text = str(wsx.MaxRestartsExceeded(3, 5.0, inner))
        self.assertTrue(text.endswith(f"last reason: {wsx.PingTimeout()}"), text)

    def test_foreign_reason(self) -> None:
        """Text from a server is escaped in a HandshakeError."""
        text = str(wsx.HandshakeError("due", None, "unknown extension \x1b[2J\n" + "x" * 60_000))
        self.assertTrue(text.isprintable(), text)
        self.assertLess(len(text), 400)
