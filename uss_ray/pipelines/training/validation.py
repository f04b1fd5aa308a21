"""Score a run while it is trained: its weights as they would be exported, through the engine that users run.

Each worker separates its part of the list; what they found is put together, and the first one writes it.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from uss_ray.anchors.audio import encode_flac
from uss_ray.anchors.packed import clip_key
from uss_ray.anchors.packed_reader import PackedAnchors
from uss_ray.audio.pcm import to_int16
from uss_ray.datasets.clips import LoadedClips
from uss_ray.errors import DataError
from uss_ray.evaluation.pairs import EvaluationPair, pairs_csv, read_pairs
from uss_ray.evaluation.protocol import build_pairs, load_eval_clips, settings_for
from uss_ray.evaluation.separation import PairScores, SeparatedPairs, scores_by_class, separate_pairs
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.pipelines.training.request import ValidationSettings
from uss_ray.pipelines.training.run_folder import RunFolder
from uss_ray.separation.engine import build_engine
from uss_ray.separation.settings import SeparationSettings
from uss_ray.training.fit import TrainingState
from uss_ray.training.world import World
from uss_ray.weights.folder import read_folder


class SeparatorValidation:
    """The list that a separator is scored on.

    Parameters
    ----------
    settings : ValidationSettings
    anchors : PackedAnchors
        That the run is trained on.
    vocabulary : Vocabulary
    folder : RunFolder
    export : callable
        Writes the weights folder of a state, with networks of its own.
    steps, checkpoint_steps : int
        Of the run.
    device : device

    Raises
    ------
    DataError
        If there is no list, a clip of it is in the training set, or a class has no anchors.
    """

    def __init__(
        self,
        settings: ValidationSettings,
        *,
        anchors: PackedAnchors,
        vocabulary: Vocabulary,
        folder: RunFolder,
        export: Callable[[TrainingState, Path], Path],
        steps: int,
        checkpoint_steps: int,
        device: torch.device,
    ) -> None:
        self.settings = settings
        manifest = anchors.manifest
        data = Path(settings.data)
        self.pairs = (
            read_pairs(Path(settings.pairs))
            if settings.pairs
            else build_pairs(
                data, vocabulary=vocabulary, segment_seconds=manifest.samples / manifest.sample_rate
            )
        )
        check_held_out(self.pairs, anchors, vocabulary=vocabulary, settings=settings)
        self._vocabulary, self._folder, self._export = vocabulary, folder, export
        self._steps, self._every = steps, settings.every_steps or checkpoint_steps
        self._device, self._sample_rate = device, manifest.sample_rate
        self._clips: LoadedClips | None = None
        self._engine_settings = settings_for(settings.query, SeparationSettings())

    def load(self) -> None:
        """Decode the clips of the list."""
        self._clips = load_eval_clips(
            Path(self.settings.data),
            vocabulary=self._vocabulary,
            sample_rate=self._sample_rate,
            pairs=self.pairs,
        )

    def is_due(self, step: int) -> bool:
        """Whether a state of that step is scored."""
        return step % self._every == 0 or step == self._steps

    def score(self, state: TrainingState, *, world: World) -> None:
        """Score a state and leave what was found in the run's folder; called on every worker."""
        assert self._clips is not None  # whoever trains has called `load`
        with tempfile.TemporaryDirectory(prefix="uss_ray-validation-") as place:
            weights = read_folder(self._export(state, Path(place) / "weights"))
        engine = build_engine(weights, vocabulary=self._vocabulary, device=self._device)
        own = range(world.rank, len(self.pairs), world.size)
        scores = PairScores()
        wanted = set(_evenly(len(own), self.settings.heard)) if world.is_first else set()
        heard: dict[str, bytes] = {}
        for scored in separate_pairs(
            [self.pairs[number] for number in own],
            self._clips,
            engine=engine,
            query=self.settings.query,
            settings=self._engine_settings,
            segment_seconds=weights.specifications.segment_seconds,
        ):
            for place_in_batch in range(len(scored.pairs)):
                if len(scores) + place_in_batch in wanted:
                    heard |= self._sound(scored, place_in_batch, number=len(heard) // 3)
            scores.add(scored.pairs, scored.separated, targets=scored.targets, mixtures=scored.mixtures)
        figures = torch.zeros(len(self.pairs), 3, dtype=torch.float64, device=self._device)
        figures[list(own)] = torch.from_numpy(scores.figures).to(self._device)
        world.sum([figures])
        if world.is_first:
            self._folder.add_validation(self._line(state.step, figures.cpu().numpy()), heard=heard)
        world.wait()

    def _line(self, step: int, figures: np.ndarray) -> dict[str, Any]:
        classes = scores_by_class([pair.class_id for pair in self.pairs], figures)
        return {
            "step": step,
            "sdri_db": float(np.mean([score.sdri_db for score in classes])),
            "gated_sdri_db": float(np.mean([score.gated_sdri_db for score in classes])),
            "detected": float(figures[:, 2].mean()),
            "query": self.settings.query,
            "pairs": len(self.pairs),
            "list_sha256": hashlib.sha256(pairs_csv(self.pairs).encode()).hexdigest(),
            "classes": {score.class_id: score.sdri_db for score in classes},
        }

    def _sound(self, scored: SeparatedPairs, place: int, *, number: int) -> dict[str, bytes]:
        label = self._vocabulary.ontology.node(scored.pairs[place].class_id).label
        stem = f"{number}-{''.join(sign if sign.isalnum() else '_' for sign in label)}"
        triple = {
            "mixture": scored.mixtures[place],
            "target": scored.targets[place],
            "estimate": scored.separated.opened[place],
        }
        return {
            f"{stem}-{kind}.flac": encode_flac(to_int16(waveform), sample_rate=self._sample_rate)
            for kind, waveform in triple.items()
        }


def check_held_out(
    pairs: Sequence[EvaluationPair],
    anchors: PackedAnchors,
    *,
    vocabulary: Vocabulary,
    settings: ValidationSettings,
) -> None:
    """Refuse a list whose clips are trained on, or that asks for a class without a mean.

    Raises
    ------
    DataError
    """
    name = settings.pairs or settings.data
    if not pairs:
        raise DataError(name, expected="a list of mixtures", found="an empty one")
    trained = set(anchors.catalogue.clips.tolist())
    clips = sorted({clip for pair in pairs for clip in (pair.target_clip_id, pair.other_clip_id)})
    seen = [clip for clip in clips if clip_key(clip) in trained]
    if seen:
        raise DataError(
            name,
            expected=f"clips that are not in {anchors.root}",
            found=f"{seen[0]}, one of {len(seen)} that are trained on",
        )
    there = set(anchors.catalogue.classes)
    without = [pair.class_id for pair in pairs if vocabulary.classes.index(pair.class_id) not in there]
    if settings.query == "class-mean" and without:
        raise DataError(name, expected="classes that have anchors", found=f"{without[0]}, which has none")


def _evenly(count: int, some: int) -> list[int]:
    return [place * count // some for place in range(min(some, count))] if some else []
