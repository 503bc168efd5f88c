"""Handlers that record how they are called."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import DeferredQueue

import wsx
from wsx import Disconnect, Ok, Pong, Reconnect


class Recorder(wsx.Handler[Any]):
    """Record every call as ``(name, argument, state)`` and return prepared results.

    Args:
        answers: The result of each callback by its name: a result, an exception to raise, or a
            function of argument and state.
    """

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.calls: list[tuple[str, Any, Any]] = []

    def _answer(self, name: str, argument: Any, state: Any) -> Any:
        self.calls.append((name, argument, state))
        answer = self.answers.get(name)
        if isinstance(answer, BaseException):
            raise answer
        return answer(argument, state) if callable(answer) else answer

    def handle_connect(self, conn: Any, state: Any) -> Any:
        return self._answer("handle_connect", conn, state)

    def handle_frame(self, frame: Any, state: Any) -> Any:
        return self._answer("handle_frame", frame, state)

    def handle_cast(self, message: Any, state: Any) -> Any:
        return self._answer("handle_cast", message, state)

    def handle_info(self, message: Any, state: Any) -> Any:
        return self._answer("handle_info", message, state)

    def handle_ping(self, frame: Any, state: Any) -> Any:
        return self._answer("handle_ping", frame, state)

    def handle_pong(self, frame: Any, state: Any) -> Any:
        return self._answer("handle_pong", frame, state)

    def handle_disconnect(self, status: Any, state: Any) -> Any:
        return self._answer("handle_disconnect", status, state)

    def terminate(self, reason: Any, state: Any) -> Any:
        return self._answer("terminate", reason, state)

    @property
    def names(self) -> list[str]:
        """The names of the called callbacks."""
        return [name for name, _, _ in self.calls]

    def arguments(self, name: str) -> list[Any]:
        """Return the arguments of the calls of one callback."""
        return [argument for called, argument, _ in self.calls if called == name]


class Probe(wsx.Handler[None]):
    """A handler whose calls a test can wait for."""

    def __init__(self, again: bool = False) -> None:
        self.again = again
        self.names: list[str] = []
        self.connected: DeferredQueue[wsx.Conn] = DeferredQueue()
        self.frames: DeferredQueue[wsx.Frame] = DeferredQueue()
        self.lost: DeferredQueue[Disconnect] = DeferredQueue()

    def handle_connect(self, conn: wsx.Conn, state: None) -> None:
        self.names.append("handle_connect")
        self.connected.put(conn)

    def handle_frame(self, frame: wsx.Frame, state: None) -> None:
        self.names.append("handle_frame")
        self.frames.put(frame)

    def handle_pong(self, frame: Pong, state: None) -> None:
        self.frames.put(frame)

    def handle_disconnect(self, status: Disconnect, state: None) -> Any:
        self.names.append("handle_disconnect")
        self.lost.put(status)
        return Reconnect(state, after=0) if self.again else Ok(state)

    def terminate(self, reason: object, state: None) -> None:
        self.names.append("terminate")
