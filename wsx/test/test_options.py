"""Tests of the options of ``start``: names, defaults, and refused values."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import twisted.internet
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

import wsx
from wsx._options import (
    START_OPTIONS,
    Options,
    Provided,
    is_placeholder,
    split_options,
    with_reactor,
)
from wsx.conn import CONN_OPTIONS
from wsx.test.support import URL
from wsx.test.support.each import each
from wsx.test.support.loops import run_in_loop
from wsx.test.support.options import DEFAULTS as OF_CONN

# Design section 4. The reactor is not in the table, because its default is global.
DEFAULTS: dict[str, Any] = {
    "async_": False,
    "handle_initial_conn_failure": False,
    "reconnect": None,
    "connect_limiter": None,
    "name": None,
    "debug": (),
    "stable_after": 5.0,
    "slow_callback": 0.5,
    "callback_warning": 10.0,
    "callback_timeout": None,
    "mailbox_limit": 10_000,
}


class NamesTests(SynchronousTestCase):
    """The names of the options."""

    def test_of_start(self) -> None:
        """The options of ``start`` are those of the design."""
        self.assertEqual(START_OPTIONS, {*DEFAULTS, "reactor"})

    def test_of_conn(self) -> None:
        """The options of Conn are its arguments, without the server's response."""
        self.assertEqual(CONN_OPTIONS, set(OF_CONN))

    def test_disjoint(self) -> None:
        """No option belongs to both."""
        self.assertEqual(START_OPTIONS & CONN_OPTIONS, frozenset())


def split(conn: wsx.Conn | str, options: dict[str, Any]) -> tuple[wsx.Conn, Options]:
    """Split options beside a URL or a Conn."""
    source, for_client = split_options(conn, options)
    assert isinstance(source, wsx.Conn)
    return source, for_client


class SplitTests(SynchronousTestCase):
    """Which option belongs to a Conn, and which to the client."""

    def test_defaults(self) -> None:
        """Without options, all have their defaults."""
        conn, options = split(URL, {})
        self.assertEqual({name: getattr(options, name) for name in DEFAULTS}, DEFAULTS)
        self.assertEqual({name: getattr(conn, name) for name in OF_CONN}, OF_CONN)
        self.assertEqual(conn.url, URL)

    def test_given(self) -> None:
        """A given option is used unchanged, and the others keep their defaults."""
        policy, name, clock = wsx.Backoff(), wsx.Via(object(), "key"), Clock()  # type: ignore[arg-type]
        limiter = wsx.ConnectLimiter(per_host=300, per_seconds=300.0)
        given: dict[str, Any] = {
            "async_": True,
            "handle_initial_conn_failure": True,
            "reconnect": policy,
            "connect_limiter": limiter,
            "name": name,
            "debug": ("trace",),
            "stable_after": 0,
            "slow_callback": None,
            "callback_warning": None,
            "callback_timeout": 60,
            "mailbox_limit": 0,
        }
        for option, value in given.items():
            _, options = split_options(URL, {option: value, "reactor": clock})
            expected = DEFAULTS | {option: value, "reactor": clock}
            self.assertEqual({key: getattr(options, key) for key in expected}, expected, option)

    def test_of_both_kinds(self) -> None:
        """Options of both kinds are separated."""
        conn, options = split(
            URL, {"close_timeout": 1.5, "name": "feed", "ping_interval": None, "async_": True}
        )
        self.assertEqual((conn.close_timeout, conn.ping_interval), (1.5, None))
        self.assertEqual((options.name, options.async_), ("feed", True))

    def test_arguments_are_left_alone(self) -> None:
        """The caller's mapping is not changed."""
        given = {"close_timeout": 1.5, "name": "feed"}
        split_options(URL, given)
        self.assertEqual(given, {"close_timeout": 1.5, "name": "feed"})

    def test_conn(self) -> None:
        """A Conn is used unchanged, with options of ``start`` beside it."""
        given = wsx.Conn(URL, close_timeout=1.5)
        conn, options = split_options(given, {"name": "feed"})
        self.assertEqual(conn, given)
        self.assertEqual(options.name, "feed")

    def test_conn_with_an_answer(self) -> None:
        """The server's response in a Conn is not kept."""
        answered = wsx.Conn(URL, close_timeout=1.5).replace(
            resp_headers=(("Set-Cookie", "a=b"),), resp_status=101, subprotocol="chat"
        )
        conn, _ = split(answered, {})
        self.assertEqual(conn, wsx.Conn(URL, close_timeout=1.5))
        self.assertEqual((conn.resp_status, conn.resp_headers, conn.subprotocol), (None, (), None))

    def test_provider(self) -> None:
        """The options beside a provider apply to a URL that it returns, not to a Conn."""
        source, options = split_options(lambda attempt: URL, {"close_timeout": 1.5, "name": "x"})
        assert isinstance(source, Provided)
        self.assertTrue(is_placeholder(source.template))
        self.assertEqual(options.name, "x")
        self.assertEqual(source.conn_for(URL), wsx.Conn(URL, close_timeout=1.5))
        conn = wsx.Conn(URL)
        self.assertIs(source.conn_for(conn), conn)
        answered = conn.answered((), 101, None, (), None)
        self.assertIsNone(source.conn_for(answered).resp_status)
        self.assertRaises(TypeError, source.conn_for, None)
        self.assertRaises(wsx.URLError, source.conn_for, "ftp://example.test/")

    def test_wrong_option_beside_a_provider(self) -> None:
        """The options beside a provider are checked at once."""
        for options in ({"close_timeout": 0}, {"extra_headers": 5}):
            self.assertRaises(ValueError, split_options, lambda attempt: URL, options)

    def test_reactor(self) -> None:
        """The default reactor is the global one."""
        from twisted.internet import reactor

        clock = Clock()
        for options, found in (
            ({}, reactor),
            ({"reactor": None}, reactor),
            ({"reactor": clock}, clock),
        ):
            self.assertIs(with_reactor(split_options(URL, options)[1]).reactor, found)

    def test_reactor_is_not_looked_for(self) -> None:
        """The global reactor is not imported before a client starts."""
        self.assertIsNone(split_options(URL, {})[1].reactor)


class LoopTests(SynchronousTestCase):
    """The global reactor, while an event loop of asyncio runs."""

    def outcome(self, reactor: object) -> object:
        """Return the reactor that a client gets, or the message of the RuntimeError."""
        self.patch(twisted.internet, "reactor", reactor)

        async def start() -> object:
            try:
                return with_reactor(split_options(URL, {})[1]).reactor
            except RuntimeError as error:
                return str(error)

        return run_in_loop(start())

    def test_other_reactor(self) -> None:
        """A reactor that does not run is an error that says what to do."""
        message = self.outcome(SimpleNamespace(running=False))
        self.assertIn("Twisted's reactor does not run on it", str(message))
        self.assertIn("asyncioreactor.install(asyncio.get_running_loop())", str(message))

    def test_other_loop(self) -> None:
        """So is the asyncio reactor of another event loop, also if it was started."""
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)
        reactor = AsyncioSelectorReactor(loop)
        reactor.running = True
        self.assertIn("does not run on it", str(self.outcome(reactor)))

    def test_same_loop(self) -> None:
        """The asyncio reactor of the loop is used, also if it was not started."""

        async def start() -> object:
            reactor = AsyncioSelectorReactor(asyncio.get_running_loop())
            self.patch(twisted.internet, "reactor", reactor)
            return reactor, with_reactor(split_options(URL, {})[1]).reactor

        reactor, found = run_in_loop(start())
        self.assertIs(reactor, found)

    def test_loop_inside_of_a_reactor(self) -> None:
        """A reactor that runs is used: it may run the loop itself."""
        reactor = SimpleNamespace(running=True)
        self.assertIs(self.outcome(reactor), reactor)

    def test_start(self) -> None:
        """The Deferred of ``start`` fails, and a task that awaits it does not wait without end."""
        self.patch(twisted.internet, "reactor", SimpleNamespace(running=False))

        async def start() -> None:
            await wsx.connect(URL)

        error = self.assertRaises(RuntimeError, run_in_loop, start())
        self.assertIn("does not run on it", str(error))


class RefusedTests(SynchronousTestCase):
    """Refused options and their messages."""

    def test_unknown(self) -> None:
        """Unknown options raise a TypeError that names exactly them, in order."""
        for target in (URL, wsx.Conn(URL)):
            error = self.assertRaises(
                TypeError, split_options, target, {"size": 1, "name": "feed", "colour": 2}
            )
            self.assertIn("colour, size", str(error))
            self.assertNotIn("name", str(error))

    @each(
        (
            ("recconect", "recconect (did you mean reconnect?)"),
            ("ping_intervall", "ping_intervall (did you mean ping_interval?)"),
            ("colour", "colour"),
        )
    )
    def test_similar(self, name: str, shown: str) -> None:
        """The message suggests an option with a similar name."""
        error = self.assertRaises(TypeError, split_options, URL, {name: 1})
        self.assertEqual(str(error), f"unknown options: {shown}")

    def test_answers_are_no_options(self) -> None:
        """Attributes of the server's response are not options."""
        for name in ("resp_headers", "resp_status", "subprotocol", "extensions", "peer", "url"):
            error = self.assertRaises(TypeError, split_options, URL, {name: None})
            self.assertIn(name, str(error))

    def test_options_of_conn_beside_a_conn(self) -> None:
        """An option of Conn beside a Conn raises a TypeError that names it."""
        for name, value in OF_CONN.items():
            error = self.assertRaises(TypeError, split_options, wsx.Conn(URL), {name: value})
            self.assertIn(name, str(error))

    def test_url(self) -> None:
        """A bad URL is a URLError; so is a value that is neither a Conn nor a str."""
        for url in ("", "example.test", "ftp://example.test", b"ws://example.test", None, 5):
            self.assertRaises(wsx.URLError, split_options, url, {})

    def test_value_of_conn(self) -> None:
        """A bad value of an option of Conn raises the error of Conn."""
        for name, value in (("close_timeout", -1), ("compression", "gzip"), ("proxy", "nonsense")):
            self.assertRaises((ValueError, TypeError), split_options, URL, {name: value})

    def test_reconnect(self) -> None:
        """A policy that is not a Backoff raises TypeError."""
        for value in (True, 1.0, wsx.Backoff, lambda n: 1.0, "always"):
            error = self.assertRaises(TypeError, Options, reconnect=value)
            self.assertIn("Backoff", str(error))

    def test_stable_after(self) -> None:
        """stable_after must be a number of seconds, 0 or more."""
        for value in (-1, -0.001, float("inf"), float("nan")):
            error = self.assertRaises(ValueError, Options, stable_after=value)
            self.assertIn("stable_after", str(error))
        odd: Any
        for odd in ("5", None, []):
            self.assertRaises((TypeError, ValueError), Options, stable_after=odd)

    @each(("slow_callback", "callback_warning", "callback_timeout"))
    def test_of_callbacks(self, name: str) -> None:
        """The time limits of callbacks must be numbers above 0, or None."""
        for value in (0, -1, float("nan"), "5", True):
            error = self.assertRaises((ValueError, TypeError), Options, **{name: value})
            self.assertIn(f"{name}: expected a number above 0 or None", str(error))

    def test_mailbox_limit(self) -> None:
        """mailbox_limit must be a number, 0 or more."""
        for value in (-1, -10_000):
            error = self.assertRaises(ValueError, Options, mailbox_limit=value)
            self.assertIn("mailbox_limit", str(error))
        odd: Any
        for odd in ("5", None, []):
            self.assertRaises((TypeError, ValueError), Options, mailbox_limit=odd)

    def test_name(self) -> None:
        """A name must be a str that is not empty, a Global or a Via."""
        self.assertRaises(ValueError, Options, name="")
        for value in (b"feed", 5, ("feed",), object()):
            self.assertRaises(TypeError, Options, name=value)

    @each(
        [
            ("async_", 1, TypeError, "async_: expected True or False, got 1"),
            ("reconnect", "x", TypeError, 'reconnect: expected a Backoff or None, got "x"'),
            (
                "connect_limiter",
                300,
                TypeError,
                "connect_limiter: expected a ConnectLimiter or None, got 300",
            ),
            ("stable_after", -1, ValueError, "stable_after: expected {number}, got -1"),
            ("mailbox_limit", "x", ValueError, 'mailbox_limit: expected {number}, got "x"'),
            ("name", 5, TypeError, "name: expected a str, Global, Via or AsyncVia, got 5"),
        ]
    )
    def test_message(self, name: str, value: Any, kind: type[Exception], message: str) -> None:
        """The error names the option, the value and what was expected."""
        error = self.assertRaises(kind, Options, **{name: value})
        self.assertEqual(str(error), message.format(number="a number of at least 0"))

    def test_message_of_an_option_beside_a_conn(self) -> None:
        """The error says what to do instead."""
        error = self.assertRaises(TypeError, split_options, wsx.Conn(URL), {"proxy": None})
        message = "options: proxy given together with a Conn (use conn.replace instead)"
        self.assertEqual(str(error), message)

    def test_frozen(self) -> None:
        """Options are immutable."""
        with self.assertRaises(AttributeError):
            Options().async_ = True  # type: ignore[misc]
