"""Resident memory of this process, and its open files."""

from __future__ import annotations

import gc
import os
import socket
import stat

__all__ = ["Memory", "count_descriptors", "resident"]

_PAGE = os.sysconf("SC_PAGE_SIZE")
_MIB = 1024 * 1024


def resident() -> float:
    """Return the resident memory in MiB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * _PAGE / _MIB


def count_descriptors() -> int:
    """Return the number of open file descriptors, without Unix sockets.

    uvloop opens a pair of Unix sockets at some time while it runs.
    """
    return sum(not _is_unix_socket(int(name)) for name in os.listdir("/proc/self/fd"))


def _is_unix_socket(descriptor: int) -> bool:
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return False
    except OSError:  # It was the one of the folder itself.
        return False
    with socket.socket(fileno=os.dup(descriptor)) as copy:
        return copy.family == socket.AF_UNIX


class Memory:
    """The resident memory over time.

    Attributes:
        samples: Pairs of the time in seconds since the start, and MiB.
    """

    def __init__(self) -> None:
        self.samples: list[tuple[float, float]] = []

    def sample(self, seconds: float) -> float:
        """Take a sample after collecting garbage, and return it."""
        gc.collect()
        self.samples.append((seconds, resident()))
        return self.samples[-1][1]

    def spread(self, share: float = 2 / 3) -> float:
        """Return the difference in MiB between the highest and the lowest of the last samples."""
        last = self._last(share)
        return max(last) - min(last)

    def growth(self, share: float = 2 / 3) -> float:
        """Return by how much the mean of the last samples grows from their first to second half."""
        last = self._last(share)
        half = len(last) // 2
        return sum(last[half:]) / len(last[half:]) - sum(last[:half]) / max(half, 1)

    def _last(self, share: float) -> list[float]:
        end = self.samples[-1][0]
        return [mib for seconds, mib in self.samples if seconds >= end - end * share]
