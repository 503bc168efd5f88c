"""Tests of the simulation itself."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx.test.simulation import command_line, faults
from wsx.test.simulation.policy import policy_bounds
from wsx.test.simulation.rules import Rule
from wsx.test.simulation.shrink import candidates, shrink
from wsx.test.simulation.wire import Deflater, StrictDecoder, server_frame
from wsx.test.simulation.world import FAULTS, Config, Result, Violation, simulate

QUICK = Config(seed=5, clients=3, hours=0.2)


class SimulationCase(SynchronousTestCase):
    """Simulations log the failures that their handlers raise on purpose."""

    def run_config(self, config: Config) -> Result:
        """Run a simulation, and forget the failures that it has logged."""
        result = simulate(config)
        self.flushLoggedErrors()
        return result


class RunTests(SimulationCase):
    """Runs of the simulation."""

    def test_passes(self) -> None:
        """A short run finds no violation, and something happens."""
        result = self.run_config(QUICK)
        self.assertIsNone(result.violation, str(result.violation))
        self.assertGreater(result.events, 300)
        self.assertAlmostEqual(result.client_hours, 0.6)

    def test_same_digest(self) -> None:
        """The same seed leads to the same events; another seed leads to others."""
        first, second = self.run_config(QUICK), self.run_config(QUICK)
        other = self.run_config(Config(seed=6, clients=3, hours=0.2))
        self.assertEqual(first.digest, second.digest)
        self.assertNotEqual(first.digest, other.digest)

    def test_same_digest_in_another_process(self) -> None:
        """The order of hashes has no influence."""
        config = Config(seed=7, clients=2, hours=0.1)
        script = (
            "from wsx.test.simulation.world import Config, simulate\n"
            "print(simulate(Config(seed=7, clients=2, hours=0.1)).digest)"
        )
        root = str(Path(wsx.__file__).resolve().parent.parent)
        path = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"PYTHONHASHSEED": "12345", "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        self.assertEqual(done.stdout.strip(), self.run_config(config).digest)


class ShrinkTests(SynchronousTestCase):
    """The reduction of a failing simulation."""

    def test_candidates(self) -> None:
        """Each candidate is smaller in one respect."""
        config = Config(seed=1, clients=4, hours=1.0, faults=("api", "sys"))
        found = [(c.clients, c.hours, c.faults) for c in candidates(config)]
        self.assertIn((4, 1.0, ("sys",)), found)
        self.assertIn((1, 1.0, ("api", "sys")), found)
        self.assertIn((4, 0.5, ("api", "sys")), found)
        self.assertNotIn((4, 1.0, ("api", "sys")), found)

    def test_shrinks(self) -> None:
        """What is not needed for the failure is removed."""

        def run(config: Config) -> Result:
            fails = "sys" in config.faults and config.clients >= 2 and config.hours >= 0.2
            violation = Violation(Rule.ORDER, "1.1", "lost", 600.0) if fails else None
            return Result(config, "", violation, 0, 0.0, 0.0)

        smallest = shrink(Config(seed=1, clients=9, hours=2.0, faults=FAULTS), run).config
        self.assertEqual(smallest.faults, ("sys",))
        self.assertEqual(smallest.clients, 2)
        self.assertLess(smallest.hours, 0.51)

    def test_command(self) -> None:
        """The command replays the simulation with a trace."""
        command = Config(seed=3, clients=2, hours=0.5, faults=("sys",)).command()
        expected = "--seed 3 --clients 2 --hours 0.5 --faults sys --trace"
        self.assertTrue(command.endswith(expected), command)

    def test_shrinks_a_real_failure(self) -> None:
        """A fault in the library is found, and the failing simulation is reduced."""
        self.patch(wsx.Backoff, "__call__", lambda policy, number: 4 * policy.maximum + 1)
        config = Config(seed=1, clients=3, hours=0.5)
        found = simulate(config).violation
        assert found is not None
        result = shrink(config)
        self.flushLoggedErrors()
        smallest = result.config
        assert result.violation is not None
        self.assertIs(result.violation.rule, found.rule)
        self.assertLess(
            (smallest.clients, smallest.hours, len(smallest.faults)), (3, 0.5, len(FAULTS))
        )
        again = simulate(smallest)
        self.flushLoggedErrors()
        self.assertEqual(again.digest, result.digest)


class FaultTests(SynchronousTestCase):
    """Faults that are planted in the source of the library."""

    def test_finds_a_planted_fault(self) -> None:
        """A simulation of a copy of the library with a fault fails, and shows how to replay it."""
        fault = next(fault for fault in faults.FAULTS if fault.name == "stop sends close code 1000")
        seconds, rule = faults.measure(fault, 30.0)
        self.assertIsNotNone(seconds, rule)
        self.assertEqual(rule, "CLOSE_CODE")

    def test_each_fault_applies(self) -> None:
        """The text that each fault replaces occurs once in the source."""
        for fault in faults.FAULTS:
            self.assertIn(fault.new, fault.source())


class BudgetTests(SynchronousTestCase):
    """Runs of fresh seeds, as in ``.ci/run``."""

    def run_budget(self, result: Result) -> tuple[int, str]:
        """Run a budget of one simulation, which has this result."""
        self.patch(command_line, "simulate", lambda config: replace(result, config=config))
        self.patch(command_line, "time", mock.Mock(process_time=itertools.count().__next__))
        options = command_line.parse(["--budget", "2", "--seed", "7"])
        with contextlib.redirect_stdout(io.StringIO()) as output:
            status = command_line.run_budget(options)
        return status, output.getvalue()

    def test_passes(self) -> None:
        """Each seed and the totals are printed."""
        status, output = self.run_budget(Result(QUICK, "abc", None, 1, 0.1, 0.6))
        self.assertEqual(status, 0)
        self.assertIn("seed 7: ", output)
        self.assertIn("1 seeds passed", output)

    def test_fails(self) -> None:
        """A failure prints the command that replays it, and the exit status is 1."""
        violation = Violation(Rule.ORDER, "1.1", "lost", 600.0)
        status, output = self.run_budget(Result(QUICK, "abc", violation, 1, 0.1, 0.6))
        self.assertEqual(status, 1)
        self.assertIn("replay: python -m wsx.test.simulation --seed 7 ", output)


class DecoderTests(SynchronousTestCase):
    """The server's decoder is strict."""

    def problem(self, data: bytes) -> str | None:
        return StrictDecoder(None).feed(data)[1]

    def test_good_frames(self) -> None:
        """Masked frames are decoded, also in parts."""
        decoder = StrictDecoder(None)
        data = b"\x81\x82\x01\x02\x03\x04" + bytes([ord("h") ^ 1, ord("i") ^ 2])
        self.assertEqual(decoder.feed(data[:5]), ([], None))
        frames, problem = decoder.feed(data[5:])
        self.assertIsNone(problem)
        self.assertEqual([(f.opcode, f.payload) for f in frames], [(1, "hi")])

    def test_violations(self) -> None:
        """What RFC 6455 forbids a client to send is reported."""
        mask = b"\0\0\0\0"
        self.assertIn("not masked", str(self.problem(server_frame(1, b"x"))))
        self.assertIn("opcode", str(self.problem(b"\x83\x80" + mask)))
        self.assertIn("reserved", str(self.problem(b"\xc1\x80" + mask)))
        self.assertIn("fragment", str(self.problem(b"\x01\x80" + mask)))
        self.assertIn("UTF-8", str(self.problem(b"\x81\x81" + mask + b"\xff")))
        self.assertIn("1005", str(self.problem(b"\x88\x82" + mask + b"\x03\xed")))
        self.assertIn("half", str(self.problem(b"\x88\x81" + mask + b"\x03")))
        self.assertIn("after a close", str(self.problem((b"\x88\x80" + mask) * 2)))
        self.assertIn("shortest", str(self.problem(b"\x82\xfe\x00\x05" + mask)))
        self.assertIn("too long", str(self.problem(b"\x89\xfe\x00\x7e" + mask + bytes(126))))

    def test_compression(self) -> None:
        """A compressed message is inflated; a compressed control frame is an error."""
        ours, theirs = Deflater(True, True, 15), Deflater(True, True, 15)
        payload = theirs.compress(b"hello")
        data = bytes((0xC2, 0x80 | len(payload))) + b"\0\0\0\0" + payload
        frames, problem = StrictDecoder(ours).feed(data)
        self.assertIsNone(problem)
        self.assertEqual(frames[0].payload, b"hello")
        self.assertIn("reserved", str(StrictDecoder(ours).feed(b"\xc9\x80\0\0\0\0")[1]))


class PolicyTests(SynchronousTestCase):
    """The independent reconnect rules."""

    def test_bounds(self) -> None:
        """The delay grows, up to the maximum; Retry-After is a lower bound."""
        backoff = wsx.Backoff(initial=1.0, maximum=10.0, factor=2.0, jitter=0.5)
        bounds = [policy_bounds(backoff, ("ping", 1.0), n, 0.0, 0.0) for n in (1, 3, 9)]
        self.assertEqual(bounds, [(True, 0.5, 1.5), (True, 2.0, 6.0), (True, 5.0, 10.0)])
        refused = policy_bounds(backoff, ("request", 503, 20, b""), 1, 0.0, 0.0)
        self.assertEqual(refused, (True, 20.0, 20.0))
        dated = policy_bounds(backoff, ("request", 503, 130.0, b""), 1, 0.0, 100.0)
        self.assertEqual(dated, (True, 30.0, 30.0))

    def test_not_retried(self) -> None:
        """What is not retried, and what has failed too often."""
        backoff = wsx.Backoff(max_attempts=2)
        self.assertFalse(policy_bounds(backoff, ("request", 401, None, b""), 1, 0.0, 0.0)[0])
        self.assertFalse(policy_bounds(backoff, ("remote", 1008, ""), 1, 0.0, 0.0)[0])
        self.assertFalse(policy_bounds(backoff, ("local", 1000, ""), 1, 0.0, 0.0)[0])
        self.assertFalse(policy_bounds(backoff, ("ping", 1.0), 3, 0.0, 0.0)[0])
