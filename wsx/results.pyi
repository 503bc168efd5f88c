# The types of results.py for type checkers. The docstrings are there.
from collections.abc import Sequence
from typing import Any, ClassVar, Generic, TypeVar

from wsx.conn import Conn
from wsx.frames import Frame
from wsx.provider import Provider

__all__ = ["Close", "Ok", "Reconnect", "Reply"]

_S_co = TypeVar("_S_co", covariant=True)

class _Result(Generic[_S_co]):
    state: _S_co
    __hash__: ClassVar[None]  # type: ignore[assignment]
    def __class_getitem__(cls, item: Any) -> Any: ...
    def __eq__(self, other: object) -> bool: ...

class Ok(_Result[_S_co]):
    __match_args__ = ("state",)
    def __init__(self, state: _S_co) -> None: ...

class Reply(_Result[_S_co]):
    __match_args__ = ("frame", "state")
    frame: Frame | Sequence[Frame]
    def __init__(self, frame: Frame | Sequence[Frame], state: _S_co) -> None: ...

class Close(_Result[_S_co]):
    __match_args__ = ("state", "code", "message")
    code: int
    message: str
    def __init__(self, state: _S_co, code: int = 1000, message: str = "") -> None: ...

class Reconnect(_Result[_S_co]):
    __match_args__ = ("state", "conn", "after")
    conn: Conn | Provider | None
    after: float | None
    def __init__(
        self, state: _S_co, conn: Conn | Provider | None = None, after: float | None = None
    ) -> None: ...
