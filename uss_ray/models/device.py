"""Where networks run: from the name of a device to one that is there."""

from __future__ import annotations

import torch

from uss_ray.errors import ConfigError


def find_device(name: str | torch.device) -> torch.device:
    """Find a device; `auto` takes a GPU where there is one.

    Raises
    ------
    ConfigError
        If it does not exist.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        found = torch.device(name)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as error:
        expected = "a device of this machine (cpu, or auto, which takes a GPU where there is one)"
        raise ConfigError(f"device {name}", expected=expected, found=_missing(name, error)) from error
    return found


def _missing(name: str | torch.device, error: Exception) -> str:
    """Say what is missing, of a GPU in our own words."""
    if str(name).partition(":")[0] != "cuda":
        return str(error).splitlines()[0]
    if torch.version.cuda is None:
        return "a torch that was built without CUDA"
    count = torch.cuda.device_count()
    return f"{count} GPUs" if count else "no GPU, or no NVIDIA driver"
