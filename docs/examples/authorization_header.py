"""A client that sends an Authorization header and prints what it gets.

    AUTHORIZATION="Bearer s3cret" python authorization_header.py wss://example.com/feed

The value comes from the environment: a command line can be read by everybody on the machine.
"""

import os
import sys
from typing import Any

from twisted.internet.task import react

import wsx
from wsx import Conn, Frame, Handler, Ok, RequestError


class Printer(Handler[None]):
    """Prints what it gets, until the server or Ctrl-C ends it."""

    def handle_connect(self, conn: Conn, state: None) -> Ok[None]:
        print("Connected:", self.client)
        return Ok(state)

    def handle_frame(self, frame: Frame, state: None) -> Ok[None]:
        print("Received", frame)
        return Ok(state)


def authorized(url: str) -> Conn:
    """Gives the connection to a URL, with the environment's authorization."""
    try:
        return Conn(url, extra_headers={"Authorization": os.environ["AUTHORIZATION"]})
    except KeyError:
        sys.exit("Set the environment variable AUTHORIZATION, such as to 'Bearer s3cret'.")


def explain(error: wsx.WsxError) -> str:
    """Says in one line why there is no connection."""
    match error:
        case RequestError(code=401, headers=headers):
            wanted = [value for name, value in headers if name.lower() == "www-authenticate"]
            return f"401: the server does not accept this Authorization; it asks for {wanted}"
    return f"No connection: {error}"


async def main(reactor: Any, url: str) -> None:
    """Connects, and stays until the connection ends."""
    try:
        client = await wsx.start(authorized(url), Printer)
    except wsx.WsxError as error:
        sys.exit(explain(error))
    reactor.addSystemEventTrigger("before", "shutdown", client.stop)  # Ctrl-C: a polite goodbye
    print("Ended:", await client.terminated())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    react(main, sys.argv[1:])
