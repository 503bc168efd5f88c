"""Tests of wsx._cluster.servers."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from wsx._cluster.servers import Login, ServerAddress, parse_servers, redact_server
from wsx.errors import ClusterSetupError, URLError

CREDENTIALS = "-----BEGIN NATS USER JWT-----\nabc\n-----BEGIN USER NKEY SEED-----\nSUA\n"


class ParseServersTests(SynchronousTestCase):
    """URLs of servers."""

    def test_parts(self) -> None:
        """Scheme, host, port, user and password; the default port is 4222."""
        (one,) = parse_servers("nats://example.com")
        self.assertEqual((one.host, one.port, one.is_secure), ("example.com", 4222, False))
        two, three = parse_servers(["tls://[::1]:5000/", "example.com:1"])
        self.assertEqual((two.host, two.port, two.is_secure), ("::1", 5000, True))
        self.assertEqual((three.host, three.port), ("example.com", 1))
        self.assertEqual([two.shown, three.shown], ["[::1]:5000", "example.com:1"])

    def test_credentials(self) -> None:
        """User name and password are percent-decoded, and not shown."""
        (server,) = parse_servers("nats://me:p%40ss%2F@h:1")
        self.assertEqual((server.user, server.password), ("me", "p@ss/"))
        self.assertNotIn("p@ss", repr(server) + server.shown)

    def test_invalid(self) -> None:
        """Other URLs are refused, and the error does not show the password."""
        for rest in ("ftp://{}h", "nats://{}", "nats://{}h:x", "nats://{}h/path", "ws://{}h"):
            url = rest.format("me:opensesame@")
            error = self.assertRaises(URLError, parse_servers, url)
            self.assertNotIn("opensesame", str(error) + repr(error))
            self.assertIn("expected nats://", str(error))

    def test_token(self) -> None:
        """A user name without a password is a token, so it is not shown."""
        for url in ("nats://{}h:x", "ftp://{}h", "{}", "nats:/{}h", "nats://{}h/path"):
            error = self.assertRaises(URLError, parse_servers, url.format("opensesame@"))
            self.assertNotIn("opensesame", str(error) + repr(error))

    def test_redact(self) -> None:
        """The scheme and the place remain, whatever characters the password has."""
        for url, shown in (
            ("nats://h:1", "nats://h:1"),
            ("nats://me:pa/ss://wo@rd@h:1", "nats://...@h:1"),
            ("me:pass://word@h", "...@h"),
            ("nats://h?word", "nats://h?..."),
        ):
            self.assertEqual(redact_server(url), shown)

    def test_none(self) -> None:
        """At least one URL is needed, and each is a str."""
        self.assertRaises(ValueError, parse_servers, [])
        self.assertRaises(TypeError, parse_servers, [1])


class NeighbourTests(SynchronousTestCase):
    """The servers that another one announces."""

    def neighbour(self, url: str, place: str) -> ServerAddress | None:
        """Return a neighbour of the server with this URL."""
        return parse_servers(url)[0].neighbour(place)

    def test_same_credentials(self) -> None:
        """It has the same scheme and credentials."""
        expected = parse_servers("tls://me:secret@other:5")[0]
        self.assertEqual(self.neighbour("tls://me:secret@h:4", "other:5"), expected)

    def test_certificate(self) -> None:
        """If it has no name, its certificate must have that of the configured server."""
        found = self.neighbour("tls://h:4", "10.0.0.1:5")
        assert found is not None
        self.assertEqual(found.tls_host, "h")
        further = found.neighbour("[::2]:6")
        assert further is not None
        self.assertEqual((further.host, further.port), ("::2", 6))
        found = self.neighbour("tls://10.0.0.1:4", "10.0.0.2:5")
        assert found is not None
        self.assertIsNone(found.tls_host)

    def test_invalid(self) -> None:
        """Anything else is ignored."""
        for place in ("", "h", "h:x", ":1", "[::1:2"):
            self.assertIsNone(self.neighbour("nats://h", place))


class LoginTests(SynchronousTestCase):
    """What nats-py is given."""

    def options(self, login: Login, url: str = "nats://h") -> dict[str, str]:
        """Return the options for a server."""
        return login.options(parse_servers(url)[0])

    def file(self, text: str) -> Path:
        """Return a file with this text."""
        path = Path(self.mktemp())
        path.write_text(text, encoding="utf-8")
        return path

    def test_url(self) -> None:
        """The user and password of the URL are used, or its token, or nothing."""
        password = self.options(Login(), "nats://me:secret@h")
        self.assertEqual(password, {"user": "me", "password": "secret"})
        self.assertEqual(self.options(Login(), "nats://abc@h"), {"token": "abc"})
        self.assertEqual(self.options(Login()), {})

    def test_arguments(self) -> None:
        """Arguments come before the URL."""
        login = Login(user="you", password="other")
        found = self.options(login, "nats://me:secret@h")
        self.assertEqual(found, {"user": "you", "password": "other"})
        found = self.options(Login(token="abc"), "nats://me:secret@h")
        self.assertEqual(found, {"token": "abc"})

    def test_repr(self) -> None:
        """Secrets are not shown."""
        self.assertNotIn("opensesame", repr(Login(password="opensesame", token="opensesame")))

    def test_files(self) -> None:
        """Files are read each time."""
        seed = self.file("SUA\n")
        login = Login(nkey_file=seed)
        self.assertEqual(self.options(login), {"nkeys_seed_str": "SUA"})
        seed.write_text("SUB")
        self.assertEqual(self.options(login), {"nkeys_seed_str": "SUB"})
        login = Login(credentials_file=str(self.file(CREDENTIALS)))
        self.assertEqual(self.options(login), {"user_credentials": CREDENTIALS})

    def test_no_file(self) -> None:
        """A missing file is an error that says which one."""
        error = self.assertRaises(ClusterSetupError, self.options, Login(nkey_file="/no/seed"))
        self.assertEqual(
            error.reason, "cannot read the NKey seed file /no/seed (No such file or directory)"
        )

    def test_other_file(self) -> None:
        """A file with other contents is an error that does not show them."""
        for text in ("opensesame", "opensesame é"):
            login = Login(credentials_file=self.file(text))
            error = self.assertRaises(ClusterSetupError, self.options, login)
            self.assertIn("is not a credentials file", error.reason)
            self.assertNotIn("opensesame", error.reason)
