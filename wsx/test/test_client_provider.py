"""Tests of connection providers and headers callables, with a client in memory."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.logger import formatEvent, globalLogPublisher
from twisted.python.failure import Failure

import wsx
from wsx import Attempt, Conn, ConnError, ProviderError, Reconnect, RequestError
from wsx.test.support import URL, Recorder, case
from wsx.test.support.clients import ClientCase
from wsx.test.support.each import each

UNKNOWN = "ws://provider.invalid/"


class Source:
    """A provider or headers callable that records its attempts and returns prepared results.

    Args:
        results: The result of each call, or an exception to raise; the last one is repeated.
    """

    def __init__(self, *results: Any) -> None:
        self.results = list(results)
        self.attempts: list[Attempt] = []

    def __call__(self, attempt: Attempt) -> Any:
        self.attempts.append(attempt)
        result = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        if isinstance(result, BaseException):
            raise result
        return result


class ProviderCase(ClientCase):
    """Base class: clients whose ``conn`` is a provider."""

    def begin(self, source: Any, handler: Any = None, **options: Any) -> Deferred[Any]:
        """Start a client that reconnects, also if its first connection fails."""
        defaults = {
            "url": source,
            "async_": True,
            "handle_initial_conn_failure": True,
            "reconnect": wsx.Backoff(jitter=0),
        }
        return self.start(handler or Follower(), **(defaults | options))

    def client_of(self, source: Any, handler: Any = None, **options: Any) -> wsx.Client[Any]:
        """Return such a client."""
        return self.successResultOf(self.begin(source, handler, **options))

    def refuse(self, status: str = "401 Unauthorized") -> None:
        """Refuse the last connection."""
        self.peer.send(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
        self.step()

    def wait(self, seconds: float) -> None:
        """Advance the clock, and let calls of the same time run."""
        self.clock.advance(seconds)
        self.step()

    def fail_attempt(self) -> None:
        """End the last connection before it is open."""
        self.peer.drop()
        self.step()

    def drop(self) -> None:
        """Open the last connection, then end it."""
        self.peer.answer()
        self.step()
        self.peer.drop()
        self.step()


class Follower(wsx.Handler[Any]):
    """Record the losses, and follow the policy."""

    def __init__(self) -> None:
        self.losses: list[wsx.Disconnect] = []
        self.conns: list[Conn] = []

    def handle_connect(self, conn: Conn, state: Any) -> None:
        self.conns.append(conn)

    def handle_disconnect(self, status: wsx.Disconnect, state: Any) -> Any:
        self.losses.append(status)
        return super().handle_disconnect(status, state)


async def returns(value: Any) -> Any:
    """Return a value as a coroutine."""
    return value


class EachAttemptTests(ProviderCase):
    """The provider is called before every attempt."""

    @each((lambda v: v, succeed, returns))
    def test_kinds(self, kind: Any) -> None:
        """A provider is plain, returns a Deferred or is a coroutine function."""
        started = self.start(Recorder(), url=lambda attempt: kind("ws://one.test/?token=1"))
        self.step()
        self.peer.answer()
        self.step()
        client = self.successResultOf(started)
        self.assertEqual(client.conn.url, "ws://one.test/?token=1")
        self.assertIn("/?token=1", self.server.peers[0].request[0] or "/?token=1")
        self.end(client)

    def test_each_attempt(self) -> None:
        """Every attempt asks again: after a failure and after a loss."""
        source = Source("ws://a.test/?t=1", "ws://b.test/?t=2", "ws://c.test/?t=3")
        client = self.client_of(source)
        self.assertTrue(self.peer.request[0].startswith("GET /?t=1"))
        self.fail_attempt()
        self.wait(1)
        self.assertTrue(self.peer.request[0].startswith("GET /?t=2"))
        self.assertEqual(self.peer.request[1]["host"], "b.test")
        self.drop()
        self.wait(2)
        self.assertTrue(self.peer.request[0].startswith("GET /?t=3"))
        self.end(client)

    def test_attempt(self) -> None:
        """The argument has the number, the last failure and the last Conn."""
        source = Source("ws://a.test/", "ws://b.test/")
        client = self.client_of(source)
        self.fail_attempt()
        self.wait(1)
        self.peer.answer()
        self.step()
        self.wait(10)  # The connection is healthy.
        self.peer.drop()
        self.step()
        self.wait(1)
        first, second, third = source.attempts
        self.assertEqual(first, Attempt(1, None, None))
        self.assertEqual((second.number, second.conn), (2, Conn(**self.options("ws://a.test/"))))
        self.assertIsInstance(second.reason, ConnError)
        self.assertEqual(third.number, 2)
        self.assertIsInstance(third.reason, wsx.ConnectionDropped)
        assert third.conn is not None
        self.assertEqual((third.conn.url, third.conn.resp_status), ("ws://b.test/", 101))
        self.end(client)

    def options(self, url: str) -> dict[str, Any]:
        return {"url": url, "endpoint": self.server, "ping_interval": None}

    def test_conn(self) -> None:
        """A Conn is used as it is; the options beside the provider do not apply to it."""
        conn = Conn(URL, endpoint=self.server, ping_interval=None, close_timeout=1.5)
        client = self.client_of(lambda attempt: conn, close_timeout=9.0)
        self.assertEqual(client.conn, conn)
        self.end(client)

    def test_last_conn_again(self) -> None:
        """A provider may return the last Conn, which then has no response."""
        source = Source(URL)
        client = self.client_of(lambda attempt: attempt.conn or source(attempt))
        self.drop()
        self.wait(1)
        self.assertIsNone(client.conn.resp_status)
        self.assertEqual(self.server.attempts, 2)
        self.end(client)

    def test_options_are_checked_at_once(self) -> None:
        """A wrong option beside a provider is an error of ``start``."""
        self.failed_start(self.start(Recorder(), url=Source(URL), close_timeout=-1), ValueError)
        with self.assertRaises(ValueError):
            wsx.ClientService(Source(URL), Recorder, close_timeout=-1)

    def test_reconnect_with_provider(self) -> None:
        """``Reconnect`` accepts a provider from then on; the last options apply."""
        source = Source("ws://two.test/")
        answer = Reconnect(None, conn=source, after=0)
        client = self.open(Recorder(handle_disconnect=answer), close_timeout=1.5)
        for _ in range(2):
            self.peer.drop()
            self.step()
            self.peer.answer()
            self.step()
        self.assertEqual((client.conn.url, client.conn.close_timeout), ("ws://two.test/", 1.5))
        self.assertEqual(len(source.attempts), 2)
        self.end(client)

    def test_reconnect_with_conn(self) -> None:
        """``Reconnect`` with a Conn replaces the provider."""
        source = Source("ws://one.test/")
        other = Conn("ws://two.test/", endpoint=self.server, ping_interval=None)
        handler = Recorder(handle_disconnect=Reconnect(None, conn=other, after=0))
        client = self.client_of(source, handler)
        self.drop()
        self.peer.answer()
        self.step()
        self.assertEqual(client.conn.url, "ws://two.test/")
        self.assertEqual(len(source.attempts), 1)
        self.end(client)

    def test_supervisor(self) -> None:
        """Restarts by a supervisor ask again; each client counts its attempts from 1."""
        source = Source(URL)
        service = wsx.ClientService(
            source,
            Buggy,
            reactor=self.clock,
            endpoint=self.server,
            ping_interval=None,
            reconnect=wsx.Backoff(jitter=0),
        )
        service.startService()
        self.drop()
        self.wait(1)
        self.assertEqual([attempt.number for attempt in source.attempts], [1, 1])
        self.flushLoggedErrors(ValueError)
        stopped = service.stopService()
        self.step()
        self.successResultOf(stopped)

    def test_before_the_reactor_runs(self) -> None:
        """The provider waits for the reactor, because asyncio's event loop runs only then."""
        source = Source(URL)
        self.clock.running = False  # type: ignore[attr-defined]
        client = self.client_of(source)
        self.assertEqual(source.attempts, [])
        self.clock.running = True  # type: ignore[attr-defined]
        self.step()
        self.assertEqual(len(source.attempts), 1)
        self.end(client)

    def test_stop_before_the_reactor_runs(self) -> None:
        """A client that is stopped before that never calls its provider."""
        source = Source(URL)
        self.clock.running = False  # type: ignore[attr-defined]
        client = self.client_of(source)
        self.successResultOf(self.stop(client))
        self.assertEqual(source.attempts, [])

    def stop(self, client: wsx.Client[Any]) -> Deferred[Any]:
        stopped = client.stop()
        self.step()
        return stopped


class Buggy(wsx.Handler[Any]):
    """A handler whose client ends at each connection."""

    def handle_connect(self, conn: Conn, state: Any) -> Any:
        raise ValueError("bug")


class LimiterTests(ProviderCase):
    """Providers beside a ``connect_limiter``."""

    def test_order(self) -> None:
        """The provider is called before the wait, because it names the host; the headers after."""
        limiter = wsx.ConnectLimiter(per_host=1, per_seconds=10)
        headers = Source({"X": "1"})
        sources = [Source("ws://one.test/"), Source("ws://one.test/")]
        clients = [
            self.client_of(source, connect_limiter=limiter, extra_headers=headers)
            for source in sources
        ]
        self.assertEqual([len(source.attempts) for source in sources], [1, 1])
        self.assertEqual((len(headers.attempts), self.server.attempts), (1, 1))
        self.wait(10)
        self.assertEqual((len(headers.attempts), self.server.attempts), (2, 2))
        for client in clients:
            client.abort()
        self.step()


class HeadersTests(ProviderCase):
    """Headers callables."""

    @each((lambda v: v, succeed, returns))
    def test_each_attempt(self, kind: Any) -> None:
        """The callable is called before every attempt."""
        source = Source(*[kind({"Authorization": f"Bearer {n}"}) for n in (1, 2)])
        client = self.client_of(URL, extra_headers=source)
        self.step()
        self.assertEqual(self.peer.request[1]["authorization"], "Bearer 1")
        self.drop()
        self.wait(1)
        self.assertEqual(self.peer.request[1]["authorization"], "Bearer 2")
        self.assertEqual([attempt.number for attempt in source.attempts], [1, 2])
        self.end(client)

    def test_of_a_conn(self) -> None:
        """A Conn may have a headers callable; ``handle_connect`` sees the headers."""
        conn = Conn(URL, extra_headers=[("a", "b")], endpoint=self.server, ping_interval=None)
        conn = conn.replace(extra_headers=lambda attempt: {"X-Token": "s3cret"})
        handler = Follower()
        client = self.successResultOf(wsx.start(conn, handler, reactor=self.clock, async_=True))
        self.peer.answer()
        self.step()
        self.assertEqual(handler.conns[0].extra_headers, (("X-Token", "s3cret"),))
        self.end(client)

    def test_changed_conn(self) -> None:
        """A Conn derived from the last one still has the callable."""
        source = Source({"N": "1"}, {"N": "2"})

        def elsewhere(status: wsx.Disconnect, state: Any) -> Any:
            return Reconnect(state, conn=status.conn.replace(url="ws://two.test/"), after=0)

        client = self.client_of(URL, Recorder(handle_disconnect=elsewhere), extra_headers=source)
        self.drop()
        sent = self.peer.request[1]
        self.assertEqual((sent["host"], sent["n"]), ("two.test", "2"))
        self.end(client)

    @each((5, "Authorization: x", {"Bad Name": "s3cret"}, {"A": "s3cret\n"}, lambda: None, None))
    def test_wrong(self, headers: Any) -> None:
        """Wrong headers are a ProviderError that shows no value."""
        error = self.failed_start(
            self.start(Recorder(), extra_headers=lambda attempt: headers), ProviderError
        )
        self.assertIsInstance(error.original, ValueError)
        self.assertTrue(str(error).startswith("extra_headers callable failed: "), str(error))
        self.assertNotIn("s3cret", repr(error))


class FailureTests(ProviderCase):
    """A provider that fails counts as a failed connection."""

    @each(
        (
            (ValueError("x"), ValueError),
            (fail(ValueError("x")), ValueError),
            (5, TypeError),
            (None, TypeError),
            (b"ws://one.test/", TypeError),
            ("ftp://one.test/", wsx.URLError),
            (succeed(["ws://one.test/"]), TypeError),
            (fail(CancelledError()), CancelledError),
        )
    )
    def test_failures(self, result: Any, original: type[Exception]) -> None:
        """Exceptions and wrong results fail the start with a ProviderError."""
        error = self.failed_start(self.start(Recorder(), url=Source(result)), ProviderError)
        self.assertIsInstance(error.original, original)

    def test_retried(self) -> None:
        """``handle_disconnect`` receives the error, and the policy retries."""
        source = Source(KeyError("access_token"), 5, URL)
        handler = Follower()
        client = self.client_of(source, handler)
        self.step()
        self.wait(1)
        self.wait(2)
        self.assertEqual([status.attempt_number for status in handler.losses], [1, 2])
        for status in handler.losses:
            self.assertIsInstance(status.reason, ProviderError)
            self.assertTrue(wsx.is_retryable(status.reason))
            self.assertEqual(status.conn.url, UNKNOWN)
        self.assertEqual([attempt.number for attempt in source.attempts], [1, 2, 3])
        self.assertIs(source.attempts[2].reason, handler.losses[1].reason)
        self.assertIsNone(source.attempts[2].conn)
        self.assertEqual(self.server.attempts, 1)
        self.end(client)

    def test_after_a_connection(self) -> None:
        """A provider that fails after a loss is a failed attempt, not a lost connection."""
        source = Source(URL, RuntimeError("down"), URL)
        handler = Follower()
        client = self.client_of(source, handler)
        self.drop()
        self.wait(1)
        self.wait(2)
        self.assertEqual([status.attempt_number for status in handler.losses], [1, 2])
        self.assertEqual(handler.losses[1].conn.url, URL)
        self.peer.answer()
        self.step()
        self.end(client)

    def test_time_limit(self) -> None:
        """A provider that hangs is cancelled after ``socket_connect_timeout``."""
        cancelled: list[Any] = []
        pending: Deferred[Any] = Deferred(cancelled.append)
        started = self.start(Recorder(), url=Source(pending), socket_connect_timeout=3.0)
        self.wait(2.9)
        self.assertEqual(cancelled, [])
        self.wait(0.2)
        error = self.failed_start(started, ProviderError)
        self.assertIsInstance(error.original, TimeoutError)
        self.assertEqual(str(error), "connection provider failed: it took longer than 3 s")
        self.assertEqual(cancelled, [pending])

    def test_late_result(self) -> None:
        """A result after the time limit is ignored."""
        pending: Deferred[Any] = Deferred(lambda _: None)
        handler = Follower()
        client = self.client_of(Source(pending, URL), handler)
        self.wait(6.1)
        self.assertEqual(len(handler.losses), 1)
        self.wait(1)
        self.assertEqual(self.server.attempts, 1)
        self.end(client)

    def test_system_exit(self) -> None:
        """SystemExit counts as a failed attempt, and is raised again for the reactor."""
        handler = Follower()
        client = self.client_of(Source(URL, SystemExit(3), URL), handler)
        self.drop()
        self.assertRaises(SystemExit, self.clock.advance, 1)
        self.step()
        self.assertIsInstance(handler.losses[1].reason, ProviderError)
        client.abort()
        self.step()

    def test_blocks_the_reactor(self) -> None:
        """A provider that blocks the reactor for too long is named in the log."""
        logged = collect_log(self)

        def slow(attempt: Attempt) -> str:
            self.clock.rightNow += 2.0
            return URL

        client = self.client_of(slow)
        self.assertIn("connection provider blocked the reactor for 2.00 s", "\n".join(logged))
        self.end(client)


class CancelTests(ProviderCase):
    """Ending a client while its provider is pending."""

    def pend(self, **options: Any) -> tuple[wsx.Client[Any], Deferred[Any], list[Any]]:
        """Return a client whose provider is pending."""
        cancelled: list[Any] = []
        pending: Deferred[Any] = Deferred(cancelled.append)
        client = self.client_of(Source(pending, URL), **options)
        self.assertEqual(client.status, "connecting")
        return client, pending, cancelled

    def test_stop(self) -> None:
        """``stop`` cancels the provider's Deferred."""
        client, pending, cancelled = self.pend()
        stopped = client.stop()
        self.step()
        self.assertEqual(self.successResultOf(stopped), wsx.Shutdown())
        self.assertEqual(cancelled, [pending])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_close(self) -> None:
        """``close`` cancels it; the attempt counts as lost with LocalClose."""
        handler = Follower()
        client, pending, cancelled = self.pend(handler=handler)
        self.successResultOf(client.close())
        self.step()
        self.assertEqual(cancelled, [pending])
        self.assertEqual(handler.losses[0].reason, wsx.LocalClose())
        self.assertEqual(client.status, "terminated")

    def test_cancel_start(self) -> None:
        """Cancelling the Deferred of ``start`` cancels it."""
        cancelled: list[Any] = []
        pending: Deferred[Any] = Deferred(cancelled.append)
        started = self.start(Recorder(), url=Source(pending))
        started.cancel()
        self.step()
        self.failureResultOf(started, CancelledError)
        self.assertEqual(cancelled, [pending])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_headers(self) -> None:
        """``stop`` cancels a headers callable as well."""
        cancelled: list[Any] = []
        pending: Deferred[Any] = Deferred(cancelled.append)
        client = self.client_of(URL, extra_headers=Source(pending))
        client.stop()
        self.step()
        self.assertEqual((cancelled, client.status), ([pending], "terminated"))

    @each((URL, Deferred(), ValueError("x")))
    def test_provider_stops_the_client(self, result: Any) -> None:
        """A provider may stop its own client; its result is ignored."""
        clients: list[wsx.Client[Any]] = []
        source = Source(URL, result)

        def provider(attempt: Attempt) -> Any:
            if clients:
                clients[0].stop()
            return source(attempt)

        clients.append(self.client_of(provider))
        self.drop()
        self.wait(1)
        self.assertEqual(clients[0].status, "terminated")
        self.assertEqual(self.server.attempts, 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_fails_after_cancel(self) -> None:
        """An error of a cancelled provider is logged, without its secrets."""
        logged = collect_log(self)
        pending: Deferred[Any] = Deferred(
            lambda d: d.errback(RuntimeError("https://auth.test/?key=s3cret"))
        )
        client = self.client_of(Source(pending))
        client.stop()
        self.step()
        self.assertIn("https://auth.test/?key=... (after it was cancelled)", "\n".join(logged))
        self.assertNotIn("s3cret", "\n".join(logged))


class UnauthorizedTests(ProviderCase):
    """A 401 is retried once if the callable then returns something else."""

    def lost(self, handler: Follower) -> list[int]:
        return [s.reason.code for s in handler.losses if isinstance(s.reason, RequestError)]

    def test_fresh_value(self) -> None:
        """After a 401, a fresh token is tried."""
        handler = Follower()
        client = self.client_of(Source("ws://a.test/?t=1", "ws://a.test/?t=2"), handler)
        self.refuse()
        self.assertEqual(client.status, "disconnected")
        self.wait(1)
        self.assertTrue(self.peer.request[0].startswith("GET /?t=2"))
        self.peer.answer()
        self.step()
        self.assertEqual(client.status, "open")
        self.end(client)

    def test_fresh_headers(self) -> None:
        """The same holds for headers."""
        client = self.client_of(URL, extra_headers=Source({"A": "1"}, {"A": "2"}))
        self.refuse()
        self.wait(1)
        self.assertEqual(self.peer.request[1]["a"], "2")
        self.end(client)

    def test_only_once(self) -> None:
        """If the fresh token is refused as well, the client ends."""
        handler = Follower()
        source = Source("ws://a.test/?t=1", "ws://a.test/?t=2", "ws://a.test/?t=3")
        client = self.client_of(source, handler)
        self.refuse()
        self.wait(1)
        self.refuse()
        self.assertEqual(client.status, "terminated")
        self.assertEqual((self.lost(handler), client.gave_up), ([401, 401], True))
        self.assertEqual((len(source.attempts), self.server.attempts), (2, 2))

    def test_again_after_a_connection(self) -> None:
        """An open connection allows another retry: the token has expired since."""
        source = Source(*[f"ws://a.test/?t={n}" for n in (1, 2, 3, 4)])
        client = self.client_of(source)
        self.refuse()
        self.wait(1)
        self.drop()
        self.wait(4)
        self.refuse()
        self.wait(4)
        self.assertTrue(self.peer.request[0].startswith("GET /?t=4"), self.peer.request)
        self.end(client)

    def test_same_value(self) -> None:
        """If the callable returns the same, no attempt is made, and the 401 ends the client."""
        logged = collect_log(self)
        handler = Follower()
        source = Source("ws://a.test/?t=s3cret")
        client = self.client_of(source, handler)
        self.refuse()
        self.wait(1)
        self.assertEqual(client.status, "terminated")
        self.assertEqual((self.lost(handler), self.server.attempts), ([401, 401], 1))
        self.assertEqual(len(source.attempts), 2)
        self.assertIn("same URL and headers", "\n".join(logged))
        self.assertNotIn("s3cret", "\n".join(logged))

    @each((400, 403, 404))
    def test_other_refusals(self, code: int) -> None:
        """Other refusals that are not retried are not retried with a provider either."""
        client = self.client_of(Source("ws://a.test/?t=1", "ws://a.test/?t=2"))
        self.refuse(f"{code} No")
        self.assertEqual(client.status, "terminated")

    def test_without_callable(self) -> None:
        """Without a callable, a 401 is not retried."""
        client = self.client_of(URL)
        self.refuse()
        self.assertEqual(client.status, "terminated")

    def test_after_a_failed_provider(self) -> None:
        """A provider that fails in between does not use up the retry."""
        source = Source("ws://a.test/?t=1", RuntimeError("down"), "ws://a.test/?t=2")
        client = self.client_of(source)
        self.refuse()
        self.wait(1)
        self.wait(2)
        self.assertTrue(self.peer.request[0].startswith("GET /?t=2"))
        self.end(client)

    def test_max_attempts(self) -> None:
        """The policy may give up before."""
        backoff = wsx.Backoff(jitter=0, max_attempts=0)
        client = self.client_of(Source("ws://a.test/1", "ws://a.test/2"), reconnect=backoff)
        self.refuse()
        self.assertEqual(client.status, "terminated")

    def test_retry_after(self) -> None:
        """A ``Retry-After`` of the refusal is a lower bound."""
        client = self.client_of(Source("ws://a.test/1", "ws://a.test/2"))
        self.refuse("401 Unauthorized\r\nRetry-After: 7")
        self.wait(6.9)
        self.assertEqual(self.server.attempts, 1)
        self.wait(0.2)
        self.assertEqual(self.server.attempts, 2)
        self.end(client)

    def test_handler_decides(self) -> None:
        """A handler that reconnects without asking the policy is obeyed, with any value."""
        handler = Recorder(handle_disconnect=Reconnect(None, after=1))
        client = self.client_of(Source("ws://a.test/"), handler)
        for attempts in (2, 3):
            self.refuse()
            self.wait(1)
            self.assertEqual(self.server.attempts, attempts)
        self.end(client)


class SecretTests(ProviderCase):
    """No log line, repr or error shows a secret of a URL or header."""

    def test_log(self) -> None:
        """Secrets of failing providers and of refused attempts are hidden."""
        logged = collect_log(self)
        token = "s3cretS3cretS3cret"
        source = Source(
            RuntimeError(f"GET https://auth.test/?key={token} failed"),
            RuntimeError(f"Authorization: Bearer {token}"),
            f"ws://user:{token}@a.test/?token={token}",
            f"ftp://a.test/?token={token}",
            Conn(
                f"ws://a.test/?token={token}",
                extra_headers=partial(headers, token),
                endpoint=self.server,
                ping_interval=None,
            ),
        )
        client = self.client_of(source, debug=["log"])
        shown = [repr(client)]
        for seconds in (1, 2, 4, 8, 16):
            self.step()
            if self.server.peers and not self.peer.transport.ended:
                self.peer.send(f"HTTP/1.1 503 No {token}\r\n\r\n".encode())
                self.peer.drop()
            self.step()
            self.wait(seconds)
            shown += [repr(client), repr(client.conn), repr(client.sys.get_status())]
        shown += [repr(attempt) for attempt in source.attempts]
        self.assertEqual(len(source.attempts), 6)
        client.abort()
        self.step()
        self.assertNotIn(token, "\n".join([*logged, *shown]))

    def test_placeholder(self) -> None:
        """Before the provider has returned, the client shows a placeholder."""
        client = self.client_of(lambda attempt: Deferred())
        self.assertEqual(client.conn.url, UNKNOWN)
        self.assertIn(UNKNOWN, repr(client))
        client.abort()
        self.step()


def headers(token: str, attempt: Attempt) -> Any:
    """Return headers with a token."""
    return {"Authorization": f"Bearer {token}"}


class LogTests(ProviderCase):
    """Log lines and telemetry."""

    def test_line(self) -> None:
        """The line names the callable, the error, where it was raised, and what follows."""

        def provider(attempt: Attempt) -> str:
            return dict[str, str]()["access_token"]

        logged = collect_log(self)
        client = self.client_of(provider, name="feed")
        self.step()
        self.assertRegex(
            "\n".join(logged),
            r"feed: connection provider failed \(KeyError: 'access_token' "
            r"\(test_client_provider.py, line \d+\)\); reconnecting in 1.0 s \(attempt 1\)",
        )
        client.abort()
        self.step()

    def test_refused(self) -> None:
        """A failed attempt names the URL that the provider returned."""
        self.server.refusal = ConnectionRefusedError()
        logged = collect_log(self)
        client = self.client_of(Source("ws://a.test/?t=s3cret"))
        self.step()
        self.assertIn("connecting to ws://a.test/?t=... failed", "\n".join(logged))
        client.abort()
        self.step()

    def test_wrong_headers(self) -> None:
        """For a wrong result, no line of wsx is shown as if it were the user's."""
        started = self.start(Recorder(), extra_headers=lambda attempt: None)
        self.assertEqual(
            str(self.failureResultOf(started, ProviderError).value),
            "extra_headers callable failed: ValueError: extra_headers: expected a mapping or a "
            "list of pairs, got NoneType",
        )

    def test_failed_after_limits(self) -> None:
        """Each case of a wrong result has its own text."""
        for result, text in (
            (5, "TypeError: result: expected a URL or a Conn, got int"),
            ("ftp://a.test/", 'URL "ftp://a.test/": unknown scheme'),
        ):
            with case(result):
                started = self.start(Recorder(), url=Source(result))
                self.assertIn(text, str(self.failureResultOf(started, ProviderError).value))


def collect_log(test: ClientCase) -> list[str]:
    """Return a list to which every log line of the test is added."""
    lines: list[str] = []

    def observe(event: Any) -> None:
        failure: Failure | None = event.get("log_failure")
        lines.append(formatEvent(event) + (failure.getTraceback() if failure else ""))

    globalLogPublisher.addObserver(observe)  # type: ignore[arg-type]
    test.addCleanup(globalLogPublisher.removeObserver, observe)  # type: ignore[arg-type]
    return lines
