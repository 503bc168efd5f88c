"""The part of the build configuration that pyproject.toml cannot express.

If there is a C compiler, Cython compiles the modules of ``COMPILED``. Their source also runs as it
is; the C types are declared in the ``.pxd`` file next to each module. docs/performance.md explains
why this is Cython and not mypyc. Set ``WSX_PURE=1`` to install without compiled modules. If the
compilation fails, wsx is installed without them as well: it behaves the same, but is slower. To
compile the modules inside a checkout, call ``python setup.py build_ext --inplace``.
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
    """Put this folder on the path in an editable installation (``pip install -e .``).

    The default mode of setuptools uses an import hook, which does not cover ``twisted.plugins``
    because that package is shared with Twisted: twistd would not find the plugin.

    Nothing is compiled, so that changes to the source take effect at once.
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
            for extension in self.extensions:  # An earlier build may have left some behind.
                Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
            self.extensions.clear()


def extensions() -> list[Any]:
    """Return the extensions to build, or an empty list if Cython fails or WSX_PURE is set."""
    if os.environ.get("WSX_PURE", "0") not in ("", "0"):
        return []
    try:
        from Cython.Build import cythonize

        # Annotations must not become run-time checks: both forms refuse Text(5) when it is sent.
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
