"""Key maps: which published tensors make up a network of ours, and how one is filled from them.

Every key of a file is accounted for: taken over, equal to a constant of ours, or known to be unused; any other is an
error. The names themselves belong to `published` and `published_htsat`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from uss_ray.errors import WeightsError
from uss_ray.weights.tensors import check_tensors, describe_keys

NORM_TENSORS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
COUNTER = "num_batches_tracked"
_TOLERANCE = 1e-4


@dataclass
class KeyMap:
    """Which published tensors make up a module of ours.

    Attributes
    ----------
    parts : dict of str to tuple of str
        Our key -> published keys, joined along the first axis.
    shapes : dict of str to tuple of int
        Shape of every published tensor that is taken over.
    constants : dict of str to callable
        Published key -> what it must be equal to; a file may leave it out.
    unused : dict of str to tuple of int
        Published tensors that the published program never reads, with their shapes.
    """

    parts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    constants: dict[str, Callable[[], Tensor]] = field(default_factory=dict)
    unused: dict[str, tuple[int, ...]] = field(default_factory=dict)


def add_renamed(keys: KeyMap, names: Mapping[str, str], own: Mapping[str, Tensor]) -> None:
    """Take each published tensor over as it is: `names` is ours -> published, `own` our tensors, for their shapes."""
    for ours, theirs in names.items():
        keys.parts[ours] = (theirs,)
        keys.shapes[theirs] = tuple(own[ours].shape)


def norm_keys(ours: str, theirs: str) -> Iterator[tuple[str, str]]:
    """Pair the tensors of a batch norm, ours with theirs."""
    return ((f"{ours}.{name}", f"{theirs}.{name}") for name in NORM_TENSORS)


def linear_keys(ours: str, theirs: str) -> Iterator[tuple[str, str]]:
    """Pair weight and bias of a linear layer, convolution or layer norm, ours with theirs."""
    return ((f"{ours}.{name}", f"{theirs}.{name}") for name in ("weight", "bias"))


def fill(item: str, module: nn.Module, keys: KeyMap, state: Mapping[str, Tensor]) -> None:
    """Check every tensor of a published file against the map, then fill a module with them.

    Parameters
    ----------
    item : str
        Names the file in errors.
    module : nn.Module
        Is left in evaluation mode.
    keys : KeyMap
    state : mapping of str to Tensor

    Raises
    ------
    WeightsError
        If a tensor is missing, unknown, of another shape or not finite, or a constant is another.
    """
    # Programs older than the counter of batch norms left it out; it only matters in training.
    given = dict(state) | {
        key: torch.zeros((), dtype=torch.int64)
        for key in (*keys.shapes, *keys.unused)
        if key.endswith(COUNTER) and key not in state
    }
    check_tensors(
        item,
        keys.shapes | keys.unused,
        {key: value for key, value in given.items() if key not in keys.constants},
    )
    for key, constant in keys.constants.items():
        if key in given:
            check_constant(f"{item} {key}", constant(), given[key])
    for key in keys.shapes:
        if not torch.isfinite(given[key]).all():
            raise WeightsError(f"{item} {key}", expected="finite values", found="NaN or Inf")
    tensors = {
        ours: given[theirs[0]] if len(theirs) == 1 else torch.cat([given[key] for key in theirs])
        for ours, theirs in keys.parts.items()
    }
    module.load_state_dict(tensors)
    module.eval()


def _fourier(window_samples: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine tables of shape (window_samples, window_samples), symmetric."""
    steps = torch.arange(window_samples)
    angles = (2.0 * math.pi / window_samples) * torch.outer(steps, steps).remainder(window_samples).double()
    return angles.cos(), angles.sin()


def _hann(window_samples: int) -> Tensor:
    return torch.hann_window(window_samples, dtype=torch.float64)


def stft_constants(prefix: str, window_samples: int) -> dict[str, Callable[[], Tensor]]:
    """Give the transforms that the published programs hold as kernels of shape (bins, 1, window)."""
    bins, window = window_samples // 2 + 1, _hann(window_samples)
    return {
        f"{prefix}conv_real.weight": lambda: (_fourier(window_samples)[0][:bins] * window)[:, None, :],
        f"{prefix}conv_imag.weight": lambda: (-_fourier(window_samples)[1][:bins] * window)[:, None, :],
    }


def inverse_stft_constants(prefix: str, window_samples: int) -> dict[str, Callable[[], Tensor]]:
    """Give the inverse transforms that the published programs hold as kernels of shape (window, window, 1)."""
    window = _hann(window_samples)
    scale = (window / window_samples)[:, None]
    return {
        f"{prefix}conv_real.weight": lambda: (_fourier(window_samples)[0] * scale)[:, :, None],
        f"{prefix}conv_imag.weight": lambda: (_fourier(window_samples)[1] * scale)[:, :, None],
        f"{prefix}ola_window": lambda: window.square(),
    }


def check_only_constants(
    item: str, state: Mapping[str, Tensor], constants: Mapping[str, Callable[[], Tensor]]
) -> None:
    """Refuse tensors that are no constants of ours, or other ones."""
    extra = [key for key in state if key not in constants]
    if extra:
        raise WeightsError(item, expected="known keys", found=describe_keys(missing=[], extra=extra))
    for key, value in state.items():
        check_constant(f"{item} {key}", constants[key](), value)


def check_constant(item: str, expected: Tensor, found: Tensor) -> None:
    """Refuse a constant that differs from ours by more than 1e-4 of its peak."""
    if expected.shape != found.shape:
        raise WeightsError(
            item, expected=f"shape {tuple(expected.shape)}", found=f"shape {tuple(found.shape)}"
        )
    peak = float(expected.abs().max())
    deviation = float((expected.double() - found.double()).abs().max())
    if not deviation <= _TOLERANCE * peak:
        raise WeightsError(
            item,
            expected="the constant of this front end",
            found=f"one that differs by {deviation / peak:.1e} of its peak",
        )
