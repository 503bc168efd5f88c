"""nats-py's client, with changes to its private methods that wsx needs.

All uses of private attributes of nats-py are in this module. Tests with real servers fail if one of
them changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from nats.aio.client import Client as NatsPyClient

from wsx.errors import ClusterSetupError

__all__ = ["Client"]

_STEP: Final = 0.001  # seconds


class Client(NatsPyClient):
    """One connection to one server.

    Args:
        requires_tls: Whether to send nothing without TLS.
    """

    def __init__(self, *, requires_tls: bool) -> None:
        super().__init__()
        self._requires_tls = requires_tls

    @property
    def is_clustered(self) -> bool:
        """Whether the server belongs to a cluster."""
        return "cluster" in self._server_info

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        """Check that the server offers TLS; nats-py would send the password without it."""
        if initial_connection and self._requires_tls and not info.get("tls_required"):
            if not info.get("tls_available"):
                raise ClusterSetupError("the NATS server does not offer TLS")
            info["tls_required"] = True  # The server leaves it to the client.
        await super()._process_info(info, initial_connection)

    async def _send_ping(self, future: asyncio.Future[Any] | None = None) -> None:
        """Send a PING after the data sent before; nats-py would send it ahead of its buffer.

        Otherwise the PONG would not show that the server has processed a SUB or UNSUB.
        """
        await asyncio.sleep(0)
        while self.pending_data_size:
            await asyncio.sleep(_STEP)
        await super()._send_ping(future)

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        """Close, and discard the buffer.

        On a lost connection, nats-py would fail to write it, and leave the tasks of its
        subscriptions running.
        """
        self._pending.clear()
        self._pending_data_size = 0
        await super()._close(status, do_cbs)

    def when_reading_ends(self, function: Callable[[], None]) -> None:
        """Set a function to call when reading ends, for any reason.

        nats-py does not call its own callbacks in some cases.
        """

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled():
                task.exception()  # If nothing asked for it, asyncio would log it.
            function()

        assert self._reading_task is not None
        self._reading_task.add_done_callback(ended)

    def abort(self) -> None:
        """Close the socket at once. A normal close with unsent data or TLS waits for the server."""
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()
