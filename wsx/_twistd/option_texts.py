"""The options of ``twistd wsx`` with their help texts and defaults.

The options of the console are in :mod:`wsx._console.options`.
"""

from __future__ import annotations

from typing import Final

__all__ = ["DEFAULTS", "FLAGS", "PARAMETERS"]

# The options by name, with their help texts.
FLAGS: Final = {
    "demo": "Start a demo server on a free loopback port and connect to it.",
    "demo-server": "Run only a demo server, with an echo and a feed; see --port.",
    "doctor": "Connect once to --url, show each phase of connecting and what is wrong, then end.",
    "json": "Print the report of the doctor as JSON.",
    "insecure": "Do not verify the server's certificate.",
    "reconnect": "Reconnect when the connection is lost. This is the default.",
    "no-reconnect": "End the client when the connection is lost.",
    "standby": "With --cluster: wait while another client holds the name. This is the default.",
    "no-standby": "With --cluster: exit with status 1 if another client holds the name.",
}
PARAMETERS: Final = {
    "url": "Connect to this URL: ws://, wss://, http:// or https://; or @FILE or env:NAME.",
    "config": "Run the clients of this TOML file. SIGHUP reloads the file.",
    "handler": "Pass messages to this subclass of wsx.Handler: module.Class.",
    "state": "Set the handler's first state, as JSON. Default: null.",
    "certificate": "Send the client certificate in this PEM file.",
    "private-key": "Read the key of --certificate from this PEM file.",
    "proxy": (
        "Connect through this proxy: http://[user:password@]host:port; or @FILE or env:NAME."
    ),
    "endpoint": "Connect through this Twisted client endpoint.",
    "compression": "Compress messages: deflate offers permessage-deflate.",
    "name": "Set the client's name.",
    "cluster-bucket": "Keep the names of --cluster in this bucket of JetStream. Default: wsx.",
    "cluster-ttl": (
        "Let another process take the name over N seconds after this one has died. All processes "
        "use the same value. Default: 10."
    ),
    "cluster-replicas": "Store the bucket on N servers, if this process creates it. Default: 1.",
    "cluster-credentials": "Log in to NATS with this credentials file.",
    "cluster-nkey": "Log in to NATS with the seed of an NKey in this file.",
    "on-partition": (
        "With --cluster: stop (disconnect) or keep (stay connected) when NATS cannot be reached. "
        "Default: stop."
    ),
    "max-attempts": "Give up after this many failed attempts to reconnect. Default: never.",
    "ping-interval": 'Send a ping every N seconds; "none" for no pings. Default: 20.',
    "ping-timeout": (
        "Drop the connection if nothing is received within N seconds of a ping; "
        '"none" for no limit. Default: 20.'
    ),
    "data-timeout": "Close the connection after N seconds without a message. Default: none.",
    "callback-warning": (
        'Log a callback that has not completed for N seconds; "none" for never. Default: 10.'
    ),
    "callback-timeout": (
        "Cancel a callback that has not completed for N seconds, and close the connection. "
        "Default: none."
    ),
    "connect-timeout": "Wait at most N seconds for DNS, TCP, proxy and TLS together. Default: 6.",
    "connect-limit": (
        "Start at most N attempts to connect to one host in any S seconds: N/S, for example "
        "300/60. Default: no limit."
    ),
    "debug": "Switch on trace, log, log:N or statistics; separate with commas.",
    "log-to-file": "Append the client's events, with payloads, to this file.",
    "restart": (
        "Restart a client that has ended: permanent (always), transient (after a failure) or "
        "temporary (never). Default: transient; temporary with --no-reconnect and for the "
        "console."
    ),
    "max-restarts": "Stop twistd after more than N restarts within --max-seconds. Default: 3.",
    "max-seconds": "Set the period for --max-restarts. Default: 5.",
    "port": "Let --demo-server listen on this port of 127.0.0.1; 0 for a free one. Default: 8080.",
    "metrics": (
        "Serve Prometheus metrics at this Twisted server endpoint, for example tcp:9100. The "
        "default interface is 127.0.0.1."
    ),
}
DEFAULTS: Final = {
    "ping-interval": 20.0,
    "ping-timeout": 20.0,
    "callback-warning": 10.0,
    "connect-timeout": 6.0,
    "max-restarts": 3,
    "max-seconds": 5.0,
    "debug": [],
}
