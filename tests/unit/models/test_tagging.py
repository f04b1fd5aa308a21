from __future__ import annotations

import pytest
import torch

from uss_ray.models.panns import Panns
from uss_ray.models.panns_settings import PannsConfig
from uss_ray.models.tagging import to_probs


def test_the_place_of_a_row_does_not_change_its_bits() -> None:
    torch.manual_seed(0)
    for _ in range(20):
        logits, order = torch.randn(4, 527), torch.randperm(4)
        assert torch.equal(to_probs(logits)[order], to_probs(logits[order]))


@pytest.mark.parametrize("head", ["clip", "frame"])
def test_nor_those_of_a_whole_tagger(head: str) -> None:
    torch.manual_seed(0)
    model = Panns(
        PannsConfig(block_channels=(4, 8), embedding_size=16, head=head, pooling="linear_softmax")
    ).eval()  # type: ignore[arg-type]
    for _ in range(8):
        sounds, order = torch.randn(4, 20_000), torch.randperm(4)
        with torch.inference_mode():
            first, second = model(sounds), model(sounds[order])
        for one, two in zip(first, second, strict=True):
            assert one is two is None or torch.equal(one[order], two)


def test_it_is_the_sigmoid_in_single_precision_at_least() -> None:
    logits = torch.linspace(-80, 80, 41)
    probs = to_probs(logits)
    torch.testing.assert_close(probs, 1 / (1 + torch.exp(-logits)), rtol=1e-6, atol=0)
    assert probs.dtype == torch.float32
    assert to_probs(logits.bfloat16()).dtype == torch.float32
    assert to_probs(logits.double()).dtype == torch.float64
