"""How networks round: what is set around a forward so that the same rows give the same bits, wherever and when."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import RLock

import torch

from uss_ray.models.precision import Precision

_switches = RLock()


@contextmanager
def inference(precision: Precision = "float32", *, device: torch.device) -> Iterator[None]:
    """Run networks without gradients, rounded as asked, by kernels that always give the same bits.

    Parameters
    ----------
    precision : {"float32", "tfloat32", "bfloat16"}, default="float32"
        Without effect on a CPU, which computes in float32.
    device : torch.device
        Where the networks are.

    Notes
    -----
    What torch itself calls float32 is tfloat32 for the convolutions of a GPU. There a row's bits were seen to depend on
    its place in the batch, and probabilities to move by 3e-4 (docs/adr/0024). The switches are those of the process
    and are put back; on a GPU one thread at a time sets them.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        if device.type == "cuda":
            stack.enter_context(_switches)
            is_rounded = precision == "tfloat32"
            stack.enter_context(
                torch.backends.cudnn.flags(
                    enabled=True, benchmark=False, deterministic=True, allow_tf32=is_rounded
                )
            )
            stack.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
            torch.set_float32_matmul_precision("high" if is_rounded else "highest")
            if precision == "bfloat16":
                stack.enter_context(torch.autocast("cuda", dtype=torch.bfloat16))
        yield
