"""Feature-wise linear modulation: a condition becomes one shift for each channel of each modulated layer.

The layers themselves, and where a shift is added, belong to the network that owns them.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class Film(nn.Module):
    """Shifts of all modulated layers from one linear map.

    The paper's separator uses the additive half of FiLM only: one linear layer a batch norm. They are held as one
    matrix here, which is the same function in one product.

    Parameters
    ----------
    condition_size : int
        Length of a condition.
    layer_channels : sequence of int
        Channels of each modulated layer, in the order in which the network uses them.

    Notes
    -----
    Kong et al. 2023, section on the FiLM-conditioned separator; Perez et al. 2018 for FiLM itself.
    """

    def __init__(self, *, condition_size: int, layer_channels: Sequence[int]) -> None:
        super().__init__()
        self.layer_channels = tuple(layer_channels)
        self.shift = nn.Linear(condition_size, sum(self.layer_channels))
        start = 0
        nn.init.zeros_(self.shift.bias)
        for channels in self.layer_channels:
            nn.init.xavier_uniform_(self.shift.weight.data[start : start + channels])
            start += channels

    def forward(self, condition: Tensor) -> tuple[Tensor, ...]:
        """Compute the shifts.

        Parameters
        ----------
        condition : Tensor of shape (batch, condition_size)

        Returns
        -------
        tuple of Tensor, each of shape (batch, channels, 1, 1)
        """
        return tuple(self.shift(condition)[:, :, None, None].split(self.layer_channels, dim=1))
