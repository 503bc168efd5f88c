"""Check out, build and install another revision of wsx, in an environment of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import describe_wsx

# The files that decide what is installed; `benchmarks/` and the documentation do not.
_SOURCES = ("wsx", "twisted", "setup.py", "pyproject.toml", "MANIFEST.in")


class RevisionError(Exception):
    """A revision does not exist, or cannot be built."""


@dataclass(frozen=True)
class Revision:
    """A commit of the checkout.

    Attributes:
        checkout: The folder of the checkout.
        commit: The full hash.
        title: The abbreviated hash and the summary of the commit.
    """

    checkout: Path
    commit: str
    title: str


def checkout_folder() -> Path:
    """Return the folder of the checkout, which ``benchmarks/run`` passes in ``WSX_CHECKOUT``."""
    return Path(os.environ.get("WSX_CHECKOUT", os.curdir)).resolve()


def find_revision(name: str, checkout: Path) -> Revision:
    """Find a commit by its hash, or by the name of a branch or tag.

    Raises:
        RevisionError: There is no such commit, or the folder is not a git checkout.
    """
    _git(checkout, "rev-parse", "--git-dir", problem=f"{checkout} is not a git checkout")
    arguments = ("--verify", "--end-of-options", f"{name}^{{commit}}")
    problem = f'"{name}" is not a commit, branch or tag of {checkout}'
    commit = _git(checkout, "rev-parse", *arguments, problem=problem)
    return Revision(checkout, commit, _title(checkout, commit))


def describe_checkout(checkout: Path) -> str:
    """Return the title of the current commit, and whether the sources differ from it."""
    changed = _git(checkout, "status", "--porcelain", "--", *_SOURCES, problem="git status failed")
    return _title(checkout, "HEAD") + (", with uncommitted changes" if changed else "")


def install(revision: Revision, folder: Path) -> Path:
    """Install a revision below ``folder``, compiled if possible.

    The dependencies are those of the current environment, so that only wsx differs.

    Returns:
        The path of the Python interpreter of the new environment.

    Raises:
        RevisionError: The revision cannot be built, or another wsx would be measured.
    """
    source, environment = folder / "source", folder / "old"
    _extract(revision, source)
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps")
    _run([*pip, "--disable-pip-version-check", str(source)], f"{revision.title}: pip failed")
    return _complete(environment)


def copy_installed(folder: Path) -> Path:
    """Copy the wsx of the current environment into a new one below ``folder``.

    So both versions run in environments of the same form: a difference between environments shows
    in CPU times.

    Returns:
        The path of the Python interpreter of the new environment.

    Raises:
        RevisionError: Another wsx would be measured.
    """
    environment = folder / "new"
    venv.create(environment, symlinks=True)
    shutil.copytree(Path(sysconfig.get_path("purelib"), "wsx"), _packages(environment) / "wsx")
    return _complete(environment)


def _complete(environment: Path) -> Path:
    """Add the dependencies, check which wsx is imported, and return the interpreter."""
    _add_dependencies(environment)
    python = environment / "bin" / "python"
    path = describe_wsx(str(python))["path"]
    if not Path(path).is_relative_to(environment):
        raise RevisionError(f"expected wsx in {environment}, got {path}")
    return python


def _extract(revision: Revision, folder: Path) -> None:
    archive = folder.with_suffix(".tar")
    output = f"--output={archive}"
    _git(revision.checkout, "archive", output, revision.commit, problem="git archive failed")
    folder.mkdir()
    _run(["tar", "-C", str(folder), "-xf", str(archive)], "tar failed")


def _add_dependencies(environment: Path) -> None:
    """Make the packages of this environment available, after those of the new one.

    This happens after the installation of wsx; pip would otherwise find the wsx of this one.
    """
    pth = _packages(environment) / "dependencies.pth"
    pth.write_text(sysconfig.get_path("purelib") + "\n")


def _packages(environment: Path) -> Path:
    inside = {"base": str(environment), "platbase": str(environment)}
    return Path(sysconfig.get_path("purelib", "venv", inside))


def _title(checkout: Path, commit: str) -> str:
    return _git(checkout, "log", "-1", "--format=%h %s", commit, problem="git log failed")


def _git(checkout: Path, *arguments: str, problem: str) -> str:
    return _run(["git", "-C", str(checkout), *arguments], problem)


def _run(command: Sequence[str], problem: str) -> str:
    """Run a command and return its output.

    Raises:
        RevisionError: It failed; the message is ``problem`` and its last line on stderr.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise RevisionError(f"{problem} ({error})") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise RevisionError(f"{problem} ({lines[-1].strip()})")
    return done.stdout.strip()
