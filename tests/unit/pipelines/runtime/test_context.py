"""Ray Data's settings of a pipeline end with the block, whatever happens in it."""

from __future__ import annotations

import logging
import warnings
from contextlib import suppress

import pytest
from ray.data import DataContext

from uss_ray.pipelines.runtime.context import BLOCK_BYTES, pipeline_context, quiet_ray_data


def test_the_callers_context_is_never_touched():
    before = DataContext.get_current()
    blocks, errored = before.target_max_block_size, before.max_errored_blocks
    with suppress(ZeroDivisionError), pipeline_context(cpus=1.5):
        inside = DataContext.get_current()
        assert inside is not before
        assert (inside.target_max_block_size, inside.max_errored_blocks) == (BLOCK_BYTES, -1)
        assert inside.execution_options.resource_limits.cpu == 1.5
        raise ZeroDivisionError
    assert DataContext.get_current() is before
    assert (before.target_max_block_size, before.max_errored_blocks) == (blocks, errored)
    assert before.execution_options.resource_limits.cpu != 1.5


def test_a_checkpoint_of_somebody_else_does_not_filter_our_items(monkeypatch):
    monkeypatch.setattr(DataContext.get_current(), "_checkpoint_config", "theirs")
    with pipeline_context():
        assert DataContext.get_current().checkpoint_config is None
    assert DataContext.get_current().checkpoint_config == "theirs"


@pytest.mark.parametrize(("verbose", "told"), [(False, []), (True, ["advice"])])
def test_advice_of_ray_data_is_for_who_asks_for_it(verbose, told):
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        with quiet_ray_data(verbose=verbose):
            for module in ("ray.data._internal.execution", "somebody.else"):
                warnings.warn_explicit("advice", UserWarning, "file.py", 1, module=module)
    assert [str(each.message) for each in heard] == [*told, "advice"]


@pytest.mark.parametrize(("verbose", "level"), [(False, logging.CRITICAL), (True, logging.INFO)])
def test_the_log_is_quiet_unless_asked(verbose, level):
    log = logging.getLogger("ray.data")
    before = log.level
    log.setLevel(logging.INFO)
    try:
        with suppress(ZeroDivisionError), quiet_ray_data(verbose=verbose):
            assert log.level == level
            raise ZeroDivisionError
        assert log.level == logging.INFO
    finally:
        log.setLevel(before)
