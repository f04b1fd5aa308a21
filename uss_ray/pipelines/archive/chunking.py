"""How much of an archive goes together: decoded by one task, and separated side by side. Decisions only, no Ray."""

from __future__ import annotations

from dataclasses import dataclass

from uss_ray.sources.listing import Listing

_PACKET_UNITS = 16
_DECODE_ROWS = 64
_FEW = 256  # recordings that are counted before the work begins, to share out a small archive well
_PACKETS_A_WORKER = 4


@dataclass(frozen=True)
class Chunking:
    """How much goes together: recordings that one task decodes, and units that are separated side by side."""

    decode_rows: int
    packet_units: int

    @classmethod
    def of(cls, recordings: int | None, *, actors: int) -> Chunking:
        """Choose; None for very many. A small archive is cut finely, so that each worker gets some."""
        if recordings is None:
            return cls(_DECODE_ROWS, _PACKET_UNITS)
        units = max(1, min(_PACKET_UNITS, recordings // (_PACKETS_A_WORKER * actors)))
        return cls(units, units)

    @classmethod
    def isolated(cls) -> Chunking:
        """Each recording by itself."""
        return cls(1, 1)


def count_few(listing: Listing) -> int | None:
    """Count the recordings of a small archive; None for others."""
    if listing.known_count is not None:
        return listing.known_count if listing.known_count <= _FEW else None
    count = 0
    for table in listing.tables():
        count += len(table)
        if count > _FEW:
            return None
    return count
