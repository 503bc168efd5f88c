"""A client under test: calls its methods and compares their results with the model."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

import wsx
from wsx.test.simulation.books import LogBook, TelemetryBook
from wsx.test.simulation.model import Model
from wsx.test.simulation.policy import Expectation, is_normal
from wsx.test.simulation.reactor import Owner
from wsx.test.simulation.rules import Rule
from wsx.test.simulation.server import Answer, Request, Site
from wsx.test.simulation.terms import EPSILON, Phase, close_error

if TYPE_CHECKING:
    from wsx.test.simulation.network import Link
    from wsx.test.simulation.world import World


class SubjectOwner(Owner):
    """The owner of the timers of one client."""

    __slots__ = ("subject",)

    def __init__(self, subject: Subject) -> None:
        super().__init__()
        self.subject = subject


class Promise:
    """A Deferred that must fire.

    Attributes:
        kind: The method that has returned it.
        created: When.
        due: When it must have fired at the latest; None for not later than the end of the client.
        link: The connection that it belongs to, or None.
        extra: What is expected, depending on the kind.
        cancelled: Whether the simulation has cancelled it.
        deferred: The Deferred, or None if it is not cancelled.
    """

    __slots__ = ("cancelled", "created", "deferred", "due", "extra", "fired", "kind", "link")

    def __init__(self, kind: str, created: float, due: float | None, link: Any, extra: Any) -> None:
        self.kind = kind
        self.created = created
        self.due = due
        self.link = link
        self.extra = extra
        self.deferred: Deferred[Any] | None = None
        self.fired = self.cancelled = False

    def __repr__(self) -> str:
        return f"{self.kind} of {self.created:.3f}"


class Subject:
    """One client, its model, and what it must still do.

    Args:
        world: The simulation.
        label: Its label in the trace.
        site: Its server.
        conn: Its Conn.
        options: The options of ``start``.
        rng: The source of its behaviour.
        handler: The handler; it must have an attribute ``subject``.
    """

    def __init__(
        self,
        world: World,
        label: str,
        site: Site,
        conn: wsx.Conn,
        options: dict[str, Any],
        rng: random.Random,
        handler: Any,
    ) -> None:
        self.world = world
        self.label = label
        self.site = site
        self.conn = conn
        self.options = options
        self.rng = rng
        self.latest_change: Any = None
        self.handler = handler
        self.owner = SubjectOwner(self)
        self.owns_timers = True
        self.name = options.get("name")
        self.statistics: Counter[str] = Counter()
        self.counts_all = "statistics" in options.get("debug", ())
        self.log = LogBook(self)
        self.telemetry = TelemetryBook(self)
        self.model = Model(self, conn, options)
        self.promises: dict[Promise, None] = {}
        self.parent: Any = None  # The parent to which it is linked, if any.
        self.shutdown_timers = 0  # Timers of a supervisor that stops it.
        self.start_promise: Promise | None = None
        self.connect_has_returned = False
        self.opened_in = -1  # The step in which when_open has fired last.
        self.is_ready = False  # Whether handle_connect has returned on the open connection.
        self.delayed: list[Any] = []
        self.request_order: list[object] = []
        self.messages = 0
        self._owners: list[Owner] = []
        self.on_end: Callable[[Subject], None] = lambda _: None

    @property
    def client(self) -> Any:
        return getattr(self.handler, "client", None)

    @property
    def is_alive(self) -> bool:
        return self.client is not None and not self.model.has_ended

    # Steps

    def touch(self) -> None:
        """Check what is overdue, and check this client after the step."""
        if self not in self.world.touched:
            self.world.touched[self] = None
            late = self.world.now - self.world.tolerance - EPSILON
            for promise in self.promises:
                if promise.due is not None and late > promise.due:
                    self.fail(Rule.DEFERREDS, f"{promise} is overdue since {promise.due}")
            self.model.audit()

    def enter(self) -> None:
        """Something happens to this client: it owns the timers that are created now."""
        self.touch()
        reactor = self.world.reactor
        self._owners.append(reactor.owner)
        reactor.owner = self.owner if self.owns_timers else reactor.outside

    def leave(self) -> None:
        """The opposite of :meth:`enter`."""
        self.world.reactor.owner = self._owners.pop()

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a method of the client. No callback may run meanwhile."""
        self.enter()
        self.world.calls += 1
        try:
            return function(*args)
        finally:
            self.world.calls -= 1
            self.leave()

    def fail(self, rule: Rule, text: str) -> None:
        self.world.fail(rule, self, text)

    # Deferreds

    def track(
        self, kind: str, deferred: Deferred[Any], due: float | None = None, extra: Any = None
    ) -> Promise:
        """Expect a Deferred to fire."""
        promise = Promise(kind, self.world.now, due, self.model.link, extra)
        self._keep(promise, deferred)
        return promise

    def _keep(self, promise: Promise, deferred: Deferred[Any]) -> None:
        promise.deferred = deferred
        self.promises[promise] = None
        deferred.addBoth(self._fired, promise)

    def cancel(self, kind: str) -> None:
        """Cancel a Deferred of this kind, if there is one. Cancelling ``start`` ends the client."""
        promise = next((each for each in self.promises if each.kind == kind), None)
        if promise is None or promise.deferred is None:
            return
        promise.cancelled = True
        self.enter()
        if promise is self.start_promise:
            self.model.end(("shutdown", "start was cancelled"), 1001)
        self.call(promise.deferred.cancel)
        self.leave()
        if not promise.fired:
            self.fail(Rule.DEFERREDS, f"{promise} did not fire when it was cancelled")

    def _fired(self, result: Any, promise: Promise) -> None:
        promise.fired = True
        self.promises.pop(promise, None)
        shown = type(result.value).__name__ if isinstance(result, Failure) else "ok"
        self.world.note(self, "fired", promise.kind, shown)
        if promise.cancelled and isinstance(result, Failure) and result.check(CancelledError):
            return
        getattr(self, f"_judge_{promise.kind}")(promise, result)

    def open_promises(self) -> list[Promise]:
        """Return what has not fired, in order."""
        return [promise for promise in self.promises if promise.kind != "never"]

    def _judge_send(self, promise: Promise, result: Any) -> None:
        error, timeout = promise.extra
        link = promise.link
        if error is not None:
            if not isinstance(result, Failure) or not result.check(error):
                self.fail(Rule.DEFERREDS, f"send_frame: {result!r:.80}, expected {error.__name__}")
        elif not isinstance(result, Failure):
            if link is not None and self._is_blocked(link) and promise.due != -1:
                self.fail(Rule.DEFERREDS, "send_frame fired while the write buffer is full")
        elif result.check(wsx.SendTimeout):
            expected = promise.created + (timeout or 0.0)
            if timeout is None or self.world.now < expected - EPSILON:
                self.fail(Rule.DEFERREDS, f"SendTimeout before {expected}")
        elif result.check(CancelledError) and self.model.ended:
            return  # It was awaited in a callback, which was cancelled.
        elif not result.check(wsx.ConnError) or not self.is_over(link):
            self.fail(Rule.DEFERREDS, f"send_frame: {result.value!r}")

    def is_over(self, link: Link | None) -> bool:
        """Return whether a connection has ended, or can never end."""
        return link is None or link.lost

    def _judge_close(self, promise: Promise, result: Any) -> None:
        if promise.extra is not None:
            if not isinstance(result, Failure) or not result.check(promise.extra):
                self.fail(Rule.DEFERREDS, f"close: {result!r:.80}")
        elif result is not None or not self.is_over(promise.link):
            self.fail(Rule.DEFERREDS, f"close fired with {result!r:.80} before the end")

    def _judge_ended(self, promise: Promise, result: Any) -> None:
        if isinstance(result, Failure):
            self.fail(Rule.DEFERREDS, f"{promise} failed: {result.value!r}")
            return
        if self.name is not None and wsx.whereis(self.name) is self.client:
            self.fail(Rule.NAMES, f"{self.name} is not free when terminated() fires")
        self.client_ended(result)

    def client_ended(self, reason: Any) -> None:
        """The end of the client was reported."""
        first = not self.model.has_ended
        if first:
            self.telemetry.expect("terminate", self.model.end_reason)
        self.model.client_ended(reason)
        if first:
            self._check_end()
            self.on_end(self)

    def _check_end(self) -> None:
        allowed = self.model.abandoned_timers() + self.shutdown_timers
        if self.owns_timers and self.owner.timers > allowed:
            self.fail(Rule.TIMERS, f"{self.owner.timers} timers at the end of the client")
        link = self.model.link
        if link is not None and not (self.is_over(link) or link.aborted or link.disconnecting):
            self.fail(Rule.CONNECTIONS, "the connection exists at the end of the client")
        if self.counts_all:
            self.check_statistics()

    def _judge_start(self, promise: Promise, result: Any) -> None:
        if not isinstance(result, Failure):
            if result is not self.client:
                self.fail(Rule.DEFERREDS, f"start fired with {result!r:.80}")
            if not (self.options.get("async_") or self.connect_has_returned):
                self.fail(Rule.DEFERREDS, "start fired before handle_connect had returned")
            self._react()
            return
        error = result.value
        if promise.cancelled:
            return
        if promise.extra is not None:
            if not isinstance(error, promise.extra):
                self.fail(Rule.DEFERREDS, f"start failed with {error!r}")
        elif self.connect_has_returned or self.options.get("async_"):
            self.fail(Rule.DEFERREDS, f"start failed after handle_connect: {error!r}")
        else:
            self._check_ended_error(error)

    def _judge_open(self, promise: Promise, result: Any) -> None:
        if isinstance(result, Failure):
            self._check_ended_error(result.value)
            return
        # An earlier Deferred of the same event may have closed the connection.
        is_open = self.model.is_open or self.opened_in == self.world.reactor.steps
        if result is not self.client or not (self.is_ready and is_open):
            self.fail(Rule.DEFERREDS, f"when_open fired with {result!r:.80}")
        self.opened_in = self.world.reactor.steps
        self._react()

    def _react(self) -> None:
        """Call the client from the callback of a Deferred, sometimes."""
        if self.rng.random() < 0.3 and self.is_alive and not self.world.ending:
            self.world.nested_action(self)

    def _check_ended_error(self, error: Any) -> None:
        reason = error.reason if isinstance(error, wsx.ClientEnded) else error
        if not self.is_right_reason(reason):
            self.fail(Rule.END_REASON, f"{error!r}, expected {self.model.end_reason}")

    def is_right_reason(self, reason: Any) -> bool:
        """Return whether a reason is that of the client's end."""
        from wsx.test.simulation.policy import matches

        return matches(self.model.end_reason, reason)

    def sends_must_have_fired(self) -> None:
        """The write buffer has drained."""
        for promise in self.promises:
            if promise.kind == "send" and promise.created < self.world.now:
                self.fail(Rule.DEFERREDS, f"{promise} did not fire when the buffer drained")

    def connection_promises_must_have_fired(self, link: Link) -> None:
        """A connection has ended."""
        for promise in self.promises:
            if promise.kind in ("send", "close") and promise.link is link:
                self.fail(Rule.DEFERREDS, f"{promise} did not fire when the connection ended")

    # Starting

    def start(self, starter: Callable[[], Deferred[Any]], error: Any = None) -> None:
        """Start the client.

        Args:
            starter: Calls ``wsx.start``.
            error: The exception type with which it must fail, or None.
        """
        started = self.call(starter)
        self.start_promise = self.track("start", started, extra=error)
        if error is None:
            self.watch_end()

    def watch_end(self) -> None:
        """Notice the end of the client."""
        if self.client is None:
            self.fail(Rule.DEFERREDS, "start returned without a client")
            return
        self.track("ended", self.client.terminated())

    def connect_returned(self) -> None:
        """``handle_connect`` returns."""
        self.connect_has_returned = True
        self.is_ready = self.model.is_open

    def check_start(self) -> str | None:
        """Return what is wrong with the Deferreds of ``start`` and ``when_open``, or None."""
        promise = self.start_promise
        started = self.connect_has_returned or self.options.get("async_")
        if started and promise is not None and not (promise.fired or promise.cancelled):
            return "start did not fire"
        is_open = self.is_ready and self.model.is_open and self.client.status == "open"
        if is_open and any(each.kind == "open" for each in self.promises):
            return "when_open did not fire"
        return None

    def check_name(self) -> str | None:
        """Return what is wrong with the name, or None."""
        if self.name is None or self.client is None:
            return None
        found = wsx.whereis(self.name)
        alive = not self.model.has_ended
        if alive and found is not self.client:
            return f"{self.name} is {found!r} while the client is alive"
        if not alive and found is self.client:
            return f"{self.name} still belongs to a client that has ended"
        return None

    # The opening handshake

    def check_request(self, link: Link) -> list[Any]:
        """Check the request of the opening handshake, and return it once it is complete."""
        if not link.request.endswith(b"\r\n\r\n"):
            return []
        if self.model.phase is not Phase.CONNECTING or self.model.link is not link:
            self.fail(Rule.REQUEST, f"a request in {self.model.phase.name}")
        lines = link.request.decode("latin-1").split("\r\n")[:-2]
        headers: list[Any] = [tuple(line.split(": ", 1)) for line in lines[1:]]
        conn = self.model.conn
        found = dict(headers)
        key = found.get("Sec-WebSocket-Key", "")
        expected = [("Host", conn.parsed.host_header)]
        expected += [("User-Agent", found.get("User-Agent", ""))]
        expected += [("Upgrade", "websocket"), ("Connection", "Upgrade")]
        expected += [("Sec-WebSocket-Key", key), ("Sec-WebSocket-Version", "13")]
        if conn.subprotocols:
            expected.append(("Sec-WebSocket-Protocol", ", ".join(conn.subprotocols)))
        offer = "permessage-deflate" in found.get("Sec-WebSocket-Extensions", "")
        if offer:
            expected.append(("Sec-WebSocket-Extensions", found["Sec-WebSocket-Extensions"]))
        expected += list(conn.extra_headers)
        line = f"GET {conn.parsed.resource} HTTP/1.1"
        if lines[0] != line or sorted(headers) != sorted(expected):
            self.fail(Rule.REQUEST, f"{lines}, expected {line} {expected}")
        if len(key) != 24 or not self.world.is_new_key(key) or offer != bool(conn.compression):
            self.fail(Rule.REQUEST, f"key {key}, deflate {offer}")
        return [Request(key, tuple(conn.subprotocols), offer)]

    def check_answer(self, conn: Any, answer: Answer) -> None:
        """Check the argument of ``handle_connect``."""
        found = (conn.resp_headers, conn.resp_status, conn.subprotocol, conn.extensions, conn.peer)
        extensions = tuple(answer.extensions)
        expected = (answer.headers, 101, answer.subprotocol, extensions, "192.0.2.1:443")
        if found != expected or conn.url != self.model.conn.url:
            self.fail(Rule.RESPONSE, f"{found}, expected {expected}")

    # The API

    def post(self, kind: str, message: Any) -> None:
        """Call ``cast`` or ``info``."""
        model = self.model
        self.enter()  # Time limits are checked before the expectation is computed.
        expected = model.post_error()
        function = getattr(self.client, kind)
        target = self.client if self.name is None or self.rng.random() < 0.5 else self.name
        if target is self.name and not model.has_ended:
            function = lambda what: getattr(wsx, kind)(self.name, what)  # noqa: E731
        try:
            self.call(function, message)
        except (wsx.NotConnectedError, wsx.MailboxFullError) as error:
            if type(error) is not expected:
                self.fail(Rule.MAILBOX, f"{kind} raised {error!r}, expected {expected}")
        else:
            if expected is not None:
                self.fail(Rule.MAILBOX, f"{kind} raised nothing, expected {expected.__name__}")
            model.posted(f"handle_{kind}", message)
        finally:
            self.leave()

    def send_after(self, delay: float, message: Any) -> None:
        """Call ``send_after``."""
        self.enter()
        call = self.client.send_after(delay, message)
        self.leave()
        self.delayed = [c for c in self.delayed if c.active()]
        self.delayed.append(call)
        message.due = self.world.now + delay
        original = call.func

        def fire(*args: Any, **kw: Any) -> Any:
            self.enter()
            error = self.model.post_error()
            if error is None:
                self.model.posted("handle_info", message)
            try:
                return original(*args, **kw)
            finally:
                self.leave()

        call.func = fire

    def delayed_timers(self) -> int:
        """Return the number of pending ``send_after`` calls."""
        return sum(call.active() for call in self.delayed)

    def send_frame(self, frame: Any, timeout: float | None, cancel: bool = False) -> Deferred[Any]:
        """Call ``send_frame``; return a Deferred that fires with None in any case."""
        model = self.model
        self.enter()
        state = model.connection_state()
        expected = model.send_result(frame)
        sent = self.call(self.client.send_frame, frame, timeout)
        self.leave()
        link = model.link
        blocked = expected is None and link is not None and self._is_blocked(link)
        fired = bool(sent.called)
        due = self.world.now + timeout if blocked and timeout is not None else None
        result = sent.result if fired else None
        error = result.value if isinstance(result, Failure) else None
        if isinstance(error, wsx.NotConnectedError) and error.connection_state != state:
            self.fail(Rule.DEFERREDS, f"{error!r}, expected {state}")
        promise = self.track("send", sent, -1 if fired else due, (expected, timeout))
        if fired == blocked and not (link is not None and link.raises):
            self.fail(Rule.DEFERREDS, f"send_frame fired: {fired}, buffer full: {blocked}")
        if cancel and not promise.fired:
            promise.cancelled = True
            sent.cancel()
        return sent

    def _is_blocked(self, link: Link) -> bool:
        """Return whether ``send_frame`` waits."""
        return link.write_paused or link.raises or link.lost

    def close(self, code: Any, message: Any) -> None:
        """Call ``close``."""
        model = self.model
        self.enter()
        error = close_error(code, message)
        link = model.link
        live = link is not None and link.opened
        live = live and (not link.lost or model.deferred_loss is not None)  # type: ignore[union-attr]
        if error is None:
            model.close(code, message)
        closed = self.call(self.client.close, code, message)
        self.leave()
        if not live and not closed.called:
            self.fail(Rule.DEFERREDS, "close without a connection did not fire")
        promise = Promise("close", self.world.now, None, link if live else None, error)
        self._keep(promise, closed)

    def stop(self, detail: str) -> None:
        """Call ``stop``."""
        self.enter()
        self.model.end(("shutdown", detail), 1001)
        self.track("ended", self.call(self.client.stop, detail))
        self.leave()

    def abort(self) -> None:
        """Call ``abort``."""
        self.enter()
        link = self.model.link
        if link is not None and link.reading_now:  # Frames behind the response are dropped.
            self.telemetry.ignores_received = True
            self.counts_all = False
        self.model.killed = True
        self.model.end(("shutdown", ""), 1001)
        self.call(self.client.abort)
        self.leave()

    def terminate(self, reason: Any) -> None:
        """Call ``sys.terminate``."""
        self.enter()
        ended = self.model.has_ended
        if not ended:
            self.model.end(("object", reason), 1001)
        result = self.call(self.client.sys.terminate, reason)
        self.leave()
        if ended:
            self.track("refused", result)
        else:
            self.track("ended", result)

    def _judge_refused(self, promise: Promise, result: Any) -> None:
        if not isinstance(result, Failure) or not result.check(wsx.NotConnectedError):
            self.fail(Rule.REQUESTS, f"a request to a client that has ended: {result!r:.80}")

    def suspend(self) -> None:
        """Call ``sys.suspend``."""
        if not self.model.has_ended:
            self.enter()
            self.model.suspended = True
            self.call(self.client.sys.suspend)
            self.leave()

    def resume(self) -> None:
        """Call ``sys.resume``."""
        if not self.model.has_ended:
            self.enter()
            self.model.resumed()
            self.call(self.client.sys.resume)
            self.leave()

    def mark_healthy(self) -> None:
        """Call ``mark_healthy``."""
        self.enter()
        if self.model.is_open:
            self.model.healthy = True
        self.call(self.client.mark_healthy)
        self.leave()

    def when_open(self) -> None:
        """Call ``when_open``."""
        self.track("open", self.call(self.client.when_open))

    def replace_state(self, fails: bool, cancels: bool) -> None:
        """Call ``sys.replace_state``."""
        token = object()
        error = ValueError("replace_state")

        def replace(state: Any) -> Any:
            self._request_served(token, state)
            if fails:
                raise error
            self.model.state = State(self)
            return self.model.state

        self._request(token, "replaced", (self.client.sys.replace_state, replace), error, cancels)

    def change_code(self, new_class: type, fails: bool, cancels: bool) -> None:
        """Call ``sys.change_code``."""
        token = object()
        error = ValueError("change_code")
        arguments = (
            self.client.sys.change_code,
            new_class,
            "old",
            (token, error if fails else None),
        )
        self._request(token, "changed", arguments, error if fails else None, cancels)

    def _request(
        self, token: object, kind: str, call: tuple[Any, ...], error: Any, cancels: bool
    ) -> None:
        self.enter()
        ended = self.model.has_ended
        if not ended:
            self.model.requests += 1
            self.request_order.append(token)
        result = self.call(*call)
        self.leave()
        promise = self.track("refused" if ended else kind, result, extra=(token, error))
        if cancels and not promise.fired:
            promise.cancelled = True
            self._forget_request(token)
            result.cancel()

    def _forget_request(self, token: object) -> None:
        if token in self.request_order:
            self.request_order.remove(token)
            self.model.requests -= 1

    def _request_served(self, token: object, state: Any) -> None:
        model = self.model
        if not self.request_order or self.request_order[0] is not token:
            self.fail(Rule.REQUESTS, "requests are not served in order, or twice")
        if model.pending is not None and not model.pending.cancelled:
            self.fail(Rule.REQUESTS, f"a request is served while {model.pending.name} is pending")
        if self in self.world.stack:
            self.fail(Rule.ONE_AT_A_TIME, "a request is served inside a callback")
        if state is not model.state:
            self.fail(Rule.STATE, f"a request received {state!r}, expected {model.state!r}")
        self._forget_request(token)
        if self.rng.random() < 0.3:
            self.world.nested_action(self)

    def code_change(self, old_version: Any, state: Any, extra: Any) -> Any:
        """The callback ``code_change``."""
        token, error = extra
        self.world.note(self, "code_change", "", "")
        self._request_served(token, state)
        if old_version != "old":
            self.fail(Rule.REQUESTS, f"code_change of version {old_version!r}")
        if error is not None:
            raise error
        self.latest_change = extra
        self.model.state = State(self)
        return wsx.Ok(self.model.state)

    def _judge_replaced(self, promise: Promise, result: Any) -> None:
        self._judge_request(promise, result)

    def _judge_changed(self, promise: Promise, result: Any) -> None:
        self._judge_request(promise, result)
        latest = self.client.handler.latest_change
        if latest is not self.latest_change:
            self.fail(Rule.STATE, f"the handler has {latest!r}, expected {self.latest_change!r}")

    def _judge_request(self, promise: Promise, result: Any) -> None:
        token, error = promise.extra
        if isinstance(result, Failure):
            if result.value is error:
                return
            if result.check(wsx.NotConnectedError) and self.model.phase in (
                Phase.TERMINATING,
                Phase.TERMINATED,
            ):
                self._forget_request(token)
                return
            self.fail(Rule.REQUESTS, f"{promise} failed: {result.value!r}")
        elif promise.kind == "replaced" and token in self.request_order:
            self.fail(Rule.REQUESTS, "replace_state fired before it was served")

    def inspect(self) -> None:
        """Compare what the client shows of itself with the model."""
        model, client = self.model, self.client
        self.touch()
        status = self.call(client.sys.get_status)
        expected = {
            "name": self.name,
            "handler": type(self.handler),
            "version": type(self.handler).version,
            "mailbox": model.waiting,
            "suspended": model.suspended,
            "state": model.state,
            "attempt_number": model.attempt_number(),
        }
        found = {key: status[key] for key in expected}
        if found != expected:
            self.fail(Rule.STATE, f"get_status {found}, expected {expected}")
        if client.sys.get_state() is not model.state:
            self.fail(Rule.STATE, f"get_state {client.sys.get_state()!r}")
        model.check_latency()

    def check_statistics(self) -> None:
        """Compare the statistics with the model's counts."""
        counts = self.client.sys.statistics("get") or {}
        received = counts.get("received frame", 0) + counts.get("completed fragmented frame", 0)
        posted = counts.get("received cast", 0) + counts.get("received info", 0)
        found = {"received": received, "posted": posted, "sent": counts.get("sending frame", 0)}
        expected = {key: self.statistics[key] for key in found}
        if found != expected:
            self.fail(Rule.STATISTICS, f"{found}, expected {expected}")

    def exit_reason(self) -> Expectation:
        """Return the reason of the end, for supervisors."""
        return self.model.end_reason

    def ended_normally(self) -> bool:
        return is_normal(self.model.end_reason)


class State:
    """A handler's state: a new object for each change."""

    __slots__ = ("number",)

    def __init__(self, subject: Subject) -> None:
        subject.statistics["states"] += 1
        self.number = subject.statistics["states"]

    def __repr__(self) -> str:
        return f"<state {self.number}>"
