"""nats-py's client, with those private parts changed that wsx cannot do without.

All uses of private attributes of nats-py are in this module. Tests with real servers notice if one
of them changes.
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
        """Send a PING after what has been sent before; that of nats-py overtakes its buffer.

        Otherwise the PONG would not show that the server has processed a SUB or UNSUB.
        """
        await asyncio.sleep(0)
        while self.pending_data_size:
            await asyncio.sleep(_STEP)
        await super()._send_ping(future)

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        """Close, without an attempt to write the rest of the buffer to a lost connection.

        nats-py would raise an exception there, and leave the tasks of its subscriptions behind.
        """
        self._pending.clear()
        self._pending_data_size = 0
        await super()._close(status, do_cbs)

    def when_reading_ends(self, function: Callable[[], None]) -> None:
        """Have a function called when nothing is read any more, for whatever reason.

        The callbacks of nats-py are not called in some cases.
        """

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled():
                task.exception()  # If nothing asked for it, asyncio would log it.
            function()

        assert self._reading_task is not None
        self._reading_task.add_done_callback(ended)

    def abort(self) -> None:
        """Close the socket at once. A close with unsent data or TLS waits for the server."""
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()
