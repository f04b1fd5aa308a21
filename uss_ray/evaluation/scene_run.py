"""Scenes through the engine as users run it: levels separated, stems kept, forwards counted, all of it scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from uss_ray.audio.level import dbfs
from uss_ray.evaluation.scene_scores import LevelScore, SeparatedScene, score_scene
from uss_ray.evaluation.scenes import ClipShelf, MixedScene, Scene, mix_scene
from uss_ray.separation.engine import SeparationEngine
from uss_ray.separation.mixture import ArraySource
from uss_ray.separation.networks import TagRow
from uss_ray.separation.scheduler import Request, Session
from uss_ray.separation.session import EstimateBlock
from uss_ray.separation.settings import SeparationSettings
from uss_ray.separation.targets import SeparationPlan, targets_for_levels


def run_scenes(
    scenes: Sequence[Scene],
    clips: ClipShelf,
    *,
    engine: SeparationEngine,
    settings: SeparationSettings,
    levels: Sequence[int] = (1, 2, 3),
    is_oracle: bool = False,
    forwards: Counter[str] | None = None,
) -> Iterator[list[LevelScore]]:
    """Separate and score scenes one after the other.

    Parameters
    ----------
    scenes : sequence of Scene
    clips : ClipShelf
        At any rate.
    engine : SeparationEngine
    settings : SeparationSettings
    levels : sequence of int, default=(1, 2, 3)
    is_oracle : bool, default=False
        Ask for the nodes that are there, and wherever there is sound; otherwise for all, as the detector finds them.
    forwards : Counter, optional
        Counts rows of the tagger as "tags" and of the separator as "separations".

    Yields
    ------
    list of LevelScore
        Of one scene.
    """
    for scene in scenes:
        mixed = mix_scene(scene, clips)
        plan = _plan(mixed, engine, settings=settings, levels=levels, is_oracle=is_oracle)
        session = engine.open_session(
            ArraySource(mixed.mixture, sample_rate=clips.sample_rate), plan, settings=settings
        )
        if forwards is not None:
            session = _counted(session, forwards)
        separated = _separate(mixed, session, plan=plan, engine=engine, settings=settings)
        yield score_scene(scene.scene_id, separated, targets=plan.targets, vocabulary=engine.vocabulary)


def _plan(
    mixed: MixedScene,
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
    there = {engine.vocabulary.classes.index(class_id) for class_id in mixed.sources}
    return SeparationPlan(
        tuple(
            replace(target, is_gated=False)
            for target in targets
            if target.is_known and there.intersection(target.class_indexes)
        )
    )


def _separate(
    mixed: MixedScene,
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
        for key, estimate in block.estimates.items():
            whole = estimates.setdefault(key, np.zeros_like(mixed.mixture))
            whole[block.start_frame : block.start_frame + estimate.shape[1]] = estimate[0]
        held_by.update(
            (keys[place], keys[block.held_by[segment, place]])
            for segment, place in np.argwhere(block.held_by >= 0)
        )
    floor = settings.silence.stem_silent_below_peak_dbfs
    stems = {
        key: stem
        for key, stem in estimates.items()
        if floor is None or dbfs(float(np.abs(stem).max())) >= floor
    }
    stem_of = {key: key for key in stems}
    for key, holder in sorted(held_by):
        if key not in estimates and key not in stem_of and holder in stems:
            stem_of[key] = holder
            stems[key] = stems[holder]
    classes = engine.vocabulary.classes
    return SeparatedScene(
        mixed.mixture,
        {classes.index(class_id): sound for class_id, sound in mixed.sources.items()},
        stems,
        stem_of,
    )


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
