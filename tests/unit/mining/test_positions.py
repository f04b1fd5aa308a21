from __future__ import annotations

import importlib.util
from itertools import combinations, pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from uss_ray.mining import positions
from uss_ray.mining.positions import AnchorGrid, mined_starts, outside_starts, random_starts
from uss_ray.mining.scoring import pick_positions, score_anchor_positions

RATE = 32_000
GRID = AnchorGrid(clip_samples=10 * RATE, anchor_samples=2 * RATE, hop_samples=320)


def slow_start(probs: np.ndarray) -> int:
    """The paper's rule, step by step: mean under 201 frames, the largest, half a segment or more inside the clip."""
    best_frame, best_score = 0, -1.0
    for frame in range(len(probs)):
        window = [probs[min(max(frame + k, 0), len(probs) - 1)] for k in range(-100, 101)]
        score = float(np.mean(np.array(window, np.float64)))
        if score > best_score + 1e-9:
            best_frame, best_score = frame, score
    return (min(max(best_frame, 100), 900) - 100) * 320


def smooth_probs(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = np.repeat(rng.random(40), 26)[:1001]
    return (0.9 * coarse + 0.1 * rng.random(1001)).astype(np.float32)


@pytest.mark.parametrize("seed", range(6))
def test_mined_positions_equal_a_slow_reference_of_the_paper(seed: int) -> None:
    probs = smooth_probs(seed)
    assert mined_starts(probs, grid=GRID) == [slow_start(probs)]


@pytest.mark.parametrize("event", [(0, 90), (500, 700), (930, 1001)])
def test_an_event_is_found_to_the_frame(event: tuple[int, int]) -> None:
    probs = np.full(1001, 0.01, np.float32)
    probs[event[0] : event[1]] = 0.9
    [start] = mined_starts(probs, grid=GRID)
    assert start <= event[0] * 320
    assert start + 2 * RATE >= (event[1] - 1) * 320
    assert start == slow_start(probs)


def border_probs() -> np.ndarray:
    """0.9 in the first 0.1 s, which the border rule makes the best score of all, and 0.4 for a second in the middle."""
    probs = np.zeros(1001, np.float32)
    probs[:10], probs[500:601] = 0.9, 0.4
    return probs


def test_a_place_below_the_least_probability_gives_way_to_the_best_that_is_not() -> None:
    probs = border_probs()
    assert mined_starts(probs, grid=GRID) == [0]
    [start] = mined_starts(probs, grid=GRID, min_probability=0.1)
    assert probs[GRID.frames_of(start)].mean() == pytest.approx(0.4 * 101 / 201)
    assert mined_starts(probs, grid=GRID, min_probability=0.3) == [
        0
    ]  # none is: what the rule took is told of


def test_where_nothing_is_probable_few_places_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = []
    monkeypatch.setattr(
        positions, "mean_probability", lambda frames: (looked_at.append(frames), float(frames.mean()))[1]
    )
    probs = np.full(GRID.clip_frames, 0.01, np.float32)
    assert len(mined_starts(probs, grid=GRID, min_probability=0.1)) == 1
    assert len(looked_at) == 1


def test_further_places_are_compared_with_what_the_first_one_has() -> None:
    probs = np.zeros(1001, np.float32)
    probs[:60], probs[500:701] = 0.9, 0.2  # 0.72 by the border rule, 0.27 in the first two seconds
    assert mined_starts(probs, grid=GRID, count=3, min_share=0.5) == [0, 500 * 320]
    assert mined_starts(probs, grid=GRID, count=3, min_share=0.8) == [0]
    assert mined_starts(probs, grid=GRID, count=3, min_share=0.5, min_probability=0.25) == [0]


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("seed", range(6))
def test_places_that_pass_stay_what_the_rule_of_the_paper_takes(seed: int, count: int) -> None:
    probs = smooth_probs(seed)
    scores = score_anchor_positions(probs, segment_frames=201)
    rule = [
        (centre - 100) * 320
        for centre, _ in pick_positions(scores, segment_frames=201, count=count, min_share=0.5)
    ]
    passing = [start for start in rule if probs[GRID.frames_of(start)].mean(dtype=np.float64) >= 0.45]
    found = mined_starts(probs, grid=GRID, count=count, min_share=0.5, min_probability=0.45)
    assert [start for start in found if start in passing] == passing
    assert found == rule or all(probs[GRID.frames_of(s)].mean(dtype=np.float64) >= 0.45 for s in found)


def published_program() -> ModuleType:
    package = importlib.util.find_spec("uss")
    if package is None or package.submodule_search_locations is None:
        pytest.skip("uss is not installed (tests/peers.txt)")
    path = Path(package.submodule_search_locations[0]) / "data" / "anchor_segment_detectors.py"
    spec = importlib.util.spec_from_file_location("published_anchor_detectors", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.peer
def test_mined_positions_equal_the_released_program() -> None:
    torch = pytest.importorskip("torch")
    probs = np.stack([smooth_probs(seed) for seed in range(20, 40)])

    class Detector(torch.nn.Module):
        def forward(self, input):
            return {"framewise_output": torch.from_numpy(probs)[:, :, None]}

    peer = published_program().AnchorSegmentDetector(
        sed_model=Detector(),
        clip_seconds=10.0,
        segment_seconds=2.0,
        frames_per_second=100,
        sample_rate=RATE,
        detect_mode="max_area",
    )
    published = peer(torch.zeros(len(probs), 10 * RATE), [0] * len(probs))
    assert [mined_starts(row, grid=GRID)[0] for row in probs] == published["bgn_sample"].tolist()


def test_a_clip_of_other_length_has_no_anchor_in_its_padding() -> None:
    grid = AnchorGrid(clip_samples=5 * RATE, anchor_samples=2 * RATE, hop_samples=320)
    probs = np.linspace(0, 1, 1001, dtype=np.float32)
    assert mined_starts(probs, grid=grid) == [3 * RATE]


def test_frames_of_an_anchor_are_those_it_was_scored_with() -> None:
    assert GRID.frames_of(0) == slice(0, 201)
    assert GRID.frames_of(8 * RATE) == slice(800, 1001)
    assert GRID.frames_of(12_345) == slice(39, 240)


def test_random_positions_are_a_function_of_clip_and_seed() -> None:
    def draw(clip_id: str, class_index: int = 3, seed: int = 0) -> list[int]:
        return random_starts(clip_id, class_index=class_index, grid=GRID, seed=seed)

    assert draw("a") == draw("a")
    assert len({draw("a")[0], draw("b")[0], draw("a", class_index=4)[0], draw("a", seed=1)[0]}) == 4


def test_random_positions_cover_the_whole_clip_evenly() -> None:
    starts = np.array([random_starts(str(n), class_index=0, grid=GRID)[0] for n in range(2000)])
    assert starts.min() >= 0
    assert starts.max() <= 8 * RATE
    counts, _ = np.histogram(starts, bins=8, range=(0, 8 * RATE))
    assert counts.min() > 190
    assert counts.max() < 310


@pytest.mark.parametrize("count", [2, 5, 9])
def test_several_random_positions_do_not_overlap(count: int) -> None:
    for clip in range(50):
        starts = random_starts(str(clip), class_index=0, grid=GRID, count=count)
        assert len(starts) == min(count, 5)
        assert all(b - a >= 2 * RATE for a, b in pairwise(starts))
        assert starts[0] >= 0
        assert starts[-1] <= 8 * RATE


@pytest.mark.parametrize("mined", [0, 3 * RATE, 8 * RATE])
def test_places_beside_the_mined_one_overlap_nothing_and_cover_what_is_left(mined: int) -> None:
    drawn = [
        outside_starts([mined], clip_id=str(clip), class_index=0, grid=GRID, count=2) for clip in range(400)
    ]
    for starts in drawn:
        assert all(abs(b - a) >= 2 * RATE for a, b in combinations([mined, *starts], 2))
    firsts = np.array([starts[0] for starts in drawn])
    free = np.array([start for start in range(0, 8 * RATE + 1, 320) if abs(start - mined) >= 2 * RATE])
    assert firsts.min() >= free.min()
    assert firsts.max() <= free.max()
    assert abs(np.median(firsts) - np.median(free)) < RATE
    assert drawn[7] == outside_starts([mined], clip_id="7", class_index=0, grid=GRID, count=2)


def test_a_clip_that_is_full_has_no_place_beside_the_mined_one() -> None:
    grid = AnchorGrid(clip_samples=5 * RATE, anchor_samples=2 * RATE, hop_samples=320)
    middle = round(1.5 * RATE)
    assert outside_starts([middle], clip_id="a", class_index=0, grid=grid) == []
    assert len(outside_starts([3 * RATE], clip_id="a", class_index=0, grid=grid, count=9)) == 1
