"""Tests of wsx.provider: the argument of connection providers."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx import Attempt


class AttemptTests(SynchronousTestCase):
    """The argument of a provider, a value."""

    def test_defaults(self) -> None:
        """A first attempt has no reason and no Conn, so a test of a provider needs a number only.

        A provider can be tested without a client.
        """
        attempt = Attempt(1)
        self.assertEqual((attempt.number, attempt.reason, attempt.conn), (1, None, None))

    def test_frozen(self) -> None:
        """A provider cannot change the attempt."""
        with self.assertRaises(FrozenInstanceError):
            Attempt(1).number = 2  # type: ignore[misc]

    def test_repr(self) -> None:
        """The representation shows no secret of the last Conn."""
        conn = wsx.Conn("wss://user:s3cret@example.test/?token=s3cret")
        reason = wsx.ProviderError(RuntimeError("Bearer s3cret"))
        self.assertNotIn("s3cret", repr(Attempt(2, reason, conn)))
