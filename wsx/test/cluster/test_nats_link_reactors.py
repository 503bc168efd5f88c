"""Tests of wsx._cluster.nats_link on each reactor, in processes of their own."""

from __future__ import annotations

import sys

from twisted.internet.utils import getProcessOutputAndValue

from wsx.test.support.each import each
from wsx.test.support.nats import NatsCase
from wsx.test.support.reactors import REACTORS

# Connects, and ends without stopping the link: with reactor.stop(), which must end its thread.
PROGRAM = """
import sys
import threading

from twisted.internet.defer import succeed

from wsx.test.support.reactors import install_reactor, run_until_done

reactor = install_reactor(sys.argv[1])

from wsx._cluster.nats_link import NatsLink


async def main():
    link = NatsLink(sys.argv[2], bucket="test", ttl=2.0, reactor=reactor)
    await link.start()
    revision = await link.write("feed", b"one", 0)
    await link.erase("feed", revision)
    await link.subscribe("a", lambda payload: succeed(payload.upper()))
    sent = [b"a%d" % number for number in range(100)]
    asked = [link.request("a", payload, 30.0) for payload in sent]
    received = [await one for one in asked]
    threads = [thread.name for thread in threading.enumerate()]
    print(received == [one.upper() for one in sent], "wsx cluster" in threads)


run_until_done(reactor, main)
print("wsx cluster" in [thread.name for thread in threading.enumerate()])
"""


class ReactorTests(NatsCase):
    """A process with a link."""

    @each(REACTORS)
    async def test_reactor(self, name: str) -> None:
        """Everything works on each reactor, in a thread only where it is needed."""
        servers = await self.serve()
        arguments = ["-X", "dev", "-W", "error", "-c", PROGRAM, name, servers.urls[0]]
        output = getProcessOutputAndValue(sys.executable, arguments, env=None)
        out, errors, status = await output
        expected = f"True {name == 'epoll'}\nFalse\n"
        self.assertEqual((out.decode(), errors.decode(), status), (expected, "", 0))
