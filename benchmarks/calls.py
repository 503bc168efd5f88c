"""The function calls of one echo: from the reactor's readiness event to the socket and back.

``python -m benchmarks.calls [--reactor epoll|asyncio|uvloop] [--list]`` echoes short messages with
the benchmark server and prints a JSON object with the number of calls per echo, by layer. Calls of
Python functions are counted, and calls of C functions from Python code. Calls inside C code are
not, so uvloop and the compiled modules of wsx count only where Python code calls them.
``--list`` prints each call instead, indented by its depth.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from types import FrameType
from typing import Any

from twisted.internet import task
from twisted.internet.defer import Deferred

import wsx

_WARM_UP = 100  # Echoes before the traced ones.
_TRACED = 100
_LAYERS = {"twisted": "Twisted", "zope": "Twisted", "asyncio": "asyncio", "selectors": "asyncio"}


class Tracer:
    """Count the calls while it is active, and note each of them.

    Attributes:
        counts: The number of calls by layer and kind.
        lines: One line for each call.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.lines: list[str] = []
        self._depth = 0

    def start(self) -> None:
        """Start counting. The caller is on the stack, so its return is seen, too."""
        sys.setprofile(self._event)

    def stop(self) -> None:
        """Stop counting."""
        sys.setprofile(None)

    def _event(self, frame: FrameType, event: str, argument: Any) -> None:
        if event in ("return", "c_return", "c_exception"):
            self._depth -= 1
            return
        kind = "C" if event == "c_call" else "Python"
        layer = layer_of(frame)
        self.counts[f"{layer}, {kind}"] += 1
        code = frame.f_code
        name = getattr(argument, "__qualname__", argument) if kind == "C" else code.co_qualname
        self.lines.append(f"{'  ' * self._depth}{name}  ({kind}, {layer})")
        self._depth += 1


def layer_of(frame: FrameType) -> str:
    """Return the layer that the code of a frame belongs to; that of the caller for a C function."""
    package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
    if package in ("benchmarks", "__main__"):
        return "handler"
    return _LAYERS.get(package, package)


class Echoer(wsx.Handler[int]):
    """Echo messages; the state counts them."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def handle_connect(self, conn: wsx.Conn, state: int) -> wsx.Reply[int]:
        return wsx.Reply(wsx.Text("x" * 100), state)

    def handle_frame(self, frame: wsx.Frame, state: int) -> wsx.Reply[int] | wsx.Close[int]:
        if state == _WARM_UP:
            self._tracer.start()
        elif state == _WARM_UP + _TRACED:
            self._tracer.stop()
            return wsx.Close(state)
        return wsx.Reply(frame, state + 1)


def trace(url: str) -> Tracer:
    """Echo messages until enough are traced, and return the tracer."""
    tracer = Tracer()

    async def run(reactor: Any) -> None:
        client = await wsx.start(url, Echoer(tracer), 0)
        await client.terminated()

    try:
        task.react(lambda reactor: Deferred.fromCoroutine(run(reactor)))
    except SystemExit as end:
        if end.code:
            raise
    return tracer


def install(name: str) -> None:
    """Install a reactor."""
    if name == "epoll":
        return
    from twisted.internet import asyncioreactor

    if name == "uvloop":
        import uvloop

        asyncioreactor.install(uvloop.new_event_loop())
    else:
        asyncioreactor.install()


def main() -> None:
    """Trace echoes and print the calls."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reactor", choices=["epoll", "asyncio", "uvloop"], default="epoll")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    install(options.reactor)
    command = [sys.executable, "-m", "benchmarks.server"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    port = json.loads(server.stdout.readline())["plain"]
    try:
        tracer = trace(f"ws://127.0.0.1:{port}/echo?count={_WARM_UP + _TRACED + 1}")
    finally:
        server.kill()
        server.communicate()
    if options.list:
        print("\n".join(tracer.lines))
    else:
        print(json.dumps({k: n / _TRACED for k, n in sorted(tracer.counts.items())}))


if __name__ == "__main__":
    main()
