"""Tests of wsx._twistd.cluster_table: clusters in a configuration file."""

from __future__ import annotations

import os
import signal
import ssl
import sys
from pathlib import Path
from typing import Any
from unittest import mock

from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

import wsx
from wsx._twistd import cluster_table
from wsx._twistd.cluster_table import MAIN
from wsx.test.support.each import each
from wsx.test.support.extras import missing
from wsx.test.support.nats_servers import NatsServers, missing_server
from wsx.test.support.sockets import SocketCase
from wsx.test.support.twistd import TwistdCase
from wsx.test.support.twistd_cluster import CREDENTIALS, SEED, ClusterConfigCase
from wsx.test.support.twistd_config import SECRET, ConfigCase, table
from wsx.test.support.twistd_runner import SHUTDOWN

skip = missing("nats", "msgpack", "nkeys")

NAMED = table(**{"global": "true"})
FORM = "expected nats://[user:password@]host[:port] or tls://..., got"


def cluster(name: str = "cluster", **keys: str) -> str:
    """Return the table of a cluster; "" leaves a key out."""
    lines = [f"{key} = {value}" for key, value in ({"url": '"nats://a.test"'} | keys).items()]
    return "\n".join([f"[{name}]", *[line for line in lines if not line.endswith("= ")], ""])


class RefusedTests(ConfigCase):
    """Wrong tables: one line with the dotted key."""

    def setUp(self) -> None:
        super().setUp()
        self.write("seed", SEED)

    @each(
        [
            ("url", "", "expected the URL of a NATS server, got nothing"),
            ("url", "5", f"{FORM} 5"),
            ("url", "[]", "expected the URL of a NATS server, or an array of URLs, got list"),
            ("url", '["nats://b.test", "http://c.test"]', f'{FORM} "http://c.test"'),
            ("url", f'"nats://me:{SECRET}@h:x"', f'{FORM} "nats://...@h:..."'),
            ("url", f'"nats://{SECRET}@h:x"', f'{FORM} "nats://...@h:..."'),
            ("bucket", '"a b"', 'expected at most 64 letters, digits, _ and -, got "a b"'),
            ("bucket", "5", "expected at most 64 letters, digits, _ and -, got 5"),
            ("ttl", "0.5", "expected a number from 1 to 3600, got 0.5"),
            ("ttl", '"10"', 'expected a number from 1 to 3600, got "10"'),
            ("replicas", "9", "expected a number from 1 to 5, got 9"),
            ("replicas", "true", "expected a number from 1 to 5, got True"),
            ("user", "5", "expected a string that is not empty"),
            ("password", "5", "expected a string that is not empty"),
            ("token", '""', "expected a string that is not empty"),
            ("nkey_file", "5", "expected a path, got 5"),
            ("nkey_file", '"none"', "expected a file with the seed of an NKey, got"),
            ("credentials_file", '"seed"', "expected a credentials file of NATS, got"),
            ("tls", '"yes"', 'expected true, false or a table, got "yes"'),
        ]
    )
    def test_value(self, key: str, value: str, message: str) -> None:
        """A wrong value is named."""
        line = self.complaint(cluster(**{key: value}) + NAMED)
        self.assertTrue(line.startswith(f"cluster.{key}: {message}"), line)
        self.assertNotIn(SECRET, line)
        line = self.complaint(cluster("clusters.east", **{key: value}) + NAMED)
        self.assertTrue(line.startswith(f"clusters.east.{key}: {message}"), line)

    def test_each_type(self) -> None:
        """No key accepts a value of a wrong type."""

        def writer(key: str) -> Any:
            return lambda value: cluster(**{key: value}) + NAMED

        for keys, off in (
            (("ttl", "replicas", "nkey_file", "credentials_file"), ""),
            (("bucket", "user", "password", "token"), "string"),
            (("tls",), "true, false, table"),
        ):
            self.refuse_each([(f"cluster.{key}", writer(key)) for key in keys], off)

    @each(
        [
            ("cluster = 5\n", "cluster: expected a table, got int"),
            ("clusters = 5\n", "clusters: expected tables [clusters.NAME], got int"),
            ("[clusters]\neast = 5\n", "clusters.east: expected a table, got int"),
            (cluster('clusters.""'), 'clusters."": expected a name that is not empty'),
            (cluster(urls="5"), "cluster.urls: unknown key (did you mean url?)"),
            (
                cluster(tls="{ cacert = 5 }"),
                "cluster.tls.cacert: unknown key (did you",
            ),
            (cluster(tls="{ cacerts = 5 }"), "cluster.tls.cacerts: expected a path, got 5"),
            (
                cluster(tls='{ cacerts = "seed" }'),
                "cluster.tls.cacerts: expected a PEM file of certificates, got",
            ),
            (
                cluster(tls='{ certificate = "seed" }'),
                "cluster.tls.certificate: expected a PEM file of certificates, got",
            ),
            (
                cluster(tls='{ private_key = "seed" }'),
                "cluster.tls.private_key: expected a certificate as well, got",
            ),
        ]
    )
    def test_table(self, text: str, message: str) -> None:
        """Wrong tables and unknown keys are named."""
        line = self.complaint(text + NAMED)
        self.assertTrue(line.startswith(message), line)

    def test_unused(self) -> None:
        """A cluster without a client is a mistake: its client would connect on each host."""
        message = "cluster: expected a client with global, got none"
        self.assertEqual(self.complaint(cluster() + table()), message)
        line = self.complaint(cluster() + cluster("clusters.east") + NAMED)
        message = 'clusters.east: expected a client with global and cluster = "east", got none'
        self.assertEqual(line, message)

    def test_missing_package(self) -> None:
        """Without the extra, the line says what to install."""
        with mock.patch.dict(sys.modules, {"nats": None}):
            line = self.complaint(cluster() + NAMED)
        self.assertIn('cluster: NATS needs more packages: pip install "txwsx[nats]" (', line)
        with mock.patch.dict(sys.modules, {"nats": None}):
            self.read(table())


class ReadTests(ConfigCase):
    """Correct tables."""

    def arguments(self, **keys: str) -> dict[str, Any]:
        """Return the arguments with which the cluster of a table is made."""
        with mock.patch.object(cluster_table, "Cluster", side_effect=wsx.Cluster) as made:
            self.read(cluster(**keys) + NAMED)
        made.assert_called_once()
        return {"url": made.call_args.args[0], **made.call_args.kwargs}

    def test_arguments(self) -> None:
        """The keys are the arguments; paths are relative to the folder of the file."""
        self.write("seed", SEED)
        self.write("creds", CREDENTIALS)
        found = self.arguments(
            url='["nats://a.test", "tls://b.test"]',
            bucket='"names"',
            ttl="2.5",
            replicas="3",
            user='"me"',
            password='"p"',
            token='"t"',
            nkey_file='"seed"',
            credentials_file='"creds"',
            tls="true",
        )
        del found["reactor"]
        expected = {
            "url": ["nats://a.test", "tls://b.test"],
            "bucket": "names",
            "ttl": 2.5,
            "replicas": 3,
            "user": "me",
            "password": "p",
            "token": "t",
            "nkey_file": os.path.abspath("seed"),
            "credentials_file": os.path.abspath("creds"),
            "tls": True,
        }
        self.assertEqual(found, expected)

    def test_tls(self) -> None:
        """A table for TLS becomes a context that trusts only these certificates."""
        self.write("ca.pem", SocketCase.ca.cert_pem.bytes().decode())
        self.write("own.pem", SocketCase.leaf.private_key_and_cert_chain_pem.bytes().decode())
        context = self.arguments(tls='{ cacerts = "ca.pem", certificate = "own.pem" }')["tls"]
        self.assertIsInstance(context, ssl.SSLContext)
        self.assertEqual(len(context.get_ca_certs()), 1)
        self.assertTrue(context.check_hostname)
        self.write("cert.pem", SocketCase.leaf.cert_chain_pems[0].bytes().decode())
        self.write("key.pem", SocketCase.leaf.private_key_pem.bytes().decode())
        context = self.arguments(tls='{ certificate = "cert.pem", private_key = "key.pem" }')["tls"]
        self.assertIsInstance(context, ssl.SSLContext)

    def test_pass_phrase(self) -> None:
        """A key with a pass phrase is refused, and nothing asks for it on the terminal."""
        key = load_pem_private_key(SocketCase.leaf.private_key_pem.bytes(), None)
        protection = BestAvailableEncryption(SECRET.encode())
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)
        certificate = SocketCase.leaf.cert_chain_pems[0].bytes()
        self.write("own.pem", (certificate + secret).decode())
        line = self.complaint(cluster(tls='{ certificate = "own.pem" }') + NAMED)
        self.assertTrue(line.startswith("cluster.tls.certificate: expected a PEM file"), line)
        self.assertIn("pass phrase", line)

    def test_secrets(self) -> None:
        """A password or token is a secret; so is a token in the URL, which has no password."""
        for keys, has_secret in (
            ({}, False),
            ({"user": '"me"'}, False),
            ({"password": '"p"'}, True),
            ({"token": '"t"'}, True),
            ({"url": '["nats://a.test", "nats://t@b.test"]'}, True),
        ):
            tree = self.read(cluster(**keys) + NAMED)
            self.assertEqual(tree.has_secret, has_secret, keys)
            self.assertNotIn("a.test", repr(tree.clusters[MAIN]))


class RunTests(ClusterConfigCase):
    """The service, with NATS in memory."""

    EAST = '[clusters.east]\nurl = "nats://a.test"'
    WEST = '[clusters.west]\nurl = "nats://b.test"'

    def in_cluster(self, name: str, **keys: str) -> dict[str, str]:
        """Return the keys of a client with a name in a cluster."""
        return {"global": "true", "cluster": f'"{name}"', **keys}

    def test_several_clusters(self) -> None:
        """Each client has its name in its cluster; all names are free after the end."""
        self.run_config(
            f"{self.EAST}\n{self.WEST}",
            a=self.in_cluster("east"),
            b=self.in_cluster("west"),
            c=self.in_cluster("west", **{"global": '["feed", 7]'}),
            d={},
        )
        self.step()
        self.assertEqual(self.attempts("a", "b", "c", "d"), [1, 1, 1, 1])
        self.assertEqual([self.is_held("a"), self.is_held("b", "nats://b.test")], [True, True])
        self.assertFalse(self.is_held("b"))
        self.assertEqual(self.calls, ["start", "start"])
        for name in "abcd":
            self.open_client(name)
        stopped = self.service.stopService()
        for name in "dcba":
            self.assertEqual(self.calls, ["start", "start"])
            self.step()
            self.assertEqual(self.last(name).received(), [SHUTDOWN])
            self.part(name)
        self.step()
        self.successResultOf(stopped)
        self.assertEqual(self.calls, ["start", "start", "stop", "stop"])
        self.assertEqual([self.is_held("a"), self.is_held("b", "nats://b.test")], [False, False])

    def test_unchanged(self) -> None:
        """After a reload, unchanged clients and clusters go on; a new client uses the cluster."""
        self.run_open(self.EAST, a=self.in_cluster("east"))
        peer = self.last("a")
        self.reread(self.EAST, a=self.in_cluster("east"), b=self.in_cluster("east"))
        self.step()
        self.assertIs(self.last("a"), peer)
        self.assertEqual(peer.received(), [])
        self.assertEqual(self.attempts("a", "b"), [1, 1])
        self.assertEqual(self.calls, ["start"])

    def test_changed_cluster(self) -> None:
        """A changed cluster: its clients are replaced, those of other clusters are not."""
        both = {"a": self.in_cluster("east"), "b": self.in_cluster("west"), "c": {}}
        self.run_open(f"{self.EAST}\n{self.WEST}", **both)
        self.lines()
        self.reread(f"{self.EAST}\nttl = 20\n{self.WEST}", **both)
        self.assertEqual(self.calls, ["start"] * 3)
        self.part("a")
        self.step()
        self.assertEqual(self.calls, ["start"] * 3 + ["stop"])
        self.assertEqual(self.attempts("a", "b", "c"), [2, 1, 1])
        self.assertIsNone(self.clusters[0].parent)
        self.assertTrue(self.is_held("a"))
        lines = "\n".join(self.lines())
        self.assertIn("0 started, 0 stopped, 1 replaced, 2 unchanged", lines)

    def test_removed_cluster(self) -> None:
        """A client that loses its cluster is replaced, and the cluster stops after it."""
        self.run_open(self.EAST, a=self.in_cluster("east"))
        self.reread(a={})
        self.assertEqual(self.calls, ["start"])
        self.part("a")
        self.step()
        self.assertEqual(self.calls, ["start", "stop"])
        self.assertFalse(self.is_held("a"))
        self.assertEqual(self.attempts("a"), [2])
        self.reread(self.EAST, a=self.in_cluster("east"))
        self.part("a")
        self.step()
        self.assertEqual(self.calls, ["start", "stop", "start"])
        self.assertTrue(self.is_held("a"))

    def test_wrong_reload(self) -> None:
        """After a mistake in the table of a cluster, all goes on as before."""
        self.run_open(self.EAST, a=self.in_cluster("east"))
        self.lines()
        self.reread(f"{self.EAST}\nbuckets = 5", a=self.in_cluster("east"))
        self.assert_one_line("clusters.east.buckets: unknown key", "no client was changed")
        self.assertEqual((self.calls, self.attempts("a")), (["start"], [1]))

    def test_exposed(self) -> None:
        """A password of a cluster in a file that others can read is logged once."""
        self.run_config(f'{self.EAST}\npassword = "{SECRET}"', a=self.in_cluster("east"))
        lines = [line for line in self.lines() if "contains a password or token" in line]
        self.assertEqual(len(lines), 1)

    def test_no_standby(self) -> None:
        """With standby = false, the start fails if another process has the name."""
        keys = self.in_cluster("east", standby="false")
        self.run_open(self.EAST, a=keys)
        other = self.service
        self.run_config(self.EAST, a=keys)
        self.assertEqual((self.reactor.stops, len(self.exits)), (1, 1))
        self.assertEqual(self.attempts("a"), [1])
        self.service = other
        self.addCleanup(self.end)


class ProcessTests(TwistdCase):
    """Real processes, and a real server of NATS."""

    skip = missing("nats", "msgpack") or missing_server()
    timeout = 90

    async def test_reload(self) -> None:
        """After a change of the bucket, the client has its name there."""
        nats = NatsServers(1)
        self.addCleanup(nats.stop)
        await nats.start()
        server = self.serve()
        path = Path(self.directory) / "clients.toml"

        def write(bucket: str) -> None:
            path.write_text(
                f'[cluster]\nurl = "{nats.urls[0]}"\nbucket = "{bucket}"\n'
                f'[clients.feed]\nurl = "{server.url()}"\nhandler = "probe.Probe"\nglobal = true\n'
            )

        write("one")
        process = self.twistd("--config", "clients.toml")
        await process.says("probe connected", 1)
        self.assertIn('cluster one: this process has the name "feed"', process.output)
        write("two")
        process.transport.signalProcess(signal.Signals.SIGHUP.name.removeprefix("SIG"))
        await process.says("probe connected", 2)
        for line in ("cluster one: released the name", "cluster two: this process has the name"):
            self.assertIn(line, process.output)
        process.transport.signalProcess("TERM")
        self.assertEqual(await process.ended(), 0)
        self.assertIn("cluster two: released the name", process.output)
        self.assertEqual(process.errors, "")
        self.assertNotIn("Traceback", process.output)
