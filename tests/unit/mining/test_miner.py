from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from uss_ray.anchors.anchor import Anchor, Reject
from uss_ray.mining.detection import Detection
from uss_ray.mining.miner import AnchorMiner
from uss_ray.mining.settings import MiningSettings
from uss_ray.silence import MiningSilence

RATE = 32_000
RELATED = np.eye(4, dtype=bool)


def noise(seconds: float = 10.0) -> np.ndarray:
    return (0.1 * np.random.default_rng(1).standard_normal(round(seconds * RATE))).astype(np.float32)


def detection(**events: tuple[int, int, float]) -> Detection:
    """Class `c2=(400, 600, 0.9)`: probability 0.9 in these frames."""
    probs = np.full((1001, 4), 0.005, np.float32)
    for name, (first, last, prob) in events.items():
        probs[first:last, int(name[1:])] = prob
    return Detection(probs, probs.max(axis=0), 320.0)


def mine(settings: MiningSettings, found: Detection, labels: list[int], waveform: np.ndarray | None = None):
    miner = AnchorMiner(settings, related=RELATED)
    clip = noise() if waveform is None else waveform
    return list(miner.mine(clip, clip_id="clip", class_indexes=labels, detection=found))


def test_an_anchor_keeps_what_training_needs() -> None:
    found = detection(c1=(400, 600, 0.9), c2=(0, 1001, 0.25))
    [anchor] = mine(MiningSettings(), found, [1])
    assert isinstance(anchor, Anchor)
    assert abs(anchor.start_sample - 400 * 320) <= 640
    assert anchor.score == pytest.approx(0.9, abs=0.01)
    assert anchor.purity == pytest.approx(0.75)
    assert anchor.intruder_index == 2
    assert anchor.level_db == pytest.approx(-20, abs=0.2)
    assert anchor.prob_indexes == (1, 2)
    assert anchor.probs.tolist() == pytest.approx([0.9, 0.25])
    cut = noise()[anchor.start_sample : anchor.start_sample + 2 * RATE]
    assert np.abs(anchor.waveform / 32767 - cut).max() <= 0.51 / 32767


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (MiningSettings(min_probability=0.95), "improbable"),
        (MiningSettings(silence=MiningSilence(anchor_rejected_below_rms_dbfs=-10)), "silent"),
        (MiningSettings(min_purity=0.8), "impure"),
        (MiningSettings(max_purity=0.7), "too pure"),
    ],
)
def test_every_reject_has_its_reason(settings: MiningSettings, reason: str) -> None:
    found = detection(c1=(400, 601, 0.9), c2=(0, 1001, 0.25))
    [reject] = mine(settings, found, [1])
    assert isinstance(reject, Reject)
    assert reject.reason == reason
    assert (reject.clip_id, reject.class_index, reject.start_sample) == ("clip", 1, 400 * 320)
    assert reject.found


def test_a_label_has_an_anchor_where_a_place_is_probable_enough() -> None:
    """Ten frames at the border of a clip score best, for they are repeated; what lies there is no anchor."""
    found = detection(c1=(0, 10, 0.9), c2=(500, 601, 0.4))
    found.framewise_probs[500:601, 1] = 0.4
    [anchor] = mine(MiningSettings(), found, [1])
    assert isinstance(anchor, Anchor)
    assert anchor.score == pytest.approx(0.4 * 101 / 201, abs=0.01)
    [reject] = mine(MiningSettings(min_probability=0.5), found, [1])
    assert (reject.reason, reject.start_sample) == ("improbable", 0)


def test_the_published_settings_reject_neither_silence_nor_doubt() -> None:
    [anchor] = mine(MiningSettings.published(), detection(), [3], np.zeros(10 * RATE, np.float32))
    assert isinstance(anchor, Anchor)
    assert anchor.level_db == -np.inf


def test_a_clip_shorter_than_an_anchor_is_rejected_once() -> None:
    assert mine(MiningSettings(), detection(c1=(0, 150, 0.9)), [1, 2], noise(1.5)) == [
        Reject(clip_id="clip", reason="short", found="1.500 s")
    ]


def test_several_anchors_of_a_label_do_not_overlap_and_get_worse() -> None:
    found = detection(c1=(50, 1001, 0.6), c2=(0, 0, 0))
    found.framewise_probs[300:500, 1] = 0.9
    anchors = mine(MiningSettings(anchors_per_label=3, min_share=0.5), found, [1])
    assert len(anchors) == 3
    assert [a.score for a in anchors] == sorted((a.score for a in anchors), reverse=True)
    starts = sorted(a.start_sample for a in anchors)
    assert all(b - a >= 2 * RATE for a, b in pairwise(starts))
    assert len(mine(MiningSettings(anchors_per_label=3, min_share=0.9), found, [1])) == 1


def test_random_anchors_do_not_follow_the_detector_but_are_measured_by_it() -> None:
    found = detection(c1=(0, 200, 0.9))
    settings = MiningSettings(mode="random", min_probability=0.0)
    miner = AnchorMiner(settings, related=RELATED)
    starts, scores = [], []
    for number in range(40):
        [anchor] = miner.mine(noise(), clip_id=str(number), class_indexes=[1], detection=found)
        assert isinstance(anchor, Anchor)
        starts.append(anchor.start_sample)
        scores.append(anchor.score)
    assert max(starts) > 6 * RATE
    assert scores[int(np.argmin(starts))] > scores[int(np.argmax(starts))]


def test_an_anchor_beside_the_mined_one_does_not_hold_its_event() -> None:
    found = detection(c1=(400, 600, 0.9))
    settings = MiningSettings(mode="outside", min_probability=0.0)
    [anchor] = mine(settings, found, [1])
    assert isinstance(anchor, Anchor)
    assert anchor.score < 0.2
    [reject] = mine(settings, found, [1], noise(2.5))
    assert isinstance(reject, Reject)
    assert (reject.reason, reject.class_index) == ("short", 1)
