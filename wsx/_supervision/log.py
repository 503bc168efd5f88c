"""The log lines of a supervisor."""

from __future__ import annotations

from typing import Any, Final

from twisted.logger import Logger
from twisted.python.failure import Failure

from wsx._failures import log_failure
from wsx._supervision.child import Child
from wsx._supervision.intensity import Intensity
from wsx._text import describe, quote
from wsx.errors import ConnError, HandshakeError, RequestError

__all__ = ["SupervisorLog"]

_log = Logger("wsx")

# Errors for which a traceback does not help to find the cause.
_NETWORK_ERRORS: Final = (ConnError, RequestError, HandshakeError)


class SupervisorLog:
    """Log restarts, failed starts and the end of a supervisor.

    The reason of a child's end is not repeated, because a client or nested supervisor has logged
    the reason itself. A start that failed before there was a client or supervisor is logged with
    the reason.

    Args:
        id: The id of the supervisor.
    """

    def __init__(self, id: Any) -> None:
        self._supervisor = quote(id)

    def restarting(self, child: Child, siblings: int, delay: float, intensity: Intensity) -> None:
        """Log a restart.

        Args:
            child: The child that has ended or could not be started.
            siblings: The number of siblings that are restarted with it.
            delay: The delay in seconds.
            intensity: The restart intensity, which has counted this restart.
        """
        _log.info(
            "supervisor {supervisor}: restarting child {child}{others} {when} "
            "(restart {n} of {max_restarts} within {max_seconds:g} s)",
            supervisor=self._supervisor,
            child=quote(child.spec.id),
            others=_and_siblings(siblings),
            when=f"in {delay:.1f} s" if delay else "now",
            delay=delay,
            n=intensity.total,
            max_restarts=intensity.max_restarts,
            max_seconds=intensity.max_seconds,
        )

    def not_restarting(self, child: Child) -> None:
        """Log that a child that ended abnormally is not restarted.

        The level is debug, because the child itself has logged its end and the reason.
        """
        _log.debug(
            "supervisor {supervisor}: not restarting child {child} ({why})",
            supervisor=self._supervisor,
            child=quote(child.spec.id),
            why="its reconnect policy gave up"
            if child.gave_up
            else f"its restart type is {child.spec.restart}",
        )

    def first_start_failed(self, child: Child, error: Exception) -> None:
        """Log that the first start of a child failed, which ends the supervisor."""
        self._start_failed(child, error, "; stopping all children")

    def restart_failed(self, child: Child, error: Exception) -> None:
        """Log why a restart failed, unless the child has logged that.

        :meth:`restarting` or :meth:`too_many_restarts` logs what happens next.
        """
        if not child.start_error_was_logged:
            self._start_failed(child, error, "")

    def _start_failed(self, child: Child, error: Exception, next_step: str) -> None:
        reason = "" if child.start_error_was_logged else f": {describe(error)}"
        values: dict[str, Any] = {
            "supervisor": self._supervisor,
            "child": quote(child.spec.id),
            "reason": reason,
            "next_step": next_step,
        }
        what = "supervisor {supervisor}: child {child} could not be started{reason}{next_step}"
        if child.start_error_was_logged or isinstance(error, _NETWORK_ERRORS):
            _log.error(what, **values)
        else:
            log_failure(_log, what, Failure(error), **values)

    def too_many_restarts(self, intensity: Intensity) -> None:
        """Log that the supervisor ends because the restart intensity was exceeded."""
        _log.error(
            "supervisor {supervisor}: more than {max_restarts} restarts within {max_seconds:g} s, "
            "not counting delays; stopping all children",
            supervisor=self._supervisor,
            max_restarts=intensity.max_restarts,
            max_seconds=intensity.max_seconds,
        )

    def internal_error(self, failure: Failure) -> None:
        """Log an exception that shows a defect in the supervisor."""
        what = "supervisor {supervisor}: internal error"
        log_failure(_log, what, failure, supervisor=self._supervisor)


def _and_siblings(number: int) -> str:
    if number < 2:
        return " and 1 sibling" if number else ""
    return f" and {number} siblings"
