"""A hierarchical window transformer: grids of tokens, attention inside windows, every second time shifted.

Liu et al. 2021, "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows". Grids are
(batch, rows, columns, channels) throughout.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_INIT_STD = 0.02
_APART = -100.0
"""Added to the attention between tokens that only the shift made neighbours; what the published weights saw."""


def relative_positions(window: int) -> Tensor:
    """Index of the offset between any two tokens of a window.

    Parameters
    ----------
    window : int
        Tokens on a side.

    Returns
    -------
    Tensor of shape (window², window²), dtype=int64
        In [0, (2·window − 1)²), query by key.
    """
    steps = torch.arange(window)
    rows, columns = (axis.reshape(-1) for axis in torch.meshgrid(steps, steps, indexing="ij"))
    down = rows[:, None] - rows + window - 1
    right = columns[:, None] - columns + window - 1
    return down * (2 * window - 1) + right


def shift_mask(side: int, *, window: int, shift: int) -> Tensor:
    """Attention mask of a square grid that was rolled by `shift`.

    Parameters
    ----------
    side, window, shift : int
        In tokens; `window` divides `side`, `shift` lies in (0, window).

    Returns
    -------
    Tensor of shape (windows, window², window²)
        0 between tokens that were neighbours before the roll, -100 between others.
    """
    piece = torch.zeros(side)
    piece[side - window :] += 1
    piece[side - shift :] += 1
    pieces = 3 * piece[:, None] + piece
    tokens = to_windows(pieces[None, :, :, None], window).squeeze(-1).squeeze(0)
    return torch.where(tokens[:, :, None] == tokens[:, None, :], 0.0, _APART)


def to_windows(grid: Tensor, window: int) -> Tensor:
    """Cut (batch, rows, columns, channels) into (batch, windows, window², channels), row by row."""
    tiles = grid.unflatten(2, (-1, window)).unflatten(1, (-1, window))
    return tiles.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def from_windows(windows: Tensor, *, columns: int) -> Tensor:
    """Undo `to_windows` of a grid with so many columns."""
    window = round(windows.shape[2] ** 0.5)
    tiles = windows.unflatten(2, (window, window)).unflatten(1, (-1, columns // window))
    return tiles.transpose(2, 3).flatten(3, 4).flatten(1, 2)


class WindowAttention(nn.Module):
    """Multi-head attention inside each window, with a learnt bias for each relative position.

    Parameters
    ----------
    channels : int
    heads : int
        Divides `channels`.
    window : int
        Tokens on a side.
    mask : Tensor of shape (windows, window², window²), optional
        Added to the attention.
    """

    positions: Tensor
    mask: Tensor | None

    def __init__(self, channels: int, *, heads: int, window: int, mask: Tensor | None = None) -> None:
        super().__init__()
        self.heads = heads
        self.inputs = nn.Linear(channels, 3 * channels)
        self.output = nn.Linear(channels, channels)
        self.position_bias = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.position_bias, std=_INIT_STD)
        self.register_buffer("positions", relative_positions(window), persistent=False)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, windows: Tensor) -> Tensor:
        """Map (batch, windows, tokens, channels) to the same shape."""
        count = windows.shape[1]
        queries, keys, values = (
            # windows and heads share an axis, so that one mask serves the whole batch
            part.unflatten(-1, (self.heads, -1)).transpose(2, 3).flatten(1, 2)
            for part in self.inputs(windows).chunk(3, dim=-1)
        )
        bias = self.position_bias[self.positions].permute(2, 0, 1)
        if self.mask is not None:
            bias = (bias + self.mask[:, None]).flatten(0, 1)
        elif count > 1:
            bias = bias.repeat(count, 1, 1)
        mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias.to(queries.dtype)[None])
        return self.output(mixed.unflatten(1, (count, self.heads)).transpose(2, 3).flatten(3))


class Block(nn.Module):
    """Window attention, then two linear layers, each behind a layer norm and added to its input.

    Parameters
    ----------
    channels, heads, window : int
    side : int
        Tokens on a side of the grid. A grid no larger than the window is one window and is not shifted.
    shifted : bool
        Whether windows lie half a window off.
    mlp_ratio : int
        Width of the hidden layer in `channels`.
    drop_path : float
        In training, the chance that an item passes either part by.
    """

    def __init__(
        self,
        channels: int,
        *,
        heads: int,
        window: int,
        side: int,
        shifted: bool,
        mlp_ratio: int,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.window = min(window, side)
        self.shift = window // 2 if shifted and side > window else 0
        self.drop_path = drop_path
        mask = shift_mask(side, window=self.window, shift=self.shift) if self.shift else None
        self.norm1 = nn.LayerNorm(channels)
        self.attention = WindowAttention(channels, heads=heads, window=self.window, mask=mask)
        self.norm2 = nn.LayerNorm(channels)
        self.widen = nn.Linear(channels, mlp_ratio * channels)
        self.narrow = nn.Linear(mlp_ratio * channels, channels)

    def forward(self, grid: Tensor) -> Tensor:
        """Map (batch, rows, columns, channels) to the same shape."""
        grid = grid + self._sometimes(self._attend(self.norm1(grid)))
        return grid + self._sometimes(self.narrow(F.gelu(self.widen(self.norm2(grid)))))

    def _attend(self, grid: Tensor) -> Tensor:
        rolled = torch.roll(grid, (-self.shift, -self.shift), dims=(1, 2)) if self.shift else grid
        mixed = from_windows(self.attention(to_windows(rolled, self.window)), columns=grid.shape[2])
        return torch.roll(mixed, (self.shift, self.shift), dims=(1, 2)) if self.shift else mixed

    def _sometimes(self, branch: Tensor) -> Tensor:
        if not self.training or self.drop_path == 0.0:
            return branch
        keep = 1.0 - self.drop_path
        return branch * torch.empty(len(branch), 1, 1, 1, device=branch.device).bernoulli_(keep).div_(keep)


class PatchMerge(nn.Module):
    """Halve a grid: each 2×2 patch of tokens becomes one of twice the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * channels)
        self.reduce = nn.Linear(4 * channels, 2 * channels, bias=False)

    def forward(self, grid: Tensor) -> Tensor:
        """Map (batch, rows, columns, channels) to (batch, rows / 2, columns / 2, 2 · channels)."""
        corners = [grid[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduce(self.norm(torch.cat(corners, dim=-1)))


def init_linear(module: nn.Module) -> None:
    """Give a linear layer the initial values of vision transformers; for `Module.apply`."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=_INIT_STD)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
