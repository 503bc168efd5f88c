"""Tests of wsx.start_link with a service collection as the parent."""

from __future__ import annotations

from typing import Any

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred

import wsx
from wsx import registry
from wsx.test.support import URL, MemoryCase, Peer, Recorder
from wsx.test.support.each import each
from wsx.test.support.services import GOING_AWAY


class LinkTests(MemoryCase):
    """``start_link`` adds a parent to ``start``."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(registry, "_clients", {})
        self.parent = MultiService()
        self.parent.startService()

    def link(self, handler: Any, parent: Any = None, **options: Any) -> Deferred[wsx.Client[Any]]:
        """Start a linked client."""
        options = {
            "reactor": self.clock,
            "endpoint": self.server,
            "ping_interval": None,
        } | options
        return wsx.start_link(parent or self.parent, URL, handler, **options)

    def open_link(self, handler: Any, **options: Any) -> tuple[wsx.Client[Any], Peer]:
        """Start a linked client and complete its opening handshake."""
        started = self.link(handler, **options)
        self.peer.answer()
        self.step()
        return self.successResultOf(started), self.peer

    def test_parent_ends(self) -> None:
        """[S9] The end of the parent stops each of its clients and waits for all."""
        clients = [self.open_link(Recorder()) for _ in range(3)]
        stopping = self.parent.stopService()
        for client, peer in clients:
            self.assertEqual(peer.received(), [GOING_AWAY])
            self.assertNoResult(stopping)
            peer.drop()
            self.step()
            self.assertEqual(self.successResultOf(client.terminated()), wsx.Shutdown())
        self.successResultOf(stopping)
        self.assertEqual(list(self.parent), [])

    def test_parent_ends_while_waiting_to_reconnect(self) -> None:
        """[S9] The end of the parent stops a client that waits to reconnect."""
        recorder = Recorder(handle_disconnect=lambda _, state: wsx.Reconnect(state, after=9))
        client, peer = self.open_link(recorder)
        peer.drop()
        self.step()
        stopping = self.parent.stopService()
        self.step()
        self.successResultOf(stopping)
        self.assertEqual(client.status, "terminated")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_grandparent_ends(self) -> None:
        """[S9] The end of a service further up in the tree stops the client."""
        root = MultiService()
        self.parent.setServiceParent(root)
        client, peer = self.open_link(Recorder())
        root.stopService()
        peer.drop()
        self.step()
        self.assertEqual(client.status, "terminated")

    def test_reconnects(self) -> None:
        """[S9] A client that reconnects stays linked."""
        recorder = Recorder(handle_disconnect=lambda _, state: wsx.Reconnect(state, after=0))
        client, peer = self.open_link(recorder)
        peer.drop()
        self.step()
        self.peer.answer()
        self.step()
        self.assertEqual((client.status, len(list(self.parent))), ("open", 1))
        self.parent.stopService()
        self.assertEqual(self.peer.received(), [GOING_AWAY])

    def test_client_that_crashes(self) -> None:
        """[S9] A client that crashes leaves its parent, which goes on."""
        client, peer = self.open_link(Recorder(handle_cast=ValueError()))
        other, _ = self.open_link(Recorder())
        client.cast("crash")
        self.step()
        peer.drop()
        self.step()
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(client.status, "terminated")
        self.assertEqual((len(list(self.parent)), self.parent.running), (1, True))
        self.assertEqual(other.status, "open")

    def test_async(self) -> None:
        """[S9] A client started with ``async_`` is stopped too; its ``terminate`` is called."""
        recorder = Recorder()
        client = self.successResultOf(self.link(recorder, async_=True))
        self.parent.stopService()
        self.step()
        self.assertEqual(self.successResultOf(client.terminated()), wsx.Shutdown())
        self.assertEqual(recorder.names, ["terminate"])

    def test_parent_that_refuses(self) -> None:
        """[S9] A parent that refuses children fails the Deferred, and no client keeps running."""

        class Full(MultiService):
            def addService(self, service: Service) -> None:
                raise RuntimeError("no room")

        self.failureResultOf(self.link(Recorder(), Full(), name="feed"), RuntimeError)
        self.step()
        self.assertIsNone(wsx.whereis("feed"), "a client without a parent still runs")

    def test_unlinked(self) -> None:
        """[S10] The end of a service does not affect a client that is not linked."""
        client = self.open(Recorder())
        linked, peer = self.open_link(Recorder())
        self.parent.stopService()
        peer.drop()
        self.step()
        self.assertEqual((client.status, linked.status), ("open", "terminated"))

    @each((True, False))
    def test_parent_ends_during_the_first_connect(self, silent: bool) -> None:
        """[V5] The parent's end during the first connect does not call ``terminate``."""
        self.server.silent = silent
        recorder = Recorder()
        started = self.link(recorder)
        stopping = self.parent.stopService()
        self.step()
        self.successResultOf(stopping)
        error = self.failureResultOf(started, wsx.ClientEnded).value
        self.assertEqual(error.reason, wsx.Shutdown())
        self.assertEqual(recorder.names, [], silent)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_parent_ends_during_the_first_handle_connect(self) -> None:
        """[V5] The parent's end during the first ``handle_connect`` does not call ``terminate``."""
        recorder = Recorder(handle_connect=lambda *_: Deferred())
        started = self.link(recorder)
        self.peer.answer()
        self.step()
        self.assertNoResult(started)
        self.parent.stopService()
        self.step()
        self.peer.drop()
        self.step()
        self.failureResultOf(started, wsx.ClientEnded)
        self.assertEqual(recorder.names, ["handle_connect"])
