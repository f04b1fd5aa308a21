from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from uss_ray.errors import DataError
from uss_ray.evaluation.coverage import (
    PlaceCoverage,
    average_places,
    best_coverage,
    coverage,
    evaluate_mining,
    join_spans,
)
from uss_ray.mining.settings import MiningSettings
from uss_ray.models.tagging import Tagging
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.silence import MiningSilence
from uss_ray.weights.folder import Weights, read_folder

DOG, BARK, RAIN = "/m/0bt9lr", "/m/05tny_", "/m/06mb1"
RATE = 32_000


def test_coverage_equals_counting_milliseconds() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        edges = np.sort(rng.integers(0, 10_000, 6)) / 1000
        spans = [(float(a), float(b)) for a, b in edges.reshape(3, 2)]
        start = float(rng.integers(0, 8000)) / 1000
        active = np.zeros(10_000, bool)
        for onset, offset in spans:
            active[round(onset * 1000) : round(offset * 1000)] = True
        first = round(start * 1000)
        counted = active[first : first + 2000].mean()
        assert coverage(spans, start_seconds=start, seconds=2.0) == pytest.approx(counted)
        windows = np.lib.stride_tricks.sliding_window_view(active, 2000).mean(axis=1)
        assert best_coverage(spans, seconds=2.0, clip_seconds=10.0) == pytest.approx(windows.max())


def test_events_that_overlap_count_once() -> None:
    assert coverage(join_spans([(0, 2), (1, 3), (1, 2)]), start_seconds=0, seconds=4) == 0.75


def test_means_over_places_and_over_classes_differ() -> None:
    places = [PlaceCoverage("a", True, 1.0, 0.5, 1.0)] * 3 + [PlaceCoverage("b", True, 0.0, 0.1, 0.5)]
    means = average_places(places)
    assert (means.places, means.classes) == (4, 2)
    assert (means.mined, means.mined_by_class) == (0.75, 0.5)
    assert means.random_by_class == pytest.approx(0.3)
    assert math.isnan(average_places([]).mined)


class LoudnessDetector(torch.nn.Module):
    """Every class is where it is loud."""

    config = SimpleNamespace(frames_per_second=100)

    def forward(self, waveform: torch.Tensor) -> Tagging:
        power = torch.nn.functional.avg_pool1d(waveform.square()[:, None], 640, 320, padding=320)[:, 0]
        framewise = (power > 1e-4).float()[..., None].expand(-1, -1, 527) * 0.9
        return Tagging(framewise.amax(dim=1), framewise[:, 0], framewise)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six clips with a tone of 3 s at a place of its own: a bark labelled dog and bark, and rain that has no event."""
    root = tmp_path_factory.mktemp("data")
    (root / "metadata").mkdir()
    (root / "audio" / "eval").mkdir(parents=True)
    rng = np.random.default_rng(0)
    segments, events = [], ["segment_id\tsplit\tonset\toffset\tmid\trole"]
    for number in range(6):
        clip = rng.standard_normal(10 * RATE) * 0.001
        clip[number * RATE : (number + 3) * RATE] += 0.1 * np.sin(np.arange(3 * RATE) * 0.05)
        soundfile.write(root / "audio" / "eval" / f"clip{number}.wav", clip, RATE)
        segments.append(f'clip{number}, 0.000, 10.000, "{DOG},{BARK},{RAIN}"')
        events.append(f"clip{number}\teval\t{number}.0\t{number + 3}.0\t{BARK}\ttarget")
    (root / "metadata" / "eval_segments.csv").write_text("\n".join(segments) + "\n")
    (root / "metadata" / "strong_labels.tsv").write_text("\n".join(events) + "\n")
    return root


@pytest.fixture(scope="module")
def weights(tiny_weights: Path) -> Weights:
    return replace(read_folder(tiny_weights), detector=LoudnessDetector())  # type: ignore[arg-type]


def test_mined_anchors_lie_on_the_event_and_random_ones_do_not(data: Path, weights: Weights) -> None:
    result = evaluate_mining(data, weights=weights, vocabulary=Vocabulary.load())
    assert result.labels_without_event == 6
    assert result.everything == result.kept
    assert (result.kept.places, result.kept.classes) == (12, 2)
    assert result.kept.mined > 0.98
    assert result.kept.best == 1.0
    assert 0.2 < result.kept.random < 0.5
    assert [(row.class_id, row.places, row.kept) for row in result.classes] == [(BARK, 6, 6), (DOG, 6, 6)]
    assert json.loads(result.to_json())["kept"]["places"] == 12


def test_what_the_settings_reject_is_told_apart(data: Path, weights: Weights) -> None:
    settings = MiningSettings(
        min_probability=0.95, silence=MiningSilence(anchor_rejected_below_rms_dbfs=None)
    )
    result = evaluate_mining(data, weights=weights, vocabulary=Vocabulary.load(), settings=settings)
    assert result.everything.places == 12
    assert result.kept.places == 0
    assert {row.kept_mined for row in result.classes} == {None}
    assert json.loads(result.to_json())["kept"]["mined"] == "nan"


def test_data_without_true_events_is_named(data: Path, weights: Weights, tmp_path: Path) -> None:
    for name in ("audio", "metadata"):
        (tmp_path / name).mkdir()
    (tmp_path / "metadata" / "eval_segments.csv").write_text(f'clip0, 0, 10, "{DOG}"\n')
    (tmp_path / "audio" / "eval").symlink_to(data / "audio" / "eval")
    with pytest.raises(DataError, match="expected a table of true events"):
        evaluate_mining(tmp_path, weights=weights, vocabulary=Vocabulary.load())
    (tmp_path / "metadata" / "strong_labels.tsv").write_text("segment_id\tsplit\tonset\toffset\tmid\trole\n")
    with pytest.raises(DataError, match="expected true events of the labels of eval, found none"):
        evaluate_mining(tmp_path, weights=weights, vocabulary=Vocabulary.load())
