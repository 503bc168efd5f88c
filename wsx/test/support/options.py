"""The options of a ``Conn``, as the design lists them."""

from __future__ import annotations

from typing import Any

# Design, section 3.
DEFAULTS: dict[str, Any] = {
    "extra_headers": (),
    "subprotocols": (),
    "socket_connect_timeout": 6.0,
    "socket_recv_timeout": 5.0,
    "close_timeout": 5.0,
    "insecure": False,
    "cacerts": None,
    "ssl_options": None,
    "endpoint": None,
    "proxy": None,
    "compression": None,
    "max_message_size": 16 * 1024 * 1024,
    "max_header_size": 64 * 1024,
    "ping_interval": 20.0,
    "ping_timeout": 20.0,
    "data_timeout": None,
    "secret_headers": (),
}
