from __future__ import annotations

import pytest
import torch

from uss_ray.models.swin import (
    Block,
    PatchMerge,
    WindowAttention,
    from_windows,
    relative_positions,
    shift_mask,
    to_windows,
)


def grid_of(side: int, channels: int = 4) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(2, side, side, channels)


def block(side: int, *, shifted: bool, window: int = 4) -> Block:
    torch.manual_seed(1)
    made = Block(4, heads=2, window=window, side=side, shifted=shifted, mlp_ratio=2, drop_path=0.0)
    return made.eval()


def reach(module: Block, side: int, *, row: int, column: int) -> set[tuple[int, int]]:
    """Tokens whose output a change of one token changes."""
    grid = grid_of(side).double()
    changed = grid.clone()
    changed[:, row, column] *= -1.0
    with torch.inference_mode():
        difference = (module.double()(grid) - module(changed)).abs().amax(dim=(0, 3))
    return {(int(r), int(c)) for r, c in torch.nonzero(difference > 1e-12)}


def test_windows_are_cut_row_by_row_and_put_back() -> None:
    grid = torch.arange(2 * 6 * 9, dtype=torch.float32).view(2, 6, 9, 1)
    windows = to_windows(grid, 3)
    assert windows.shape == (2, 6, 9, 1)
    assert windows[0, 1].flatten().tolist() == [3, 4, 5, 12, 13, 14, 21, 22, 23]
    assert torch.equal(from_windows(windows, columns=9), grid)


def test_relative_positions_depend_on_the_offset_alone() -> None:
    index = relative_positions(3)
    offsets: dict[int, set[tuple[int, int]]] = {}
    for query in range(9):
        for key in range(9):
            offset = (query // 3 - key // 3, query % 3 - key % 3)
            offsets.setdefault(int(index[query, key]), set()).add(offset)
    assert len(offsets) == 25
    assert all(len(same) == 1 for same in offsets.values())


def test_a_token_reaches_its_own_window() -> None:
    expected = {(row, column) for row in range(4, 8) for column in range(4)}
    assert reach(block(8, shifted=False), 8, row=5, column=2) == expected


def test_a_shifted_window_straddles_four_and_does_not_wrap_around() -> None:
    module = block(8, shifted=True)
    assert reach(module, 8, row=3, column=4) == {
        (row, column) for row in range(2, 6) for column in range(2, 6)
    }
    assert reach(module, 8, row=0, column=7) == {(row, column) for row in (0, 1) for column in (6, 7)}


def test_a_grid_no_larger_than_the_window_is_one_window_and_unshifted() -> None:
    module = block(4, shifted=True, window=8)
    assert (module.window, module.shift) == (4, 0)
    assert len(reach(module, 4, row=0, column=0)) == 16


def test_the_mask_parts_what_only_the_shift_joined() -> None:
    mask = shift_mask(8, window=4, shift=2)
    assert mask.shape == (4, 16, 16)
    assert (mask[0] == 0).all()
    assert ((mask[3] == 0).sum(dim=1) == 4).all()
    assert set(mask.unique().tolist()) == {-100.0, 0.0}


def test_attention_is_softmax_of_scaled_products_and_bias() -> None:
    torch.manual_seed(2)
    mask = torch.where(torch.rand(3, 4, 4) < 0.3, -100.0, 0.0) * (1 - torch.eye(4))
    module = WindowAttention(6, heads=2, window=2, mask=mask)
    torch.nn.init.normal_(module.position_bias)
    windows = torch.randn(2, 3, 4, 6)
    queries, keys, values = module.inputs(windows).chunk(3, dim=-1)
    bias = module.position_bias[relative_positions(2)]
    mixed = torch.zeros(2, 3, 4, 6)
    for head in range(2):
        part = slice(3 * head, 3 * head + 3)
        scores = queries[..., part] @ keys[..., part].transpose(-1, -2) / 3**0.5
        mixed[..., part] = (scores + bias[..., head] + mask).softmax(dim=-1) @ values[..., part]
    torch.testing.assert_close(module(windows), module.output(mixed))


def test_merging_halves_the_grid_and_mixes_only_neighbours() -> None:
    torch.manual_seed(3)
    module, grid = PatchMerge(4), grid_of(6)
    changed = grid.clone()
    changed[:, 3, 4] += 1.0
    difference = (module(grid) - module(changed)).abs().amax(dim=(0, 3))
    assert module(grid).shape == (2, 3, 3, 8)
    assert torch.nonzero(difference).tolist() == [[1, 2]]


@pytest.mark.parametrize("drop_path", [0.3, 0.9])
def test_passing_by_keeps_the_expected_value(drop_path: float) -> None:
    module = block(4, shifted=False)
    module.drop_path = drop_path
    module.train()
    torch.manual_seed(4)
    branch = torch.ones(20_000, 1, 1, 1)
    kept = module._sometimes(branch)
    assert float(kept.mean()) == pytest.approx(1.0, abs=0.1)
    assert float((kept == 0).float().mean()) == pytest.approx(drop_path, abs=0.02)
