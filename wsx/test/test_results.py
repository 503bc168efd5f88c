"""Tests of wsx.results: the results of callbacks as values."""

from __future__ import annotations

import copy
import pickle

from twisted.trial.unittest import SynchronousTestCase

from wsx.conn import Conn
from wsx.frames import Text
from wsx.results import Close, Ok, Reconnect, Reply

CONN = Conn("ws://example.test/")
RESULTS = (
    Ok("s"),
    Reply(Text("hi"), "s"),
    Close("s", 4000, "bye"),
    Reconnect("s", CONN, 2.0),
)


class Noted(Ok):
    """A user's subclass with an attribute of its own."""

    note = ""


class ResultTests(SynchronousTestCase):
    """The results as values."""

    def test_ok_by_position(self) -> None:
        """Ok is matched by position: state."""
        match Ok("s"):
            case Ok("s"):
                pass
            case _:
                self.fail("no match")

    def test_reply_by_position(self) -> None:
        """Reply is matched by position: frame and state."""
        match Reply(Text("hi"), "s"):
            case Reply(Text(payload), state):
                self.assertEqual((payload, state), ("hi", "s"))
            case _:
                self.fail("no match")

    def test_close_by_position(self) -> None:
        """Close is matched by position: state, code and message."""
        match Close("s", 4000, "bye"):
            case Close(state, code, message):
                self.assertEqual((state, code, message), ("s", 4000, "bye"))
            case _:
                self.fail("no match")

    def test_reconnect_by_position(self) -> None:
        """Reconnect is matched by position: state, conn and after."""
        match Reconnect("s", CONN, 2.0):
            case Reconnect(state, conn, after):
                self.assertEqual((state, conn, after), ("s", CONN, 2.0))
            case _:
                self.fail("no match")

    def test_close_defaults(self) -> None:
        """[C4] The default Close has code 1000 and no message."""
        result = Close("s")
        self.assertEqual((result.code, result.message), (1000, ""))

    def test_reconnect_defaults(self) -> None:
        """The default Reconnect keeps the Conn."""
        result = Reconnect("s")
        self.assertEqual((result.conn, result.after), (None, None))

    def test_keywords(self) -> None:
        """The names in the design work as keywords."""
        self.assertEqual(Ok(state=1), Ok(1))
        self.assertEqual(Close(state=1, code=4000, message="bye"), Close(1, 4000, "bye"))
        self.assertEqual(Reconnect(state=1, conn=CONN, after=1.0), Reconnect(1, CONN, 1.0))

    def test_state_may_be_anything(self) -> None:
        """A result can carry any state."""
        for state in (None, [], {}, object(), Ok(1)):
            for result in (Ok(state), Reply([], state), Close(state), Reconnect(state)):
                self.assertIs(result.state, state)

    def test_equal(self) -> None:
        """Results are equal if their class and all fields are equal."""
        for result in RESULTS:
            self.assertEqual(result, copy.copy(result))
            self.assertNotEqual(result, Ok("other"))
            self.assertNotEqual(result, "s")
        self.assertNotEqual(Reply(Text("hi"), 1), Reply(Text("hi"), 2))
        self.assertNotEqual(Close(1, 4000, "a"), Close(1, 4000, "b"))
        self.assertNotEqual(Reconnect(1, None, 1.0), Reconnect(1, None, 2.0))
        self.assertNotEqual(Ok(1), Noted(1))

    def test_not_hashable(self) -> None:
        """Results are not hashable, because they can be changed."""
        for result in RESULTS:
            with self.assertRaises(TypeError):
                hash(result)

    def test_repr(self) -> None:
        """The representation shows all fields by name, in the order of the constructor."""
        self.assertEqual(repr(Ok([1])), "Ok(state=[1])")
        self.assertEqual(repr(Reply(Text("a"), 1)), "Reply(frame=Text('a'), state=1)")
        self.assertEqual(repr(Close(1)), "Close(state=1, code=1000, message='')")
        self.assertEqual(repr(Reconnect(1)), "Reconnect(state=1, conn=None, after=None)")
        self.assertEqual(repr(Noted(1)), "Noted(state=1)")

    def test_pickle(self) -> None:
        """A pickled or copied result is equal to the original, in all protocols."""
        for result in RESULTS:
            self.assertEqual(copy.deepcopy(result), result)
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
                self.assertEqual(pickle.loads(pickle.dumps(result, protocol)), result)

    def test_pickle_subclass(self) -> None:
        """The attributes of a subclass are pickled, too."""
        noted = Noted(1)
        noted.note = "why"
        copied = pickle.loads(pickle.dumps(noted))
        self.assertEqual((type(copied), copied.state, copied.note), (Noted, 1, "why"))

    def test_change(self) -> None:
        """Fields can be set."""
        result = Reply(Text("a"), 1)
        result.frame, result.state = Text("b"), 2
        self.assertEqual(result, Reply(Text("b"), 2))

    def test_delete(self) -> None:
        """Fields cannot be deleted."""
        for result in RESULTS:
            for name in type(result).__match_args__:
                with self.assertRaises(AttributeError):
                    delattr(result, name)
            self.assertEqual(result, copy.copy(result))

    def test_no_other_attributes(self) -> None:
        """Results have no other attributes."""
        for result in RESULTS:
            with self.assertRaises(AttributeError):
                result.other = 1  # type: ignore[union-attr]

    def test_generic(self) -> None:
        """The type of the state can be given in annotations that are evaluated."""
        for result in RESULTS:
            self.assertIs(type(result)[int].__origin__, type(result))  # type: ignore[index]

    def test_wrong_arguments(self) -> None:
        """The state is required, and there are no further arguments."""
        for wrong in ((), (1, 2)):
            with self.assertRaises(TypeError):
                Ok(*wrong)  # type: ignore[call-arg]
