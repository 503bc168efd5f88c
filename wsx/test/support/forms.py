"""The two forms of wsx's fast path: the imported one, compiled or pure, and the pure one."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import wsx
from wsx import _compiled, frames
from wsx._wire import batch, decoder, encoder


class Form(NamedTuple):
    """A form of the fast path, compiled or pure: its modules.

    ``errors`` is never compiled, so both forms raise the same exceptions.
    """

    batch: Any
    decoder: Any
    encoder: Any
    frames: Any


def load_pure() -> Form:
    """Load the sources of the fast path a second time, as pure Python.

    Every module in ``_compiled._SOURCES`` is loaded, so the pure decoder uses no compiled module.
    """
    names = [f"wsx.{name}" for name in _compiled._SOURCES]
    imported = {name: sys.modules[name] for name in names}
    loaded: dict[str, ModuleType] = {}
    try:
        for name in names:
            short = name.rpartition(".")[2]
            path = Path(wsx.__file__).parents[1].joinpath(*name.split(".")).with_suffix(".py")
            spec = spec_from_file_location(f"wsx_pure.{short}", path)
            assert spec is not None and spec.loader is not None
            module = module_from_spec(spec)
            spec.loader.exec_module(module)
            sys.modules[name] = module  # The next module imports this one.
            loaded[short] = module
    finally:
        sys.modules.update(imported)
    return Form(loaded["batch"], loaded["decoder"], loaded["encoder"], loaded["frames"])


IMPORTED = Form(batch, decoder, encoder, frames)
PURE = load_pure()
PURE_DECODER: Any = PURE.decoder.Decoder
