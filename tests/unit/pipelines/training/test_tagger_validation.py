from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tests.synthetic_set import RATE, SyntheticSet, sound_of
from tests.unit.pipelines.training.test_tagger import tagger_training
from uss_ray.datasets.segments import ClipRecord
from uss_ray.errors import DataError
from uss_ray.pipelines.training.local import train_here
from uss_ray.pipelines.training.progress import look_at
from uss_ray.pipelines.training.request import TaggerValidationSettings
from uss_ray.pipelines.training.tagger_validation import check_clips_held_out
from uss_ray.pipelines.training.worker import export
from uss_ray.store.store import Store
from uss_ray.weights.folder import read_folder


@pytest.mark.slow
def test_a_tagger_is_scored_on_clips_it_does_not_know_and_its_best_state_is_kept(
    synthetic_set: SyntheticSet, tmp_path: Path
) -> None:
    plain = tagger_training(synthetic_set, tmp_path, recipe={"fit": {"keep_checkpoints": 1}})
    rng = np.random.default_rng(1)
    (tmp_path / "held").mkdir()
    for number in range(6):
        soundfile.write(
            tmp_path / "held" / f"h{number}.flac", 0.05 * sound_of(number % 3, rng), RATE, subtype="PCM_16"
        )
    rows = "".join(f'h{number}, 0.0, 0.5, "/t/{number % 3}"\n' for number in range(6))
    (tmp_path / "held.csv").write_text(rows)
    held_out = TaggerValidationSettings(
        segments=(str(tmp_path / "held.csv"),), audio=str(tmp_path / "held"), every_steps=2
    )
    scored = plain.replace(output=str(tmp_path / "scored"), validation=held_out)
    assert train_here(scored) == train_here(plain) == 4
    seen = look_at(Store(scored.output))
    assert [line["step"] for line in seen.validations] == [2, 4]
    best = max(seen.validations, key=lambda line: line["mean_average_precision"])
    assert set(best["classes"]) == {"/t/0", "/t/1", "/t/2"}
    assert best["mean_average_precision"] == pytest.approx(sum(best["classes"].values()) / 3)
    exported = read_folder(export(scored, tmp_path / "best", best=True))
    assert exported.source is not None
    assert exported.source["step"] == seen.best
    card = (tmp_path / "best" / "MODEL_CARD.md").read_text()
    assert f"mean_average_precision {exported.source['validation']['mean_average_precision']:.4g}" in card
    assert f"Trained on {exported.source['hardware']}." in card
    assert (Path(scored.output) / "curve.svg").read_text().count("<polyline") == 2
    # the score is that of the weights that are exported
    assert exported.tagger is not None
    waveforms = np.stack([soundfile.read(tmp_path / "held" / f"h{row}.flac")[0] for row in range(6)])
    padded = torch.from_numpy(np.pad(waveforms, ((0, 0), (0, RATE // 2))).astype(np.float32))
    with torch.no_grad():
        probs = exported.tagger.eval()(padded).clipwise_probs.numpy()
    truth = np.eye(4)[[0, 1, 2, 0, 1, 2]][:, :3] > 0
    from sklearn.metrics import average_precision_score

    expected = np.mean([average_precision_score(truth[:, at], probs[:, at]) for at in range(3)])
    line = next(line for line in seen.validations if line["step"] == seen.best)
    assert line["mean_average_precision"] == pytest.approx(expected, abs=1e-6)
    # a run learns the same whether it is scored or not
    assert [line["loss"] for line in seen.curve] == [
        line["loss"] for line in look_at(Store(plain.output)).curve
    ]


def test_clips_that_are_trained_on_are_refused(synthetic_set: SyntheticSet) -> None:
    settings = TaggerValidationSettings(segments=("held.csv",), audio="held")

    def check(clip_id: str) -> None:
        held_out = [ClipRecord("new", 0.0, 1.0, (0,)), ClipRecord(clip_id, 0.0, 1.0, (1,))]
        trained = [ClipRecord("clip", 0.0, 1.0, (0,))]
        check_clips_held_out(held_out, trained, synthetic_set.open(), settings=settings)

    check("newer")
    for known in ("clip", "clip1-3"):  # the latter as an anchor
        with pytest.raises(DataError, match=f"held.csv: .* found {known}, one of 1 that are"):
            check(known)


def test_another_excerpt_of_a_recording_that_is_trained_on_is_refused() -> None:
    settings = TaggerValidationSettings(segments=("held.csv",), audio="held")
    held_out = [ClipRecord("aaa", 0.0, 10.0, (0,))]
    with pytest.raises(DataError, match="found aaa, one of 1 that are"):
        check_clips_held_out(held_out, [ClipRecord("aaa_30.000", 0.0, 10.0, (0,))], None, settings=settings)
