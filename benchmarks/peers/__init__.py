"""The peers that are measured.

A peer is an entry in ``PEERS`` and a module that does the tasks with one library.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

COMMON_TASKS = ("receive", "send", "echo", "latency", "connects", "memory")


@dataclass(frozen=True)
class Peer:
    """A library in one configuration.

    Attributes:
        name: The name on the command line and in tables.
        module: The name of the module in ``benchmarks.peers``.
        uvloop: Whether to run on uvloop; Twisted uses its ``asyncioreactor`` then. Default False.
        aiofastnet: Whether to use aiofastnet, for picows only. Default False.
        pure: Whether to use the pure-Python form, for wsx only. Default False.
        competitor: Whether the peer is neither wsx nor a baseline. Ratios refer to the best
            competitor. Default True.
        main: Whether the peer is measured with ``--quick``. Default False.
        tasks: The tasks that the peer supports. Default ``COMMON_TASKS``.
        unsupported: The reasons why the peer does not support other tasks, by task.
    """

    name: str
    module: str
    uvloop: bool = False
    aiofastnet: bool = False
    pure: bool = False
    competitor: bool = True
    main: bool = False
    tasks: tuple[str, ...] = COMMON_TASKS
    unsupported: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_wsx(self) -> bool:
        """Whether the peer is a configuration of wsx."""
        return self.module in ("wsx", "wsx_supervised")

    @property
    def arguments(self) -> list[str]:
        """The command-line arguments that do not depend on the task."""
        options = {"--uvloop": self.uvloop, "--aiofastnet": self.aiofastnet}
        return [option for option, chosen in options.items() if chosen]

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables of the process, in addition to the inherited ones."""
        return {"WSX_PURE": "1"} if self.pure else {}

    def unsupported_reason(self, task: str) -> str | None:
        """Return why the peer does not support a task, or None if it does."""
        return None if task in self.tasks else self.unsupported.get(task, "not implemented here")


ALL_TASKS = (*COMMON_TASKS, "burst", "fan")

_PEERS = (
    Peer("wsx", "wsx", competitor=False, main=True, tasks=ALL_TASKS),
    Peer("wsx-pure", "wsx", pure=True, competitor=False, main=True, tasks=ALL_TASKS),
    Peer("wsx-uvloop", "wsx", uvloop=True, competitor=False, main=True, tasks=ALL_TASKS),
    Peer(
        "wsx-supervised",
        "wsx_supervised",
        competitor=False,
        tasks=("memory",),
        unsupported=dict.fromkeys(COMMON_TASKS, "a Supervisor affects only the memory of wsx"),
    ),
    Peer("picows", "picows", main=True, tasks=ALL_TASKS),
    Peer("picows-uvloop", "picows", uvloop=True, tasks=ALL_TASKS),
    Peer("picows+aiofastnet", "picows", aiofastnet=True, main=True, tasks=ALL_TASKS),
    Peer(
        "picows+aiofastnet-uvloop",
        "picows",
        uvloop=True,
        aiofastnet=True,
        main=True,
        tasks=ALL_TASKS,
    ),
    Peer("aiohttp", "aiohttp"),
    Peer("aiohttp-uvloop", "aiohttp", uvloop=True),
    Peer("websockets", "websockets"),
    Peer("websockets-uvloop", "websockets", uvloop=True),
    Peer(
        "websocket-client",
        "websocket_client",
        tasks=("receive", "send", "echo", "connects", "memory"),
        unsupported={"latency": "a blocking library serves one connection at a time"},
    ),
    Peer("autobahn", "autobahn", tasks=ALL_TASKS),
    Peer("twisted-web", "twisted_web"),
    Peer("raw-twisted", "raw_twisted", competitor=False, main=True),
    Peer("raw-twisted-uvloop", "raw_twisted", uvloop=True, competitor=False),
    Peer(
        "raw-openssl",
        "raw_openssl",
        competitor=False,
        tasks=("memory",),
        unsupported=dict.fromkeys(ALL_TASKS, "a baseline for memory only"),
    ),
    Peer(
        "raw-pyopenssl",
        "raw_pyopenssl",
        competitor=False,
        tasks=("memory",),
        unsupported=dict.fromkeys(ALL_TASKS, "a baseline for memory only"),
    ),
)

PEERS: dict[str, Peer] = {peer.name: peer for peer in _PEERS}
