"""Redis in memory, on a clock, for the tests of docs/examples/redis_names.py."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

__all__ = ["MemoryRedis", "RedisLink"]

EPOCH = 1_800_000_000  # seconds; the server's time when the clock is at 0


class MemoryRedis:
    """A server that knows the scripts of the example.

    Args:
        clock: The clock of the server.
        scripts: The module of the example.

    Attributes:
        values: The value of each key, also of those that have expired.
    """

    def __init__(self, clock: Clock, scripts: Any) -> None:
        self.values: dict[str, str] = {}
        self._clock = clock
        self._expires: dict[str, float] = {}
        self._scripts: dict[str, Callable[..., int]] = {
            scripts.ACQUIRE: self._acquire,
            scripts.RENEW: self._renew,
            scripts.RELEASE: self._release,
        }

    def get(self, key: str) -> str | None:
        """Return the value of a key, or None."""
        if self._clock.seconds() > self._expires.get(key, math.inf):
            self.delete(key)
        return self.values.get(key)

    def set(self, key: str, value: str, milliseconds: int | None = None) -> None:
        """Set a key that expires, or does not expire."""
        self.delete(key)
        self.values[key] = value
        if milliseconds is not None:
            self._expires[key] = self._clock.seconds() + milliseconds / 1000

    def delete(self, key: str) -> None:
        """Delete a key if it exists."""
        self.values.pop(key, None)
        self._expires.pop(key, None)

    def eval(self, script: str, keys: Sequence[str], args: Sequence[Any]) -> int:
        """Run a script."""
        return self._scripts[script](*keys, *args)

    def _acquire(self, key: str, fence_key: str, value: str, milliseconds: int) -> int:
        if self.get(key) not in (None, value):
            left = self._expires.get(key)
            return 0 if left is None else -1 - round((left - self._clock.seconds()) * 1000)
        self.set(key, value, milliseconds)
        now = round((EPOCH + self._clock.seconds()) * 1000)
        fence = max(int(self.get(fence_key) or 0) + 1, now)
        self.set(fence_key, str(fence))
        return fence

    def _renew(self, key: str, _: str, value: str, milliseconds: int) -> int:
        if self.get(key) != value:
            return 0
        self.set(key, value, milliseconds)
        return 1

    def _release(self, key: str, _: str, value: str, milliseconds: int) -> int:
        if self.get(key) != value:
            return 0
        self.delete(key)
        return 1


class RedisLink:
    """A connection to a :class:`MemoryRedis`, as ``txredisapi.lazyConnection`` returns it.

    Attributes:
        error: What each command fails with, or None. It is not run then.
        holds_replies: Whether replies are held back.
        commands: The number of commands that the server has run.
    """

    def __init__(self, server: MemoryRedis) -> None:
        self.error: Exception | None = None
        self.holds_replies = False
        self.commands = 0
        self._server = server
        self._is_connected = True
        self._waiting: list[tuple[Callable[[], Any], Deferred[Any]]] = []
        self._replies: list[tuple[Deferred[Any], Any]] = []

    def eval(self, script: str, keys: Sequence[str], args: Sequence[Any]) -> Deferred[Any]:
        """Run a script."""
        return self._command(lambda: self._server.eval(script, keys, args))

    def get(self, key: str) -> Deferred[Any]:
        """Get the value of a key."""
        return self._command(lambda: self._server.get(key))

    def set(self, key: str, value: object) -> Deferred[Any]:
        """Set a key that does not expire."""
        return self._command(lambda: self._server.set(key, str(value)))

    def _command(self, run: Callable[[], Any]) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        if self._is_connected:
            self._run(run, done)
        else:  # txredisapi waits for the next connection.
            self._waiting.append((run, done))
        return done

    def _run(self, run: Callable[[], Any], done: Deferred[Any]) -> None:
        if self.error is not None:
            done.errback(self.error)
            return
        self.commands += 1
        reply = run()
        if self.holds_replies:
            self._replies.append((done, reply))
        else:
            done.callback(reply)

    def release_replies(self) -> None:
        """Let the replies arrive that were held back."""
        self.holds_replies = False
        replies, self._replies = self._replies, []
        for done, reply in replies:
            done.callback(reply)

    def drop(self, error: Exception) -> None:
        """Lose the connection. The replies that were held back are lost, too."""
        self._is_connected = False
        replies, self._replies = self._replies, []
        for done, _ in replies:
            done.errback(Failure(error))

    def connect(self) -> None:
        """Connect again, and run the commands that wait for it."""
        self._is_connected = True
        waiting, self._waiting = self._waiting, []
        for run, done in waiting:
            if not done.called:
                self._run(run, done)
