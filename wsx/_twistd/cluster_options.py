"""The options of ``twistd wsx`` for a name in a cluster."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from twisted.python import usage

from wsx._text import expected, quote
from wsx._twistd.cluster_checks import (
    check_credentials_file,
    check_nkey_file,
    check_packages,
    check_server_url,
)
from wsx._twistd.command_line import check_option
from wsx._twistd.invalid import InvalidValue
from wsx._twistd.sources import Value, read_lines
from wsx.cluster import Cluster
from wsx.registry import Global, check_name

__all__ = ["CLUSTER_OPTIONS", "ClusterOptions"]

_PREFIX: Final = "global:"
_NAME: Final = f"--name {_PREFIX}KEY"
# The options that need --cluster. Those for the constructor of Cluster, with its arguments:
_ARGUMENTS: Final = {
    "cluster-bucket": "bucket",
    "cluster-ttl": "ttl",
    "cluster-replicas": "replicas",
}
_FILES: Final = {
    "cluster-nkey": ("nkey_file", check_nkey_file),
    "cluster-credentials": ("credentials_file", check_credentials_file),
}
_OTHERS: Final = (*_ARGUMENTS, *_FILES, "standby", "no-standby", "on-partition")
CLUSTER_OPTIONS: Final = ("cluster", *_OTHERS)


class ClusterOptions(usage.Options):
    """The options for a name in a cluster. :class:`wsx.tap.Options` has the others."""

    def opt_cluster(self, url: str) -> None:
        """Connect to this NATS server for --name global:KEY; or @FILE or env:NAME. Repeatable."""
        self["cluster"].append(url)

    def read_client_name(self) -> str | Global | None:
        """Return the name of the client, and make the cluster if it is a name in one.

        Raises:
            usage.UsageError: An option of the cluster is wrong.
        """
        self["client_cluster"] = None
        name = self["name"]
        is_global = name is not None and name.startswith(_PREFIX)
        if is_global or self["cluster"]:
            self._refuse_modes()
        if not self["cluster"]:
            self._refuse_without_cluster(is_global)
            return name  # type: ignore[no-any-return]
        if not is_global:
            found = "only --cluster" if name is None else f"--name {quote(name)}"
            raise usage.UsageError(f"{expected('--cluster', f'{_NAME} as well')}, got {found}")
        self["client_cluster"] = self._make_cluster()
        return self._make_name(name)

    def _refuse_modes(self) -> None:
        subject = "--cluster" if self["cluster"] else "--name"
        if self["demo"]:
            raise usage.UsageError(f"{expected(subject, 'no --demo')}: its client has no such name")
        if self["handler"]:
            return
        if self["cluster"]:
            text = expected(subject, "--handler as well")
            raise usage.UsageError(f"{text}: the console has no name in a cluster")
        error = InvalidValue(f'a name without "{_PREFIX}" for the console', self["name"])
        raise usage.UsageError(error.about(subject))

    def _refuse_without_cluster(self, is_global: bool) -> None:
        for option in _OTHERS:
            if self[option] not in (None, 0):
                text = expected(f"--{option}", "--cluster as well")
                raise usage.UsageError(f"{text}, got only --{option}")
        if is_global:
            error = InvalidValue("--cluster as well", self["name"])
            raise usage.UsageError(error.about("--name"))

    def _make_cluster(self) -> Cluster:
        from twisted.internet import reactor

        try:
            check_packages(*(["nkeys"] if any(self[option] for option in _FILES) else []))
        except ValueError as error:
            raise usage.UsageError(f"--cluster: {error}") from error
        urls = check_option("cluster", _read_urls, self["cluster"])
        options = {
            argument: self[option]
            for option, argument in _ARGUMENTS.items()
            if self[option] is not None
        }
        for option, (argument, check) in _FILES.items():
            if self[option] is not None:
                check_option(option, check, self[option])
                # twistd may change the current directory.
                options[argument] = os.path.abspath(self[option])
        try:
            return Cluster(urls, reactor=reactor, **options)
        except ValueError as error:  # It begins with the name of the argument.
            raise usage.UsageError(f"--cluster-{error}") from error

    def _make_name(self, text: str) -> Global:
        if self["standby"] and self["no-standby"]:
            problem = expected("--standby, --no-standby", "at most one of them")
            raise usage.UsageError(f"{problem}, got both")
        key = text.removeprefix(_PREFIX)
        if not key:
            raise usage.UsageError(InvalidValue(f'a key after "{_PREFIX}"', text).about("--name"))
        standby = not self["no-standby"]
        name = Global(key, self["client_cluster"], standby, self["on-partition"] or "stop")
        try:
            check_name(name)
        except ValueError as error:
            raise usage.UsageError(f"--{error}") from error
        return name


def _read_urls(given: Sequence[str]) -> list[str]:
    """Return the URLs in the values of ``--cluster``."""
    return [_read_url(value) for text in given for value in read_lines(text)]


def _read_url(value: Value) -> str:
    try:
        check_server_url(value.text)
    except InvalidValue as error:
        if value.source is None:
            raise
        raise error.shown_as(value.source) from None
    return value.text
