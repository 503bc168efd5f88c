"""The check at the end of a soak run that each client receives an echo."""

from __future__ import annotations

from wsx.test.soak.clients import ClientRecord

__all__ = ["EchoCheck"]


class _Sent:
    """A message that was sent.

    Args:
        record: The client that sent it, on its current connection.
    """

    def __init__(self, record: ClientRecord) -> None:
        self._record = record
        self._connection = record.connection
        self._number = record.sent["send"]

    def is_current(self, record: ClientRecord) -> bool:
        """Return whether it was sent by this client, on its latest connection.

        The numbers of connections do not suffice, because each client begins with 1.
        """
        return self._record is record and self._connection == record.connection

    def is_echoed(self) -> bool:
        """Return whether its echo was received. It must be current."""
        return self._record.echoed["send"] > self._number


class EchoCheck:
    """Send a message to each client, and notice its echo.

    A connection may still end after the faults, and a client may end and be followed by another one
    of the same name. If that happens before the echo, another message is sent on the next
    connection.

    Args:
        records: The current client of each name.
    """

    def __init__(self, records: dict[str, ClientRecord]) -> None:
        self._records = records
        self._sent: dict[str, _Sent] = {}
        self._done: set[str] = set()

    def poll(self) -> list[ClientRecord]:
        """Send what has to be sent, and return the clients without an echo."""
        return [record for record in self._records.values() if not self._is_done(record)]

    def _is_done(self, record: ClientRecord) -> bool:
        sent = self._sent.get(record.name)
        if sent is not None and sent.is_current(record):
            if sent.is_echoed():
                self._done.add(record.name)
        elif record.name not in self._done and record.is_usable:
            self._sent[record.name] = _Sent(record)
            record.attempt("send")
        return record.name in self._done
