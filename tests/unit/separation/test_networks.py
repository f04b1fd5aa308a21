from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from tests.unit.separation.fakes import BandSeparator, BandTagger, FakeTagging, one_hot
from uss_ray.models.network_settings import ResUNetConfig
from uss_ray.models.panns import Panns
from uss_ray.models.panns_settings import PannsConfig
from uss_ray.models.resunet import ResUNet
from uss_ray.separation.networks import EstimateRow, MaskRow, Networks, TagRow, rows_in_a_forward

CPU = torch.device("cpu")


def networks(batch_size: int) -> tuple[Networks, BandTagger, BandSeparator]:
    tagger, separator = BandTagger(8000), BandSeparator(8000)
    made = Networks(
        tagger=tagger, separator=separator, batch_size=batch_size, precision="float32", device=CPU
    )
    return made, tagger, separator


def mask_rows(count: int, *, frames: int) -> list[MaskRow]:
    bins = BandSeparator(8000).stft.bins
    return [
        MaskRow(torch.zeros(frames, bins, dtype=torch.complex64), 0.1 * place * one_hot(0))
        for place in range(1, count + 1)
    ]


def test_what_does_not_fill_a_batch_is_padded_and_rows_stay_in_order() -> None:
    made, tagger, separator = networks(4)
    masks = made.forward(mask_rows(3, frames=5))
    assert [round(float(mask.abs().max()), 3) for mask in masks] == [0.1, 0.2, 0.3]
    assert [probs.shape for probs in made.forward([TagRow(torch.rand(800))] * 2)] == [(1, 527)] * 2
    assert (separator.batch_sizes, separator.batches) == ([4], [3])
    assert (tagger.batch_sizes, tagger.batches) == ([4], [2])


class FramedTagger:
    """A frame is as probable as it is loud, the first class at its own place and the second one frame later."""

    pools_frames = True
    hop = 10

    def __call__(self, waveform: Tensor) -> FakeTagging:
        frames = waveform[:, :: self.hop].abs()
        framewise = torch.stack((frames, frames.roll(1, dims=1)), dim=2)
        return FakeTagging(self.pool_frames(framewise), torch.zeros(len(waveform), 4), framewise)

    def pool_frames(self, framewise_probs: Tensor) -> Tensor:
        return framewise_probs.amax(dim=1)


def test_what_is_heard_around_a_segment_is_told_of_the_segment_alone() -> None:
    made = Networks(
        tagger=FramedTagger(), separator=BandSeparator(8000), batch_size=1, precision="float32", device=CPU
    )
    waveform = torch.zeros(101)
    waveform[[10, 50, 70]] = torch.tensor([0.9, 0.5, 0.75])
    [alone] = made.forward([TagRow(waveform)])
    [inside] = made.forward([TagRow(waveform, context_samples=30)])
    assert alone.shape == (1 + 11, 2)
    assert inside.shape == (1 + 5, 2)
    assert torch.equal(inside[1:], alone[1 + 3 : 1 + 8])
    assert inside[0].tolist() == [0.75, 0.5], "what lies before and after it does not count"
    assert alone[0].tolist() == pytest.approx([0.9, 0.9])


def test_a_separator_of_waveforms_is_asked_for_estimates() -> None:
    class Gain:
        def __call__(self, mixture: Tensor, condition: Tensor) -> Tensor:
            return mixture * condition[:, :1]

    made = Networks(
        tagger=BandTagger(8000),
        separator=Gain(),  # type: ignore[arg-type]
        batch_size=2,
        precision="float32",
        device=CPU,
    )
    [estimate] = made.forward([EstimateRow(torch.ones(5), torch.tensor([0.25, 0.0]))])
    assert estimate.tolist() == [0.25] * 5


def test_rows_of_another_kind_or_length_do_not_share_a_batch() -> None:
    shapes = {
        TagRow(torch.zeros(5)).shape,
        TagRow(torch.zeros(6)).shape,
        TagRow(torch.zeros(6), context_samples=1).shape,
        EstimateRow(torch.zeros(5), torch.zeros(2)).shape,
        MaskRow(torch.zeros(5, 3), torch.zeros(2)).shape,
    }
    assert len(shapes) == 5


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


def random_rows(count: int) -> list[MaskRow]:
    generator = torch.Generator().manual_seed(4)
    return [
        MaskRow(
            torch.randn(80, 257, dtype=torch.complex64, generator=generator),
            torch.rand(527, generator=generator),
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize("position", range(3))
def test_a_row_has_the_same_bits_alone_and_at_any_place_in_a_batch(
    real: SimpleNamespace, position: int
) -> None:
    made = Networks(
        tagger=real.tagger, separator=real.separator, batch_size=3, precision="float32", device=CPU
    )
    waveforms = 0.1 * torch.randn(3, 32_000, generator=torch.Generator().manual_seed(1))
    for rows in ([TagRow(waveform) for waveform in waveforms], random_rows(3)):
        alone = made.forward(rows[:1])[0] if position == 0 else None
        among = made.forward([*rows[1 : position + 1], rows[0], *rows[position + 1 :]])[position]
        again = made.forward([*rows[1 : position + 1], rows[0]])[position]
        assert among.abs().max() > 1e-3
        assert torch.equal(among, again if alone is None else alone)


def test_an_accelerator_takes_batches_and_a_cpu_one_row_at_a_time() -> None:
    assert rows_in_a_forward(4, device=CPU) == 1
    assert rows_in_a_forward(4, device=torch.device("cuda", 0)) == 4
