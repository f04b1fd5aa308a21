"""What comes out of a separator without masks, with toys whose output is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.unit.separation.fakes import (
    CLASSES,
    DOG,
    MUSIC,
    SPEECH,
    BandSeparator,
    BandTagger,
    Bound,
    FakeTagging,
    FakeWeights,
    bound,
    noise,
    one_hot,
    snr_db,
)
from uss_ray.models.conv_tasnet import ConvTasNet
from uss_ray.models.network_settings import ConvTasNetConfig
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.separation.mixture import ArraySource, PartSource
from uss_ray.separation.scheduler import SessionEnd
from uss_ray.separation.session import EstimateBlock
from uss_ray.separation.settings import SeparationSettings
from uss_ray.separation.targets import Target, target_for_condition
from uss_ray.separation.windows import Span

RATE = 8000
GAINS = {SPEECH: 0.5, DOG: 0.25}
EVERYWHERE = SeparationSettings(threshold=0.0, condition="class-mean")
HARD = EVERYWHERE.replace(joins="hard", context_seconds=0.0, fade_seconds=0.0)


class Gain:
    """A separator in the time domain: the mixture, by a gain for each class of the condition."""

    sample_rate = RATE
    condition_size = CLASSES

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, mixture: Tensor, condition: Tensor) -> Tensor:
        self.shapes.append(tuple(mixture.shape))
        gains = torch.zeros(CLASSES)
        for index, gain in GAINS.items():
            gains[index] = gain
        return mixture * (condition @ gains).unsqueeze(1)


class GainWeights(FakeWeights):
    """The fakes with a separator that has no masks."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.separator = Gain()  # type: ignore[assignment]


def node(index: int, *, level: int | None = None) -> Target:
    return Target(f"node {index}", f"Node {index}", level, class_indexes=(index,), own_indexes=(index,))


def separated(
    engine: Bound,
    waveform: NDArray[np.float32],
    targets: Sequence[Target],
    *,
    rate: int = RATE,
    exclude: Sequence[Target] = (),
) -> dict[str, NDArray[np.float32]]:
    source = ArraySource(waveform, sample_rate=rate)
    blocks = list(engine.stream(source, targets, exclude=exclude))
    keys = {key for block in blocks for key in block.estimates}
    return {key: np.concatenate([block.estimates[key] for block in blocks], axis=1) for key in keys}


@pytest.mark.parametrize("settings", [EVERYWHERE, HARD], ids=["faded", "hard"])
@pytest.mark.parametrize("frames", [1, 3000, 16_000, 77_777])
def test_an_estimate_is_as_long_as_the_recording_and_has_no_seam(
    vocabulary: Vocabulary, frames: int, settings: SeparationSettings
) -> None:
    waveform = noise(2, frames)
    found = separated(bound(GainWeights(), vocabulary, settings), waveform, [node(SPEECH), node(DOG)])
    for index, gain in GAINS.items():
        assert found[f"node {index}"].shape == waveform.shape
        np.testing.assert_allclose(found[f"node {index}"], gain * waveform, atol=1e-6)


@pytest.mark.parametrize("rate", [11_025, 44_100])
def test_estimates_come_at_the_rate_of_the_recording(vocabulary: Vocabulary, rate: int) -> None:
    time = np.arange(5 * rate) / rate
    waveform = np.stack([np.sin(2 * np.pi * hertz * time) for hertz in (300.0, 700.0)]).astype(np.float32)
    found = separated(bound(GainWeights(), vocabulary, EVERYWHERE), waveform, [node(SPEECH)], rate=rate)
    inner = slice(rate // 10, -rate // 10)
    assert snr_db(found[f"node {SPEECH}"][:, inner], 0.5 * waveform[:, inner]) > 50


@pytest.mark.parametrize("mode", ["mid", "independent"])
def test_each_channel_is_separated_by_itself(vocabulary: Vocabulary, mode: str) -> None:
    weights = GainWeights()
    engine = bound(weights, vocabulary, EVERYWHERE.replace(channel_mode=mode))
    opposed = noise(1, 5 * RATE) * np.array([[1.0], [-1.0], [0.1]], np.float32)
    found = separated(engine, opposed, [node(SPEECH)])
    np.testing.assert_allclose(found[f"node {SPEECH}"], 0.5 * opposed, atol=1e-6)
    assert len(weights.separator.shapes) == 3 * 3  # type: ignore[attr-defined]


def test_windows_have_one_length_so_that_they_fill_batches(vocabulary: Vocabulary) -> None:
    weights = GainWeights()
    separated(bound(weights, vocabulary, EVERYWHERE), noise(1, 11 * RATE), [node(SPEECH)])
    assert len(set(weights.separator.shapes)) == 1  # type: ignore[attr-defined]


def test_what_is_excluded_is_taken_from_the_mixture_first(vocabulary: Vocabulary) -> None:
    engine = bound(GainWeights(), vocabulary, EVERYWHERE)
    waveform = noise(2, 7 * RATE)
    found = separated(engine, waveform, [node(SPEECH)], exclude=[node(DOG)])
    np.testing.assert_allclose(found[f"node {SPEECH}"], 0.5 * 0.75 * waveform, atol=1e-6)
    (rest,) = separated(engine, waveform, [], exclude=[node(DOG), node(SPEECH)]).values()
    np.testing.assert_allclose(rest, 0.75 * 0.5 * waveform, atol=1e-6)


def test_consistent_estimates_of_a_level_sum_to_what_an_exclusion_leaves(vocabulary: Vocabulary) -> None:
    engine = bound(GainWeights(), vocabulary, EVERYWHERE.replace(mixture_consistency=True))
    waveform = noise(2, 7 * RATE)
    excluded = target_for_condition("hum", condition=0.4 * one_hot(SPEECH))
    targets = [node(SPEECH, level=1), node(DOG, level=1), target_for_condition("q", condition=one_hot(DOG))]
    found = separated(engine, waveform, targets, exclude=[excluded])
    rest = 0.8 * waveform
    np.testing.assert_allclose(found[f"node {SPEECH}"] + found[f"node {DOG}"], rest, atol=1e-6)
    np.testing.assert_allclose(found["query:q"], 0.25 * rest, atol=1e-6, err_msg="of no level")
    assert np.abs(found[f"node {SPEECH}"]).max() > np.abs(found[f"node {DOG}"]).max()


def conv_tasnet() -> GainWeights:
    weights = GainWeights()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        weights.separator = ConvTasNet(  # type: ignore[assignment]
            ConvTasNetConfig(
                condition_size=CLASSES, kernel_samples=16, filters=8, channels=4, hidden_channels=6,
                stack_blocks=3, stacks=2, sample_rate=RATE,
            )
        )  # fmt: skip
    return weights


@pytest.mark.parametrize("settings", [EVERYWHERE, HARD], ids=["faded", "hard"])
def test_spans_set_end_to_end_are_the_undivided_recording(
    vocabulary: Vocabulary, settings: SeparationSettings
) -> None:
    engine = bound(conv_tasnet(), vocabulary, settings)
    waveform, targets = noise(2, 15 * RATE + 321), [node(SPEECH), node(DOG)]
    whole = separated(engine, waveform, targets)
    context = engine.span_context_seconds * RATE
    joined: dict[str, list[NDArray[np.float32]]] = {key: [] for key in whole}
    for first, last in ((0, 2), (2, 3), (3, 6), (6, None)):
        start = max(0, first * 2 * RATE - context)
        stop = waveform.shape[1] if last is None else min(waveform.shape[1], last * 2 * RATE + context)
        part = PartSource(
            waveform[:, start:stop],
            sample_rate=RATE,
            start_frame=start,
            ends_recording=stop == waveform.shape[1],
        )
        session = engine.open_session(part, targets, span=Span(first, last))
        for block in engine.engine.drive(session):
            for key, pieces in joined.items():
                pieces.append(block.estimates[key])
    for key, pieces in joined.items():
        assert np.abs(whole[key]).max() > 1e-4
        np.testing.assert_array_equal(np.concatenate(pieces, axis=1), whole[key])


# Settings belong to the session


@pytest.mark.parametrize("batch_size", [1, 4])
def test_sessions_of_different_settings_side_by_side_give_what_each_gives_alone(
    vocabulary: Vocabulary, batch_size: int
) -> None:
    engine = bound(FakeWeights(), vocabulary, batch_size=batch_size).engine
    sound, targets = noise(2, 9 * RATE, seed=3), [node(SPEECH), node(DOG)]
    everywhere = SeparationSettings(threshold=0.0, channel_mode="independent", mixture_consistency=True)
    settings = [
        SeparationSettings(threshold=0.1),
        SeparationSettings.published(),
        everywhere.replace(segment_seconds=3, silence={"untagged_below_rms_dbfs": None}),
        everywhere.replace(silence={"untagged_below_rms_dbfs": -10.0}),
    ]

    def session(chosen: SeparationSettings) -> object:
        return Bound(engine, chosen).open_session(ArraySource(sound, sample_rate=RATE), targets)

    alone = [[block for _, block in engine.stream_many([session(chosen)])] for chosen in settings]  # type: ignore[list-item]
    together: list[list[EstimateBlock | SessionEnd]] = [[] for _ in settings]
    for place, block in engine.stream_many([session(chosen) for chosen in settings]):  # type: ignore[misc]
        together[place].append(block)
    for found, expected in zip(together, alone, strict=True):
        assert len(found) == len(expected) > 1
        for mine, its in zip(found, expected, strict=True):
            if not isinstance(mine, EstimateBlock) or not isinstance(its, EstimateBlock):
                assert mine == its == SessionEnd()
                continue
            np.testing.assert_array_equal(mine.segment_probs, its.segment_probs)
            np.testing.assert_array_equal(mine.active, its.active)
            assert mine.estimates.keys() == its.estimates.keys()
            for key, estimate in mine.estimates.items():
                np.testing.assert_array_equal(estimate, its.estimates[key])
    active = [np.concatenate([b.active for b in found if isinstance(b, EstimateBlock)]) for found in alone]
    assert [len(flags) for flags in active] == [5, 5, 3, 5]
    assert active[2].all()
    assert not active[3].any()


class ListeningSeparator(BandSeparator):
    """The fake, in two parts: what it hears is the spectrogram itself."""

    hears_activity = True

    def __init__(self) -> None:
        super().__init__(RATE)
        self.listened = 0
        self.heard: list[Tensor] = []

    def listen(self, spectrogram: Tensor) -> Tensor:
        self.listened += len(spectrogram)
        return spectrogram.squeeze(1)

    def masks_of(self, features: Tensor, condition: Tensor, activity: Tensor) -> Tensor:
        self.heard.extend(activity)
        return super().masks(features.unsqueeze(1), condition)


class FramesTagger(BandTagger):
    """Hears everything in the second half of what it is asked about."""

    def __call__(self, waveform: Tensor) -> FakeTagging:
        made = super().__call__(waveform)
        frames = torch.zeros(len(waveform), 11, CLASSES)
        frames[:, 6:] = 1.0
        return replace(made, framewise_probs=frames)


@pytest.mark.parametrize("settings", [EVERYWHERE, HARD], ids=["faded", "hard"])
def test_a_shared_trunk_hears_each_window_once_whatever_is_asked_for(
    vocabulary: Vocabulary, settings: SeparationSettings
) -> None:
    waveform = noise(1, 4 * RATE)
    wanted, exclude = [node(SPEECH), node(DOG)], [node(MUSIC)]
    weights = FakeWeights(RATE)
    weights.tagger = FramesTagger(RATE)
    expected = separated(bound(weights, vocabulary, settings), waveform, wanted, exclude=exclude)
    weights.separator = listening = ListeningSeparator()
    found = separated(bound(weights, vocabulary, settings), waveform, wanted, exclude=exclude)
    assert listening.listened == 2
    assert len(listening.heard) == 6
    for key, estimate in expected.items():
        np.testing.assert_array_equal(found[key], estimate)
    # When each target is heard lies evenly over its window, and holds before and after its segment.
    for heard in listening.heard:
        assert heard[0] == 0
        assert heard[-1] == 1
        assert (heard.diff() >= 0).all()


def test_what_nobody_heard_is_there_all_the_time(vocabulary: Vocabulary) -> None:
    weights = FakeWeights(RATE)
    weights.separator = listening = ListeningSeparator()
    separated(bound(weights, vocabulary, HARD), noise(1, 2 * RATE), [node(SPEECH)])
    assert (listening.heard[0] == 1).all()
