"""Tests of wsx._doctor.explanations: one explanation for the phase that failed."""

from __future__ import annotations

from wsx._doctor.examination import Interrupted
from wsx._doctor.explanations import explain
from wsx._doctor.phases import PHASES
from wsx.errors import ConnError
from wsx.test.support.doctor import DoctorCase, make_findings


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
