"""How parameters lie in memory."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def lay_out_channels_last(network: Network) -> Network:
    """Store convolution weights channels last, which their kernels run up to three times faster on, on CPU and GPU.

    Parameters
    ----------
    network : Module
        Changed in place; its function stays the same.

    Returns
    -------
    Module
        The same.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
    return network
