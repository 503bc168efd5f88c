"""Tests of scripts, each with the real client."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import DNSLookupError

from wsx import Binary, ConnError, Ping, Text
from wsx.test.support.kit import AGAIN, Echo, KitCase, run_echo
from wsx.testing import CloseFrame, MemoryServer, run


class ScriptTests(KitCase):
    """What a script can do."""

    def test_function(self) -> None:
        """A function runs once the request has arrived."""

        def accept(connection: Any) -> None:
            self.assertEqual(connection.request.path, "/")
            connection.accept().send(Text("a"))

        with run_echo(server=MemoryServer(accept)) as feed:
            self.assertEqual(feed.state, 1)
            feed.server.expect(Text("a"))

    def test_generator(self) -> None:
        """A generator waits for frames and for time, and gets the frames."""
        got: list[Any] = []

        def talk(connection: Any) -> Any:
            connection.accept().send(Text("a"))
            got.append((yield Text("a")))
            yield 2.0
            got.append(feed.reactor.seconds())
            connection.send(Text("b"), Binary(b"c"))
            got.append((yield [Text, Binary(b"c")]))
            connection.drop()

        with run_echo(server=MemoryServer(talk)) as feed:
            feed.advance(2.0)
            self.assertEqual(got, [Text("a"), 2.0, [Text("b"), Binary(b"c")]])
            self.assertEqual(feed.client.status, "disconnected")

    def test_waits_for_late_frames(self) -> None:
        """Frames may arrive much later, one by one."""
        got: list[Any] = []

        def talk(connection: Any) -> Any:
            connection.accept()
            got.append((yield [Text("a"), Text("b")]))

        with run_echo(server=MemoryServer(talk)) as feed:
            feed.advance(5.0)
            feed.client.cast("a")
            feed.advance(5.0)
            self.assertEqual(got, [])
            feed.client.cast("b")
            feed.advance(0)
            self.assertEqual(got, [[Text("a"), Text("b")]])

    def test_frames_before_the_wait(self) -> None:
        """Frames that have arrived before the script waits for them count."""
        got: list[Any] = []

        def talk(connection: Any) -> Any:
            connection.accept()
            yield 10.0
            got.append((yield Text("early")))

        with run_echo(server=MemoryServer(talk)) as feed:
            feed.client.cast("early")
            feed.advance(10.0)
            self.assertEqual(got, [Text("early")])

    def test_wrong_frame(self) -> None:
        """Another frame than the expected one fails the test where it lets the client run."""

        def talk(connection: Any) -> Any:
            connection.accept()
            yield [Text("a"), Text("b")]

        server = MemoryServer(talk)
        with run_echo(server=server) as feed:
            feed.client.cast("a")
            feed.client.cast("x")
            text = self.failure_of(feed.advance, 1.0)
            self.assertIn("    Text('a')\n  - Text('b')\n  + Text('x')", text)
            feed.server.received  # noqa: B018

    def test_error(self) -> None:
        """An exception of a script is raised in the test, and the client works on."""

        def broken(connection: Any) -> None:
            connection.accept()
            raise ZeroDivisionError

        def later(connection: Any) -> Any:
            connection.accept()
            yield 1.0
            raise KeyError

        self.assertRaises(ZeroDivisionError, run_echo(server=MemoryServer(broken)).__enter__)
        with run_echo(server=MemoryServer(later)) as feed:
            self.assertRaises(KeyError, feed.advance, 1.0)
            feed.server.send(Text("a")).expect(Text("a"))

    def test_several(self) -> None:
        """Each connection has a script of its own; then the test takes over."""

        def serve(text: str) -> Any:
            def talk(connection: Any) -> Any:
                connection.accept().send(Text(text))
                yield Text(text)
                connection.drop()

            return talk

        server = MemoryServer(serve("one"), DNSLookupError(), serve("two"))
        with run(Echo, 0, server=server, reconnect=AGAIN) as feed:
            feed.advance(3.0)
            self.assertEqual((feed.state, server.attempts), (2, 3))
            self.assertEqual(len(server.connections), 2)
            losses = [c.argument for c in feed.calls if c.callback == "handle_disconnect"]
            self.assertEqual([loss.attempt_number for loss in losses], [1, 2, 3])
            self.assertIsInstance(losses[1].reason, ConnError)
            feed.advance(4.0)
            server.accept().send(Text("three")).expect(Text("three"))

    def test_added_later(self) -> None:
        """Scripts can be added while the client runs."""
        with run_echo() as feed:
            feed.server.accept()
            feed.server.script(lambda connection: connection.accept().send(Text("next")))
            feed.server.drop()
            feed.advance(1.0)
            feed.server.expect(Text("next"))

    def test_no_script(self) -> None:
        """What is no script is an error that says so."""
        text = self.failure_of(MemoryServer, 5, kind=TypeError)
        self.assertEqual(text, "script: expected a function or an exception, got 5")

    def test_waiting_at_the_end(self) -> None:
        """A script whose connection has ended is left over if it waits."""

        def talk(connection: Any) -> Any:
            connection.accept()
            yield Ping

        def body(feed: Any) -> None:
            feed.server.drop()

        text = self.left_over(run_echo(server=MemoryServer(talk)), body)
        self.assertIn("is still waiting for any Ping", text)

    def test_closing(self) -> None:
        """A script may wait for the client's close frame."""

        def talk(connection: Any) -> Any:
            connection.accept()
            yield CloseFrame(1000)

        with run_echo(server=MemoryServer(talk)) as feed:
            feed.client.close()
            feed.advance(0)
            self.assertIsNotNone(feed.reason)

    def test_time_left(self) -> None:
        """A script that waits for time is left over, with what it waits for."""

        def talk(connection: Any) -> Any:
            connection.accept()
            yield 5.0

        text = self.left_over(run_echo(server=MemoryServer(talk)), lambda feed: None)
        self.assertIn("is still waiting for 5 s to pass", text)
