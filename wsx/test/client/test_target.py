"""Tests of wsx._client.target: what the user's callables return for each attempt."""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from wsx import Conn, ConnError, Disconnect, RequestError
from wsx._client.target import ProviderCall, Target
from wsx._options import Provided
from wsx._scheduler import scheduler_for
from wsx.test.support import URL
from wsx.test.support.each import each

UNAUTHORIZED = RequestError(401, "Unauthorized")


class TargetCase(SynchronousTestCase):
    """Base class: a clock, and a watcher that reports nothing."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.scheduler = scheduler_for(self.clock)
        self.monotonic = self.clock.seconds
        self.blocked: list[tuple[float, str]] = []
        self.results: list[Any] = []
        self.errors: list[Any] = []

    def check_blocked_since(self, began: float, callback: str) -> None:
        self.blocked.append((began, callback))

    def call(self, function: Any, seconds: float = 6.0, now: bool = True) -> ProviderCall:
        """Start a call of a provider."""
        call = ProviderCall(self.scheduler, self, "connection provider", seconds, function, Conn)
        call.start(self.results.append, self.errors.append, now=now)
        return call

    def target(self, source: Conn | Provided) -> Target:
        return Target(self.scheduler, self, source)


def fail_to_convert(result: object) -> Conn:
    """Reject any result of a provider."""
    raise ValueError("s3cret")


class TargetTests(TargetCase):
    """Where the next attempt connects."""

    def test_conn(self) -> None:
        """A Conn needs no call."""
        target = self.target(Conn(URL))
        self.assertFalse(target.has_provider or target.has_headers_provider)
        self.assertEqual(target.conn, Conn(URL))

    def test_change(self) -> None:
        """A Conn replaces a provider, and a provider a Conn, whose options it keeps."""
        target = self.target(Conn(URL, close_timeout=1.5))
        target.change(lambda attempt: "ws://two.test/")
        self.assertTrue(target.has_provider)
        target.locate(0, None).start(self.results.append, self.errors.append, now=True)
        self.assertEqual(self.results, [Conn("ws://two.test/", close_timeout=1.5)])
        target.change(Conn(URL))
        self.assertFalse(target.has_provider)
        self.assertEqual(target.conn, Conn(URL))

    def test_attempt(self) -> None:
        """The callable learns about the last loss, but never about the placeholder."""
        attempts: list[Any] = []

        def provide(attempt: Any) -> str:
            attempts.append(attempt)
            return URL

        provided = Provided.of(provide)
        target = self.target(provided)
        for last in (
            None,
            Disconnect("lost", 1, provided.template),
            Disconnect("lost", 2, Conn(URL)),
        ):
            target.locate(0, last).start(self.results.append, self.errors.append, now=True)
        self.assertEqual([a.conn for a in attempts], [None, None, Conn(URL)])
        self.assertEqual([a.reason for a in attempts], [None, "lost", "lost"])


class RefusalTests(TargetCase):
    """Retries after 401."""

    def test_may_retry(self) -> None:
        """Only a 401 of the server, and only with a callable."""
        fixed = self.target(Conn(URL))
        self.assertFalse(fixed.may_retry(UNAUTHORIZED, Conn(URL)))
        provided = self.target(Provided.of(lambda attempt: URL))
        self.assertTrue(provided.may_retry(UNAUTHORIZED, Conn(URL)))
        for reason in (RequestError(403, "No"), ConnError(UNAUTHORIZED), None):
            self.assertFalse(provided.may_retry(reason, Conn(URL)))

    def test_headers(self) -> None:
        """A Conn whose headers were returned by a callable may be retried."""
        conn = Conn(URL, extra_headers=lambda attempt: {})
        self.assertTrue(self.target(conn).may_retry(UNAUTHORIZED, conn.with_headers({})))

    @each((URL, "ws://two.test/"))
    def test_once(self, url: str) -> None:
        """The retry is used up, whether the value is fresh or not, until a connection opens."""
        target = self.target(Provided.of(lambda attempt: URL))
        target.require_other(Conn(URL), UNAUTHORIZED)
        expected = UNAUTHORIZED if url == URL else None
        self.assertIs(target.refusal(Conn(url)), expected)
        self.assertFalse(target.may_retry(UNAUTHORIZED, Conn(url)))
        self.assertIsNone(target.refusal(Conn(URL)))
        target.opened()
        self.assertTrue(target.may_retry(UNAUTHORIZED, Conn(url)))


class CallTests(TargetCase):
    """One call of a callable."""

    def test_awaitable(self) -> None:
        """Any awaitable is accepted."""

        class Later:
            def __await__(self) -> Any:
                return iter_result()

        def iter_result() -> Any:
            return URL
            yield

        self.call(Later)
        self.assertEqual((self.results, self.errors), ([Conn(URL)], []))

    def test_later(self) -> None:
        """A call may wait for the next reactor iteration."""
        call = self.call(lambda: URL, now=False)
        self.assertEqual(self.results, [])
        self.clock.advance(0)
        self.assertEqual(self.results, [Conn(URL)])
        call.cancel()

    def test_time_limit(self) -> None:
        """The limit ends with the result, or cancels what is pending."""
        pending: Deferred[Any] = Deferred()
        self.call(lambda: pending)
        self.clock.advance(5)
        pending.callback(URL)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        hanging: Deferred[Any] = Deferred()
        self.call(lambda: hanging)
        self.clock.advance(6.1)
        self.clock.advance(0)
        self.clock.advance(0)
        self.assertTrue(hanging.called)
        self.assertIsInstance(self.errors[0].original, TimeoutError)

    @each((KeyError("s3cret"), 5))
    def test_no_context(self, result: Any) -> None:
        """A failure is reported outside of the handling of the original exception."""
        contexts: list[Any] = []

        def provide() -> Any:
            if isinstance(result, Exception):
                raise result
            return result

        call = ProviderCall(
            self.scheduler, self, "connection provider", 6.0, provide, fail_to_convert
        )
        call.start(self.results.append, lambda _: contexts.append(sys.exc_info()[0]), now=True)
        self.assertEqual((self.results, contexts), ([], [None]))

    def test_measured(self) -> None:
        """The time that a callable blocks the reactor is measured, also behind an await."""
        pending: Deferred[Any] = Deferred()

        async def provider() -> Any:
            return await pending

        self.call(provider)
        self.clock.advance(1)
        pending.callback(URL)
        names = {name for _, name in self.blocked}
        self.assertEqual((len(self.blocked), names), (2, {"connection provider"}))
