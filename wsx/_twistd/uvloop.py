"""``twistd --reactor uvloop``, and trial's: Twisted's asyncio reactor on uvloop's event loop."""

from __future__ import annotations

__all__ = ["install"]


def install() -> None:
    """Makes it the reactor of this process; twistd calls it.

    Raises:
        ImportError: uvloop is not installed.
    """
    from twisted.internet import asyncioreactor

    try:
        import uvloop
    except ImportError as error:
        raise ImportError(f"{error}: pip install uvloop") from error
    asyncioreactor.install(uvloop.new_event_loop())
