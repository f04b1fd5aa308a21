"""The circuit breaker: ends a run in which nothing, or too little, gets done any more. Decisions only, no Ray."""

from __future__ import annotations

_CONSECUTIVE_FAILURES = 4
_JUDGED_AFTER = 100


class CircuitBreaker:
    """Counts consecutive packets of which nothing got done, and compares failures with a limit.

    Parameters
    ----------
    max_failed_fraction : float, default=1.0
        Failures above this share of the finished items are too many, once 100 are finished; 1 tolerates all.
    """

    def __init__(self, *, max_failed_fraction: float = 1.0) -> None:
        self._max_failed_fraction = max_failed_fraction
        self._consecutive = 0

    def is_opened_by(self, *, got_done: bool) -> bool:
        """Take a packet; true once, when as many in a row as are tolerated got nothing done, as with a full disk."""
        self._consecutive = 0 if got_done else self._consecutive + 1
        return self._consecutive == _CONSECUTIVE_FAILURES

    def has_too_many_failures(self, *, failed: int, finished: int) -> bool:
        """Tell whether the failed fraction is over the limit."""
        limit = self._max_failed_fraction
        return limit < 1.0 and finished >= _JUDGED_AFTER and failed / finished > limit
