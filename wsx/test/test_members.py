"""Tests of wsx._members: attributes of compiled classes, which behave as those of pure classes."""

from __future__ import annotations

from types import MemberDescriptorType

from twisted.trial.unittest import SynchronousTestCase

from wsx._members import use_members
from wsx.frames import Ping, Text
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
