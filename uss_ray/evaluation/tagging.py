"""Whole clips, and what a tagger says of them: how probable each class is, and when it is heard.

Owns how the engine and the bare network are asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from uss_ray.audio.resample import BlockResampler
from uss_ray.evaluation.observations import each_class
from uss_ray.evaluation.sounds import MixedItem
from uss_ray.evaluation.systems import Spans, add_spans
from uss_ray.models.inference import inference
from uss_ray.models.protocols import Tagger
from uss_ray.separation.engine import SeparationEngine
from uss_ray.separation.mixture import ArraySource
from uss_ray.separation.scheduler import SessionEnd
from uss_ray.separation.settings import SeparationSettings

_HEARD_FROM = 0.5


@dataclass(frozen=True, eq=False)
class Tags:
    """What was said of a clip.

    Parameters
    ----------
    probs : dict of str to float
        Of each class that the weights know, by its id, in [0, 1].
    found : tuple of str
        Classes that are said to be there.
    times : dict of str to list of (float, float), or None
        By class, start and end of each event in seconds; None of what does not say when.
    """

    probs: Mapping[str, float]
    found: tuple[str, ...]
    times: Spans | None


def tags_of_engine(
    items: Sequence[MixedItem], engine: SeparationEngine, *, settings: SeparationSettings
) -> list[Tags]:
    """Ask the engine, as users hear it: the highest probability over segments, thresholds and times of the settings.

    Parameters
    ----------
    items : sequence of MixedItem
    engine : SeparationEngine
    settings : SeparationSettings
    """
    plan = each_class(engine, sorted(engine.known.class_indexes))
    probs = np.zeros((len(items), len(plan.targets)))
    times: list[Spans] = [{} for _ in items]
    sessions = [
        engine.open_session(
            ArraySource(item.mixture, sample_rate=item.sample_rate, name=item.item.item_id),
            plan,
            settings=settings,
            estimates=False,
        )
        for item in items
    ]
    for place, block in engine.stream_many(sessions):
        if isinstance(block, SessionEnd):
            if block.error is not None:
                raise block.error
            continue
        probs[place] = np.maximum(probs[place], np.nan_to_num(block.segment_probs).max(axis=0))
        add_spans(times[place], block, plan.targets)
    keys = [target.key for target in plan.targets]
    return [
        Tags(dict(zip(keys, own.tolist(), strict=True)), tuple(sorted(spans)), spans)
        for own, spans in zip(probs, times, strict=True)
    ]


def tags_of_network(items: Sequence[MixedItem], engine: SeparationEngine, *, tagger: Tagger) -> list[Tags]:
    """Ask the bare network of each clip as a whole, as AudioSet's tagging is scored; what reaches 0.5 is heard.

    Parameters
    ----------
    items : sequence of MixedItem
    engine : SeparationEngine
        Knows the classes, the rate and the device.
    tagger : Tagger
    """
    known = sorted(engine.known.class_indexes)
    ids = [engine.vocabulary.classes.ids[index] for index in known]
    said = []
    for item in items:
        sound = BlockResampler(item.sample_rate, engine.sample_rate).resample(item.mixture[None])
        with inference(device=engine.device):
            tagging = tagger(torch.from_numpy(sound).to(engine.device))
        probs = tagging.clipwise_probs[0, known].double().cpu().numpy()
        frames, times = tagging.framewise_probs, None
        if frames is not None:
            heard = frames[0][:, known].cpu().numpy() >= _HEARD_FROM
            seconds = len(item.mixture) / item.sample_rate
            times = {
                class_id: spans
                for class_id, column in zip(ids, heard.T, strict=True)
                if (spans := _spans(column, seconds))
            }
        found = tuple(class_id for class_id, prob in zip(ids, probs, strict=True) if prob >= _HEARD_FROM)
        said.append(Tags(dict(zip(ids, probs.tolist(), strict=True)), found, times))
    return said


def tags_of_chance(items: Sequence[MixedItem], engine: SeparationEngine) -> list[Tags]:
    """Find every class equally probable: its average precision is the share of clips that it is in."""
    ids = [engine.vocabulary.classes.ids[index] for index in sorted(engine.known.class_indexes)]
    return [Tags(dict.fromkeys(ids, _HEARD_FROM), (), {}) for _ in items]


def _spans(heard: NDArray[np.bool_], seconds: float) -> list[tuple[float, ...]]:
    """Give start and end of what is heard; the first frame lies at the start of the clip, the last at its end."""
    step = seconds / max(1, len(heard) - 1)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], heard, [False])).astype(np.int8)))
    return [
        (max(0.0, (start - 0.5) * step), min(seconds, (end - 0.5) * step))
        for start, end in edges.reshape(-1, 2).tolist()
    ]
