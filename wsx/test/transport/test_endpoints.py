"""Tests of wsx._transport.endpoints: endpoints, the proxy's tunnel and TLS."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from OpenSSL.SSL import TLS1_2_VERSION
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    PrivateCertificate,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase

from wsx import Conn, ConnError, HandshakeError, RequestError, is_retryable
from wsx._transport.endpoints import endpoint_for, tls_creator
from wsx.test.support import MemoryCase, MemoryServer, Peer, Recorder, text
from wsx.test.support.tls import SecureServer, Side, server_options

PROXY = "http://proxy.test:3128"


class EndpointTests(SynchronousTestCase):
    """From a Conn to what it connects to."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.factory = Factory.forProtocol(Side)

    def connect(self, url: str, **options: Any) -> Deferred[Any]:
        """Connects as the Conn says; the caller may leave it unfinished."""
        connecting = endpoint_for(Conn(url, **options), self.reactor).connect(self.factory)
        connecting.addErrback(lambda _: None)  # cancelled, in the end
        self.addCleanup(connecting.cancel)
        return connecting

    def test_targets(self) -> None:
        """[S4] Host and port of the URL are connected to: literals as they are."""
        cases = {
            "ws://127.0.0.2": ("127.0.0.2", 80),
            "ws://127.0.0.2:8080/x": ("127.0.0.2", 8080),
            "http://127.0.0.2": ("127.0.0.2", 80),
            "wss://127.0.0.2": ("127.0.0.2", 443),
            "https://127.0.0.2": ("127.0.0.2", 443),
            "ws://[::1]": ("::1", 80),
            "wss://[2001:db8::1]:8443": ("2001:db8::1", 8443),
            "ws://[fe80::1%25eth0]:81": ("fe80::1%eth0", 81),
        }
        for url, target in cases.items():
            self.connect(url)
            self.assertEqual(self.reactor.tcpClients[-1][:2], target, url)

    def test_name(self) -> None:
        """[S4] A name is resolved by the given reactor, with the URL's port."""
        asked = []
        resolve = self.reactor.nameResolver.resolveHostName

        def note(*args: Any, **kwargs: Any) -> Any:
            asked.append((args[1], kwargs["portNumber"]))
            return resolve(*args, **kwargs)

        self.patch(self.reactor.nameResolver, "resolveHostName", note)
        self.connect("ws://example.test:8080")
        self.reactor.advance(0)
        self.assertEqual(asked, [("example.test", 8080)])
        self.assertEqual(self.reactor.tcpClients[-1][:2], ("127.0.0.1", 8080))

    def test_endpoint_object(self) -> None:
        """``endpoint``: an endpoint is used as it is, instead of the URL's host and port."""
        endpoint = TCP4ClientEndpoint(self.reactor, "192.0.2.9", 99)
        self.assertIs(endpoint_for(Conn("ws://example.test", endpoint=endpoint), None), endpoint)

    def test_endpoint_string(self) -> None:
        """``endpoint``: a string description is used instead of the URL's host and port."""
        self.connect("ws://example.test", endpoint="tcp:192.0.2.9:99")
        self.assertEqual(self.reactor.tcpClients[-1][:2], ("192.0.2.9", 99))
        self.connect("ws://example.test", endpoint="unix:/run/sock")
        self.assertEqual(self.reactor.unixClients[-1][0], "/run/sock")

    def test_tls_goes_on_top_of_an_endpoint(self) -> None:
        """``wss`` with ``endpoint`` speaks TLS over it, and plain ``ws`` does not."""
        for url, first in [("wss://example.test", b"\x16\x03"), ("ws://example.test", b"")]:
            server = MemoryServer(self.reactor)
            self.connect(url, endpoint=server)
            self.assertEqual(server.peer.transport.value()[:2], first, url)

    def test_bad_descriptions(self) -> None:
        """A description that cannot be understood raises; the attempt makes a ConnError of it."""
        for description in ("nonsense:1", "", "tcp:host:port", "tcp:host", "tcp:h:80:bogus=1"):
            conn = Conn("ws://example.test", endpoint=description)
            with self.assertRaises((ValueError, TypeError), msg=description):
                endpoint_for(conn, self.reactor)

    def test_proxy_instead_of_host(self) -> None:
        """With a proxy it is the proxy that is connected to: by literal and by name."""
        cases = {
            "http://192.0.2.7:3128": ("192.0.2.7", 3128),
            "http://[::1]:3128": ("::1", 3128),
            "http://192.0.2.7": ("192.0.2.7", 80),
            PROXY: ("127.0.0.1", 3128),
        }
        for proxy, target in cases.items():
            self.connect("wss://example.test", proxy=proxy)
            self.reactor.advance(0)
            self.assertEqual(self.reactor.tcpClients[-1][:2], target, proxy)


class TunnelTests(SynchronousTestCase):
    """CONNECT through an HTTP proxy."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.proxy = MemoryServer(self.clock)
        self.inner = Side()

    @property
    def peer(self) -> Peer:
        """The proxy's side of the connection."""
        return self.proxy.peer

    def connect(
        self, url: str = "ws://example.test/x", proxy: str = PROXY, **options: Any
    ) -> Deferred[Any]:
        """Connects through the proxy."""
        conn = Conn(url, proxy=proxy, endpoint=self.proxy, **options)
        factory = Factory.forProtocol(lambda: self.inner)
        return endpoint_for(conn, self.clock).connect(factory)

    def test_request(self) -> None:
        """The request names the target with its port, and nothing of the inner request."""
        cases = {
            "ws://example.test/secret?q=1": b"example.test:80",
            "wss://example.test": b"example.test:443",
            "ws://example.test:8080": b"example.test:8080",
            "ws://[::1]": b"[::1]:80",
        }
        for url, target in cases.items():
            self.connect(url, extra_headers={"Cookie": "secret"})
            line, *headers = self.peer.transport.value().split(b"\r\n")
            self.assertEqual(line, b"CONNECT " + target + b" HTTP/1.1", url)
            self.assertEqual(headers[-2:], [b"", b""], url)
            self.assertIn(b"Host: " + target, headers, url)
            self.assertNotIn(b"secret", self.peer.transport.value(), url)

    def test_credentials(self) -> None:
        """The proxy's credentials go to the proxy, percent-decoded; the server's do not."""
        self.connect("ws://server:pw@example.test", "http://me:p%40ss@proxy.test:3128")
        headers = self.peer.request[1]
        self.assertEqual(headers["proxy-authorization"], "Basic bWU6cEBzcw==")
        self.assertNotIn("authorization", headers)

    def test_no_credentials(self) -> None:
        """A proxy without credentials gets none."""
        self.connect()
        self.assertNotIn("proxy-authorization", self.peer.request[1])

    def test_established(self) -> None:
        """After a 200 the tunnel belongs to the protocol behind it, in both directions."""
        connecting = self.connect()
        self.assertNoResult(connecting)
        self.peer.transport.clear()
        self.peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self.assertIs(self.successResultOf(connecting), self.inner)
        self.peer.send(b"in")
        self.inner.transport.write(b"out")  # type: ignore[union-attr]
        self.assertEqual((self.inner.received, self.peer.transport.value()), (b"in", b"out"))
        self.peer.drop(ConnectionLost())
        self.assertIsInstance(self.inner.lost, ConnectionLost)

    def test_response_in_pieces(self) -> None:
        """The proxy's response may come byte by byte."""
        connecting = self.connect()
        for byte in b"HTTP/1.0 200 OK\r\nX: y\r\n\r\n":
            self.assertNoResult(connecting)
            self.peer.send(bytes([byte]))
        self.successResultOf(connecting)

    def test_bytes_after_the_200(self) -> None:
        """Bytes that come with the 200 are the tunnel's, whatever Content-Length says."""
        connecting = self.connect()
        self.peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nearly bytes")
        self.successResultOf(connecting)
        self.assertEqual(self.inner.received, b"early bytes")

    def test_any_2xx(self) -> None:
        """Any 2xx opens the tunnel (RFC 9110 section 9.3.6)."""
        connecting = self.connect()
        self.peer.send(b"HTTP/1.1 204 Fine\r\n\r\n")
        self.successResultOf(connecting)

    def test_refused(self) -> None:
        """A 407 is a RequestError with its body, whole; TCP is dropped."""
        connecting = self.connect()
        self.peer.send(b"HTTP/1.1 407 Who are you?\r\nContent-Length: 5\r\n\r\nlog")
        self.assertNoResult(connecting)
        self.peer.send(b"in")
        error = self.failureResultOf(connecting, RequestError).value
        self.assertEqual((error.code, error.message, error.body), (407, "Who are you?", b"login"))
        self.assertTrue(self.peer.transport.aborted)

    def test_refused_with_part_of_a_body(self) -> None:
        """A refusal that breaks off has what came of its body."""
        connecting = self.connect()
        self.peer.send(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 50\r\n\r\npart")
        self.peer.drop()
        self.assertEqual(self.failureResultOf(connecting, RequestError).value.body, b"part")

    def test_not_http(self) -> None:
        """A proxy that does not speak HTTP is a HandshakeError which says that it is the proxy."""
        connecting = self.connect()
        self.peer.send(b"\x05\xff")
        error = self.failureResultOf(connecting, HandshakeError).value
        self.assertIn("proxy", str(error))
        self.assertTrue(self.peer.transport.aborted)

    def test_header_too_long(self) -> None:
        """A header past ``max_header_size`` is a HandshakeError."""
        connecting = self.connect(max_header_size=200)
        self.peer.send(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100)
        self.assertNoResult(connecting)
        self.peer.send(b"x" * 100)
        self.failureResultOf(connecting, HandshakeError)
        self.assertTrue(self.peer.transport.aborted)

    def test_hang_up(self) -> None:
        """A proxy that hangs up fails the connection with how it ended."""
        for before in (b"", b"HTTP/1.1 200 OK\r\n"):
            connecting = self.connect()
            if before:
                self.peer.send(before)
            self.peer.drop()
            self.failureResultOf(connecting, ConnectionDone)

    def test_unreachable(self) -> None:
        """A proxy that cannot be reached fails with the endpoint's own error."""
        self.proxy.refusal = OSError("no route")
        self.assertIs(self.failureResultOf(self.connect(), OSError).value, self.proxy.refusal)

    def test_cancelled_while_connecting(self) -> None:
        """Cancelled while TCP to the proxy is made: that attempt is cancelled too."""
        self.proxy.silent = True
        connecting = self.connect()
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.assertEqual(self.proxy.cancelled, 1)

    def test_cancelled_while_waiting(self) -> None:
        """Cancelled while the proxy's answer is due: TCP is dropped."""
        connecting = self.connect()
        self.peer.send(b"HTTP/1.1 200 O")
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.assertTrue(self.peer.transport.aborted)
        self.clock.advance(0)
        self.assertIsNone(self.inner.transport)

    def test_tls_starts_after_the_200(self) -> None:
        """``wss`` through a proxy: CONNECT in the clear, then TLS with the server."""
        self.connect("wss://example.test")
        self.assertTrue(self.peer.transport.value().startswith(b"CONNECT"))
        self.peer.transport.clear()
        self.peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        self.assertEqual(self.peer.transport.value()[:2], b"\x16\x03")


class ProxyClientTests(MemoryCase):
    """A client behind a proxy."""

    def test_connected(self) -> None:
        """A client talks through the tunnel; frames in one read with everything are delivered."""
        recorder = Recorder()
        started = self.start(recorder, proxy=PROXY)
        self.peer.transport.clear()
        self.peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        self.assertEqual(self.peer.request[0], "GET /feed HTTP/1.1")
        self.peer.answer(text("hello"))
        self.step()
        self.successResultOf(started)
        self.assertEqual(recorder.names, ["handle_connect", "handle_frame"])

    def test_refused(self) -> None:
        """[S8] A proxy's refusal is a ConnError whose original has status and body."""
        started = self.start(Recorder(), proxy="http://me:topsecret@proxy.test:3128")
        self.peer.send(b"HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno")
        self.step()
        error = self.failureResultOf(started, ConnError).value
        self.assertIsInstance(error.original, RequestError)
        self.assertEqual((error.original.code, error.original.body), (407, b"no"))
        self.assertNotIn("topsecret", str(error))

    def test_silent_proxy(self) -> None:
        """[S17] ``socket_connect_timeout`` includes the proxy."""
        started = self.start(Recorder(), proxy=PROXY, socket_connect_timeout=0.5)
        self.clock.advance(0.49)
        self.assertNoResult(started)
        self.clock.advance(0.02)
        self.step()
        error = self.failureResultOf(started, ConnError).value
        self.assertIsInstance(error.original, TimeoutError)
        self.assertTrue(self.peer.transport.aborted)


class TLSCase(SynchronousTestCase):
    """Tests of TLS between a Conn's options and a server, in memory."""

    ca = trustme.CA()
    other_ca = trustme.CA()
    leaf = ca.issue_cert("example.test", "127.0.0.1", "::1")
    client_leaf = ca.issue_cert("me@example.test")

    def handshake(
        self,
        url: str = "wss://example.test",
        server: CertificateOptions | None = None,
        **options: Any,
    ) -> tuple[Side, Side]:
        """Lets both sides shake hands; gives client and server."""
        clock = Clock()
        self.secure = SecureServer(clock, server or server_options(self.leaf))
        creator = tls_creator(Conn(url, **options))
        client = Side(b"secret")
        factory = Factory.forProtocol(lambda: client)
        self.secure.connect(TLSMemoryBIOFactory(creator, True, factory, clock=clock))
        self.secure.flush()
        return client, self.secure.app

    def assert_connects(self, message: object = None, **options: Any) -> tuple[Side, Side]:
        """The handshake succeeds on both sides."""
        client, server = self.handshake(**options)
        self.assertIsNone(client.lost, message)
        self.assertIsNone(server.lost, message)
        self.assertTrue(client.secured and server.secured, message)
        return client, server

    def assert_refuses(self, message: object = None, **options: Any) -> BaseException:
        """The client does not go on; gives why."""
        client, server = self.handshake(**options)
        # Twisted before 26.4 says "completed" and aborts all the same: what counts is what got out.
        self.assertEqual(bytes(server.received), b"", message)
        assert client.lost is not None
        return client.lost

    def write(self, *pems: trustme.Blob) -> str:
        """Writes PEM texts to a file; gives its path."""
        path = Path(self.mktemp())
        path.write_bytes(b"".join(pem.bytes() for pem in pems))
        return str(path)


class TrustTests(TLSCase):
    """Whom we trust."""

    def test_forms_of_cacerts(self) -> None:
        """[S18] ``cacerts`` is PEM as bytes, a path, a bundle, or a list of them."""
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
        """[S18] An unknown CA is refused, by default too; so is one replaced by ``cacerts``."""
        for cacerts in (None, self.other_ca.cert_pem.bytes(), [self.other_ca.cert_pem.bytes()]):
            error = self.assert_refuses(cacerts, cacerts=cacerts)
            self.assertFalse(is_retryable(ConnError(error)), repr(error))

    def test_host_is_checked(self) -> None:
        """[S18] The certificate must be for the URL's host; name or address."""
        cacerts = self.ca.cert_pem.bytes()
        for url in ("wss://example.test", "wss://127.0.0.1", "wss://[::1]", "wss://[::1%25lo]"):
            self.assert_connects(url, url=url, cacerts=cacerts)
        for url in ("wss://other.test", "wss://127.0.0.2", "wss://[::2]"):
            error = self.assert_refuses(url, url=url, cacerts=cacerts)
            self.assertFalse(is_retryable(ConnError(error)), repr(error))

    def test_insecure(self) -> None:
        """[S18] ``insecure=True`` verifies neither CA nor host."""
        for url in ("wss://example.test", "wss://other.test", "wss://127.0.0.2", "wss://[::2]"):
            self.assert_connects(url, url=url, insecure=True)

    def test_server_name(self) -> None:
        """[S18] ``server_name`` is what is asked for and verified, instead of the host."""
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

    def test_name_is_sent(self) -> None:
        """The host goes to the server (SNI), verified or not; an address never does."""
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
                tls_creator(Conn("wss://example.test", cacerts=cacerts))
        for missing in ("/no/such/file.pem", Path("/no/such/file.pem"), ["/no/such/file.pem"]):
            with self.assertRaises(OSError, msg=missing):
                tls_creator(Conn("wss://example.test", cacerts=missing))


class OptionTests(TLSCase):
    """The other ``ssl_options``."""

    def setUp(self) -> None:
        self.trust = {"cacerts": self.ca.cert_pem.bytes()}
        self.root = trustRootFromCertificates([Certificate.loadPEM(self.trust["cacerts"])])
        self.asking = server_options(self.leaf, trustRoot=self.root)

    def test_minimum_version(self) -> None:
        """[S18] ``minimum_version`` is TLS 1.2 by default; 1.3 refuses a server without it."""
        old = server_options(self.leaf)
        old.getContext().set_max_proto_version(TLS1_2_VERSION)
        for options in (None, {"minimum_version": "TLSv1.2"}):
            self.assert_connects(options, server=old, ssl_options=options, **self.trust)
        new = {"minimum_version": "TLSv1.3"}
        self.assert_refuses(server=old, ssl_options=new, **self.trust)
        self.assert_refuses(server=old, ssl_options=new, insecure=True)
        self.assert_connects(ssl_options=new, **self.trust)

    def test_alpn(self) -> None:
        """``alpn`` is offered, str or bytes, verified or not; nothing is by default."""
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
        """[S18] Our certificate: bytes, paths, or one PEM with the key; verified or not."""
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
        """[S18] The intermediate certificates after ours go to the server as well."""
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
                conn = Conn("wss://example.test", ssl_options=options, insecure=insecure)
                with self.assertRaises(ValueError, msg=name):
                    tls_creator(conn)
        for options in (
            {"certificate": "/no/file"},
            {"certificate": certificate} | {"private_key": "/no"},
        ):
            with self.assertRaises(OSError, msg=options):
                tls_creator(Conn("wss://example.test", ssl_options=options))

    def test_encrypted_key(self) -> None:
        """A key that needs a pass phrase is a ValueError; nobody is asked for it at a terminal."""
        key = load_pem_private_key(self.client_leaf.private_key_pem.bytes(), None)
        encrypted = key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
        )
        path = self.mktemp()
        Path(path).write_bytes(self.client_leaf.cert_chain_pems[0].bytes() + encrypted)
        program = (
            "import sys, wsx\n"
            "from wsx._transport.endpoints import tls_creator\n"
            "try:\n"
            "    options = {'certificate': sys.argv[1]}\n"
            "    tls_creator(wsx.Conn('wss://example.test', ssl_options=options))\n"
            "except ValueError:\n"
            "    print('ValueError')\n"
        )
        # A process of its own, without a terminal: OpenSSL would wait for somebody to type.
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
        """[S18] A given ``IOpenSSLClientConnectionCreator`` is used as it is."""
        creator = optionsForClientTLS("example.test", trustRoot=self.root)
        conn = Conn("wss://anything.test", ssl_options=creator)
        self.assertIs(tls_creator(conn), creator)
        self.assert_connects(url="wss://anything.test", ssl_options=creator)
