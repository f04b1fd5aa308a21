from __future__ import annotations

import numpy as np
import pytest

from uss_ray.anchors.pack_plan import SourceGroups, plan_pack


def groups_of(rows: list[tuple[int, int, int, int]]) -> SourceGroups:
    """Take (shard, number, class, anchors) a row group; each anchor has 100 bytes."""
    shards, numbers, classes, counts = np.array(rows, np.int64).reshape(-1, 4).T
    return SourceGroups(shards, numbers, classes, counts, counts * 100)


@pytest.fixture
def source() -> SourceGroups:
    rng = np.random.default_rng(0)
    return groups_of(
        [(shard, number, number % 5, int(rng.integers(1, 9))) for shard in range(12) for number in range(10)]
    )


def taken(plan):
    """Give (class of the source group, shard, number, row) of each anchor, a list a packed row group."""
    classes = {
        (int(s), int(n)): int(c)
        for s, n, c in zip(plan.source.shards, plan.source.numbers, plan.source.class_indexes, strict=True)
    }
    return [
        [
            (classes[take.shard, take.number], take.shard, take.number, row)
            for take in group
            for row in range(take.first, take.stop)
        ]
        for number in range(len(plan))
        for group in plan.shard(number).groups
    ]


def test_every_anchor_is_packed_once_by_class_in_full_row_groups(source):
    groups = taken(plan_pack(source, seed=0, shard_bytes=1 << 30))
    everything = [anchor for group in groups for anchor in group]
    assert len(everything) == len(set(everything)) == source.rows.sum()
    assert [anchor[0] for anchor in everything] == sorted(anchor[0] for anchor in everything)
    for number, group in enumerate(groups):
        assert len({anchor[0] for anchor in group}) == 1
        is_last_of_class = number + 1 == len(groups) or groups[number + 1][0][0] != group[0][0]
        assert len(group) == 16 or (is_last_of_class and len(group) < 16)


def test_a_row_group_of_the_source_is_read_for_two_of_the_pack_at_most(source):
    groups = taken(plan_pack(source, seed=0, shard_bytes=1 << 30))
    uses: dict[tuple[int, int], set[int]] = {}
    for number, group in enumerate(groups):
        for _, shard, place, _ in group:
            uses.setdefault((shard, place), set()).add(number)
    assert max(map(len, uses.values())) <= 2


def test_shards_end_at_their_size_and_at_row_groups(source):
    plan = plan_pack(source, seed=0, shard_bytes=4000)
    sizes = [
        sum(take.stop - take.first for group in plan.shard(number).groups for take in group) * 100
        for number in range(len(plan))
    ]
    assert len(sizes) > 5
    assert sum(sizes) == source.bytes.sum()
    assert all(size <= 4000 + 1600 for size in sizes)


def test_the_seed_shuffles_within_a_class(source):
    one, again, other = (taken(plan_pack(source, seed=seed, shard_bytes=1 << 30)) for seed in (0, 0, 1))
    assert one == again != other


def test_nothing_gives_no_shards():
    assert len(plan_pack(groups_of([]), seed=0, shard_bytes=100)) == 0


def test_row_groups_are_cut_into_stretches_of_a_size(source):
    shard = plan_pack(source, seed=0, shard_bytes=1 << 30).shard(0)
    assert shard.sizes == tuple(100 * sum(take.stop - take.first for take in group) for group in shard.groups)
    for most, longest in ((1, 1), (3200, 5), (1 << 30, len(shard.groups))):
        stretches = list(shard.stretches(most))
        assert tuple(group for groups in stretches for group in groups) == shard.groups
        assert max(map(len, stretches)) <= longest
        of = dict(zip(shard.groups, shard.sizes, strict=True))
        assert all(len(groups) == 1 or sum(of[group] for group in groups) <= most for groups in stretches)
