"""Tests of wsx._members: attributes and instances of compiled classes."""

from __future__ import annotations

import gc
import sys
from types import MemberDescriptorType

from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx._members import leave_untracked, use_members
from wsx.frames import Binary, Ping, Pong, Text
from wsx.results import Close, Ok, Reconnect, Reply


class UseMembersTests(SynchronousTestCase):
    """``use_members``."""

    def test_all_attributes_are_members(self) -> None:
        """Python reads the attributes of frames and results as members, compiled or pure."""
        for cls, names in (
            (Text, ["payload"]),
            (Ping, ["payload"]),
            (Ok, ["state"]),
            (Reply, ["frame", "state"]),
            (Close, ["state", "code", "message"]),
            (Reconnect, ["state", "conn", "after"]),
        ):
            for name in names:
                self.assertIsInstance(getattr(cls, name), MemberDescriptorType, (cls, name))

    def test_each_member_has_its_own_value(self) -> None:
        """The members are at the places at which the constructors store the values."""
        close, reconnect = Close(1, 4000, "bye"), Reconnect(1, None, 2.0)
        self.assertEqual((close.state, close.code, close.message), (1, 4000, "bye"))
        self.assertEqual((reconnect.state, reconnect.conn, reconnect.after), (1, None, 2.0))

    def test_other_attributes(self) -> None:
        """Attributes that are not properties of Cython are left alone."""

        class Other:
            @property
            def payload(self) -> int:
                return 1

        use_members(Other, "payload")
        self.assertEqual(Other().payload, 1)


class LeaveUntrackedTests(SynchronousTestCase):
    """``leave_untracked``."""

    def test_frames(self) -> None:
        """The garbage collector tracks the frames of the pure form only."""
        for frame in (Text("a"), Binary(b"a"), Ping(b"a"), Pong()):
            self.assertEqual(gc.is_tracked(frame), not wsx.compiled, frame)

    def test_results(self) -> None:
        """The garbage collector tracks results, whose states may refer to anything."""
        self.assertTrue(gc.is_tracked(Ok([])))

    def test_subclasses(self) -> None:
        """A subclass with more attributes is tracked, and a cycle through it is collected."""

        class Named(Text):
            other: object = None

        collected: list[str] = []

        class Other:
            def __init__(self, named: Named) -> None:
                self.named = named

            def __del__(self) -> None:
                collected.append("other")

        named = Named("a")
        self.assertEqual(named, Named("a"))
        named.other = Other(named)
        del named
        gc.collect()
        self.assertEqual(collected, ["other"])

    def test_payloads_are_freed(self) -> None:
        """A frame that is freed gives up its payload."""
        payload = "a payload of its own".upper()
        before = sys.getrefcount(payload)
        frames = [Text(payload) for _ in range(1000)]
        self.assertEqual(sys.getrefcount(payload), before + 1000)
        frames.clear()
        self.assertEqual(sys.getrefcount(payload), before)

    def test_pure_classes(self) -> None:
        """A class in Python is left alone."""

        class Pure:
            pass

        leave_untracked(Pure)
        self.assertTrue(gc.is_tracked(Pure()))
