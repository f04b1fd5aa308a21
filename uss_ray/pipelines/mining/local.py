"""Mine in this process, without Ray: for one machine, and for whoever trains on what a small data set gives.

The same packets are mined by the same code as in the job's workers, and the output is the job's: shards, receipts,
rejects and a manifest. Either goes on where the other stopped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from uss_ray.api.staging import check_apart, check_output
from uss_ray.datasets.clip_audio import ClipReader
from uss_ray.datasets.clip_sources import open_clip_source
from uss_ray.datasets.segment_table import SegmentTable
from uss_ray.errors import DataError
from uss_ray.parallel import map_stream
from uss_ray.pipelines.mining.chunking import PACKET_CLIPS
from uss_ray.pipelines.mining.clips import Chosen, Rows, clip_tables, clips_of, container_tags
from uss_ray.pipelines.mining.facts import load_labels, manifest_maker, run_facts
from uss_ray.pipelines.mining.ledger import read_ledger
from uss_ray.pipelines.mining.miners import load_checked_weights, load_vocabulary, make_miner
from uss_ray.pipelines.mining.packets import Clip, Decoded, decode_item
from uss_ray.pipelines.mining.receipts import OWNED
from uss_ray.pipelines.mining.request import MiningRequest
from uss_ray.pipelines.mining.settle import MiningTotals, note_missing, settle
from uss_ray.pipelines.mining.work import PacketWork
from uss_ray.pipelines.runtime.identity import RunIdentity, end_overwriting, open_run
from uss_ray.records import content_key
from uss_ray.store.lease import hold_lease
from uss_ray.store.options import StoreOptions

logger = logging.getLogger(__name__)

_DECODERS = 4


def mine_in_process(
    request: MiningRequest, *, on_progress: Callable[[float, float | None], None] | None = None
) -> MiningTotals:
    """Mine every clip of labelled audio here, or go on where an earlier run of the same request ended.

    Parameters
    ----------
    request : MiningRequest
    on_progress : callable, optional
        Called with clips done and in all.

    Returns
    -------
    MiningTotals

    Raises
    ------
    UssRayError
        As `mine_archive`; also if a store, a disk or the network of a packet fails: what was done until then stays.
    """
    check_output(request.output_store)
    check_apart(request.audio_store, request.output_store, folders=OWNED.folders)
    vocabulary = load_vocabulary(request)
    weights = load_checked_weights(request)
    source = open_clip_source(request.audio_store, container=request.container, columns=request.columns)
    table, segments_sha256 = load_labels(request, vocabulary)
    facts = run_facts(request, weights=weights, vocabulary=vocabulary, segments_sha256=segments_sha256)
    output = request.output_store
    lost: list[Exception] = []
    with hold_lease(output, job="mine", shard=None, on_lost=lost.append):
        identity, _ = open_run(
            RunIdentity.of(request.audio, run=facts, threads=torch.get_num_threads()),
            output=output,
            owned=OWNED,
            overwrite=request.overwrite,
        )
        chosen = Chosen.of(
            read_ledger(output, clips=len(table)),
            among=np.ones(len(table), np.bool_),
            retry_failed=False,
            changed=request.changed,
            tell=lambda row: logger.warning("%s has changed since it was mined", table.clip_id(row)),
        )
        if chosen.undone.any() or chosen.contents.any():
            rate = weights.specifications.sample_rate
            clips = _clips(source.readers, table=table, chosen=chosen)
            packets = _packets(clips, sample_rate=rate, storage=request.storage)
            done = len(table) - int(chosen.undone.sum())
            with _threads(identity.threads):
                work = PacketWork(make_miner(request), output=output, sample_rate=rate)
                for report in map(work, packets):
                    if lost:
                        raise lost[0]
                    if report.unfinished:
                        found = report.reason or "a failure"
                        raise DataError(request.audio, expected="clips that can be mined", found=found)
                    done += report.mined + report.failed
                    if on_progress is not None:
                        on_progress(done, len(table))
            note_missing(output, table=table, chosen=np.ones(len(table), np.bool_))
        totals = settle(
            output,
            table=table,
            manifest_of=manifest_maker(request, weights=weights, vocabulary=vocabulary),
            is_alone=True,
        )
        # As `run_job`: while clips fail, the same command goes on with what is there.
        if not totals.failed:
            end_overwriting(output)
        return totals


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Compute as the run began: the last bit of a probability may depend on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _clips(readers: tuple[ClipReader, ...], *, table: SegmentTable, chosen: Chosen) -> Iterator[Clip]:
    """Read what is chosen, each clip from the first container that holds it."""
    tags = container_tags(readers)
    chosen = chosen.in_container(np.array([content_key(tag) for tag in tags.values()], np.int64))
    still_open = np.ones(len(table), np.bool_)

    def claim(rows: Rows) -> NDArray[np.bool_]:
        is_first = still_open[rows]
        still_open[rows] = False
        return is_first

    for reader in readers:
        for rows in clip_tables(
            reader, table=table, chosen=chosen, claim=claim, content_tag=tags.get(reader.place)
        ):
            yield from clips_of(rows)


def _packets(clips: Iterator[Clip], *, sample_rate: int, storage: StoreOptions) -> Iterator[list[Decoded]]:
    packet: list[Decoded] = []
    for decoded in map_stream(
        partial(decode_item, sample_rate=sample_rate, storage=storage), clips, threads=_DECODERS
    ):
        packet.append(decoded)
        if len(packet) == PACKET_CLIPS:
            yield packet
            packet = []
    if packet:
        yield packet
