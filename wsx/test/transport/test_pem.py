"""Tests of ``wsx._transport.pem``: PEM texts and their files."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from wsx._transport.pem import as_sources, certificate_blocks, read_pem, split_pem

ONE, TWO = (
    b"-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----" % text for text in (b"1", b"2")
)
KEY = b"-----BEGIN PRIVATE KEY-----\nk\n-----END PRIVATE KEY-----"


class PEMTests(SynchronousTestCase):
    """Read PEM texts, and find their certificates."""

    def test_split(self) -> None:
        """The certificates are found between keys and comments; a text has at least one."""
        text = b"\n".join((KEY, ONE, b"# a comment", TWO))
        self.assertEqual(split_pem(text), [ONE, TWO])
        for nothing in (b"", KEY, b"hello"):
            self.assertRaises(ValueError, split_pem, nothing)

    def test_read(self) -> None:
        """Bytes are the text itself; anything else is a path."""
        path = Path(self.mktemp())
        path.write_bytes(ONE)
        for source in (ONE, path, str(path)):
            self.assertEqual(read_pem(source), ONE)
        self.assertRaises(OSError, read_pem, "/no/such/file.pem")

    def test_blocks(self) -> None:
        """The certificates of several sources are returned in order."""
        path = Path(self.mktemp())
        path.write_bytes(TWO)
        self.assertEqual(certificate_blocks([ONE, path]), [ONE, TWO])
        self.assertEqual(certificate_blocks(ONE), [ONE])

    def test_sources(self) -> None:
        """One source is a list of one."""
        for one in (ONE, "path", Path("path")):
            self.assertEqual(as_sources(one), [one])
        self.assertEqual(as_sources((ONE, "path")), [ONE, "path"])
