"""Import the examples of docs/examples, and run them as processes."""

from __future__ import annotations

import importlib.util
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

import wsx
from wsx.test.support.sockets import global_reactor
from wsx.test.support.twistd import Twistd, TwistdCase

__all__ = ["EXAMPLES", "ScriptCase", "load", "missing_examples"]

REPOSITORY = Path(wsx.__file__).resolve().parents[1]
EXAMPLES = REPOSITORY / "docs" / "examples"


def missing_examples() -> str | None:
    """Return why tests of the examples are skipped: an installed package does not have them."""
    if EXAMPLES.is_dir():
        return None
    return "docs/examples is not here; run the tests in a checkout"


@cache
def load(name: str) -> Any:
    """Import an example, which does not run it."""
    spec = importlib.util.spec_from_file_location(f"wsx_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class ScriptCase(TwistdCase):
    """Base class for tests that run examples as processes."""

    def script(self, name: str, *arguments: str, **environment: str) -> Twistd:
        """Run an example, by default without an authorization."""
        ours = {k: v for k, v in os.environ.items() if k != "AUTHORIZATION"}
        path = os.pathsep.join(filter(None, [str(REPOSITORY), ours.get("PYTHONPATH")]))
        process = Twistd()
        global_reactor().spawnProcess(
            process,
            sys.executable,
            [sys.executable, "-u", str(EXAMPLES / f"{name}.py"), *arguments],
            env=ours | {"PYTHONPATH": path} | environment,
            path=str(self.directory),
        )
        self.addCleanup(process.kill)
        return process

    async def assert_complains(self, process: Twistd, line: str) -> None:
        """Assert that the process ends with status 1 and one such line on standard error."""
        self.assertEqual(await process.ended(), 1, process.errors)
        self.assertRegex(process.errors, rf"\A[^\n]*{line}[^\n]*\n\Z")
