"""Scenes through the engine as users run it: levels separated, stems kept, forwards counted, all of it scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from uss_ray.evaluation.scene_scores import LevelScore, SeparatedScene, score_scene
from uss_ray.evaluation.sounds import MixedItem
from uss_ray.evaluation.systems import add_estimates, written_stems
from uss_ray.separation.engine import SeparationEngine
from uss_ray.separation.mixture import ArraySource
from uss_ray.separation.networks import TagRow
from uss_ray.separation.scheduler import Request, Session
from uss_ray.separation.session import EstimateBlock
from uss_ray.separation.settings import SeparationSettings
from uss_ray.separation.targets import SeparationPlan, targets_for_levels


def separate_levels(
    mixed: MixedItem,
    *,
    engine: SeparationEngine,
    settings: SeparationSettings,
    levels: Sequence[int] = (1, 2, 3),
    is_oracle: bool = False,
    forwards: Counter[str] | None = None,
) -> list[LevelScore]:
    """Separate a scene at levels of the ontology, and score each.

    Parameters
    ----------
    mixed : MixedItem
        Its targets with their classes.
    engine : SeparationEngine
    settings : SeparationSettings
    levels : sequence of int, default=(1, 2, 3)
    is_oracle : bool, default=False
        Ask for the nodes that are there, and wherever there is sound; otherwise for all, as the detector finds them.
    forwards : Counter, optional
        Counts rows of the tagger as "tags" and of the separator as "separations".
    """
    classes = engine.vocabulary.classes
    sources = {classes.index(key): np.sum(own, axis=0) for key, own in true_sounds(mixed).items()}
    plan = _plan(sources, engine, settings=settings, levels=levels, is_oracle=is_oracle)
    source = ArraySource(mixed.mixture, sample_rate=mixed.sample_rate, name=mixed.item.item_id)
    session = engine.open_session(source, plan, settings=settings)
    if forwards is not None:
        session = _counted(session, forwards)
    separated = replace(
        _separate(mixed.mixture, sources, session, plan=plan, engine=engine, settings=settings),
        beside=sounds_beside(mixed),
    )
    return score_scene(mixed.item.item_id, separated, targets=plan.targets, vocabulary=engine.vocabulary)


def true_sounds(mixed: MixedItem) -> dict[str, list[np.ndarray]]:
    """Give the sounds of the targets by their node; a node may have several."""
    true: dict[str, list[np.ndarray]] = {}
    for source in mixed.item.targets:
        true.setdefault(str(source.class_id), []).append(mixed.targets[source.label])
    return true


def sounds_beside(mixed: MixedItem) -> dict[str, np.ndarray]:
    """Give by its node what sounds in a scene and is no target: what finds it is neither right nor wrong."""
    nodes = {source.class_id for source in mixed.item.sources if source.role == "other"} - {None}
    rest = mixed.mixture - np.sum([*mixed.targets.values(), np.zeros_like(mixed.mixture)], axis=0)
    return {str(node): rest for node in nodes}


def _plan(
    sources: Mapping[int, np.ndarray],
    engine: SeparationEngine,
    *,
    settings: SeparationSettings,
    levels: Sequence[int],
    is_oracle: bool,
) -> SeparationPlan:
    targets = targets_for_levels(
        engine.vocabulary, levels=levels, hierarchy=settings.hierarchy, known=engine.known
    )
    if not is_oracle:
        return SeparationPlan(targets)
    return SeparationPlan(
        tuple(
            replace(target, is_gated=False)
            for target in targets
            if target.is_known and sources.keys() & set(target.class_indexes)
        )
    )


def _separate(
    mixture: np.ndarray,
    sources: Mapping[int, np.ndarray],
    session: Session[EstimateBlock],
    *,
    plan: SeparationPlan,
    engine: SeparationEngine,
    settings: SeparationSettings,
) -> SeparatedScene:
    estimates: dict[str, np.ndarray] = {}
    held_by: set[tuple[str, str]] = set()
    keys = [target.key for target in plan.targets]
    for block in engine.drive(session):
        add_estimates(estimates, block, frames=len(mixture))
        held_by.update(
            (keys[place], keys[block.held_by[segment, place]])
            for segment, place in np.argwhere(block.held_by >= 0)
        )
    stems = written_stems(estimates, settings=settings)
    stem_of = {key: key for key in stems}
    for key, holder in sorted(held_by):
        if key not in estimates and key not in stem_of and holder in stems:
            stem_of[key] = holder
            stems[key] = stems[holder]
    return SeparatedScene(mixture, sources, stems, stem_of)


def _counted(session: Session[EstimateBlock], forwards: Counter[str]) -> Session[EstimateBlock]:
    answers = None
    while True:
        try:
            step = session.send(answers)
        except StopIteration:
            return
        if isinstance(step, Request):
            for row in step.rows:
                forwards["tags" if isinstance(row, TagRow) else "separations"] += 1
        answers = yield step
