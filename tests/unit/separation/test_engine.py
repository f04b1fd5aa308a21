from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.unit.separation.fakes import (
    DOG,
    MUSIC,
    SPEECH,
    BandSeparator,
    BandTagger,
    FakeTagging,
    FakeWeights,
    LatentQueryNet,
    RaggedSource,
    bound,
    noise,
    one_hot,
    snr_db,
    tone,
    trained_on,
)
from uss_ray.errors import ConfigError, QueryError, RecordingError, WeightsError
from uss_ray.models.network_settings import ResUNetConfig
from uss_ray.models.resunet import BandedResUNet, ResUNet
from uss_ray.models.specifications import ClassCalibration
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.separation.engine import build_engine
from uss_ray.separation.mixture import ArraySource
from uss_ray.separation.networks import Networks
from uss_ray.separation.scheduler import Scheduler, Session, SessionEnd
from uss_ray.separation.session import EstimateBlock
from uss_ray.separation.settings import NetworkSettings, SeparationSettings
from uss_ray.separation.targets import (
    Asking,
    SeparationPlan,
    Target,
    target_for_condition,
    targets_for_classes,
    targets_for_events,
    targets_for_levels,
)
from uss_ray.weights.folder import read_folder

RATE = 8000
JOIN_TOLERANCE_DB = 60.0
CLASS_MEAN = SeparationSettings(condition="class-mean", threshold=0.05)


def joined(blocks: Sequence[EstimateBlock], key: str) -> NDArray[np.float32]:
    return np.concatenate(
        [block.estimates.get(key, np.zeros_like(block.mixture)) for block in blocks], axis=1
    )


def mixture_of(blocks: Sequence[EstimateBlock]) -> NDArray[np.float32]:
    return np.concatenate([block.mixture for block in blocks], axis=1)


def activity_of(blocks: Sequence[EstimateBlock]) -> NDArray[np.bool_]:
    return np.concatenate([block.active for block in blocks])


def named(vocabulary: Vocabulary, *names: str) -> tuple[Target, ...]:
    return targets_for_classes(vocabulary, names=names)


def gated(vocabulary: Vocabulary, *names: str) -> tuple[Target, ...]:
    return targets_for_classes(vocabulary, names=names, asking=Asking(only_detected=True))


def detected_of(blocks: Sequence[EstimateBlock]) -> NDArray[np.bool_]:
    return np.concatenate([block.detected for block in blocks])


# Lengths, rates and order


@pytest.mark.parametrize("rate", [8000, 11025, 48000])
@pytest.mark.parametrize("frames", [1, 1999, 16_000, 100_003])
@pytest.mark.parametrize("joins", ["faded", "hard"])
def test_exactly_what_came_in_comes_out(
    vocabulary: Vocabulary, weights: FakeWeights, rate: int, frames: int, joins: str
) -> None:
    settings = SeparationSettings() if joins == "faded" else SeparationSettings.published()
    waveform = noise(2, frames)
    query = target_for_condition("all", condition=one_hot(SPEECH, DOG, MUSIC))
    blocks = list(
        bound(weights, vocabulary, settings).stream(ArraySource(waveform, sample_rate=rate), [query])
    )
    np.testing.assert_array_equal(mixture_of(blocks), waveform)
    position = 0
    for block in blocks:
        assert block.start_frame == position
        assert block.estimates[query.key].shape == block.mixture.shape
        assert block.active.shape == block.segment_probs.shape == (len(block.segment_spans_seconds), 1)
        position += block.mixture.shape[1]
    assert len(activity_of(blocks)) == -(-frames // (2 * rate))
    assert blocks[-1].segment_spans_seconds[-1, 1] == pytest.approx(frames / rate)


def test_neither_the_blocks_of_the_source_nor_the_span_change_the_estimates(vocabulary: Vocabulary) -> None:
    waveform = noise(1, 90_000)
    query = target_for_condition("speech", condition=one_hot(SPEECH))
    source = ArraySource(waveform, sample_rate=RATE)
    ragged = RaggedSource(waveform, sample_rate=RATE, lengths=(3, 20_000, 511))
    engine = bound(FakeWeights(), vocabulary, SeparationSettings())
    reference = joined(list(engine.stream(source, [query])), query.key)
    np.testing.assert_array_equal(joined(list(engine.stream(ragged, [query])), query.key), reference)
    single = bound(FakeWeights(), vocabulary, span_segments=1, batch_size=1)
    np.testing.assert_allclose(joined(list(single.stream(source, [query])), query.key), reference, atol=1e-6)


def test_a_source_without_frames_gives_no_block(vocabulary: Vocabulary, weights: FakeWeights) -> None:
    source = RaggedSource(np.zeros((1, 0), dtype=np.float32), sample_rate=RATE, lengths=(1,))
    query = target_for_condition("all", condition=one_hot(SPEECH))
    assert list(bound(weights, vocabulary, SeparationSettings()).stream(source, [query])) == []


# What is separated


@pytest.mark.parametrize("rate", [8000, 44100])
def test_each_target_gets_its_own_sound_where_it_sounds(
    vocabulary: Vocabulary, weights: FakeWeights, rate: int
) -> None:
    speech, dog = tone(SPEECH, 8.0, sample_rate=rate), tone(DOG, 8.0, sample_rate=rate)
    dog[: 4 * rate] = 0.0
    targets = gated(vocabulary, "Speech", "Dog", "Music")
    engine = bound(weights, vocabulary, CLASS_MEAN)
    blocks = list(engine.stream(ArraySource(speech + dog, sample_rate=rate), targets))
    assert activity_of(blocks).tolist() == [[True, False, False]] * 2 + [[True, True, False]] * 2
    assert snr_db(joined(blocks, targets[0].key)[0], speech) > 20
    inner = slice(int(4.2 * rate), int(7.8 * rate))
    assert snr_db(joined(blocks, targets[1].key)[0, inner], dog[inner]) > 30
    assert not joined(blocks, targets[1].key)[0, : int(3.8 * rate)].any()
    assert all(targets[2].key not in block.estimates for block in blocks)


def test_what_is_asked_for_by_name_is_separated_wherever_there_is_sound(
    vocabulary: Vocabulary, weights: FakeWeights
) -> None:
    speech, dog = tone(SPEECH, 10.0, sample_rate=RATE), tone(DOG, 10.0, sample_rate=RATE, level=0.001)
    speech[: 2 * RATE] = dog[: 2 * RATE] = 0.0
    ungated, level = named(vocabulary, "Dog"), gated(vocabulary, "Speech")
    engine = bound(weights, vocabulary, CLASS_MEAN)
    blocks = list(engine.stream(ArraySource(speech + dog, sample_rate=RATE), (*ungated, *level)))
    assert activity_of(blocks).tolist() == [[False, False]] + [[True, True]] * 4, "and silence needs no mask"
    assert not detected_of(blocks)[:, 0].any(), "what was detected is told all the same"
    assert np.concatenate([block.segment_probs for block in blocks])[1:, 0].max() < CLASS_MEAN.threshold
    inner = slice(int(2.2 * RATE), int(9.8 * RATE))
    assert snr_db(joined(blocks, ungated[0].key)[0, inner], dog[inner]) > 10


def test_without_estimates_nothing_but_what_is_detected_is_active(
    vocabulary: Vocabulary, weights: FakeWeights
) -> None:
    targets = named(vocabulary, "Speech", "Dog")
    engine = bound(weights, vocabulary, CLASS_MEAN)
    source = ArraySource(tone(SPEECH, 4.0, sample_rate=RATE), sample_rate=RATE)
    session = engine.open_session(source, targets, estimates=False)
    blocks = [block for _, block in engine.stream_many([session]) if isinstance(block, EstimateBlock)]
    assert activity_of(blocks).tolist() == detected_of(blocks).tolist() == [[True, False]] * 2


def test_a_detected_condition_is_the_segments_own_probability(
    vocabulary: Vocabulary, weights: FakeWeights
) -> None:
    mixture = tone(SPEECH, 4.0, sample_rate=RATE, level=0.2) + tone(DOG, 4.0, sample_rate=RATE, level=0.1)
    (speech,) = named(vocabulary, "Speech")
    engine = bound(weights, vocabulary, SeparationSettings(condition="detected"))
    blocks = list(engine.stream(ArraySource(mixture, sample_rate=RATE), [speech]))
    np.testing.assert_allclose(blocks[0].segment_probs, 0.8, atol=1e-3)
    made = torch.stack(weights.separator.conditions)
    assert made[:, SPEECH].numpy() == pytest.approx(0.8, abs=1e-3)
    assert not made[:, DOG].any()


def test_every_audible_segment_is_tagged_once_and_silence_never(
    vocabulary: Vocabulary, weights: FakeWeights
) -> None:
    waveform = noise(2, 12 * RATE)
    waveform[:, 2 * RATE : 6 * RATE] *= 1e-6
    targets = targets_for_levels(vocabulary, levels=[1, 2])
    engine = bound(weights, vocabulary, SeparationSettings(threshold=0.01))
    blocks = list(engine.stream(ArraySource(waveform, sample_rate=RATE), targets))
    assert sum(weights.tagger.batches) == 4
    active, probs = activity_of(blocks), np.concatenate([block.segment_probs for block in blocks])
    assert not active[1:3].any()
    assert not probs[1:3].any()
    tagged = np.concatenate([block.tagged for block in blocks])
    assert tagged.tolist() == [True, False, False, True, True, True], "and a block says so"
    assert active[[0, 3, 4, 5]].any(axis=1).all()


def step_in_batches_of(rows: int, weights: FakeWeights, *sessions: Session[EstimateBlock]) -> None:
    """Drive sessions with the networks as an accelerator would use them."""
    scheduler = Scheduler[EstimateBlock](
        Networks(
            tagger=weights.tagger,
            separator=weights.separator,
            batch_size=rows,
            precision="float32",
            device=torch.device("cpu"),
        )
    )
    for session in sessions:
        scheduler.submit(session)
    while len(scheduler):
        scheduler.step()


def test_masks_of_many_targets_and_segments_go_in_full_batches(
    vocabulary: Vocabulary, weights: FakeWeights
) -> None:
    targets = named(vocabulary, "Speech", "Dog", "Music")
    mixture = sum(tone(index, 20.0, sample_rate=RATE) for index in (SPEECH, DOG, MUSIC))
    engine = bound(weights, vocabulary, span_segments=20)
    session = engine.open_session(ArraySource(np.asarray(mixture), sample_rate=RATE), targets)
    step_in_batches_of(4, weights, session)
    assert sum(weights.separator.batches) == 30
    assert weights.separator.batches.count(4) >= 6


def test_several_recordings_at_once_give_what_they_give_alone(
    vocabulary: Vocabulary, weights: FakeWeights
) -> None:
    engine = bound(weights, vocabulary, batch_size=8)
    query = target_for_condition("dog", condition=one_hot(DOG))
    recordings = [noise(1, frames, seed=frames) for frames in (70_000, 100, 33_000)]
    alone = [
        joined(list(engine.stream(ArraySource(recording, sample_rate=RATE), [query])), query.key)
        for recording in recordings
    ]
    sessions = [
        engine.open_session(ArraySource(recording, sample_rate=RATE), [query]) for recording in recordings
    ]
    blocks: dict[int, list[EstimateBlock]] = {}
    for index, block in engine.stream_many(sessions):
        if isinstance(block, EstimateBlock):
            blocks.setdefault(index, []).append(block)
    for index, expected in enumerate(alone):
        np.testing.assert_array_equal(joined(blocks[index], query.key), expected)


def test_several_recordings_at_once_fill_batches_together(
    vocabulary: Vocabulary, weights: FakeWeights
) -> None:
    engine = bound(weights, vocabulary, SeparationSettings())
    query = target_for_condition("dog", condition=one_hot(DOG))
    sessions = [
        engine.open_session(ArraySource(noise(1, 20_000, seed=seed), sample_rate=RATE), [query])
        for seed in range(4)
    ]
    step_in_batches_of(4, weights, *sessions)
    assert weights.tagger.batches == [4, 4]


class BrokenSource(RaggedSource):
    """A recording that cannot be read to its end."""

    def blocks(self, block_frames: int) -> Iterator[NDArray[np.float32]]:
        yield from super().blocks(block_frames)
        raise RecordingError("broken.wav", expected="more sound", found="a fault")


def test_a_recording_that_breaks_is_told_of_and_the_others_go_on(
    vocabulary: Vocabulary, weights: FakeWeights
) -> None:
    engine = bound(weights, vocabulary, span_segments=2)
    query = target_for_condition("dog", condition=one_hot(DOG))
    sound = noise(1, 90_000)
    whole, broken = (
        ArraySource(sound, sample_rate=RATE),
        BrokenSource(sound, sample_rate=RATE, lengths=(8000,)),
    )
    alone = joined(list(engine.stream(whole, [query])), query.key)
    results: dict[int, list[EstimateBlock | SessionEnd]] = {0: [], 1: []}
    for index, result in engine.stream_many([engine.open_session(s, [query]) for s in (broken, whole)]):
        results[index].append(result)
    assert results[1][-1] == SessionEnd()
    *before, failed = results[0]
    assert isinstance(failed, SessionEnd)
    assert isinstance(failed.error, RecordingError)
    given = joined([block for block in before if isinstance(block, EstimateBlock)], query.key)
    np.testing.assert_array_equal(given, alone[:, : given.shape[1]])
    assert given.shape[1] >= 2 * RATE
    others = [block for block in results[1] if isinstance(block, EstimateBlock)]
    np.testing.assert_array_equal(joined(others, query.key), alone)
    with pytest.raises(RecordingError, match="broken"):
        list(engine.stream(BrokenSource(sound, sample_rate=RATE, lengths=(8000,)), [query]))


# Joins


@pytest.fixture(scope="module")
def tiny_separator() -> ResUNet:
    """The real network with random weights, and batch norms that are not the identity."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        separator = ResUNet(
            ResUNetConfig(
                condition_size=4, channels=(4, 4, 6, 6, 6, 6), bottleneck_channels=6, stem_channels=4
            )
        )
        for module in separator.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.normal_(module.bias, 0.0, 0.1)
                torch.nn.init.normal_(module.running_mean, 0.0, 0.1)  # type: ignore[arg-type]
                torch.nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return separator.eval()


def tiny_weights(separator: ResUNet) -> SimpleNamespace:
    return SimpleNamespace(
        tagger=lambda waveform: SimpleNamespace(
            clipwise_probs=torch.zeros(len(waveform), 527), framewise_probs=None
        ),
        separator=separator,
        query_net=LatentQueryNet(),
        class_means={0: torch.zeros(4)},
        specifications=trained_on(size=4),
    )


def against_whole_db(
    vocabulary: Vocabulary, separator: ResUNet, *, seconds: float, settings: SeparationSettings
) -> float:
    """Separate a recording in segments and as a whole; give the SNR of the former against the latter."""
    waveform = noise(1, round(seconds * 32_000))
    query = target_for_condition("any", condition=torch.tensor([2.0, -1.0, 0.5, 3.0]))
    engine = bound(tiny_weights(separator), vocabulary, settings)
    estimate = joined(list(engine.stream(ArraySource(waveform, sample_rate=32_000), [query])), query.key)
    assert query.condition is not None
    with torch.inference_mode():
        whole = separator(torch.from_numpy(waveform), query.condition[None]).numpy()
    assert 0.05 < whole.std() / waveform.std() < 1.0
    return snr_db(estimate, whole)


@pytest.mark.parametrize("seconds", [0.01, 2.0, 5.3, pytest.param(9.01, marks=pytest.mark.slow)])
def test_segments_join_to_what_the_whole_recording_would_give(
    vocabulary: Vocabulary, tiny_separator: ResUNet, seconds: float
) -> None:
    settings = SeparationSettings(condition="class-mean")
    snr = against_whole_db(vocabulary, tiny_separator, seconds=seconds, settings=settings)
    assert snr > JOIN_TOLERANCE_DB


@pytest.mark.slow
def test_more_context_brings_segments_to_the_whole_but_for_rounding(
    vocabulary: Vocabulary, tiny_separator: ResUNet
) -> None:
    settings = SeparationSettings(condition="class-mean", context_seconds=3.0)
    assert against_whole_db(vocabulary, tiny_separator, seconds=6.5, settings=settings) > 100


def test_without_context_the_same_comparison_fails(vocabulary: Vocabulary, tiny_separator: ResUNet) -> None:
    settings = SeparationSettings(condition="class-mean", joins="hard", context_seconds=0.0, fade_seconds=0.0)
    snr = against_whole_db(vocabulary, tiny_separator, seconds=5.3, settings=settings)
    assert snr < JOIN_TOLERANCE_DB - 20


def test_hard_joins_are_the_segments_on_their_own(vocabulary: Vocabulary, tiny_separator: ResUNet) -> None:
    waveform = noise(1, 150_000)
    condition = torch.tensor([2.0, -1.0, 0.5, 3.0])
    settings = SeparationSettings(condition="class-mean", joins="hard", context_seconds=0.0, fade_seconds=0.0)
    query = target_for_condition("any", condition=condition)
    engine = bound(tiny_weights(tiny_separator), vocabulary, settings)
    estimate = joined(list(engine.stream(ArraySource(waveform, sample_rate=32_000), [query])), query.key)
    segments = torch.from_numpy(np.pad(waveform, ((0, 0), (0, 42_000)))).reshape(3, 64_000)
    with torch.inference_mode():
        alone = tiny_separator(segments, condition.expand(3, -1)).reshape(1, -1)[:, :150_000].numpy()
    np.testing.assert_allclose(estimate, alone, atol=1e-6)


def roughness_at_joins(estimate: NDArray[np.float32]) -> float:
    """The largest second difference near segment boundaries relative to the largest elsewhere."""
    bend = np.abs(np.diff(estimate, n=2))
    near = np.zeros(len(bend), dtype=bool)
    for boundary in range(2 * RATE, len(estimate), 2 * RATE):
        near[boundary - RATE // 4 : boundary + RATE // 4] = True
    return float(bend[near].max() / bend[~near].max())


@pytest.mark.parametrize("rate", [8000, 16000])
def test_a_target_starts_and_stops_without_a_click(vocabulary: Vocabulary, rate: int) -> None:
    speech, music = tone(SPEECH, 10.0, sample_rate=RATE), tone(MUSIC, 10.0, sample_rate=RATE, level=2.0)
    music[: 2 * RATE] = music[4 * RATE : 6 * RATE] = music[8 * RATE :] = 0.0
    (target,) = gated(vocabulary, "Speech")
    source = ArraySource(speech + music, sample_rate=RATE)
    faded = SeparationSettings(condition="class-mean", threshold=0.5)
    hard = SeparationSettings(
        condition="class-mean", threshold=0.5, joins="hard", context_seconds=0.0, fade_seconds=0.0
    )
    blocks = list(bound(FakeWeights(rate), vocabulary, faded).stream(source, [target]))
    assert activity_of(blocks)[:, 0].tolist() == [True, False, True, False, True]
    estimate = joined(blocks, target.key)[0]
    assert np.abs(estimate[: 2 * RATE]).max() > 0.15
    assert not estimate[int(2.2 * RATE) : int(3.8 * RATE)].any()
    # The click of the music itself, when it sets in, is in the speech band too and belongs to the sound.
    clicks = joined(list(bound(FakeWeights(rate), vocabulary, hard).stream(source, [target])), target.key)[0]
    assert roughness_at_joins(estimate) < 1.2
    assert roughness_at_joins(clicks) > 3.0


# Negative queries, consistency, channels


def three_tones(seconds: float) -> NDArray[np.float32]:
    return np.sum([tone(index, seconds, sample_rate=RATE) for index in (SPEECH, DOG, MUSIC)], axis=0)


def test_exclusion_alone_gives_everything_but_the_excluded(
    vocabulary: Vocabulary, weights: FakeWeights
) -> None:
    mixture = three_tones(6.0)
    engine = bound(weights, vocabulary, CLASS_MEAN)
    exclude = named(vocabulary, "Music")
    blocks = list(engine.stream(ArraySource(mixture, sample_rate=RATE), [], exclude=exclude))
    rest = joined(blocks, "query:without-music")[0]
    kept = tone(SPEECH, 6.0, sample_rate=RATE) + tone(DOG, 6.0, sample_rate=RATE)
    assert snr_db(rest, kept) > 20
    assert snr_db(mixture, kept) < 5


def test_an_excluded_sound_leaves_every_estimate(vocabulary: Vocabulary, weights: FakeWeights) -> None:
    mixture = three_tones(6.0)
    query = target_for_condition("speech and dog", condition=one_hot(SPEECH, DOG))
    dog = named(vocabulary, "Dog")
    engine = bound(weights, vocabulary, CLASS_MEAN)
    blocks = list(engine.stream(ArraySource(mixture, sample_rate=RATE), [query, *dog], exclude=dog))
    assert snr_db(joined(blocks, query.key)[0], tone(SPEECH, 6.0, sample_rate=RATE)) > 20
    assert all(dog[0].key not in block.estimates for block in blocks)
    assert (blocks[0].segment_probs[:, 1] > 0.3).all(), "what is excluded is still reported"


def test_an_exclusion_that_does_not_sound_changes_nothing(
    vocabulary: Vocabulary, weights: FakeWeights
) -> None:
    source = ArraySource(tone(SPEECH, 4.0, sample_rate=RATE), sample_rate=RATE)
    engine = bound(weights, vocabulary, CLASS_MEAN)
    speech = named(vocabulary, "Speech")
    plain = joined(list(engine.stream(source, speech)), speech[0].key)
    excluding = joined(list(engine.stream(source, speech, exclude=named(vocabulary, "Music"))), speech[0].key)
    np.testing.assert_array_equal(plain, excluding)


@pytest.mark.parametrize("consistent", [True, False])
def test_consistent_estimates_of_a_level_sum_to_the_mixture(
    vocabulary: Vocabulary, weights: FakeWeights, consistent: bool
) -> None:
    mixture = three_tones(7.0)
    targets = targets_for_levels(vocabulary, levels=[1])
    settings = SeparationSettings(mixture_consistency=consistent, threshold=0.1, condition="detected")
    blocks = list(
        bound(weights, vocabulary, settings).stream(ArraySource(mixture, sample_rate=RATE), targets)
    )
    total = np.sum([joined(blocks, target.key) for target in targets], axis=0)
    assert (snr_db(total[0], mixture) > 80) == consistent


def test_one_mask_of_the_mid_keeps_the_balance_of_the_channels(
    vocabulary: Vocabulary, weights: FakeWeights
) -> None:
    speech, dog = tone(SPEECH, 5.0, sample_rate=RATE), tone(DOG, 5.0, sample_rate=RATE)
    stereo = np.stack((speech + 0.2 * dog, 0.3 * speech + dog))
    target = target_for_condition("speech", condition=one_hot(SPEECH))
    engine = bound(weights, vocabulary, CLASS_MEAN)
    estimate = joined(list(engine.stream(ArraySource(stereo, sample_rate=RATE), [target])), target.key)
    assert snr_db(estimate, np.stack((speech, 0.3 * speech))) > 20
    assert sum(weights.separator.batches) == 3


def test_independent_channels_have_a_mask_each(vocabulary: Vocabulary, weights: FakeWeights) -> None:
    target = target_for_condition("speech", condition=one_hot(SPEECH))
    engine = bound(weights, vocabulary, SeparationSettings(channel_mode="independent"))
    stereo = noise(2, 5 * RATE)
    estimate = joined(list(engine.stream(ArraySource(stereo, sample_rate=RATE), [target])), target.key)
    assert sum(weights.separator.batches) == 6
    alone = joined(list(engine.stream(ArraySource(stereo[1:], sample_rate=RATE), [target])), target.key)
    np.testing.assert_allclose(estimate[1:], alone, atol=1e-6)


def test_channels_in_opposite_phase_are_tagged_and_separated(
    vocabulary: Vocabulary, tiny_separator: ResUNet, weights: FakeWeights
) -> None:
    speech = tone(SPEECH, 4.0, sample_rate=RATE)
    (target,) = named(vocabulary, "Speech")
    source = ArraySource(np.stack((speech, -speech)), sample_rate=RATE)
    blocks = list(bound(weights, vocabulary, CLASS_MEAN).stream(source, [target]))
    assert activity_of(blocks).all()
    assert snr_db(joined(blocks, target.key), np.stack((speech, -speech))) > 20
    # A mask that depends on the sound must come from the channel, not from the silence in the middle.
    noisy = noise(1, 96_000)
    engine = bound(tiny_weights(tiny_separator), vocabulary, SeparationSettings(condition="class-mean"))
    query = target_for_condition("any", condition=torch.tensor([2.0, -1.0, 0.5, 3.0]))
    opposed = ArraySource(np.concatenate((noisy, -noisy)), sample_rate=32_000)
    mono = joined(list(engine.stream(ArraySource(noisy, sample_rate=32_000), [query])), query.key)
    both = joined(list(engine.stream(opposed, [query])), query.key)
    np.testing.assert_allclose(both, np.concatenate((mono, -mono)), atol=1e-5)


# Example queries and refusals


def test_example_recordings_steer_the_separator(vocabulary: Vocabulary, weights: FakeWeights) -> None:
    engine = bound(weights, vocabulary, SeparationSettings())
    examples = [
        ArraySource(tone(DOG, seconds, sample_rate=rate), sample_rate=rate)
        for seconds, rate in ((0.7, 8000), (3.0, 44100))
    ]
    target = target_for_condition(
        "my dog", condition=engine.engine.condition_of_examples(examples, settings=SeparationSettings())
    )
    mixture = three_tones(4.0)
    blocks = list(engine.stream(ArraySource(mixture, sample_rate=RATE), [target]))
    assert snr_db(joined(blocks, target.key)[0], tone(DOG, 4.0, sample_rate=RATE)) > 20


def test_what_cannot_be_separated_is_refused_before_anything_is_read(
    vocabulary: Vocabulary, weights: FakeWeights
) -> None:
    engine = bound(weights, vocabulary, SeparationSettings())
    source = ArraySource(noise(1, 100), sample_rate=RATE)
    speech = named(vocabulary, "Speech")
    with pytest.raises(QueryError, match="exclude"):
        engine.stream(source, [])
    with pytest.raises(QueryError, match="/m/09x0r"):
        engine.stream(source, [*speech, *speech])
    with pytest.raises(QueryError, match="everything"):
        engine.stream(source, speech, exclude=[Target(key="query:all", label="All")])
    with pytest.raises(QueryError, match="999"):
        engine.stream(source, [Target(key="query:x", label="X", class_indexes=(999,))])


def test_weights_and_settings_that_do_not_fit_are_refused(
    vocabulary: Vocabulary, weights: FakeWeights
) -> None:
    with pytest.raises(ConfigError, match="device"):
        build_engine(weights, vocabulary=vocabulary, device="warp:0")  # type: ignore[arg-type]
    weights.class_means = None
    with pytest.raises(WeightsError, match="class means"):
        bound(weights, vocabulary, CLASS_MEAN)
    weights.tagger = None  # type: ignore[assignment]
    with pytest.raises(WeightsError, match="tagger"):
        bound(weights, vocabulary, SeparationSettings())


def test_segments_that_the_weights_were_not_trained_on_are_told_once(
    vocabulary: Vocabulary, weights: FakeWeights, caplog: pytest.LogCaptureFixture
) -> None:
    engine = build_engine(weights, vocabulary=vocabulary)
    plan = SeparationPlan((target_for_condition("all", condition=one_hot(SPEECH)),))
    for seconds in (2, 4, 4):
        engine.fit(plan, settings=SeparationSettings(segment_seconds=seconds))
    assert [record.getMessage() for record in caplog.records] == [
        "segments of 4 s; the weights were trained on 2 s"
    ]


def test_of_a_level_what_nothing_steers_to_is_heard_and_by_name_it_is_refused(
    vocabulary: Vocabulary, weights: FakeWeights
) -> None:
    weights.class_means = {SPEECH: one_hot(SPEECH)}
    weights.query_net = LatentQueryNet()  # type: ignore[assignment]
    engine = bound(weights, vocabulary, SeparationSettings(threshold=0.05))
    source = ArraySource(three_tones(4.0), sample_rate=RATE)
    targets = targets_for_levels(vocabulary, levels=[1])
    blocks = list(engine.stream(source, targets))
    found = {
        target.label: (detected, active)
        for target, detected, active in zip(
            targets, detected_of(blocks).any(axis=0), activity_of(blocks).any(axis=0), strict=True
        )
        if detected
    }
    assert found == {"Human sounds": (True, True), "Animal": (True, False), "Music": (True, False)}
    with pytest.raises(WeightsError, match="class mean of Music"):
        engine.stream(source, named(vocabulary, "Music"))


# What several nodes hold is separated once


class Overlapping(BandSeparator):
    """Masks of all classes that overlap, each over the whole spectrum, 1.6 together."""

    def masks(self, spectrogram: Tensor, condition: Tensor) -> Tensor:
        self.batches.append(int(condition.any(dim=1).sum()))
        tilt = torch.linspace(0.2, 0.8, self.stft.bins)
        kinds = {SPEECH: tilt, DOG: 1.0 - tilt, MUSIC: torch.full_like(tilt, 0.6)}
        masks = torch.stack([sum(row[index] * kinds[index] for index in kinds) for row in condition])  # type: ignore[misc]
        return masks[:, None, None].expand(spectrogram.shape).to(torch.complex64)


def left_of(residual: NDArray[np.floating], stem: NDArray[np.floating]) -> float:
    """How much of a stem's sound a residual holds, as a factor of the stem."""
    return float((residual * stem).sum() / np.square(stem, dtype=np.float64).sum())


@pytest.mark.parametrize("given_back", [0.0, 0.25])
@pytest.mark.parametrize("channels", ["mid", "independent"])
def test_no_part_of_the_mixture_is_subtracted_twice(
    vocabulary: Vocabulary, weights: FakeWeights, channels: str, given_back: float
) -> None:
    weights.separator = Overlapping(RATE)
    settings = SeparationSettings(threshold=0.0, channel_mode=channels, given_back=given_back)
    mixture = noise(2, 9 * RATE)
    held, targets = (
        {},
        tuple(
            replace(target, class_indexes=kept, own_indexes=(), owned_indexes=kept)
            for target in targets_for_levels(vocabulary, levels=[1, 2, 3])
            if (kept := tuple(index for index in target.class_indexes if index in (SPEECH, DOG, MUSIC)))
        ),
    )
    blocks = {}
    for composition in ("sums", "nodes"):
        chosen = settings.replace(composition=composition)
        blocks[composition] = list(
            bound(weights, vocabulary, chosen).stream(ArraySource(mixture, sample_rate=RATE), targets)
        )
    for composition, found in blocks.items():
        stems = {key: joined(found, key) for key in found[0].estimates}
        for level in (1, 2, 3):
            of_level = [stems[t.key] for t in targets if t.level == level and t.key in stems]
            residual = mixture - np.sum(of_level, axis=0)
            left = [left_of(residual, stem) for stem in of_level]
            held[composition, level] = min(left)
            if composition == "sums":
                for stem, share in zip(of_level, left, strict=True):
                    assert -0.05 <= share <= left_of(mixture - stem, stem) + 1e-6
    assert held["nodes", 1] < -0.3


# Events, times, certainty


class FramedTagger(BandTagger):
    """Says too when: in frames of a quarter of a second, where there is sound in them."""

    def __call__(self, waveform: torch.Tensor) -> FakeTagging:
        found = super().__call__(waveform)
        step = self.sample_rate // 4
        edges = torch.nn.functional.pad(waveform, (step // 2, step // 2))
        heard = edges.unfold(1, step, step).abs().amax(dim=2) > 0.01
        framewise = heard[:, :, None] * found.clipwise_probs[:, None, :]
        return FakeTagging(found.clipwise_probs, found.embedding, framewise)


def test_a_sound_begins_and_ends_as_the_frames_of_the_tagger_have_it(
    vocabulary: Vocabulary, weights: FakeWeights
) -> None:
    weights.tagger = FramedTagger(RATE)
    waveform = np.zeros(5 * RATE, np.float32)
    waveform[RATE : 3 * RATE] = tone(DOG, 2.0, sample_rate=RATE)
    source = ArraySource(waveform, sample_rate=RATE)
    for times, expected in (("frames", [[0.875, 2.0], [2.0, 3.125]]), ("segments", [[0.0, 2.0], [2.0, 4.0]])):
        settings = SeparationSettings(times=times)
        blocks = list(bound(weights, vocabulary, settings).stream(source, gated(vocabulary, "Dog")))
        spans = np.concatenate([spans for block in blocks for spans in block.detected_spans])
        np.testing.assert_allclose(spans[:, 1:], expected)


def test_of_two_names_for_a_sound_the_more_specific_is_separated(
    vocabulary: Vocabulary, weights: FakeWeights
) -> None:
    source = ArraySource(tone(DOG, 4.0, sample_rate=RATE), sample_rate=RATE)
    targets = targets_for_events(vocabulary)
    blocks = list(bound(weights, vocabulary).stream(source, targets))
    dog = vocabulary.classes.ids[DOG]
    assert set().union(*(block.estimates for block in blocks)) == {dog}
    detected = {targets[column].label for column in np.flatnonzero(detected_of(blocks).any(axis=0))}
    assert detected == {"Animal", "Domestic animals, pets", "Dog"}


def test_what_is_doubtful_is_tagged_again_in_its_stem_and_nothing_else_is(
    vocabulary: Vocabulary, weights: FakeWeights
) -> None:
    waveform = tone(DOG, 4.0, sample_rate=RATE, level=0.4) + tone(SPEECH, 4.0, sample_rate=RATE, level=0.3)
    waveform[2 * RATE :] = tone(DOG, 2.0, sample_rate=RATE)
    targets = gated(vocabulary, "Dog", "Speech", "Music")
    settings = SeparationSettings(retag_doubtful=True)
    blocks = list(
        bound(weights, vocabulary, settings).stream(ArraySource(waveform, sample_rate=RATE), targets)
    )
    sure = np.concatenate([block.sure for block in blocks])
    np.testing.assert_array_equal(sure, [[True, False, False], [True, False, False]])
    again = np.concatenate([block.stem_probs for block in blocks])
    assert again[0, 1] > 0.99, "the stem of the speech holds nothing else"
    assert np.isnan(np.delete(again, 1)).all()


def test_a_calibration_of_the_weights_is_used_unless_it_is_left_alone(
    vocabulary: Vocabulary, weights: FakeWeights
) -> None:
    own = ClassCalibration(class_index=DOG, offset=-3.0, threshold=0.9)
    weights.specifications = weights.specifications.replace(calibration=(own,))
    waveform = tone(DOG, 2.0, sample_rate=RATE, level=0.4) + tone(SPEECH, 2.0, sample_rate=RATE, level=0.3)
    source = ArraySource(waveform, sample_rate=RATE)
    found = {}
    for calibrated in (True, False):
        settings = SeparationSettings(calibrated=calibrated)
        (block,) = bound(weights, vocabulary, settings).stream(source, gated(vocabulary, "Dog"))
        found[calibrated] = (float(block.segment_probs[0, 0]), bool(block.detected[0, 0]))
    assert found[False] == (pytest.approx(0.64, abs=0.01), True)
    assert found[True] == (pytest.approx(0.081, abs=0.01), False)


def test_a_resunet_can_be_heard_in_bands(vocabulary: Vocabulary, tiny_weights: Path) -> None:
    weights = read_folder(tiny_weights)
    plan = SeparationPlan(targets_for_classes(vocabulary, names=["Speech"]))
    source = ArraySource(noise(1, 3 * RATE), sample_rate=RATE)
    engines = [
        build_engine(weights, vocabulary=vocabulary, networks=NetworkSettings(in_bands=choice))
        for choice in (False, True)
    ]
    plain, banded = (joined(list(each.stream(source, plan)), plan.targets[0].key) for each in engines)
    assert plain.shape == banded.shape
    assert not np.array_equal(plain, banded)
    assert isinstance(engines[1]._separator, BandedResUNet)
    assert isinstance(weights.separator, ResUNet)
    again = replace(weights, separator=engines[1]._separator)
    same = build_engine(again, vocabulary=vocabulary, networks=NetworkSettings(in_bands=True))
    assert same._separator is engines[1]._separator


def test_only_a_resunet_is_heard_in_bands(vocabulary: Vocabulary, weights: FakeWeights) -> None:
    with pytest.raises(ConfigError, match="in_bands: expected weights with a ResUNet, found BandSeparator"):
        build_engine(weights, vocabulary=vocabulary, networks=NetworkSettings(in_bands=True))
