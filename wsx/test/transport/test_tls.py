"""Tests of ``wsx._transport.tls``: TLS options, and explanations of TLS failures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from OpenSSL.SSL import TLS1_2_VERSION, VERIFY_PEER, Error
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    PrivateCertificate,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from wsx import Conn, ConnError, is_retryable
from wsx._transport import tls, tls_problems
from wsx._transport.attempt import Attempt
from wsx._transport.tls import tls_wrapper
from wsx._transport.tls_problems import explain
from wsx._transport.tls_pyopenssl import tls_creator
from wsx.test.support import MemoryServer
from wsx.test.support.connections import Log
from wsx.test.support.each import each
from wsx.test.support.extras import Once, trustme
from wsx.test.support.tls import (
    SecureServer,
    Side,
    expired,
    for_clients_only,
    not_yet_valid,
    self_signed,
    server_options,
    with_root,
    without_names,
)

NOT_TRUSTED = "that is not trusted; if you trust it, add its root certificate to cacerts"


class ExplainingSide(Side):
    """Requests an explanation when the connection has ended, as wsx does."""

    explanation: str | None = None
    others: tuple[str | None, ...] = ()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        assert self.lost is not None
        self.explanation = explain(self.lost, self.transport)
        others = (ConnectionLost(), TimeoutError(), ValueError("x"))
        self.others = tuple(explain(error, self.transport) for error in others)


class TLSCase(SynchronousTestCase):
    """Base class: TLS with a Conn's options and a server, in memory.

    Attributes:
        uses_stdlib: Whether the standard library provides TLS, or pyOpenSSL.
    """

    uses_stdlib = True

    ca = Once(lambda: trustme.CA())
    other_ca = Once(lambda: trustme.CA())
    leaf = Once(lambda: TLSCase.ca.issue_cert("example.test", "127.0.0.1", "::1"))
    client_leaf = Once(lambda: TLSCase.ca.issue_cert("me@example.test"))
    cacerts = Once(lambda: TLSCase.ca.cert_pem.bytes())

    def setUp(self) -> None:
        self.patch(tls, "uses_stdlib", self.uses_stdlib)

    def wrapper(self, url: str = "wss://example.test", **options: Any) -> Any:
        """Prepare TLS for a Conn, which checks its options."""
        return tls_wrapper(Conn(url, **options), Clock())

    def handshake(
        self,
        url: str = "wss://example.test",
        server: CertificateOptions | None = None,
        **options: Any,
    ) -> tuple[Side, Side]:
        """Complete the TLS handshake as far as possible; return client and server."""
        clock = Clock()
        self.secure = SecureServer(clock, server or server_options(self.leaf))
        wrap = tls_wrapper(Conn(url, **options), clock)
        client = self.client = ExplainingSide(b"secret")
        self.secure.connect(wrap(Factory.forProtocol(lambda: client)))
        self.secure.flush()
        return client, self.secure.app

    def assert_connects(self, message: object = None, **options: Any) -> tuple[Side, Side]:
        """The TLS handshake succeeds on both sides; return client and server."""
        client, server = self.handshake(**options)
        self.assertIsNone(client.lost, message)
        self.assertIsNone(server.lost, message)
        self.assertTrue(client.secured and server.secured, message)
        return client, server

    def assert_refuses(self, message: object = None, **options: Any) -> BaseException:
        """The client refuses the server and sends nothing; return the reason."""
        client, server = self.handshake(**options)
        # Twisted before 26.4 says "completed" although it aborts; the bytes that were sent decide.
        self.assertEqual(bytes(server.received), b"", message)
        assert client.lost is not None
        return client.lost

    def write(self, *pems: trustme.Blob) -> str:
        """Write PEM texts to a file and return its path."""
        path = Path(self.mktemp())
        path.write_bytes(b"".join(pem.bytes() for pem in pems))
        return str(path)


class TrustTests(TLSCase):
    """Verification of the server's certificate."""

    def test_forms_of_cacerts(self) -> None:
        """[S18] ``cacerts`` may be PEM as bytes, a path, a bundle, or a list of them."""
        good, other = self.ca.cert_pem, self.other_ca.cert_pem
        cases = {
            "bytes": good.bytes(),
            "str path": self.write(good),
            "path": Path(self.write(good)),
            "bundle as bytes": other.bytes() + b"# a comment\n" + good.bytes(),
            "bundle as a file": self.write(other, good),
            "list": [other.bytes(), self.write(good)],
            "tuple": (self.write(other, good),),
        }
        for name, cacerts in cases.items():
            self.assert_connects(name, cacerts=cacerts)

    def test_not_trusted(self) -> None:
        """[S18] An unknown CA is refused, with ``cacerts`` and without."""
        for cacerts in (None, self.other_ca.cert_pem.bytes(), [self.other_ca.cert_pem.bytes()]):
            error = self.assert_refuses(cacerts, cacerts=cacerts)
            self.assertFalse(is_retryable(ConnError(error)), repr(error))

    def test_host_is_checked(self) -> None:
        """[S18] The certificate must be for the URL's host, a name or an address."""
        cacerts = self.ca.cert_pem.bytes()
        for url in ("wss://example.test", "wss://127.0.0.1", "wss://[::1]", "wss://[::1%25lo]"):
            self.assert_connects(url, url=url, cacerts=cacerts)
        for url in ("wss://other.test", "wss://127.0.0.2", "wss://[::2]"):
            error = self.assert_refuses(url, url=url, cacerts=cacerts)
            self.assertFalse(is_retryable(ConnError(error)), repr(error))

    def test_no_names(self) -> None:
        """[S18] A certificate without a subjectAltName is for no host."""
        server = server_options(without_names(self.ca))
        for url in ("wss://example.test", "wss://127.0.0.1"):
            error = self.assert_refuses(url, url=url, server=server, cacerts=self.cacerts)
            self.assertFalse(is_retryable(ConnError(error)), repr(error))

    def test_wildcard(self) -> None:
        """[S18] A wildcard stands for one label of the host name."""
        server = server_options(self.ca.issue_cert("*.example.test"))
        options = {"server": server, "cacerts": self.cacerts}
        self.assert_connects(url="wss://a.example.test", **options)
        for url in ("wss://example.test", "wss://a.b.example.test", "wss://a.other.test"):
            self.assert_refuses(url, url=url, **options)

    def test_intermediate(self) -> None:
        """[S18] Only the server's own certificate must be for the host, not its chain."""
        leaf = self.ca.create_child_ca().issue_cert("example.test")
        server = server_options(leaf)
        self.assert_connects(server=server, cacerts=self.cacerts)
        self.assert_refuses(server=server, url="wss://other.test", cacerts=self.cacerts)

    def test_trusted_leaf(self) -> None:
        """[S18] A self-signed certificate may be trusted; its host is checked as well."""
        certificate = self_signed("example.test")
        server = server_options(certificate)
        self.assert_connects(server=server, cacerts=certificate)
        self.assert_refuses(server=server, url="wss://other.test", cacerts=certificate)

    def test_international_name(self) -> None:
        """[S18] An international name is sent and verified in its ASCII form."""
        names: list[bytes | None] = []
        server = server_options(self.ca.issue_cert("xn--bcher-kva.example"))
        server.getContext().set_tlsext_servername_callback(
            lambda connection: names.append(connection.get_servername())
        )
        options = {"server": server, "cacerts": self.cacerts}
        self.assert_connects(url="wss://b\xfccher.example", **options)
        named = {"server_name": "b\xfccher.example"}
        self.assert_connects(ssl_options=named, **options)
        self.assert_connects(ssl_options=named, server=server, insecure=True)
        self.assertEqual(names, [b"xn--bcher-kva.example"] * 3)

    def test_insecure(self) -> None:
        """[S18] ``insecure=True`` verifies neither CA nor host."""
        for url in ("wss://example.test", "wss://other.test", "wss://127.0.0.2", "wss://[::2]"):
            self.assert_connects(url, url=url, insecure=True)

    def test_name_that_cannot_be_verified(self) -> None:
        """A host that no certificate can name is a ValueError, unless nothing is verified."""
        error = self.assertRaises(ValueError, self.wrapper, "wss://123")
        self.assertEqual(
            str(error), 'server_name: expected a host name or an IP address, got "123"'
        )
        self.assert_connects(url="wss://123", insecure=True)

    def test_server_name(self) -> None:
        """[S18] ``server_name`` replaces the host in SNI and verification."""
        names: list[bytes | None] = []
        server = server_options(self.leaf)
        server.getContext().set_tlsext_servername_callback(
            lambda connection: names.append(connection.get_servername())
        )
        options = {"cacerts": self.ca.cert_pem.bytes(), "server": server}
        named = {"server_name": "example.test"}
        self.assert_connects(url="wss://192.0.2.1", ssl_options=named, **options)
        self.assert_connects(url="wss://x.test", ssl_options=named, insecure=True, server=server)
        self.assert_refuses(ssl_options={"server_name": "other.test"}, **options)
        self.assertEqual(names, [b"example.test", b"example.test", b"other.test"])

    def test_trailing_dot(self) -> None:
        """The dot at the end of a host name is not sent and not verified."""
        names: list[bytes | None] = []
        server = server_options(self.leaf)
        server.getContext().set_tlsext_servername_callback(
            lambda connection: names.append(connection.get_servername())
        )
        cacerts = self.ca.cert_pem.bytes()
        self.assert_connects(url="wss://example.test./", cacerts=cacerts, server=server)
        self.assert_refuses(url="wss://other.test./", cacerts=cacerts, server=server)
        self.assert_connects(url="wss://example.test./", insecure=True, server=server)
        self.assertEqual(names, [b"example.test", b"other.test", b"example.test"])

    @each(["a\0b", "a b", "x" * 254, "xn--\xff", "-\xfc.example", "."])
    def test_malformed_server_name(self, name: str) -> None:
        """A malformed ``server_name`` is a ValueError before connecting, verified or not."""
        for insecure in (False, True):
            options = {"server_name": name}
            with self.assertRaises(ValueError):
                self.wrapper(insecure=insecure, ssl_options=options)

    def test_malformed_alpn(self) -> None:
        """An ALPN name that TLS does not allow is an error before connecting."""
        for name in ("", "x" * 256):
            with self.assertRaises((Error, ValueError)):
                self.wrapper(ssl_options={"alpn": [name]})

    def test_name_is_sent(self) -> None:
        """The host name is sent to the server (SNI), verified or not; an address is not."""
        names: list[bytes | None] = []
        server = server_options(self.leaf)
        server.getContext().set_tlsext_servername_callback(
            lambda connection: names.append(connection.get_servername())
        )
        cacerts = self.ca.cert_pem.bytes()
        for options in ({"cacerts": cacerts}, {"insecure": True}):
            for url in ("wss://example.test", "wss://127.0.0.1", "wss://[::1]"):
                self.assert_connects(url, url=url, server=server, **options)
        self.assertEqual([name for name in names if name], [b"example.test"] * 2)

    def test_unusable(self) -> None:
        """PEM that cannot be used is a ValueError, a file that cannot be read an OSError."""
        garbage = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        values = {"none": b"", "no PEM": b"hello", "garbage": garbage, "listed": [garbage]}
        for name, cacerts in values.items():
            with self.assertRaises(ValueError, msg=name):
                self.wrapper(cacerts=cacerts)
        for missing in ("/no/such/file.pem", Path("/no/such/file.pem"), ["/no/such/file.pem"]):
            with self.assertRaises(OSError, msg=missing):
                self.wrapper(cacerts=missing)


class OptionTests(TLSCase):
    """The other ``ssl_options``."""

    def setUp(self) -> None:
        super().setUp()
        self.trust = {"cacerts": self.ca.cert_pem.bytes()}
        self.root = trustRootFromCertificates([Certificate.loadPEM(self.trust["cacerts"])])
        self.asking = server_options(self.leaf, trustRoot=self.root)

    def test_minimum_version(self) -> None:
        """[S18] ``minimum_version`` is TLS 1.2 by default; with 1.3 an older server is refused."""
        old = server_options(self.leaf)
        old.getContext().set_max_proto_version(TLS1_2_VERSION)
        for options in (None, {"minimum_version": "TLSv1.2"}):
            self.assert_connects(options, server=old, ssl_options=options, **self.trust)
        new = {"minimum_version": "TLSv1.3"}
        self.assert_refuses(server=old, ssl_options=new, **self.trust)
        self.assert_refuses(server=old, ssl_options=new, insecure=True)
        self.assert_connects(ssl_options=new, **self.trust)

    def test_alpn(self) -> None:
        """``alpn`` is offered, from str or bytes, verified or not; nothing is by default."""
        server = server_options(self.leaf, acceptableProtocols=[b"http/1.1"])
        cases: list[tuple[dict[str, Any], bytes | None]] = [
            ({"ssl_options": {"alpn": ["h2", "http/1.1"]}}, b"http/1.1"),
            ({"ssl_options": {"alpn": [b"http/1.1"]}}, b"http/1.1"),
            ({"ssl_options": {"alpn": ["http/1.1"]}, "insecure": True}, b"http/1.1"),
            ({}, None),
        ]
        for options, chosen in cases:
            client, _ = self.assert_connects(options, server=server, **(self.trust | options))
            transport: Any = client.transport
            self.assertEqual(transport.negotiatedProtocol, chosen, options)

    def test_client_certificate(self) -> None:
        """[S18] The client's certificate may be bytes, paths, or one PEM with the key."""
        key, chain = self.client_leaf.private_key_pem, self.client_leaf.cert_chain_pems[0]
        both = self.client_leaf.private_key_and_cert_chain_pem
        cases: dict[str, dict[str, Any]] = {
            "bytes": {"certificate": chain.bytes(), "private_key": key.bytes()},
            "paths": {"certificate": self.write(chain), "private_key": Path(self.write(key))},
            "one PEM": {"certificate": both.bytes()},
            "one file": {"certificate": self.write(both)},
        }
        expected = PrivateCertificate.loadPEM(both.bytes()).digest()
        for insecure in (False, True):
            for name, options in cases.items():
                _, server = self.assert_connects(
                    name, server=self.asking, ssl_options=options, insecure=insecure, **self.trust
                )
                transport: Any = server.transport
                shown = transport.getPeerCertificate().digest("md5").replace(b":", b"")
                self.assertEqual(shown.lower(), expected.replace(b":", b"").lower(), name)

    def test_client_certificate_chain(self) -> None:
        """[S18] The intermediate certificates behind the client's are sent to the server."""
        leaf = self.ca.create_child_ca().issue_cert("me@example.test")
        certificate = b"".join(pem.bytes() for pem in leaf.cert_chain_pems)
        options = {"certificate": certificate, "private_key": leaf.private_key_pem.bytes()}
        for insecure in (False, True):
            self.assert_connects(
                server=self.asking, ssl_options=options, insecure=insecure, **self.trust
            )
        options["certificate"] = leaf.cert_chain_pems[0].bytes()
        trust: dict[str, Any] = self.trust
        _, server = self.handshake(server=self.asking, ssl_options=options, **trust)
        self.assertFalse(server.secured, "without the chain the server cannot verify")

    def test_client_certificate_for_another_host(self) -> None:
        """[S18] The client's certificate is not presented to a server of another host."""
        options = {"certificate": self.client_leaf.private_key_and_cert_chain_pem.bytes()}
        presented: list[Any] = []

        def note(*arguments: Any) -> bool:
            presented.append(arguments[1])
            return True

        for version in (None, TLS1_2_VERSION):
            server = server_options(self.leaf, trustRoot=self.root)
            context = server.getContext()
            context.set_verify(VERIFY_PEER, note)
            if version is not None:
                context.set_max_proto_version(version)
            trust: dict[str, Any] = self.trust
            for url in ("wss://other.test", "wss://127.0.0.2"):
                _, app = self.handshake(url, server, ssl_options=options, **trust)
                self.assertFalse(app.secured)
                self.assertEqual(presented, [])
                self.assertTrue(tls_problems.is_wrong_host(str(self.client.explanation)))

    def test_unusable_client_certificate(self) -> None:
        """A certificate or key that cannot be used is a ValueError; a missing file an OSError."""
        certificate = self.client_leaf.cert_chain_pems[0].bytes()
        cases: dict[str, dict[str, Any]] = {
            "no certificate": {"certificate": b"nothing", "private_key": b"x"},
            "no key": {"certificate": certificate},
            "garbage key": {"certificate": certificate, "private_key": b"x"},
            "another's key": {
                "certificate": certificate,
                "private_key": self.leaf.private_key_pem.bytes(),
            },
        }
        for name, options in cases.items():
            for insecure in (False, True):
                with self.assertRaises(ValueError, msg=name):
                    self.wrapper(ssl_options=options, insecure=insecure)
        for options in (
            {"certificate": "/no/file"},
            {"certificate": certificate} | {"private_key": "/no"},
        ):
            with self.assertRaises(OSError, msg=options):
                self.wrapper(ssl_options=options)

    def test_encrypted_key(self) -> None:
        """A key with a pass phrase is a ValueError; OpenSSL does not ask for it on a terminal."""
        key = load_pem_private_key(self.client_leaf.private_key_pem.bytes(), None)
        encrypted = key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
        )
        path = self.mktemp()
        Path(path).write_bytes(self.client_leaf.cert_chain_pems[0].bytes() + encrypted)
        program = (
            "import sys, wsx\n"
            "from wsx._transport.tls import tls_wrapper\n"
            "try:\n"
            "    options = {'certificate': sys.argv[1]}\n"
            "    tls_wrapper(wsx.Conn('wss://example.test', ssl_options=options), None)\n"
            "except ValueError:\n"
            "    print('ValueError')\n"
        )
        # In a separate process without a terminal, because OpenSSL would wait for input.
        done = subprocess.run(
            [sys.executable, "-c", program, path],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            start_new_session=True,
            timeout=20,
            check=False,
            env={"PYTHONPATH": ":".join(sys.path)},
        )
        self.assertEqual((done.stdout, done.stderr), (b"ValueError\n", b""))

    def test_given_creator(self) -> None:
        """[S18] An ``IOpenSSLClientConnectionCreator`` is used unchanged."""
        creator = optionsForClientTLS("example.test", trustRoot=self.root)
        conn = Conn("wss://anything.test", ssl_options=creator)
        self.assertIs(tls_creator(conn), creator)
        self.assert_connects(url="wss://anything.test", ssl_options=creator)


class ExplainTests(TLSCase):
    """Explanations of what TLS failures mean."""

    def explained(self, server: CertificateOptions, **options: Any) -> str | None:
        """Return the explanation of a failed handshake with a server."""
        options = {"cacerts": self.ca.cert_pem.bytes()} | options
        self.error = self.assert_refuses(server=server, **options)
        return self.client.explanation

    @each(
        {
            "expired": (
                lambda case: expired(case.ca, "example.test"),
                "the server's certificate has expired",
            ),
            "not yet valid": (
                lambda case: not_yet_valid(case.ca, "example.test"),
                "the server's certificate is not valid yet",
            ),
            "self-signed": (
                lambda case: self_signed("example.test"),
                "the server's certificate is self-signed, and not among the trusted ones; if you "
                "trust it, add it to cacerts",
            ),
            "untrusted root": (
                lambda case: with_root(case.other_ca.issue_cert("example.test"), case.other_ca),
                f"the server's certificate is signed by a root certificate {NOT_TRUSTED}",
            ),
            "unknown authority": (
                lambda case: case.other_ca.issue_cert("example.test"),
                f"the server's certificate is signed by an authority {NOT_TRUSTED}",
            ),
            "missing intermediate": (
                lambda case: b"".join(
                    pem.bytes()
                    for leaf in [case.ca.create_child_ca().issue_cert("example.test")]
                    for pem in (leaf.private_key_pem, leaf.cert_chain_pems[0])
                ),
                f"the server's certificate is signed by an authority {NOT_TRUSTED}",
            ),
        }.items()
    )
    def test_certificates(self, name: str, case: tuple[Any, str]) -> None:
        """[S18] Each flaw of a certificate has an explanation, and another attempt is useless."""
        issue, expected = case
        self.assertEqual(self.explained(server_options(issue(self))), expected)
        error = ConnError(self.error, expected)
        self.assertIn(expected, str(error))
        self.assertFalse(is_retryable(error))

    def test_other_flaw(self) -> None:
        """[S18] A flaw without a text of its own is explained by OpenSSL's code."""
        self.patch(tls_problems, "_CERTIFICATE_PROBLEMS", {})
        explanation = self.explained(server_options(for_clients_only(self.ca, "example.test")))
        expected = "the server's certificate is not accepted (OpenSSL verify code 26)"
        self.assertEqual(explanation, expected)
        self.assertFalse(is_retryable(ConnError(self.error, explanation)))

    def test_other_host(self) -> None:
        """[S18] A certificate for another host, or without names, is explained."""
        many = ("a.test", "192.0.2.1", *(f"{n}.test" for n in range(200)))
        for certificate, names in (
            (self.ca.issue_cert("other.test"), '"other.test"'),
            (self.ca.issue_cert(*many), '"a.test", "0.test", "1.test" and 199 more'),
            (without_names(self.ca), "no name"),
        ):
            explanation = self.explained(server_options(certificate))
            expected = f'the server\'s certificate is valid for {names}, not for "example.test"'
            self.assertEqual(explanation, expected)
            self.assertFalse(is_retryable(ConnError(self.error, explanation)))

    def test_first_flaw(self) -> None:
        """[S18] Of several flaws that of the chain is explained, before the host is checked."""
        for issue, expected in (
            (lambda: expired(self.ca, "other.test"), "the server's certificate has expired"),
            (lambda: self.other_ca.issue_cert("other.test"), f"an authority {NOT_TRUSTED}"),
        ):
            self.assertIn(expected, str(self.explained(server_options(issue()))))

    def test_accepted(self) -> None:
        """A connection whose certificate is accepted has no explanation, verified or not."""
        for options in ({"cacerts": self.ca.cert_pem.bytes()}, {"insecure": True}):
            self.assert_connects(**options)
            error = Error([("SSL routines", "", "certificate verify failed")])
            self.assertIsNone(explain(error, self.client.transport))

    def test_default_trust(self) -> None:
        """[S18] Without ``cacerts`` an unknown authority is explained likewise."""
        explanation = self.explained(server_options(self.leaf), cacerts=None)
        self.assertEqual(
            explanation, f"the server's certificate is signed by an authority {NOT_TRUSTED}"
        )

    def test_version(self) -> None:
        """A TLS alert is named."""
        old = server_options(self.leaf)
        old.getContext().set_max_proto_version(TLS1_2_VERSION)
        explanation = self.explained(old, ssl_options={"minimum_version": "TLSv1.3"})
        self.assertIsInstance(self.error, Error)
        assert explanation is not None
        self.assertIn("alert: tlsv1 alert protocol version", explanation)

    def test_other_errors(self) -> None:
        """Other errors, and errors of other transports, have no explanation."""
        self.explained(server_options(expired(self.ca, "example.test")))
        self.assertEqual(self.client.others, (None, None, None))
        for transport in (StringTransport(), None):
            self.assertIsNone(explain(self.error, transport))

    def test_without_arguments(self) -> None:
        """An error of OpenSSL without details has no explanation."""
        self.assert_connects(cacerts=self.ca.cert_pem.bytes())
        for error in (Error(), Error([])):
            self.assertIsNone(explain(error, self.client.transport))

    @each(
        {
            "http": b"HTTP/1.1 400 Bad Request\r\n\r\n",
            "ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
            "smtp": b"220 mail.example.test ESMTP\r\n",
            "html": b"<html>",
            "zeros": bytes(10),
        }.items()
    )
    def test_not_tls(self, name: str, answer: bytes) -> None:
        """[S8] A server that does not speak TLS leads to a hint at ws, verified or not."""
        for insecure in (False, True):
            clock, log = Clock(), Log()
            server = MemoryServer(clock)
            conn = Conn("wss://example.test", endpoint=server, insecure=insecure)
            Attempt(conn, clock, log).start()
            clock.advance(0)
            server.peer.send(answer)
            clock.advance(0)
            error = log.only("failed")
            self.assertIsInstance(error, ConnError)
            expected = "the server does not speak TLS on this port; did you mean ws://?"
            self.assertEqual(error.explanation, expected)
            self.assertIn(expected, str(error))


class PyOpenSSLTrustTests(TrustTests):
    """The same with pyOpenSSL."""

    uses_stdlib = False


class PyOpenSSLOptionTests(OptionTests):
    """The same with pyOpenSSL."""

    uses_stdlib = False


class PyOpenSSLExplainTests(ExplainTests):
    """The same with pyOpenSSL."""

    uses_stdlib = False
