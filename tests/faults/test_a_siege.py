"""Everything at once, in one output: kills, two writers, changed inputs, a full disk. `verify` finds nothing then."""

from __future__ import annotations

import pytest

from tests.faults.siege import CPUS, LONG, Siege, besiege, write_again, write_archive
from tests.own_cluster import own_cluster

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


def test_after_everything_that_can_happen_the_stems_are_those_of_an_undisturbed_run(tiny_weights, tmp_path):
    names = write_archive(tmp_path / "in", short=6, spans=3, pitch=500)
    write_archive(tmp_path / "calm", short=6, spans=3, pitch=500)
    for name in (LONG, *names[1:4]):
        write_again(tmp_path / "in" / name)
    with own_cluster(cpus=CPUS) as cluster:
        siege = Siege(
            tmp_path / "in", tmp_path / "calm", str(tmp_path / "out"), str(tiny_weights), tmp_path / "logs",
            address=cluster.address, seed=4,
        )  # fmt: skip
        counts = besiege(siege, kills=3, names=names)
        siege.close()
    assert counts == {"stems": counts["stems"], "missing": 0, "extra": 0, "differ": 0}
    assert counts["stems"] == 7 * 4  # three sounds and what is left
