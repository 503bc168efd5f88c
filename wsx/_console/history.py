"""The history of typed lines: a file that only its owner can read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from prompt_toolkit.history import FileHistory, History, InMemoryHistory

from wsx._redaction import is_secret_name, is_token_like

__all__ = ["history_path", "is_secret", "open_history"]

_LIMIT: Final = 1024 * 1024  # bytes; of a longer file, the last half is kept
# A match begins only at the beginning of a word: to search from each letter of a long word would
# take quadratic time.
_NAME: Final = re.compile(r"""(?<![\w-])([\w-]+)["']?\s*[:=]""")

_WORD: Final = re.compile(r"[\w.+/~=-]+")


def history_path() -> Path:
    """Return the path of the history: ``wsx/history`` in the user's state directory.

    This is ``$XDG_STATE_HOME``, by default ``~/.local/state``.
    """
    state = os.environ.get("XDG_STATE_HOME", "")
    folder = Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state"
    return folder / "wsx" / "history"


def open_history(path: Path | None) -> History:
    """Return a history that is stored in a file, or one in memory.

    Args:
        path: The path of the file. It is created with mode 0600, in a folder with mode 0700. None
            means that nothing is stored.

    Raises:
        OSError: The file cannot be opened.
    """
    if path is None:
        return InMemoryHistory()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "r+b") as file:
        os.fchmod(file.fileno(), 0o600)
        if os.fstat(file.fileno()).st_size > _LIMIT:
            kept = _last_half(file.read())
            file.seek(0)
            file.write(kept)
            file.truncate()
    return _PrivateHistory(str(path))


def _last_half(content: bytes) -> bytes:
    """Return the entries in the last half of a history file. An entry begins with a comment."""
    start = content.find(b"\n\n#", len(content) - _LIMIT // 2)
    return content[start + 1 :] if start >= 0 else b""


class _PrivateHistory(FileHistory):
    """A history file without the lines that seem to contain a password or a token."""

    def store_string(self, string: str) -> None:
        """Store a typed line, unless it seems to contain a secret."""
        if not is_secret(string):
            with suppress(OSError):  # The disk is full: the line stays in memory.
                super().store_string(string)

    def load_history_strings(self) -> Iterable[str]:
        """Return the stored lines, the latest first; none if the file cannot be read."""
        try:
            return list(super().load_history_strings())
        except (OSError, UnicodeDecodeError):
            return []


def is_secret(line: str) -> bool:
    """Return whether a typed line seems to contain a password or a token.

    This is a line with a name such as ``password`` or ``api_key``, followed by ``:`` or ``=``; or
    with a word that looks like a token.
    """
    names, words = _NAME.findall(line), _WORD.findall(line)
    return any(map(is_secret_name, names)) or any(map(is_token_like, words))
