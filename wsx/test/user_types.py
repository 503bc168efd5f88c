"""Code as users write it, for the type checker only: ``mypy --strict`` must report nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred, succeed

import wsx


@dataclass
class Book:
    """The state of a handler."""

    lines: int = 0


class Sync(wsx.Handler[Book]):
    """Callbacks that return results directly, each with the narrowest type."""

    def handle_connect(self, conn: wsx.Conn, state: Book) -> wsx.Reply[Book]:
        return wsx.Reply([wsx.Text("subscribe"), wsx.Ping()], state)

    def handle_frame(
        self, frame: wsx.Text | wsx.Binary, state: Book
    ) -> wsx.Ok[Book] | wsx.Close[Book]:
        match frame:
            case wsx.Text("goodbye"):
                return wsx.Close(state, 1000, "as you like")
            case wsx.Text(text):
                return wsx.Ok(Book(state.lines + len(text.splitlines())))
            case _:
                return wsx.Ok(state)

    def handle_disconnect(
        self, status: wsx.Disconnect, state: Book
    ) -> wsx.Reconnect[Book] | wsx.Ok[Book]:
        if status.reason.normal:
            return wsx.Ok(state)
        elsewhere = status.conn.replace(url="wss://backup.example.com/")
        return wsx.Reconnect(state, conn=elsewhere, after=status.attempt_number * 1.0)


class Async(wsx.Handler[int | None]):
    """Callbacks that are coroutines or return Deferreds."""

    async def handle_frame(self, frame: wsx.Text | wsx.Binary, state: int | None) -> wsx.Ok[int]:
        await self.client.send_frame(wsx.Binary(b"seen"))
        return wsx.Ok((state or 0) + 1)

    def handle_cast(self, message: object, state: int | None) -> Deferred[wsx.Ok[None]]:
        return succeed(wsx.Ok(None))

    async def terminate(self, reason: object, state: int | None) -> None:
        return None


async def use() -> object:
    """Start clients and use them."""
    client: wsx.Client[Book] = await wsx.start("wss://example.com/", Sync, Book())
    client.cast("anything")
    await client.send_frame(wsx.Text("hello"), timeout=None)
    named = wsx.whereis("feed")
    if named is not None:
        await named.close()
    other: wsx.Client[int | None] = await wsx.start(
        wsx.Conn("wss://example.com/"), Async(), 1, reconnect=wsx.Backoff(), name="feed"
    )
    await other.stop()
    return await client.terminated()


class Annotated(wsx.Handler[int], restart="transient"):
    """The aliases for annotations, and the class keywords."""

    async def handle_frame(self, frame: wsx.Text | wsx.Binary, state: int) -> wsx.Answer[int]:
        return wsx.Reply(wsx.Text("seen"), state + 1)

    def handle_disconnect(self, status: wsx.Disconnect, state: int) -> wsx.Answer[int]:
        return super().handle_disconnect(status, state)

    def code_change(self, old_version: object, state: int, extra: object) -> wsx.Answer[int]:
        return wsx.Ok(state)


async def look_inside(client: wsx.Client[int]) -> int:
    """Make system requests, which know the type of the state."""
    client.sys.trace(True)
    await client.sys.change_code(Annotated, extra={"why": "new"})
    await client.sys.replace_state(lambda state: state + 1)
    return client.sys.get_state()


def count(
    event: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any], config: list[str]
) -> None:
    """Observe an event."""
    config.append(f"{event} {measurements['time']} {metadata['name']}")


async def supervise() -> dict[str, int]:
    """Start a tree of supervisors."""
    wsx.telemetry.attach("count", ["wsx.connected"], count, [])
    inner = wsx.Supervisor([Annotated.child_spec("wss://example.com/", 0)], id="inner")
    outer = wsx.Supervisor([inner], "one_for_all", max_restarts=1, backoff=wsx.Backoff())
    outer.startService()
    await outer.when_up()
    await outer.start_child(Annotated.child_spec("wss://example.com/", 0, id="more"))
    return outer.count_children()
