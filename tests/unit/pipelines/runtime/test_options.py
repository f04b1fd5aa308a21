from __future__ import annotations

import pytest

from uss_ray.errors import ConfigError
from uss_ray.pipelines.runtime.options import JobOptions


@pytest.mark.parametrize("given", ["2/8", (2, 8), ["2", "8"]])
def test_a_part_can_be_given_as_text_or_numbers(given) -> None:
    assert JobOptions(shard=given).shard == (2, 8)


@pytest.mark.parametrize("given", ["0/8", "9/8", "2", "a/b", "1/2/3", (1.5, "x")])
def test_a_part_that_is_none_is_refused(given) -> None:
    with pytest.raises(ConfigError, match="shard: expected I/N, such as 1/8"):
        JobOptions(shard=given)


@pytest.mark.parametrize(
    "wrong", [{"actors": 0}, {"threads": 0}, {"limit": 0}, {"max_failed_fraction": 1.1}, {"actor": 1}]
)
def test_what_is_out_of_range_or_unknown_is_refused_by_name(wrong) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        JobOptions(**wrong)


def test_nothing_asked_for_leaves_the_choice_to_the_run() -> None:
    options = JobOptions()
    assert (options.actors, options.threads, options.shard, options.limit) == (None, None, None, None)
    assert not options.retry_failed
