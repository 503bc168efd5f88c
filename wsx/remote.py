"""References to clients in other processes that hold a name in a cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar, get_args

from twisted.internet.defer import Deferred, fail

from wsx._arguments import require
from wsx._cluster.call_format import check_timeout
from wsx._cluster.calls import Calls
from wsx._cluster.frame_values import frame_to_value
from wsx._cluster.values import check_value
from wsx._text import expected_type, line, shorten
from wsx.errors import ClusterError, WsxError
from wsx.frames import NORMAL_CLOSURE, Frame, close_payload
from wsx.option_types import Status
from wsx.registry import Name

__all__ = ["Holder", "RemoteClient", "RemoteSystem"]

T = TypeVar("T")

_REPLY_SECONDS: Final = 2.0  # for the reply to a send_frame, in addition to its time limit


@dataclass(frozen=True, slots=True)
class Holder:
    """The process and the client that held a name when it was looked up.

    Attributes:
        host: The name of the host.
        pid: The process id.
        client: The class of its handler, and its URL without secrets.
        since: When the client got the name, on the clock of its host, with a time zone.
    """

    host: str
    pid: int
    client: str
    since: datetime


class _Caller:
    """Call the operations of a name."""

    def __init__(self, calls: Calls, name: Name, token: str) -> None:
        self._calls = calls
        self._subjects = calls.subjects(token)
        self._known = {"name": name}

    def call(
        self, group: str, call: list[Any], timeout: float, more_time: float = 0.0, **known: Any
    ) -> Deferred[Any]:
        """Call an operation of the client; see :meth:`Calls.add`.

        Args:
            group: The group of the operation.
            call: The operation and its arguments.
            timeout: The time limit in seconds. The Deferred fails if it is not valid.
            more_time: The time in seconds to wait for the reply after the time limit. Default 0.
            **known: Attributes of errors that the caller knows, so the holder does not send them.
        """
        try:
            check_timeout(timeout)
            known |= self._known
            return self._calls.add(self._subjects[group], call, timeout + more_time, known)
        except (ValueError, ClusterError) as error:
            return fail(error)

    def message(self, operation: str, message: Any, timeout: float) -> Deferred[None]:
        """Send a message, or fail if it is not a MessagePack value."""
        try:
            check_value(message, "message")
            check_timeout(timeout)
            call = [operation, message]
            return self._calls.add(self._subjects["call"], call, timeout, self._known)
        except (TypeError, ValueError, ClusterError) as error:
            return fail(error)


class RemoteClient:
    """A reference to the client that holds a name in a cluster, in any process.

    :func:`wsx.lookup` returns it, and it is the ``client`` of an :class:`AlreadyStartedError`. It
    addresses the name: after a takeover, calls reach the new holder. While there is no holder,
    calls fail with :class:`UnknownNameError`.

    All methods return Deferreds. If no reply arrives in time, the Deferred fails with
    :class:`ClusterError`, whose text says that the call may have been delivered. It also fails with
    ClusterError if the call is larger than the NATS server accepts. Casts and infos of one process
    are delivered in the order in which they were sent.

    A message must be a MessagePack value: None, a bool, an int of 64 bits, a float, a str, bytes, a
    list, or a dict with str keys.

    Attributes:
        name: The name.
        holder: The process and the client that held the name when it was looked up.
        sys: System requests, which inspect and control the client.
    """

    def __init__(self, calls: Calls, name: Name, token: str, holder: Holder) -> None:
        self.name = name
        self.holder = holder
        self._caller = _Caller(calls, name, token)
        self.sys: RemoteSystem = RemoteSystem(self._caller)

    def __repr__(self) -> str:
        holder = self.holder
        place = f"{line(holder.host)}, pid {holder.pid}"
        return f"<wsx.RemoteClient {shorten(self.name)} on {place}>"

    def cast(self, message: Any, timeout: float = 5.0) -> Deferred[None]:
        """Deliver a message to ``handle_cast``.

        Args:
            message: The message, a MessagePack value.
            timeout: The time limit in seconds, at most 3600. Default 5.

        Returns:
            A Deferred that fires with None once the message is in the client's mailbox. It fails
            with :class:`NotConnectedError` if the client is ending, with :class:`MailboxFullError`,
            with TypeError if the message is not a MessagePack value, and with
            :class:`UnknownNameError` or :class:`ClusterError`.
        """
        return self._caller.message("cast", message, timeout)

    def info(self, message: Any, timeout: float = 5.0) -> Deferred[None]:
        """Deliver a message to ``handle_info``.

        Args:
            message: The message, a MessagePack value.
            timeout: As for :meth:`cast`.

        Returns:
            The same as :meth:`cast`.
        """
        return self._caller.message("info", message, timeout)

    def send_frame(self, frame: Frame, timeout: float = 5.0) -> Deferred[None]:
        """Send a frame.

        Args:
            frame: The frame.
            timeout: The time limit in seconds for the client's write buffer to fall below its
                high-water mark, at most 3600. Default 5. The reply may take two seconds longer.

        Returns:
            A Deferred that fires with None once the frame has been passed to the transport and the
            transport's write buffer is below its high-water mark. It fails with the errors of
            :meth:`Client.send_frame`, :class:`UnknownNameError` or :class:`ClusterError`.
            The ``original`` of a :class:`ConnError` is a :class:`RemoteError`.
        """
        try:
            value = frame_to_value(frame)
        except WsxError as error:
            return fail(error)
        call, known = ["send_frame", value, timeout], {"frame_payload": frame.payload}
        return self._caller.call("call", call, timeout, _REPLY_SECONDS, frame=frame, **known)

    def status(self, timeout: float = 5.0) -> Deferred[Status]:
        """Return the status of the connection.

        Args:
            timeout: The time limit in seconds, at most 3600. Default 5.

        Returns:
            A Deferred that fires with ``"connecting"``, ``"open"``, ``"closing"``,
            ``"disconnected"`` or ``"terminated"``. It fails with :class:`UnknownNameError` or
            :class:`ClusterError`.
        """
        asked = self._caller.call("read", ["status"], timeout)
        return _checked(asked, "status", lambda value: value in get_args(Status))

    def close(
        self, code: int = NORMAL_CLOSURE, message: str = "", timeout: float = 30.0
    ) -> Deferred[None]:
        """Start the closing handshake; see :meth:`Client.close`.

        Args:
            code: The close code. Default 1000.
            message: The close message, at most 123 bytes in UTF-8. Default empty.
            timeout: The time limit in seconds for the end of the connection, at most 3600.
                Default 30.

        Returns:
            A Deferred that fires with None when the connection has ended. It fails with
            :class:`FrameEncodeError` if RFC 6455 does not allow the code or the message, and with
            :class:`UnknownNameError` or :class:`ClusterError`.
        """
        try:
            payload = close_payload(code, message)
        except WsxError as error:
            return fail(error)
        call = ["close", int.from_bytes(payload[:2], "big"), payload[2:].decode()]
        return self._caller.call("control", call, timeout, frame_payload=message)

    def stop(self, detail: str = "", timeout: float = 30.0) -> Deferred[str]:
        """End the client permanently; see :meth:`Client.stop`. A standby takes the name over.

        Args:
            detail: The ``detail`` of the :class:`Shutdown` reason. Default empty.
            timeout: The time limit in seconds for the end of the client, at most 3600. Default 30.

        Returns:
            A Deferred that fires with the text of the reason once the client has ended. It fails
            with TypeError if ``detail`` is not a str, and with :class:`UnknownNameError` or
            :class:`ClusterError`.
        """
        try:
            require(type(detail) is str, "detail", "a str", detail, TypeError)
            check_value(detail, "detail")
        except TypeError as error:
            return fail(error)
        asked = self._caller.call("control", ["stop", detail], timeout)
        return _checked(asked, "stop", lambda value: isinstance(value, str))


class RemoteSystem:
    """``sys`` of a :class:`RemoteClient`: inspect and control the client."""

    def __init__(self, caller: _Caller) -> None:
        self._caller = caller

    def get_state(self, timeout: float = 5.0) -> Deferred[Any]:
        """Return the handler's state. While a callback is pending, this is the state before it.

        Args:
            timeout: The time limit in seconds, at most 3600. Default 5.

        Returns:
            A Deferred that fires with a copy of the state. It fails with TypeError if the state is
            not a MessagePack value, and with :class:`UnknownNameError` or :class:`ClusterError`.
        """
        return self._caller.call("read", ["get_state"], timeout)

    def get_status(self, timeout: float = 5.0) -> Deferred[dict[str, Any]]:
        """Return the client's status, passed through the handler's ``format_status``.

        Args:
            timeout: The time limit in seconds, at most 3600. Default 5.

        Returns:
            A Deferred that fires with the dict of :meth:`wsx.system.System.get_status`. In it,
            ``handler`` is the name of the class, ``conn`` is the redacted URL, ``log`` has lists in
            place of tuples, and ``name`` and ``version`` are strings unless they are MessagePack
            values. The Deferred fails with TypeError if the state, or what ``format_status`` adds,
            is not a MessagePack value, and with :class:`UnknownNameError` or :class:`ClusterError`.
        """
        asked = self._caller.call("read", ["get_status"], timeout)
        return _checked(asked, "get_status", lambda value: isinstance(value, dict))

    def trace(self, flag: bool, timeout: float = 5.0) -> Deferred[None]:
        """Start or stop trace lines on the standard output of the client's process.

        Args:
            flag: True to start, False to stop.
            timeout: The time limit in seconds, at most 3600. Default 5.

        Returns:
            A Deferred that fires with None. It fails with ValueError if ``flag`` is not a bool,
            with :class:`NotConnectedError` if the client has ended, and with
            :class:`UnknownNameError` or :class:`ClusterError`.
        """
        try:
            require(isinstance(flag, bool), "trace", "True or False", flag)
        except ValueError as error:
            return fail(error)
        return self._caller.call("control", ["trace", flag], timeout)


def _checked(asked: Deferred[T], operation: str, is_valid: Callable[[Any], bool]) -> Deferred[T]:
    """Let a Deferred fail if its result is not valid, because any process may have replied."""

    def check(value: T) -> T:
        if not is_valid(value):
            problem = expected_type("malformed reply", f"the result of {operation}", value)
            raise ClusterError(problem)
        return value

    return asked.addCallback(check)
