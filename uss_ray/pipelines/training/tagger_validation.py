"""Score a tagger while it is trained: its weights as they would be exported, on whole clips that nobody learned from.

Each worker hears its part of the clips; what they found is put together, and the first one writes it.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from uss_ray.anchors.anchor import recording_of
from uss_ray.anchors.packed_reader import PackedAnchors
from uss_ray.datasets.segments import ClipRecord
from uss_ray.errors import DataError
from uss_ray.evaluation.label_metrics import average_precision
from uss_ray.pipelines.training.request import TaggerValidationSettings
from uss_ray.pipelines.training.run_folder import RunFolder
from uss_ray.pipelines.training.scores import MEAN_AVERAGE_PRECISION
from uss_ray.training.fit import TrainingState
from uss_ray.training.recipe import FitSettings
from uss_ray.training.tagger import WeakClips
from uss_ray.training.world import World
from uss_ray.weights.folder import read_folder

_AT_A_TIME = 8


class TaggerValidation:
    """The clips that a tagger is scored on.

    Parameters
    ----------
    settings : TaggerValidationSettings
    clips : WeakClips
        Whose sound is there when they are scored.
    class_ids : sequence of str
        In the order of their indexes.
    folder : RunFolder
    export : callable
        Writes the weights folder of a state, with a network of its own.
    fit : FitSettings
        Of the run.
    device : device
    """

    def __init__(
        self,
        settings: TaggerValidationSettings,
        clips: WeakClips,
        *,
        class_ids: Iterable[str],
        folder: RunFolder,
        export: Callable[[TrainingState, Path], Path],
        fit: FitSettings,
        device: torch.device,
    ) -> None:
        self._clips, self._class_ids = clips, list(class_ids)
        self._folder, self._export = folder, export
        self._steps, self._every = fit.steps, settings.every_steps or fit.checkpoint_steps
        self._device = device
        packed = np.packbits(clips.labels > 0)
        self.measured_on = {"labels_sha256": hashlib.sha256(packed.tobytes()).hexdigest()}

    def is_due(self, step: int) -> bool:
        """Whether a state of that step is scored."""
        return step % self._every == 0 or step == self._steps

    @property
    def size(self) -> str:
        """See `Validation`."""
        return f"{len(self._clips.labels)} clips"

    @torch.no_grad()
    def score(
        self, state: TrainingState, *, world: World, is_stopping: Callable[[], bool] = lambda: False
    ) -> bool:
        """See `Validation`."""
        with tempfile.TemporaryDirectory(prefix="uss_ray-validation-") as place:
            tagger = read_folder(self._export(state, Path(place) / "weights")).tagger
        assert tagger is not None  # of a tagger's run
        tagger = tagger.to(self._device).eval()
        labels = self._clips.labels
        probs = torch.zeros(labels.shape, dtype=torch.float64, device=self._device)
        own = np.arange(world.rank, len(labels), world.size)
        stopped = torch.zeros(1, dtype=torch.float64, device=self._device)
        for start in range(0, len(own), _AT_A_TIME):
            if is_stopping():
                stopped += 1
                break
            rows = own[start : start + _AT_A_TIME]
            waveforms = torch.from_numpy(self._clips.waveform(rows)).to(self._device)
            probs[torch.from_numpy(rows)] = tagger(waveforms).clipwise_probs.double()
        world.sum([probs, stopped])
        if stopped.any():
            return False
        if world.is_first:
            self._folder.add_validation(self._line(state.step, probs.cpu().numpy()), heard={})
        world.wait()
        return True

    def _line(self, step: int, probs: NDArray[np.float64]) -> dict[str, object]:
        labels = self._clips.labels > 0
        found = {
            class_id: average_precision(probs[:, index], labels[:, index])
            for index, class_id in enumerate(self._class_ids)
        }
        scores = {class_id: score for class_id, score in found.items() if score is not None}
        return {
            "step": step,
            MEAN_AVERAGE_PRECISION: float(np.mean(list(scores.values()))),
            "clips": len(labels),
            **self.measured_on,
            "classes": scores,
        }


def check_clips_held_out(
    held_out: Iterable[ClipRecord],
    trained: Iterable[ClipRecord],
    anchors: PackedAnchors | None,
    *,
    settings: TaggerValidationSettings,
) -> None:
    """Refuse clips that are trained on, as they are or as anchors.

    Raises
    ------
    DataError
    """
    clips = [(record.clip_id, record.start_seconds) for record in held_out]
    known = {recording_of(record.clip_id) for record in trained}
    seen = {clip_id for clip_id, _ in clips if recording_of(clip_id) in known}
    if anchors is not None:
        seen.update(anchors.packed_of(clips))
    if seen:
        raise DataError(
            settings.segments[0],
            expected="clips that are not trained on",
            found=f"{min(seen)}, one of {len(seen)} that are",
        )
