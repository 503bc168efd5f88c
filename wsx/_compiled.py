"""Selection of the fast path: compiled modules, or the same source as pure Python.

``wsx`` imports this module first. The compiled form is used where it was built, unless
``WSX_PURE=1`` is set in the environment. ``setup.py`` lists the modules that are compiled.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Final

__all__ = ["compiled"]

# Each module comes after those that it imports.
_SOURCES: Final = (
    "_members",
    "frames",
    "results",
    "_wire.batch",
    "_wire.buffer",
    "_wire.assembler",
    "_wire.encoder",
    "_wire.decoder",
)


def _load_source(name: str) -> None:
    """Import a module from its source even if its compiled form exists."""
    parent, _, leaf = f"wsx.{name}".rpartition(".")
    path = Path(__file__).parent.joinpath(*name.split(".")).with_suffix(".py")
    spec = spec_from_file_location(f"wsx.{name}", path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    setattr(import_module(parent), leaf, module)


if os.environ.get("WSX_PURE", "0") not in ("", "0"):
    for _name in _SOURCES:
        _load_source(_name)

from wsx._wire import decoder  # noqa: E402  (after the loop above)

compiled: Final[bool] = not str(decoder.__file__).endswith(".py")
"""Whether the fast path runs in its compiled form."""
