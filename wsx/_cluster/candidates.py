"""The choice of the next server to connect to, and of the delay before the attempt."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from random import Random
from typing import Final

from wsx._cluster.servers import ServerAddress

__all__ = ["Candidates"]

_LONGEST: Final = 10.0  # seconds
_SHORT: Final = 0.1  # seconds
_MAX_EXPONENT: Final = 20


class Candidates:
    """The servers to connect to, in the order in which they are tried.

    After a failure or a loss, the next server is tried within 0.1 s. After all have failed, there
    is a delay, which doubles each time up to 10 s. All delays are random, so that the clients of a
    failed server do not reconnect at the same moment.

    Args:
        servers: The configured servers, which are tried in random order.
        delay: The first delay in seconds.
        random: The source of the random order and delays.
    """

    def __init__(
        self, servers: Sequence[ServerAddress], delay: float, random: Random | None = None
    ) -> None:
        self._delay = delay
        self._random = Random() if random is None else random
        self._configured = tuple(servers)
        self._waiting = deque(self._shuffled(servers))
        self._failures = 0

    @property
    def current(self) -> ServerAddress:
        """The server to connect to."""
        return self._waiting[0]

    def discover(self, server: ServerAddress, places: Iterable[str]) -> None:
        """Add the servers that a server has announced, in place of those announced earlier."""
        announced = [server.neighbour(place) for place in places]
        known = {(one.host, one.port) for one in (server, *self._configured)}
        found = [one for one in announced if one and (one.host, one.port) not in known]
        others = [one for one in self._configured if one != server]
        self._waiting = deque([server, *self._shuffled(others), *self._shuffled(found)])

    def succeeded(self) -> None:
        """Reset the delays, because the current server is connected."""
        self._failures = -1

    def next(self) -> float:
        """Select the next server, and return the delay before the attempt in seconds."""
        self._failures += 1
        self._waiting.rotate(-1)
        rounds, rest = divmod(self._failures, len(self._waiting))
        if rest or not rounds:
            return self._random.uniform(0, _SHORT)
        longest = min(self._delay * 2.0 ** min(rounds - 1, _MAX_EXPONENT), _LONGEST)
        return self._random.uniform(longest / 2, longest)

    def _shuffled(self, servers: Iterable[ServerAddress]) -> list[ServerAddress]:
        shuffled = list(servers)
        self._random.shuffle(shuffled)
        return shuffled
