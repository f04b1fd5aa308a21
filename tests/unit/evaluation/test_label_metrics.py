from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from uss_ray.evaluation.label_metrics import (
    average_precision,
    ca_sdri,
    capi_sdri,
    d_prime,
    event_counts,
    f1,
    frame_counts,
    label_accuracies,
)

RNG = np.random.default_rng(0)
DOG, RAIN, SPARE = (RNG.standard_normal(800).astype(np.float32) for _ in range(3))
MIXTURE = DOG + RAIN


def tenth(sound: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """A tenth of a noise of the sound's energy beside it: 20 dB."""
    scale = 0.1 * np.sqrt(np.square(sound).sum() / np.square(noise).sum())
    return (sound + scale * noise).astype(np.float32)


def plain_snr(estimate: np.ndarray, reference: np.ndarray) -> float:
    return float(10 * np.log10(np.square(reference).sum() / np.square(estimate - reference).sum()))


def test_what_is_missed_or_false_adds_a_zero() -> None:
    references = {"dog": [DOG], "rain": [RAIN]}
    gain = 20 - plain_snr(MIXTURE, DOG)
    found = {"dog": [tenth(DOG, SPARE)], "bell": [SPARE]}
    assert ca_sdri(found, references, MIXTURE) == pytest.approx(gain / 3, abs=1e-3)
    assert capi_sdri(found, references, MIXTURE) == pytest.approx(gain / 3, abs=1e-3)
    assert ca_sdri({}, references, MIXTURE) == 0.0
    assert ca_sdri({}, {}, MIXTURE) is None
    assert capi_sdri({}, {}, MIXTURE) is None


@pytest.mark.parametrize(("predicted", "true"), [(2, 2), (3, 2), (1, 3), (2, 3)])
def test_repeated_labels_are_matched_as_by_brute_force(predicted: int, true: int) -> None:
    rng = np.random.default_rng([predicted, true])
    references = [rng.standard_normal(50).astype(np.float32) for _ in range(true)]
    estimates = [rng.standard_normal(50).astype(np.float32) for _ in range(predicted)]
    mixture = np.sum(references, axis=0)
    best: tuple[float, list[float]] = (-np.inf, [])
    for some in permutations(range(predicted), min(predicted, true)):
        for others in permutations(range(true), min(predicted, true)):
            raw = [plain_snr(estimates[a], references[b]) for a, b in zip(some, others, strict=True)]
            gains = [raw[k] - plain_snr(mixture, references[b]) for k, b in enumerate(others)]
            best = max(best, (float(np.mean(raw)), gains), key=lambda one: one[0])
    found = capi_sdri({"dog": estimates}, {"dog": references}, mixture)
    assert found == pytest.approx(sum(best[1]) / max(predicted, true), abs=1e-3)


def test_accuracies_count_repeated_labels() -> None:
    scenes = [(["a", "a"], ["a"]), (["b"], ["b"]), ([], [])]
    assert label_accuracies(scenes) == (2 / 3, 2 / 3)
    assert label_accuracies([]) == (None, None)


def test_precision_and_sensitivity_are_those_of_another_library() -> None:
    from sklearn.metrics import average_precision_score, roc_auc_score

    scores = np.round(RNG.random(200), 1)  # with ties
    truth = RNG.random(200) < 0.2 + 0.3 * scores
    assert average_precision(scores, truth) == pytest.approx(average_precision_score(truth, scores))
    area = roc_auc_score(truth, scores)
    found = d_prime(scores, truth)
    assert found is not None
    from statistics import NormalDist

    assert NormalDist().cdf(found / np.sqrt(2)) == pytest.approx(area)
    assert average_precision(scores, np.zeros(200, bool)) is None
    assert d_prime(scores, np.ones(200, bool)) is None


def test_f1_of_nothing_is_not_defined() -> None:
    assert (f1(1, 2, 2), f1(0, 0, 0)) == (0.5, None)


@pytest.mark.parametrize("seed", range(6))
def test_events_are_matched_as_any_matching_could(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def draw(count: int) -> list[tuple[float, float]]:
        starts = rng.uniform(0, 1, count)
        return [
            (start, start + length) for start, length in zip(starts, rng.uniform(0.1, 3, count), strict=True)
        ]

    found, true = draw(4), draw(3)
    fits = np.array(
        [
            [abs(a - c) <= 0.2 and abs(b - d) <= max(0.2, 0.2 * (d - c)) for c, d in true]
            for a, b in found
        ]
    )  # fmt: skip
    best = max(sum(fits[one, at] for at, one in enumerate(order)) for order in permutations(range(4), 3))
    assert event_counts({"a": found, "b": true}, {"a": true}) == (best, 7, 3)


def test_frames_are_counted_label_by_label() -> None:
    found = {"a": [(0.0, 1.0), (0.5, 2.0)], "b": [(0.0, 1.0)]}
    true = {"a": [(1.5, 3.0)], "c": [(0.0, 0.5)]}
    assert frame_counts(found, true, seconds=2.5) == (10, 40 + 20, 20 + 10)
    assert frame_counts({}, {}, seconds=1.0) == (0, 0, 0)
