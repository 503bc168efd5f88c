"""``twistd --reactor uvloop``, and trial's: Twisted's asyncio reactor on uvloop's event loop."""

from __future__ import annotations

__all__ = ["install"]


def install() -> None:
    """Makes it the reactor of this process; twistd calls it.

    Raises:
        ImportError: uvloop is not installed.
    """
    import uvloop
    from twisted.internet import asyncioreactor

    asyncioreactor.install(uvloop.new_event_loop())
