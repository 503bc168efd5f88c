"""Tests of the in-memory server; test_actions.py and test_faults.py have those of what it does."""

from __future__ import annotations

from typing import Any

import wsx
from wsx import Backoff, ClientService, Supervisor, Text
from wsx.test.support.kit import Echo, KitCase, run_echo
from wsx.testing import CloseFrame, MemoryServer, result_of


class ServerTests(KitCase):
    """A server and its connections."""

    def test_connections(self) -> None:
        """The server keeps all connections; its actions concern the last one."""
        with run_echo() as feed:
            first = feed.server.accept()
            first.send(Text("a")).expect(Text("a")).drop()
            feed.advance(1.0)
            second = feed.server.accept()
            self.assertEqual(feed.server.connections, [first, second])
            self.assertEqual([first.is_open, second.is_open], [False, True])
            feed.server.send(Text("b")).expect(Text("b"))
            self.assertEqual(first.received, [Text("a")])
            self.assertEqual(feed.server.received, [Text("b")])

    def test_repr(self) -> None:
        """The repr of a connection says what has become of it."""
        with run_echo() as feed:
            connection = feed.server.connection
            self.assertEqual(repr(connection), "<ServerConnection 1: waiting for an answer>")
            connection.accept()
            self.assertEqual(repr(connection), "<ServerConnection 1: open>")
            connection.drop()
            self.assertEqual(repr(connection), "<ServerConnection 1: the server has dropped it>")

    def test_ends(self) -> None:
        """A connection knows how it has ended, whichever side has ended it."""
        for end, expected in [
            (lambda feed: feed.server.reset(), "the server has reset it"),
            (lambda feed: feed.server.close(), "it was closed by a closing handshake"),
            (lambda feed: feed.client.close(), "it was closed by a closing handshake"),
            (
                lambda feed: (feed.server.silence(), feed.client.abort()),
                "the client has aborted the TCP connection",
            ),
        ]:
            with run_echo() as feed:
                connection = feed.server.accept()
                end(feed)
                self.assertFalse(connection.is_open)
                self.assertIn(expected, self.failure_of(connection.send, Text("a")))
                self.assertIsInstance(connection.received, list)

    def test_properties(self) -> None:
        """The properties of a connection are those after everything that is due."""
        with run_echo() as feed:
            connection = feed.server.accept()
            feed.client.sys.suspend()
            self.assertFalse(connection.is_read)
            connection.send(Text("abc"))
            self.assertEqual(connection.unread, 5)
            feed.client.sys.resume()
            self.assertEqual((connection.unread, connection.is_read), (0, True))
            feed.client.close()
            self.assertFalse(connection.is_open)
            connection.expect(Text("abc"), CloseFrame())
            feed.advance(1.0)
            feed.client.abort()

    def test_cancelled_attempt(self) -> None:
        """A client that gives up its attempt does not get a connection."""
        server = MemoryServer()
        client: Any = []
        started = wsx.start("ws://test/", Echo, reactor=server.reactor, async_=True)
        started.addCallback(client.append)
        client[0].abort()
        server.reactor.settle()
        self.assertEqual((server.attempts, server.connections), (1, []))

    def test_down_before_a_script(self) -> None:
        """While the server is down, no script is used up."""
        server = MemoryServer(lambda connection: connection.accept())
        server.down()
        with run_echo(server=server, handle_initial_conn_failure=True) as feed:
            server.up()
            feed.advance(1.0)
            self.assertEqual(feed.client.status, "open")

    def test_waiting(self) -> None:
        """The connection that waits for the test is known, until it is answered or ends."""
        server = MemoryServer()
        self.assertIsNone(server.waiting)
        with run_echo(server=server, handle_initial_conn_failure=True) as feed:
            self.assertIs(server.waiting, server.connection)
            server.silence()
            self.assertIsNone(server.waiting)
            server.silence(False).drop()
            self.assertIsNone(server.waiting)
            feed.advance(1.0)
            server.accept()
            self.assertIsNone(server.waiting)


class ServiceTests(KitCase):
    """The server with services and supervisors, which ``run`` does not start."""

    def test_client_service(self) -> None:
        """A ClientService connects to the server, and reconnects on its clock."""
        server = MemoryServer()
        service = ClientService(
            "ws://test/", Echo, 0, reactor=server.reactor, reconnect=Backoff(jitter=0)
        )
        service.startService()
        server.accept().send(Text("a")).expect(Text("a")).drop()
        server.reactor.advance(1.0)
        server.accept().send(Text("b")).expect(Text("b"))
        stopped = service.stopService()
        server.expect(CloseFrame(1001))
        self.assertIsNone(result_of(stopped))
        self.assertEqual((server.left_over(), server.reactor.timers()), ([], []))

    def test_supervisor(self) -> None:
        """Two clients of a supervisor connect to the same server."""
        server = MemoryServer()
        children = [
            Echo.child_spec(f"ws://test/{name}", 0, id=name, reactor=server.reactor, async_=True)
            for name in ("one", "two")
        ]
        supervisor = Supervisor(children)
        supervisor.startService()
        self.assertEqual([one.request.path for one in server.connections], ["/one", "/two"])
        for connection in server.connections:
            connection.accept()
        stopped = supervisor.stopService()
        server.reactor.settle()
        result_of(stopped)
