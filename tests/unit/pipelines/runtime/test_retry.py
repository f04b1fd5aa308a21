"""When a job passes once more over its items, and when one is poison."""

from __future__ import annotations

import pytest

from uss_ray.pipelines.runtime.retry import PassResult, Step, next_step

COMPLETE = PassResult(missing=0)
SOME = PassResult(missing=3)
ALONE = PassResult(missing=3, was_one_by_one=True)
STALLED = PassResult(missing=3, has_stalled=True)
CUT_SHORT = PassResult(missing=0, is_listed=False)


@pytest.mark.parametrize(
    ("passes", "step"),
    [
        ([], Step.PASS_OVER_ALL),
        ([COMPLETE], Step.FINISH),
        ([SOME], Step.ISOLATE),
        ([STALLED], Step.ISOLATE),
        ([CUT_SHORT], Step.ISOLATE),  # a listing that broke off has not found everything
        ([SOME, COMPLETE], Step.FINISH),
        ([SOME, ALONE], Step.QUARANTINE),
        ([SOME, SOME], Step.FINISH),  # not one by one: each may be innocent
        ([SOME, STALLED], Step.ISOLATE),
        ([STALLED, STALLED, STALLED], Step.NO_PROGRESS),
        ([STALLED, STALLED, ALONE], Step.QUARANTINE),
        ([SOME, CUT_SHORT], Step.NO_PROGRESS),
    ],
)
def test_passes_follow_each_other_until_nothing_is_missing(passes, step):
    assert next_step(passes) is step


def test_items_that_came_back_undone_keep_the_others_out_of_quarantine():
    waiting = PassResult(missing=3, unfinished=1, was_one_by_one=True)
    assert next_step([SOME, waiting]) is Step.FINISH


@pytest.mark.parametrize("missing", [0, 3])
@pytest.mark.parametrize("before", [[], [SOME], [STALLED]])
def test_a_run_that_was_stopped_passes_over_nothing_more(before, missing):
    stopped = PassResult(missing=missing, is_stopped=True, is_listed=False)
    assert next_step([*before, stopped]) is Step.FINISH


def test_a_pass_that_stood_still_is_not_complete_although_nothing_seems_missing():
    assert next_step([PassResult(missing=0, has_stalled=True)]) is Step.ISOLATE
