"""Tests of wsx._doctor.explanations: one explanation for the phase that failed."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

import wsx
from wsx._doctor.examination import Interrupted
from wsx._doctor.explanations import explain
from wsx._doctor.phases import PHASES
from wsx.errors import ConnError
from wsx.test.support.doctor import DoctorCase, make_findings

ROOT = Path(wsx.__file__).parents[1]


class ExplainTests(DoctorCase):
    """The dispatch to the modules for each phase."""

    def test_nothing_failed(self) -> None:
        """Nothing is explained if all phases have passed."""
        self.assertIsNone(self.succeed()["problem"])

    def test_every_phase(self) -> None:
        """Every phase explains an error that it does not know, in one line with a suggestion."""
        for name in PHASES:
            findings = make_findings(proxy="http://proxy.test:3128")
            findings.failed_in, findings.reason = name, ConnError(OSError("odd\nerror"))
            problem = explain(findings)
            assert problem is not None
            self.assertTrue(problem.code and problem.suggestion, name)
            self.assertTrue(problem.explanation.isprintable(), name)

    def test_interrupted(self) -> None:
        """An interruption is not a failure of the phase."""
        for name in PHASES:
            findings = make_findings()
            findings.failed_in, findings.reason = name, Interrupted()
            problem = explain(findings)
            assert problem is not None
            self.assertEqual(problem.code, "interrupted")


class DocumentationTests(SynchronousTestCase):
    """The page for users."""

    def test_codes(self) -> None:
        """The tables of the page have the codes of all problems and warnings, and no others."""
        path = ROOT / "docs" / "how-to" / "debugging.md"
        if not path.exists():
            raise SkipTest("wsx is installed without its documentation")
        page = path.read_text(encoding="utf-8")
        tables = page.partition("## All problems")[2].partition("## Trace")[0]
        cells = re.findall(r"^\|[^|]*\| (`[^|]*`) \|", tables, re.MULTILINE)
        documented = {code for cell in cells for code in re.findall("[a-z_]+", cell)} - {"code"}
        self.assertEqual(documented, codes())


def codes() -> set[str]:
    """Return the codes in the sources: strings that name a problem, alone or in a tuple."""
    found = set()
    for path in (ROOT / "wsx" / "_doctor").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Problem":
                found |= words(node.args[0])
            elif isinstance(node, (ast.Tuple, ast.Assign)) and path.stem in _IN_TUPLES:
                first = node.elts[0] if isinstance(node, ast.Tuple) and node.elts else node
                found |= words(first if isinstance(node, ast.Tuple) else node.value)
    return found


_IN_TUPLES = {"explain_opening", "explain_connecting"}


def words(node: ast.AST) -> set[str]:
    """Return a code if the node is one, or a choice between several."""
    if isinstance(node, ast.IfExp):
        return words(node.body) | words(node.orelse)
    if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
        return set()
    return set(re.findall("^[a-z_]+$", node.value))
