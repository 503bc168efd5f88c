"""A TCP transport that is connected to a socket of the test."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Connection
from twisted.internet.testing import MemoryReactor
from twisted.trial.unittest import SynchronousTestCase


class SocketPairCase(SynchronousTestCase):
    """Base class: a transport connected to a socket of the test."""

    def setUp(self) -> None:
        client, self.server = socket.socketpair()
        for end in (client, self.server):
            end.setblocking(False)
            self.addCleanup(end.close)
        self.reactor: Any = MemoryReactor()
        self.transport: Any = Connection(client, Protocol(), self.reactor)
        self.transport.connected = True
        self.transport.logstr = "test"
