"""Tests of wsx._twistd.clients: the child specification of a client under twistd."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx._console.console import Console
from wsx._twistd.clients import client_spec
from wsx.child import ChildSpec
from wsx.test.support import URL
from wsx.test.support.twistd_config import Feed, Steady, started


class ClientSpecTests(SynchronousTestCase):
    """What the specification is made of."""

    def spec(self, handler: Any = Feed, state: Any = None, **options: Any) -> ChildSpec:
        """Return the specification of a client with these options."""
        return client_spec("feed", wsx.Conn(URL), handler, state, options, Clock())

    def test_defaults(self) -> None:
        """The client starts while its server is down, reconnects, and is transient."""
        spec = self.spec()
        self.assertEqual((spec.id, spec.restart, spec.shutdown), ("feed", "transient", 5.0))
        client = started(spec)
        self.assertTrue(client.options["async_"])
        self.assertTrue(client.options["handle_initial_conn_failure"])
        self.assertIs(client.options["reconnect"], spec.backoff)
        self.assertIs(client.options["reactor"], spec.reactor)

    def test_no_reconnect(self) -> None:
        """A client that does not reconnect is temporary."""
        self.assertEqual(self.spec(reconnect=None).restart, "temporary")

    def test_class_keywords(self) -> None:
        """The keywords of the handler class come before the defaults."""
        for handler, restart in ((Steady, "permanent"), (Console(), "temporary")):
            self.assertEqual(self.spec(handler).restart, restart)
            self.assertEqual(self.spec(handler).id, "feed")

    def test_fields(self) -> None:
        """Fields that are given come before the keywords of the class."""
        conn, options = wsx.Conn(URL), {"reconnect": None}
        spec = client_spec("feed", conn, Steady, None, options, Clock(), restart="transient")
        self.assertEqual((spec.restart, spec.shutdown), ("transient", 12.0))

    def test_state(self) -> None:
        """Each start has its own copy of the state."""
        spec = self.spec(state={"names": []})
        started(spec).state["names"].append("changed")
        self.assertEqual(started(spec).state, {"names": []})
