"""The exceptions of wsx: one family, each with what it knows as attributes.

::

    WsxError
    ├── URLError (ValueError)          the caller: the URL cannot be used
    ├── ConnError                      the network: DNS, TCP, proxy, TLS, time-outs, hang-ups
    ├── RequestError                   the server: it answered the handshake with another status
    ├── HandshakeError                 the server: its handshake answer is wrong
    ├── FrameError                     the server: it broke RFC 6455 on an open connection
    ├── PingTimeout                    the network: the peer gave no sign of life
    ├── DataTimeout                    the server: no message for too long
    ├── InvalidFrameError              the caller: this is no frame
    ├── FrameEncodeError               the caller: this frame may not be sent
    ├── NotConnectedError              the moment: there is no open connection
    ├── SendTimeout                    the peer: it reads too slowly
    ├── MailboxFullError               the caller: more messages wait than allowed
    ├── BadResponseError               the handler: a callback answered nonsense
    ├── ClientEnded                    the client ended, for a reason that is no exception
    ├── AlreadyStartedError            the caller: the name is taken
    ├── UnknownNameError (LookupError) the caller: nobody has that name
    ├── ChildError (ValueError)        the caller: no such child, or not in this state
    └── MaxRestartsExceeded            the supervised client: it ended too often

No message holds a header value, a credential or a whole payload: they may reach a log.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from wsx._text import describe, safely, shorten

__all__ = [
    "AlreadyStartedError",
    "BadResponseError",
    "ChildError",
    "ClientEnded",
    "ConnError",
    "DataTimeout",
    "FrameEncodeError",
    "FrameError",
    "HandshakeError",
    "InvalidFrameError",
    "MailboxFullError",
    "MaxRestartsExceeded",
    "NotConnectedError",
    "PingTimeout",
    "RequestError",
    "SendTimeout",
    "URLError",
    "UnknownNameError",
    "WsxError",
]


class WsxError(Exception):
    """The base of every exception that wsx raises.

    Attributes:
        describes_itself: Log lines show the text alone, without the class name.
    """

    describes_itself: ClassVar[bool] = True

    def __repr__(self) -> str:
        # Its text, not its arguments: those may be URLs with passwords, headers, payloads.
        return f"{type(self).__name__}({str(self)!r})"


class URLError(WsxError, ValueError):
    """A URL that cannot be used.

    Attributes:
        url: the URL, as it was given.
        reason: what is wrong with it.
    """

    def __init__(self, url: object, reason: str = "it is not a WebSocket URL") -> None:
        super().__init__(url, reason)
        self.url = url
        self.reason = reason

    def __str__(self) -> str:
        return f"bad URL: {self.reason}"


class ConnError(WsxError):
    """A connection that could not be made, or broke: DNS, TCP, proxy, TLS or a hang-up.

    Attributes:
        original: the exception underneath; a ``TimeoutError`` where time ran out.
    """

    def __init__(self, original: BaseException, explanation: str | None = None) -> None:
        super().__init__(original)
        self.original = original
        self.explanation = explanation

    def __str__(self) -> str:
        cause = self.explanation or certificate_problem(self.original) or describe(self.original)
        return f"connection failed: {cause}"


class RequestError(WsxError):
    """The server answered the opening handshake with a status other than 101.

    Attributes:
        code: the HTTP status code.
        message: the reason phrase.
        headers: pairs of names and values, in the order of the response.
        body: the first 64 KiB of the body, or what of it came in time.
        who: who answered so: ``"the server"`` or ``"the proxy"``.
    """

    def __init__(
        self,
        code: int,
        message: str,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> None:
        super().__init__(code, message, headers, body)
        self.code = code
        self.message = message
        self.headers = tuple(headers)
        self.body = body

    who = "the server"

    def __str__(self) -> str:
        return f"{self.who} answered {self.code} {self.message}".rstrip()


class HandshakeError(WsxError):
    """The answer to the opening handshake is wrong (RFC 6455 section 4.1).

    Attributes:
        challenge: the ``Sec-WebSocket-Accept`` value that was due.
        response: what came in the place that is wrong; None where nothing did.
        reason: which check failed.
    """

    def __init__(
        self,
        challenge: str,
        response: str | None,
        reason: str = "the Sec-WebSocket-Accept header is wrong",
    ) -> None:
        super().__init__(challenge, response, reason)
        self.challenge = challenge
        self.response = response
        self.reason = reason

    def __str__(self) -> str:
        return f"opening handshake failed: {self.reason}"


class FrameError(WsxError):
    """The peer sent what RFC 6455 forbids, or more than was allowed.

    Attributes:
        reason: what is wrong.
        opcode: the opcode of the frame.
        close_code: what the close frame told the peer: 1002, 1007 or 1009.
    """

    def __init__(self, reason: str, opcode: int, close_code: int) -> None:
        super().__init__(reason, opcode, close_code)
        self.reason = reason
        self.opcode = opcode
        self.close_code = close_code

    def __str__(self) -> str:
        return f"protocol error by the peer: {self.reason} (close code {self.close_code})"


class PingTimeout(WsxError):
    """Nothing came from the peer within ``ping_timeout`` of a keepalive ping."""

    def __str__(self) -> str:
        return "the peer gave no sign of life after a keepalive ping"


class DataTimeout(WsxError):
    """No Text or Binary message came for ``data_timeout`` seconds."""

    def __str__(self) -> str:
        return "no message came for too long"


class InvalidFrameError(WsxError):
    """Something that is no frame, or a frame with a payload of the wrong type, was to be sent.

    Attributes:
        frame: the thing.
    """

    def __init__(self, frame: object) -> None:
        super().__init__(frame)
        self.frame = frame

    def __str__(self) -> str:
        return f"not a frame that can be sent: {shorten(self.frame)}"


class FrameEncodeError(WsxError):
    """A frame that RFC 6455 does not allow was to be sent.

    Attributes:
        reason: what is wrong with it.
        frame_type: ``"text"``, ``"ping"``, ``"pong"`` or ``"close"``.
        frame_payload: its payload; the message of a close frame.
        close_code: the code of a close frame, else None.
    """

    def __init__(
        self,
        reason: str,
        frame_type: str,
        frame_payload: object,
        close_code: object = None,
    ) -> None:
        super().__init__(reason, frame_type, frame_payload, close_code)
        self.reason = reason
        self.frame_type = frame_type
        self.frame_payload = frame_payload
        self.close_code = close_code

    def __str__(self) -> str:
        return f"cannot send this {self.frame_type} frame: {self.reason}"


class NotConnectedError(WsxError):
    """The client has no open connection now.

    Attributes:
        connection_state: ``"opening"``, ``"closing"``, ``"disconnected"`` or ``"terminated"``.
    """

    def __init__(self, connection_state: str) -> None:
        super().__init__(connection_state)
        self.connection_state = connection_state

    def __str__(self) -> str:
        return f"the client is not connected: {self.connection_state}"


class SendTimeout(WsxError):
    """The transport's write buffer stayed above its high-water mark for too long.

    The frame is with the transport all the same and may still reach the peer.
    """

    def __str__(self) -> str:
        return "the write buffer stayed full: the peer reads too slowly"


class MailboxFullError(WsxError):
    """More casts and infos wait than ``mailbox_limit`` allows; this one was not taken.

    Attributes:
        limit: the client's ``mailbox_limit``.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"{self.limit} messages are waiting already"


class BadResponseError(WsxError):
    """A callback answered what it may not.

    Attributes:
        response: the answer.
        handler: the handler.
        callback: the name of the callback.
        arguments: what it was called with.
    """

    def __init__(
        self, response: object, handler: object, callback: str, arguments: tuple[object, ...]
    ) -> None:
        super().__init__(response, handler, callback, arguments)
        self.response = response
        self.handler = handler
        self.callback = callback
        self.arguments = arguments

    def __str__(self) -> str:
        where = f"{type(self.handler).__qualname__}.{self.callback}"
        return f"bad response from {where}: {shorten(self.response)}"


class ClientEnded(WsxError):
    """The client ended for a reason that is no exception itself.

    Attributes:
        reason: why, as ``terminated()`` gives it.
    """

    def __init__(self, reason: object) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the client ended: {shorten(self.reason)}"


class AlreadyStartedError(WsxError):
    """The name is taken.

    Attributes:
        name: the name.
        client: who has it.
    """

    def __init__(self, name: object, client: object) -> None:
        super().__init__(name, client)
        self.name = name
        self.client = client

    def __str__(self) -> str:
        return f"the name {shorten(self.name)} is taken"


class UnknownNameError(WsxError, LookupError):
    """No client has this name.

    Attributes:
        name: the name.
    """

    def __init__(self, name: object) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"no client is named {shorten(self.name)}"


class ChildError(WsxError, ValueError):
    """A supervisor cannot do this with a child.

    Attributes:
        id: the child's.
        reason: why not.
    """

    def __init__(self, id: object, reason: str) -> None:
        super().__init__(id, reason)
        self.id = id
        self.reason = reason

    def __str__(self) -> str:
        return f"{shorten(self.id)}: {self.reason}"


class MaxRestartsExceeded(WsxError):
    """A supervised client ended more often than its supervisor tolerates (OTP's intensity).

    Attributes:
        max_restarts: how many restarts were allowed...
        max_seconds: ...within this many seconds.
        reason: why the client ended the last time.
    """

    def __init__(self, max_restarts: int, max_seconds: float, reason: object) -> None:
        super().__init__(max_restarts, max_seconds, reason)
        self.max_restarts = max_restarts
        self.max_seconds = max_seconds
        self.reason = reason

    def __str__(self) -> str:
        reason = self.reason
        while isinstance(reason, MaxRestartsExceeded):  # of a supervisor below
            reason = reason.reason
        return (
            f"more than {self.max_restarts} restarts in {self.max_seconds:g} s, waiting not "
            f"counted; the last end was: {describe(reason)}"
        )


def certificate_problem(error: BaseException) -> str | None:
    """Says what is wrong with the peer's certificate, if that is what the error is about.

    It is recognised by its looks: this floor imports no TLS library.
    """
    if any(cls.__module__.partition(".")[0] == "service_identity" for cls in type(error).__mro__):
        return "the server's certificate is not for this host"
    if "certificate verify failed" in safely(str, error).lower():
        return "the server's certificate is not trusted, or expired"
    return None


def as_exception(reason: object) -> Exception:
    """Gives a reason itself where it is an exception, else in a :class:`ClientEnded`."""
    return reason if isinstance(reason, Exception) else ClientEnded(reason)
