"""Sets of named tensors: what a file must hold, and how they are stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from uss_ray.errors import ConfigError, WeightsError

StoredType = Literal["float32", "float16", "bfloat16"]

_NAMED_AT_MOST = 3


def stored_types(module: nn.Module, stored: StoredType) -> dict[str, torch.dtype]:
    """Tell the type of each stored tensor.

    Parameters of two dimensions or more are stored as asked; vectors, statistics and filters keep their own type, whose
    range is wider than half precision has.
    """
    half: torch.dtype = getattr(torch, stored)
    matrices = {key for key, parameter in module.named_parameters() if parameter.ndim >= 2}
    return {key: half if key in matrices else tensor.dtype for key, tensor in module.state_dict().items()}


def to_store(item: str, module: nn.Module, stored: StoredType) -> dict[str, Tensor]:
    """Give the tensors of a module in their stored types.

    Raises
    ------
    ConfigError
        If a value is not finite in its stored type.
    """
    tensors: dict[str, Tensor] = {}
    types = stored_types(module, stored)
    for key, tensor in module.state_dict().items():
        value = tensor.detach().cpu().to(types[key]).contiguous()
        if not torch.isfinite(value).all():
            raise ConfigError(f"{item} {key}", expected=f"finite values in {value.dtype}", found="NaN or Inf")
        tensors[key] = value
    return tensors


def read_into(module: nn.Module, path: Path, tensors: Mapping[str, Tensor], stored: StoredType) -> None:
    """Fill a module with the tensors of a file.

    Raises
    ------
    WeightsError
        If a tensor is missing, left over or of another shape or stored type.
    """
    blank = module.state_dict()
    check_tensors(str(path), {name: tuple(tensor.shape) for name, tensor in blank.items()}, tensors)
    for name, dtype in stored_types(module, stored).items():
        if tensors[name].dtype != dtype:
            raise WeightsError(f"{path} {name}", expected=str(dtype), found=str(tensors[name].dtype))
    module.load_state_dict({name: tensors[name].to(tensor.dtype) for name, tensor in blank.items()})


def read_file(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises
    ------
    WeightsError
        If it is none.
    """
    try:
        return load_file(path)
    except SafetensorError as error:
        raise WeightsError(str(path), expected="a safetensors file", found=str(error)) from error


def check_tensors(item: str, expected: Mapping[str, tuple[int, ...]], found: Mapping[str, Tensor]) -> None:
    """Refuse a set of tensors that is not exactly the expected one.

    Parameters
    ----------
    item : str
        Names the set in the error.
    expected : mapping of str to tuple of int
        Shapes by key.
    found : mapping of str to Tensor

    Raises
    ------
    WeightsError
        If a key is missing, left over or of another shape; names the first few and their number.
    """
    missing = [key for key in expected if key not in found]
    extra = [key for key in found if key not in expected]
    if missing or extra:
        raise WeightsError(
            item, expected=f"{len(expected)} tensors", found=describe_keys(missing=missing, extra=extra)
        )
    for key, shape in expected.items():
        if tuple(found[key].shape) != tuple(shape):
            raise WeightsError(
                f"{item} {key}", expected=f"shape {shape}", found=f"shape {tuple(found[key].shape)}"
            )


def describe_keys(*, missing: Sequence[str], extra: Sequence[str]) -> str:
    """Say in one line which keys are missing and which are left over.

    Examples
    --------
    >>> describe_keys(missing=["a"], extra=["b", "c", "d", "e"])
    '1 missing (a) and 4 unknown (b, c, d, …)'
    """
    parts = [
        f"{len(keys)} {word} ({', '.join(keys[:_NAMED_AT_MOST])}{', …' if len(keys) > _NAMED_AT_MOST else ''})"
        for word, keys in (("missing", missing), ("unknown", extra))
        if keys
    ]
    return " and ".join(parts)
