"""What is done with a packet of clips, with Ray or without: mined, and what it gave committed."""

from __future__ import annotations

import logging
import os
import resource
import socket
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from uss_ray.anchors.anchor import Anchor, Reject
from uss_ray.errors import OutputError
from uss_ray.mining.clip_miner import WeakClip
from uss_ray.pipelines.mining.outcome import MiningReport
from uss_ray.pipelines.mining.packets import Decoded, PacketClip
from uss_ray.pipelines.mining.receipts import commit_failed, commit_packet, packet_name
from uss_ray.pipelines.runtime.retry import STOPPED_REASON
from uss_ray.store.store import Store

logger = logging.getLogger(__name__)


class Miner(Protocol):
    """What a worker needs; `ClipMiner` has it."""

    def mine(self, clips: Sequence[WeakClip]) -> list[Anchor | Reject]: ...  # noqa: D102


class PacketWork:
    """Mine packets below an output root.

    Parameters
    ----------
    miner : Miner
    output : Store
        Output root.
    sample_rate : int
        Of the waveforms, in Hz.
    is_stopping : callable, optional
        Asked before each packet whether nothing more is to begin.
    """

    def __init__(
        self,
        miner: Miner,
        *,
        output: Store,
        sample_rate: int,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._miner = miner
        self._output = output
        self._sample_rate = sample_rate
        self._is_stopping = is_stopping
        self._worker = f"{socket.gethostname()}:{os.getpid()}"

    def __call__(self, packet: Sequence[Decoded]) -> MiningReport:
        """Mine a packet, commit what it gave, and tell what became of its clips."""
        clips = [clip for clip, _ in packet if clip.status != "container"]
        name = packet_name(clip.row for clip in clips)
        sounding = [pair for pair in packet if pair[0].status == "sound"]
        undone: list[tuple[PacketClip, str]] = [
            (clip, clip.reason or "unknown") for clip in clips if clip.status == "unfinished"
        ]
        found, fault, mine_seconds = self._mine(sounding)
        if fault is not None:
            undone += [(clip, fault) for clip, _ in sounding]
            sounding = []
        began = time.monotonic()
        broken = [clip for clip in clips if clip.status == "broken"]
        shard_rows = shard_bytes = 0
        try:
            if broken:
                self._commit_broken(broken, name=name)
            if sounding:
                receipt = commit_packet(
                    [item for item in found if isinstance(item, Anchor)],
                    [item for item in found if isinstance(item, Reject)],
                    output=self._output,
                    name=name,
                    rows={clip.row: clip.content for clip, _ in sounding},
                )
                if receipt.shard is not None:
                    shard_rows, shard_bytes = receipt.shard.rows, receipt.shard.bytes
        except OutputError as error:
            undone += [(clip, error.reason) for clip in (*broken, *(clip for clip, _ in sounding))]
            broken, sounding = [], []
        return MiningReport(
            mined=len(sounding),
            failed=len(broken),
            unfinished=len(undone),
            anchors=shard_rows,
            anchor_bytes=shard_bytes,
            audio_seconds=sum(len(waveform) for _, waveform in sounding) / self._sample_rate,
            failures=tuple(clip.reason or "unknown" for clip in broken),
            reason=undone[-1][1] if undone else None,
            containers=tuple(clip.reason or "" for clip, _ in packet if clip.status == "container"),
            worker=self._worker,
            decode_seconds=sum(clip.decode_seconds for clip, _ in packet),
            mine_seconds=mine_seconds,
            write_seconds=time.monotonic() - began,
            peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        )

    def _mine(self, sounding: Sequence[Decoded]) -> tuple[list[Anchor | Reject], str | None, float]:
        """Give what is found, or say why nothing can be; and how long it took."""
        began = time.monotonic()
        clips = [WeakClip(clip.clip_id, clip.class_indexes, waveform) for clip, waveform in sounding]
        if clips and self._is_stopping():
            return [], STOPPED_REASON, 0.0
        try:
            found = self._miner.mine(clips)
        except Exception as error:
            # No clip's fault, such as memory that has run out: all of them are tried again later.
            logger.exception("a packet of %d clips could not be mined", len(clips))
            return [], f"{type(error).__name__}: {error}", 0.0
        return found, None, time.monotonic() - began

    def _commit_broken(self, clips: Sequence[PacketClip], *, name: str) -> None:
        rejects = [
            Reject(clip_id=clip.clip_id, reason="broken", found=clip.reason or "unknown") for clip in clips
        ]
        rows = {clip.row: clip.content for clip in clips}
        commit_failed(rejects, output=self._output, name=name, rows=rows)
