"""Log lines and telemetry events about the names of a cluster."""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger

from wsx import telemetry
from wsx._cluster.lease import Terms
from wsx._text import line, quote

__all__ = ["NameReports"]

_log = Logger("wsx")


class NameReports:
    """Report which process holds the name of one client, and why that changes.

    Args:
        bucket: The name of the bucket, which stands for the cluster in log lines.
        client: The client.
        terms: The terms of the leases.
    """

    def __init__(self, bucket: str, client: Any, terms: Terms) -> None:
        self._bucket = bucket
        self._client = client
        self._terms = terms
        self._holder: bytes | None = None  # The last holder that was reported.
        self._since = terms.clock()

    def waiting(self, holder: bytes) -> None:
        """Report that another process holds the name, once for each holder."""
        if holder == self._holder:
            return
        self._holder = holder
        shown = self._terms.describe(holder)
        self._info("the name {name} is held by {holder}", holder=shown)
        self._notify(telemetry.NAME_WAITING, holder=shown)

    def acquired(self, fence: int) -> None:
        """Report that the client has acquired the name."""
        before = "it was free"
        if self._holder is not None:
            before = f"before: {self._terms.describe(self._holder)}"
        self._holder = None
        self._info(
            "this process has the name {name} (fence {fence}; {before})", fence=fence, before=before
        )
        self._notify(telemetry.NAME_ACQUIRED, fence=fence)

    def lost(self, reason: str) -> None:
        """Report that the client has lost the name. The client logs it."""
        self._notify(telemetry.NAME_LOST, reason=line(reason, 300))

    def released(self) -> None:
        """Report that the name is free."""
        self._info("released the name {name}")
        self._notify(telemetry.NAME_RELEASED)

    def not_released(self, reason: str) -> None:
        """Report that the name could not be released."""
        self._info(
            "could not release the name {name} ({reason}); it will be free in {ttl:g} s or less",
            reason=line(reason, 300),
            ttl=self._terms.ttl,
        )

    def _info(self, text: str, **values: Any) -> None:
        name = quote(getattr(self._client.name, "key", self._client.name))
        _log.info("cluster {bucket}: " + text, bucket=self._bucket, name=name, **values)

    def _notify(self, event: str, **metadata: Any) -> None:
        if event in telemetry.observers:
            metadata |= {
                "client": self._client,
                "name": self._client.name,
                "handler": type(self._client.handler),
                "conn": self._client.conn.redacted(),
                "cluster": self._bucket,
            }
            telemetry.execute(event, metadata)
