"""Tests of wsx._cluster.nats_link: TLS, NKeys and credentials files, with real servers."""

from __future__ import annotations

import json
import os
import ssl
from base64 import urlsafe_b64encode
from importlib import import_module
from pathlib import Path
from typing import Any

from wsx._cluster.servers import Login
from wsx.test.support.extras import missing, trustme
from wsx.test.support.nats import NatsCase
from wsx.test.support.nats_servers import HOST, NatsServers


class TLSTests(NatsCase):
    """Connections with TLS."""

    skip = NatsCase.skip or missing("trustme")

    def setUp(self) -> None:
        super().setUp()
        ca = trustme.CA()
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        ca.issue_cert(HOST, "localhost").private_key_and_cert_chain_pem.write_to_path(
            str(self.folder / "server.pem")
        )
        ca.issue_cert("other.test").private_key_and_cert_chain_pem.write_to_path(
            str(self.folder / "other.pem")
        )
        self.context = ssl.create_default_context()
        ca.configure_trust(self.context)

    async def serve_tls(self, more: str = "", file: str = "server.pem") -> NatsServers:
        """Start a server that requires TLS."""
        path = json.dumps(str((self.folder / file).absolute()))
        return await self.serve(config=f"tls {{ cert_file: {path}, key_file: {path} {more} }}")

    async def refusal(self, url: str, **options: Any) -> str:
        """Return why start() fails."""
        error = await self.cluster_error(self.link(url, **options).start())
        return error.reason.replace(url.rpartition("/")[2], "HOST")

    async def test_context(self) -> None:
        """A context with the certificate of the CA; the name is that in the URL."""
        (server,) = (await self.serve_tls()).servers
        for url in (server.url, server.url.replace(HOST, "localhost")):
            link = await self.connected(url, tls=self.context)
            self.assertIsNone(await link.read("feed"))
        await self.connected(server.url.replace("nats:", "tls:"), tls=self.context)

    async def test_default_context(self) -> None:
        """Without a context, the server needs a certificate of a known CA."""
        (server,) = (await self.serve_tls()).servers
        for options in ({}, {"tls": True}):
            reason = await self.refusal(server.url, **options)
            self.assertIn("HOST: the certificate is not valid (", reason)

    async def test_other_name(self) -> None:
        """A certificate with another name is refused."""
        (server,) = (await self.serve_tls(file="other.pem")).servers
        reason = await self.refusal(server.url, tls=self.context)
        self.assertIn("IP address mismatch", reason)

    async def test_no_tls(self) -> None:
        """With ``tls``, or a URL with tls://, nothing is sent to a server without TLS."""
        (server,) = (await self.serve()).servers
        for url, options in (
            (server.url, {"tls": True}),
            (server.url, {"tls": self.context}),
            (server.url.replace("nats:", "tls:"), {}),
        ):
            reason = await self.refusal(url, **options)
            self.assertEqual(reason, "the NATS server does not offer TLS")

    async def test_optional(self) -> None:
        """If the server leaves it to the client, ``tls`` decides."""
        config = ", handshake_first: false }\nallow_non_tls: true\n#"
        (server,) = (await self.serve_tls(config)).servers
        for options, is_secure in (({"tls": self.context}, True), ({}, False)):
            link = await self.connected(server.url, **options)
            (connection,) = server.monitor("connz")["connections"]
            self.assertEqual("tls_version" in connection, is_secure)
            await link.stop()

    async def test_handshake_first(self) -> None:
        """A server that expects the handshake first."""
        (server,) = (await self.serve_tls(", handshake_first: true")).servers
        await self.connected(server.url, tls=self.context, tls_first=True)

    async def test_stop_while_paused(self) -> None:
        """stop() does not wait for the end of TLS."""
        (server,) = (await self.serve_tls()).servers
        link = await self.connected(server.url, tls=self.context, ttl=60.0)
        server.pause()
        await link.stop()


class KeyTests(NatsCase):
    """NKeys and credentials files."""

    def write(self, text: str) -> str:
        """Return the path of a file with this text."""
        path = Path(self.mktemp())
        path.write_text(text)
        return str(path)

    async def test_nkey(self) -> None:
        """A file with the seed of an NKey."""
        user = new_key("USER")
        config = f"authorization {{ users: [ {{ nkey: {user.public_key.decode()} }} ] }}"
        servers = await self.serve(config=config)
        path = self.write(user.seed.decode() + "\n")
        link = await self.connected(servers.urls, login=Login(nkey_file=path))
        self.assertIsNone(await link.read("feed"))

    async def test_other_nkey(self) -> None:
        """A key that the server does not know, and a file without a key."""
        public_key = new_key("USER").public_key.decode()
        config = f"authorization {{ users: [ {{ nkey: {public_key} }} ] }}"
        servers = await self.serve(config=config)
        seed = new_key("USER").seed.decode()
        for text, expected in (
            (seed, "refuses the credentials (Authorization Violation)"),
            (seed[:-9], "the NKey seed is not valid"),
            ("opensesame", "the NKey seed is not valid"),
        ):
            link = self.link(servers.urls, login=Login(nkey_file=self.write(text)))
            error = await self.cluster_error(link.start())
            self.assertIn(expected, error.reason)
            self.assertNotIn(text, repr(error))

    async def test_credentials_file(self) -> None:
        """A credentials file as nsc writes it."""
        kinds = ("OPERATOR", "ACCOUNT", "ACCOUNT", "USER")
        operator, system, account, user = map(new_key, kinds)
        limits = {**dict.fromkeys(LIMITS, -1), "wildcards": True}
        accounts = ", ".join(
            f"{one.public_key.decode()}: {token(operator, one, 'account', **more)}"
            for one, more in ((system, {}), (account, {"limits": limits}))
        )
        config = (
            f"operator: {token(operator, operator, 'operator')}\n"
            f"system_account: {system.public_key.decode()}\n"
            f"resolver: MEMORY\nresolver_preload: {{ {accounts} }}"
        )
        servers = await self.serve(config=config)
        user_token = token(account, user, "user", subs=-1, data=-1, payload=-1)
        path = self.write(
            f"-----BEGIN NATS USER JWT-----\n{user_token}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n"
            "------END USER NKEY SEED------\n"
        )
        link = await self.connected(servers.urls, login=Login(credentials_file=path))
        self.assertIsNone(await link.read("feed"))


LIMITS = (
    *("subs", "data", "payload", "imports", "exports", "conn", "leaf"),
    *("mem_storage", "disk_storage", "streams", "consumer"),
)


def new_key(kind: str) -> Any:
    """Return a new key pair of a kind."""
    nkeys: Any = import_module("nkeys")  # It has no types.

    seed = nkeys.encode_seed(os.urandom(32), getattr(nkeys, f"PREFIX_BYTE_{kind}"))
    return nkeys.from_seed(bytearray(seed))


def token(issuer: Any, subject: Any, kind: str, **more: Any) -> str:
    """Return a JWT of NATS (version 2)."""

    def encode(content: bytes) -> str:
        return urlsafe_b64encode(content).decode().rstrip("=")

    claims = {
        "jti": "a",
        "iat": 1_700_000_000,
        "iss": issuer.public_key.decode(),
        "sub": subject.public_key.decode(),
        "nats": {"type": kind, "version": 2, **more},
    }
    header = {"typ": "JWT", "alg": "ed25519-nkey"}
    text = ".".join(encode(json.dumps(part).encode()) for part in (header, claims))
    return f"{text}.{encode(issuer.sign(text.encode()))}"
