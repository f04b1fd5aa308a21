"""How many clips go together. Decisions only, no Ray."""

from __future__ import annotations

PACKET_CLIPS = 64
"""Clips that are mined side by side, and whose anchors make a shard."""

_SHARED_OUT = 4  # packets that each worker should get of a small set
_FEW = 1000  # missing clips that are retried one by one


def packet_clips(clips: int, *, actors: int, batch_size: int) -> int:
    """Choose how many clips go together: whole batches, fewer of a small set, so that each worker gets some."""
    share = clips // (_SHARED_OUT * actors) // batch_size * batch_size
    return max(batch_size, min(share, max(batch_size, PACKET_CLIPS // batch_size * batch_size)))


def retried_clips(missing: int, *, batch_size: int) -> int:
    """Choose how many of the missing clips share a worker in isolation: one, or a batch of very many."""
    return 1 if missing <= _FEW else batch_size
