"""Talk to an echo server, print the echoes, and close.

    python echo_client.py ws://127.0.0.1:8080/

The conversation is the one in WebSockex's own example.
"""

import sys
from typing import Any

from twisted.internet.task import react

import wsx
from wsx import Close, Conn, Frame, Handler, LocalClose, Ok, Reply, Text


class EchoClient(Handler[None]):
    """Send a greeting, answer a question, and close when the last message comes back."""

    def handle_connect(self, conn: Conn, state: None) -> Reply[None]:
        print("Connected!")
        return Reply(Text("Yo Homies!"), state)

    def handle_cast(self, message: str, state: None) -> Reply[None]:
        print("Sending", message)
        return Reply(Text(message), state)

    def handle_frame(self, frame: Frame, state: None) -> Ok[None] | Reply[None] | Close[None]:
        print("Received", frame)
        match frame:
            case Text("Can you please reply yourself?"):
                return Reply(Text("Sure can!"), state)
            case Text("Sure can!"):
                return Reply(Text("Close the things!"), state)
            case Text("Close the things!"):
                return Close(state)
        return Ok(state)

    def terminate(self, reason: object, state: None) -> None:
        print("Ended:", reason)


async def main(reactor: Any, url: str, patience: float = 10.0) -> None:
    """Talk to the server. End if it sends no message for ``patience`` seconds."""
    try:
        client = await wsx.start(url, EchoClient, data_timeout=patience)
    except wsx.WsxError as error:
        sys.exit(f"No conversation: {error}")
    client.cast("This and That!")
    client.cast("Can you please reply yourself?")
    reason = await client.terminated()
    if reason != LocalClose(1000):
        sys.exit(f"The conversation broke off: {reason}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    react(main, sys.argv[1:])
