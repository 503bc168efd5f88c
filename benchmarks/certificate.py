"""A certificate for the TLS rows, generated for each run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Certificate:
    """A server certificate and its CA, as PEM files.

    Attributes:
        chain_and_key: The server's certificate chain and private key.
        ca: The CA certificate that the clients trust.
    """

    chain_and_key: Path
    ca: Path


def make_certificate(folder: Path) -> Certificate:
    """Generate a CA and a certificate for 127.0.0.1 that it signs.

    Args:
        folder: The directory for the PEM files.
    """
    authority = trustme.CA()
    certificate = Certificate(folder / "server.pem", folder / "ca.pem")
    authority.cert_pem.write_to_path(str(certificate.ca))
    authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(
        str(certificate.chain_and_key)
    )
    return certificate
