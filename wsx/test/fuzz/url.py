"""Compare the URL parser with yarl and hyperlink on valid URLs; check what it does with others."""

from __future__ import annotations

import random
from urllib.parse import quote, unquote

import hyperlink
import yarl

from wsx._url import ParsedURL, parse_url
from wsx.errors import URLError
from wsx.test.fuzz.disagreement import Disagreement

_HOSTS = (
    "example.com",
    "EXAMPLE.com",
    "a.b-c.example",
    "localhost",
    "xn--bcher-kva.example",
    "bücher.example",
    "日本語.example",
    "127.0.0.1",
    "[::1]",
    "[2001:db8::1]",
    "_service._tcp.example",
)
_TEXTS = ("", "a", "user name", "p:@/?#w", "ä€😀", "%41", "a+b", "~-._!$&'()*,;=")
_SEGMENTS = ("", "a", "b%20c", "ä", "%C3%A4", "x+y", "c;d=e", "f:g@h", "~_-", "(1)")
_QUERIES = ("", "a=b", "a=b&c=d", "q=%26%3D", "ü=1", "a+b", "k=v/w?x", "k=%20", "e=")
_NOISE = "ws://[]@:/?#%\\ \t\r\n\0ä😀\udc80.-_0123456789"


def check_random(rng: random.Random) -> None:
    """Check a random valid URL, and a random change of it."""
    url = random_url(rng)
    check_valid(url)
    check_any(change(rng, url))


def random_url(rng: random.Random) -> str:
    """Return a valid URL."""
    user = rng.choice(_TEXTS)
    login = f"{quote(user, safe='')}:{quote(rng.choice(_TEXTS), safe='')}@" if user else ""
    port = rng.choice(("", "", ":80", ":443", ":1", ":65535", f":{rng.randrange(1, 65536)}"))
    path = "".join(f"/{segment}" for segment in rng.choices(_SEGMENTS, k=rng.randrange(4)))
    query = rng.choice(_QUERIES)
    scheme = rng.choice(("ws", "wss", "http", "https", "WSS"))
    return f"{scheme}://{login}{rng.choice(_HOSTS)}{port}{path}{query and f'?{query}'}"


def change(rng: random.Random, url: str) -> str:
    """Return a URL with a random part replaced."""
    at = rng.randrange(len(url) + 1)
    new = "".join(rng.choices(_NOISE, k=rng.randrange(4)))
    return url[:at] + new + url[at + rng.randrange(3) :]


def check_valid(url: str) -> None:
    """Check that wsx accepts a valid URL, and finds the same parts as yarl and hyperlink.

    Raises:
        Disagreement: A part differs.
    """
    try:
        parsed = parse_url(url)
    except URLError as error:
        raise Disagreement(f"wsx rejects it: {error}", url) from error
    ours = parts(parsed)
    for name, theirs in (("yarl", parts_of_yarl(url)), ("hyperlink", parts_of_hyperlink(url))):
        if ours != theirs:
            raise Disagreement(f"wsx finds {ours}, {name} {theirs}", url)


Parts = tuple[str, int, str, str | None, str | None]


def parts(parsed: ParsedURL) -> Parts:
    """Return the host, port, decoded request target, user name and password."""
    target = unquote(parsed.resource)
    return parsed.host, parsed.port, target, parsed.username, parsed.password


def parts_of_yarl(url: str) -> Parts:
    """Return the same parts, parsed by yarl."""
    parsed = yarl.URL(as_ws(url))
    assert parsed.raw_host is not None and parsed.port is not None
    # In a query, yarl replaces "%20" by "+", which means the same in a form only.
    query = url.partition("?")[2]
    target = unquote(parsed.raw_path) + (f"?{unquote(query)}" if query else "")
    return parsed.raw_host, parsed.port, target, parsed.user, empty_if(parsed.password, parsed.user)


def parts_of_hyperlink(url: str) -> Parts:
    """Return the same parts, parsed by hyperlink."""
    parsed = hyperlink.DecodedURL.from_text(as_ws(url))
    host = parsed.host.encode("idna").decode() if not parsed.host.isascii() else parsed.host
    path = "/" + "/".join(parsed.path)
    target = path + (f"?{unquote(url.partition('?')[2])}" if "?" in url else "")
    user, password = parsed.user or None, None
    if user:
        password = parsed.userinfo[1] if len(parsed.userinfo) > 1 else None
    return host.lower(), parsed.port or 0, target, user, password


def as_ws(url: str) -> str:
    """Return a URL with a scheme of WebSocket, which decides about the default port."""
    scheme, colon, rest = url.partition(":")
    return f"{'wss' if scheme.lower() in ('wss', 'https') else 'ws'}{colon}{rest}"


def empty_if(password: str | None, user: str | None) -> str | None:
    """Return an empty str for a missing password: yarl does not distinguish the two."""
    return "" if password is None and user is not None else password


def check_any(url: str) -> None:
    """Check that a URL is parsed, or rejected with a URLError; and that what is parsed is stable.

    Raises:
        Disagreement: Another exception was raised, or the parts mean something else when they are
            joined again.
    """
    try:
        parsed = parse_url(url)
    except URLError:
        return
    except Exception as error:
        raise Disagreement(f"{type(error).__name__}: {error}", url) from error
    again = parse_url(f"{parsed.scheme}://{parsed.authority}{parsed.resource}")
    if parts(again)[:3] != parts(parsed)[:3]:
        raise Disagreement(f"{parts(parsed)} becomes {parts(again)}", url)
