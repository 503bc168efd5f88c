"""The metadata is in pyproject.toml; here is what it cannot say.

The modules of ``COMPILED`` are compiled by Cython where there is a C compiler, from the same source
that runs without one; the C types of what is inside are in a ``.pxd`` beside each (why it is not
mypyc stands in docs/performance.md). ``WSX_PURE=1`` leaves that out, and whatever goes wrong with
it leaves it out too: the package works all the same, slower. In this folder,
``python setup.py build_ext --inplace`` compiles.
"""

import os
import sys
from pathlib import Path
from typing import Any

from setuptools import find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.editable_wheel import editable_wheel

COMPILED = [
    "wsx/frames.py",
    "wsx/_wire/batch.py",
    "wsx/_wire/buffer.py",
    "wsx/_wire/assembler.py",
    "wsx/_wire/encoder.py",
    "wsx/_wire/decoder.py",
]


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
            for extension in self.extensions:  # also those that an earlier build has left
                Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
            self.extensions.clear()


def extensions() -> list[Any]:
    """Gives what is to be compiled."""
    if os.environ.get("WSX_PURE", "0") not in ("", "0"):
        return []
    try:
        from Cython.Build import cythonize

        # Annotations are for mypy: a Text(5) is refused when it is sent, in either form.
        directives = {"language_level": "3", "annotation_typing": False}
        return list(cythonize(COMPILED, build_dir="build/cython", compiler_directives=directives))
    except (Exception, SystemExit) as error:
        tell(error)
        return []


def tell(error: BaseException) -> None:
    print(f"wsx is installed without compiled modules: {error}", file=sys.stderr)


setup(
    # "twisted" itself must not be a package here: it belongs to Twisted.
    packages=[*find_packages(include=["wsx", "wsx.*"]), "twisted.plugins"],
    cmdclass={"editable_wheel": CompatibleEditable, "build_ext": OptionalExtensions},
    ext_modules=extensions(),
)
