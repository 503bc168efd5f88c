"""Tests of ``wsx._transport.tls`` against ``openssl s_server``, on loopback sockets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from OpenSSL.SSL import OPENSSL_VERSION_NUMBER, Error
from twisted.internet.error import ConnectionLost

import wsx
from wsx import ConnectionDropped, ConnError, Text, is_retryable
from wsx.test.support import text
from wsx.test.support.each import each
from wsx.test.support.handlers import Probe
from wsx.test.support.openssl import (
    OPENSSL,
    Cut,
    Disturbance,
    Flip,
    Identity,
    OpenSSLServer,
    Relay,
    Replace,
    Watch,
    sign_with_sha1,
)
from wsx.test.support.sockets import HOST, SocketCase, global_reactor

NAME = "example.test"
OLD = ("-cipher", "ALL:@SECLEVEL=0")  # Have s_server offer what OpenSSL considers insecure.
TLS_1_3 = {"minimum_version": "TLSv1.3"}
ROOT = Identity(is_ca=True, common_name="root")
OTHER_ROOT = Identity(is_ca=True, common_name="other root")
MIDDLE = Identity(issuer=ROOT, is_ca=True, common_name="intermediate")
LEAF = Identity([NAME], ROOT)

ANOTHER_HOST = r'the server\'s certificate is valid for .*, not for "{}"'


def rsa_1024() -> Any:
    """Return an RSA key of a length that OpenSSL refuses."""
    return rsa.generate_private_key(65537, 1024)


class OpenSSLCase(SocketCase):
    """Base class for tests against ``openssl s_server``."""

    if OPENSSL is None:
        skip = "the program openssl is not installed"

    def setUp(self) -> None:
        self.folder = self.mktemp()
        os.mkdir(self.folder)
        self.probe = Probe()

    def write(self, *pems: bytes) -> str:
        """Write PEM texts to a file and return its path."""
        path = Path(self.folder, f"{len(os.listdir(self.folder))}.pem")
        path.write_bytes(b"".join(pems))
        return str(path)

    async def run_server(self, identity: Identity, *arguments: str) -> OpenSSLServer:
        """Start a server, which is killed at the end of the test."""
        server = OpenSSLServer()
        assert OPENSSL is not None
        certificate, key = self.write(identity.pem), self.write(identity.key_pem)
        command = [OPENSSL, "s_server", "-accept", f"{HOST}:0", "-cert", certificate, "-key", key]
        global_reactor().spawnProcess(server, OPENSSL, [*command, *arguments], dict(os.environ))
        self.addCleanup(server.kill)
        return await server.listening

    def relay(self, server: OpenSSLServer, disturbance: Disturbance, is_proxy: bool = False) -> int:
        """Listen with a relay to a server and return its port."""
        return self.listen(lambda: Relay(server.port, disturbance, is_proxy))

    def connect(self, port: int, host: str = NAME, **options: Any) -> Any:
        """Start a client for a host name whose server is on this port."""
        usual = {"cacerts": ROOT.pem, "endpoint": f"tcp:{HOST}:{port}", "close_timeout": 0.01}
        return self.start(f"wss://{host}/", self.probe, **usual | options)

    async def assert_opens(
        self, identity: Identity, *arguments: str, host: str = NAME, **options: Any
    ) -> OpenSSLServer:
        """A client opens a connection and receives a message; return the server."""
        server = await self.run_server(identity, *arguments)
        client = await self.connect(server.port, host, **options)
        self.assertEqual(client.status, "open")
        await self.assert_receives(server)
        return server

    async def assert_receives(self, server: OpenSSLServer) -> None:
        """The connection is open and receives a message."""
        server.transport.write(text("hello"))
        self.assertEqual(await self.probe.frames.get(), Text("hello"))

    async def assert_fails(
        self, identity: Identity, *arguments: str, host: str = NAME, **options: Any
    ) -> ConnError:
        """A client does not open a connection, and sends no request; return its ConnError."""
        server = await self.run_server(identity, *arguments)
        error = await self.error_of(server.port, host, **options)
        self.assertNotIn(b"GET /", server.output)
        return error

    async def error_of(self, port: int, host: str = NAME, **options: Any) -> ConnError:
        """Return the ConnError of a client that does not open a connection."""
        try:
            await self.connect(port, host, **options)
        except ConnError as error:
            self.assertTrue(str(error).isprintable())
            self.assertNotIn("[(", str(error), "OpenSSL's list of errors is not readable")
            return error
        raise self.failureException("the connection was opened")


class CertificateTests(OpenSSLCase):
    """Verification of the server's certificate."""

    @each(
        [
            ("name", [NAME], NAME),
            ("name_among_others", ["other.test", NAME], NAME),
            ("name_in_upper_case", [NAME.upper()], NAME),
            ("address", [HOST], HOST),
            ("ipv6_address", ["::1"], "[::1]"),
            ("wildcard", ["*.example.test"], "a.example.test"),
            ("trailing_dot_in_the_url", [NAME], f"{NAME}."),
            ("international_name", ["xn--bcher-kva.example"], "b\xfccher.example"),
        ]
    )
    async def test_match(self, label: str, names: list[str], host: str) -> None:
        """[S18] A certificate for the URL's host is accepted."""
        await self.assert_opens(Identity(names, ROOT), host=host)

    @each(
        [
            ("other_name", ["other.test"], NAME),
            ("longer_name", [f"{NAME}.evil.test"], NAME),
            ("shorter_name", ["test"], NAME),
            ("other_address", ["127.0.0.2"], HOST),
            ("other_ipv6_address", ["::2"], "[::1]"),
            ("address_instead_of_a_name", [HOST], NAME),
            ("name_instead_of_an_address", ["localhost"], HOST),
            ("wildcard_for_two_labels", ["*.example.test"], "a.b.example.test"),
            ("wildcard_for_no_label", ["*.example.test"], NAME),
            ("wildcard_for_a_top_level_domain", ["*.test"], NAME),
            ("wildcard_for_everything", ["*"], NAME),
            ("wildcard_for_part_of_a_label", ["ex*.test"], NAME),
            ("wildcard_in_the_middle", ["a.*.test"], "a.example.test"),
            ("wildcard_for_an_address", ["*.0.0.1"], HOST),
            ("common_name_only", None, NAME),
            ("no_names", [], NAME),
        ]
    )
    async def test_mismatch(self, label: str, names: list[str] | None, host: str) -> None:
        """[S18] A certificate for another host is refused, and not tried again."""
        error = await self.assert_fails(Identity(names, ROOT, common_name=NAME), host=host)
        self.assertRegex(str(error), ANOTHER_HOST.format(host.strip("[]")))
        self.assertFalse(is_retryable(error))

    @each(
        [
            ("expired", lambda: Identity([NAME], ROOT, start=-9, stop=-1), "has expired"),
            ("expired_today", lambda: Identity([NAME], ROOT, stop=-0.001), "has expired"),
            ("not_yet_valid", lambda: Identity([NAME], ROOT, start=0.5), "is not valid yet"),
            (
                "unknown_authority",
                lambda: Identity([NAME], OTHER_ROOT),
                "is signed by an authority",
            ),
            ("self_signed", lambda: Identity([NAME], common_name=NAME), "is self-signed"),
            ("missing_intermediate", lambda: Identity([NAME], MIDDLE), "is signed by an authority"),
        ]
    )
    async def test_flaw(self, label: str, issue: Any, problem: str) -> None:
        """[S18] The error names each flaw and is not retried."""
        error = await self.assert_fails(issue())
        self.assertIn(f"the server's certificate {problem}", str(error))
        self.assertIsInstance(error.original, Error)
        self.assertFalse(is_retryable(error))

    async def test_self_signed_and_trusted(self) -> None:
        """[S18] A self-signed certificate is accepted if it is among ``cacerts``."""
        identity = Identity([NAME], common_name=NAME)
        await self.assert_opens(identity, cacerts=identity.pem)

    async def test_insecure(self) -> None:
        """[S18] With ``insecure=True`` any certificate is accepted."""
        identity = Identity(["other.test"], OTHER_ROOT, start=-9, stop=-1)
        await self.assert_opens(identity, insecure=True)

    async def test_platform_trust(self) -> None:
        """[S18] Without ``cacerts`` the certificates of the platform are trusted, and no others."""
        error = await self.assert_fails(LEAF, cacerts=None)
        self.assertIn("not trusted", str(error))


class ChainTests(OpenSSLCase):
    """Certificates with an intermediate authority."""

    async def test_complete(self) -> None:
        """[S18] A complete chain is accepted."""
        await self.assert_opens(Identity([NAME], MIDDLE), "-cert_chain", self.write(MIDDLE.pem))

    async def test_intermediate_in_cacerts(self) -> None:
        """[S18] A missing intermediate certificate may be among ``cacerts``."""
        await self.assert_opens(Identity([NAME], MIDDLE), cacerts=[ROOT.pem, MIDDLE.pem])

    async def test_only_the_intermediate_is_trusted(self) -> None:
        """[S18] ``cacerts`` needs the root; the text says so."""
        error = await self.assert_fails(Identity([NAME], MIDDLE), cacerts=MIDDLE.pem)
        self.assertIn("add its root certificate to cacerts", str(error))
        self.assertFalse(is_retryable(error))

    @each(
        [
            (
                "expired_intermediate",
                lambda: Identity(None, ROOT, is_ca=True, start=-9, stop=-1, common_name="old"),
                "has expired",
            ),
            (
                "issuer_is_not_an_authority",
                lambda: Identity(["other.test"], ROOT, common_name="other.test"),
                "not an authority",
            ),
            (
                "intermediate_of_another_root",
                lambda: Identity(None, OTHER_ROOT, is_ca=True, common_name="foreign"),
                "not trusted",
            ),
        ]
    )
    async def test_flaw(self, label: str, issue: Any, problem: str) -> None:
        """[S18] A flaw of the intermediate certificate is refused."""
        issuer = issue()
        chain = self.write(issuer.pem)
        error = await self.assert_fails(Identity([NAME], issuer), "-cert_chain", chain)
        self.assertIn(problem, str(error))
        self.assertFalse(is_retryable(error))


class WeakTests(OpenSSLCase):
    """Keys and signatures that the client's OpenSSL considers too weak.

    The security level of OpenSSL decides. wsx does not change it: it is 2 by default since OpenSSL
    3.2, which requires 112 bits: RSA keys of 2048 bits, and signatures with SHA-224 or better.
    """

    if OPENSSL_VERSION_NUMBER < 0x30200000:
        skip = "the default security level of this OpenSSL is below 2"

    async def test_rsa_1024(self) -> None:
        """An RSA key of 1024 bits is refused."""
        error = await self.assert_fails(Identity([NAME], ROOT, key=rsa_1024()), *OLD)
        self.assertIn("the key of the server's certificate is too short", str(error))
        self.assertFalse(is_retryable(error))

    async def test_rsa_1024_of_the_authority(self) -> None:
        """An RSA key of 1024 bits of the authority is refused."""
        root = Identity(is_ca=True, key=rsa_1024(), common_name="weak root")
        error = await self.assert_fails(Identity([NAME], root), *OLD, cacerts=root.pem)
        self.assertIn("the key of an authority is too short", str(error))
        self.assertFalse(is_retryable(error))

    async def test_sha_1(self) -> None:
        """A signature with SHA-1 is refused."""
        identity = Identity([NAME], ROOT)
        identity.pem = sign_with_sha1(identity, NAME, self.folder)
        error = await self.assert_fails(identity, *OLD)
        self.assertIn("a signature that is too weak", str(error))
        self.assertFalse(is_retryable(error))


class VersionTests(OpenSSLCase):
    """TLS versions and cipher suites."""

    @each([("1_0", "-tls1"), ("1_1", "-tls1_1")])
    async def test_old(self, label: str, argument: str) -> None:
        """A server that offers only TLS 1.0 or 1.1 is refused."""
        error = await self.assert_fails(LEAF, argument, *OLD)
        self.assertRegex(str(error), "protocol version|unsupported protocol")

    @each([("1_2", "-tls1_2"), ("1_3", "-tls1_3")])
    async def test_current(self, label: str, argument: str) -> None:
        """A server may offer only TLS 1.2, or only TLS 1.3."""
        await self.assert_opens(LEAF, argument)

    async def test_minimum_version_is_met(self) -> None:
        """``minimum_version`` TLSv1.3 accepts TLS 1.3."""
        await self.assert_opens(LEAF, "-tls1_3", ssl_options=TLS_1_3)

    async def test_minimum_version_is_not_met(self) -> None:
        """``minimum_version`` TLSv1.3 refuses TLS 1.2."""
        error = await self.assert_fails(LEAF, "-tls1_2", ssl_options=TLS_1_3)
        self.assertRegex(str(error), "protocol version|unsupported protocol")

    @each(["NULL", "ADH", "AES128-SHA"])
    async def test_weak_ciphers(self, ciphers: str) -> None:
        """Cipher suites without encryption, authentication or forward secrecy are not offered."""
        error = await self.assert_fails(LEAF, "-tls1_2", "-cipher", f"{ciphers}:@SECLEVEL=0")
        self.assertIn("handshake failure", str(error))


class ClientCertificateTests(OpenSSLCase):
    """A server that requires a client certificate."""

    CLIENT = Identity(["client.test"], ROOT, common_name="the client")

    def required(self) -> list[str]:
        """Return the arguments for a server that requires a certificate of the root."""
        return ["-Verify", "2", "-verify_return_error", "-CAfile", self.write(ROOT.pem)]

    @each(["-tls1_2", "-tls1_3"])
    async def test_given(self, version: str) -> None:
        """The certificate is sent; it may be one PEM text with its key, or two files."""
        pem, key = self.CLIENT.pem, self.CLIENT.key_pem
        options = {"certificate": self.write(pem), "private_key": self.write(key)}
        for ssl_options in ({"certificate": pem + key}, options):
            self.probe = Probe()
            arguments = [*self.required(), version]
            server = await self.assert_opens(LEAF, *arguments, ssl_options=ssl_options)
            self.assertIn(b"the client", server.output)

    async def test_missing(self) -> None:
        """Without a certificate, TLS 1.3 names the option."""
        error = await self.assert_rejected("-tls1_3")
        self.assertIn("certificate required; set certificate in ssl_options", str(error))

    async def test_missing_with_tls_1_2(self) -> None:
        """TLS 1.2 has no alert for a missing certificate."""
        error = await self.assert_rejected("-tls1_2")
        self.assertIn("handshake failure", str(error))

    @each(["-tls1_2", "-tls1_3"])
    async def test_wrong_authority(self, version: str) -> None:
        """The server's alert is named."""
        client = Identity(["client.test"], OTHER_ROOT)
        options = {"certificate": client.pem + client.key_pem}
        error = await self.assert_rejected(version, ssl_options=options)
        self.assertIn("unknown ca", str(error))

    async def test_expired(self) -> None:
        """The server's alert is named."""
        client = Identity(["client.test"], ROOT, start=-9, stop=-1)
        options = {"certificate": client.pem + client.key_pem}
        error = await self.assert_rejected("-tls1_3", ssl_options=options)
        self.assertIn("certificate expired", str(error))

    async def test_optional(self) -> None:
        """A server that only requests a certificate accepts a client without one."""
        await self.assert_opens(LEAF, "-verify", "2", "-CAfile", self.write(ROOT.pem))

    async def assert_rejected(self, version: str, **options: Any) -> ConnError:
        """Return the error of a client that the server rejects.

        With TLS 1.3, the client may send its request before the server has verified it.
        """
        server = await self.run_server(LEAF, *self.required(), version)
        return await self.error_of(server.port, **options)


class ServerNameTests(OpenSSLCase):
    """The server name in the TLS handshake (SNI), and ALPN."""

    def strict(self) -> list[str]:
        """Return the arguments for a server that rejects any other server name."""
        certificate, key = self.write(LEAF.pem), self.write(LEAF.key_pem)
        names = ["-servername", NAME, "-servername_fatal"]
        return [*names, "-cert2", certificate, "-key2", key, "-tlsextdebug"]

    @each(
        [
            ("host", NAME, {}),
            ("upper_case", NAME.upper(), {}),
            ("trailing_dot", f"{NAME}.", {}),
            ("option", "other.test", {"server_name": NAME}),
            ("option_with_trailing_dot", "other.test", {"server_name": f"{NAME}."}),
            ("option_for_an_address", HOST, {"server_name": NAME}),
        ]
    )
    async def test_sent(self, label: str, host: str, ssl_options: dict[str, str]) -> None:
        """The URL's host or the option ``server_name`` is sent, without a dot at its end."""
        options = {"ssl_options": ssl_options} if ssl_options else {}
        server = await self.assert_opens(LEAF, *self.strict(), host=host, **options)
        self.assertIn(b'Hostname in TLS extension: "example.test"', server.output)

    async def test_address(self) -> None:
        """An address is not sent (RFC 6066 section 3)."""
        server = await self.assert_opens(Identity([HOST], ROOT), "-tlsextdebug", host=HOST)
        self.assertIn(b"TLS client extension", server.output)
        self.assertNotIn(b'extension "server name"', server.output)

    async def test_unknown(self) -> None:
        """The alert of a server that does not know the name is explained."""
        error = await self.assert_fails(LEAF, *self.strict(), host="other.test")
        self.assertIn("the server does not know the server name", str(error))

    async def test_insecure(self) -> None:
        """``insecure=True`` sends the server name, too."""
        server = await self.assert_opens(LEAF, *self.strict(), insecure=True)
        self.assertIn(b'Hostname in TLS extension: "example.test"', server.output)

    async def test_alpn(self) -> None:
        """The protocols of the option ``alpn`` are offered."""
        options = {"alpn": ["http/1.1"]}
        server = await self.assert_opens(LEAF, "-alpn", "h2,http/1.1", ssl_options=options)
        self.assertIn(b"ALPN protocols selected: http/1.1", server.output)

    async def test_alpn_without_common_protocol(self) -> None:
        """The alert of a server without any of them is named."""
        options = {"alpn": ["http/1.1"]}
        error = await self.assert_fails(LEAF, "-alpn", "h2", ssl_options=options)
        self.assertIn("no application protocol", str(error))

    async def test_no_alpn(self) -> None:
        """Nothing is offered by default."""
        server = await self.assert_opens(LEAF, "-alpn", "h2")
        self.assertNotIn(b"ALPN protocols advertised by the client", server.output)


class ProxyTests(OpenSSLCase):
    """TLS through a proxy."""

    async def proxy_for(self, identity: Identity) -> str:
        """Start a server and a proxy that leads to it; return the URL of the proxy."""
        server = await self.run_server(identity)
        return f"http://{HOST}:{self.relay(server, Disturbance(), is_proxy=True)}"

    async def test_opens(self) -> None:
        """The certificate is verified for the host behind the proxy."""
        proxy = await self.proxy_for(LEAF)
        client = await self.connect(0, proxy=proxy, endpoint=None)
        self.assertEqual(client.status, "open")

    async def test_certificate_for_the_proxy(self) -> None:
        """A certificate for the address of the proxy is not accepted."""
        proxy = await self.proxy_for(Identity([HOST], ROOT))
        error = await self.error_of(0, proxy=proxy, endpoint=None)
        self.assertRegex(str(error), ANOTHER_HOST.format(NAME))
        self.assertFalse(is_retryable(error))


class DisturbedTests(OpenSSLCase):
    """TLS handshakes that are cut, damaged or replaced."""

    @each([0, 1, 4, 5, 50, 200, 500])
    async def test_cut(self, size: int) -> None:
        """TCP that ends within the TLS handshake is a ConnError that says so."""
        server = await self.run_server(LEAF)
        error = await self.error_of(self.relay(server, Cut(size)))
        self.assertIsInstance(error.original, ConnectionLost)
        self.assertIn("the server closed the connection during the TLS handshake", str(error))
        self.assertTrue(is_retryable(error))

    @each([0, 1, 3, 5, 6, 9, 11, 50, 130, 200, 400, 700])
    async def test_damaged(self, position: int) -> None:
        """A damaged byte of the TLS handshake is a ConnError with OpenSSL's reason."""
        server = await self.run_server(LEAF)
        error = await self.error_of(self.relay(server, Flip(position)))
        self.assertIsInstance(error.original, Error)
        self.assertRegex(str(error), "TLS error: [a-z]|does not speak TLS")
        self.assertTrue(is_retryable(error))

    @each(
        [
            ("http", b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak TLS"),
            ("ssh", b"SSH-2.0-OpenSSH_9.6\r\n", "does not speak TLS"),
            ("huge_record", b"\x16\x03\x03\xff\xff" + bytes(100), "TLS"),
            ("empty_records", b"\x17\x03\x03\x00\x00" * 100, "TLS error"),
            ("application_data", b"\x17\x03\x03\x00\x05hello", "TLS error"),
            ("client_hello", b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", "TLS error"),
            ("handshake_failure", b"\x15\x03\x03\x00\x02\x02\x28", "alert: "),
            ("internal_error", b"\x15\x03\x03\x00\x02\x02\x50", "internal error"),
            ("unknown_alert", b"\x15\x03\x03\x00\x02\x02\xee", ""),
            ("close_notify", b"\x15\x03\x03\x00\x02\x01\x00", "during the TLS handshake"),
            ("many_warnings", b"\x15\x03\x03\x00\x02\x01\x5a" * 100, ""),
        ]
    )
    async def test_replaced(self, label: str, data: bytes, expected: str) -> None:
        """Other bytes instead of a TLS handshake are a ConnError at once, and log no error."""
        server = await self.run_server(LEAF)
        error = await self.error_of(self.relay(server, Replace(data)))
        self.assertNotIsInstance(error.original, TimeoutError)
        self.assertIn(expected, str(error))
        self.assertEqual(self.flushLoggedErrors(), [])


class OpenConnectionTests(OpenSSLCase):
    """What happens to TLS while the connection is open; letters are commands of ``s_server``."""

    @each(
        [
            ("renegotiation", b"r", "-tls1_2"),
            ("renegotiation_with_certificate", b"R", "-tls1_2"),
            ("key_update", b"k", "-tls1_3"),
            ("key_update_of_both", b"K", "-tls1_3"),
        ]
    )
    async def test_survives(self, label: str, command: bytes, version: str) -> None:
        """Messages of TLS that a server may send do not end the connection."""
        server = await self.run_server(LEAF, version)
        watch = Watch()
        await self.connect(self.relay(server, watch))
        await self.assert_receives(server)
        watch.arrivals.pending.clear()
        server.command(command)
        await watch.arrivals.get()  # s_server discards what it reads together with a command.
        await self.assert_receives(server)

    @each([("close_notify", b"q"), ("close_notify_and_exit", b"Q"), ("clear_text", b"P")])
    async def test_ends(self, label: str, command: bytes) -> None:
        """The end of TLS without a close frame, and bytes that are not TLS, are a loss."""
        server = await self.assert_opens(LEAF)
        server.command(command)
        await self.assert_lost()

    async def test_killed(self) -> None:
        """The end of TCP without close_notify is a loss."""
        server = await self.assert_opens(LEAF)
        await server.kill()
        await self.assert_lost()

    @each([("damaged", Flip), ("cut", Cut)])
    async def test_disturbed(self, label: str, kind: Any) -> None:
        """A damaged record of application data is a loss; its bytes are not delivered."""
        server = await self.run_server(LEAF)
        disturbance = Later(kind(8))
        await self.connect(self.relay(server, disturbance))
        await self.assert_receives(server)
        disturbance.active = True
        server.transport.write(text("damaged"))
        await self.assert_lost()
        self.assertEqual(self.probe.names.count("handle_frame"), 1)

    async def assert_lost(self) -> None:
        """The handler is notified of one loss, with a readable reason."""
        status: wsx.Disconnect = await self.probe.lost.get()
        self.assertIsInstance(status.reason, ConnectionDropped)
        self.assertNotIn("[(", str(status.reason))
        self.assertTrue(is_retryable(status.reason))


class Later(Disturbance):
    """A disturbance that begins when the test says so.

    Args:
        disturbance: The disturbance.

    Attributes:
        active: Whether it has begun.
    """

    def __init__(self, disturbance: Disturbance) -> None:
        self.active = False
        self._disturbance = disturbance

    def __call__(self, data: bytes) -> bytes:
        if not self.active:
            return data
        passed = self._disturbance(data)
        self.ends = self._disturbance.ends
        return passed
