"""The clients of a soak run: a handler that checks its arguments, and the history of its calls."""

from __future__ import annotations

import random
import zlib
from collections import Counter
from traceback import format_exception
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

import wsx
from wsx import Backoff, Close, Exit, Ok, Reconnect, Reply, Text
from wsx.test.soak.ledger import Ledger

__all__ = ["CLOSE_TIMEOUT", "OPTIONS", "SHOWN", "SLACK", "ClientRecord"]

CLOSE_TIMEOUT = 1.0  # seconds
SLACK = 3.0  # seconds; how late anything may be on a busy machine
SEND_TIMEOUT = 2.0  # seconds
SHOWN = 1500  # characters of a traceback that are shown
OPTIONS: dict[str, Any] = {
    "socket_connect_timeout": 3.0,
    "socket_recv_timeout": 3.0,
    "close_timeout": CLOSE_TIMEOUT,
    "ping_interval": 2.0,
    "ping_timeout": 2.0,
    "stable_after": 2.0,
    "mailbox_limit": 200,
}
_FILLERS = (0, 0, 0, 10, 100, 1000, 20_000)  # characters


class ClientRecord:
    """One client from its start to its end, and everything that it must observe.

    Args:
        name: The name of the client.
        ledger: The ledger of the run.
        rng: The random source of this client.

    Attributes:
        name: The name of the client.
        client: The client, or None before it was created.
        posted: The number of casts and infos that the client has accepted.
        handled: The number of them that were delivered.
        undelivered: The number that the client reported as undelivered when it ended.
    """

    def __init__(self, name: str, ledger: Ledger, rng: random.Random) -> None:
        self.name = name
        self.ledger = ledger
        self.rng = rng
        self.client: wsx.Client[Any] | None = None
        self.is_async = rng.random() < 0.8
        self.posted = 0
        self.handled = 0
        self.undelivered = 0
        self.busy = False  # Whether a callback runs.
        self.connected = False  # Between handle_connect and handle_disconnect.
        self.connection = 0  # The number of the connection.
        self.sent: Counter[str] = Counter()  # Messages of this connection by source.
        self.echoed: Counter[str] = Counter()
        self.flood = 0  # The index of the next message of a flood.
        self.damaged = False  # Whether a message of this connection was damaged.
        self.opened = 0  # As telemetry reports it.
        self.lost = 0
        self.failed = 0
        self.is_open = False
        self.disconnects = 0  # Calls of handle_disconnect.
        self.terminated = 0  # Calls of terminate.

    def __str__(self) -> str:
        return (
            f"{self.client!r} connection {self.connection}, sent {dict(self.sent)}, echoed "
            f"{dict(self.echoed)}, damaged {self.damaged}, busy {self.busy}, posted {self.posted}, "
            f"handled {self.handled}"
        )

    @property
    def is_usable(self) -> bool:
        """Whether the client is open, and neither closing nor ended.

        A client that was stopped is not told of the loss, so it remains connected until its end.
        """
        return self.connected and self.client is not None and self.client.status == "open"

    def check(self, valid: object, text: str, *values: object) -> None:
        """Record a violation of this client unless a condition is true."""
        self.ledger.check(valid, "{}: " + text, self.name, *values)

    # What the harness does

    def start(self, url: str, reactor: Any, options: dict[str, Any]) -> None:
        """Start the client."""
        started = wsx.start(
            url,
            Soaker,
            self,
            name=self.name,
            reactor=reactor,
            reconnect=Backoff(initial=0.2, maximum=2.0, rng=self.rng),
            async_=self.is_async,
            handle_initial_conn_failure=True,
            **options,
        )
        self.client = wsx.whereis(self.name)
        self.check(self.client is not None, "no client after start")
        # A client that cannot connect for long is still starting, so there is no tight limit.
        self.ledger.promise("start", self.name, started, 600.0)

    def act(self) -> None:
        """Do something at random."""
        if self.client is None or self.client.status == "terminated":
            return
        [action] = self.rng.choices(list(ACTIONS), list(ACTIONS.values()))
        self.attempt(action)

    def attempt(self, action: str) -> None:
        """Do something, and record an exception as a violation."""
        try:
            getattr(self, action)()
        except Exception as error:
            shown = "".join(format_exception(error))[-SHOWN:]
            self.check(False, "{} raised {}", action, shown)

    def post(self) -> None:
        """Cast or send an info, with a number."""
        assert self.client is not None
        post = self.rng.choice([self.client.cast, self.client.info])
        try:
            post(self.posted)
        except wsx.MailboxFullError:
            self.ledger.counts["mailbox full"] += 1
        except wsx.NotConnectedError:
            self.ledger.counts["posts refused"] += 1
        else:
            self.posted += 1

    def burst(self) -> None:
        """Post several messages."""
        for _ in range(self.rng.randint(2, 20)):
            self.post()

    def send(self, text: str | None = None) -> None:
        """Send a message, which the server echoes."""
        assert self.client is not None
        if self.client.status != "open":
            text = "refused"
        elif text is None:
            text = self.message("send")
        fires = self.client.send_frame(Text(text), SEND_TIMEOUT)
        self.ledger.promise("send_frame", self.name, fires, SEND_TIMEOUT + SLACK)

    def command(self) -> None:
        """Send a command to the server."""
        self.send(self.rng.choice(COMMANDS))

    def close(self) -> None:
        """Close the connection."""
        assert self.client is not None
        fires = self.client.close(self.rng.choice([1000, 3000, 4999]), "soak")
        self.ledger.promise("close", self.name, fires, CLOSE_TIMEOUT + SLACK)

    def stop(self) -> None:
        """Stop the client."""
        assert self.client is not None
        fires = self.client.stop("soak")
        self.ledger.promise("stop", self.name, fires, CLOSE_TIMEOUT + SLACK)

    def message(self, source: str) -> str:
        """Return the next message of a source, with a check sum."""
        text = f"{source} {self.connection} {self.sent[source]} " + "x" * self.rng.choice(_FILLERS)
        self.sent[source] += 1
        return f"{zlib.crc32(text.encode()):08x} {text}"

    # What telemetry reports

    def observe(self, event: str) -> None:
        """Count an event of telemetry."""
        if event == "wsx.connected":
            self.check(not self.is_open, "connected twice")
            self.opened += 1
            self.is_open = True
        elif event == "wsx.disconnected":
            if self.is_open:
                self.lost += 1
                self.ledger.counts["lost"] += 1
            else:
                self.failed += 1
                self.ledger.counts["failed"] += 1
            self.is_open = False
        self.ledger.counts[event] += 1

    # What the handler is called with

    def enter(self) -> None:
        """Check that no callback runs, and note that one does."""
        self.check(not self.busy, "a callback runs inside another one")
        self.busy = True

    def leave(self) -> None:
        """Note that a callback has returned."""
        self.busy = False

    def opening(self) -> None:
        """Check a call of handle_connect."""
        self.check(not self.connected, "handle_connect without handle_disconnect")
        self.connected = True
        self.connection += 1
        self.sent.clear()
        self.echoed.clear()
        self.flood = 0
        self.damaged = False

    def received(self, text: str) -> None:
        """Check a message of the server."""
        self.check(self.connected, "a message without a connection")
        self.ledger.counts["messages received"] += 1
        words = text.split(" ", 4)
        if words[0] == "flood" and len(words) == 3:
            self.intact(words[1] == str(self.flood), text)
            self.flood = (self.flood + 1) % int(words[2]) if words[2].isdigit() else 0
        elif len(words) == 5 and words[0] == f"{zlib.crc32(text[9:].encode()):08x}":
            _, source, connection, number, _ = words
            self.check(int(connection) == self.connection, "a message of another connection")
            self.intact(int(number) == self.echoed[source], text)
            self.echoed[source] = int(number) + 1
        else:
            self.intact(words[0] in ("fragments", "bye"), text)

    def intact(self, valid: bool, text: str) -> None:
        """Count a connection with a damaged message; the proxy may have changed a byte."""
        if not valid and not self.damaged:
            self.damaged = True
            self.ledger.counts["damaged"] += 1

    def handling(self, number: int) -> None:
        """Check a call of handle_cast or handle_info."""
        self.check(self.connected, "a cast without a connection")
        self.check(number == self.handled, "cast {} instead of {}", number, self.handled)
        self.handled = number + 1
        self.ledger.counts["casts"] += 1

    def losing(self) -> None:
        """Check a call of handle_disconnect."""
        self.connected = False
        self.disconnects += 1
        happened = self.lost + self.failed
        self.check(
            self.disconnects <= happened,
            "{} losses, but {} calls of handle_disconnect",
            happened,
            self.disconnects,
        )
        self.check(self.terminated == 0, "handle_disconnect after terminate")

    # The end

    def ended(self) -> None:
        """Check the counts of a client that has ended."""
        # A client that was not initialised does not call terminate.
        expected = 1 if self.is_async or self.connection else 0
        self.check(self.terminated == expected, "terminate called {} times", self.terminated)
        left = self.posted - self.handled
        self.check(left == self.undelivered, "{} casts left, {} reported", left, self.undelivered)
        unreported = self.lost + self.failed - self.disconnects
        self.check(unreported in (0, 1), "{} losses were not reported", unreported)
        self.check(not self.is_open, "the end of the last connection was not reported")
        self.connected = False  # From now on, every callback is a violation.


class Soaker(wsx.Handler[ClientRecord]):
    """A handler that reports to its ClientRecord, and answers in every permitted way."""

    def handle_connect(self, conn: wsx.Conn, state: ClientRecord) -> Any:
        """Start a connection."""
        state.enter()
        state.opening()
        state.leave()
        return Reply(Text(state.message("reply")), state)

    def handle_frame(self, frame: wsx.Frame, state: ClientRecord) -> Any:
        """Check a message."""
        state.enter()
        state.received(str(frame.payload))
        if state.rng.random() < 0.02:
            return self.later(state, None)
        state.leave()
        return None

    def handle_cast(self, message: int, state: ClientRecord) -> Any:
        """Check a cast, and answer in a random way."""
        state.enter()
        state.handling(message)
        choice = state.rng.random()
        if choice < 0.15:
            return self.later(state, "reply")
        state.leave()
        if choice < 0.6:
            return Reply(Text(state.message("reply")), state)
        if choice < 0.602:
            return Close(state)
        if choice < 0.603:
            raise Exit(wsx.Shutdown("soak"))
        return Ok(state)

    handle_info = handle_cast

    async def later(self, state: ClientRecord, source: str | None) -> Any:
        """Answer after a while, and send a frame in the meantime."""
        try:
            assert state.client is not None
            await deferLater(state.client.reactor, state.rng.uniform(0.0, 0.3), lambda: None)
            state.send()
        finally:
            state.leave()
        return Ok(state) if source is None else Reply(Text(state.message(source)), state)

    def handle_disconnect(self, status: wsx.Disconnect, state: ClientRecord) -> Any:
        """Reconnect nearly always."""
        state.enter()
        state.losing()
        state.leave()
        if state.rng.random() < 0.05:
            return super().handle_disconnect(status, state)
        return Reconnect(state, after=state.rng.uniform(0.05, 1.0))

    def terminate(self, reason: object, state: ClientRecord) -> Any:
        """Count the call."""
        state.terminated += 1
        if state.rng.random() < 0.2:
            fires: Deferred[None] = deferLater(self.client.reactor, 0.1, lambda: None)
            return fires
        return None


ACTIONS = {"post": 40, "burst": 4, "send": 40, "command": 12, "close": 2, "stop": 1}
COMMANDS = (
    "!flood 300",
    "!flood 20",
    "!fragments 40",
    "!pings 10",
    "!slow",
    "!close 1000",
    "!close 1012",
    "!drop",
)
