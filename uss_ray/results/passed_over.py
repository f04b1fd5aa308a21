"""What a listing passed over, because it is no recording: how many files of each kind, and the first of them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

_MOST_NAMES = 100
_KINDS_IN_WORDS = 3


@dataclasses.dataclass
class PassedOver:
    """Counts names, in memory that does not grow with them.

    Attributes
    ----------
    kinds : Counter of str
        Files by the ending of their names; none is empty.
    names : list of str
        The first ones.
    """

    kinds: Counter[str] = dataclasses.field(default_factory=Counter)
    names: list[str] = dataclasses.field(default_factory=list)

    def add(self, names: Sequence[str]) -> None:
        """Take some more."""
        self.kinds.update(PurePosixPath(name).suffix.casefold() for name in names)
        self.names += names[: max(0, _MOST_NAMES - len(self.names))]

    @property
    def count(self) -> int:
        """All of them."""
        return sum(self.kinds.values())

    def line(self) -> str:
        """Say it in a line.

        Examples
        --------
        >>> passed = PassedOver()
        >>> passed.add(["a.txt", "b.txt", "README"])
        >>> passed.line()
        '3 files are no recordings (2 .txt, 1 without an ending)'
        """
        common = self.kinds.most_common(_KINDS_IN_WORDS)
        kinds = [f"{count:,} {kind or 'without an ending'}" for kind, count in common]
        rest = self.count - sum(count for _, count in common)
        kinds += [f"{rest:,} others"] if rest else []
        return (
            f"{self.count:,} file{'s are' if self.count != 1 else ' is'} no recording{'s' * (self.count != 1)} "
            + (f"({', '.join(kinds)})")
        )

    def record(self) -> dict[str, Any]:
        """Give it in plain values: `count`, `kinds` and the first `names`."""
        return {"count": self.count, "kinds": dict(self.kinds.most_common()), "names": self.names}
