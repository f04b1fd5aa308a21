"""Anchors and rejects as Arrow tables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from uss_ray.anchors.anchor import Anchor, Reject
from uss_ray.anchors.audio import decode_flac, encode_flac
from uss_ray.errors import DataError

ANCHOR_VERSION = 1
VERSION_KEY = b"uss_ray.anchor_version"
AUDIO_COLUMN = "audio"

ANCHOR_SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), False),
        pa.field("class_index", pa.int16(), False),
        pa.field("start_sample", pa.int64(), False),
        pa.field("samples", pa.int32(), False),
        pa.field("sample_rate", pa.int32(), False),
        pa.field("score", pa.float32(), False),
        pa.field("purity", pa.float32(), False),
        pa.field("intruder_index", pa.int16()),
        pa.field("level_db", pa.float32(), False),
        pa.field("label_indexes", pa.list_(pa.int16()), False),
        pa.field("prob_indexes", pa.list_(pa.int16()), False),
        pa.field("probs", pa.list_(pa.float32()), False),
        pa.field("soft", pa.list_(pa.float32())),
        pa.field("latent", pa.list_(pa.float32())),
        pa.field(AUDIO_COLUMN, pa.large_binary(), False),
    ],
    metadata={VERSION_KEY: str(ANCHOR_VERSION).encode()},
)
"""One row an anchor; `audio` is a mono FLAC file of 16 bits."""

REJECT_SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), False),
        pa.field("class_index", pa.int16()),
        pa.field("start_sample", pa.int64()),
        pa.field("reason", pa.string(), False),
        pa.field("found", pa.string(), False),
    ],
    metadata={VERSION_KEY: str(ANCHOR_VERSION).encode()},
)
"""One row for whatever gave no anchor."""


def anchor_table(anchors: Iterable[Anchor]) -> pa.Table:
    """Turn anchors into a table of `ANCHOR_SCHEMA`, in their order, audio encoded."""
    return pa.Table.from_pylist([_to_record(anchor) for anchor in anchors], schema=ANCHOR_SCHEMA)


def read_anchors(table: pa.Table) -> list[Anchor]:
    """Turn rows of `ANCHOR_SCHEMA` into anchors again, audio decoded.

    Raises
    ------
    DataError
        If audio does not decode, or is not as long as the row says.
    """
    return [_from_record(record) for record in table.to_pylist()]


def reject_table(rejects: Iterable[Reject]) -> pa.Table:
    """Turn rejects into a table of `REJECT_SCHEMA`, in their order."""
    return pa.Table.from_pylist([asdict(reject) for reject in rejects], schema=REJECT_SCHEMA)


def _to_record(anchor: Anchor) -> dict[str, Any]:
    return {
        "clip_id": anchor.clip_id,
        "class_index": anchor.class_index,
        "start_sample": anchor.start_sample,
        "samples": len(anchor.waveform),
        "sample_rate": anchor.sample_rate,
        "score": anchor.score,
        "purity": anchor.purity,
        "intruder_index": anchor.intruder_index,
        "level_db": anchor.level_db,
        "label_indexes": list(anchor.label_indexes),
        "prob_indexes": list(anchor.prob_indexes),
        "probs": anchor.probs,
        "soft": anchor.soft,
        "latent": anchor.latent,
        AUDIO_COLUMN: encode_flac(anchor.waveform, sample_rate=anchor.sample_rate),
    }


def _from_record(record: dict[str, Any]) -> Anchor:
    item = f"anchor {record['clip_id']}:{record['class_index']}:{record['start_sample']}"
    waveform = decode_flac(record[AUDIO_COLUMN], item=item)
    if len(waveform) != record["samples"]:
        raise DataError(item, expected=f"{record['samples']} samples", found=str(len(waveform)))
    return Anchor(
        clip_id=record["clip_id"],
        class_index=record["class_index"],
        start_sample=record["start_sample"],
        sample_rate=record["sample_rate"],
        score=record["score"],
        purity=record["purity"],
        intruder_index=record["intruder_index"],
        level_db=record["level_db"],
        label_indexes=tuple(record["label_indexes"]),
        prob_indexes=tuple(record["prob_indexes"]),
        probs=np.array(record["probs"], np.float32),
        waveform=waveform,
        soft=_vector(record["soft"]),
        latent=_vector(record["latent"]),
    )


def _vector(values: list[float] | None) -> np.ndarray | None:
    return None if values is None else np.array(values, np.float32)
