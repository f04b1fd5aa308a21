"""How much of an archive goes together: decoded by one task, and separated side by side. Decisions only, no Ray."""

from __future__ import annotations

from dataclasses import dataclass

from uss_ray.sources.listing import Listing

_PACKET_UNITS = 16
_DECODE_ROWS = 64
_FEW = 256  # recordings that are counted before the work begins, to share out a small archive well
_PACKETS_A_WORKER = 4
_BYTES_A_SECOND = 4000  # 32 kbit/s: of less, only speech is coded


@dataclass(frozen=True)
class FewRecordings:
    """A small archive, as its listing tells of it before the work begins.

    Parameters
    ----------
    sizes : tuple of (int or None)
        Bytes of each recording; None where the listing does not tell.
    """

    sizes: tuple[int | None, ...]

    def spans(self, span_seconds: int) -> int | None:
        """Estimate how many spans there are, each of which has a worker at a time; None where a size is unknown.

        Too many rather than too few: what is too many are workers without work.
        """
        of_a_span = _BYTES_A_SECOND * span_seconds
        known = [size for size in self.sizes if size is not None]
        return sum(max(1, -(-size // of_a_span)) for size in known) if len(known) == len(self.sizes) else None


@dataclass(frozen=True)
class Chunking:
    """How much goes together: recordings that one task decodes, and units that are separated side by side."""

    decode_rows: int
    packet_units: int

    @classmethod
    def of(cls, few: FewRecordings | None, *, actors: int) -> Chunking:
        """Choose; None for very many. A small archive is cut finely, so that each worker gets some."""
        if few is None:
            return cls(_DECODE_ROWS, _PACKET_UNITS)
        units = max(1, min(_PACKET_UNITS, len(few.sizes) // (_PACKETS_A_WORKER * actors)))
        return cls(units, units)

    @classmethod
    def isolated(cls) -> Chunking:
        """Each recording by itself."""
        return cls(1, 1)


def few_recordings(listing: Listing) -> FewRecordings | None:
    """Read the listing of a small archive; None for others."""
    if listing.known_count is not None and listing.known_count > _FEW:
        return None
    sizes: list[int | None] = []
    for table in listing.tables():
        sizes += table["bytes"].to_pylist()
        if len(sizes) > _FEW:
            return None
    return FewRecordings(tuple(sizes))
