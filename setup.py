"""The part of the build configuration that pyproject.toml cannot express.

If there is a C compiler, Cython compiles the modules in ``COMPILED``. The ``.pxd`` file next to a
module declares C types; the source also runs as pure Python. If the compilation fails, wsx is
installed without compiled modules: it behaves the same but is slower. These variables change that:

- ``WSX_PURE=1`` skips the compilation. The wheel then fits every platform.
- ``WSX_DEBUG=1`` keeps the symbols and the debug information of the compiled modules.

To compile the modules in a checkout, call ``python setup.py build_ext --inplace``.
docs/explanation/performance.md explains why wsx uses Cython and not mypyc.
"""

import os
import re
import sys
from pathlib import Path
from typing import Any

from setuptools import Extension, find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
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
FILES = "https://github.com/txwsx/txwsx/blob/main/"


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


class TaggedWheel(bdist_wheel):
    """Build a wheel for any platform (``py3-none-any``) if nothing was compiled."""

    def run(self) -> None:
        self.run_command("build_ext")
        self.root_is_pure = not self.distribution.has_ext_modules()
        super().run()


def is_set(variable: str) -> bool:
    """Return whether an environment variable is set to something other than 0."""
    return os.environ.get(variable, "0") not in ("", "0")


def extensions() -> list[Any]:
    """Return the extensions to build; an empty list if Cython fails or WSX_PURE is set."""
    if is_set("WSX_PURE"):
        return []
    try:
        from Cython.Build import cythonize

        # Annotations must not become type checks at run time: Text(5) raises only when it is sent.
        directives = {"language_level": "3", "annotation_typing": False}
        modules = [extension(path) for path in COMPILED]
        return list(cythonize(modules, build_dir="build/cython", compiler_directives=directives))
    except (Exception, SystemExit) as error:
        report(error)
        return []


def extension(path: str) -> Extension:
    """Return the extension for a source file."""
    name = path.removesuffix(".py").replace("/", ".")
    if is_set("WSX_DEBUG") or not sys.platform.startswith("linux"):
        return Extension(name, [path])
    # Without symbols, the files have a third of the size.
    return Extension(name, [path], extra_compile_args=["-g0"], extra_link_args=["-Wl,-s"])


def report(error: BaseException) -> None:
    """Print why wsx is installed without compiled modules."""
    print(f"wsx is installed without compiled modules: {error}", file=sys.stderr)


def readme() -> str:
    """Return README.md with absolute links, because the package index shows only this page."""
    text = Path("README.md").read_text(encoding="utf-8")
    return re.sub(r"\]\((?![a-z]+:|#)", f"]({FILES}", text)


setup(
    # Do not list "twisted" itself: that package belongs to Twisted.
    packages=[*find_packages(include=["wsx", "wsx.*"]), "twisted.plugins"],
    cmdclass={
        "bdist_wheel": TaggedWheel,
        "build_ext": OptionalExtensions,
        "editable_wheel": CompatibleEditable,
    },
    ext_modules=extensions(),
    long_description=readme(),
    long_description_content_type="text/markdown",
)
