"""Spans of a recording, set end to end, are the undivided recording: the same bits, whatever they are cut from.

On a GPU where there is one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.unit.separation.fakes import Bound, FakeWeights, RaggedSource, bound, noise, trained_on
from uss_ray.errors import ConfigError, RecordingError
from uss_ray.models.network_settings import ResUNetConfig
from uss_ray.models.panns import Panns
from uss_ray.models.panns_settings import PannsConfig
from uss_ray.models.protocols import WeightsLike
from uss_ray.models.query_net import QueryNet
from uss_ray.models.resunet import ResUNet
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.separation.mixture import ArraySource, PartSource
from uss_ray.separation.scheduler import SessionEnd
from uss_ray.separation.session import EstimateBlock
from uss_ray.separation.settings import SeparationSettings
from uss_ray.separation.targets import Asking, Target, targets_for_classes, targets_for_events
from uss_ray.separation.windows import Span
from uss_ray.weights.folder import read_folder
from uss_ray.weights.known import starter_folder

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
MODEL_RATE = 8000
NAMES = ("Whispering", "Meow", "Fire alarm")
FADED = SeparationSettings(condition="detected", segment_seconds=1)
SEGMENT_BY_SEGMENT = ("segment_probs", "detected", "sure", "active", "tagged", "stem_probs")
HARD = FADED.replace(joins="hard", context_seconds=0.0, fade_seconds=0.0)


@pytest.fixture(scope="module")
def networks() -> WeightsLike:
    """The real networks with random values, small and at a low rate; what they detect steers them."""
    return small_networks()


@pytest.fixture(scope="module")
def framed_networks() -> WeightsLike:
    """The same with a tagger that says when, and so hears a segment with the sound around it."""
    return small_networks(head="frame", pooling="linear_softmax")


def small_networks(**of_tagger: Any) -> WeightsLike:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        tagger = Panns(
            PannsConfig(
                block_channels=(4, 8),
                embedding_size=16,
                mel_bins=16,
                sample_rate=MODEL_RATE,
                window_samples=256,
                hop_samples=128,
                max_hertz=4000.0,
                **of_tagger,
            )
        )
        torch.nn.init.normal_(tagger.classify.weight, 0.0, 0.5)
        separator = ResUNet(
            ResUNetConfig(
                channels=(4, 4),
                bottleneck_channels=4,
                stem_channels=2,
                window_samples=256,
                hop_samples=128,
                sample_rate=MODEL_RATE,
            )
        )
        for module in (*tagger.modules(), *separator.modules()):
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.normal_(module.bias, 0.0, 0.1)
                torch.nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    tagger.eval()
    return SimpleNamespace(
        tagger=tagger,
        query_net=QueryNet(tagger),
        separator=separator.eval(),
        class_means=None,
        specifications=trained_on(),
    )


def recording(seconds: float, *, rate: int, channels: int) -> NDArray[np.float32]:
    """Noise that swells, with a pause of digital silence."""
    frames = round(seconds * rate)
    waveform = noise(channels, frames, seed=rate + frames)
    waveform *= np.linspace(0.3, 2.0, channels, dtype=np.float32)[:, None]
    waveform[:, 3 * rate : 5 * rate] = 0.0
    return waveform


def median_probability(engine: Bound, source: ArraySource, targets: Sequence[Target]) -> float:
    session = engine.open_session(source, targets, estimates=False)
    probs = np.concatenate([block.segment_probs for block in blocks_of(engine, session)])
    return float(np.sort(probs[probs > 0])[np.count_nonzero(probs) // 2])


def engine_for(
    weights: WeightsLike,
    vocabulary: Vocabulary,
    source: ArraySource,
    *,
    settings: SeparationSettings = FADED,
    names: Sequence[str] = NAMES,
) -> tuple[Bound, tuple[Target, ...]]:
    """An engine with a threshold that one probability just reaches: another bit in a tag shows in what is active."""
    targets = targets_for_classes(vocabulary, names=names, asking=Asking(only_detected=True))
    plain = bound(weights, vocabulary, settings, device=DEVICE)
    chosen = settings.replace(threshold=median_probability(plain, source, targets))
    return bound(weights, vocabulary, chosen, device=DEVICE), targets


def part_of(
    waveform: NDArray[np.float32], *, engine: Bound, rate: int, span: Span, before: int, after: int
) -> PartSource:
    """A span and so many frames around it, as far as the recording reaches."""
    total = waveform.shape[1]
    segment_frames = engine.settings.segment_seconds * rate
    start = min(total - 1, max(0, span.first_segment * segment_frames - before))
    stop = total if span.last_segment is None else min(total, span.last_segment * segment_frames + after)
    return PartSource(
        waveform[:, start:stop].copy(), sample_rate=rate, start_frame=start, ends_recording=stop == total
    )


def spans_at(*cuts: int) -> list[Span]:
    return [Span(first, last) for first, last in itertools.pairwise((0, *cuts, None)) if first is not None]


def blocks_of(engine: Bound, *sessions: object) -> list[EstimateBlock]:
    """The blocks of sessions that run side by side, one session's after the other's."""
    blocks: dict[int, list[EstimateBlock]] = {index: [] for index in range(len(sessions))}
    for index, block in engine.stream_many(sessions):  # type: ignore[arg-type]
        if isinstance(block, EstimateBlock):
            blocks[index].append(block)
        else:
            assert block == SessionEnd()
    return [block for index in sorted(blocks) for block in blocks[index]]


def separate_spans(
    engine: Bound,
    waveform: NDArray[np.float32],
    *,
    rate: int,
    targets: Sequence[Target],
    spans: Iterable[Span],
    context_seconds: int | None = None,
) -> list[EstimateBlock]:
    context = (engine.span_context_seconds if context_seconds is None else context_seconds) * rate
    sessions = [
        engine.open_session(
            part_of(waveform, engine=engine, rate=rate, span=span, before=context, after=context),
            targets,
            span=span,
        )
        for span in spans
    ]
    return blocks_of(engine, *sessions)


def joined(blocks: Sequence[EstimateBlock], key: str) -> NDArray[np.float32]:
    return np.concatenate(
        [block.estimates.get(key, np.zeros_like(block.mixture)) for block in blocks], axis=1
    )


def assert_same_bits(
    found: Sequence[EstimateBlock], expected: Sequence[EstimateBlock], *, targets: Sequence[Target]
) -> None:
    position = expected[0].start_frame
    for block in found:
        assert block.start_frame == position, "blocks lie where they belong, without gaps or overlaps"
        position += block.mixture.shape[1]
    for name in (*SEGMENT_BY_SEGMENT, "segment_spans_seconds"):
        np.testing.assert_array_equal(
            np.concatenate([getattr(block, name) for block in found]),
            np.concatenate([getattr(block, name) for block in expected]),
            err_msg=name,
        )
    placed = [spans for block in found for spans in block.detected_spans]
    for spans, whole in zip(placed, (one for block in expected for one in block.detected_spans), strict=True):
        np.testing.assert_array_equal(spans, whole, err_msg="detected_spans")
    np.testing.assert_array_equal(
        np.concatenate([block.mixture for block in found], axis=1),
        np.concatenate([block.mixture for block in expected], axis=1),
    )
    for target in targets:
        np.testing.assert_array_equal(
            joined(found, target.key), joined(expected, target.key), err_msg=target.label
        )


def assert_tells_something(blocks: Sequence[EstimateBlock], *, targets: Sequence[Target]) -> None:
    active = np.concatenate([block.active for block in blocks])
    assert active.any(axis=0).sum() >= 2, "several targets sound"
    assert not active.all(), "and not all of them all the time"
    assert any(np.abs(joined(blocks, target.key)).max() > 1e-3 for target in targets)


# The same bits


@pytest.mark.parametrize("joins", [FADED, HARD], ids=["faded", "hard"])
@pytest.mark.parametrize("channels", [pytest.param(1, marks=pytest.mark.slow), 2])
@pytest.mark.parametrize(
    "rate",
    [22050, *(pytest.param(rate, marks=pytest.mark.slow) for rate in (8000, 16000, 32000, 44100, 48000))],
)
def test_spans_set_end_to_end_are_the_undivided_recording(
    networks: WeightsLike, vocabulary: Vocabulary, rate: int, channels: int, joins: SeparationSettings
) -> None:
    waveform = recording(14.3, rate=rate, channels=channels)
    source = ArraySource(waveform, sample_rate=rate)
    engine, targets = engine_for(networks, vocabulary, source, settings=joins)
    whole = list(engine.stream(source, targets))
    assert_tells_something(whole, targets=targets)
    spans = separate_spans(engine, waveform, rate=rate, targets=targets, spans=spans_at(2, 6, 8, 12))
    assert_same_bits(spans, whole, targets=targets)


@pytest.mark.parametrize(
    "seconds",
    [9.0001, *(pytest.param(seconds, marks=pytest.mark.slow) for seconds in (9.0, 9.05, 9.4, 9.9999))],
)
@pytest.mark.parametrize("joins", [FADED, HARD], ids=["faded", "hard"])
def test_a_recording_may_end_anywhere_in_the_context_of_a_span(
    networks: WeightsLike, vocabulary: Vocabulary, seconds: float, joins: SeparationSettings
) -> None:
    rate = 11025
    waveform = recording(seconds, rate=rate, channels=1)
    source = ArraySource(waveform, sample_rate=rate)
    engine, targets = engine_for(networks, vocabulary, source, settings=joins)
    whole = list(engine.stream(source, targets))
    each_segment = spans_at(*range(1, -(-waveform.shape[1] // rate)))
    spans = separate_spans(engine, waveform, rate=rate, targets=targets, spans=each_segment)
    assert_same_bits(spans, whole, targets=targets)


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [
        (FADED.replace(segment_seconds=2), 20.0),
        pytest.param(FADED.replace(channel_mode="independent"), 13.0, marks=pytest.mark.slow),
        (FADED.replace(mixture_consistency=True), 13.0),
        pytest.param(FADED.replace(context_seconds=1.3, fade_seconds=0.5), 17.0, marks=pytest.mark.slow),
        pytest.param(FADED.replace(fade_seconds=0.0), 13.0, marks=pytest.mark.slow),
        (FADED.replace(retag_doubtful=True, sure_probability=1.0), 13.3),
    ],
    ids=[
        "2 s",
        "independent",
        "consistent",
        "long context",
        "no fade",
        "tagged again",
    ],
)
def test_spans_join_under_every_setting(
    networks: WeightsLike, vocabulary: Vocabulary, settings: SeparationSettings, seconds: float
) -> None:
    rate = 16000
    waveform = recording(seconds, rate=rate, channels=2)
    source = ArraySource(waveform, sample_rate=rate)
    engine, targets = engine_for(networks, vocabulary, source, settings=settings)
    whole = list(engine.stream(source, targets))
    assert_tells_something(whole, targets=targets)
    spans = separate_spans(engine, waveform, rate=rate, targets=targets, spans=spans_at(4, 6))
    assert_same_bits(spans, whole, targets=targets)


@pytest.mark.parametrize(
    "context_seconds",
    [0.64, pytest.param(1.5, marks=pytest.mark.slow)],
    ids=["less than a segment", "more"],
)
def test_what_the_tagger_hears_around_a_segment_is_the_same_in_spans(
    framed_networks: WeightsLike, vocabulary: Vocabulary, context_seconds: float
) -> None:
    rate = 16000
    waveform = recording(13.3, rate=rate, channels=2)
    source = ArraySource(waveform, sample_rate=rate)
    told = []
    for settings in (
        FADED.replace(tag_context_seconds=context_seconds),
        HARD.replace(tag_context_seconds=context_seconds),
        HARD.replace(tag_context_seconds=0.0),
    ):
        engine, targets = engine_for(framed_networks, vocabulary, source, settings=settings)
        whole = list(engine.stream(source, targets))
        spans = separate_spans(engine, waveform, rate=rate, targets=targets, spans=spans_at(4, 6))
        assert_same_bits(spans, whole, targets=targets)
        told.append(np.concatenate([block.segment_probs for block in whole]))
    np.testing.assert_array_equal(told[0], told[1], err_msg="the separator's context is another matter")
    assert (told[1] != told[2]).any()


@pytest.mark.slow
def test_events_keep_their_names_across_spans(networks: WeightsLike, vocabulary: Vocabulary) -> None:
    rate = 16000
    waveform = recording(13.3, rate=rate, channels=1)
    source = ArraySource(waveform, sample_rate=rate)
    labels = ("Animal", "Domestic animals, pets", "Dog", "Bark", "Music", "Musical instrument", "Guitar")
    targets = tuple(target for target in targets_for_events(vocabulary) if target.label in labels)
    plain = bound(networks, vocabulary, FADED.replace(names_within_seconds=0.0), device=DEVICE)
    threshold = median_probability(plain, source, targets)
    told = {}
    for seconds in (0.0, 3.0):
        settings = FADED.replace(names_within_seconds=seconds, threshold=threshold)
        engine = bound(networks, vocabulary, settings, device=DEVICE)
        whole = list(engine.stream(source, targets))
        spans = separate_spans(engine, waveform, rate=rate, targets=targets, spans=spans_at(4, 6))
        assert_same_bits(spans, whole, targets=targets)
        told[seconds] = np.concatenate([block.active for block in whole])
    assert (told[0.0] != told[3.0]).any(), "no name was kept"


@pytest.mark.slow
@pytest.mark.parametrize("held", [1, 2])
def test_how_many_segments_are_held_at_a_time_changes_no_bit(
    networks: WeightsLike, vocabulary: Vocabulary, held: int
) -> None:
    rate = 16000
    waveform = recording(13.0, rate=rate, channels=2)
    source = ArraySource(waveform, sample_rate=rate)
    engine, targets = engine_for(networks, vocabulary, source)
    whole = list(engine.stream(source, targets))
    other = bound(networks, vocabulary, engine.settings, device=DEVICE, span_segments=held)
    assert_same_bits(list(other.stream(source, targets)), whole, targets=targets)
    spans = separate_spans(other, waveform, rate=rate, targets=targets, spans=spans_at(4, 6))
    assert_same_bits(spans, whole, targets=targets)


def test_a_recording_has_the_same_bits_alone_and_among_others(
    networks: WeightsLike, vocabulary: Vocabulary
) -> None:
    sources = [
        ArraySource(recording(seconds, rate=rate, channels=channels), sample_rate=rate)
        for seconds, rate, channels in ((13.0, 16000, 1), (0.7, 44100, 2), (16.3, 8000, 2), (5.0, 8000, 1))
    ]
    engine, targets = engine_for(networks, vocabulary, sources[0])
    sessions = [engine.open_session(source, targets) for source in sources]
    together: dict[int, list[EstimateBlock]] = {}
    for index, block in engine.stream_many(sessions):
        if isinstance(block, EstimateBlock):
            together.setdefault(index, []).append(block)
    for index, source in enumerate(sources):
        assert_same_bits(together[index], list(engine.stream(source, targets)), targets=targets)


def test_exclusions_and_rest_are_the_same_in_spans(networks: WeightsLike, vocabulary: Vocabulary) -> None:
    rate = 16000
    waveform = recording(14.0, rate=rate, channels=1)
    source = ArraySource(waveform, sample_rate=rate)
    engine, targets = engine_for(networks, vocabulary, source)
    whole = list(engine.stream(source, (), exclude=targets[:1]))
    found: list[EstimateBlock] = []
    for span in spans_at(4, 7):
        context = engine.span_context_seconds * rate
        part = part_of(waveform, engine=engine, rate=rate, span=span, before=context, after=context)
        found += blocks_of(engine, engine.open_session(part, (), exclude=targets[:1], span=span))
    rest = Target(key=next(iter(whole[0].estimates)), label="rest")
    assert np.abs(joined(whole, rest.key)).max() > 0.1
    assert_same_bits(found, whole, targets=[rest])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "threads"),
    [(SeparationSettings(), 2), (SeparationSettings.published(), 1)],
    ids=["default", "published"],
)
def test_spans_of_the_starter_weights_are_the_undivided_recording(
    vocabulary: Vocabulary, settings: SeparationSettings, threads: int
) -> None:
    torch.set_num_threads(threads)
    rate = 44100
    waveform = recording(29.03, rate=rate, channels=2)  # no whole number of hops
    source = ArraySource(waveform, sample_rate=rate)
    names = ("Speech", "Vehicle", "Sounds of things")
    engine, targets = engine_for(
        read_folder(starter_folder()), vocabulary, source, settings=settings, names=names
    )
    whole = list(engine.stream(source, targets))
    assert_tells_something(whole, targets=targets)
    spans = separate_spans(engine, waveform, rate=rate, targets=targets, spans=spans_at(6, 8))
    assert_same_bits(spans, whole, targets=targets)


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "frames"), [(32_000, 104_999), (32_000, 104_900), (48_000, 157_498)])
def test_a_recording_that_ends_between_two_frames_has_no_click_at_its_end(
    vocabulary: Vocabulary, rate: int, frames: int
) -> None:
    """Frames of the starter's separator lie so far apart that the last one's window is nearly 0 there."""
    buzz = np.sign(np.sin(2 * np.pi * 150 * np.arange(frames) / rate)).astype(np.float32)
    waveform = noise(1, frames, seed=1) * 0.1 + 0.1 * buzz
    source = ArraySource(waveform, sample_rate=rate)
    targets = targets_for_classes(vocabulary, names=("Speech", "Music"), asking=Asking(only_detected=False))
    engine = bound(read_folder(starter_folder()), vocabulary, SeparationSettings(), device=DEVICE)
    found = list(engine.stream(source, targets))
    end = rate // 32
    for target in targets:
        stem = np.abs(joined(found, target.key))
        assert 0.0 < stem[:, -end:].max() < 2.0 * stem[:, :-end].max()


# Context


@pytest.mark.parametrize("joins", [FADED, HARD], ids=["faded", "hard"])
def test_more_context_changes_nothing(
    networks: WeightsLike, vocabulary: Vocabulary, joins: SeparationSettings
) -> None:
    rate = 22050
    waveform = recording(18.0, rate=rate, channels=1)
    source = ArraySource(waveform, sample_rate=rate)
    engine, targets = engine_for(networks, vocabulary, source, settings=joins)
    span = Span(8, 10)
    least = separate_spans(engine, waveform, rate=rate, targets=targets, spans=[span])
    more = engine.span_context_seconds + 3
    assert_same_bits(
        separate_spans(engine, waveform, rate=rate, targets=targets, spans=[span], context_seconds=more),
        least,
        targets=targets,
    )
    ragged = RaggedSource(waveform, sample_rate=rate, lengths=(3, 60_000, 511))
    of_all = blocks_of(engine, engine.open_session(ragged, targets, span=span))
    assert_same_bits(of_all, least, targets=targets)
    assert least[0].start_frame == 8 * rate
    assert sum(block.mixture.shape[1] for block in least) == 2 * rate


@pytest.mark.parametrize("joins", [FADED, HARD], ids=["faded", "hard"])
@pytest.mark.parametrize("side", ["before", "after"])
def test_what_is_not_refused_as_too_little_context_is_enough(
    networks: WeightsLike, vocabulary: Vocabulary, side: str, joins: SeparationSettings
) -> None:
    rate = 11025
    waveform = recording(20.0, rate=rate, channels=1)
    source = ArraySource(waveform, sample_rate=rate)
    engine, targets = engine_for(networks, vocabulary, source, settings=joins)
    span = Span(9, 11)
    full = engine.span_context_seconds * rate

    def opened(frames: int) -> object:
        context = {"before": full, "after": full, side: frames}
        return engine.open_session(
            part_of(waveform, engine=engine, rate=rate, span=span, **context), targets, span=span
        )

    refused, enough = -1, full
    while enough - refused > 1:
        middle = (refused + enough) // 2
        try:
            opened(middle)
            enough = middle
        except ConfigError:
            refused = middle
    assert 0 < enough <= full
    with pytest.raises(ConfigError, match=f"1 frames.* {side} it missing"):
        opened(enough - 1)
    assert_same_bits(
        blocks_of(engine, opened(enough)),
        separate_spans(engine, waveform, rate=rate, targets=targets, spans=[span]),
        targets=targets,
    )


def test_a_part_that_does_not_end_the_recording_cannot_stand_for_its_end(
    networks: WeightsLike, vocabulary: Vocabulary
) -> None:
    waveform = recording(30.0, rate=8000, channels=1)
    engine, targets = engine_for(networks, vocabulary, ArraySource(waveform, sample_rate=8000))
    part = PartSource(waveform, sample_rate=8000, start_frame=0, ends_recording=False)
    with pytest.raises(ConfigError, match="rest of the recording"):
        engine.open_session(part, targets)
    with pytest.raises(ConfigError, match="rest of the recording"):
        engine.open_session(part, targets, span=Span(3, None))


def test_a_span_beyond_the_end_of_the_recording_gives_nothing(
    networks: WeightsLike, vocabulary: Vocabulary
) -> None:
    rate = 8000
    waveform = recording(7.5, rate=rate, channels=1)
    source = ArraySource(waveform, sample_rate=rate)
    engine, targets = engine_for(networks, vocabulary, source)
    for span in (Span(8, 10), Span(8, None), Span(400, 500)):
        assert blocks_of(engine, engine.open_session(source, targets, span=span)) == []
        end = PartSource(waveform[:, rate:], sample_rate=rate, start_frame=rate, ends_recording=True)
        assert blocks_of(engine, engine.open_session(end, targets, span=span)) == []
    over_the_end = blocks_of(engine, engine.open_session(source, targets, span=Span(5, 99)))
    assert sum(block.mixture.shape[1] for block in over_the_end) == 2.5 * rate


# Tags alone


@pytest.mark.parametrize("joins", [FADED, HARD], ids=["faded", "hard"])
def test_a_session_without_estimates_says_the_same_of_what_sounds_and_makes_no_mask(
    networks: WeightsLike,
    vocabulary: Vocabulary,
    joins: SeparationSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rate = 22050
    waveform = recording(12.3, rate=rate, channels=2)
    source = ArraySource(waveform, sample_rate=rate)
    engine, targets = engine_for(networks, vocabulary, source, settings=joins)
    whole = list(engine.stream(source, targets))

    def refuse(*_: object) -> None:
        raise AssertionError("a mask was asked for")

    monkeypatch.setattr(networks.separator, "masks", refuse)
    tagged = blocks_of(engine, engine.open_session(source, targets, estimates=False))
    assert all(block.estimates == {} for block in tagged)
    assert_same_bits(tagged, whole, targets=[])
    second = rate
    parts = [
        engine.open_session(
            part_of(waveform, engine=engine, rate=rate, span=span, before=second, after=second),
            targets,
            span=span,
            estimates=False,
        )
        for span in spans_at(1, 5, 10)
    ]
    assert_same_bits(blocks_of(engine, *parts), whole, targets=[])


@pytest.mark.parametrize("only_detected", [True, False])
def test_samples_that_overflow_the_networks_are_an_error_and_no_absence(
    vocabulary: Vocabulary, only_detected: bool
) -> None:
    """The tagger makes NaN of them, which reaches no threshold."""
    waveform = noise(1, 8000 * 6)
    waveform[:, 8000 * 4] = 1e30
    targets = targets_for_classes(vocabulary, names=["Speech"], asking=Asking(only_detected=only_detected))
    for estimates in (True, False):
        engine = bound(FakeWeights(), vocabulary)
        session = engine.open_session(
            ArraySource(waveform, sample_rate=8000, name="loud.wav"), targets, estimates=estimates
        )
        *_, (_, end) = engine.stream_many([session])
        assert isinstance(end, SessionEnd)
        assert isinstance(end.error, RecordingError)
        assert str(end.error).startswith("loud.wav: expected samples near full scale")
        assert "up to 1e+30 from 4 s to 6 s" in str(end.error)


def test_estimates_that_are_no_numbers_are_an_error(vocabulary: Vocabulary) -> None:
    weights = FakeWeights()
    make = weights.separator.masks
    weights.separator.masks = lambda *given: make(*given) * torch.inf  # type: ignore[method-assign]
    engine = bound(weights, vocabulary)
    targets = targets_for_classes(vocabulary, names=["Speech"])
    *_, (_, end) = engine.stream_many(
        [engine.open_session(ArraySource(noise(1, 8000 * 3), sample_rate=8000), targets)]
    )
    assert isinstance(end, SessionEnd)
    assert isinstance(end.error, RecordingError)
    assert "the separator" in str(end.error)
