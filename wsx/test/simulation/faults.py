"""Plant faults in the library, one after another, and measure how soon the simulation finds them.

``python -m wsx.test.simulation.faults`` runs all of them, each in a fresh process, and prints a
table. A fault is a replacement in the source of one module of a temporary copy of the package.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Fault:
    """A fault to plant.

    Attributes:
        name: What is wrong.
        module: The module, such as ``"wsx._client.mailbox"``.
        old: The text to replace; it occurs once in the source.
        new: The replacement.
    """

    name: str
    module: str
    old: str
    new: str

    def source(self) -> str:
        """Return the changed source.

        Raises:
            ValueError: The text does not occur once.
        """
        path = ROOT.joinpath(*self.module.split(".")).with_suffix(".py")
        text = path.read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            raise ValueError(f"{self.name}: {self.old!r} occurs {text.count(self.old)} times")
        return text.replace(self.old, self.new)


FAULTS: tuple[Fault, ...] = (
    Fault(
        "every queued message that waits for a connection is lost",
        "wsx._client.mailbox",
        "        self.queue.extend(self._held)\n",
        "",
    ),
    Fault(
        "a message that waits for a connection is delivered again after the next one",
        "wsx._client.mailbox",
        "        self._held.clear()\n\n    def frames",
        "        del self._held[:-1]\n\n    def frames",
    ),
    Fault(
        "frames that are put back are queued as the last item",
        "wsx._client.mailbox",
        "        self._own_queue().appendleft(Frames(frames, has_controls))",
        "        self._own_queue().append(Frames(frames, has_controls))",
    ),
    Fault(
        "mailbox_limit allows one message too many",
        "wsx._client.mailbox",
        "if self.waiting >= self._limit:",
        "if self.waiting > self._limit:",
    ),
    Fault(
        "the keepalive is not started",
        "wsx._client.lifecycle",
        "        keepalive.start()\n        again",
        "        if not self.history.ever_opened:\n            keepalive.start()\n        again",
    ),
    Fault(
        "bytes that are received are not noticed by the keepalive",
        "wsx._client.lifecycle",
        "        keepalive.heard = True\n",
        "        keepalive.heard = bool(batch.frames)\n",
    ),
    Fault(
        "the attempt number is reset by a handshake",
        "wsx._client.history",
        "        self._healthy = False\n        outage",
        "        self._healthy = True\n        outage",
    ),
    Fault(
        "a frame may follow a close frame",
        "wsx._client.sender",
        'flushes buffered frames."""\n        self._connection = None\n',
        'flushes buffered frames."""\n',
    ),
    Fault(
        "terminate is skipped after a crash",
        "wsx._client.lifecycle",
        "        if self._initialised:\n            self._scheduler.call_soon(self._terminate)",
        "        if self._initialised and not isinstance(self._end_reason, ValueError):\n"
        "            self._scheduler.call_soon(self._terminate)",
    ),
    Fault(
        "stop sends close code 1000",
        "wsx._client.lifecycle",
        "    if isinstance(reason, Shutdown):\n        return GOING_AWAY\n",
        "",
    ),
    Fault(
        "a close timer is left over",
        "wsx._client.lifecycle",
        "        self._stop_close_timer()\n        self._handle(Event.LOST)",
        "        self._close_timer = None\n        self._handle(Event.LOST)",
    ),
    Fault(
        "send_frame does not fail when the connection ends",
        "wsx._client.sender",
        "        self._drain.fail(error)",
        "        pass",
    ),
    Fault(
        "the name is not released",
        "wsx._client.lifecycle",
        "        self._release_name()\n        self._delayed.cancel()",
        "        self._delayed.cancel()",
    ),
    Fault(
        "reading is resumed although frames are queued",
        "wsx._client.delivery",
        "return self._only_held or not self._mailbox.batches",
        "return self._only_held or self._mailbox.batches < 2",
    ),
    Fault(
        "the first part of a fragmented message is dropped if it is short",
        "wsx._wire.buffer",
        "        end = self._size + len(part)\n        if end <= len(self._data):",
        "        part = part if self._size or len(part) != 3 else b''\n"
        "        end = self._size + len(part)\n        if end <= len(self._data):",
    ),
    Fault(
        "jitter is larger than documented",
        "wsx.backoff",
        "low, high = delay * (1 - self.jitter), delay * (1 + self.jitter)",
        "low, high = delay * (1 - self.jitter), delay * (1.2 + self.jitter)",
    ),
    Fault(
        "Retry-After is ignored",
        "wsx.backoff",
        "return None if delay is None else max(delay, retry_after(status.reason))",
        "return delay",
    ),
    Fault(
        "the close code 1008 is retried",
        "wsx.backoff",
        "frozenset({1002, 1003, 1007, 1008, 1009, 1010})",
        "frozenset({1002, 1003, 1007, 1009, 1010})",
    ),
    Fault(
        "a callback is invoked while delivery is suspended",
        "wsx._client.delivery",
        "return self.busy or self._pending is not None or self.suspended or self._ended",
        "return self.busy or self._pending is not None or self._ended",
    ),
    Fault(
        "the state of a Reply is dropped",
        "wsx._client.delivery",
        "        if result is not None:\n            self.state = result.state\n"
        "        if isinstance(result, Reply):",
        "        if result is not None and type(result) is not Reply:\n"
        "            self.state = result.state\n        if isinstance(result, Reply):",
    ),
    Fault(
        "a pending callback is not cancelled",
        "wsx._client.delivery",
        "            self._scheduler.call_soon(pending.deferred.cancel)",
        "            pass",
    ),
    Fault(
        "SendTimeout fires late",
        "wsx._client.drain",
        "self._timer = self._scheduler.callLater(self._timeout, self._expire)",
        "self._timer = self._scheduler.callLater(self._timeout + 1.0, self._expire)",
    ),
    Fault(
        "telemetry is not told of replies",
        "wsx._client.reporter",
        "            for frame in frames:\n                self._notify(telemetry.FRAME_SENT",
        "            for frame in frames[1:]:\n                self._notify(telemetry.FRAME_SENT",
    ),
    Fault(
        "data_timeout is counted from the first message",
        "wsx._client.keepalive",
        "        if any(isinstance(frame, (Text, Binary)) for frame in frames):\n"
        "            self._note_data()",
        "        pass",
    ),
    Fault(
        "a message of exactly 65,536 bytes is sent with a wrong length",
        "wsx._wire.encoder",
        "    elif length < 65536:\n",
        "    elif length <= 65536:\n",
    ),
    Fault(
        "a temporary child is restarted",
        "wsx._supervision.child",
        'return self.spec.restart == "permanent"',
        'return self.spec.restart != "transient"',
    ),
    Fault(
        "children are stopped in the order of starting",
        "wsx._supervision.children",
        "for child in reversed(list(children)):",
        "for child in list(children):",
    ),
    Fault(
        "the restart intensity allows one restart too many",
        "wsx._supervision.intensity",
        "return self.total > self.max_restarts",
        "return self.total > self.max_restarts + 1",
    ),
    Fault(
        "rest_for_one restarts all children",
        "wsx._supervision.restarts",
        "        return self._children.starting_with(child)",
        "        return list(self._children)",
    ),
    Fault(
        "terminate_child does not mark the child as stopped",
        "wsx._supervision.child",
        "        self.should_run = self.in_group_restart = False\n        if self.is_starting:",
        "        self.in_group_restart = False\n        if self.is_starting:",
    ),
    Fault(
        "a restart does not wait for the Backoff of the child",
        "wsx._supervision.child",
        "return backoff.maximum if delay is None else max(0.0, delay)",
        "return 0.0",
    ),
    Fault(
        "a restart that fails is not counted",
        "wsx._supervision.restarts",
        "                    self.restart(child, error)\n",
        "                    self._schedule([child], {child}, child.restart_delay(1))\n",
    ),
    Fault(
        "a sibling that ends while its group is restarted is restarted twice",
        "wsx.supervisor",
        "if child.in_group_restart or self._is_ending or not self.running:",
        "if self._is_ending or not self.running:",
    ),
    Fault(
        "the time in which a restart waits counts towards max_seconds",
        "wsx._supervision.intensity",
        "            history.paused_at = now",
        "            pass",
    ),
    Fault(
        "a first start that fails leaves the other children running",
        "wsx.supervisor",
        "                    self._give_up(error)\n",
        "                    self._end(error)\n",
    ),
    Fault(
        "change_children stops children in the order of starting",
        "wsx.supervisor",
        "            for child in reversed(list(self._children)):\n"
        "                if child.spec not in specs",
        "            for child in list(self._children):\n"
        "                if child.spec not in specs",
    ),
    Fault(
        "a nested supervisor that gives up counts as a normal end",
        "wsx._supervision.child",
        "            return not is_normal(reason) and not self.gave_up",
        "            return not (is_normal(reason) or self.gave_up or "
        "hasattr(reason, 'max_restarts'))",
    ),
    Fault(
        "whenConnected waits for the next connection",
        "wsx.service",
        "        if self.client is not None:\n            self._watch(self.client)\n"
        "        return connected",
        "        return connected",
    ),
    Fault(
        "a linked client remains a child of its parent",
        "wsx.service",
        "        client.terminated().addCallback(link.leave_parent)\n",
        "",
    ),
    Fault(
        "the request lacks the extra headers",
        "wsx._wire.handshake",
        "[*headers, *conn.extra_headers]",
        "headers",
    ),
)


def plant(fault: Fault, folder: Path) -> None:
    """Copy the package to a folder, with the fault."""
    ignored = shutil.ignore_patterns("__pycache__", "test_*", "support", "*.so")
    shutil.copytree(ROOT / "wsx", folder / "wsx", ignore=ignored)
    folder.joinpath(*fault.module.split(".")).with_suffix(".py").write_text(fault.source())


def measure(fault: Fault, budget: float) -> tuple[float | None, str]:
    """Run fresh seeds with a fault, in another process.

    Returns:
        The CPU time in seconds until the fault was found, or None; and the end of the output.
    """
    with TemporaryDirectory() as folder:
        plant(fault, Path(folder))
        done = subprocess.run(
            [sys.executable, "-m", "wsx.test.simulation", "--seed", "1", "--budget", str(budget)],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            env=os.environ | {"PYTHONPATH": folder, "WSX_PURE": "1"},
        )
    found = re.search(r"found after ([0-9.]+) s of CPU time: (\w+)", done.stdout)
    if found is None:
        return None, (done.stdout + done.stderr)[-300:]
    return float(found[1]), found[2]


def main(arguments: list[str]) -> int:
    """Measure all faults, or those with these numbers."""
    parser = argparse.ArgumentParser(prog="python -m wsx.test.simulation.faults")
    parser.add_argument("numbers", nargs="*", type=int, help="only these faults")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds of CPU time for each")
    options = parser.parse_args(arguments)
    numbers = options.numbers or range(1, len(FAULTS) + 1)
    missed = 0
    for number in numbers:
        fault = FAULTS[number - 1]
        seconds, rule = measure(fault, options.budget)
        missed += seconds is None
        shown = "MISSED" if seconds is None else f"{seconds:5.1f} s"
        print(f"{number:2} {shown} {rule:18} {fault.name}", flush=True)
    print(f"{len(numbers) - missed} of {len(numbers)} faults were found")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
