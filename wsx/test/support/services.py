"""A ClientService with an in-memory server, and a handler for it."""

from __future__ import annotations

from typing import Any

import wsx
from wsx import registry
from wsx.test.support import URL, MemoryCase, Recorder

GOING_AWAY = (8, (1001).to_bytes(2, "big"))
STEADY = wsx.Backoff(initial=10.0, factor=2.0, jitter=0.0)  # 10, 20, 40, 60 s


def obey(message: Any, _: Any) -> Any:
    """Answers a cast with the message itself: raises an exception, returns a result."""
    if isinstance(message, BaseException):
        raise message
    return message


class Follower(Recorder):
    """A recorder that follows its ``reconnect`` policy, and does what it is told by casts."""

    def __init__(self, **answers: Any) -> None:
        super().__init__(**{"handle_cast": obey} | answers)

    def handle_disconnect(self, status: Any, state: Any) -> Any:
        super().handle_disconnect(status, state)
        return wsx.Handler.handle_disconnect(self, status, state)


class ServiceCase(MemoryCase):
    """What the tests below share."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(registry, "_clients", {})  # no test trips over a name that another left

    def service(self, handler: Any = None, state: Any = None, **options: Any) -> wsx.ClientService:
        """Makes a service; keepalive is off unless asked for."""
        options = {
            "reactor": self.clock,
            "endpoint": self.server,
            "ping_interval": None,
        } | options
        handler = Follower() if handler is None else handler
        return wsx.ClientService(options.pop("url", URL), handler, state, **options)

    def started(self, handler: Any = None, **options: Any) -> wsx.ClientService:
        """Makes a service and starts it."""
        service = self.service(handler, **options)
        service.startService()
        self.step()
        return service

    def answer(self) -> None:
        """The server completes the opening handshake."""
        self.peer.answer()
        self.step()

    def opened(self, handler: Any = None, **options: Any) -> wsx.ClientService:
        """Makes a service and starts it, up to an open connection."""
        service = self.started(handler, **options)
        self.answer()
        return service

    def present(self, service: wsx.ClientService) -> wsx.Client[Any]:
        """Gives the present client."""
        client = service.client
        assert client is not None, "there is no client"
        return client

    def end_client(self, service: wsx.ClientService, reason: BaseException) -> wsx.Client[Any]:
        """Ends the open client from a callback; gives it."""
        client = self.present(service)
        client.cast(reason)
        self.step()
        self.peer.drop()
        self.step()
        self.assertEqual(client.status, "terminated")
        self.flushLoggedErrors(type(reason))
        return client

    def crash(self, service: wsx.ClientService) -> wsx.Client[Any]:
        """Ends the open client abnormally; gives it."""
        return self.end_client(service, ValueError("crash"))

    def crash_again_and_again(self, service: wsx.ClientService, times: int) -> None:
        """Crashes so many clients in a row, each as soon as it is open."""
        for _ in range(times):
            self.answer()
            self.crash(service)

    def assert_down(self, service: wsx.ClientService) -> None:
        """Nothing of the service is left."""
        self.step()
        self.assertIsNone(service.client)
        self.assertEqual(self.clock.getDelayedCalls(), [], "timers are left")
        self.clock.advance(1000)
        self.assertIsNone(service.client)
