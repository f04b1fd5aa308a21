from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from tests.unit.separation.fakes import BandSeparator, BandTagger, one_hot
from uss_ray.errors import RecordingError
from uss_ray.models.panns import Panns, PannsConfig
from uss_ray.models.resunet import ResUNet, ResUNetConfig
from uss_ray.separation.scheduler import (
    MaskRequest,
    MaskRow,
    Networks,
    Session,
    SessionFailed,
    TagRequest,
    rows_in_a_forward,
    run,
)


def networks(batch_size: int) -> tuple[Networks, BandTagger, BandSeparator]:
    tagger, separator = BandTagger(8000), BandSeparator(8000)
    made = Networks(
        tagger=tagger,
        separator=separator,
        batch_size=batch_size,
        precision="float32",
        device=torch.device("cpu"),
    )
    return made, tagger, separator


def rows(count: int, *, frames: int) -> list[MaskRow]:
    bins = BandSeparator(8000).stft.bins
    return [
        MaskRow(torch.zeros(frames, bins, dtype=torch.complex64), 0.1 * place * one_hot(0))
        for place in range(1, count + 1)
    ]


def strength(mask: Tensor) -> float:
    return round(float(mask.abs().max()), 3)


def test_rows_of_several_sessions_fill_batches_together_and_return_in_order() -> None:
    made, _, separator = networks(4)
    answers = made.answer({7: MaskRequest(rows(3, frames=5)), 2: MaskRequest(rows(6, frames=5))})
    assert separator.batches == [4, 4, 1]
    assert [strength(mask) for mask in answers[7] or []] == [0.1, 0.2, 0.3]
    assert [strength(mask) for mask in answers[2] or []] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]


def test_rows_of_another_length_have_their_own_batch() -> None:
    made, _, separator = networks(4)
    mixed = [*rows(2, frames=5), *rows(1, frames=3), *rows(2, frames=5)]
    answers = made.answer({0: MaskRequest(mixed)})[0] or []
    assert separator.batches == [4, 1]
    assert [len(mask) for mask in answers] == [5, 5, 3, 5, 5]
    assert [strength(mask) for mask in answers] == [0.1, 0.2, 0.1, 0.1, 0.2]


def test_tags_and_masks_are_answered_in_the_same_turn() -> None:
    made, tagger, separator = networks(2)
    answers = made.answer({0: TagRequest([torch.rand(800)] * 3), 1: MaskRequest(rows(1, frames=2))})
    assert (tagger.batches, separator.batches) == ([2, 1], [1])
    assert [len(probs) for probs in answers[0] or []] == [527] * 3


def test_results_keep_the_order_of_their_session_and_inference_mode_stays_inside() -> None:
    def session(name: str, turns: int) -> Session[str]:
        for turn in range(turns):
            answers = yield TagRequest([torch.rand(80)])
            assert torch.is_inference_mode_enabled()
            yield f"{name}{turn}:{len(answers or [])}"

    made, tagger, _ = networks(8)
    results: Iterator[tuple[int, str | SessionFailed]] = run(
        [session("a", 1), session("b", 3)], networks=made
    )
    seen = []
    for result in results:
        assert not torch.is_inference_mode_enabled()
        seen.append(result)
    assert set(tagger.batch_sizes) == {8}
    assert [name for index, name in seen if index == 0] == ["a0:1"]
    assert [name for index, name in seen if index == 1] == ["b0:1", "b1:1", "b2:1"]
    assert tagger.batches == [2, 1, 1]


# One shape, so the same bits


@pytest.fixture(scope="module")
def real() -> SimpleNamespace:
    """The real networks, with random values."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return SimpleNamespace(
            tagger=Panns(PannsConfig(block_channels=(8, 16), embedding_size=32, mel_bins=32)).eval(),
            separator=ResUNet(
                ResUNetConfig(channels=(8, 8, 8), bottleneck_channels=8, window_samples=512, hop_samples=160)
            ).eval(),
        )


def real_networks(real: SimpleNamespace) -> Networks:
    device = torch.device("cpu")
    return Networks(
        tagger=real.tagger,
        separator=real.separator,
        batch_size=rows_in_a_forward(4, device=device),
        precision="float32",
        device=device,
    )


def random_waveforms(count: int) -> list[Tensor]:
    return list(0.1 * torch.randn(count, 32_000, generator=torch.Generator().manual_seed(1)))


def random_rows(count: int) -> list[MaskRow]:
    generator = torch.Generator().manual_seed(4)
    return [
        MaskRow(
            torch.randn(80, 257, dtype=torch.complex64, generator=generator),
            torch.rand(527, generator=generator),
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize("position", range(7))
def test_a_row_has_the_same_bits_alone_and_at_any_place_among_others(
    real: SimpleNamespace, position: int
) -> None:
    made = real_networks(real)
    waveforms, masks = random_waveforms(8), random_rows(8)
    alone = made.answer({0: TagRequest(waveforms[:1]), 1: MaskRequest(masks[:1])})
    waveforms.insert(position, waveforms.pop(0))
    masks.insert(position, masks.pop(0))
    among = made.answer({0: TagRequest(waveforms), 1: MaskRequest(masks)})
    for key in (0, 1):
        expected, found = (alone[key] or [])[0], (among[key] or [])[position]
        assert expected.abs().max() > 1e-3
        assert torch.equal(found, expected)


def test_an_accelerator_takes_batches_and_a_cpu_one_row_at_a_time() -> None:
    assert rows_in_a_forward(4, device=torch.device("cpu")) == 1
    assert rows_in_a_forward(4, device=torch.device("cuda", 0)) == 4


def test_every_batch_has_the_one_size() -> None:
    made, tagger, separator = networks(3)
    made.answer({0: TagRequest([torch.rand(800)] * 4), 1: MaskRequest(rows(5, frames=2))})
    assert (tagger.batch_sizes, separator.batch_sizes) == ([3, 3], [3, 3])
    assert (tagger.batches, separator.batches) == ([3, 1], [3, 2])


# Isolation


def counting(turns: int, *, fail_at: int | None = None) -> Session[str]:
    for turn in range(turns):
        if turn == fail_at:
            raise RecordingError(f"turn {turn}", expected="sound", found="a fault")
        answers = yield TagRequest([torch.full((80,), 0.1 + turn)])
        yield f"{turn}:{float((answers or [torch.zeros(1)])[0].sum()):.9f}"


@pytest.mark.parametrize("fail_at", [0, 1, 2])
def test_a_session_that_fails_ends_alone_and_says_why(fail_at: int) -> None:
    made, _, _ = networks(4)
    alone = [result for _, result in run([counting(4)], networks=made)]
    seen = list(run([counting(4), counting(3, fail_at=fail_at), counting(4)], networks=made))
    failed = [result for index, result in seen if index == 1]
    assert len(failed) == fail_at + 1
    assert isinstance(failed[-1], SessionFailed)
    assert f"turn {fail_at}" in str(failed[-1].error)
    assert failed[:-1] == alone[:fail_at]
    for index in (0, 2):
        assert [result for number, result in seen if number == index] == alone


def test_a_fault_of_the_networks_is_no_sessions_own() -> None:
    made, _, _ = networks(4)

    def broken(_: Tensor) -> None:
        raise RuntimeError("out of memory")

    made._tagger = broken  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match="out of memory"):
        list(run([counting(2), counting(2)], networks=made))


def test_an_interruption_stops_all_sessions() -> None:
    def interrupted() -> Session[str]:
        yield "first"
        raise KeyboardInterrupt

    made, _, _ = networks(4)
    with pytest.raises(KeyboardInterrupt):
        list(run([interrupted(), counting(2)], networks=made))
