"""``connect``: a client for scripts and REPLs, without a handler class."""

from __future__ import annotations

from types import TracebackType
from typing import Any, TypeAlias, Unpack

from wsx._deferreds import AnyDeferred
from wsx.client import Client, start
from wsx.frame_queue import FrameQueue
from wsx.option_types import StartOptions
from wsx.provider import ConnSource

__all__ = ["Connecting", "connect"]

QueueClient: TypeAlias = Client[Any, FrameQueue]


class Connecting(AnyDeferred[QueueClient]):
    """The result of :func:`connect`: a Deferred of the client, and an async context manager."""

    _client: QueueClient | None = None

    async def __aenter__(self) -> QueueClient:
        """Return the open client."""
        self._client = await self
        return self._client

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the client, and wait for its end."""
        if self._client is not None:
            await self._client.stop()


def connect(conn_or_url: ConnSource, **options: Unpack[StartOptions]) -> Connecting:
    """Start a client whose messages are read with ``async for frame in client.frames()``.

    Its handler is a :class:`FrameQueue`, and its state None. ``callback_warning`` is None by
    default, because messages may wait for you as long as you like. Use it in scripts and REPLs::

        async with wsx.connect("wss://example.com/feed") as client:
            await client.send_frame(wsx.Text("subscribe"))
            async for frame in client.frames():
                print(frame.payload)

    Args:
        conn_or_url: As for :func:`start`.
        **options: As for :func:`start`.

    Returns:
        The Deferred of :func:`start`. It is also an async context manager, which stops the client
        at its end.
    """
    options = {"callback_warning": None, **options}
    started = start(conn_or_url, FrameQueue, None, **options)
    connecting = Connecting(lambda _: started.cancel())
    started.addCallbacks(connecting.callback, connecting.errback)
    return connecting
