"""Anchors, rejects and packets of them, for tests of what mining leaves below an output root."""

from __future__ import annotations

import numpy as np

from uss_ray.anchors.anchor import Anchor, Reject
from uss_ray.pipelines.mining.receipts import commit_packet, packet_name

CLIPS = 6


def anchor(row):
    return Anchor(
        clip_id=f"clip{row}",
        class_index=row,
        start_sample=0,
        sample_rate=32_000,
        score=0.5,
        purity=1.0,
        intruder_index=None,
        level_db=-20.0,
        label_indexes=(row, 100),
        prob_indexes=(row,),
        probs=np.array([0.5], np.float32),
        waveform=np.full(100, row, np.int16),
    )


def improbable(row):
    return Reject(clip_id=f"clip{row}", reason="improbable", class_index=100, start_sample=0, found="0.01")


def broken(row):
    return Reject(clip_id=f"clip{row}", reason="broken", found="no audio")


def mined(output, rows, *, name=None, content=0, made_at=None):
    return commit_packet(
        [anchor(row) for row in rows],
        [improbable(row) for row in rows],
        output=output,
        name=name or packet_name(rows),
        rows=dict.fromkeys(rows, content),
        made_at=made_at,
    )
