"""Record the callbacks of a handler: what they were called with, and what they returned."""

from __future__ import annotations

from collections.abc import Coroutine
from functools import partial
from inspect import iscoroutine
from typing import Any, Final, NamedTuple

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from wsx.handler import MAY_REPLY, Handler

__all__ = ["PENDING", "Call", "Recorder"]

_CALLBACKS: Final = MAY_REPLY | {"handle_disconnect", "terminate", "code_change"}


class _Pending:
    """The answer of a callback that has not completed."""

    def __repr__(self) -> str:
        return "PENDING"


PENDING: Final = _Pending()


class Call(NamedTuple):
    """One call of a callback.

    Attributes:
        callback: The name, such as ``"handle_frame"``.
        argument: The first argument: a frame, a message, a ``Conn``, a ``Disconnect`` or a reason.
        answer: What the callback returned. For an ``async def`` or a Deferred, its result, or
            ``PENDING`` until then. If the callback raised, the exception.
    """

    callback: str
    argument: Any
    answer: Any


class Recorder:
    """Record the calls of one handler's callbacks.

    Each callback of the instance is replaced by a function that calls the method of the class, so
    that the class of the handler does not change.

    Args:
        handler: The handler.
    """

    def __init__(self, handler: Handler[Any]) -> None:
        self._handler = handler
        self._calls: list[list[Any]] = []
        self._depth = 0
        own = vars(handler)
        # A test may have replaced a callback of the instance itself.
        self._originals = {name: own[name] for name in _CALLBACKS if name in own}
        own.update({name: partial(self._call, name) for name in _CALLBACKS})

    def remove(self) -> None:
        """Record no more calls."""
        own = vars(self._handler)
        for name in _CALLBACKS:
            own.pop(name, None)
        own.update(self._originals)

    @property
    def calls(self) -> list[Call]:
        """The calls, in order."""
        return [Call(*entry) for entry in self._calls]

    def _call(self, name: str, *arguments: Any) -> Any:
        method = self._originals.get(name)
        if method is None:  # Of the present class, which change_code may have replaced.
            method = partial(getattr(type(self._handler), name), self._handler)
        if self._depth:  # A callback calls another one itself.
            return method(*arguments)
        entry = [name, arguments[0], PENDING]
        self._calls.append(entry)
        self._depth += 1
        try:
            answer = method(*arguments)
        except BaseException as error:
            entry[2] = error
            raise
        finally:
            self._depth -= 1
        return _record(entry, answer)


def _record(entry: list[Any], answer: Any) -> Any:
    """Record an answer, now or when it is known; return what the client gets."""
    if iscoroutine(answer):
        return _record_coroutine(entry, answer)
    if isinstance(answer, Deferred):
        return answer.addBoth(partial(_record_result, entry))
    entry[2] = answer
    return answer


async def _record_coroutine(entry: list[Any], coroutine: Coroutine[Any, Any, Any]) -> Any:
    try:
        entry[2] = await coroutine
    except BaseException as error:
        entry[2] = error
        raise
    return entry[2]


def _record_result(entry: list[Any], result: Any) -> Any:
    entry[2] = result.value if isinstance(result, Failure) else result
    return result
