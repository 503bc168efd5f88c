"""The reactor of ``twistd --reactor uvloop``: Twisted's asyncio reactor on uvloop's event loop."""

from __future__ import annotations

__all__ = ["install"]


def install() -> None:
    """Install the reactor; twistd and trial call this function.

    Raises:
        ImportError: uvloop is not installed.
    """
    from twisted.internet import asyncioreactor

    try:
        import uvloop
    except ImportError as error:
        raise ImportError(f"{error} (install it with: pip install uvloop)") from error
    asyncioreactor.install(uvloop.new_event_loop())
