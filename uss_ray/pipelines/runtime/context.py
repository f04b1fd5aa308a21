"""Settings of Ray Data for our pipelines that stay ours: the caller's context and loggers are as they were."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from ray.data import DataContext
from ray.exceptions import RaySystemError

BLOCK_BYTES = 1 << 20
"""Rows that a stage gathers before it hands them on."""

_TELLS_OF_BLOCKS = "ray.data._internal.execution.streaming_executor_state"


@contextmanager
def pipeline_context(*, cpus: float | None = None) -> Iterator[None]:
    """Make datasets with a context of their own; a dataset keeps the one that it was made with.

    Parameters
    ----------
    cpus : float or None, default=None
        What the pipeline may take of a cluster that others are on; None means all.
    """
    context = DataContext.get_current().copy()
    context.enable_progress_bars = False
    # Small blocks leave a stage as they are made; Ray would gather 128 MiB of rows before it hands them on.
    context.target_max_block_size = BLOCK_BYTES
    # An item that kills its worker each time costs its block; the driver finds what is missing and isolates it.
    context.max_errored_blocks = -1
    context.execution_options.preserve_order = False
    context.execution_options.verbose_progress = False
    context.checkpoint_config = None  # of somebody else's dataset
    if cpus is not None:
        context.execution_options.resource_limits = context.execution_options.resource_limits.copy(cpu=cpus)
    with DataContext.current(context):
        yield


class LostBlocks(logging.Filter):
    """Hears from Ray Data's log, for it tells nobody else, why a block was dropped: a task that could not even begin.

    Attributes
    ----------
    reason : str or None
        Such as that a library is missing where the task ran. A worker that died is none: that may be an item's fault.
    """

    def __init__(self, *, is_shown: bool = False) -> None:
        super().__init__()
        self.reason: str | None = None
        self._is_shown = is_shown

    def filter(self, record: logging.LogRecord) -> bool:
        """See `logging.Filter`."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, RaySystemError):
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            self.reason = lines[-1] if lines else type(error).__name__
        return self._is_shown

    def take(self) -> str | None:
        """Give the reason, and forget it."""
        reason, self.reason = self.reason, None
        return reason


@contextmanager
def quiet_ray_data(*, verbose: bool = False) -> Iterator[LostBlocks]:
    """Keep Ray Data's log and advice from the terminal while the block runs: rows and exceptions tell what fails.

    Yields
    ------
    LostBlocks
        What is told by neither.
    """
    loggers, told = logging.getLogger("ray.data"), logging.getLogger(_TELLS_OF_BLOCKS)
    level, told_level = loggers.level, told.level
    lost = LostBlocks(is_shown=verbose)
    told.addFilter(lost)
    told.setLevel(logging.ERROR)
    if not verbose:
        loggers.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            if not verbose:
                warnings.filterwarnings("ignore", category=UserWarning, module=r"ray\.data\.")
            yield lost
    finally:
        loggers.setLevel(level)
        told.setLevel(told_level)
        told.removeFilter(lost)
