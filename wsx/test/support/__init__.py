"""What the tests share; nothing here is a test.

Import from this package what most tests need, and from its modules what belongs to one topic:

- ``wire``: frames as they are on the wire.
- ``memory``: an in-memory server, driven by hand.
- ``cases``: base classes.
- ``each``: one test per case of a table.
- ``handlers``: handlers that note how they are called.
- ``sockets``: servers and clients on real loopback sockets.
- ``tls``: TLS in memory.
- ``options``: the options of a ``Conn`` and their defaults.
- ``clients``, ``ends``, ``connections``, ``decoding``, ``delivery``, ``streams``: what the tests of
  one part of the library share.
"""

from wsx.test.support.cases import URL, LoopbackCase, MemoryCase, case, collect_garbage
from wsx.test.support.handlers import Probe, Recorder
from wsx.test.support.memory import MemoryServer, MemoryTransport, Peer
from wsx.test.support.wire import close, read_frames, server_frame, slow_mask, text

__all__ = [
    "URL",
    "LoopbackCase",
    "MemoryCase",
    "MemoryServer",
    "MemoryTransport",
    "Peer",
    "Probe",
    "Recorder",
    "case",
    "close",
    "collect_garbage",
    "read_frames",
    "server_frame",
    "slow_mask",
    "text",
]
