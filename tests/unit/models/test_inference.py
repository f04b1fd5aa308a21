"""What is set around a forward; the switches of CUDA are there without a GPU."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import pytest
import torch

from uss_ray.models.inference import inference

CUDA = torch.device("cuda")


def switches() -> tuple[Any, ...]:
    cudnn = torch.backends.cudnn
    return (
        cudnn.allow_tf32,
        cudnn.deterministic,
        cudnn.benchmark,
        torch.get_float32_matmul_precision(),
        torch.is_inference_mode_enabled(),
    )


@pytest.mark.parametrize(
    ("precision", "rounds", "products"),
    [("float32", False, "highest"), ("tfloat32", True, "high"), ("bfloat16", False, "highest")],
)
@pytest.mark.filterwarnings("ignore:User provided device_type of 'cuda'")
def test_a_gpu_rounds_as_asked_always_the_same_way_and_is_left_as_it_was(
    precision: Any, rounds: bool, products: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for of_the_program in ((True, False, True), (False, True, False)):
        for name, value in zip(("allow_tf32", "deterministic", "benchmark"), of_the_program, strict=True):
            monkeypatch.setattr(torch.backends.cudnn, name, value)
        before = switches()
        with pytest.raises(KeyError), inference(precision, device=CUDA):  # noqa: PT012
            assert switches() == (rounds, True, False, products, True)
            raise KeyError
        assert switches() == before


@pytest.mark.parametrize("precision", ["float32", "tfloat32", "bfloat16"])
def test_a_cpu_computes_in_float32(precision: Any) -> None:
    torch.manual_seed(0)
    layer, row = torch.nn.Linear(64, 64), torch.randn(3, 64)
    expected = layer(row).detach()
    with inference(precision, device=torch.device("cpu")):
        found = layer(row)
    assert found.is_inference()
    assert torch.equal(found, expected)


@pytest.mark.filterwarnings("ignore:User provided device_type of 'cuda'")
def test_threads_set_the_switches_of_a_gpu_one_after_the_other() -> None:
    def seen_in_a_thread() -> tuple[Any, ...]:
        with inference("float32", device=CUDA):
            return switches()

    before = switches()
    with ThreadPoolExecutor(1) as pool:
        with inference("tfloat32", device=CUDA):
            other = pool.submit(seen_in_a_thread)
            assert wait([other], timeout=0.05).not_done
            assert switches()[0] is True
        assert other.result()[:4] == (False, True, False, "highest")
    assert switches() == before
