"""Tests of wsx._twistd.cluster_checks: what is checked before a cluster is started."""

from __future__ import annotations

import sys
from typing import Any
from unittest import mock

from wsx._twistd import cluster_checks
from wsx._twistd.invalid import InvalidValue
from wsx.test.support.extras import require
from wsx.test.support.twistd import OptionsCase
from wsx.test.support.twistd_cluster import CREDENTIALS, SEED


class ClusterChecksTests(OptionsCase):
    """What the command line and the configuration file check."""

    def about(self, check: Any, *arguments: Any) -> str:
        """Return the message of a check that fails."""
        return self.assertRaises(InvalidValue, check, *arguments).about("value")

    def test_url(self) -> None:
        """URLs of NATS servers pass. Of others, neither password nor token is shown."""
        for url in ("nats://a.test", "tls://me:x@[::1]:1", "a.test:4222"):
            cluster_checks.check_server_url(url)
        form = "value: expected nats://[user:password@]host[:port] or tls://..., got "
        for url in ("ws://s3cr3t@h", "nats://me:s3cr3t@h:x", "s3cr3t@", "", "nats://"):
            message = self.about(cluster_checks.check_server_url, url)
            self.assertTrue(message.startswith(form), message)
            self.assertNotIn("s3cr3t", message)
        self.assertEqual(self.about(cluster_checks.check_server_url, 5), f"{form}5")

    def test_nkey_file(self) -> None:
        """A file with a valid seed passes."""
        require("nats", "nkeys")
        cluster_checks.check_nkey_file(self.write("good.nk", f"{SEED}\n"))
        prefix = "value: expected a file with the seed of an NKey, got "
        for path, reason in (
            ("none.nk", ": No such file or directory"),
            (".", ": Is a directory"),
            ("\0", ""),
            (self.write("bad.nk", f"{SEED[:-1]}\n"), ": the seed is not valid"),
            (self.write("text.nk", "é"), ""),
        ):
            message = self.about(cluster_checks.check_nkey_file, path)
            self.assertTrue(message.startswith(prefix), message)
            self.assertTrue(message.endswith(f'"{reason}'), message)
            self.assertNotIn(SEED[:10], message)

    def test_credentials_file(self) -> None:
        """A file with a JWT and a seed passes."""
        cluster_checks.check_credentials_file(self.write("good.creds", CREDENTIALS))
        prefix = "value: expected a credentials file of NATS, got "
        for path, reason in (
            ("none.creds", ": No such file or directory"),
            (self.write("bad.creds", SEED), ""),
        ):
            message = self.about(cluster_checks.check_credentials_file, path)
            self.assertEqual(message, f'{prefix}"{path}"{reason}')

    def test_packages(self) -> None:
        """The message names the extra, and what is missing."""
        require("nats", "msgpack", "nkeys")
        cluster_checks.check_packages("nkeys")
        for package, more in (("nats", ()), ("msgpack", ()), ("nkeys", ("nkeys",))):
            with mock.patch.dict(sys.modules, {package: None}):
                error = self.assertRaises(ValueError, cluster_checks.check_packages, *more)
            self.assertIn('pip install "txwsx[nats]" (', str(error))
            self.assertIn(package, str(error).rpartition("(")[2])
