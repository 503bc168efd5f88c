"""The metadata is in pyproject.toml; here is what it cannot say.

The modules of ``COMPILED`` are compiled by mypyc where there is a C compiler, from the same source
that runs without one. ``WSX_PURE=1`` leaves that out, and whatever goes wrong with it leaves it out
too: the package works all the same, slower. ``python setup.py build_ext --inplace`` compiles in
this folder.
"""

import os
import sys
from typing import Any

from setuptools import setup
from setuptools.command.build_ext import build_ext
from setuptools.command.editable_wheel import editable_wheel

COMPILED = ["wsx/frames.py", "wsx/_assembly.py", "wsx/_codec.py"]


class CompatibleEditable(editable_wheel):
    """Makes ``pip install -e .`` put this folder on the path.

    The default mode maps the packages that it knows by an import hook, and that hook does not reach
    ``twisted.plugins``, which is ours and Twisted's at once: twistd would not find the plugin.

    Nothing is compiled: who edits the source wants to see it run.
    """

    def finalize_options(self) -> None:
        super().finalize_options()
        self.mode = "compat"
        self.distribution.ext_modules = []


class OptionalExtensions(build_ext):
    """Builds all extensions or none: half of them would not fit together."""

    def run(self) -> None:
        try:
            super().run()
        except Exception as error:
            tell(error)
            self.extensions.clear()


def extensions() -> list[Any]:
    """Gives what is to be compiled."""
    if os.environ.get("WSX_PURE", "0") not in ("", "0"):
        return []
    try:
        from mypyc.build import mypycify

        # Other modules are taken as they come: nothing but mypy is needed for building.
        check = ["--follow-imports=skip", "--ignore-missing-imports", f"--config-file={os.devnull}"]
        return list(mypycify([*check, *COMPILED], opt_level="3", debug_level="0", group_name="wsx"))
    except (Exception, SystemExit) as error:
        tell(error)
        return []


def tell(error: BaseException) -> None:
    print(f"wsx is installed without compiled modules: {error}", file=sys.stderr)


setup(
    cmdclass={"editable_wheel": CompatibleEditable, "build_ext": OptionalExtensions},
    ext_modules=extensions(),
)
