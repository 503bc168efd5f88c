"""Tests of wsx.errors: the family, what each member knows, and what its text keeps to itself."""

from __future__ import annotations

import copy
import pickle
from typing import Any

from service_identity import VerificationError
from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx import errors
from wsx.errors import as_exception, certificate_problem
from wsx.test.support import case

SECRET = "s3cr3t"

# Every class of design section 6: its arguments, in order, as attribute names and values.
FAMILY: list[tuple[type[wsx.WsxError], dict[str, Any]]] = [
    (wsx.URLError, {"url": "nonsense"}),
    (wsx.ConnError, {"original": OSError("refused")}),
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
    (wsx.AlreadyStartedError, {"name": "feed", "client": "its client"}),
    (wsx.UnknownNameError, {"name": "feed"}),
    (wsx.ClientEnded, {"reason": wsx.LocalClose()}),
    (wsx.ChildError, {"id": "feed", "reason": "it runs"}),
    (wsx.MaxRestartsExceeded, {"max_restarts": 3, "max_seconds": 5.0, "reason": "crash"}),
    (wsx.MailboxFullError, {"limit": 10}),
]


def make(kind: type[wsx.WsxError], values: dict[str, Any]) -> wsx.WsxError:
    """Makes an error of positional arguments, as the design writes them."""
    return kind(*values.values())


def comparable(values: dict[str, Any]) -> dict[str, Any]:
    """Exceptions are equal only to themselves: compare them by their repr."""
    return {k: repr(v) if isinstance(v, Exception) else v for k, v in values.items()}


class FamilyTests(SynchronousTestCase):
    """The tree of design section 6."""

    def test_all_derive_from_wsx_error(self) -> None:
        """Every exception of the module derives from WsxError, which is an Exception."""
        self.assertTrue(issubclass(wsx.WsxError, Exception))
        for name in errors.__all__:
            with case(name):
                self.assertTrue(issubclass(getattr(errors, name), wsx.WsxError))

    def test_all_are_public(self) -> None:
        """Every exception is a name of the package."""
        for name in errors.__all__:
            with case(name):
                self.assertIn(name, wsx.__all__)
                self.assertIs(getattr(wsx, name), getattr(errors, name))

    def test_family_is_complete(self) -> None:
        """The module has the classes that the design lists, and their base."""
        listed = {kind.__name__ for kind, _ in FAMILY} | {"WsxError"}
        self.assertEqual(set(errors.__all__), listed)

    def test_url_error_is_a_value_error(self) -> None:
        """URLError is also a ValueError."""
        self.assertTrue(issubclass(wsx.URLError, ValueError))

    def test_unknown_name_error_is_a_lookup_error(self) -> None:
        """UnknownNameError is also a LookupError."""
        self.assertTrue(issubclass(wsx.UnknownNameError, LookupError))

    def test_none_is_another(self) -> None:
        """No class of the family catches another one."""
        for kind, values in FAMILY:
            error = make(kind, values)
            caught = [other.__name__ for other, _ in FAMILY if isinstance(error, other)]
            self.assertEqual(caught, [kind.__name__])


class AttributeTests(SynchronousTestCase):
    """Errors carry values."""

    def test_attributes(self) -> None:
        """Each argument is an attribute of the name that the design gives it."""
        for kind, values in FAMILY:
            with case(kind.__name__):
                error = make(kind, values)
                self.assertEqual({name: getattr(error, name) for name in values}, values)

    def test_keywords(self) -> None:
        """The arguments may be given by name."""
        for kind, values in FAMILY:
            with case(kind.__name__):
                error = kind(**values)
                self.assertEqual({name: getattr(error, name) for name in values}, values)

    def test_pickle(self) -> None:
        """An error survives pickling with all that it knows."""
        for kind, values in FAMILY:
            with case(kind.__name__):
                error = make(kind, values)
                again = pickle.loads(pickle.dumps(error))
                self.assertIs(type(again), kind)
                self.assertEqual(comparable(vars(again)), comparable(vars(error)))
                self.assertEqual(str(again), str(error))

    def test_copy(self) -> None:
        """An error survives copying, shallow and deep."""
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
    """What ``str()`` says, and what it never says."""

    def test_text_is_one_line(self) -> None:
        """Every error says something, in one line."""
        for kind, values in FAMILY:
            with case(kind.__name__):
                text = str(make(kind, values))
                self.assertTrue(text.strip())
                self.assertEqual(len(text.splitlines()), 1, text)

    def test_request_error(self) -> None:
        """A refusal's text names code and message."""
        self.assertIn("503 Busy", str(wsx.RequestError(503, "Busy", (), b"")))

    def test_request_error_hides_headers_and_body(self) -> None:
        """A refusal's text has neither header values nor the body."""
        error = wsx.RequestError(401, "No", [("Set-Cookie", SECRET)], SECRET.encode())
        self.assertNotIn(SECRET, str(error))
        self.assertNotIn("Set-Cookie", str(error))

    def test_handshake_error_says_which_check(self) -> None:
        """A wrong handshake's text says which check failed, and not what the header had."""
        error = wsx.HandshakeError("due", SECRET, "the Upgrade header is missing")
        self.assertIn("the Upgrade header is missing", str(error))
        self.assertNotIn(SECRET, str(error))

    def test_frame_encode_error_hides_the_payload(self) -> None:
        """The text of a frame that cannot be sent does not have its payload."""
        error = wsx.FrameEncodeError("over 125 bytes", "ping", SECRET.encode(), None)
        self.assertIn("over 125 bytes", str(error))
        self.assertIn("ping", str(error))
        self.assertNotIn(SECRET, str(error))

    def test_url_error_hides_the_url(self) -> None:
        """A URL may have a password: the text does not repeat it."""
        self.assertNotIn(SECRET, str(wsx.URLError(f"ws://user:{SECRET}@h:0")))

    def test_invalid_frame_error_hides_the_payload(self) -> None:
        """What is no frame is told by its beginning and end only."""
        error = wsx.InvalidFrameError("a" * 100 + SECRET + "a" * 100)
        self.assertNotIn(SECRET, str(error))
        self.assertLess(len(str(error)), 150)

    def test_bad_response_error_hides_the_arguments(self) -> None:
        """A bad answer's text tells callback and answer, not what the callback got."""
        error = wsx.BadResponseError(7, wsx.Handler(), "handle_frame", (wsx.Text(SECRET), SECRET))
        self.assertIn("handle_frame", str(error))
        self.assertIn("7", str(error))
        self.assertNotIn(SECRET, str(error))

    def test_bad_response_error_cuts_the_answer(self) -> None:
        """A long answer is cut."""
        error = wsx.BadResponseError("x" * 10_000, wsx.Handler(), "handle_frame", ())
        self.assertLess(len(str(error)), 200)

    def test_conn_error_names_its_original(self) -> None:
        """The text of a ConnError tells what was underneath, also where that says nothing."""
        self.assertIn("OSError: refused", str(wsx.ConnError(OSError("refused"))))
        self.assertIn("TimeoutError", str(wsx.ConnError(TimeoutError())))

    def test_invalid_frame_error_of_a_frame_without_payload(self) -> None:
        """The text can be had of anything that is no frame, a bare ``Frame`` too."""
        self.assertTrue(str(wsx.InvalidFrameError(wsx.Frame.__new__(wsx.Frame))))


class HelperTests(SynchronousTestCase):
    """What the other modules use to end with a reason."""

    def test_as_exception(self) -> None:
        """An exception is itself; any other reason comes as ClientEnded."""
        error = OSError()
        self.assertIs(as_exception(error), error)
        wrapped = as_exception(wsx.Shutdown("x"))
        self.assertIsInstance(wrapped, wsx.ClientEnded)
        self.assertEqual(wrapped.args, (wsx.Shutdown("x"),))


class CertificateTests(SynchronousTestCase):
    """``certificate_problem``, and what a log says of it."""

    def test_not_trusted(self) -> None:
        """[S18] OpenSSL's error becomes words."""
        error = Exception([("SSL routines", "", "certificate verify failed")])
        self.assertIn("not trusted", str(wsx.ConnError(error)))

    def test_another_host(self) -> None:
        """[S18] So does service_identity's."""
        error = VerificationError(errors=[])
        self.assertIn("not for this host", str(wsx.ConnError(error)))

    def test_other_errors(self) -> None:
        """Whatever else failed is no certificate's problem."""
        self.assertIsNone(certificate_problem(OSError("Connection refused")))
