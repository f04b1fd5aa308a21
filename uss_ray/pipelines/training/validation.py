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
from numpy.typing import NDArray

from uss_ray.anchors.audio import encode_flac
from uss_ray.anchors.packed_reader import PackedAnchors
from uss_ray.audio.pcm import to_int16
from uss_ray.errors import DataError
from uss_ray.evaluation.averages import class_median_mean
from uss_ray.evaluation.benchmarks.known import draw_of
from uss_ray.evaluation.benchmarks.mini import items_of_pairs
from uss_ray.evaluation.items import Item
from uss_ray.evaluation.metrics import sdr_improvement
from uss_ray.evaluation.pairs import EvaluationPair, pairs_csv, read_pairs
from uss_ray.evaluation.protocol import build_pairs
from uss_ray.evaluation.queries import ByNode, Oracle, Query
from uss_ray.evaluation.sounds import MixedItem, SoundShelf, mix
from uss_ray.evaluation.systems import EngineSystem
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.pipelines.training.request import ValidationSettings
from uss_ray.pipelines.training.run_folder import RunFolder
from uss_ray.separation.engine import SeparationEngine, build_engine
from uss_ray.separation.settings import SeparationSettings, nearest_segment_seconds
from uss_ray.store.store import Store
from uss_ray.training.fit import TrainingState
from uss_ray.training.world import World
from uss_ray.weights.folder import read_folder

# All clips of a list of some hundreds: they are heard again at each validation.
_SHELF_BYTES = 1 << 30
_AT_A_TIME, _AT_A_TIME_ON_A_CPU = 16, 2  # a stop waits for so many mixtures


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
        self.pairs = _pairs(settings, vocabulary=vocabulary, segment_seconds=manifest.segment_seconds)
        self.measured_on = _measured(self.pairs, settings)
        check_held_out(self.pairs, anchors, vocabulary=vocabulary, settings=settings)
        self._vocabulary, self._folder, self._export = vocabulary, folder, export
        self._steps, self._every = steps, settings.every_steps or checkpoint_steps
        self._device, self._sample_rate = device, manifest.sample_rate
        self._seconds = manifest.segment_seconds
        self._sounds = SoundShelf(Store(settings.data), keep_bytes=_SHELF_BYTES)
        self._items: list[Item] = []

    def load(self) -> None:
        """Decode the clips of the list, and bring the sources of each mixture to one energy."""
        draw = draw_of(
            Store(self.settings.data),
            split="eval",
            protocol="strict",
            seed=0,
            vocabulary=self._vocabulary,
            sounds=self._sounds,
        )
        self._items = items_of_pairs(self.pairs, draw, seconds=self._seconds, sample_rate=self._sample_rate)
        lacking = sorted(
            {source.path for item in self._items for source in item.sources} - draw.files.sizes.keys()
        )
        if lacking:
            raise DataError(
                self.settings.data, expected=f"clip {Path(lacking[0]).stem} of the list", found="none"
            )

    def is_due(self, step: int) -> bool:
        """Whether a state of that step is scored."""
        return step % self._every == 0 or step == self._steps

    @property
    def size(self) -> str:
        """See `Validation`."""
        return f"{len(self.pairs)} mixtures"

    def score(
        self, state: TrainingState, *, world: World, is_stopping: Callable[[], bool] = lambda: False
    ) -> bool:
        """See `Validation`."""
        with tempfile.TemporaryDirectory(prefix="uss_ray-validation-") as place:
            weights = read_folder(self._export(state, Path(place) / "weights"))
        engine = build_engine(weights, vocabulary=self._vocabulary, device=self._device)
        opened, gated = (
            EngineSystem("engine", self._query(engine, only_detected=is_on)) for is_on in (False, True)
        )
        own = range(world.rank, len(self.pairs), world.size)
        wanted = set(_evenly(len(own), self.settings.heard)) if world.is_first else set()
        heard: dict[str, bytes] = {}
        found: list[tuple[float, float, bool]] = []
        stopped = torch.zeros(1, dtype=torch.float64, device=self._device)
        count = _AT_A_TIME_ON_A_CPU if self._device.type == "cpu" else _AT_A_TIME
        for start in range(0, len(own), count):
            if is_stopping():
                stopped += 1
                break
            mixed = [mix(self._items[number], self._sounds) for number in own[start : start + count]]
            for item, one, other in zip(mixed, opened.separate(mixed), gated.separate(mixed), strict=True):
                [(label, target)] = item.targets.items()
                estimates = [separated.estimates[label] for separated in (one, other)]
                if len(found) in wanted:
                    heard |= self._sound(item, estimates[0], number=len(heard) // 3)
                scores = [float(sdr_improvement(estimate, target, item.mixture)) for estimate in estimates]
                # an oracle is no class that could be detected
                found.append((scores[0], scores[1], one.detected.get(label, True)))
        figures = torch.zeros(len(self.pairs), 3, dtype=torch.float64, device=self._device)
        done = list(own)[: len(found)]
        figures[done] = torch.tensor(found, dtype=torch.float64, device=self._device).reshape(-1, 3)
        world.sum([figures, stopped])
        if stopped.any():
            return False
        if world.is_first:
            self._folder.add_validation(self._line(state.step, figures.cpu().numpy()), heard=heard)
        world.wait()
        return True

    def _query(self, engine: SeparationEngine, *, only_detected: bool) -> Query:
        settings = SeparationSettings(
            only_detected=only_detected, segment_seconds=nearest_segment_seconds(self._seconds)
        )
        if self.settings.query == "oracle":
            return Oracle(engine, settings)
        return ByNode(engine, settings, name=self.settings.query)

    def _line(self, step: int, figures: np.ndarray) -> dict[str, Any]:
        by_class: list[dict[str, list[float]]] = [{}, {}]
        for pair, values in zip(self.pairs, figures, strict=True):
            for own, value in zip(by_class, values, strict=False):
                own.setdefault(pair.class_id, []).append(float(value))
        opened, gated = (class_median_mean(own, draws=0).value for own in by_class)
        return {
            "step": step,
            "sdri_db": opened,
            "gated_sdri_db": gated,
            "detected": float(figures[:, 2].mean()),
            "pairs": len(self.pairs),
            **self.measured_on,
            "classes": {
                class_id: float(np.median(values)) for class_id, values in sorted(by_class[0].items())
            },
        }

    def _sound(self, item: MixedItem, estimate: NDArray[np.float32], *, number: int) -> dict[str, bytes]:
        [(label, target)] = item.targets.items()
        stem = f"{number}-{''.join(sign if sign.isalnum() else '_' for sign in label)}"
        triple = {"mixture": item.mixture, "target": target, "estimate": estimate}
        return {
            f"{stem}-{kind}.flac": encode_flac(to_int16(waveform), sample_rate=self._sample_rate)
            for kind, waveform in triple.items()
        }


def measured(
    settings: ValidationSettings, *, vocabulary: Vocabulary, segment_seconds: float
) -> dict[str, Any]:
    """Give what a run with these settings is scored on, as its lines say it; no sound is read for that.

    Raises
    ------
    DataError
        If there is no list, or none can be drawn.
    """
    return _measured(_pairs(settings, vocabulary=vocabulary, segment_seconds=segment_seconds), settings)


def _pairs(
    settings: ValidationSettings, *, vocabulary: Vocabulary, segment_seconds: float
) -> list[EvaluationPair]:
    if settings.pairs:
        return read_pairs(settings.pairs)
    return build_pairs(Path(settings.data), vocabulary=vocabulary, segment_seconds=segment_seconds)


def _measured(pairs: Sequence[EvaluationPair], settings: ValidationSettings) -> dict[str, Any]:
    return {
        "query": settings.query,
        "list_sha256": hashlib.sha256(pairs_csv(pairs).encode()).hexdigest(),
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
    seen = anchors.packed_of(
        (clip, None) for pair in pairs for clip in (pair.target_clip_id, pair.other_clip_id)
    )
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
