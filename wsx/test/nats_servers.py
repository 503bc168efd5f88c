"""Start NATS servers for development: ``python -m wsx.test.nats_servers [--three]``.

It prints their URLs, with the option those of a cluster of three servers with JetStream. They end,
and their data is deleted, when you press Ctrl+C.
"""

from __future__ import annotations

import argparse
import signal
import sys

from wsx.test.support.nats_servers import NatsServers, missing_server


def main(arguments: list[str]) -> int:
    """Run the servers until a signal arrives; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m wsx.test.nats_servers", description="Start NATS servers on loopback ports."
    )
    parser.add_argument("--three", action="store_true", help="a cluster of three servers")
    three = parser.parse_args(arguments).three
    reason = missing_server()
    if reason:
        print(reason, file=sys.stderr)
        return 1
    signals = (signal.SIGINT, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    servers = NatsServers(3 if three else 1)
    try:
        servers.launch()
        servers.wait_until_ready()
        print(*servers.urls, flush=True)
        signal.sigwait(signals)
    finally:
        servers.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
