"""What a file of tensors must hold, and in which types."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from uss_ray.errors import ConfigError, WeightsError
from uss_ray.weights.tensors import check_tensors, read_file, read_into, stored_types, to_store


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def test_matrices_are_stored_as_asked_and_vectors_as_they_are() -> None:
    types = stored_types(network(), "bfloat16")
    assert types["0.weight"] == torch.bfloat16
    assert types["0.bias"] == types["1.running_var"] == torch.float32
    assert types["1.num_batches_tracked"] == torch.int64


def test_what_is_stored_comes_back_rounded_once(tmp_path: Path) -> None:
    one, other = network(), network()
    save_file(to_store("net", one, "float16"), tmp_path / "net")
    read_into(other, tmp_path / "net", read_file(tmp_path / "net"), "float16")
    assert torch.equal(other[0].weight, one[0].weight.half().float())  # type: ignore[index]
    assert torch.equal(other[0].bias, one[0].bias)  # type: ignore[index]


def test_values_that_half_precision_cannot_hold_are_refused() -> None:
    module = network()
    with torch.no_grad():
        module[0].weight[0, 0] = 1e6  # type: ignore[index]
    with pytest.raises(ConfigError, match=r"net 0\.weight: expected finite values in torch.float16"):
        to_store("net", module, "float16")


def test_a_tensor_of_another_stored_type_is_refused() -> None:
    stored = to_store("net", network(), "float32")
    with pytest.raises(WeightsError, match=r"0\.weight: expected torch\.float16, found torch\.float32"):
        read_into(network(), Path("net"), stored, "float16")


def test_what_is_no_safetensors_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net").write_bytes(b"hello")
    with pytest.raises(WeightsError, match="expected a safetensors file"):
        read_file(tmp_path / "net")


def test_many_wrong_keys_stay_one_line() -> None:
    with pytest.raises(
        WeightsError, match=r"expected 9 tensors, found 9 missing \(k0, k1, k2, …\)"
    ) as caught:
        check_tensors("x", {f"k{index}": (1,) for index in range(9)}, {})
    assert len(str(caught.value)) < 100
