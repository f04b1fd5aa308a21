from __future__ import annotations

from collections.abc import Callable
from itertools import repeat

import pytest
import torch

from uss_ray.errors import ConfigError
from uss_ray.models.network_settings import BandedResUNetConfig, ResUNetConfig, UNetConfig
from uss_ray.models.resunet import BandedResUNet, ResUNet, UNet, in_bands

TINY = ResUNetConfig(
    condition_size=5,
    channels=(4, 8),
    bottleneck_channels=8,
    stem_channels=4,
    window_samples=256,
    hop_samples=100,
)


def tiny(**changes: object) -> ResUNet:
    torch.manual_seed(0)
    return ResUNet(ResUNetConfig(**(TINY.__dict__ | changes)))  # type: ignore[arg-type]


def test_the_default_is_the_papers_resunet30() -> None:
    model = ResUNet(ResUNetConfig())
    film = sum(p.numel() for p in model.film.parameters())
    # 39.2 M with a 527-d condition in the published program, which counts 12.6 M of fixed STFT kernels as parameters.
    total = sum(p.numel() for p in model.parameters())
    assert total == 25_747_781
    assert film == 528 * sum(model.film.layer_channels)


@pytest.mark.parametrize("samples", [1, 99, 1000, 4321])
def test_the_estimate_is_as_long_as_the_mixture(samples: int) -> None:
    model = tiny().eval()
    with torch.inference_mode():
        assert model(torch.randn(3, samples), torch.rand(3, 5)).shape == (3, samples)


def test_masks_never_amplify_and_end_below_the_top_bin() -> None:
    model = tiny().eval()
    with torch.inference_mode():
        masks = model.masks(model.stft(torch.randn(2, 1, 3000)), torch.rand(2, 5))
    assert masks.abs().max() <= 1 + 1e-5
    assert (masks[..., -1] == 0).all()


def test_the_condition_changes_the_estimate() -> None:
    model = tiny().eval()
    mixture = torch.randn(1, 3000)
    with torch.inference_mode():
        one, other = model(mixture, torch.zeros(1, 5)), model(mixture, torch.ones(1, 5))
    assert (one - other).abs().max() > 1e-4


@pytest.mark.parametrize(
    "settings",
    [{}, {"film": {"kind": "scale-shift", "framewise": True}, "passes": 2}, {"film_places": "bottleneck"}],
)
def test_folding_the_norms_at_inference_changes_nothing(settings: dict[str, object]) -> None:
    model = tiny(**settings)
    for parameter in model.film.parameters():
        torch.nn.init.normal_(parameter)
    steering = (torch.rand(4, 5), torch.rand(4, 7))
    mixture = torch.randn(4, 3000)
    for _ in range(3):
        model.train()(mixture, *steering)
    model.eval()
    with torch.inference_mode():
        folded = model(mixture, *steering)
        for module in model.modules():
            if hasattr(module, "activate"):
                module.activate = lambda maps, film, norm=module: torch.nn.functional.leaky_relu(
                    norm(maps) if film is None else film(norm(maps)), 0.01
                )
        plain = model(mixture, *steering)
    assert torch.allclose(folded, plain, atol=1e-5)


def test_a_second_pass_sees_the_mask_of_the_first_and_both_are_trained() -> None:
    model = tiny(passes=2).train()
    mixture, condition = torch.randn(2, 3000), torch.rand(2, 5)
    first, second = model.estimates_of_passes(mixture, condition)
    assert not torch.allclose(first, second)
    assert torch.equal(model.eval()(mixture, condition), model.estimates_of_passes(mixture, condition)[1])
    stem = model.stem.weight
    # The first pass sees no mask yet; the second does, and no gradient goes through it.
    assert not torch.autograd.grad(first.square().sum(), stem, retain_graph=True)[0][:, 1].any()
    assert torch.autograd.grad(second.square().sum(), stem)[0][:, 1].any()
    with torch.no_grad():
        stem[:, 1] = 0.0
        one, other = model.estimates_of_passes(mixture, condition)
    assert torch.equal(one, other)


def test_the_bottleneck_alone_can_be_steered() -> None:
    model = tiny(film_places="bottleneck").eval()
    assert model.film.layer_channels == (8, 8)
    with torch.inference_mode():
        one, other = (model(torch.ones(1, 3000), condition[None]) for condition in torch.eye(5)[:2])
    assert not torch.allclose(one, other)


BANDS = {"band_widths": (1, 2, 8), "bands_of_width": (32, 16, 8)}


def banded(**changes: object) -> BandedResUNet:
    torch.manual_seed(0)
    fields = {key: value for key, value in TINY.__dict__.items() if key != "architecture"}
    return BandedResUNet(BandedResUNetConfig(**(fields | BANDS | changes)))  # type: ignore[arg-type]


def test_bands_of_one_bin_are_a_resunet() -> None:
    model = tiny().train()
    mixture, condition = torch.randn(2, 3000), torch.rand(2, 5)
    model(mixture, condition)  # statistics of its own
    same = in_bands(model.eval(), band_widths=(1,), bands_of_width=(128,)).eval()
    with torch.inference_mode():
        torch.testing.assert_close(same(mixture, condition), model(mixture, condition))


def test_the_bins_of_a_band_are_heard_and_masked_as_one() -> None:
    model = banded().eval()
    spectrogram = model.stft(torch.randn(2, 1, 3000))
    turned = spectrogram.clone()
    turned[..., [64, 71]] = turned[..., [71, 64]]  # two bins of one band
    with torch.inference_mode():
        masks, others = (model.masks(each, torch.full((2, 5), 0.5)) for each in (spectrogram, turned))
        assert model(torch.randn(1, 99), torch.rand(1, 5)).isfinite().all()
    torch.testing.assert_close(masks, others)
    assert masks.shape == spectrogram.shape
    low, middle, high, top = masks.split((32, 32, 64, 1), dim=-1)
    assert (low[..., 1:] != low[..., :-1]).any()
    assert (middle[..., ::2] == middle[..., 1::2]).all()
    assert (high.unflatten(-1, (8, 8)) == high[..., ::8].unsqueeze(-1)).all()
    assert not top.any()


def test_bands_are_octaves_where_nobody_says_otherwise() -> None:
    made = in_bands(tiny())
    assert (made.config.band_widths, made.config.bands_of_width) == ((1, 2, 4, 8), (16, 8, 8, 8))
    assert (BandedResUNetConfig().band_widths, BandedResUNetConfig().bands_of_width) == (
        (1, 2, 4, 8),
        (128, 64, 64, 64),
    )
    with pytest.raises(ConfigError, match="divisible by 8"):
        in_bands(tiny(channels=(4, 8, 8), window_samples=128))


def test_bands_begin_with_the_parameters_of_a_network_on_bins() -> None:
    model = tiny()
    with torch.no_grad():
        model.norm.weight.copy_(torch.arange(129.0))
    made = in_bands(model, **BANDS)
    assert made.norm.weight[[0, 31, 32, 55]].tolist() == [0.0, 31.0, 32.5, 123.5]
    assert all(
        torch.equal(tensor, model.state_dict()[name])
        for name, tensor in made.state_dict().items()
        if not name.startswith("norm.")
    )


def test_a_plain_u_net_has_no_way_past_its_convolutions() -> None:
    config = UNetConfig(**{key: value for key, value in TINY.__dict__.items() if key != "architecture"})
    model = UNet(config)
    residual, plain = set(tiny().state_dict()), set(model.state_dict())
    assert {key for key in residual - plain if "shortcut" not in key} == set()
    assert plain < residual
    with torch.no_grad():
        for block in model.modules():
            if hasattr(block, "conv2"):
                block.conv2.weight.zero_()
        assert not model.bottleneck(torch.rand(1, 8, 4, 4), repeat(None)).any()


@pytest.mark.parametrize("make", [tiny, banded])
def test_every_parameter_is_trained(make: Callable[[], torch.nn.Module]) -> None:
    model = make().train()
    model(torch.randn(2, 3000), torch.rand(2, 5)).square().sum().backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # The bias of the gain, real and imaginary maps always has a gradient; convolutions before a norm do too.
    assert without == []


def test_more_blocks_a_stage_make_a_deeper_network() -> None:
    def convolutions(model: ResUNet) -> int:
        return sum(isinstance(m, torch.nn.Conv2d) and m.kernel_size == (3, 3) for m in model.modules())

    assert convolutions(tiny(blocks_per_stage=2)) == 2 * convolutions(tiny())


def test_an_impossible_geometry_is_refused_before_anything_is_built() -> None:
    with pytest.raises(ConfigError, match="divisible by 4"):
        ResUNetConfig(channels=(4, 8), window_samples=250)
    with pytest.raises(ConfigError, match="a list of at least 2"):
        ResUNetConfig(channels=(4,))


@pytest.mark.parametrize("kind", [tiny, banded])
@pytest.mark.parametrize("frames", [12, 13, 19])
def test_what_the_detector_hears_keeps_its_time_beside_frames_that_are_padding(
    kind: Callable[..., ResUNet | BandedResUNet], frames: int
) -> None:
    model = kind(channels=(4, 8, 8), film={"framewise": True}).eval()
    heard = torch.linspace(0, 1, frames)[None].square()
    steered: list[torch.Tensor] = []
    model.film.register_forward_hook(lambda *called: steered.extend(each.activity for each in called[2]))
    with torch.inference_mode():
        masks = model.masks(model.stft(torch.randn(1, 1, 100 * (frames - 1))), torch.rand(1, 5), heard)
    assert (masks.shape[2], model.config.time_pooling) == (frames, 4)
    in_padding = torch.ones(-frames % 4)
    for activity in steered:
        torch.testing.assert_close(activity[0, 0, :, 0], torch.cat((heard[0], in_padding)))
