"""What the score of a scene says in rows: of a level and of its nodes, of what was found unasked, and when."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

import numpy as np

from uss_ray.evaluation.label_metrics import Times, event_counts, frame_counts
from uss_ray.evaluation.metrics import is_silent
from uss_ray.evaluation.rows import LEVEL, ScoreRow
from uss_ray.evaluation.scene_scores import TAKEN_TWICE, LevelScore, Waveform, energy

TIME_COUNTS: Final = (
    "events_right", "events_found", "events_true", "frames_right", "frames_found", "frames_true",
)  # fmt: skip


def level_rows(level: LevelScore, *, sources: int, seconds: float) -> list[ScoreRow]:
    """Give a row for the level of a scene, and one for each node that is there and that the weights know.

    Parameters
    ----------
    level : LevelScore
    sources : int
        In the scene.
    seconds : float
        Of the scene.
    """
    row = partial(
        ScoreRow,
        item_id=level.scene_id,
        system="engine",
        query=f"{LEVEL}{level.level}",
        sources=sources,
        seconds=seconds,
    )
    known = [node for node in level.nodes if node.is_known]
    lefts = [node.left for node in level.nodes if node.left is not None]
    is_silence = level.residual_share is None
    scores = {
        "ca_sdri": level.ca_sdri_db,
        "residual": level.residual_share,
        "false_stems": None if is_silence else sum(node.share for node in level.nodes if not node.is_true),
        "missed": None if is_silence else sum(node.share for node in known if not node.is_written),
    }
    counts = {
        "unknown": sum(node.is_true and not node.is_known for node in level.nodes),
        "stems": len(lefts),
        "taken_twice": sum(left < TAKEN_TWICE for left in lefts),
        **({"least_left": min(lefts)} if lefts else {}),
        **{name: getattr(level, name) for name in ("children", "louder", "parents", "overdrawn")},
    }
    of_scene = row(
        label=f"{LEVEL}{level.level}",
        scores={name: value for name, value in scores.items() if value is not None},
        undefined=tuple(name for name, value in scores.items() if value is None),
        true=tuple(sorted(node.node_id for node in known if node.is_true)),
        found=tuple(sorted(node.node_id for node in known if node.is_written)),
        counts={name: float(value) for name, value in counts.items()},
    )
    return [
        of_scene,
        *(
            row(
                label=node.node_id,
                scores={"sdr": node.sdr_db, "sdri": node.sdri_db},
                is_detected=node.is_written,
            )
            for node in known
            if node.sdr_db is not None and node.sdri_db is not None
        ),
    ]


def event_shares(
    mixture: Waveform,
    stems: Mapping[str, Waveform],
    *,
    judged: Mapping[str, Waveform],
    wholes: Mapping[str, Waveform],
) -> dict[str, float | None]:
    """Give the shares of a mixture's energy in the residual, in false stems and missed; None of silence.

    Parameters
    ----------
    mixture : ndarray of shape (samples,)
    stems : mapping of str to ndarray of shape (samples,)
        All that was written, by node.
    judged : mapping of str to ndarray of shape (samples,)
        Those that are right or false.
    wholes : mapping of str to ndarray of shape (samples,)
        What is true, by node.
    """
    if is_silent(mixture):
        return dict.fromkeys(("residual", "false_stems", "missed"))
    whole = energy(mixture)
    residual = mixture - np.sum([*stems.values(), np.zeros_like(mixture)], axis=0)
    return {
        "residual": energy(residual) / whole,
        "false_stems": sum(energy(stem) for key, stem in judged.items() if key not in wholes) / whole,
        "missed": sum(energy(sound) for key, sound in wholes.items() if key not in judged) / whole,
    }


def time_counts(found: Times, true: Times, *, seconds: float) -> dict[str, float]:
    """Count events and frames that are right, found and true.

    Parameters
    ----------
    found, true : mapping of str to sequence of (float, float)
        By node, start and end of each event in seconds.
    seconds : float
        Of the scene.
    """
    counts = zip(
        TIME_COUNTS, (*event_counts(found, true), *frame_counts(found, true, seconds=seconds)), strict=True
    )
    return {name: float(count) for name, count in counts}
