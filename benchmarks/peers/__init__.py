"""Who is measured. A peer is a line here and a module that does the tasks with one library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

COMMON_TASKS = ("receive", "send", "echo", "connects", "memory")


@dataclass(frozen=True)
class Peer:
    """One contender.

    Attributes:
        name: as on the command line and in the tables.
        module: below ``benchmarks.peers``.
        uvloop: run it on uvloop; Twisted by its ``asyncioreactor``.
        pure: wsx only: its pure-Python form.
        competitor: one of those that the ratios refer to; neither wsx nor a yardstick.
        main: takes part in the quick form.
        tasks: what it can do.
        cannot: why it cannot do a task.
    """

    name: str
    module: str
    uvloop: bool = False
    pure: bool = False
    competitor: bool = True
    main: bool = False
    tasks: tuple[str, ...] = COMMON_TASKS
    cannot: Mapping[str, str] = field(default_factory=dict)

    @property
    def arguments(self) -> list[str]:
        """Those of its process that do not depend on the task."""
        return ["--uvloop"] if self.uvloop else []

    @property
    def environment(self) -> dict[str, str]:
        """What its process needs in its environment."""
        return {"WSX_PURE": "1"} if self.pure else {}

    def why_not(self, task: str) -> str | None:
        """Says why it cannot do a task; None if it can."""
        return None if task in self.tasks else self.cannot.get(task, "not implemented here")


WITH_FAN = (*COMMON_TASKS, "burst", "fan")

_PEERS = (
    Peer("wsx", "wsx", competitor=False, main=True, tasks=WITH_FAN),
    Peer("wsx-pure", "wsx", pure=True, competitor=False, main=True, tasks=WITH_FAN),
    Peer("wsx-uvloop", "wsx", uvloop=True, competitor=False, tasks=WITH_FAN),
    Peer(
        "wsx-supervised",
        "wsx_supervised",
        competitor=False,
        tasks=("memory",),
        cannot=dict.fromkeys(COMMON_TASKS, "is wsx: what a Supervisor costs is memory"),
    ),
    Peer("picows", "picows", main=True, tasks=WITH_FAN),
    Peer("picows-uvloop", "picows", uvloop=True, main=True, tasks=WITH_FAN),
    Peer("aiohttp", "aiohttp"),
    Peer("aiohttp-uvloop", "aiohttp", uvloop=True),
    Peer("websockets", "websockets"),
    Peer("websockets-uvloop", "websockets", uvloop=True),
    Peer("websocket-client", "websocket_client"),
    Peer("autobahn", "autobahn", tasks=WITH_FAN),
    Peer("twisted-web", "twisted_web"),
    Peer("raw-twisted", "raw_twisted", competitor=False, main=True),
    Peer("raw-twisted-uvloop", "raw_twisted", uvloop=True, competitor=False),
)

PEERS: dict[str, Peer] = {peer.name: peer for peer in _PEERS}
