"""Tests of clients with names."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionRefusedError

import wsx
from wsx.frames import TEXT
from wsx.test.support import Recorder
from wsx.test.support.clients import ClientCase


class Directory:
    """A user-defined registry."""

    def __init__(self) -> None:
        self.clients: dict[Any, wsx.Client[Any]] = {}
        self.sent: list[tuple[Any, Any]] = []

    def register_name(self, key: Any, client: wsx.Client[Any]) -> bool:
        return self.clients.setdefault(key, client) is client

    def unregister_name(self, key: Any) -> None:
        del self.clients[key]

    def whereis_name(self, key: Any) -> wsx.Client[Any] | None:
        return self.clients.get(key)

    def send(self, key: Any, message: Any) -> None:
        self.sent.append((key, message))
        self.clients[key].info(message)


def note(_: object, name: Any, seen: list[Any]) -> None:
    """Record who has the name; a callback for Deferreds."""
    seen.append(wsx.whereis(name))


class NameTests(ClientCase):
    """Names of clients: a str, or ``Via`` a registry."""

    def setUp(self) -> None:
        super().setUp()
        self.directory = Directory()
        self.names: list[Any] = ["feed", wsx.Via(self.directory, ("feed", 1))]

    def tearDown(self) -> None:
        super().tearDown()
        for name in self.names:
            self.assertIsNone(wsx.whereis(name), "a test left its client behind")

    def test_name(self) -> None:
        """[S11] ``whereis`` finds a client by its name."""
        for name in self.names:
            with self.given(name=name):
                client = self.open(Recorder(), name=name)
                self.assertEqual(client.name, name)
                self.assertIs(wsx.whereis(name), client)
                self.end(client)

    def test_via_asks_the_registry(self) -> None:
        """[S11] A ``Via`` name is kept by its registry."""
        client = self.open(Recorder(), name=self.names[1])
        self.assertEqual(self.directory.clients, {("feed", 1): client})
        self.end(client)
        self.assertEqual(self.directory.clients, {})

    def test_name_while_connecting(self) -> None:
        """[S11] The name is registered as soon as the client exists."""
        for name in self.names:
            started = self.start(Recorder(), name=name)
            self.assertEqual(getattr(wsx.whereis(name), "status", None), "connecting")
            started.cancel()
            self.failureResultOf(started, CancelledError)
            self.step()

    def test_no_name(self) -> None:
        """[S11] The name of a client without a name is None."""
        self.assertIsNone(self.open(Recorder()).name)

    def test_taken(self) -> None:
        """[S12] A taken name fails the start.

        The error has the name and its client, which goes on.
        """
        for name in self.names:
            with self.given(name=name):
                client = self.open(Recorder(), name=name)
                attempts = self.server.attempts
                started = self.start(Recorder(), name=name)
                error = self.failureResultOf(started, wsx.AlreadyStartedError).value
                self.assertEqual(error.name, name)
                self.assertIs(error.client, client)
                self.assertEqual(self.server.attempts, attempts)
                self.step()
                self.assertIs(wsx.whereis(name), client)
                self.assertEqual(client.status, "open")
                self.end(client)

    def test_taken_with_async(self) -> None:
        """[S12] A taken name fails an asynchronous start."""
        client = self.open(Recorder(), name="feed")
        started = self.start(Recorder(), name="feed", async_=True)
        self.failureResultOf(started, wsx.AlreadyStartedError)
        self.end(client)

    def test_registry_that_raises(self) -> None:
        """[S12] An exception of a registry fails the start, and nothing is started."""

        class Broken(Directory):
            def register_name(self, key: Any, client: wsx.Client[Any]) -> bool:
                raise OSError("the directory is down")

        self.failed_start(self.start(Recorder(), name=wsx.Via(Broken(), "feed")), OSError)
        self.assertEqual(self.server.attempts, 0)

    def test_registry_that_stops_the_client(self) -> None:
        """[S12] If a registry stops the client, the start fails and the name is free."""

        class Impatient(Directory):
            def register_name(self, key: Any, client: wsx.Client[Any]) -> bool:
                client.stop()
                return super().register_name(key, client)

        directory = Impatient()
        started = self.start(Recorder(), name=wsx.Via(directory, "feed"))
        self.failed_start(started, wsx.ClientEnded)
        self.assertEqual(self.server.attempts, 0)
        self.assertEqual(directory.clients, {})

    def test_cast_and_info(self) -> None:
        """[S13] ``cast`` and ``info`` accept a client or its name."""
        for name in self.names:
            recorder = Recorder()
            client = self.open(recorder, name=name)
            for target in (name, client):
                with self.given(target=target):
                    recorder.calls.clear()
                    wsx.cast(target, "one")
                    wsx.info(target, "two")
                    self.step()
                    self.assertEqual(
                        recorder.calls, [("handle_cast", "one", None), ("handle_info", "two", None)]
                    )
            self.end(client)

    def test_info_via_registry(self) -> None:
        """[S13] ``info`` to a ``Via`` uses the registry's ``send``."""
        client = self.open(Recorder(), name=self.names[1])
        wsx.info(self.names[1], "hello")
        self.assertEqual(self.directory.sent, [(("feed", 1), "hello")])
        self.end(client)

    def test_send_frame(self) -> None:
        """[S13] ``send_frame`` accepts a client or its name."""
        for name in self.names:
            client = self.open(Recorder(), name=name)
            for target in (name, client):
                with self.given(target=target):
                    sent = wsx.send_frame(target, wsx.Text("hi"))
                    self.assertIsNone(self.successResultOf(sent))
                    self.assertEqual(self.peer.received(), [(TEXT, b"hi")])
            self.end(client)

    def test_send_frame_timeout(self) -> None:
        """[S13] ``wsx.send_frame`` accepts a timeout."""
        client = self.open(Recorder(), name="feed")
        self.peer.buffer.pauseProducing()
        sent = wsx.send_frame("feed", wsx.Text("hi"), timeout=1.0)
        self.clock.advance(1)
        self.failureResultOf(sent, wsx.SendTimeout)
        self.end(client)

    def test_unknown(self) -> None:
        """[S13] An unknown name is an UnknownNameError, also a LookupError."""
        for name in self.names:
            with self.given(name=name):
                for talk in (wsx.cast, wsx.info):
                    error = self.assertRaises(wsx.UnknownNameError, talk, name, "hello")
                    self.assertEqual(error.name, name)
                    self.assertIsInstance(error, LookupError)
                sent = wsx.send_frame(name, wsx.Text("hi"))
                self.assertEqual(self.failureResultOf(sent, wsx.UnknownNameError).value.name, name)

    def test_free_after_the_end(self) -> None:
        """[S14] A name is free once its client has ended, and can be taken again."""
        for name in self.names:
            with self.given(name=name):
                for _ in range(2):
                    client = self.open(Recorder(), name=name)
                    self.end(client)
                    self.assertIsNone(wsx.whereis(name))

    def test_free_when_terminated_fires(self) -> None:
        """[S14] A callback of ``terminated`` can take the name at once."""
        for name in self.names:
            client = self.open(Recorder(), name=name)
            seen: list[Any] = []
            client.terminated().addCallback(note, name, seen)
            self.end(client)
            self.assertEqual(seen, [None])

    def test_registry_that_cannot_free(self) -> None:
        """[S14] An exception of a registry at the end is logged. The client has ended."""

        class Broken(Directory):
            def unregister_name(self, key: Any) -> None:
                raise OSError("the directory is down")

        client = self.open(Recorder(), name=wsx.Via(Broken(), "feed"))
        ended = client.stop()
        self.peer.drop()
        self.step()
        self.assertEqual(self.successResultOf(ended), wsx.Shutdown())
        self.assertEqual(client.status, "terminated")
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_free_after_a_failed_start(self) -> None:
        """[S14] The name is free when the Deferred of a failed start fires."""
        self.server.refusal = ConnectionRefusedError()
        for name in self.names:
            with self.given(name=name):
                seen: list[Any] = []
                started = self.start(Recorder(), name=name)
                started.addErrback(note, name, seen)
                self.step()
                self.assertEqual(seen, [None])
