"""A ClientService with an in-memory server, and a handler for it."""

from __future__ import annotations

from typing import Any

import wsx
from wsx import registry
from wsx.test.support import URL, MemoryCase, Recorder

GOING_AWAY = (8, (1001).to_bytes(2, "big"))
# The delays are 10, 20, 40 and 60 seconds.
STEADY = wsx.Backoff(initial=10.0, factor=2.0, jitter=0.0)


def obey(message: Any, _: Any) -> Any:
    """Raise a message that is an exception; return any other as the result of the cast."""
    if isinstance(message, BaseException):
        raise message
    return message


class Follower(Recorder):
    """A recorder that follows its ``reconnect`` policy and obeys its casts."""

    def __init__(self, **answers: Any) -> None:
        super().__init__(**{"handle_cast": obey} | answers)

    def handle_disconnect(self, status: Any, state: Any) -> Any:
        super().handle_disconnect(status, state)
        return wsx.Handler.handle_disconnect(self, status, state)


class ServiceCase(MemoryCase):
    """Base class for tests of a ClientService."""

    def setUp(self) -> None:
        super().setUp()
        # A name that another test left registered must not affect this test.
        self.patch(registry, "_clients", {})

    def service(self, handler: Any = None, state: Any = None, **options: Any) -> wsx.ClientService:
        """Make a service; keepalive is off by default."""
        options = {
            "reactor": self.clock,
            "endpoint": self.server,
            "ping_interval": None,
        } | options
        handler = Follower() if handler is None else handler
        return wsx.ClientService(options.pop("url", URL), handler, state, **options)

    def started(self, handler: Any = None, **options: Any) -> wsx.ClientService:
        """Make and start a service."""
        service = self.service(handler, **options)
        service.startService()
        self.step()
        return service

    def answer(self) -> None:
        """Complete the opening handshake of the last connection."""
        self.peer.answer()
        self.step()

    def opened(self, handler: Any = None, **options: Any) -> wsx.ClientService:
        """Make and start a service, and open its connection."""
        service = self.started(handler, **options)
        self.answer()
        return service

    def present(self, service: wsx.ClientService) -> wsx.Client[Any]:
        """Return the current client."""
        client = service.client
        assert client is not None, "there is no client"
        return client

    def end_client(self, service: wsx.ClientService, reason: BaseException) -> wsx.Client[Any]:
        """End the open client with an exception from a callback, and return the client."""
        client = self.present(service)
        client.cast(reason)
        self.step()
        self.peer.drop()
        self.step()
        self.assertEqual(client.status, "terminated")
        self.flushLoggedErrors(type(reason))
        return client

    def crash(self, service: wsx.ClientService) -> wsx.Client[Any]:
        """End the open client abnormally, and return it."""
        return self.end_client(service, ValueError("crash"))

    def crash_again_and_again(self, service: wsx.ClientService, times: int) -> None:
        """Open and crash this number of clients, one after another."""
        for _ in range(times):
            self.answer()
            self.crash(service)

    def assert_down(self, service: wsx.ClientService) -> None:
        """Assert that the service has no client and no timer, and that nothing restarts."""
        self.step()
        self.assertIsNone(service.client)
        self.assertEqual(self.clock.getDelayedCalls(), [], "timers are left")
        self.clock.advance(1000)
        self.assertIsNone(service.client)
