"""Choose between the two front ends, and the reactor that one of them needs."""

from __future__ import annotations

import asyncio
import os
import sys
from importlib.util import find_spec
from typing import Any

from wsx._console.frontend import Frontend
from wsx._console.plain import Plain, is_terminal
from wsx._text import quote
from wsx._twistd.invalid import reason_of

__all__ = ["choose_frontend", "choose_reactor"]


def can_edit() -> bool:
    """Return whether lines can be edited: at a terminal, with prompt_toolkit."""
    if os.name != "posix" or os.environ.get("TERM") == "dumb":
        return False
    if not (is_terminal(sys.__stdin__) and is_terminal(sys.__stdout__)):
        return False
    return find_spec("prompt_toolkit") is not None


def choose_reactor() -> None:
    """Install the asyncio reactor if the terminal needs it and no reactor is installed yet."""
    if can_edit() and "twisted.internet.reactor" not in sys.modules:
        from twisted.internet import asyncioreactor

        asyncioreactor.install(asyncio.new_event_loop())


def choose_frontend(reactor: Any, as_json: bool, store_history: bool, program: str) -> Frontend:
    """Return the front end for the standard streams.

    Args:
        reactor: The reactor. Line editing needs an asyncio reactor.
        as_json: Whether to write records as JSON, which no terminal shows.
        store_history: Whether typed lines are stored in a file.
        program: The name of the program in notices.

    Returns:
        The front end. If the file of the history cannot be opened, typed lines are not stored, and
        a notice says so.
    """
    if as_json or not can_edit() or not _is_asyncio(reactor):
        return Plain(as_json, program)
    from wsx._console.history import history_path, open_history
    from wsx._console.terminal import Terminal

    path = history_path() if store_history else None
    try:
        return Terminal(open_history(path))
    except OSError as error:
        terminal = Terminal(open_history(None))
        terminal.notice(f"typed lines are not stored: {quote(str(path))}: {reason_of(error)}")
        return terminal


def _is_asyncio(reactor: Any) -> bool:
    from twisted.internet.asyncioreactor import AsyncioSelectorReactor

    return isinstance(reactor, AsyncioSelectorReactor)
