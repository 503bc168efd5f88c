"""The work of one client process, and the check that it was done completely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks import wire

Numbers = dict[str, Any]  # What a client process measured and counted, by name.


class Void(Exception):
    """A run does not count: the client failed or did not do exactly the requested work."""


@dataclass(frozen=True)
class Work:
    """The work of one client process.

    Attributes:
        task: ``"receive"``, ``"send"``, ``"burst"``, ``"echo"``, ``"latency"``, ``"connects"``,
            ``"memory"`` or ``"fan"``.
        count: The number of messages; of connections for the last three tasks.
        size: The size of each text message in bytes (and characters). Default 100.
        tls: Whether to use TLS. Default False.
        returns_state: Whether the handler of wsx returns ``Ok(state)`` for each message instead of
            None, for ``"receive"`` only; other peers ignore it. Default False.
        burst: The number of messages per connection in each burst, for ``"fan"`` only.
        repeat: The number of bursts, for ``"fan"`` only.
        connections: The number of connections, for ``"latency"`` only.
        rate: The number of messages in each second, for ``"latency"`` only.
    """

    task: str
    count: int
    size: int = 100
    tls: bool = False
    returns_state: bool = False
    burst: int = 0
    repeat: int = 0
    connections: int = 0
    rate: int = 0

    @property
    def target(self) -> str:
        """The path and query of the URL."""
        return {
            "receive": f"/stream?size={self.size}&count={self.count}",
            "send": f"/sink?size={self.size}&count={self.count}",
            "burst": f"/sink?size={self.size}&count={self.count}",
            "echo": f"/echo?count={self.count}",
            "latency": f"/latency?connections={self.connections}&count={self.count}"
            f"&rate={self.rate}&size={self.size}",
            "fan": f"/fan?size={self.size}&burst={self.burst}",
        }.get(self.task, "/idle")

    @property
    def arguments(self) -> list[str]:
        """The command-line arguments of a peer's process, except the task and the URL."""
        numbers = {"count": self.count, "size": self.size}
        if self.task == "fan":
            numbers |= {"burst": self.burst, "repeat": self.repeat}
        if self.task == "latency":
            numbers |= {"connections": self.connections}
        flags = ["--returns-state"] if self.returns_state else []
        return [*flags, *(f"--{name}={value}" for name, value in numbers.items())]

    def check(self, numbers: Numbers) -> None:
        """Compare what was counted with the requested work.

        Raises:
            Void: They differ, or nothing was counted.
        """
        for name, expected in self._expected().items():
            if name in numbers and numbers[name] != expected:
                raise Void(f"{name}: expected {expected}, got {numbers[name]}")
        if not numbers.keys() & self._expected().keys():
            raise Void("nothing was counted")

    def _expected(self) -> dict[str, int]:
        """Return the expected counts: messages and characters, or (for raw-twisted) bytes."""
        if self.task in ("connects", "memory"):
            return {"connections": self.count}
        if self.task == "latency":
            return {"round_trips": self.count}
        if self.task in ("send", "burst"):
            return {"server_bytes": wire.frame_size(self.size, masked=True) * self.count}
        messages = self.count * (self.burst * self.repeat if self.task == "fan" else 1)
        return {
            "messages": messages,
            "characters": messages * self.size,
            "bytes": messages * wire.frame_size(self.size) + len(wire.close_frame()),
        }
