"""Detects that another distribution has installed files into this package, too.

wsx is distributed as ``txwsx``. If a distribution named ``wsx`` contains the package as well, such
as a version of wsx from before the renaming, ``pip uninstall`` of either removes files of both.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Final

__all__ = ["conflict", "warn_of_conflict"]

_ADVICE: Final = (
    'run "pip uninstall wsx txwsx" and then "pip install txwsx"; if only one is uninstalled, '
    "files of the other are missing"
)


def conflict(folder: Path) -> str | None:
    """Return which other distribution contains the package ``wsx``, and what to do, or None.

    Args:
        folder: The folder that contains the package, such as ``site-packages``.
    """
    for info in folder.glob("wsx-*.dist-info"):
        record = info / "RECORD"
        if record.is_file() and "\nwsx/" in "\n" + record.read_text(encoding="utf-8"):
            name, _, version = info.name.removesuffix(".dist-info").partition("-")
            return f'the distribution "{name}" {version} contains the package wsx, too: {_ADVICE}'
    return None


def warn_of_conflict() -> None:
    """Issue a ``RuntimeWarning`` if another distribution contains this package, too."""
    found = conflict(Path(__file__).parents[1])
    if found:
        warnings.warn(found, RuntimeWarning, stacklevel=2)
