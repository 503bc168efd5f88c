"""Tests of wsx.backoff: delays and their bounds, Retry-After, and what is retried."""

from __future__ import annotations

import os
import random
import time
from types import SimpleNamespace
from typing import Any

from OpenSSL import SSL
from service_identity import VerificationError
from service_identity.exceptions import DNSMismatch
from service_identity.hazmat import DNS_ID
from twisted.internet.error import ConnectionLost, ConnectionRefusedError, DNSLookupError
from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx import backoff
from wsx.test.support import MemoryCase, case
from wsx.test.support.each import each

NOW = 784_111_677.0  # 100 seconds before the date in the example of RFC 9110.
EXAMPLE_DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
LONG_AGO = "Sun, 06 Nov 1994 08:00:00 GMT"
AN_HOUR = 3600.0


def draws(policy: wsx.Backoff, attempt_number: int, count: int = 2000) -> list[float]:
    """Return many delays for one attempt number."""
    delays = [policy(attempt_number) for _ in range(count)]
    assert all(delay is not None for delay in delays)
    return [delay for delay in delays if delay is not None]


def refusal(code: int = 503, **headers: str) -> wsx.RequestError:
    """Return a server's refusal; ``_`` in the name of a header stands for ``-``."""
    pairs = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return wsx.RequestError(code, "No", pairs, b"")


def lost(reason: object, attempt_number: int = 1) -> wsx.Disconnect:
    """Return a Disconnect with this reason."""
    return wsx.Disconnect(reason, attempt_number, wsx.Conn("ws://h"))


class DelayTests(SynchronousTestCase):
    """Delays by attempt number."""

    def test_defaults(self) -> None:
        """The defaults are initial 1, maximum 60, factor 2, jitter 0.5 and no limit of attempts."""
        policy = wsx.Backoff()
        found = (policy.initial, policy.maximum, policy.factor, policy.jitter, policy.max_attempts)
        self.assertEqual(found, (1.0, 60.0, 2.0, 0.5, None))

    def test_exponential(self) -> None:
        """Without jitter, each delay is the previous one times the factor, up to the maximum."""
        policy = wsx.Backoff(initial=1.5, maximum=20.0, factor=3.0, jitter=0)
        self.assertEqual([policy(n) for n in range(1, 6)], [1.5, 4.5, 13.5, 20.0, 20.0])

    def test_constant(self) -> None:
        """With factor 1, the delay is constant."""
        policy = wsx.Backoff(initial=2.0, factor=1.0, jitter=0)
        self.assertEqual({policy(n) for n in (1, 2, 50, 5000)}, {2.0})

    def test_bounds_of_jitter(self) -> None:
        """Every delay is between d(1-jitter) and d(1+jitter), and never above the maximum."""
        for jitter in (0.0, 0.1, 0.5, 1.0):
            policy = wsx.Backoff(jitter=jitter, rng=random.Random(1))
            for n in range(1, 12):
                d = min(60.0, 2.0 ** (n - 1))
                for delay in draws(policy, n, 300):
                    with case((jitter, n)):
                        self.assertGreaterEqual(delay, d * (1 - jitter))
                        self.assertLessEqual(delay, min(60.0, d * (1 + jitter)))

    def test_jitter_is_uniform(self) -> None:
        """The delays are distributed evenly over their range."""
        delays = draws(wsx.Backoff(rng=random.Random(2)), 3)  # The delays are from 2 to 6 seconds.
        for quarter in range(4):
            low = 2.0 + quarter
            share = sum(low <= delay < low + 1 for delay in delays) / len(delays)
            self.assertApproximates(share, 0.25, 0.05, f"the share from {low} on")

    def test_seeded(self) -> None:
        """Generators with the same seed yield the same delays, others do not."""
        one, same, other = (wsx.Backoff(rng=random.Random(seed)) for seed in (3, 3, 4))
        delays = draws(one, 5, 20)
        self.assertEqual(delays, draws(same, 5, 20))
        self.assertNotEqual(delays, draws(other, 5, 20))

    def test_global_random_is_untouched(self) -> None:
        """Neither creating nor using a policy changes the shared random generator."""
        before = random.getstate()
        policy = wsx.Backoff()
        draws(policy, 3, 20)
        policy.delay(lost(wsx.RemoteClose()))
        self.assertEqual(random.getstate(), before)

    def test_independent_of_global_random(self) -> None:
        """Seeding the shared random generator does not give all clients the same delays."""
        self.addCleanup(random.setstate, random.getstate())
        delays = []
        for _ in range(2):
            random.seed(5)
            delays.append(draws(wsx.Backoff(), 5, 20))
        self.assertNotEqual(*delays)

    def test_many_attempts(self) -> None:
        """The delay is the maximum for any large attempt number."""
        for policy in (
            wsx.Backoff(jitter=0),
            wsx.Backoff(1, 60, 2, 0),
            wsx.Backoff(0.001, jitter=0),
        ):
            for n in (1_000, 1_025, 5_000, 20_000):
                with case((policy, n)):
                    self.assertEqual(policy(n), 60.0)

    def test_no_delay(self) -> None:
        """An initial delay of 0 stays 0, even after thousands of attempts."""
        policy = wsx.Backoff(initial=0)
        self.assertEqual({policy(n) for n in (1, 2, 100, 1_024, 1_025, 5_000)}, {0.0})

    def test_initial_past_maximum(self) -> None:
        """The maximum also applies to the first delay."""
        self.assertEqual(wsx.Backoff(maximum=0.5, jitter=0)(1), 0.5)
        self.assertEqual(wsx.Backoff(initial=100.0, jitter=0)(1), 60.0)

    def test_max_attempts(self) -> None:
        """Past ``max_attempts``, the delay is None."""
        policy = wsx.Backoff(max_attempts=3)
        self.assertEqual([policy(n) is None for n in range(1, 6)], [False] * 3 + [True] * 2)

    def test_no_attempts(self) -> None:
        """``max_attempts=0`` gives up at once."""
        self.assertIsNone(wsx.Backoff(max_attempts=0)(1))

    def test_bad_arguments(self) -> None:
        """Invalid arguments raise ValueError."""
        nan, inf = float("nan"), float("inf")
        bad: list[dict[str, Any]] = [
            *({"initial": value} for value in (-1, nan, inf)),
            *({"maximum": value} for value in (-1, nan)),
            *({"factor": value} for value in (-1, 0, nan, inf)),
            *({"jitter": value} for value in (-0.1, 1.1, nan, inf)),
            {"max_attempts": -1},
        ]
        for arguments in bad:
            with case(arguments):
                self.assertRaises(ValueError, wsx.Backoff, **arguments)

    @each(
        [
            ("initial", "x", 'initial: expected seconds, a number of at least 0, got "x"'),
            ("maximum", -1, "maximum: expected seconds, a number of at least 0, got -1"),
            ("factor", 0.5, "factor: expected a number of at least 1, got 0.5"),
            ("jitter", 2, "jitter: expected a number from 0 to 1, got 2"),
            ("max_attempts", 1.5, "max_attempts: expected an int of at least 0 or None, got 1.5"),
        ]
    )
    def test_message(self, name: str, value: Any, message: str) -> None:
        """The error names the argument, the value and what was expected."""
        error = self.assertRaises(ValueError, wsx.Backoff, **{name: value})
        self.assertEqual(str(error), message)

    def test_repr(self) -> None:
        """``repr`` shows the arguments."""
        text = repr(wsx.Backoff(initial=2.5, maximum=77.0, max_attempts=9))
        for part in ("initial=2.5", "maximum=77.0", "max_attempts=9"):
            self.assertIn(part, text)


class PolicyTests(SynchronousTestCase):
    """A Backoff as the policy of a client: from a Disconnect to a delay."""

    def setUp(self) -> None:
        self.patch(backoff, "time", SimpleNamespace(time=lambda: NOW))
        self.policy = wsx.Backoff(initial=10.0, jitter=0)

    def test_by_attempt_number(self) -> None:
        """The delay depends on the attempt number."""
        delays = [self.policy.delay(lost(wsx.RemoteClose(), n)) for n in (1, 2, 3, 4)]
        self.assertEqual(delays, [10.0, 20.0, 40.0, 60.0])

    def test_hopeless(self) -> None:
        """A reason that is not retryable has no delay, whatever the server's Retry-After."""
        self.assertIsNone(self.policy.delay(lost(wsx.LocalClose())))
        self.assertIsNone(self.policy.delay(lost(refusal(403, Retry_After="5"))))

    def test_max_attempts(self) -> None:
        """Past ``max_attempts`` there is no delay, whatever the server's Retry-After."""
        policy = wsx.Backoff(max_attempts=1)
        self.assertIsNotNone(policy.delay(lost(refusal(Retry_After="5"), 1)))
        self.assertIsNone(policy.delay(lost(refusal(Retry_After="5"), 2)))

    def assert_delay(self, value: str, expected: float) -> None:
        """Assert that the policy of 10 seconds has this delay for this Retry-After."""
        with case(value):
            self.assertEqual(self.policy.delay(lost(refusal(Retry_After=value))), expected)

    def test_retry_after_seconds(self) -> None:
        """Retry-After in seconds is a lower bound."""
        self.assert_delay("25", 25.0)
        self.assert_delay("5", 10.0)
        self.assert_delay("0", 10.0)

    def test_retry_after_past_maximum(self) -> None:
        """Retry-After can exceed the policy's maximum."""
        self.assert_delay("61", 61.0)
        self.assert_delay("3599", 3599.0)

    def test_retry_after_is_at_most_an_hour(self) -> None:
        """The client never waits longer than an hour for Retry-After."""
        for value in ("3600", "3601", "86400", "9" * 9, "9" * 400):
            self.assert_delay(value, AN_HOUR)
        self.assert_delay("Fri, 31 Dec 2199 23:59:59 GMT", AN_HOUR)

    def test_retry_after_date(self) -> None:
        """Retry-After as a date is a lower bound: the seconds until that date."""
        self.assert_delay(EXAMPLE_DATE, 100.0)
        self.assert_delay(LONG_AGO, 10.0)

    def test_retry_after_obsolete_dates(self) -> None:
        """The two obsolete date formats are accepted (RFC 9110 section 5.6.7)."""
        self.assert_delay("Sunday, 06-Nov-94 08:49:37 GMT", 100.0)
        self.assert_delay("Sun Nov  6 08:49:37 1994", 100.0)

    def test_retry_after_date_elsewhere(self) -> None:
        """Dates are in GMT, whatever the local time zone."""
        # Clean-ups run in reverse order: this one runs after TZ is restored.
        self.addCleanup(time.tzset)
        if "TZ" in os.environ:
            self.addCleanup(os.environ.__setitem__, "TZ", os.environ["TZ"])
        else:
            self.addCleanup(os.environ.pop, "TZ", None)
        os.environ["TZ"] = "XXX-5"  # POSIX notation for five hours ahead of UTC.
        time.tzset()
        self.assert_delay(EXAMPLE_DATE, 100.0)
        self.assert_delay("Sunday, 06-Nov-94 08:49:37 GMT", 100.0)
        self.assert_delay("Sun Nov  6 08:49:37 1994", 100.0)

    def test_retry_after_spaces(self) -> None:
        """Spaces around the value are ignored."""
        self.assert_delay("  25\t", 25.0)

    def test_retry_after_malformed(self) -> None:
        """A malformed value is ignored."""
        for value in (
            "",
            " ",
            "soon",
            "-50",
            "+50",
            "50.5",
            "50, 60",
            "50s",
            "\u0665\u0660",
            "²",
            "1e3",
            "inf",
            "nan",
            "\x00",
            "Sun, 99 Foo 1994 99:99:99 GMT",
            "1994-11-06T08:49:37Z",
            "Mon, 01 Jan 99999999999999 00:00:00 GMT",
            "Sun, 06 Nov 1994 08:49:37 +999999",
            "Sun",
            ",",
            "(",
        ):
            self.assert_delay(value, 10.0)

    def test_retry_after_name(self) -> None:
        """The name of the header is case-insensitive."""
        for name in ("retry_after", "RETRY_AFTER"):
            self.assertEqual(self.policy.delay(lost(refusal(503, **{name: "25"}))), 25.0)

    def test_retry_after_of_a_proxy(self) -> None:
        """Retry-After of a proxy's refusal, which is in a ConnError, is used too."""
        reason = wsx.ConnError(refusal(Retry_After="25"))
        self.assertEqual(self.policy.delay(lost(reason)), 25.0)
        self.assertEqual(self.policy.delay(lost(wsx.ConnError(OSError("25")))), 10.0)

    def test_retry_after_is_for_refusals(self) -> None:
        """Without the header, and for other reasons, there is no lower bound."""
        for reason in (refusal(), refusal(Other="25"), wsx.RemoteClose(1013, "25")):
            with case(reason):
                self.assertEqual(self.policy.delay(lost(reason)), 10.0)


class RetryableTests(SynchronousTestCase):
    """``wsx.is_retryable``."""

    def assert_retryable(self, expected: bool, *reasons: object) -> None:
        """Assert that each of these reasons is retryable, or that none is."""
        for reason in reasons:
            with case(reason):
                self.assertIs(wsx.is_retryable(reason), expected)
                delay = wsx.Backoff().delay(lost(reason))
                self.assertEqual(delay is not None, expected)

    def test_local_close(self) -> None:
        """A LocalClose is not retried, whatever its code."""
        codes = (1000, 1001, 1011, 3000, 4999)
        self.assert_retryable(False, *(wsx.LocalClose(code, "x") for code in codes))

    @each((200, *range(300, 309), 399, 400, 401, 403, 404, 405, 407, 410, 426, 501, 505))
    def test_permanent_status(self, code: int) -> None:
        """A status that another attempt cannot change is not retried, from server or proxy."""
        self.assert_retryable(False, refusal(code), wsx.ConnError(refusal(code)))

    @each((201, 402, 406, 408, 409, 411, 418, 425, 429, 500, 502, 503, 504, 506))
    def test_other_status(self, code: int) -> None:
        """Every other status is retried."""
        self.assert_retryable(True, refusal(code), wsx.ConnError(refusal(code)))

    def test_hopeless_close_codes(self) -> None:
        """The server's close codes 1002, 1003, 1007, 1008, 1009 and 1010 are not retried."""
        codes = (1002, 1003, 1007, 1008, 1009, 1010)
        self.assert_retryable(False, *(wsx.RemoteClose(code) for code in codes))

    def test_other_close_codes(self) -> None:
        """Every other close code of the server is retried, including the normal ones."""
        codes = (1000, 1001, 1005, 1011, 1012, 1013, 1014, 3000, 4000, 4999)
        self.assert_retryable(True, *(wsx.RemoteClose(code) for code in codes))

    def test_cluster(self) -> None:
        """A cluster that cannot be reached is retried, one that refuses is not."""
        self.assert_retryable(True, wsx.ClusterError("no answer"))
        self.assert_retryable(False, wsx.ClusterError("wrong password", is_permanent=True))

    def test_certificate(self) -> None:
        """A certificate that does not verify is not retried, for its chain or for its name."""
        self.assert_retryable(
            False,
            wsx.ConnError(SSL.Error([("SSL routines", "", "certificate verify failed")])),
            wsx.ConnError(
                VerificationError(errors=[DNSMismatch(mismatched_id=DNS_ID("example.test"))])
            ),
            wsx.ConnError(
                SSL.Error([("SSL routines", "", "certificate verify failed")]),
                "the server's certificate has expired",
            ),
        )

    def test_other_connection_errors(self) -> None:
        """DNS errors, TCP errors, timeouts and other TLS errors are retried."""
        self.assert_retryable(
            True,
            wsx.ConnError(DNSLookupError()),
            wsx.ConnError(ConnectionRefusedError()),
            wsx.ConnError(ConnectionLost()),
            wsx.ConnError(TimeoutError()),
            wsx.ConnError(OSError("certificate")),
            wsx.ConnError(SSL.Error([("SSL routines", "", "wrong version number")])),
        )

    def test_other_reasons(self) -> None:
        """Lost connections, timeouts and protocol errors are retried."""
        self.assert_retryable(
            True,
            wsx.ConnectionDropped(ConnectionLost()),
            wsx.PingTimeout(),
            wsx.DataTimeout(),
            wsx.FrameError("reserved bits", 1, 1002),
            wsx.FrameError("too big", 1, 1009),
            wsx.HandshakeError("due", "came"),
            wsx.FrameEncodeError("too long", "ping", b"", None),
            wsx.InvalidFrameError(None),
        )


class ClientTests(MemoryCase):
    """The policy in use: the default ``handle_disconnect``."""

    def refused(self, status: str, *headers: str) -> Any:
        """Start a client with a policy and refuse its first attempt."""
        policy = wsx.Backoff(initial=10.0, jitter=0)
        handler = wsx.Handler[Any]()
        started = self.start(handler, reconnect=policy, handle_initial_conn_failure=True)
        lines = [f"HTTP/1.1 {status}", "Content-Length: 0", *headers, "", ""]
        self.peer.send("\r\n".join(lines).encode())
        self.step()
        return started

    def test_retry_after(self) -> None:
        """The next attempt is made after the delay that the server asked for."""
        started = self.refused("503 Busy", "Retry-After: 100")
        self.clock.advance(99.5)
        self.assertEqual(self.server.attempts, 1)
        self.clock.advance(0.5)
        self.assertEqual(self.server.attempts, 2)
        self.assertNoResult(started)
        self.peer.answer()
        self.step()
        self.successResultOf(started)

    def test_hopeless(self) -> None:
        """After a refusal that is not retried, there is no other attempt."""
        started = self.refused("403 Forbidden", "Retry-After: 1")
        self.assertEqual(self.failureResultOf(started, wsx.RequestError).value.code, 403)
        self.clock.advance(10_000)
        self.assertEqual(self.server.attempts, 1)
