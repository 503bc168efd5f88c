"""Code that several test modules share; nothing in this package is a test.

Import what most tests need from this package, and the rest from its modules:

- ``wire``: frames as they are on the wire.
- ``memory``: an in-memory server, driven by the test.
- ``cases``: base classes.
- ``each``: one test per case of a table.
- ``handlers``: handlers that record how they are called.
- ``sockets``: servers and clients on real loopback sockets.
- ``tls``: TLS in memory.
- ``loops``: a running event loop of asyncio.
- ``extras``: packages of the extras; tests that need a missing one are skipped.
- ``options``: the options of a ``Conn`` and their defaults.
- ``forms``, ``readers``: the decoder in both forms, and the decoders of other libraries.
- ``clients``, ``ends``, ``connections``, ``decoding``, ``delivery``, ``streams``, ``system``,
  ``telemetry``: clients and parts of them.
- ``children``, ``services``, ``supervision``: services and supervisors.
- ``nats``, ``nats_servers``, ``memory_nats``, ``store_contract``: NATS, real and in memory.
- ``twistd``, ``twistd_config``, ``twistd_runner``: the twistd plugin.
"""

from wsx.test.support.cases import URL, LoopbackCase, MemoryCase, case, collect_garbage
from wsx.test.support.handlers import Probe, Recorder
from wsx.test.support.memory import MemoryServer, Peer
from wsx.test.support.wire import close, read_frames, server_frame, slow_mask, text
from wsx.testing.transport import MemoryTransport

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
