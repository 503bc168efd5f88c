"""Send an Authorization header, and print the messages that arrive.

    AUTHORIZATION="Bearer s3cret" python authorization_header.py wss://example.com/feed

The value is read from the environment, because other users can see the command line.
"""

import os
import sys
from typing import Any

from twisted.internet.task import react

import wsx
from wsx import Conn, Frame, Handler, Ok, RequestError


class Printer(Handler[None]):
    """Print each message, until the server or Ctrl-C ends the connection."""

    def handle_connect(self, conn: Conn, state: None) -> Ok[None]:
        print("Connected:", self.client)
        return Ok(state)

    def handle_frame(self, frame: Frame, state: None) -> Ok[None]:
        print("Received", frame)
        return Ok(state)


def authorized(url: str) -> Conn:
    """Return a Conn with the Authorization header from the environment."""
    try:
        return Conn(url, extra_headers={"Authorization": os.environ["AUTHORIZATION"]})
    except KeyError:
        sys.exit("Set the environment variable AUTHORIZATION, such as to 'Bearer s3cret'.")


def explain(error: wsx.WsxError) -> str:
    """Return one line that says why the connection failed."""
    match error:
        case RequestError(code=401, headers=headers):
            wanted = [value for name, value in headers if name.lower() == "www-authenticate"]
            asked = f"; it asks for {', '.join(wanted)}" if wanted else ""
            return f"401: the server does not accept this Authorization{asked}"
    return f"No connection: {error}"


async def main(reactor: Any, url: str) -> None:
    """Connect, and wait until the connection ends."""
    try:
        client = await wsx.start(authorized(url), Printer)
    except wsx.WsxError as error:
        sys.exit(explain(error))
    reactor.addSystemEventTrigger("before", "shutdown", client.stop)  # close on Ctrl-C
    print("Ended:", await client.terminated())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    react(main, sys.argv[1:])
