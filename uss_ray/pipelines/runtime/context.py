"""Settings of Ray Data for our pipelines that stay ours: the caller's context and loggers are as they were."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from ray.data import DataContext

BLOCK_BYTES = 1 << 20
"""Rows that a stage gathers before it hands them on."""


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


@contextmanager
def quiet_ray_data(*, verbose: bool = False) -> Iterator[None]:
    """Keep Ray Data's log from the terminal while the block runs: what fails is told by rows and exceptions."""
    loggers = logging.getLogger("ray.data")
    level = loggers.level
    if not verbose:
        loggers.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        loggers.setLevel(level)
