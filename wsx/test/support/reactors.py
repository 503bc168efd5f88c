"""Real reactors for test programs that run in a process of their own."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure

__all__ = ["REACTORS", "install_reactor", "run_until_done"]

REACTORS: Final = ("epoll", "asyncio", "uvloop")


def install_reactor(name: str) -> Any:
    """Install one of ``REACTORS`` and return it."""
    if name == "uvloop":
        from wsx._twistd.uvloop import install
    elif name == "asyncio":
        from twisted.internet.asyncioreactor import install
    else:
        from twisted.internet.epollreactor import install
    install()
    from twisted.internet import reactor

    return reactor


def run_until_done(reactor: Any, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run the reactor until a coroutine function has returned.

    Raises:
        SystemExit: The function raised an exception. The argument is its traceback.
    """
    failures: list[Failure] = []

    def begin() -> None:
        done: Deferred[None] = ensureDeferred(function())
        done.addErrback(failures.append)
        done.addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run()
    if failures:
        raise SystemExit(failures[0].getTraceback())
