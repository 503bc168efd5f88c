"""Tests of wsx._twistd.option_texts: the options, their help texts and defaults."""

from __future__ import annotations

import inspect

from twisted.trial.unittest import SynchronousTestCase

from wsx._twistd.option_texts import DEFAULTS, FLAGS, PARAMETERS
from wsx.cluster import Cluster
from wsx.conn import Conn
from wsx.tap import Options


class OptionTextsTests(SynchronousTestCase):
    """The tables."""

    def test_all_are_options(self) -> None:
        """twistd wsx has all of them, with a text of one or more sentences each."""
        known = set(Options().longOpt)
        for suffix, texts in (("", FLAGS), ("=", PARAMETERS)):
            for name, text in texts.items():
                self.assertIn(f"{name}{suffix}", known)
                self.assertRegex(text, r"^[A-Z].*\.$")

    def test_defaults(self) -> None:
        """A text states the default that is used, and that of the Conn or Cluster it is for."""
        conn = inspect.signature(Conn).parameters
        cluster = inspect.signature(Cluster).parameters
        stated = DEFAULTS | {
            "ping-interval": conn["ping_interval"].default,
            "ping-timeout": conn["ping_timeout"].default,
            "connect-timeout": conn["socket_connect_timeout"].default,
            "cluster-bucket": cluster["bucket"].default,
            "cluster-ttl": cluster["ttl"].default,
            "cluster-replicas": cluster["replicas"].default,
        }
        for name, value in stated.items():
            if value != []:
                shown = f"{value:g}" if isinstance(value, float) else value
                self.assertIn(f"Default: {shown}.", PARAMETERS[name])
