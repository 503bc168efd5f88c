"""Draw the pictures of the documentation: ``python docs/pictures/draw.py``.

It writes the SVG files beside this script. A test compares them with what the script draws.
"""

from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path

from wsx import Backoff
from wsx._client.states import TRANSITIONS, Event, State

FOLDER = Path(__file__).parent
INK, GREY, LIGHT = "#1f2933", "#7b8794", "#e4e7eb"
BLUE, GREEN, RED, SAND = "#2f6fab", "#2c7a4b", "#b3382c", "#f3efe4"
STYLE = "font-family:system-ui,Segoe UI,Helvetica,Arial,sans-serif;font-size:13px"
ARROWS = "".join(
    f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
    f'orient="auto-start-reverse"><path d="M0 0L8 4L0 8z" fill="{color}"/></marker>'
    for name, color in {"ink": INK, "grey": GREY, "red": RED, "blue": BLUE, "green": GREEN}.items()
)
COLORS = {INK: "ink", GREY: "grey", RED: "red", BLUE: "blue", GREEN: "green"}


class Picture:
    """An SVG picture of fixed size on a white background."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" role="img" style="{STYLE}">',
            f"<title>{escape(title)}</title><defs>{ARROWS}</defs>",
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        ]

    def text(
        self,
        x: float,
        y: float,
        text: str,
        color: str = INK,
        anchor: str = "middle",
        halo: str = "#ffffff",
    ) -> None:
        """Write lines of text; y is the middle of the first line."""
        for number, line in enumerate(text.split("\n")):
            place = f'<text x="{x:g}" y="{y + 4.5 + 16 * number:g}" text-anchor="{anchor}" '
            outline = f'fill="{halo}" stroke="{halo}" stroke-width="4"'
            self.parts.append(f"{place}{outline}>{escape(line)}</text>")
            self.parts.append(f'{place}fill="{color}">{escape(line)}</text>')

    def box(
        self, x: float, y: float, w: float, h: float, text: str, fill: str = SAND, line: str = INK
    ) -> None:
        """Draw a rectangle around its centre, with lines of text."""
        self.parts.append(
            f'<rect x="{x - w / 2:g}" y="{y - h / 2:g}" width="{w:g}" height="{h:g}" rx="5" '
            f'fill="{fill}" stroke="{line}"/>'
        )
        self.text(x, y - 8 * text.count("\n"), text, halo=fill)

    def path(self, data: str, color: str = INK, arrow: bool = True, dashed: bool = False) -> None:
        """Draw a line, with an arrow at its end."""
        end = f' marker-end="url(#{COLORS[color]})"' if arrow else ""
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(
            f'<path d="{data}" fill="none" stroke="{color}" stroke-width="1.4"{dash}{end}/>'
        )

    def svg(self) -> str:
        """Return the file."""
        return "\n".join([*self.parts, "</svg>", ""])


# The lifecycle: every transition of the table must have an arrow here.

PLACES = {
    State.NEW: (90, 50),
    State.CONNECTING: (440, 50),
    State.OPEN: (750, 50),
    State.WAITING: (440, 160),
    State.DISCONNECTED: (440, 290),
    State.CLOSING: (750, 290),
    State.TERMINATED: (90, 420),
    State.TERMINATING: (440, 420),
    State.ENDING: (750, 420),
}
# Of each arrow: its path, and the place of its label and the side on which the label is.
ARROW_PATHS: dict[tuple[State, State], tuple[str, float, float, str]] = {
    (State.NEW, State.CONNECTING): ("M150 50H378", 264, 38, "middle"),
    (State.CONNECTING, State.OPEN): ("M502 50H688", 595, 38, "middle"),
    (State.OPEN, State.CLOSING): ("M750 68V270", 760, 130, "start"),
    (State.OPEN, State.DISCONNECTED): ("M695 70L502 272", 615, 178, "start"),
    (State.CLOSING, State.DISCONNECTED): ("M688 290H504", 595, 278, "middle"),
    (State.DISCONNECTED, State.WAITING): ("M460 272V180", 468, 232, "start"),
    (State.WAITING, State.DISCONNECTED): ("M420 178V270", 412, 216, "end"),
    (State.WAITING, State.CONNECTING): ("M440 142V70", 448, 106, "start"),
    (State.CONNECTING, State.DISCONNECTED): ("M385 68C330 120 330 220 386 272", 334, 138, "end"),
    (State.DISCONNECTED, State.TERMINATING): ("M440 308V400", 448, 352, "start"),
    (State.CLOSING, State.ENDING): ("M750 308V400", 0, 0, ""),
    (State.CLOSING, State.CLOSING): ("M812 282C860 270 860 310 814 298", 855, 262, "middle"),
    (State.OPEN, State.ENDING): ("M812 50C940 130 940 360 814 414", 0, 0, ""),
    (State.ENDING, State.TERMINATING): ("M688 420H504", 595, 408, "middle"),
    (State.ENDING, State.ENDING): ("M812 426C860 438 860 402 814 416", 855, 446, "middle"),
    (State.TERMINATING, State.TERMINATED): ("M378 420H154", 225, 454, "middle"),
    (State.NEW, State.TERMINATING): ("M80 68C48 300 150 400 378 416", 0, 0, ""),
    (State.CONNECTING, State.TERMINATING): ("M378 60C160 66 140 330 378 412", 150, 238, "middle"),
    (State.WAITING, State.TERMINATING): ("M378 168C295 220 300 340 380 402", 0, 0, ""),
}
SHORTER = {
    Event.START_FAILED: "first attempt\nfailed, and\nhandle_disconnect\nis not asked",
    Event.FAIL_CONNECTION: "connection failed",
    Event.ABORT: "",
    Event.OPENED: "opening handshake\ncomplete",
    Event.RECONNECT: "Reconnect",
    Event.GIVE_UP: "Ok",
    Event.LOST: "TCP connection\nended",
    Event.CLOSE: "close\nrequested",
    Event.CLOSE_TIMEOUT: "close_timeout",
    Event.TERMINATE_RETURNED: "terminate\nreturned",
}


def lifecycle() -> Picture:
    picture = Picture(940, 500, "The states of a client and the transitions between them")
    for (source, target), events in sorted_arrows().items():
        path, x, y, anchor = ARROW_PATHS[source, target]
        ends = events == [Event.END]
        picture.path(path, GREY if ends else INK, dashed=ends)
        label = ",\n".join(
            filter(None, (SHORTER.get(e, e.value) for e in events if e != Event.END))
        )
        if label and anchor:
            picture.text(x, y - 16 * label.count("\n") * (anchor == "middle"), label, BLUE, anchor)
    for state, (x, y) in PLACES.items():
        picture.box(x, y, 122, 34, state.name, "#fbe9e7" if state.is_ending else SAND)
    picture.path("M30 484H70", GREY, dashed=True)
    picture.text(78, 484, "stop, a callback that raised, or Exit", GREY, "start")
    return picture


def sorted_arrows() -> dict[tuple[State, State], list[Event]]:
    """Return the events of each arrow."""
    found: dict[tuple[State, State], list[Event]] = {}
    for (source, event), (target, _) in TRANSITIONS.items():
        found.setdefault((source, target), []).append(event)
    return found


# The order of delivery


def delivery() -> Picture:
    picture = Picture(760, 470, "The order in which a client delivers events")
    server, client, handler = 110, 380, 650
    for x, name in ((server, "server"), (client, "client"), (handler, "your handler")):
        picture.path(f"M{x} 44V450", LIGHT, arrow=False)
        picture.box(x, 26, 130, 30, name)

    def sent(y: float, text: str, color: str = INK) -> None:
        picture.path(f"M{server} {y}L{client - 4} {y + 8}", color)
        picture.text((server + client) / 2, y - 8, text, color)

    def called(y: float, text: str) -> None:
        picture.path(f"M{client} {y}H{handler - 4}", BLUE)
        picture.text((client + handler) / 2, y - 10, text, BLUE)

    def returned(y: float, text: str) -> None:
        picture.path(f"M{handler} {y}H{client + 4}", GREEN)
        picture.text((client + handler) / 2, y - 10, text, GREEN)

    sent(80, "messages 1, 2 and 3 in one read")
    called(110, "handle_frame(1, state)")
    returned(142, "Ok(state)")
    called(176, "handle_frame(2, state)")
    picture.box(handler, 230, 150, 76, "returns a Deferred,\nor awaits: pending", "#eef4fa", BLUE)
    note = "3 waits in the mailbox,\nreading is paused"
    picture.text(client - 10, 210, note, RED, "end")
    picture.text(client - 10, 256, "a cast waits too", RED, "end")
    sent(296, "message 4 stays in the kernel", GREY)
    returned(290, "the Deferred fires with Ok(state)")
    called(330, "handle_frame(3, state)")
    returned(362, "Reply(Text('x'), state)")
    called(396, "handle_cast(message, state)")
    picture.path(f"M{client} 420H{server + 4}", GREEN)
    picture.text((server + client) / 2, 410, "all replies in one write", GREEN)
    called(444, "handle_frame(4, state)")
    picture.text(client - 10, 446, "reading resumes", RED, "end")
    return picture


# Supervision


def supervision() -> Picture:
    picture = Picture(760, 330, "A tree of supervisors and clients")
    levels = {1: 30, 2: 110, 3: 200, 4: 290}

    def line(parent: tuple[float, int], child: tuple[float, int]) -> None:
        (x, level), (to, below) = parent, child
        middle = (levels[level] + levels[below]) / 2
        picture.path(
            f"M{x} {levels[level] + 20}V{middle}H{to}V{levels[below] - 22}", GREY, arrow=False
        )

    for parent, child in [
        ((380, 1), (380, 2)),
        ((380, 2), (130, 3)),
        ((380, 2), (330, 3)),
        ((380, 2), (600, 3)),
        ((600, 3), (490, 4)),
        ((600, 3), (600, 4)),
        ((600, 3), (710, 4)),
    ]:
        line(parent, child)
    picture.box(380, levels[1], 190, 40, "Application (Twisted)", LIGHT)
    picture.box(380, levels[2], 230, 44, 'Supervisor "feeds"\none_for_one', "#eef4fa", BLUE)
    picture.box(130, levels[3], 170, 44, "client Feed\npermanent")
    picture.box(330, levels[3], 170, 44, "client Orders\ntransient")
    picture.box(600, levels[3], 230, 44, 'Supervisor "devices"\none_for_all', "#eef4fa", BLUE)
    for number, x in enumerate((490, 600, 710)):
        picture.box(x, levels[4], 92, 40, f"device {number}")
    picture.text(30, 262, "started from left to right,", GREY, "start")
    picture.text(30, 280, "stopped from right to left", GREY, "start")
    picture.text(30, 304, "one_for_all: if one device ends,\nall three start again", GREY, "start")
    return picture


# Backoff

ATTEMPTS = 9
LEFT, BOTTOM, STEP, SECOND = 70.0, 300.0, 72.0, 4.0


class Fixed:
    """A random source that returns one end of the range, or its middle."""

    def __init__(self, choose: Callable[[float, float], float]) -> None:
        self.uniform = choose


def delays(choose: Callable[[float, float], float]) -> list[float]:
    """Return the delays of the default policy with this random source."""
    policy = Backoff(rng=Fixed(choose))  # type: ignore[arg-type]
    return [policy(number) or 0.0 for number in range(1, ATTEMPTS + 1)]


def backoff() -> Picture:
    picture = Picture(760, 360, "The delays of Backoff() before each attempt")
    for seconds in range(0, 61, 15):
        y = BOTTOM - seconds * SECOND
        picture.path(f"M{LEFT} {y}H720", LIGHT, arrow=False)
        picture.text(LEFT - 8, y, f"{seconds} s", GREY, "end")
    both = zip(delays(min), delays(lambda low, high: (low + high) / 2), delays(max), strict=True)
    total = 0.0
    for number, (low, middle, high) in enumerate(both, 1):
        x = LEFT + number * STEP - 30
        top, bottom = BOTTOM - high * SECOND, BOTTOM - low * SECOND
        picture.parts.append(
            f'<rect x="{x - 18:g}" y="{top:g}" width="36" height="{max(bottom - top, 2):g}" '
            f'fill="#c9dcef" stroke="{BLUE}"/>'
        )
        y = BOTTOM - middle * SECOND
        picture.path(f"M{x - 18} {y:g}H{x + 18}", RED, arrow=False)
        total += middle
        picture.text(x, BOTTOM + 16, str(number))
        picture.text(x, BOTTOM + 34, f"{total:g} s", GREY)
    picture.text(30, BOTTOM + 16, "attempt", INK)
    picture.text(30, BOTTOM + 34, "after", GREY)
    picture.text(LEFT + 10, 40, "blue: the range that jitter chooses from", BLUE, "start")
    picture.text(LEFT + 10, 58, "red: the delay without jitter", RED, "start")
    return picture


# The lifetime of a connection

PHASES = [
    (170, "DNS, TCP,\nproxy, TLS", "socket_connect_timeout", SAND),
    (150, "opening\nhandshake", "socket_recv_timeout", SAND),
    (360, "open", "ping_interval, ping_timeout, data_timeout", "#e3f1e7"),
    (110, "closing\nhandshake", "close_timeout", SAND),
    (150, "delay", "reconnect=Backoff()", LIGHT),
]
CALLS = ["", "", "handle_connect", "", "handle_disconnect"]


def lifetime() -> Picture:
    picture = Picture(1000, 220, "The lifetime of a connection")
    x = 30.0
    for (width, name, option, fill), call in zip(PHASES, CALLS, strict=True):
        picture.box(x + width / 2, 100, width, 56, name, fill)
        if call:
            picture.path(f"M{x} 40V70", BLUE)
            picture.text(x, 26, call, BLUE)
        picture.text(x + width / 2, 144, option, GREY)
        x += width
    picture.text(590, 36, "handle_frame, handle_ping, handle_pong,\nhandle_cast, handle_info", BLUE)
    picture.path("M440 72V128", GREEN, arrow=False, dashed=True)
    picture.text(446, 116, "healthy after stable_after seconds", GREEN, "start", "#e3f1e7")
    picture.path("M895 160C860 205 160 205 115 160", INK)
    picture.text(505, 194, "the next attempt")
    return picture


# Names in a cluster


def cluster() -> Picture:
    """Draw three hosts: the holder with the only connection, two standbys, and a caller."""
    picture = Picture(860, 420, "One feed on three hosts")
    picture.box(150, 45, 190, 46, "WebSocket server", LIGHT)
    hosts = [(150, "host a"), (360, "host b"), (570, "host c")]
    for x, host in hosts:
        holds = host == "host a"
        label = f"{host}\nholder\nfence 41" if holds else f"{host}\nstandby"
        picture.box(x, 185, 170, 70, label, "#e3f1e7" if holds else SAND, GREEN if holds else INK)
    picture.box(760, 185, 150, 70, "another program\nlookup, cast", LIGHT)
    picture.path("M150 150V70", GREEN)
    picture.text(162, 110, "the only connection", GREEN, "start")
    servers = [(250, "NATS server 1"), (430, "NATS server 2"), (610, "NATS server 3")]
    picture.parts.append(
        f'<rect x="150" y="295" width="560" height="100" rx="5" fill="none" stroke="{BLUE}"/>'
    )
    for x, server in servers:
        picture.box(x, 330, 150, 36, server, "#eef4fa", BLUE)
    picture.text(430, 374, "bucket wsx:  feed = host a (revision 977)", BLUE)
    picture.path("M150 221C150 270 180 290 195 312", BLUE)
    picture.text(112, 262, "renews", BLUE)
    picture.path("M360 221V292", GREY, dashed=True)
    picture.path("M570 221V292", GREY, dashed=True)
    picture.text(465, 258, "wait and try", GREY)
    picture.path("M760 221C760 262 735 290 690 312", INK)
    picture.text(772, 262, "cast")
    picture.path("M300 312C285 262 250 240 215 222", INK)
    picture.text(290, 252, "cast")
    return picture


PICTURES = {
    "lifecycle": lifecycle,
    "delivery": delivery,
    "supervision": supervision,
    "backoff": backoff,
    "lifetime": lifetime,
    "cluster": cluster,
}


def draw() -> Iterator[tuple[Path, str]]:
    """Return the path and the content of each file."""
    for name, function in PICTURES.items():
        yield FOLDER / f"{name}.svg", function().svg()


if __name__ == "__main__":
    for path, content in draw():
        path.write_text(content)
