"""Run wsx through the Autobahn|Testsuite: ``python -m wsx.test.conformance URL [--agent NAME]``.

The fuzzing server must be running (see ``docs/conformance.md``). It runs one test case per
connection; the client echoes every message.
"""

from __future__ import annotations

import argparse
from collections.abc import Generator
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import react

import wsx


class Echo(wsx.Handler[None]):
    """Echo each message."""

    def handle_frame(self, frame: wsx.Text | wsx.Binary, state: None) -> wsx.Reply[None]:
        return wsx.Reply(frame, state)


class Count(wsx.Handler[int]):
    """Keep the number that the server sends as state."""

    def handle_frame(self, frame: wsx.Text | wsx.Binary, state: int) -> wsx.Ok[int]:
        return wsx.Ok(int(frame.payload))

    def terminate(self, reason: object, state: int) -> None:
        self.count = state


@inlineCallbacks
def run(url: str, agent: str) -> Generator[Deferred[Any], Any, None]:
    """Run all test cases, then request the report."""
    counter = Count()
    client = yield wsx.start(f"{url}/getCaseCount", counter, 0)
    yield client.terminated()
    for case in range(1, counter.count + 1):
        case_url = f"{url}/runCase?case={case}&agent={agent}"
        client = yield wsx.start(
            case_url, Echo, compression="deflate", max_message_size=64 * 1024 * 1024
        )
        yield client.terminated()
    client = yield wsx.start(f"{url}/updateReports?agent={agent}", Echo)
    yield client.terminated()
    print(f"{counter.count} cases run")


def main(reactor: Any) -> Deferred[None]:
    """Parse the command line and run the test cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="of the fuzzing server, such as ws://127.0.0.1:9001")
    parser.add_argument("--agent", default="wsx")
    arguments = parser.parse_args()
    return run(arguments.url.rstrip("/"), arguments.agent)


if __name__ == "__main__":
    react(main)
