"""What a test lets the server do on a connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wsx._text import expected as wrong
from wsx.frames import NORMAL_CLOSURE, Binary, Frame, Ping, Text
from wsx.testing.request import GivenHeaders, Request, format_acceptance, format_refusal
from wsx.testing.session import Session
from wsx.testing.wire import AnyFrame, Deflate, encode, encode_fragments

if TYPE_CHECKING:
    from wsx.testing.server import ServerConnection

__all__ = ["ServerActions"]

__tracebackhide__ = True  # pytest shows the line of the test instead.


class ServerActions:
    """Actions on a connection: on a :class:`MemoryServer`, on the last one.

    Each action runs reactor iterations until the client has nothing left to do at the present
    time. Each returns the connection, so that calls can be chained.
    """

    # The two subclasses define these.

    def _current(self, action: str) -> Session:
        """Return the connection for an action.

        Raises:
            AssertionError: There is none.
        """
        raise NotImplementedError

    def _done(self, session: Session) -> ServerConnection:
        """Run reactor iterations, and return the public form of a connection."""
        raise NotImplementedError

    def _problem(self, text: str) -> AssertionError:
        """Return the error for an action that is not possible, with what the client does now."""
        raise NotImplementedError

    def _existing(self, action: str) -> Session:
        """Return the connection for an action that needs a TCP connection."""
        session = self._current(action)
        if session.ended is not None:
            raise self._problem(f"{action}: {session.name} has ended: {session.ended}")
        return session

    def _open(self, action: str) -> Session:
        """Return the connection for an action that needs a complete opening handshake."""
        session = self._existing(action)
        if not session.is_open:
            raise self._problem(f"{action}: {session.name} is not open; call accept() first")
        return session

    def _unanswered(self, action: str) -> tuple[Session, Request]:
        """Return the connection for an answer to the opening handshake, and its request."""
        session = self._current(action)
        if session.is_answered or session.ended is not None:
            state = "has been accepted" if session.is_open else "has been refused"
            state = state if session.is_answered else f"has ended: {session.ended}"
            raise self._problem(
                f"{action}: {session.name} {state}, and the client has not connected again"
            )
        if session.request is None:
            raise self._problem(f"{action}: {session.name}: the request has not arrived yet")
        return session, session.request

    # The opening handshake

    def accept(
        self,
        headers: GivenHeaders = (),
        subprotocol: str | None = None,
        extensions: str | Sequence[str] | None = None,
    ) -> ServerConnection:
        """Accept the opening handshake.

        Args:
            headers: Headers to add, as a mapping or as pairs. A header that the response has
                already is replaced; None removes it.
            subprotocol: The subprotocol to select. Default none.
            extensions: The extensions to accept, such as ``"permessage-deflate"``, which
                compresses the messages in both directions. Default none.

        Raises:
            AssertionError: The client has not connected.
        """
        session, request = self._unanswered("accept")
        if extensions is not None and not isinstance(extensions, str):
            extensions = ", ".join(extensions)
        response = format_acceptance(request, headers, subprotocol, extensions)
        session.open(response, None if extensions is None else Deflate.negotiated(extensions))
        return self._done(session)

    def refuse(
        self, status: int = 403, headers: GivenHeaders = (), body: bytes | str = b""
    ) -> ServerConnection:
        """Refuse the opening handshake, and close the TCP connection.

        Args:
            status: The status code. Default 403.
            headers: Headers to add, as a mapping or as pairs.
            body: The body. Default empty.

        Raises:
            AssertionError: The client has not connected.
        """
        session, _ = self._unanswered("refuse")
        response = format_refusal(status, headers, body)
        session.is_answered = True
        session.send(response)
        session.drop(f"the server has refused it with status {status}")
        return self._done(session)

    @property
    def request(self) -> Request:
        """The request of the opening handshake, with ``path``, ``headers`` and ``url``."""
        session = self._current("request")
        if session.request is None:
            raise self._problem(f"request: {session.name}: the request has not arrived yet")
        return session.request

    # Sending

    def send(self, *frames: Frame) -> ServerConnection:
        """Send frames. All of them arrive in one read.

        Raises:
            AssertionError: The connection is not open.
        """
        session = self._open("send")
        session.send(b"".join(encode(frame, session.deflate) for frame in frames))
        return self._done(session)

    def fragment(
        self, frame: Frame, sizes: Sequence[int] = (1,), between: Sequence[Frame] = ()
    ) -> ServerConnection:
        """Send a message in fragments.

        Args:
            frame: The message.
            sizes: The sizes of the fragments in bytes, without the last one, which has the rest.
                Default: one byte, and the rest.
            between: Control frames to send after the first fragment. Default none.

        Raises:
            ValueError: The frame is no message, or a frame between the fragments is one.
            AssertionError: The connection is not open.
        """
        if not isinstance(frame, (Text, Binary)):
            raise ValueError(wrong("fragment", "a Text or a Binary", frame))
        if any(isinstance(one, (Text, Binary)) for one in between):
            raise ValueError(wrong("fragment: between", "control frames", list(between)))
        session = self._open("fragment")
        first, *rest = encode_fragments(frame, list(sizes), session.deflate)
        session.send(b"".join([first, *map(encode, between), *rest]))
        return self._done(session)

    def raw(self, data: bytes) -> ServerConnection:
        """Send bytes, also in place of a response to the opening handshake."""
        session = self._existing("raw")
        session.send(data)
        return self._done(session)

    def ping(self, payload: bytes = b"") -> ServerConnection:
        """Send a ping. The default ``handle_ping`` replies with a pong, which you can expect."""
        return self.send(Ping(payload))

    def close(self, code: int | None = NORMAL_CLOSURE, message: str = "") -> ServerConnection:
        """Send a close frame. After the client's answer, the TCP connection is closed.

        Args:
            code: The close code, which is not checked. Default 1000; None for a frame without one.
            message: The close message. Default empty.

        Raises:
            AssertionError: The connection is not open.
        """
        session = self._open("close")
        session.close(code, message)
        return self._done(session)

    # Receiving

    def expect(self, *frames: AnyFrame | type[AnyFrame]) -> ServerConnection:
        """Check the next frames that the client has sent.

        Args:
            *frames: The frames, in order. A class, such as ``Text``, stands for any frame of that
                class. Without arguments: the client has sent no other frame.

        Raises:
            AssertionError: The client has sent other frames, or too few. The message has a diff.
        """
        session = self._current("expect")
        try:
            session.inbox.expect(frames)
        except AssertionError as error:
            raise self._problem(str(error)) from None
        return self._done(session)

    def receive(self) -> AnyFrame:
        """Return the next frame that the client has sent.

        Raises:
            AssertionError: There is none.
        """
        session = self._current("receive")
        frame = session.inbox.take()
        if frame is None:
            raise self._problem(f"receive: {session.name}: the client has sent no other frame")
        return frame

    @property
    def received(self) -> list[AnyFrame]:
        """All frames that the client has sent on this connection, without keepalive pings.

        A test that reads this has seen these frames, so they are not left over at its end.
        """
        return self._current("received").inbox.look()
