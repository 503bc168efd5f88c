"""Tests of the benchmarks: options, revisions, pairs and tables; nothing is measured here."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from shutil import which
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

try:
    from benchmarks.options import parse_options, select_peers, select_rows
    from benchmarks.pairs import estimate, measure_pairs
    from benchmarks.peers import PEERS
    from benchmarks.report import pair_table
    from benchmarks.revisions import RevisionError, describe_checkout, find_revision
    from benchmarks.rows import ROWS
    from benchmarks.work import Void
except ModuleNotFoundError as error:
    if error.name != "benchmarks":
        raise
    skip = "the benchmarks are only in a checkout of wsx"


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder and return its output."""
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def refusal(*arguments: str) -> str:
    """Return the last line of what the command line says about wrong arguments."""
    with redirect_stderr(StringIO()) as errors:
        try:
            parse_options(arguments)
        except SystemExit:
            return errors.getvalue().splitlines()[-1]
    raise AssertionError(f"{arguments} were accepted")


class FakeBench:
    """A version whose runs take the given seconds, one after another; None makes a run void."""

    def __init__(self, name: str, seconds: Sequence[float | None], log: list[str]) -> None:
        self._name = name
        self._seconds = iter(seconds)
        self._log = log

    def run(self, peer: Any, work: Any) -> dict[str, float]:
        """Note the run in the log and return its numbers."""
        self._log.append(self._name)
        seconds = next(self._seconds)
        if seconds is None:
            raise Void("messages: expected 2, got 1")
        return {"seconds": seconds, "cpu_seconds": seconds / 2}


class GitCase(SynchronousTestCase):
    """A test with a git checkout of one commit."""

    def setUp(self) -> None:
        if which("git") is None:
            raise SkipTest("git is not installed")
        self.folder = Path(self.mktemp()).absolute()
        (self.folder / "wsx").mkdir(parents=True)
        (self.folder / "wsx" / "a.py").write_text("1")
        git(self.folder, "init", "-q")
        git(self.folder, "add", ".")
        git(self.folder, "commit", "-q", "-m", "First")
        self.commit = git(self.folder, "rev-parse", "HEAD")


class RevisionTests(GitCase):
    """Which commit a name stands for."""

    def test_names(self) -> None:
        """A branch, a tag and an abbreviated hash stand for their commit."""
        git(self.folder, "tag", "v1")
        for name in ("HEAD", "v1", self.commit[:8]):
            found = find_revision(name, self.folder)
            self.assertEqual((found.commit, found.checkout), (self.commit, self.folder))
            self.assertTrue(found.title.endswith(" First"), found.title)

    def test_unknown(self) -> None:
        """The error for an unknown name says which name, and where it was looked for."""
        for name in ("nope", "", "--all", "HEAD:wsx", "HEAD~1"):
            error = self.assertRaises(RevisionError, find_revision, name, self.folder)
            expected = f'"{name}" is not a commit, branch or tag of {self.folder}'
            self.assertIn(expected, str(error))

    def test_no_checkout(self) -> None:
        """The error in a folder without git says so."""
        error = self.assertRaises(RevisionError, find_revision, "HEAD", Path("/nowhere"))
        self.assertIn("/nowhere is not a git checkout", str(error))

    def test_changes(self) -> None:
        """The description of the checkout mentions changes to wsx that are not committed."""
        self.assertTrue(describe_checkout(self.folder).endswith(" First"))
        (self.folder / "notes").write_text("not a part of wsx")
        self.assertTrue(describe_checkout(self.folder).endswith(" First"))
        (self.folder / "wsx" / "a.py").write_text("2")
        self.assertTrue(describe_checkout(self.folder).endswith(" First, with uncommitted changes"))


class OptionTests(GitCase):
    """The command line."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(os, "environ", os.environ | {"WSX_CHECKOUT": str(self.folder)})

    def test_against(self) -> None:
        """Compare wsx on epoll and on uvloop with a commit, in the selected rows."""
        options = parse_options(["--against", "HEAD", "--row", "echo", "--quick"])
        self.assertEqual(options.against.commit, self.commit)
        self.assertEqual([peer.name for peer in select_peers(options)], ["wsx", "wsx-uvloop"])
        self.assertEqual([row.name for row in select_rows(options)], ["echo"])

    def test_against_peer(self) -> None:
        """A peer of wsx can be selected."""
        options = parse_options(["--against", "HEAD", "--peer", "wsx-pure"])
        self.assertEqual([peer.name for peer in select_peers(options)], ["wsx-pure"])

    def test_refusals(self) -> None:
        """Wrong arguments are refused, with the reason."""
        for arguments, reason in (
            (("--against", "nope"), '--against: "nope" is not a commit, branch or tag of'),
            (("--against", "HEAD", "--curve", "sizes"), "--against: only rows can be compared"),
            (("--against", "HEAD", "--peer", "picows"), "only peers of wsx can be compared"),
            (("--rounds", "0"), "--rounds: expected a number above 0, got 0"),
        ):
            self.assertIn(reason, refusal(*arguments))


class EstimateTests(SynchronousTestCase):
    """The ratios of pairs."""

    def test_ratios(self) -> None:
        """Compare the medians, and the values of each pair."""
        found = estimate([(10.0, 20.0), (20.0, 30.0), (40.0, 40.0)], lower_is_better=False)
        self.assertEqual((found.old, found.new, found.ratio), (20.0, 30.0, 1.5))
        self.assertEqual((found.paired, found.quartiles), (1.5, (1.25, 1.75)))

    def test_lower_is_better(self) -> None:
        """Ratios are above 1 if the new version is better, also where lower values are better."""
        found = estimate([(10.0, 5.0)], lower_is_better=True)
        self.assertEqual((found.ratio, found.paired), (2.0, 2.0))

    def test_interval(self) -> None:
        """The interval is that of the sign test for the median, from tables."""
        for count, left_out in ((1, 0), (6, 0), (8, 0), (9, 1), (10, 1), (12, 2), (20, 5)):
            pairs = [(1.0, 1.0 + number) for number in range(count)]
            found = estimate(pairs, lower_is_better=False)
            self.assertEqual(found.interval, (1.0 + left_out, float(count - left_out)))

    def test_verdicts(self) -> None:
        """A difference is shown only by an interval without 1, of six pairs or more."""
        for ratios, verdict in (
            ([1.1] * 6, "better"),
            ([0.9] * 6, "WORSE"),
            ([1.1] * 5 + [0.99], "no difference shown"),
            ([1.1] * 9 + [0.99], "better"),
            ([1.1] * 5, "too few pairs"),
        ):
            found = estimate([(1.0, ratio) for ratio in ratios], lower_is_better=False)
            self.assertEqual(found.verdict, verdict)


class PairTests(SynchronousTestCase):
    """Measurements in pairs."""

    def setUp(self) -> None:
        self.log: list[str] = []

    def measure(
        self, old: Sequence[float | None], new: Sequence[float | None], peer: str = "wsx"
    ) -> Any:
        """Measure as many pairs of the row "echo" as ``old`` has entries."""
        versions: Any = (FakeBench("old", old, self.log), FakeBench("new", new, self.log))
        with redirect_stderr(StringIO()):
            [result] = measure_pairs(versions, ROWS["echo"], [PEERS[peer]], len(old))
        return result

    def test_order(self) -> None:
        """The order of the versions is reversed in every other pair."""
        self.measure([2.0] * 4, [1.0] * 4)
        self.assertEqual(self.log, ["old", "new", "new", "old"] * 2)

    def test_pairs(self) -> None:
        """A pair consists of the two runs next to each other, old first."""
        result = self.measure([2.0, 4.0], [1.0, 3.0])
        seconds = [(old["seconds"], new["seconds"]) for old, new in result.pairs]
        self.assertEqual(seconds, [(2.0, 1.0), (4.0, 3.0)])
        self.assertEqual(result.value().quartiles, result.cpu_cost().quartiles)

    def test_void(self) -> None:
        """After a void run, the peer is not measured again, and the table says why."""
        result = self.measure([2.0, 2.0, 2.0], [1.0, None, 1.0])
        self.assertEqual(self.log, ["old", "new", "new"])
        expected = "void: this checkout: messages: expected 2, got 1"
        self.assertEqual(result.error, expected)
        self.assertIn(expected, pair_table(ROWS["echo"], [result]))
        self.assertEqual(result.as_json()["error"], expected)

    def test_unsupported(self) -> None:
        """A peer that does not support the row is not run."""
        result = self.measure([2.0], [1.0], "wsx-supervised")
        self.assertIn("not supported", result.error)
        self.assertEqual(self.log, [])

    def test_table(self) -> None:
        """The table shows medians, ratios, their spread, and the CPU time for each round trip."""
        result = self.measure([2.0] * 6, [1.0] * 6)
        lines = pair_table(ROWS["echo"], [result]).splitlines()
        value = "wsx 10 k 20 k 2.000 2.000 2.000-2.000 2.000-2.000 better"
        cost = "CPU time 50 µs 25 µs 2.000 2.000 2.000-2.000 2.000-2.000 better"
        self.assertEqual([" ".join(line.split()) for line in lines[-2:]], [value, cost])
