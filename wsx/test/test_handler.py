"""Tests of wsx.handler: the default callbacks, the results, and the validation of results."""

from __future__ import annotations

from typing import Any, get_args

from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from wsx.backoff import Backoff
from wsx.conn import Conn
from wsx.errors import BadResponseError, RequestError
from wsx.frames import Binary, Ping, Pong, Text
from wsx.handler import (
    Answer,
    Close,
    Exit,
    Handler,
    Ok,
    Reconnect,
    Reply,
    frames_of,
    validate_result,
)
from wsx.reasons import ConnectionDropped, Disconnect, LocalClose
from wsx.test.support import MemoryCase

CONN = Conn("ws://example.test/")
STATUS = Disconnect(ConnectionDropped(), 1, CONN)

REPLYING = (
    "handle_connect",
    "handle_frame",
    "handle_cast",
    "handle_info",
    "handle_ping",
    "handle_pong",
)

# Design section 1, table of results: what each callback can return.
FITS: dict[str, tuple[object, ...]] = {
    **dict.fromkeys(
        REPLYING,
        (
            None,
            Ok(1),
            Reply(Text("hi"), 1),
            Reply([Text("a"), Ping()], 1),
            Reply([], 1),
            Close(1),
            Close(1, 4000, "bye"),
        ),
    ),
    "handle_disconnect": (
        None,
        Ok(1),
        Reconnect(1),
        Reconnect(1, CONN),
        Reconnect(1, CONN, 0),
        Reconnect(1, None, 2.5),
    ),
    "code_change": (None, Ok(1)),
}

# Results that a callback cannot return, in addition to NONSENSE.
MISFITS: dict[str, tuple[object, ...]] = {
    **dict.fromkeys(REPLYING, (Reconnect(1), Reconnect(1, CONN, 1.0))),
    "handle_disconnect": (
        Reply(Text("hi"), 1),
        Close(1),
        Reconnect(1, 42),  # type: ignore[arg-type]
        Reconnect(1, None, "soon"),  # type: ignore[arg-type]
        Reconnect(1, None, -1.0),
        Reconnect(1, None, float("nan")),
        Reconnect(1, None, float("inf")),
    ),
    "code_change": (Reply(Text("hi"), 1), Close(1), Reconnect(1)),
}

NONSENSE: tuple[object, ...] = (
    0,
    False,
    True,
    "ok",
    b"",
    (),
    ("ok", 1),
    [Ok(1)],
    Ok,
    Reply,
    object(),
    Text("hi"),
    LocalClose(),
    (n for n in "abc"),
)


class Plain(Handler[Any]):
    """A handler with the default callbacks."""


class DefaultTests(MemoryCase):
    """[C10] The default callbacks."""

    def setUp(self) -> None:
        super().setUp()
        self.handler = Plain()

    def test_handle_connect(self) -> None:
        """[C10] handle_connect keeps the state."""
        self.assertEqual(self.handler.handle_connect(CONN, "s"), Ok("s"))

    def test_handle_frame(self) -> None:
        """[C10] handle_frame raises NotImplementedError."""
        for frame in (Text("hi"), Binary(b"hi")):
            error = self.assertRaises(NotImplementedError, self.handler.handle_frame, frame, "s")
            self.assertIn("handle_frame", str(error))
            self.assertIn("Plain", str(error))

    def test_handle_cast(self) -> None:
        """[C10] handle_cast raises NotImplementedError."""
        error = self.assertRaises(NotImplementedError, self.handler.handle_cast, "hi", "s")
        self.assertIn("handle_cast", str(error))
        self.assertIn("Plain", str(error))

    def test_handle_info(self) -> None:
        """[C10] handle_info logs an error and keeps the state."""
        with capturedLogs() as events:
            self.assertEqual(self.handler.handle_info("hi", "s"), Ok("s"))
        [event] = events
        self.assertIs(event["log_level"], LogLevel.error)
        self.assertEqual(event["handler"], "Plain")

    def test_handle_ping(self) -> None:
        """[C10] [C11] handle_ping replies with a pong of the same payload."""
        for payload in (b"", b"payload", b"x" * 125):
            answer = self.handler.handle_ping(Ping(payload), "s")
            self.assertEqual(answer, Reply(Pong(payload), "s"))

    def test_handle_pong(self) -> None:
        """[C10] [C11] handle_pong keeps the state, with and without payload."""
        for payload in (b"", b"payload"):
            self.assertEqual(self.handler.handle_pong(Pong(payload), "s"), Ok("s"))

    def test_terminate(self) -> None:
        """[C10] terminate does nothing."""
        self.assertIsNone(self.handler.terminate(LocalClose(), "s"))

    def test_code_change(self) -> None:
        """code_change keeps the state."""
        self.assertEqual(self.handler.code_change(None, "s", None), Ok("s"))

    def test_format_status(self) -> None:
        """format_status returns the status unchanged."""
        status = {"name": None, "state": "s"}
        self.assertIs(self.handler.format_status(status), status)
        self.assertEqual(status, {"name": None, "state": "s"})

    def test_version(self) -> None:
        """The default version is None."""
        self.assertIsNone(Plain.version)

    def test_handle_disconnect(self) -> None:
        """[C10] Without a policy, handle_disconnect ends the client."""
        self.open(self.handler, "s")
        self.assertEqual(self.handler.handle_disconnect(STATUS, "s"), Ok("s"))

    def test_handle_disconnect_with_a_policy(self) -> None:
        """[C10] With a policy, handle_disconnect reconnects after the policy's delay."""
        policy = Backoff(initial=3.0, jitter=0.0, max_attempts=2)
        self.open(self.handler, "s", reconnect=policy)
        for attempt, after in ((1, 3.0), (2, 6.0)):
            status = Disconnect(ConnectionDropped(), attempt, CONN)
            answer = self.handler.handle_disconnect(status, "s")
            self.assertEqual(answer, Reconnect("s", None, after))

    def test_handle_disconnect_gives_up(self) -> None:
        """[C10] If the policy gives up, handle_disconnect ends the client."""
        policy = Backoff(max_attempts=2)
        self.open(self.handler, "s", reconnect=policy)
        refused = RequestError(403, "Forbidden", (), b"")
        for reason, attempt in ((ConnectionDropped(), 3), (LocalClose(), 1), (refused, 1)):
            answer = self.handler.handle_disconnect(Disconnect(reason, attempt, CONN), "s")
            self.assertEqual(answer, Ok("s"), (reason, attempt))

    def test_each_default_fits(self) -> None:
        """[C10] Every default returns a result that is valid for its callback."""
        self.open(self.handler, "s")
        arguments = (CONN, None, None, "info", Ping(), Pong())
        for callback, argument in zip(REPLYING, arguments, strict=True):
            if argument is not None:
                with capturedLogs():
                    response = getattr(self.handler, callback)(argument, "s")
                validate_result(self.handler, callback, (argument, "s"), response)

    def test_client_before_the_first_callback(self) -> None:
        """``handler.client`` is the handler's client, set before the first callback."""
        seen: list[object] = []

        class Curious(Handler[Any]):
            def handle_connect(self, conn: Conn, state: Any) -> None:
                seen.append(self.client)

        client = self.open(Curious)
        self.assertEqual(seen, [client])

    def test_generic(self) -> None:
        """``Handler`` is generic in its state at run time."""

        class Counting(Handler[int]):
            pass

        self.assertIsInstance(Counting(), Handler)


class ValidateTests(SynchronousTestCase):
    """``validate_result``; the table of results is in design section 1."""

    def setUp(self) -> None:
        self.handler = Plain()

    def test_accepts(self) -> None:
        """[C2] A valid result is returned unchanged."""
        for callback, responses in FITS.items():
            for response in responses:
                judged = validate_result(self.handler, callback, ("argument", "s"), response)
                self.assertIs(judged, response, (callback, response))

    def refuse(self, callback: str, response: object) -> None:
        """Assert that this result is refused, and check the attributes of the error."""
        arguments = ("argument", "s")
        try:
            validate_result(self.handler, callback, arguments, response)
        except BadResponseError as error:
            self.assertIs(error.response, response)
            self.assertIs(error.handler, self.handler)
            self.assertEqual(error.callback, callback)
            self.assertEqual(error.arguments, arguments)
        else:
            self.fail(f"{callback} may answer with {response!r}")

    def test_refuses_nonsense(self) -> None:
        """[C6] A value that is not a result is a BadResponseError in every callback."""
        for callback in FITS:
            for response in NONSENSE:
                self.refuse(callback, response)

    def test_refuses_results_of_other_callbacks(self) -> None:
        """[C6] Only handle_disconnect can reconnect, and it can neither reply nor close."""
        for callback in (*REPLYING, "handle_disconnect"):
            for response in MISFITS[callback]:
                self.refuse(callback, response)

    def test_refuses_results_of_other_callbacks_in_code_change(self) -> None:
        """code_change can return only Ok or None."""
        for response in MISFITS["code_change"]:
            self.refuse("code_change", response)

    def test_error_names_the_place(self) -> None:
        """The text of the error names the handler, the callback and the result."""
        error = self.assertRaises(
            BadResponseError, validate_result, self.handler, "handle_cast", (), "nonsense"
        )
        for part in ("Plain", "handle_cast", "'nonsense'"):
            self.assertIn(part, str(error))


class FramesOfTests(SynchronousTestCase):
    """``frames_of``."""

    def test_frames_of_a_reply(self) -> None:
        """A reply has one frame, or the frames of a list in order."""
        self.assertEqual(frames_of(Reply(Text("a"), 1)), [Text("a")])
        self.assertEqual(frames_of(Reply([Text("a"), Ping()], 1)), [Text("a"), Ping()])
        self.assertEqual(frames_of(Reply([], 1)), [])

    def test_frames_of_a_reply_with_none(self) -> None:
        """A value that is not a frame stays in the reply for the encoder to refuse."""
        for wrong in (None, "text", b"bytes", 1):
            self.assertEqual(frames_of(Reply(wrong, 1)), [wrong])  # type: ignore[arg-type]


class AnswerTests(SynchronousTestCase):
    """The annotation of callbacks."""

    def test_evaluated(self) -> None:
        """Python can evaluate it, as it does without ``from __future__ import annotations``."""
        self.assertTrue({Ok, Reply, Close, Reconnect} < set(get_args(Answer[int])))  # type: ignore[misc]


class ExitTests(SynchronousTestCase):
    """``Exit``."""

    def test_default_reason(self) -> None:
        """[C6] Without a reason it is a normal exit."""
        self.assertEqual(Exit().reason, LocalClose(1000, ""))

    def test_reason(self) -> None:
        """[C6] It carries any reason unchanged."""
        for reason in ("enough", ValueError("x"), LocalClose(4000, "bye"), 0, False, ""):
            self.assertIs(Exit(reason).reason, reason)

    def test_is_an_exception(self) -> None:
        """It is an exception, but not a WsxError."""
        self.assertIsInstance(Exit(), Exception)
