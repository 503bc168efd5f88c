"""Tests of wsx._cluster.status_values."""

from __future__ import annotations

from typing import Any

from wsx import Global
from wsx._cluster.status_values import status_to_value
from wsx._cluster.values import check_value
from wsx.test.support.cases import MemoryCase
from wsx.test.support.handlers import Recorder


class Versioned(Recorder):
    version = (1, 2)


class StatusTests(MemoryCase):
    """The status of a client as a value."""

    def status(self, handler: Any, **options: Any) -> dict[str, Any]:
        """Return the status of a client as a value."""
        client = self.open(handler, options.pop("state", None), **options)
        status = status_to_value(client.sys.get_status())
        client.stop()  # Otherwise its name stays in use, in other tests, too.
        self.peer.drop()
        self.step()
        return status

    def test_own_entries(self) -> None:
        """What wsx puts into a status becomes values."""
        url = "ws://user:secret@example.test/feed?token=x"
        status = self.status(
            Versioned(), url=url, name=Global("feed"), state={"a": 1}, debug=["log", "statistics"]
        )
        check_value(status, "status")
        self.assertEqual(status["handler"], f"{__name__}.Versioned")
        self.assertEqual(status["conn"], "ws://user:...@example.test/feed?token=...")
        self.assertEqual(status["version"], "(1, 2)")
        self.assertEqual(status["name"], repr(Global("feed")))
        self.assertEqual(status["log"][0][0], 0.0)
        self.assertEqual(status["state"], {"a": 1})

    def test_values_are_unchanged(self) -> None:
        """A name and a version that are values are unchanged."""
        status = self.status(Recorder(), name="feed")
        check_value(status, "status")
        self.assertEqual(status["name"], "feed")
        self.assertIsNone(status["version"])

    def test_entries_of_the_user(self) -> None:
        """The state, and what format_status adds or replaces, is unchanged."""
        entries = {"state": (1,), "extra": {2}, "conn": 5, "handler": 6, "log": (7,), 8: 9}
        self.assertEqual(status_to_value(entries), entries)
        self.assertEqual(status_to_value({"log": [(1.0, "a"), 2]}), {"log": [[1.0, "a"], 2]})
