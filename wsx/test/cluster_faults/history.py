"""Check the history of several processes: never two holders, and no acknowledged cast is lost.

All times are those of one clock, which the processes of a machine share. An event is one of

- ``acquired``, ``lost``, ``released``: a client got the name with a fence, or no longer has it,
- ``connected``, ``disconnected``: its connection was opened or has ended,
- ``frame``, ``cast``: a callback of its handler was called,
- ``sent``, ``acknowledged``, ``refused``: the sender of a cast called it, or has the outcome,
- ``killed``, ``stopped``, ``continued``: the test has sent a signal to the process,
- ``exited``: the process has ended.

:func:`find_problems` returns one line for each contradiction.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise

__all__ = ["Event", "Figures", "count", "find_double", "find_problems", "from_lines", "to_lines"]

_ACTS = frozenset({"connected", "frame", "cast"})  # what only the holder may do
_ENDS = frozenset({"killed", "stopped", "exited"})  # The process does nothing after that.


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has happened.

    Attributes:
        time: The time in seconds.
        process: The name of the process.
        kind: The kind; see the module.
        fence: The fence of the client's name, or 0.
        sender: The sender of a cast.
        number: The number of the cast, counted by the sender.
        detail: More, for people.
    """

    time: float
    process: str
    kind: str
    fence: int = 0
    sender: str = ""
    number: int = 0
    detail: str = ""

    def __str__(self) -> str:
        cast = f" {self.sender}/{self.number}" if self.sender else ""
        return f"{self.kind}{cast} (process {self.process}, fence {self.fence}, {self.time:.4f} s)"


@dataclass(frozen=True, slots=True)
class Figures:
    """What a history contains.

    Attributes:
        holders: How often the name was acquired.
        delivered: How many casts were delivered.
        lost_with_holder: How many acknowledged casts were in the mailbox of a holder that ended.
    """

    holders: int
    delivered: int
    lost_with_holder: int


def to_lines(events: Iterable[Event]) -> str:
    """Return events as lines of JSON."""
    return "".join(json.dumps(asdict(event)) + "\n" for event in events)


def from_lines(text: str) -> list[Event]:
    """Return the events in lines of JSON."""
    return [Event(**json.loads(line)) for line in text.splitlines()]


def find_problems(events: Iterable[Event], ttl: float) -> list[str]:
    """Return what is wrong with a history.

    Args:
        events: The events of all processes, in any order.
        ttl: The time to live of the lease in seconds.
    """
    history = sorted(events, key=lambda event: event.time)
    return [
        *_fences(history),
        *_overlaps(history),
        *_after_the_end(history, ttl),
        *_casts(history),
    ]


def find_double(events: Iterable[Event]) -> list[str]:
    """Return when two processes were connected, according to the server that they connect to."""
    connected: list[str] = []
    found = []
    for event in events:
        if event.kind == "connected":
            found += [f"{event}, but {other} still is" for other in connected]
            connected.append(event.process)
        elif event.kind == "disconnected":
            connected.remove(event.process)
    return found


def count(events: Iterable[Event]) -> Figures:
    """Return what a history contains."""
    history = sorted(events, key=lambda event: event.time)
    delivered = {(e.sender, e.number) for e in history if e.kind == "cast"}
    acknowledged = {(e.sender, e.number) for e in history if e.kind == "acknowledged"}
    return Figures(
        sum(event.kind == "acquired" for event in history),
        len(delivered),
        len(acknowledged - delivered),
    )


def _fences(history: list[Event]) -> Iterator[str]:
    """Find fences that do not grow."""
    acquired = [event for event in history if event.kind == "acquired"]
    for before, after in pairwise(acquired):
        if after.fence <= before.fence:
            yield f"the fence does not grow: {before}, then {after}"


def _overlaps(history: list[Event]) -> Iterator[str]:
    """Find acts of a holder during those of another one."""
    first: dict[int, Event] = {}
    last: dict[int, Event] = {}
    for event in _acts(history):
        first.setdefault(event.fence, event)
        last[event.fence] = event
    for before, after in pairwise(sorted(first)):
        if last[before].time >= first[after].time:
            yield f"two holders: {last[before]}, but {first[after]}"


def _acts(history: list[Event]) -> Iterator[Event]:
    """Yield the acts of holders, and the ends of their connections.

    A connection ends for its process at the latest when that is stopped or killed.
    """
    connected: dict[str, int] = {}
    for event in history:
        if event.kind in _ACTS and event.fence:
            yield event
        if event.kind == "connected":
            connected[event.process] = event.fence
        elif event.kind == "disconnected" or event.kind in _ENDS:
            fence = connected.pop(event.process, 0)
            if fence:
                yield Event(event.time, event.process, event.kind, fence)


def _after_the_end(history: list[Event], ttl: float) -> Iterator[str]:
    """Find acts of a client that has no name, no longer has it, or did not run for too long."""
    ended: dict[str, tuple[int, Event]] = {}  # the fence that is over, and why
    fences: dict[str, int] = {}
    stopped: dict[str, float] = {}
    for event in history:
        process = event.process
        if event.kind == "acquired":
            fences[process] = event.fence
        elif event.kind in ("lost", "released"):
            ended[process] = fences.get(process, 0), event
        elif event.kind == "stopped":
            stopped[process] = event.time
        elif event.kind == "continued":
            if event.time - stopped.pop(process, math.inf) > ttl:
                ended[process] = fences.get(process, 0), event
        elif event.kind in _ACTS:
            fence, end = ended.get(process, (0, event))
            if not event.fence:
                yield f"without the name: {event}"
            elif event.fence <= fence:
                yield f"after the end of the lease: {event}, but {end}"


def _casts(history: list[Event]) -> Iterator[str]:
    """Find casts that were delivered twice, not in order, or not at all."""
    delivered: dict[str, list[Event]] = defaultdict(list)
    acknowledged: dict[str, list[Event]] = defaultdict(list)
    for event in history:
        if event.kind == "cast" and event.sender:
            delivered[event.sender].append(event)
        elif event.kind == "acknowledged":
            acknowledged[event.sender].append(event)
    current = max((event.fence for event in history if event.kind == "acquired"), default=0)
    alive = _is_held_at_the_end(history, current)
    for sender in sorted({*delivered, *acknowledged}):
        yield from _disorder(delivered[sender])
        end = current if alive else 0
        yield from _missing(acknowledged[sender], delivered[sender], end)


def _is_held_at_the_end(history: list[Event], fence: int) -> bool:
    """Return whether the holder with this fence has neither lost the name nor ended."""
    process = next((e.process for e in history if e.kind == "acquired" and e.fence == fence), "")
    over = False
    for event in history:
        if event.process == process:
            if event.kind == "acquired":
                over = False
            elif event.kind in _ENDS or event.kind in ("lost", "released"):
                over = True
    return not over


def _disorder(delivered: list[Event]) -> Iterator[str]:
    """Find casts of a sender that were delivered twice, or to one process not in order.

    A process that has lost its name keeps the casts that it has acknowledged, and delivers them
    when it has the name again. Other processes may have got later ones meanwhile.
    """
    seen: dict[int, Event] = {}
    last: dict[str, Event] = {}
    for event in delivered:
        before = last.get(event.process, event)
        if event.number in seen:
            yield f"delivered twice: {seen[event.number]}, and {event}"
        elif event.number < before.number:
            yield f"not in order: {before}, then {event}"
        seen[event.number] = last[event.process] = event


def _missing(acknowledged: list[Event], delivered: list[Event], end: int) -> Iterator[str]:
    """Find acknowledged casts that were not delivered although their holder lived on.

    A holder that ends takes the messages in its mailbox with it. They are the last ones that it
    has accepted, so another holder has got the next one.

    Args:
        acknowledged: The acknowledgements of a sender.
        delivered: What was delivered of this sender, in order.
        end: The fence of the holder at the end of the history, or 0.
    """
    fences = {event.number: event.fence for event in delivered}
    for event in acknowledged:
        if event.number in fences:
            continue
        before = max((number for number in fences if number < event.number), default=0)
        after = min((number for number in fences if number > event.number), default=0)
        if fences.get(after, end) == fences.get(before, 0):
            yield f"acknowledged, but not delivered: {event}"
