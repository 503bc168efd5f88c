"""Tests of names of a Cluster in services and supervisors: nothing special is needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.internet.defer import Deferred

import wsx
from wsx.test.support import Recorder, text
from wsx.test.support.each import each
from wsx.test.support.memory_cluster import URL, ClusterCase, Process


class Crashing(wsx.Handler[Any]):
    """A handler that raises for each message."""

    def handle_frame(self, frame: wsx.Frame, state: Any) -> Any:
        raise ValueError("as told")


Start = Callable[[MultiService, Process, Any], object]


def as_service(parent: MultiService, process: Process, options: Any) -> object:
    """Start a ClientService."""
    service = wsx.ClientService(URL, Crashing, None, **options)
    service.setServiceParent(parent)
    return service


def as_child(parent: MultiService, process: Process, options: Any) -> object:
    """Start a supervisor with a child specification."""
    options = {"handle_initial_conn_failure": True, "reconnect": wsx.Backoff()} | options
    supervisor = wsx.Supervisor([Crashing.child_spec(URL, None, **options)], reactor=process.clock)
    supervisor.setServiceParent(parent)
    return supervisor


def as_link(parent: MultiService, process: Process, options: Any) -> object:
    """Start a linked client."""
    return wsx.start_link(parent, URL, Crashing, None, **options)


class ServiceTests(ClusterCase):
    """Applications in two processes, each with a cluster and a client with the same name."""

    def application(self, process: Process, start: Start, **name: Any) -> MultiService:
        """Start an application."""
        application = MultiService()
        application.startService()
        options = {
            "name": process.name(**name),
            "reactor": process.clock,
            "endpoint": process.server,
            "ping_interval": None,
            "async_": True,
        }
        self.started = start(application, process, options)
        self.advance()
        return application

    def end(self, application: Any, process: Process) -> None:
        """Stop an application, and let the server end the connection."""
        stopped: Deferred[Any] = application.stopService()
        self.advance()
        if process.server.attempts:
            process.server.peer.drop()
        self.advance()
        self.successResultOf(stopped)

    def answer(self, process: Process) -> None:
        """Complete the opening handshake of a process."""
        process.server.peer.answer()
        self.advance()

    @each([as_service, as_child, as_link])
    def test_hand_over(self, start: Start) -> None:
        """When the first application stops, the client of the second one connects."""
        first = self.application(self.one, start, standby=True)
        self.answer(self.one)
        second = self.application(self.two, start, standby=True)
        self.advance(15)
        self.assertEqual((self.one.server.attempts, self.two.server.attempts), (1, 0))
        self.end(first, self.one)
        self.advance(1)
        self.assertEqual((self.one.server.attempts, self.two.server.attempts), (1, 1))
        self.answer(self.two)
        self.end(second, self.two)
        entry = self.nats.read("feed")
        assert entry is not None
        self.assertTrue(entry.is_deleted)

    @each([as_service, as_child])
    def test_crash(self, start: Start) -> None:
        """A client that crashes releases its name; when it is restarted, it waits for it."""
        first = self.application(self.one, start, standby=True)
        self.answer(self.one)
        second = self.application(self.two, start, standby=True)
        self.one.server.peer.send(text("crash"))
        self.advance()
        self.one.server.peer.drop()
        self.advance(5)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.answer(self.two)
        self.assertEqual((self.one.server.attempts, self.two.server.attempts), (1, 1))
        self.end(second, self.two)
        self.advance(1)
        self.assertEqual(self.one.server.attempts, 2)
        self.end(first, self.one)

    def test_in_use(self) -> None:
        """A ClientService that is no standby ends with AlreadyStartedError."""
        first = self.application(self.one, as_service)
        self.answer(self.one)
        self.application(self.two, as_service)
        service: Any = self.started
        self.advance(20)
        reason = self.successResultOf(service.terminated())
        self.assertIsInstance(reason, wsx.AlreadyStartedError)
        self.assertIsInstance(reason.client, wsx.RemoteClient)
        self.assertEqual(self.two.server.attempts, 0)
        self.end(first, self.one)

    def test_link_in_use(self) -> None:
        """start_link fails with it, and leaves no service behind."""
        first = self.application(self.one, as_link)
        self.answer(self.one)
        second = self.application(self.two, as_link)
        started: Any = self.started
        self.failureResultOf(started, wsx.AlreadyStartedError)
        self.assertEqual(list(second), [])
        self.end(first, self.one)

    def test_cluster_in_the_application(self) -> None:
        """A cluster in the same application as the client may stop at the same time."""
        application = self.application(self.one, as_service)
        self.one.cluster.setServiceParent(application)
        self.answer(self.one)
        self.end(application, self.one)
        entry = self.nats.read("feed")
        assert entry is not None
        self.assertTrue(entry.is_deleted)
        self.assertTrue(IService.providedBy(self.one.cluster))


class StatusTests(ClusterCase):
    """What people see of such a name."""

    def test_status(self) -> None:
        """The repr and the status of a client show the key of its name, also from elsewhere."""
        client = self.opened(self.one, Recorder())
        self.assertEqual(repr(client), f"<wsx.Client Global(key='feed') Recorder {URL} open>")
        self.assertEqual(client.sys.get_status()["name"], self.one.name())
        found = wsx.lookup(self.two.name())
        self.advance()
        status = self.successResultOf(found).sys.get_status()
        self.advance(0.1)
        self.assertEqual(self.successResultOf(status)["name"], "Global(key='feed')")
        self.stopped(self.one, client)
