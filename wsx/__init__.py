"""wsx: a WebSocket client for Twisted, written as a handler class and run under supervision.

Start with :class:`Handler` and :func:`start`. The documentation is in ``docs/``.
"""

from wsx import telemetry
from wsx._compiled import compiled
from wsx._version import __version__
from wsx.backoff import Backoff, is_retryable
from wsx.child import ChildSpec
from wsx.client import Client, cast, info, send_frame, start
from wsx.cluster import Cluster
from wsx.conn import Conn
from wsx.connecting import Connecting, connect
from wsx.errors import (
    AlreadyStartedError,
    BadResponseError,
    CallbackTimeout,
    ChildError,
    ClientEnded,
    ClusterError,
    ClusterSetupError,
    ConnError,
    DataTimeout,
    DuplicateKeyError,
    FrameEncodeError,
    FrameError,
    HandshakeError,
    IncompleteMessageError,
    InvalidFrameError,
    MailboxFullError,
    MaxRestartsExceeded,
    NameLost,
    NoReplyError,
    NotConnectedError,
    PingTimeout,
    ProviderError,
    RemoteError,
    ReplyTimeout,
    RequestError,
    SendTimeout,
    UnknownNameError,
    URLError,
    WsxError,
)
from wsx.frame_queue import FrameQueue, Frames
from wsx.frames import Binary, Frame, Ping, Pong, Text
from wsx.handler import Answer, Close, Exit, Handler, Ok, Reconnect, Reply
from wsx.limiter import ConnectLimiter
from wsx.option_types import ConnOptions, SSLOptions, StartOptions
from wsx.provider import Attempt, ConnSource, Provider
from wsx.reasons import ConnectionDropped, Disconnect, LocalClose, RemoteClose, Shutdown, is_normal
from wsx.registry import AsyncVia, Global, Via, lookup, whereis
from wsx.remote import RemoteClient
from wsx.requests import Requests
from wsx.service import ClientService, start_link
from wsx.supervisor import Supervisor

__all__ = [
    "AlreadyStartedError",
    "Answer",
    "AsyncVia",
    "Attempt",
    "Backoff",
    "BadResponseError",
    "Binary",
    "CallbackTimeout",
    "ChildError",
    "ChildSpec",
    "Client",
    "ClientEnded",
    "ClientService",
    "Close",
    "Cluster",
    "ClusterError",
    "ClusterSetupError",
    "Conn",
    "ConnError",
    "ConnOptions",
    "ConnSource",
    "ConnectLimiter",
    "Connecting",
    "ConnectionDropped",
    "DataTimeout",
    "Disconnect",
    "DuplicateKeyError",
    "Exit",
    "Frame",
    "FrameEncodeError",
    "FrameError",
    "FrameQueue",
    "Frames",
    "Global",
    "Handler",
    "HandshakeError",
    "IncompleteMessageError",
    "InvalidFrameError",
    "LocalClose",
    "MailboxFullError",
    "MaxRestartsExceeded",
    "NameLost",
    "NoReplyError",
    "NotConnectedError",
    "Ok",
    "Ping",
    "PingTimeout",
    "Pong",
    "Provider",
    "ProviderError",
    "Reconnect",
    "RemoteClient",
    "RemoteClose",
    "RemoteError",
    "Reply",
    "ReplyTimeout",
    "RequestError",
    "Requests",
    "SSLOptions",
    "SendTimeout",
    "Shutdown",
    "StartOptions",
    "Supervisor",
    "Text",
    "URLError",
    "UnknownNameError",
    "Via",
    "WsxError",
    "__version__",
    "cast",
    "compiled",
    "connect",
    "info",
    "is_normal",
    "is_retryable",
    "lookup",
    "send_frame",
    "start",
    "start_link",
    "telemetry",
    "whereis",
]
