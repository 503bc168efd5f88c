"""Mixin for handlers that send requests and receive replies on one connection."""

from __future__ import annotations

from collections.abc import Hashable

from wsx.frames import Binary, Text

__all__ = ["Requests"]


class Requests:
    """Mixin for handlers of protocols with requests and replies, such as JSON-RPC.

    ::

        class Api(wsx.Requests, wsx.Handler[None]):
            def reply_key(self, frame):
                return json.loads(frame.payload).get("id")

    ``client.request(frame, key=...)`` then returns a Deferred of the reply with that key. Replies
    to open requests are not passed to ``handle_frame``; all other messages are.
    """

    __slots__ = ()

    def reply_key(self, frame: Text | Binary) -> Hashable:
        """Return the key of the request to which a message may be the reply, or None.

        It is called for each message that arrives while a request is open, even while a callback is
        pending, so it should only look at the message. An exception ends the client, as in any
        callback.

        Args:
            frame: The message.

        Raises:
            NotImplementedError: The handler does not override this method.
        """
        name = type(self).__qualname__
        raise NotImplementedError(f"{name} has no reply_key, which wsx.Requests needs")
