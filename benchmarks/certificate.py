"""A certificate for the TLS rows, made anew for each run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Certificate:
    """Files in PEM: what the server shows, and what clients verify it with."""

    chain_and_key: Path
    ca: Path


def make_certificate(folder: Path) -> Certificate:
    """Makes a CA, and with it a certificate for 127.0.0.1."""
    authority = trustme.CA()
    made = Certificate(folder / "server.pem", folder / "ca.pem")
    authority.cert_pem.write_to_path(str(made.ca))
    authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(
        str(made.chain_and_key)
    )
    return made
