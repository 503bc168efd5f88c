"""Tests of wsx._twistd.cluster_options: a name in a cluster on the command line."""

from __future__ import annotations

import os
import sys
from typing import Any
from unittest import mock

import wsx
from wsx._console.main import CommandLine
from wsx.test.support import URL
from wsx.test.support.each import each
from wsx.test.support.extras import missing
from wsx.test.support.nats_servers import NatsServers, missing_server
from wsx.test.support.twistd import HANDLERS, Feed, OptionsCase, TwistdCase, parse
from wsx.test.support.twistd_cluster import CREDENTIALS, SEED, ClusterRunCase

skip = missing("nats", "msgpack", "nkeys")

HANDLER = ("--url", URL, "--handler", f"{HANDLERS}.Feed")
SERVER = ("--cluster", "nats://a.test")
NAMED = (*SERVER, "--name", "global:feed")
FORM = "expected nats://[user:password@]host[:port] or tls://..., got"
FILE_OF_SEED = "expected a file with the seed of an NKey, got"


class RefusedTests(OptionsCase):
    """Wrong options are refused in one line, and no secret is shown."""

    @each(
        [
            (["--name", "global:feed"], '--name: expected --cluster as well, got "global:feed"'),
            ([*SERVER], "--cluster: expected --name global:KEY as well, got only --cluster"),
            (
                [*SERVER, "--name", "feed"],
                '--cluster: expected --name global:KEY as well, got --name "feed"',
            ),
            (
                [*SERVER, "--name", "global:"],
                '--name: expected a key after "global:", got "global:"',
            ),
            (
                ["--name", "global:feed", "--cluster", "nats://me:s3cr3t@h:x"],
                f'--cluster: {FORM} "nats://...@h:..."',
            ),
            (
                ["--name", "global:feed", "--cluster", "ws://s3cr3t@h"],
                f'--cluster: {FORM} "ws://...@h"',
            ),
            (["--name", "global:feed", "--cluster", ""], f'--cluster: {FORM} ""'),
            (
                ["--name", "global:feed", "--cluster", "env:WSX_NO"],
                '--cluster: expected an environment variable that is set, got "env:WSX_NO"',
            ),
            (
                ["--name", "global:feed", "--cluster", "@none"],
                '--cluster: expected a file that can be read, got "@none": No such file',
            ),
            (
                ["--name", "global:feed", "--cluster", "@urls"],
                f'--cluster: {FORM} "@urls"',
            ),
            (
                [*NAMED, "--cluster-ttl", "x"],
                '--cluster-ttl: expected a number from 1 to 3600, got "x"',
            ),
            (
                [*NAMED, "--cluster-ttl", "0.5"],
                "--cluster-ttl: expected a number from 1 to 3600, got 0.5",
            ),
            (
                [*NAMED, "--cluster-replicas", "1.5"],
                "--cluster-replicas: expected a number from 1 to 5, got 1.5",
            ),
            (
                [*NAMED, "--cluster-bucket", "a b"],
                '--cluster-bucket: expected at most 64 letters, digits, _ and -, got "a b"',
            ),
            (
                [*NAMED, "--cluster-credentials", "none"],
                '--cluster-credentials: expected a credentials file of NATS, got "none": No such',
            ),
            (
                [*NAMED, "--cluster-nkey", "urls"],
                f'--cluster-nkey: {FILE_OF_SEED} "urls": the seed',
            ),
            (
                [*NAMED, "--on-partition", "wait"],
                '--on-partition: expected "stop" or "keep", got "wait"',
            ),
            (
                [*NAMED, "--standby", "--no-standby"],
                "--standby, --no-standby: expected at most one of them, got both",
            ),
            (
                [*SERVER, "--name", f"global:{'x' * 201}"],
                "--name: expected a str, number, bool or None, or a tuple of these, whose JSON",
            ),
        ]
    )
    def test_wrong(self, arguments: list[str], message: str) -> None:
        """The line names the option."""
        self.write("urls", "nats://a.test\nnats://s3cr3t@h:x\n")
        line = self.refusal(*HANDLER, *arguments)
        self.assertTrue(line.startswith(f"twistd wsx: {message}"), line)
        self.assertNotIn("s3cr3t", line)

    def test_without_cluster(self) -> None:
        """The other options need --cluster."""
        flags: list[list[str]] = [["--standby"], ["--no-standby"]]
        values = {
            "cluster-bucket": "a",
            "cluster-ttl": "5",
            "cluster-replicas": "1",
            "cluster-nkey": "a",
            "cluster-credentials": "a",
            "on-partition": "keep",
        }
        for given in [*flags, *([f"--{name}", value] for name, value in values.items())]:
            line = self.refusal(*HANDLER, *given)
            self.assertIn(f"{given[0]}: expected --cluster as well, got only {given[0]}", line)

    @each(
        [
            (
                ["--url", URL, *NAMED],
                "--cluster: expected --handler as well: the console has no name in a cluster",
            ),
            (
                ["--url", URL, "--name", "global:feed"],
                '--name: expected a name without "global:" for the console, got "global:feed"',
            ),
            (["--demo", *NAMED], "--cluster: expected no --demo: its client has no such name"),
            (["--demo", "--handler", f"{HANDLERS}.Feed", *NAMED], "--cluster: expected no --demo"),
            (["--demo-server", *SERVER], "no other option except --port, got --cluster"),
            (["--doctor", "--url", URL, *SERVER], "those of a connection, got --cluster"),
            (["--doctor", "--url", URL, "--standby"], "those of a connection, got --standby"),
            (["--config", "x", *SERVER], "no other option except --metrics, got --cluster"),
        ]
    )
    def test_other_modes(self, arguments: list[str], message: str) -> None:
        """A name in a cluster is for a client with a handler."""
        self.assertIn(message, self.refusal(*arguments))

    def test_console(self) -> None:
        """python -m wsx has no such option."""
        options = CommandLine()
        error = self.assertRaises(SystemExit, options.parseOptions, [URL, *NAMED])
        message = 'python -m wsx: --cluster: expected no such option ("twistd wsx" has it)'
        self.assertEqual(error.code, message)

    def test_missing_package(self) -> None:
        """Without the extra, the line says what to install."""
        for package, more in (("nats", []), ("nkeys", ["--cluster-nkey", "x"])):
            with mock.patch.dict(sys.modules, {package: None}):
                line = self.refusal(*HANDLER, *NAMED, *more)
            self.assertIn('--cluster: NATS needs more packages: pip install "txwsx[nats]" (', line)


class OptionsTests(OptionsCase):
    """What the options mean."""

    def parse(self, *arguments: str) -> wsx.Global:
        """Parse a good command line, and return the name of the client."""
        options = parse(*HANDLER, *arguments)
        name: wsx.Global = options["client_options"]["name"]
        self.assertIs(name.cluster, options["client_cluster"])
        return name

    def test_none(self) -> None:
        """Without --cluster there is no cluster, and any other name is as before."""
        for name in ("feed", "a:b", "Global:feed"):
            options = parse(*HANDLER, "--name", name)
            self.assertEqual(options["client_options"]["name"], name)
            self.assertIsNone(options["client_cluster"])

    def test_name(self) -> None:
        """The key follows the prefix. By default the client is a standby."""
        name = self.parse(*SERVER, "--name", "global:feed:7")
        self.assertEqual((name.key, name.standby, name.on_partition), ("feed:7", True, "stop"))
        name = self.parse(*NAMED, "--no-standby", "--on-partition", "keep")
        self.assertEqual((name.key, name.standby, name.on_partition), ("feed", False, "keep"))
        self.assertTrue(self.parse(*NAMED, "--standby").standby)

    def test_servers(self) -> None:
        """--cluster may be repeated, and a file or variable may have several URLs."""
        self.write("urls", "nats://b.test:1\n\n  nats://me:s3cr3t@c.test\n")
        with mock.patch.dict(os.environ, {"WSX_URL": "tls://d.test"}):
            name = self.parse(*NAMED, "--cluster", "@urls", "--cluster", "env:WSX_URL")
        self.assertEqual(
            repr(name.cluster),
            "<wsx.Cluster wsx at a.test:4222, b.test:1, c.test:4222, d.test:4222>",
        )


class RunTests(ClusterRunCase):
    """The service, with NATS in memory."""

    def run_named(self, *arguments: str) -> Any:
        """Start the service with a name in the cluster."""
        service = self.run_service(*NAMED, *arguments)
        self.step()
        return service

    def test_arguments(self) -> None:
        """The options are the arguments of the cluster; paths are absolute."""
        for name, content in (("seed", SEED), ("creds", CREDENTIALS)):
            with open(name, "w") as file:
                file.write(content)
            self.addCleanup(os.remove, name)
        service = self.run_named(
            *("--cluster-bucket", "b", "--cluster-ttl", "2.5", "--cluster-replicas", "3"),
            *("--cluster-nkey", "seed", "--cluster-credentials", "creds"),
        )
        self.addCleanup(service.stopService)
        self.assertEqual(self.clusters[0].url, ["nats://a.test"])
        self.assertEqual(
            self.clusters[0].options,
            {
                "bucket": "b",
                "ttl": 2.5,
                "replicas": 3,
                "nkey_file": os.path.abspath("seed"),
                "credentials_file": os.path.abspath("creds"),
            },
        )

    def test_order(self) -> None:
        """The cluster starts before the client, and stops once the client has ended."""
        service = self.run_named()
        self.assertEqual(self.calls, ["start"])
        self.assertTrue(self.is_held())
        self.serve()
        stopped = service.stopService()
        self.step()
        self.assertEqual(self.calls, ["start"])
        self.assertTrue(self.is_held())
        self.finish()
        self.successResultOf(stopped)
        self.assertFalse(self.is_held())
        self.assertEqual(self.calls, ["start", "stop"])
        self.assertEqual(Feed.calls[-1], ("terminate", wsx.Shutdown()))

    def test_standby(self) -> None:
        """A second process waits, and connects as soon as the first one has ended."""
        first = self.run_named()
        self.serve()
        second = self.run_named()
        self.pass_time(5)
        self.assert_running(attempts=1)
        stopped = first.stopService()
        self.step()
        self.finish()
        self.successResultOf(stopped)
        self.pass_time(1)
        self.assertEqual(self.server.attempts, 2)
        stopped = second.stopService()
        self.pass_time(1)
        self.successResultOf(stopped)

    def test_no_standby(self) -> None:
        """With --no-standby, a second process ends with exit status 1."""
        first = self.run_named()
        self.addCleanup(self.pass_time, 10)
        self.addCleanup(first.stopService)
        self.run_named("--no-standby")
        self.assertEqual((self.reactor.stops, len(self.exits)), (1, 1))
        self.assertEqual(self.server.attempts, 1)

    def test_refused_by_nats(self) -> None:
        """If NATS refuses the credentials, twistd ends with exit status 1."""
        self.refusal = wsx.ClusterError("NATS refuses the credentials")
        self.run_named()
        self.pass_time(100)
        self.assertEqual((self.reactor.stops, len(self.exits)), (1, 1))
        self.assertEqual(self.server.attempts, 0)


class ProcessTests(TwistdCase):
    """Two processes, and a real server of NATS."""

    skip = missing("nats", "msgpack") or missing_server()
    timeout = 90

    async def test_hand_over(self) -> None:
        """SIGTERM in the first process: exit status 0, and the second one connects."""
        nats = NatsServers(1)
        self.addCleanup(nats.stop)
        await nats.start()
        server = self.serve()
        arguments = (
            *("--url", server.url(), "--handler", "probe.Probe"),
            *("--name", "global:feed", "--cluster", nats.urls[0]),
        )
        first = self.twistd(*arguments, "--state", '"first"')
        await first.says("probe connected with first")
        second = self.twistd(*arguments, "--state", '"second"')
        await second.says('the name "feed" is held by process')
        third = self.twistd(*arguments, "--no-standby")
        self.assertEqual(await third.ended(), 1)
        first.transport.signalProcess("TERM")
        self.assertEqual(await first.ended(), 0)
        self.assertIn('released the name "feed"', first.output)
        await second.says("probe connected with second")
        second.transport.signalProcess("INT")
        self.assertEqual(await second.ended(), 0)
        self.assertEqual(first.errors + second.errors + third.errors, "")
        for process in (first, second, third):
            self.assertNotIn("Traceback", process.output)
