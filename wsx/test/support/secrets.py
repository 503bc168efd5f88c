"""Planted secrets, and a run of a client that collects everything wsx writes and shows."""

from __future__ import annotations

import base64
import sys
import traceback
from io import StringIO
from pathlib import Path
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

import wsx
from wsx import Backoff, BadResponseError, Ok, Reply, Supervisor, Text, telemetry
from wsx.test.support.cases import MemoryCase
from wsx.test.support.extras import prometheus_client
from wsx.test.support.wire import close, text

# Words that occur nowhere else. Those for tokens look random, like real ones.
SECRETS = {
    "url_password": "zqurlpassword",
    "url_credentials": base64.b64encode(b"zquser:zqurlpassword").decode(),
    "query_value": "zqqueryvalue",
    "query_token": "zqQ7xK2mB9vT4nR8",
    "authorization": "zqauthorization",
    "cookie": "zqcookievalue",
    "api_key": "zqapikeyvalue",
    "secret_header": "zqtenantvalue",
    "subprotocol": "zqA7k9X2mQ4vB8nT1rW5yU3",
    "proxy_password": "zqproxypassword",
    "proxy_credentials": base64.b64encode(b"zqproxyuser:zqproxypassword").decode(),
    "certificate_path": "zqcertificatepath",
    "certificate_pem": "zqcertificatepem",
    "cast_key": "zqcastsecret",
    "info_key": "zqinfosecret",
    "state": "zqstatevalue",
    "response_cookie": "zqresponsecookie",
    "location_query": "zqlocationquery",
}
# What is not secret everywhere.
PAYLOADS = {
    "frame_received": "zqframereceived",
    "frame_sent": "zqframesent",
    "cast_text": "zqcasttext",
    "info_text": "zqinfotext",
    "close_message": "zqclosemessage",
    "handler_exception": "zqhandlerexception",
    "path": "zqpathsegment",
    "user": "zquser",
}
URL = "ws://zquser:zqurlpassword@example.test/zqpathsegment?token=zqqueryvalue&zqQ7xK2mB9vT4nR8"
PROXY = "http://zqproxyuser:zqproxypassword@proxy.test:3128"
HEADERS = {
    "Authorization": "Bearer zqauthorization",
    "Cookie": "session=zqcookievalue",
    "X-Api-Key": "zqapikeyvalue",
    "X-Tenant": "zqtenantvalue",
}
# A server that echoes the whole request, as some do with TRACE or in error pages.
_ECHO = (
    "cannot serve GET /zqpathsegment?token=zqqueryvalue&zqQ7xK2mB9vT4nR8 "
    "Authorization: Bearer zqauthorization Cookie: session=zqcookievalue "
    "X-Api-Key: zqapikeyvalue X-Tenant: zqtenantvalue "
    "Sec-WebSocket-Protocol: chat, bearer, zqA7k9X2mQ4vB8nT1rW5yU3"
)


class Feed(wsx.Handler[Any]):
    """A handler that does what its casts and frames say."""

    def handle_frame(self, frame: wsx.Frame, state: Any) -> Any:
        if frame == Text("raise"):
            raise ValueError("zqhandlerexception")
        if frame == Text("bad"):
            return {"password": "zqcastsecret"}
        return Reply(Text("zqframesent"), state)

    def handle_cast(self, message: Any, state: Any) -> Any:
        return Ok(state)


class SecretCase(MemoryCase):
    """Base class: perform a run, and collect each kind of output as one text.

    Attributes:
        found: The text of each kind of output by its name.
    """

    found: dict[str, str]

    def setUp(self) -> None:
        super().setUp()
        self.events: list[LogEvent] = []
        self.metadata: list[str] = []
        self.errors: list[BaseException] = []
        self.objects: list[str] = []
        self.statuses: list[Any] = []
        self.trace = StringIO()
        self.file = Path(self.mktemp())
        self.registry = prometheus_client.CollectorRegistry()

    def options(self, **changes: Any) -> dict[str, Any]:
        """Return the options of a client with all secrets."""
        usual = {
            "extra_headers": HEADERS,
            "secret_headers": ["X-Tenant"],
            "subprotocols": ["chat", "bearer", "zqA7k9X2mQ4vB8nT1rW5yU3"],
            "proxy": PROXY,
            "ssl_options": {"certificate": "/etc/zqcertificatepath.pem"},
            "ping_interval": None,
            "endpoint": self.server,
            "reactor": self.clock,
            "debug": ["trace", ("log", 1000), "statistics", ("log_to_file", str(self.file))],
        }
        return usual | changes

    def perform(self) -> dict[str, str]:
        """Perform the run and return the text of each kind of output by its name."""
        observer: Any = self.events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.patch(sys, "stdout", self.trace)
        telemetry.attach("secrets", list(telemetry.EVENTS), self._observe)
        self.addCleanup(telemetry.detach, "secrets")
        from wsx.prometheus import Exporter  # It needs prometheus-client.

        exporter = Exporter(self.registry)
        exporter.attach()
        self.addCleanup(exporter.detach)
        self._run_client()
        self._run_refusals()
        self._run_unusable_certificate()
        self._run_supervisor()
        self._make_errors()
        self.flushLoggedErrors()
        return self._collect()

    def _observe(self, event: str, measurements: Any, metadata: Any, config: Any) -> None:
        self.metadata.append(f"{event} {measurements!r} {metadata!r}")
        self._show(metadata["client"])
        reason = metadata.get("reason")
        if isinstance(reason, BaseException):
            self.errors.append(reason)

    def _show(self, *objects: object) -> None:
        self.objects += [f"{value!r} {value}" for value in objects]

    def start_client(self, **changes: Any) -> Any:
        """Start a client that reconnects."""
        started = self.start(
            Feed(),
            {"user": "x", "value": "zqstatevalue"},
            url=URL,
            **self.options(
                async_=True,
                handle_initial_conn_failure=True,
                reconnect=Backoff(initial=1.0, jitter=0.0),
                **changes,
            ),
        )
        client = self.successResultOf(started)
        self.step()
        return client

    def tunnel(self) -> None:
        """Let the proxy open the tunnel of the last connection."""
        self.peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        self.step()

    def _run_client(self) -> None:
        client = self.start_client(name="feed")
        self._open()
        client.cast("zqcasttext")
        client.cast({"password": "zqcastsecret"})
        client.info({"text": "zqinfotext", "token": "zqinfosecret"})
        client.send_frame(Text("zqframesent"))
        self.peer.send(text("zqframereceived"))
        self.step()
        self.statuses.append(client.sys.get_status())
        self._show(client, client.conn, client.handler, client.conn.redacted())
        self.peer.send(close(1011, "zqclosemessage"))
        self.peer.drop()
        self.step()
        self.clock.advance(1.0)
        self.step()
        self._open()
        self.peer.send(text("raise"))
        self.step()
        self._end(client)

    def _open(self) -> None:
        self.peer.transport.clear()
        self.tunnel()
        self.peer.answer(
            Sec_WebSocket_Protocol="chat", Set_Cookie="sid=zqresponsecookie", X_Served_By="me"
        )
        self.step()

    def _end(self, client: Any) -> None:
        client.stop()
        self.peer.drop(ConnectionDone())
        self.step()
        self.statuses.append(client.sys.get_status())
        self._show(client)

    def _run_refusals(self) -> None:
        for response in (
            b"HTTP/1.1 502 Bad\r\nContent-Length: %d\r\n\r\n%b" % (len(_ECHO), _ECHO.encode()),
            b"HTTP/1.1 503 %b\r\nContent-Length: 0\r\n\r\n" % _ECHO.encode(),
            b"HTTP/1.1 301 Moved\r\nLocation: https://u:zqurlpassword@h/?k=zqlocationquery\r\n"
            b"Content-Length: 0\r\n\r\n",
            b"HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer error=%b\r\nContent-Length: 0\r\n\r\n"
            % _ECHO.encode(),
            b"%b\r\n\r\n" % _ECHO.encode(),
            b"HTTP/1.1 101 OK\r\nUpgrade: %b\r\n\r\n" % _ECHO.encode(),
        ):
            client = self.start_client()
            self.tunnel()
            self.peer.send(response)
            self.step()
            self._end(client)
        client = self.start_client()
        challenge = b"HTTP/1.1 407 zqproxyuser:zqproxypassword\r\nContent-Length: 15\r\n\r\n"
        self.peer.send(challenge + b"zqproxypassword")
        self.step()
        self._end(client)

    def _run_unusable_certificate(self) -> None:
        pem = b"-----BEGIN CERTIFICATE-----\nzqcertificatepem\n-----END CERTIFICATE-----"
        options = self.options(ssl_options={"certificate": pem, "private_key": pem})
        started = wsx.start(URL.replace("ws:", "wss:"), Feed(), **options)
        self.errors.append(self.failureResultOf(started).value)

    def _run_supervisor(self) -> None:
        state = {"value": "zqstatevalue"}
        spec = Feed.child_spec(URL, state, **self.options(async_=True))
        supervisor = Supervisor([spec], reactor=self.clock, max_restarts=0)
        self._show(spec, supervisor)
        supervisor.startService()
        self.step()
        self._open()
        self._show(supervisor, supervisor.which_children(), supervisor.count_children())
        self.peer.send(text("bad"))
        self.step()
        self.peer.drop()
        self.step()
        self._show(supervisor)
        stopped = supervisor.stopService()
        self.step()
        self.successResultOf(stopped)

    def _make_errors(self) -> None:
        """Collect exceptions of wrong arguments."""
        for url in (URL + "#fragment", URL.replace("ws:", "ftp:"), URL.replace("test/", "test:x/")):
            self._collect_error(wsx.Conn, url)
        self._collect_error(wsx.Conn, URL, proxy=PROXY.replace("3128", "x"))
        self._collect_error(wsx.Conn, URL, extra_headers={"Cookie": "zqcookievalue\r\n"})
        self._collect_error(wsx.Conn, URL, extra_headers=[("Cookie: zqcookievalue", "x")])
        self._collect_error(wsx.Conn, URL, ssl_options={"certificate": 1, "zq": 2})
        self._collect_error(wsx.Conn, URL, subprotocols=["zqA7k9X2mQ4vB8nT1rW5yU3 "])
        self._collect_error(wsx.Conn, URL, cacerts="-----BEGIN zqcertificatepath")

    def _collect_error(self, function: Any, *arguments: Any, **options: Any) -> None:
        try:
            function(*arguments, **options)
        except Exception as error:
            self.errors.append(error)

    def _collect(self) -> dict[str, str]:
        self.statuses = [dict(status) for status in self.statuses]
        logs = [status.pop("log", None) for status in self.statuses]
        states = [status.pop("state", None) for status in self.statuses]
        errors = [e for e in self.errors if not isinstance(e, BadResponseError)]
        return {
            "log": "\n".join(_format(event) for event in self.events),
            "trace": self.trace.getvalue(),
            "log_to_file": self.file.read_text(),
            "telemetry": "\n".join(self.metadata),
            "repr": "\n".join(self.objects),
            "status": repr(self.statuses),
            "status_log": repr(logs),
            "status_state": repr(states),
            "error_text": "\n".join(_texts(error) for error in self.errors),
            "error_args": "\n".join(repr(error.args) for error in errors),
            "metrics": prometheus_client.generate_latest(self.registry).decode(),
        }


def _format(event: LogEvent) -> str:
    """Return the line and the traceback of a log event."""
    failure = event.get("log_failure")
    return formatEvent(event) + ("" if failure is None else failure.getTraceback())


def _texts(error: BaseException) -> str:
    """Return all texts of an exception: its text, ``repr``, summary and traceback."""
    shown = [str(error), repr(error), str(getattr(error, "summary", ""))]
    return "\n".join([*shown, *traceback.format_exception(error)])
