"""Test handlers with the real client, an in-memory server and a clock that the test advances.

There are no sockets and there is no real time. ``docs/testing.md`` begins with a complete test.
"""

from wsx.testing.clock import MemoryReactor
from wsx.testing.leftovers import LoggedError
from wsx.testing.outcome import result_of
from wsx.testing.recorder import PENDING, Call
from wsx.testing.request import Request, RequestHeaders
from wsx.testing.run import Run, run
from wsx.testing.scripts import Script
from wsx.testing.server import MemoryServer, ServerConnection
from wsx.testing.stand_in import Message, StandIn, stand_in
from wsx.testing.wire import AnyFrame, CloseFrame

__all__ = [
    "PENDING",
    "AnyFrame",
    "Call",
    "CloseFrame",
    "LoggedError",
    "MemoryReactor",
    "MemoryServer",
    "Message",
    "Request",
    "RequestHeaders",
    "Run",
    "Script",
    "ServerConnection",
    "StandIn",
    "result_of",
    "run",
    "stand_in",
]
