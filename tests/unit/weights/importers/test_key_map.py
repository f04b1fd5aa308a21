"""Every key of a published file is taken over, equal to a constant of ours, or known to be unused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from uss_ray.errors import WeightsError
from uss_ray.weights.importers.key_map import (
    KeyMap,
    add_renamed,
    check_constant,
    check_only_constants,
    fill,
    inverse_stft_constants,
    linear_keys,
    stft_constants,
)


def mapped(module: nn.Module) -> KeyMap:
    keys = KeyMap(constants={"table": lambda: torch.arange(4.0)}, unused={"spare": (2,)})
    add_renamed(keys, dict(linear_keys("0", "fc")), module.state_dict())
    return keys


def state() -> dict[str, torch.Tensor]:
    return {
        "fc.weight": torch.rand(2, 3),
        "fc.bias": torch.rand(2),
        "spare": torch.rand(2),
        "table": torch.arange(4.0),
    }


def test_renamed_tensors_arrive_and_the_module_is_left_in_evaluation_mode() -> None:
    module, given = nn.Sequential(nn.Linear(3, 2)), state()
    fill("file", module, mapped(module), given)
    assert torch.equal(module[0].weight, given["fc.weight"])
    assert not module.training


def test_a_constant_may_be_left_out() -> None:
    module, given = nn.Sequential(nn.Linear(3, 2)), state()
    del given["table"]
    fill("file", module, mapped(module), given)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("fc.bias", None, r"file: expected .*1 missing \(fc\.bias\)"),
        ("spare", None, r"1 missing \(spare\)"),
        ("more", torch.zeros(1), r"1 unknown \(more\)"),
        ("fc.bias", torch.zeros(3), r"fc\.bias: expected shape \(2,\)"),
        ("fc.bias", torch.tensor([0.0, torch.nan]), r"fc\.bias: expected finite values"),
        ("table", torch.zeros(4), "table: expected the constant of this front end"),
    ],
)
def test_one_wrong_tensor_is_refused_by_name(key: str, value: torch.Tensor | None, message: str) -> None:
    module, given = nn.Sequential(nn.Linear(3, 2)), state()
    if value is None:
        del given[key]
    else:
        given[key] = value
    with pytest.raises(WeightsError, match=message):
        fill("file", module, mapped(module), given)


def test_parts_are_joined() -> None:
    module = nn.Linear(3, 4, bias=False)
    keys = KeyMap(parts={"weight": ("upper", "lower")}, shapes={"upper": (1, 3), "lower": (3, 3)})
    given = {"upper": torch.rand(1, 3), "lower": torch.rand(3, 3)}
    fill("file", module, keys, given)
    assert torch.equal(module.weight, torch.cat((given["upper"], given["lower"])))


def test_the_constants_are_those_of_a_transform_and_its_inverse() -> None:
    forward = {key: make() for key, make in stft_constants("", 16).items()}
    inverse = {key: make() for key, make in inverse_stft_constants("", 16).items()}
    frame = torch.randn(16, dtype=torch.float64)
    window = torch.hann_window(16, dtype=torch.float64)
    spectrum = torch.fft.rfft(frame * window)
    torch.testing.assert_close(forward["conv_real.weight"][:, 0] @ frame, spectrum.real)
    torch.testing.assert_close(forward["conv_imag.weight"][:, 0] @ frame, spectrum.imag)
    full = torch.fft.fft(frame)
    back = inverse["conv_real.weight"][..., 0] @ full.real - inverse["conv_imag.weight"][..., 0] @ full.imag
    torch.testing.assert_close(back, frame * window)
    torch.testing.assert_close(inverse["ola_window"], window.square())


def test_a_constant_is_held_to_its_shape_and_to_a_ten_thousandth_of_its_peak() -> None:
    check_constant("x", torch.ones(3), torch.ones(3) + 9e-5)
    for other in (torch.ones(3) + 2e-4, torch.ones(4), torch.full((3,), torch.nan)):
        with pytest.raises(WeightsError):
            check_constant("x", torch.ones(3), other)


def test_nothing_but_constants_means_nothing_else() -> None:
    check_only_constants("file", {"a": torch.ones(2)}, {"a": lambda: torch.ones(2)})
    with pytest.raises(WeightsError, match=r"1 unknown \(b\)"):
        check_only_constants("file", {"b": torch.ones(2)}, {"a": lambda: torch.ones(2)})
