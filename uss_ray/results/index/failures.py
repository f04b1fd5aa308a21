"""What went wrong in a run: one line a failed recording, and how often each kind of reason occurred."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_TOLD = ("recording_id", "recording_uri", "reason", "run_id")
FAILED_COLUMNS = (*_TOLD, "status", "created_at")
"""Columns of the index that tell of a failure."""

OTHER_REASONS = "other reasons"
_MARK = ": expected "


def failed_jsonl(records: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Turn failed rows into lines of JSON.

    Parameters
    ----------
    records : iterable of mapping
        Rows of any status, with `FAILED_COLUMNS` at least; only those that failed become lines.

    Yields
    ------
    str
        An object with `recording_id`, `recording_uri`, `reason`, `run_id` and `time` (ISO 8601), in ASCII, with
        its line end.
    """
    for record in records:
        if record["status"] == "failed":
            line = {name: record[name] for name in _TOLD}
            yield json.dumps({**line, "time": record["created_at"].isoformat()}) + "\n"


def reason_kind(reason: str) -> str:
    """Take the item out of a reason, so that the same trouble with many recordings reads the same.

    Parameters
    ----------
    reason : str
        Such as `UssRayError.reason`: item, what was expected, what was found.

    Returns
    -------
    str
        What was expected and found; a reason of another form as it is.

    Examples
    --------
    >>> reason_kind("s3://b/a.wav: expected audio, found an empty file")
    'expected audio, found an empty file'
    """
    _, mark, rest = reason.partition(_MARK)
    return f"{mark.removeprefix(': ')}{rest}" if mark else reason


class FailureTally:
    """Count failures by kind of reason, in memory that does not grow with their number.

    Parameters
    ----------
    max_kinds : int, default=10_000
        Kinds to tell apart; what comes after counts as `other reasons`.
    """

    def __init__(self, *, max_kinds: int = 10_000) -> None:
        self._max_kinds = max_kinds
        self._counts: Counter[str] = Counter()

    def add(self, reason: str, *, count: int = 1) -> None:
        """Count a failure."""
        kind = reason_kind(reason)
        if kind not in self._counts and len(self._counts) >= self._max_kinds:
            kind = OTHER_REASONS
        self._counts[kind] += count

    def most_common(self, limit: int = 50) -> dict[str, int]:
        """Give the most frequent kinds with their counts, and the sum of all that are left out.

        Parameters
        ----------
        limit : int, default=50
            How many kinds at most, `other reasons` not counted.

        Returns
        -------
        dict of str to int
            From the most frequent down; the values sum to the number of failures.
        """
        counts = self._counts.copy()
        others = counts.pop(OTHER_REASONS, 0)
        kinds = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        others += sum(count for _, count in kinds[limit:])
        return dict(kinds[:limit]) | ({OTHER_REASONS: others} if others else {})
