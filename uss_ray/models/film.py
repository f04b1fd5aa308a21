"""Feature-wise linear modulation: a condition becomes a shift, perhaps a scale, of the channels of modulated layers.

The layers themselves, and where they are modulated, belong to the network that owns them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from uss_ray.models.network_settings import FilmSettings


@dataclass(frozen=True, eq=False)
class Modulation:
    """What a condition does to one layer.

    Parameters
    ----------
    shift : Tensor of shape (batch, channels, 1, 1)
    scale : Tensor of the same shape, or None
    frame_shift, frame_scale : Tensor of the same shape, or None
        Added where the wanted class is heard.
    activity : Tensor of shape (batch, 1, frames, 1), or None
        In [0, 1], evenly over the time of the maps.
    """

    shift: Tensor
    scale: Tensor | None = None
    frame_shift: Tensor | None = None
    frame_scale: Tensor | None = None
    activity: Tensor | None = None

    def at(self, frames: int) -> tuple[Tensor, Tensor | None]:
        """Give shift and scale for maps of so many frames, both of shape (batch, channels, 1 or frames, 1)."""
        if self.activity is None or self.frame_shift is None:
            return self.shift, self.scale
        heard = stretched(self.activity, frames)
        shift = self.shift + heard * self.frame_shift
        if self.scale is None or self.frame_scale is None:
            return shift, self.scale
        return shift, self.scale + heard * self.frame_scale

    def __call__(self, maps: Tensor) -> Tensor:
        """Modulate maps of shape (batch, channels, frames, bins)."""
        shift, scale = self.at(maps.shape[2])
        return maps + shift if scale is None else maps * scale + shift


def stretched(activity: Tensor, frames: int) -> Tensor:
    """Bring activity of shape (batch, 1, any frames, 1) to so many frames, evenly over the same time."""
    return F.interpolate(activity, (frames, 1), mode="bilinear", align_corners=True)


class Film(nn.Module):
    """Modulations of all layers from linear maps of the condition.

    The paper's separator uses the additive half of FiLM only: one linear layer a batch norm. They are held as one
    matrix here, which is the same function in one product.

    Parameters
    ----------
    condition_size : int
        Length of a condition.
    layer_channels : sequence of int
        Channels of each modulated layer, in the order in which the network uses them.
    settings : FilmSettings, optional

    Notes
    -----
    Kong et al. 2023, section on the FiLM-conditioned separator; Perez et al. 2018 for FiLM itself. What is not in the
    paper begins as if it were not there: scales at 1, and what follows the frames at 0.
    """

    def __init__(
        self, *, condition_size: int, layer_channels: Sequence[int], settings: FilmSettings | None = None
    ) -> None:
        super().__init__()
        settings = settings or FilmSettings()
        self.layer_channels = tuple(layer_channels)
        size = sum(self.layer_channels)
        scales, follows = settings.kind == "scale-shift", settings.framewise
        self.shift = nn.Linear(condition_size, size)
        self.scale = nn.Linear(condition_size, size) if scales else None
        self.frame_shift = nn.Linear(condition_size, size, bias=False) if follows else None
        self.frame_scale = nn.Linear(condition_size, size, bias=False) if follows and scales else None
        start = 0
        nn.init.zeros_(self.shift.bias)
        for channels in self.layer_channels:
            nn.init.xavier_uniform_(self.shift.weight.data[start : start + channels])
            start += channels
        for layer in (self.scale, self.frame_shift, self.frame_scale):
            if layer is not None:
                nn.init.zeros_(layer.weight)
        if self.scale is not None:
            nn.init.ones_(self.scale.bias)

    @property
    def hears_activity(self) -> bool:
        """Whether modulations follow the frames of a detector."""
        return self.frame_shift is not None

    def forward(self, condition: Tensor, activity: Tensor | None = None) -> tuple[Modulation, ...]:
        """Compute the modulations.

        Parameters
        ----------
        condition : Tensor of shape (batch, condition_size)
        activity : Tensor of shape (batch, frames), optional
            When the wanted class is heard, in [0, 1]; without it: all the time.

        Returns
        -------
        tuple of Modulation
        """
        if self.hears_activity and activity is None:
            activity = condition.new_ones(len(condition), 1)
        heard = None if activity is None or not self.hears_activity else activity[:, None, :, None]
        shifts = self._split(self.shift(condition))
        scales = self._values(self.scale, condition)
        frame_shifts = self._values(self.frame_shift, condition)
        frame_scales = self._values(self.frame_scale, condition)
        return tuple(
            Modulation(*of_layer, activity=heard)
            for of_layer in zip(shifts, scales, frame_shifts, frame_scales, strict=True)
        )

    def _values(self, layer: nn.Linear | None, condition: Tensor) -> Sequence[Tensor | None]:
        return [None] * len(self.layer_channels) if layer is None else self._split(layer(condition))

    def _split(self, values: Tensor) -> Sequence[Tensor]:
        parts: Sequence[Tensor] = values[:, :, None, None].split(self.layer_channels, dim=1)
        return parts
