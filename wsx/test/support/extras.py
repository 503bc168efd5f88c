"""Packages of the extras of wsx: a test that needs one is skipped if it is not installed.

Import such a package from this module, as in ``from wsx.test.support.extras import trustme``. If it
is not installed, each use of it raises ``SkipTest``. Where a class body or a decorator needs the
package, set ``skip = missing("trustme")`` in the module, and import it only if that is None.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, TypeVar
from unittest import SkipTest

__all__ = [
    "Once",
    "aiohttp",
    "missing",
    "prometheus_client",
    "require",
    "trustme",
    "uvloop",
    "websockets",
    "wsproto",
]

if TYPE_CHECKING:
    import aiohttp.web
    import prometheus_client
    import trustme
    import uvloop
    import websockets.asyncio.server
    import websockets.exceptions
    import websockets.typing
    import wsproto.extensions
    import wsproto.frame_protocol
else:

    def __getattr__(name: str) -> Any:
        if name not in _SUBMODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return load(name, *_SUBMODULES[name])


# The submodules that tests use of each package.
_SUBMODULES: Final[dict[str, tuple[str, ...]]] = {
    "aiohttp": ("web",),
    "prometheus_client": (),
    "trustme": (),
    "uvloop": (),
    "websockets": ("asyncio.server", "exceptions", "typing"),
    "wsproto": ("extensions", "frame_protocol"),
}

T = TypeVar("T")


class Missing:
    """Stand-in for a package that is not installed.

    Args:
        reason: Why a test that uses the package is skipped.
    """

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):  # trial looks for test classes among the names of a module.
            raise AttributeError(name)
        raise SkipTest(self._reason)


class Once(Generic[T]):
    """A class attribute whose value is made at the first use, since it may need a missing package.

    Args:
        make: Returns the value.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._values: list[T] = []

    def __get__(self, instance: object, owner: type) -> T:
        if not self._values:
            self._values.append(self._make())
        return self._values[0]


def missing(*packages: str) -> str | None:
    """Return why tests that need these packages are skipped, or None if all are installed."""
    for package in packages:
        if find_spec(package) is None:
            return f"{package} is not installed (pip install 'txwsx[test]')"
    return None


def require(*packages: str) -> None:
    """Skip the test that calls this if one of these packages is not installed."""
    reason = missing(*packages)
    if reason:
        raise SkipTest(reason)


def load(package: str, *submodules: str) -> Any:
    """Import a package with submodules; return a ``Missing`` if it is not installed."""
    reason = missing(package)
    if reason:
        return Missing(reason)
    for name in submodules:
        import_module(f"{package}.{name}")
    return import_module(package)
