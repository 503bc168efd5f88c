"""A piece of work that a client process is given, and whether it did all of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks import wire

Numbers = dict[str, Any]  # what a client process measured and counted, by name


class Void(Exception):
    """A run that must not count: the client failed, or did other work than was asked."""


@dataclass(frozen=True)
class Work:
    """What one client process has to do.

    Attributes:
        task: ``"receive"``, ``"send"``, ``"burst"``, ``"echo"``, ``"connects"``, ``"memory"`` or
            ``"fan"``.
        size: bytes (and characters) of each text message.
        count: messages; of the last three tasks, connections.
        tls: over TLS.
        burst: messages on each connection at a time, where the task is ``"fan"``.
        repeat: how many bursts.
    """

    task: str
    count: int
    size: int = 100
    tls: bool = False
    burst: int = 0
    repeat: int = 0

    @property
    def target(self) -> str:
        """Path and query of the server."""
        return {
            "receive": f"/stream?size={self.size}&count={self.count}",
            "send": f"/sink?size={self.size}&count={self.count}",
            "burst": f"/sink?size={self.size}&count={self.count}",
            "echo": f"/echo?count={self.count}",
            "fan": f"/fan?size={self.size}&burst={self.burst}",
        }.get(self.task, "/idle")

    @property
    def arguments(self) -> list[str]:
        """What a peer's process is given besides the task and the URL."""
        numbers = {"count": self.count, "size": self.size}
        if self.task == "fan":
            numbers |= {"burst": self.burst, "repeat": self.repeat}
        return [f"--{name}={value}" for name, value in numbers.items()]

    def check(self, numbers: Numbers) -> None:
        """Compares what was counted with what was asked for.

        Raises:
            Void: they differ.
        """
        for name, due in self._due().items():
            if name in numbers and numbers[name] != due:
                raise Void(f"{name}: {numbers[name]} instead of {due}")
        if not numbers.keys() & self._due().keys():
            raise Void("nothing was counted")

    def _due(self) -> dict[str, int]:
        """What must be counted: messages and characters, or (raw peers) bytes of frames."""
        if self.task in ("connects", "memory"):
            return {"connections": self.count}
        if self.task in ("send", "burst"):
            return {"server_bytes": wire.frame_size(self.size, masked=True) * self.count}
        messages = self.count * (self.burst * self.repeat if self.task == "fan" else 1)
        return {
            "messages": messages,
            "characters": messages * self.size,
            "bytes": messages * wire.frame_size(self.size) + len(wire.close_frame()),
        }
