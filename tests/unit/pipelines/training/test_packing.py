from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import uss_ray.pipelines.training.packing as packing
from tests.synthetic_set import SyntheticSet, make_synthetic_set
from uss_ray.errors import ConfigError, DataError, OutputError
from uss_ray.pipelines.training.pack_request import PackRequest
from uss_ray.pipelines.training.packing import pack_here


@pytest.fixture(scope="module")
def large_set(tmp_path_factory: pytest.TempPathFactory) -> SyntheticSet:
    """Anchors of some megabytes."""
    return make_synthetic_set(tmp_path_factory.mktemp("large"), count=120)


def files_of(root: Path) -> dict[str, bytes]:
    """Give the files of a pack but for what tells of the run."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name not in ("run.json", "summary.json") and "lease" not in path.name
    }


def request_of(synthetic_set: SyntheticSet, output: Path, **values: object) -> PackRequest:
    return PackRequest(anchors=str(synthetic_set.anchors), output=str(output), **values)


@pytest.mark.slow
def test_a_pack_that_was_cut_off_goes_on_to_the_same_bytes(
    large_set: SyntheticSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tmp_path / "whole"
    pack_here(request_of(large_set, whole, shard_mebibytes=1))
    assert len(list((whole / "shards").iterdir())) > 1
    written = []
    real = packing.write_packed_shard

    def write_one(source, plan, *, pack):
        if written:
            raise KeyboardInterrupt
        written.append(plan.number)
        return real(source, plan, pack=pack)

    broken = tmp_path / "broken"
    monkeypatch.setattr(packing, "write_packed_shard", write_one)
    with pytest.raises(KeyboardInterrupt):
        pack_here(request_of(large_set, broken, shard_mebibytes=1))
    assert not (broken / "pack.json").exists()
    monkeypatch.setattr(packing, "write_packed_shard", real)
    told = []
    pack_here(request_of(large_set, broken, shard_mebibytes=1), on_progress=lambda *done: told.append(done))
    assert len(told) == len(list((whole / "shards").iterdir())) - 1
    assert files_of(broken) == files_of(whole)
    assert not (broken / "parts").exists()


def test_a_pack_that_is_there_is_left_as_it_is(synthetic_set: SyntheticSet, tmp_path: Path) -> None:
    pack_here(request_of(synthetic_set, tmp_path / "pack"))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "pack" / "shards").iterdir()}
    pack_here(request_of(synthetic_set, tmp_path / "pack"))
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "pack" / "shards").iterdir()} == before
    with pytest.raises(OutputError, match="seed 0"):
        pack_here(request_of(synthetic_set, tmp_path / "pack", seed=1))
    told: list[float] = []
    for _ in range(2):
        other = request_of(synthetic_set, tmp_path / "pack", seed=1, overwrite=True)
        assert pack_here(other, on_progress=lambda done, _: told.append(done)).seed == 1
    assert told.count(1) == 2  # each time anew


def test_anchors_of_a_run_that_is_not_finished_are_refused(
    synthetic_set: SyntheticSet, tmp_path: Path
) -> None:
    copy = tmp_path / "anchors"
    shutil.copytree(synthetic_set.anchors, copy)
    (copy / "manifest.json").unlink()
    with pytest.raises(DataError, match="expected a finished mining run"):
        pack_here(PackRequest(anchors=str(copy), output=str(tmp_path / "pack")))


def test_a_pack_inside_its_anchors_is_refused(synthetic_set: SyntheticSet) -> None:
    with pytest.raises((ConfigError, OutputError)):
        pack_here(request_of(synthetic_set, synthetic_set.anchors / "pack"))
