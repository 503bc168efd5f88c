"""The exception hierarchy. Each exception carries its values as attributes.

::

    WsxError
    ├── URLError (ValueError)          the caller: the URL is not valid
    ├── ConnError                      the network: DNS, TCP, proxy, TLS, timeout, lost connection
    ├── ProviderError                  the caller: a connection provider failed
    ├── RequestError                   the server: it refused the opening handshake
    ├── HandshakeError                 the server: its response to the opening handshake is invalid
    ├── FrameError                     the server: it violated RFC 6455, or a message is too big
    ├── PingTimeout                    the network: nothing was received after a keepalive ping
    ├── DataTimeout                    the server: no message for ``data_timeout`` seconds
    ├── InvalidFrameError              the caller: the value is not a frame
    ├── FrameEncodeError               the caller: RFC 6455 does not allow the frame
    ├── IncompleteMessageError         the caller: a message in fragments could not be completed
    ├── NotConnectedError              the caller: the connection is not open
    ├── SendTimeout                    the server: it reads too slowly
    ├── ReplyTimeout                   the server: it did not reply to a request in time
    ├── NoReplyError                   the connection of a request ended before the reply
    ├── DuplicateKeyError (ValueError) the caller: a request with the same key is open
    ├── MailboxFullError               the caller: more messages than ``mailbox_limit``
    ├── BadResponseError               the handler: a callback returned an invalid result
    ├── CallbackTimeout                the handler: a callback did not complete in time
    ├── ClientEnded                    the client ended for a reason that is not an exception
    ├── AlreadyStartedError            the caller: the name is in use
    ├── UnknownNameError (LookupError) the caller: no client has the name
    ├── ClusterError                   NATS, or another store of names, cannot be reached or refuses
    │   └── ClusterSetupError          the caller: trying again cannot help
    ├── NameLost                       the client may no longer use its name
    ├── RemoteError                    another process: an exception that is not rebuilt here
    ├── ChildError (ValueError)        the caller: unknown child, or not possible in its state
    └── MaxRestartsExceeded            the supervised client: it ended too often

The text of an exception never contains a password, a secret header value or a whole payload,
because it may be logged. Text that comes from a server is escaped and truncated.

The module is longer than 500 lines because all exceptions of wsx are here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from wsx._error_texts import cause, provider_cause, refusal, refusal_details, wrong_result
from wsx._redaction import redact_url
from wsx._redactor import Redactor
from wsx._text import describe, expected, expected_type, line, quote

__all__ = [
    "PROVIDERS",
    "AlreadyStartedError",
    "BadResponseError",
    "CallbackTimeout",
    "ChildError",
    "ClientEnded",
    "ClusterError",
    "ClusterSetupError",
    "ConnError",
    "DataTimeout",
    "DuplicateKeyError",
    "FrameEncodeError",
    "FrameError",
    "HandshakeError",
    "IncompleteMessageError",
    "InvalidFrameError",
    "MailboxFullError",
    "MaxRestartsExceeded",
    "NameLost",
    "NoReplyError",
    "NotConnectedError",
    "PingTimeout",
    "ProviderError",
    "RemoteError",
    "ReplyTimeout",
    "RequestError",
    "SendTimeout",
    "URLError",
    "UnknownNameError",
    "WsxError",
    "as_exception",
]

_TEXT_LIMIT: Final = 300  # characters
PROVIDERS: Final = ("connection provider", "extra_headers callable")  # ProviderError.subject


class WsxError(Exception):
    """Base class of every exception that wsx raises.

    Attributes:
        describes_itself: Whether log lines show the text without the name of the class. True for
            all exceptions of wsx.
    """

    describes_itself: ClassVar[bool] = True

    @property
    def summary(self) -> str:
        """The text with more detail, for the log line that reports the failure first."""
        return str(self)

    def __repr__(self) -> str:
        # The arguments may hold URLs with passwords, headers or payloads.
        return f"{type(self).__name__}({str(self)!r})"


class URLError(WsxError, ValueError):
    """A URL is not valid.

    ``str``, ``repr`` and ``args`` contain the redacted URL.

    Args:
        url: The URL, as it was given.
        reason: What is wrong with the URL.
        subject: What the URL is for: ``"URL"`` (default) or ``"proxy"``.

    Attributes:
        url: The URL, as it was given. It may contain a password.
        reason: What is wrong with the URL.
        subject: ``"URL"`` (default) or ``"proxy"``.
    """

    def __init__(
        self, url: object, reason: str = "not a WebSocket URL", subject: str = "URL"
    ) -> None:
        shown = redact_url(url) if isinstance(url, str) else type(url).__name__
        super().__init__(shown, reason, subject)
        self.url = url
        self.reason = reason
        self.subject = subject

    def __str__(self) -> str:
        if not isinstance(self.url, str):
            return expected_type(line(self.subject), "a str", self.url)
        shown = quote(redact_url(self.url), _TEXT_LIMIT)
        return f"{line(self.subject)} {shown}: {line(self.reason, _TEXT_LIMIT)}"


class ConnError(WsxError):
    """A connection could not be made, or was lost while it was made or used.

    Args:
        original: The exception that caused the failure.
        explanation: A sentence that replaces the text of ``original``, or None (default).

    Attributes:
        original: The exception that caused the failure: an error of DNS, TCP or TLS, a
            :class:`RequestError` from the proxy, or a ``TimeoutError``.
        explanation: A sentence such as ``"the server's certificate has expired"``, or None
            (default) to describe ``original``.
    """

    def __init__(self, original: BaseException, explanation: str | None = None) -> None:
        super().__init__(original, explanation)
        self.original = original
        self.explanation = explanation

    def __str__(self) -> str:
        return self._text(detailed=False)

    @property
    def summary(self) -> str:
        """The text, with the summary of a proxy's refusal in place of its text."""
        return self._text(detailed=True)

    def _text(self, *, detailed: bool) -> str:
        if self.explanation is None:
            return f"connection failed: {cause(self.original, detailed=detailed)}"
        return f"connection failed: {line(self.explanation, _TEXT_LIMIT)}"


class ProviderError(WsxError):
    """A connection provider or a headers callable did not provide what an attempt needs.

    The text shows the original exception with its secrets hidden, and the line of the callable
    that raised it.

    Args:
        original: The exception of the callable, a ``TimeoutError`` if it did not return in time, or
            a TypeError, ValueError or :class:`URLError` if it returned something wrong.
        subject: The callable: ``"connection provider"`` (default) or ``"extra_headers callable"``.

    Attributes:
        original: The exception. Its own text may contain secrets.
        subject: ``"connection provider"`` or ``"extra_headers callable"``.
    """

    def __init__(self, original: BaseException, subject: str = "connection provider") -> None:
        super().__init__(original, subject)
        self.original = original
        self.subject = subject

    def __str__(self) -> str:
        return f"{line(self.subject)} failed: {self.cause}"

    @property
    def cause(self) -> str:
        """One line about the original exception, for a message that names the callable."""
        return provider_cause(self.original)


class RequestError(WsxError):
    """The server answered the opening handshake with a status other than 101.

    The text shows the status and, for a redirect, the target. :attr:`summary` adds details of the
    response that help to find the cause.

    Args:
        code: The HTTP status code.
        message: The reason phrase.
        headers: Pairs of names and values, in the order of the response. Default none.
        body: The beginning of the body. Default empty.
        who: Who sent the response: ``"the server"`` (default) or ``"the proxy"``.
        redactor: Hides the secrets of the request, which the response may repeat, in the text and
            the summary; or None (default). The attributes have the response as it was received.

    Attributes:
        code: The HTTP status code.
        message: The reason phrase, as it was received.
        headers: A tuple of pairs of names and values, in the order of the response.
        body: The first 64 KiB of the body, or the part that arrived in time.
        who: ``"the server"`` (default) or ``"the proxy"``.
    """

    def __init__(
        self,
        code: int,
        message: str,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        who: str = "the server",
        redactor: Redactor | None = None,
    ) -> None:
        super().__init__(code, message, headers, body, who)
        self.code = code
        self.message = message
        self.headers: tuple[tuple[str, str], ...] = tuple(headers)
        self.body = body
        self.who = who
        self._redactor = redactor

    def __str__(self) -> str:
        return refusal(self.who, self.code, self.message, self.headers, self._redactor)

    @property
    def summary(self) -> str:
        """The text with three headers of the response and the first line of a text body.

        The headers are ``WWW-Authenticate``, ``Proxy-Authenticate`` and ``Retry-After``.
        """
        details = refusal_details(self.headers, self.body, self._redactor)
        return "; ".join([str(self), *details])


class HandshakeError(WsxError):
    """The response to the opening handshake is invalid (RFC 6455 section 4.1).

    Attributes:
        challenge: The expected value of ``Sec-WebSocket-Accept``.
        response: The value that is wrong, as it was received; None if it is missing.
        reason: The check that failed.
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
        return f"opening handshake failed: {line(self.reason, _TEXT_LIMIT)}"


class FrameError(WsxError):
    """The server sent data that RFC 6455 forbids, or a message over ``max_message_size``.

    Attributes:
        reason: What is wrong.
        opcode: The opcode of the frame (RFC 6455 section 5.2).
        close_code: The close code that was sent to the server: 1002 (protocol error), 1007 (invalid
            payload) or 1009 (message too big).
    """

    def __init__(self, reason: str, opcode: int, close_code: int) -> None:
        super().__init__(reason, opcode, close_code)
        self.reason = reason
        self.opcode = opcode
        self.close_code = close_code

    def __str__(self) -> str:
        reason = line(self.reason, _TEXT_LIMIT)
        return f"frame from server rejected: {reason} (close code {self.close_code})"


class _TimeLimitError(WsxError):
    """Base class of the timeouts that carry their time limit.

    Attributes:
        timeout: The time limit in seconds, or None if it is not known.
    """

    def __init__(self, timeout: float | None = None) -> None:
        super().__init__(timeout)
        self.timeout = timeout


class PingTimeout(_TimeLimitError):
    """Nothing was received within ``ping_timeout`` seconds of a keepalive ping.

    Attributes:
        timeout: The time limit in seconds, or None if it is not known.
    """

    def __str__(self) -> str:
        limit = "ping_timeout" if self.timeout is None else f"{self.timeout:g} s"
        return f"nothing received from server within {limit} of a keepalive ping"


class DataTimeout(_TimeLimitError):
    """No Text or Binary message was received for ``data_timeout`` seconds.

    Attributes:
        timeout: The time limit in seconds, or None if it is not known.
    """

    def __str__(self) -> str:
        limit = "data_timeout" if self.timeout is None else f"{self.timeout:g} s"
        return f"no message received from server within {limit}"


class InvalidFrameError(WsxError):
    """The value to be sent is not a frame, or its payload has the wrong type.

    Attributes:
        frame: The value.
    """

    def __init__(self, frame: object) -> None:
        super().__init__(frame)
        self.frame = frame

    def __str__(self) -> str:
        return expected(
            "frame", "a Text with a str, or a Binary, Ping or Pong with bytes", self.frame
        )


class FrameEncodeError(WsxError):
    """RFC 6455 does not allow the frame to be sent.

    Attributes:
        reason: What is wrong with the frame.
        frame_type: ``"text"``, ``"ping"``, ``"pong"`` or ``"close"``.
        frame_payload: The payload of the frame; for a close frame, the close message.
        close_code: The close code of a close frame; None (default) for other frames.
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
        return f"cannot send {line(self.frame_type)} frame: {line(self.reason, _TEXT_LIMIT)}"


class IncompleteMessageError(WsxError):
    """A message that was sent in fragments could not be completed, so the connection was closed.

    Attributes:
        original: The exception that the iterable of the parts has raised, or that describes the
            wrong part.
    """

    def __init__(self, original: BaseException) -> None:
        super().__init__(original)
        self.original = original

    def __str__(self) -> str:
        return f"message in fragments could not be completed: {describe(self.original)}"


_STATES: Final = {
    "opening": "the opening handshake is not complete",
    "closing": "the connection is closing",
    "disconnected": "there is no connection",
    "terminated": "the client has ended",
}


class NotConnectedError(WsxError):
    """The client has no open connection, or has ended.

    Attributes:
        connection_state: ``"opening"``, ``"closing"``, ``"disconnected"`` or ``"terminated"``.
    """

    def __init__(self, connection_state: str) -> None:
        super().__init__(connection_state)
        self.connection_state = connection_state

    def __str__(self) -> str:
        state = self.connection_state
        problem = _STATES.get(state) or line(state)
        return f"client is not connected: {problem} (state {quote(state)})"


_SLOW_SERVER: Final = "server reads too slowly and the write buffer is above its high-water mark"


class SendTimeout(_TimeLimitError):
    """The transport's write buffer stayed above its high-water mark for too long.

    The frame has been passed to the transport, or waits for the end of a message that is sent in
    fragments. It may still reach the server.

    Attributes:
        timeout: The time limit in seconds, or None if it is not known.
        reason: What the frame waits for.
    """

    def __init__(self, timeout: float | None = None, reason: str = _SLOW_SERVER) -> None:
        super().__init__(timeout)
        self.reason = reason

    def __str__(self) -> str:
        limit = "" if self.timeout is None else f" after {self.timeout:g} s"
        reason = line(self.reason, _TEXT_LIMIT)
        return f"send_frame timed out{limit}: {reason}; the frame may still be sent"


class ReplyTimeout(WsxError):
    """No reply to a request was received in time. A late reply is passed to ``handle_frame``.

    Attributes:
        key: The key of the request.
        timeout: The time limit in seconds.
    """

    def __init__(self, key: object, timeout: float) -> None:
        super().__init__(key, timeout)
        self.key = key
        self.timeout = timeout

    def __str__(self) -> str:
        return f"no reply to request {quote(self.key)} within {self.timeout:g} s"


class NoReplyError(WsxError):
    """The connection of a request ended before the reply was received.

    Args:
        key: The key of the request.
        reason: Why the connection ended.
        redactor: Hides the secrets of the opening handshake, which the server may repeat in the
            reason, in the text; or None (default).

    Attributes:
        key: The key of the request.
        reason: Why the connection ended: the reason that ``handle_disconnect`` receives, or that
            the client ended with.
    """

    def __init__(self, key: object, reason: object, redactor: Redactor | None = None) -> None:
        super().__init__(key, reason)
        self.key = key
        self.reason = reason
        self._redactor = redactor

    def __str__(self) -> str:
        reason = describe(self.reason)
        shown = reason if self._redactor is None else self._redactor.text(reason)
        return f"no reply to request {quote(self.key)}: {shown}"


class DuplicateKeyError(WsxError, ValueError):
    """A request with the same key is open; the new one was not sent.

    Attributes:
        key: The key.
    """

    def __init__(self, key: object) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return f"key: a request with the key {quote(self.key)} is open; use another key"


class MailboxFullError(WsxError):
    """The mailbox already holds ``mailbox_limit`` casts and infos; the message was not accepted.

    Attributes:
        limit: The client's ``mailbox_limit``.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"mailbox is full (mailbox_limit {self.limit}); the message was not accepted"


class BadResponseError(WsxError):
    """A callback returned a result that it may not return.

    Attributes:
        response: The result.
        handler: The handler, an instance of :class:`wsx.Handler`.
        callback: The name of the callback, such as ``"handle_frame"``.
        arguments: The arguments of the call, a tuple.
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
        result = wrong_result(line(self.callback), self.response)
        return f"{type(self.handler).__qualname__}.{result}"


class CallbackTimeout(WsxError):
    """A callback did not complete within ``callback_timeout`` and was cancelled.

    Attributes:
        handler: The handler, an instance of :class:`wsx.Handler`.
        callback: The name of the callback, such as ``"handle_frame"``.
        timeout: The time limit in seconds.
    """

    def __init__(self, handler: object, callback: str, timeout: float) -> None:
        super().__init__(handler, callback, timeout)
        self.handler = handler
        self.callback = callback
        self.timeout = timeout

    def __str__(self) -> str:
        where = f"{type(self.handler).__qualname__}.{line(self.callback)}"
        return f"{where} did not complete within {self.timeout:g} s and was cancelled"


class ClientEnded(WsxError):
    """The client ended for a reason that is not an exception.

    Attributes:
        reason: The reason that ``terminated()`` fires with.
    """

    def __init__(self, reason: object) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"client ended: {describe(self.reason)}"


class AlreadyStartedError(WsxError):
    """The name is in use.

    Attributes:
        name: The name.
        client: The client that has the name; a :class:`RemoteClient` if it is in another process;
            None if it has ended in the meantime.
    """

    def __init__(self, name: object, client: object) -> None:
        super().__init__(name, client)
        self.name = name
        self.client = client

    def __str__(self) -> str:
        holder = getattr(self.client, "holder", None)
        where = "" if holder is None else f" (process {holder.pid} on {line(holder.host)})"
        return f"name {quote(self.name)} is in use by a client that has not ended{where}"


class UnknownNameError(WsxError, LookupError):
    """No client has the name.

    Attributes:
        name: The name.
    """

    def __init__(self, name: object) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"no client has the name {quote(self.name)}"


class ClusterError(WsxError):
    """NATS cannot be reached, does not answer in time, or refuses what a :class:`Cluster` asks.

    The registry of an :class:`AsyncVia` raises it if its store cannot be reached.

    Attributes:
        reason: What has failed.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"cluster: {line(self.reason, _TEXT_LIMIT)}"


class ClusterSetupError(ClusterError):
    """The arguments of the :class:`Cluster` do not fit NATS, so trying again cannot help.

    The credentials are wrong, a permission is missing, JetStream is not enabled, the bucket has
    another ``ttl``, or the packages of ``txwsx[nats]`` are not installed.

    Attributes:
        reason: What is wrong.
    """


class NameLost(WsxError):
    """The client may no longer use its name, because another process may soon hold it.

    Attributes:
        name: The name.
        reason: Why the name is lost.
    """

    def __init__(self, name: object, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        key = getattr(self.name, "key", self.name)  # A log line begins with the whole name.
        return f"name {quote(key)} lost: {line(self.reason, _TEXT_LIMIT)}"


class RemoteError(WsxError):
    """A call to a client in another process failed with an exception that is not rebuilt here.

    TypeError, ValueError and most errors of wsx are raised as themselves.

    Attributes:
        kind: The name of the exception's class.
        text: The exception's text.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(kind, text)
        self.kind = kind
        self.text = text

    def __str__(self) -> str:
        text = line(self.text, _TEXT_LIMIT)
        return f"the client in the other process raised {line(self.kind)}: {text}"


class ChildError(WsxError, ValueError):
    """A supervisor cannot carry out a request for a child.

    Attributes:
        id: The id of the child.
        reason: Why it is not possible.
    """

    def __init__(self, id: object, reason: str) -> None:
        super().__init__(id, reason)
        self.id = id
        self.reason = reason

    def __str__(self) -> str:
        return f"{quote(self.id)}: {line(self.reason, _TEXT_LIMIT)}"


class MaxRestartsExceeded(WsxError):
    """A supervised client ended more often than the restart intensity allows.

    Attributes:
        max_restarts: The number of restarts that are allowed within ``max_seconds``.
        max_seconds: The period in seconds. Time spent waiting before a restart does not count.
        reason: The reason for which the client ended the last time.
    """

    def __init__(self, max_restarts: int, max_seconds: float, reason: object) -> None:
        super().__init__(max_restarts, max_seconds, reason)
        self.max_restarts = max_restarts
        self.max_seconds = max_seconds
        self.reason = reason

    def __str__(self) -> str:
        reason = self.reason
        while isinstance(reason, MaxRestartsExceeded):  # The reason of a nested supervisor.
            reason = reason.reason
        return (
            f"restart intensity exceeded: more than {self.max_restarts} restarts in "
            f"{self.max_seconds:g} s, not counting delays; last reason: {describe(reason)}"
        )


def as_exception(reason: object) -> Exception:
    """Return the reason if it is an exception, else a :class:`ClientEnded` that carries it."""
    return reason if isinstance(reason, Exception) else ClientEnded(reason)
