"""What a listing passed over, because it is no recording: how many files of each kind, and the first of them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from uss_ray.store.walk import Unlisted

_MOST_NAMES = 100
_MOST_KINDS = 10_000
_KINDS_RECORDED = 100
OTHER_KINDS = "others"
_KINDS_IN_WORDS = 3
_UNLISTED_SHOWN = 5


@dataclasses.dataclass
class PassedOver:
    """Counts names, in memory that does not grow with them.

    Attributes
    ----------
    kinds : Counter of str
        Files by the ending of their names; none is empty. Endings that come after very many count as `others`.
    names : list of str
        The first ones.
    unlisted : list of str
        The first of those that were left out, such as a folder without permission, each with the reason.
    unlisted_count, lost_count : int
        All of those; and of them, what may hold recordings that are listed nowhere else.
    """

    kinds: Counter[str] = dataclasses.field(default_factory=Counter)
    names: list[str] = dataclasses.field(default_factory=list)
    unlisted: list[str] = dataclasses.field(default_factory=list)
    unlisted_count: int = 0
    lost_count: int = 0

    def add_unlisted(self, entries: Sequence[Unlisted]) -> None:
        """Take entries that could not be listed; what lies below them is not known."""
        self.unlisted_count += len(entries)
        self.lost_count += sum(entry.is_lost for entry in entries)
        self.unlisted += [entry.told for entry in entries[: max(0, _MOST_NAMES - len(self.unlisted))]]

    def forget_unlisted(self) -> None:
        """Take back what could not be listed: the listing begins anew."""
        self.unlisted, self.unlisted_count, self.lost_count = [], 0, 0

    def add(self, names: Sequence[str]) -> None:
        """Take some more."""
        for name in names:
            kind = PurePosixPath(name).suffix.casefold()
            if kind not in self.kinds and len(self.kinds) >= _MOST_KINDS:
                kind = OTHER_KINDS
            self.kinds[kind] += 1
        self.names += names[: max(0, _MOST_NAMES - len(self.names))]

    @property
    def count(self) -> int:
        """All of them."""
        return sum(self.kinds.values())

    def common_kinds(self, limit: int) -> dict[str, int]:
        """Give the most common kinds with their counts, and the sum of all that are left out as `others`."""
        named = self.kinds.copy()
        named.pop(OTHER_KINDS, None)
        common = dict(named.most_common(limit))
        rest = self.count - sum(common.values())
        return common | ({OTHER_KINDS: rest} if rest else {})

    def line(self) -> str:
        """Say it in a line.

        Examples
        --------
        >>> passed = PassedOver()
        >>> passed.add(["a.txt", "b.txt", "README"])
        >>> passed.line()
        '3 files are no recordings (2 .txt, 1 without an ending)'
        """
        common = self.common_kinds(_KINDS_IN_WORDS)
        kinds = [f"{count:,} {kind or 'without an ending'}" for kind, count in common.items()]
        return (
            f"{self.count:,} file{'s are' if self.count != 1 else ' is'} no recording{'s' * (self.count != 1)} "
            + (f"({', '.join(kinds)})")
        )

    def lines(self) -> list[str]:
        """Say all there is to say, in at most two lines."""
        return [
            *([self.line()] if self.count else []),
            *([self.unlisted_line()] if self.unlisted_count else []),
        ]

    def unlisted_line(self) -> str:
        """Name the first entries that could not be listed."""
        shown = self.unlisted[:_UNLISTED_SHOWN]
        more = [f"{self.unlisted_count - len(shown):,} more"] if self.unlisted_count > len(shown) else []
        lost = f" ({self.lost_count:,} counted as failed)" if self.lost_count else ""
        return f"left out of the listing{lost}: {'; '.join([*shown, *more])}"

    def record(self) -> dict[str, Any]:
        """Give it in plain values: `count`, common `kinds`, the first `names`; and what could not be listed."""
        return {
            "count": self.count,
            "kinds": self.common_kinds(_KINDS_RECORDED),
            "names": self.names,
            "unlisted_count": self.unlisted_count,
            "unlisted": self.unlisted,
            "lost_count": self.lost_count,
        }
