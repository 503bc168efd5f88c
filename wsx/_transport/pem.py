"""PEM texts: read them from files, and find the certificates in them."""

from __future__ import annotations

import os
import re
from typing import Any, Final

__all__ = ["as_sources", "certificate_blocks", "read_pem", "split_pem"]

_PEM_CERTIFICATE: Final = re.compile(
    rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL
)


def certificate_blocks(sources: Any) -> list[bytes]:
    """Return the certificates of ``cacerts``, each as PEM.

    Args:
        sources: PEM as bytes, a path, or a list of these.

    Raises:
        OSError: A file cannot be read.
        ValueError: A PEM text has no certificate.
    """
    return [block for source in as_sources(sources) for block in split_pem(read_pem(source))]


def as_sources(sources: Any) -> list[Any]:
    """Return the PEM texts and paths of ``cacerts`` as a list."""
    is_one = isinstance(sources, (bytes, str, os.PathLike))
    return [sources] if is_one else list(sources)


def split_pem(pem: bytes) -> list[bytes]:
    """Return the certificates of a PEM text.

    Raises:
        ValueError: There are none.
    """
    blocks = _PEM_CERTIFICATE.findall(pem)
    if not blocks:
        raise ValueError("no PEM certificate found")
    return blocks


def read_pem(source: Any) -> bytes:
    """Return a PEM text that is given as bytes or as a path.

    Raises:
        OSError: The file cannot be read.
    """
    if isinstance(source, bytes):
        return source
    with open(source, "rb") as file:
        return file.read()
