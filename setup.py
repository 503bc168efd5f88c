"""The part of the build configuration that pyproject.toml cannot express.

If there is a C compiler, Cython compiles the modules in ``COMPILED``. The ``.pxd`` file next to a
module declares C types; the source also runs as pure Python. If the compilation fails, wsx is
installed without compiled modules: it behaves the same but is slower. Set ``WSX_PURE=1`` to skip
the compilation. To compile the modules in a checkout, call ``python setup.py build_ext --inplace``.
docs/explanation/performance.md explains why wsx uses Cython and not mypyc.
"""

import os
import sys
from pathlib import Path
from typing import Any

from setuptools import find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.editable_wheel import editable_wheel

COMPILED = [
    "wsx/_members.py",
    "wsx/frames.py",
    "wsx/results.py",
    "wsx/_wire/batch.py",
    "wsx/_wire/buffer.py",
    "wsx/_wire/assembler.py",
    "wsx/_wire/encoder.py",
    "wsx/_wire/decoder.py",
]


class CompatibleEditable(editable_wheel):
    """Put this folder on the path in an editable installation (``pip install -e .``).

    The default mode of setuptools uses an import hook. It does not cover ``twisted.plugins``,
    because that package is shared with Twisted, so twistd would not find the plugin.

    An editable installation has no compiled modules, so changes to the source take effect at once.
    """

    def finalize_options(self) -> None:
        super().finalize_options()
        self.mode = "compat"
        self.distribution.ext_modules = []


class OptionalExtensions(build_ext):
    """Build all extensions or none, because they depend on each other's C types."""

    def run(self) -> None:
        try:
            super().run()
        except Exception as error:
            report(error)
            for extension in self.extensions:  # An earlier build may have left files.
                Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
            self.extensions.clear()


def extensions() -> list[Any]:
    """Return the extensions to build; an empty list if Cython fails or WSX_PURE is set."""
    if os.environ.get("WSX_PURE", "0") not in ("", "0"):
        return []
    try:
        from Cython.Build import cythonize

        # Annotations must not become type checks at run time: Text(5) raises only when it is sent.
        directives = {"language_level": "3", "annotation_typing": False}
        return list(cythonize(COMPILED, build_dir="build/cython", compiler_directives=directives))
    except (Exception, SystemExit) as error:
        report(error)
        return []


def report(error: BaseException) -> None:
    """Print why wsx is installed without compiled modules."""
    print(f"wsx is installed without compiled modules: {error}", file=sys.stderr)


setup(
    # Do not list "twisted" itself: that package belongs to Twisted.
    packages=[*find_packages(include=["wsx", "wsx.*"]), "twisted.plugins"],
    cmdclass={"editable_wheel": CompatibleEditable, "build_ext": OptionalExtensions},
    ext_modules=extensions(),
)
