"""What the separation of a scene is worth: right and wrong nodes, stems against truth, the residual, levels that agree.

Arrays in, figures out; who separates is `scene_run`'s business.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from uss_ray.evaluation.label_metrics import ca_sdri
from uss_ray.evaluation.metrics import is_silent, sdr
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.separation.targets import Target

Waveform = NDArray[np.float32]

TAKEN_TWICE = -0.05
"""A residual that holds less of a stem's sound than this has lost it more than once."""
LOUDER_DB = 1.0
"""By how much a child may be louder than its parent."""

_FLOOR = 1e-12


@dataclass(frozen=True, eq=False)
class SeparatedScene:
    """What came of a scene.

    Parameters
    ----------
    mixture : ndarray of shape (samples,), dtype=float32
    sources : dict of int to ndarray of shape (samples,), dtype=float32
        Class index -> true sound.
    stems : dict of str to ndarray of shape (samples,), dtype=float32
        Node id -> stem, only of those that are written.
    stem_of : dict of str to str
        Node id of a written stem -> that of the node whose stem it is; nodes may share one.
    beside : dict of str to ndarray of shape (samples,), dtype=float32
        Node id -> sound of what is there and no source, as a texture: a node that holds it, or lies below it, is
        neither right nor false by it.
    """

    mixture: Waveform
    sources: Mapping[int, Waveform]
    stems: Mapping[str, Waveform]
    stem_of: Mapping[str, str]
    beside: Mapping[str, Waveform] = field(default_factory=dict)


@dataclass(frozen=True)
class NodeScore:
    """A node of a level that is true, written, or both.

    Parameters
    ----------
    scene_id : str
    level : int
    node_id : str
    is_known, is_true, is_written : bool
    sdr_db, sdri_db : float or None
        Against the sum of the true sources below the node; of one that is not written, of silence. None of a false one.
    share : float
        Energy of the stem by that of the mixture, in [0, inf); of one that is true and not written, of its sources.
    left : float or None
        What the residual of the level holds of the stem's sound, as a factor of the stem; None without a stem.
    """

    scene_id: str
    level: int
    node_id: str
    is_known: bool
    is_true: bool
    is_written: bool
    sdr_db: float | None
    sdri_db: float | None
    share: float
    left: float | None


@dataclass(frozen=True)
class LevelScore:
    """A level of a scene.

    Parameters
    ----------
    scene_id : str
    level : int
    nodes : tuple of NodeScore
    residual_share : float or None
        Energy of mixture minus stems by that of the mixture; None of silence.
    ca_sdri_db : float or None
        Class-aware SDRi of the nodes that the weights know.
    children, louder : int
        Stems of this level with a parent in the level above that was asked for; and how many of them are more than
        1 dB louder than each parent, or have no parent with a stem.
    parents, overdrawn : int
        Stems of the level above with children here, and how many of them hold less than their children: what they leave
        holds less than -0.05 of the sound of one.
    """

    scene_id: str
    level: int
    nodes: tuple[NodeScore, ...]
    residual_share: float | None
    ca_sdri_db: float | None
    children: int
    louder: int
    parents: int
    overdrawn: int


def score_scene(
    scene_id: str, separated: SeparatedScene, *, targets: Sequence[Target], vocabulary: Vocabulary
) -> list[LevelScore]:
    """Score a scene level by level.

    Parameters
    ----------
    scene_id : str
    separated : SeparatedScene
    targets : sequence of Target
        Everything that was asked for; those of no level do not count.
    vocabulary : Vocabulary
    """
    levels = sorted({target.level for target in targets if target.level is not None})
    by_level = {level: [target for target in targets if target.level == level] for level in levels}
    return [_score_level(scene_id, level, separated, by_level, vocabulary=vocabulary) for level in levels]


def _score_level(
    scene_id: str,
    level: int,
    separated: SeparatedScene,
    by_level: Mapping[int, Sequence[Target]],
    *,
    vocabulary: Vocabulary,
) -> LevelScore:
    targets = by_level[level]
    stems = _distinct(separated, targets)
    residual = separated.mixture - np.sum(list(stems.values()), axis=0, dtype=np.float32)
    judged = [target for target in targets if not _is_beside(separated, target, vocabulary)]
    nodes = [_score_node(scene_id, level, target, separated, residual, vocabulary) for target in judged]
    keys = {target.key for target in by_level.get(level - 1, ())}
    children = {
        key: [parent for parent in vocabulary.ontology.node(key).parent_ids if parent in keys]
        for key in stems
    }
    children = {key: parents for key, parents in children.items() if parents}
    louder = sum(
        energy(stems[key])
        > 10 ** (LOUDER_DB / 10) * max(energy(separated.stems.get(parent)) for parent in parents)
        for key, parents in children.items()
    )
    parents = _distinct(separated, by_level.get(level - 1, ()))
    below = {
        parent: [
            stems[key]
            for key, own in children.items()
            if parent == next((separated.stem_of[one] for one in own if one in separated.stems), None)
        ]
        for parent in parents
    }
    below = {parent: own for parent, own in below.items() if own}
    overdrawn = sum(
        min(projection(parents[parent] - np.sum(own, axis=0), child) for child in own) < TAKEN_TWICE
        for parent, own in below.items()
    )
    return LevelScore(
        scene_id,
        level,
        nodes=tuple(node for node in nodes if node.is_true or node.is_written),
        residual_share=None if is_silent(separated.mixture) else energy(residual) / energy(separated.mixture),
        ca_sdri_db=_class_aware(separated, [target for target in judged if target.is_known], vocabulary),
        children=len(children),
        louder=louder,
        parents=len(below),
        overdrawn=overdrawn,
    )


def _is_beside(separated: SeparatedScene, target: Target, vocabulary: Vocabulary) -> bool:
    """Tell whether nothing that is to be found lies below a node, and something does that is there all the same."""
    return not separated.sources.keys() & set(target.class_indexes) and any(
        vocabulary.ontology.related(target.key, node) for node in separated.beside
    )


def _score_node(
    scene_id: str,
    level: int,
    target: Target,
    separated: SeparatedScene,
    residual: Waveform,
    vocabulary: Vocabulary,
) -> NodeScore:
    mixture = separated.mixture
    truth = _truth(separated, target, vocabulary)
    stem = separated.stems.get(target.key)
    sdr_db = sdri_db = None
    if truth is not None:
        sdr_db = float(sdr(np.zeros_like(mixture) if stem is None else stem, truth))
        sdri_db = sdr_db - float(sdr(mixture, truth))
    return NodeScore(
        scene_id,
        level,
        target.key,
        is_known=target.is_known,
        is_true=truth is not None,
        is_written=stem is not None,
        sdr_db=sdr_db,
        sdri_db=sdri_db,
        share=energy(truth if stem is None else stem) / max(energy(mixture), _FLOOR),
        left=None if stem is None else projection(residual, stem),
    )


def _truth(separated: SeparatedScene, target: Target, vocabulary: Vocabulary) -> Waveform | None:
    below = [sound for index, sound in separated.sources.items() if index in target.class_indexes]
    if not below:
        return None
    beside = [
        sound
        for node, sound in separated.beside.items()
        if vocabulary.classes.index(node) in target.class_indexes
    ]
    return np.asarray(np.sum([*below, *beside], axis=0))


def _class_aware(
    separated: SeparatedScene, targets: Sequence[Target], vocabulary: Vocabulary
) -> float | None:
    truths = {target.key: _truth(separated, target, vocabulary) for target in targets}
    return ca_sdri(
        {key: [separated.stems[key]] for key in truths if key in separated.stems},
        {key: [truth] for key, truth in truths.items() if truth is not None},
        separated.mixture,
    )


def _distinct(separated: SeparatedScene, targets: Iterable[Target]) -> dict[str, Waveform]:
    """Give each stem of some targets once."""
    written = [target.key for target in targets if target.key in separated.stems]
    return {key: separated.stems[key] for key in dict.fromkeys(separated.stem_of[key] for key in written)}


def energy(waveform: Waveform | None) -> float:
    """Sum the squares; 0 of none."""
    return 0.0 if waveform is None else float(np.square(waveform, dtype=np.float64).sum())


def projection(waveform: Waveform, onto: Waveform) -> float:
    """Tell how much of a sound another holds, as a factor of it: 1 if it holds it, 0 if nothing, -1 its opposite."""
    return float(np.dot(waveform.astype(np.float64), onto)) / max(energy(onto), _FLOOR)
