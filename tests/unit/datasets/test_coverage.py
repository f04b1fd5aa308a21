from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tests.mp4 import encoded_mp4
from tests.unit.datasets.conftest import PACKERS, RATE, SECONDS, Tones, encoded, tone
from uss_ray.datasets.clip_sources import open_clip_source
from uss_ray.datasets.coverage import ClipProblem, Coverage, check_coverage
from uss_ray.datasets.labelled_clips import join_clips
from uss_ray.datasets.segment_table import SegmentTable
from uss_ray.datasets.segments import ClipRecord
from uss_ray.errors import ConfigError
from uss_ray.ontology.classes import ClassList

CLASSES = ClassList(("/m/0", "/m/1", "/m/2"), ("Zero", "One", "Two"), name="test")
MINI = Path(os.environ.get("USS_RAY_AUDIOSET_MINI", "../shared/data/audioset_mini"))


def table_of(labels: dict[str, tuple[int, ...]]) -> SegmentTable:
    return SegmentTable.from_records(
        ClipRecord(clip_id, 0.0, SECONDS, indexes) for clip_id, indexes in labels.items()
    )


def check(table: SegmentTable, folder: Path, **options: object) -> tuple[Coverage, list[ClipProblem]]:
    problems: list[ClipProblem] = []
    source = open_clip_source(str(folder))
    coverage = check_coverage(table, sources=[source], classes=CLASSES, on_problem=problems.append, **options)
    return coverage, problems


@pytest.mark.parametrize("container", list(PACKERS))
def test_a_complete_set_is_complete_in_every_container(container: str, tones: Tones, tmp_path: Path) -> None:
    PACKERS[container](tones, str(tmp_path))
    coverage, problems = check(table_of(dict.fromkeys(tones, (0, 1))), tmp_path)
    assert coverage.is_complete
    assert not problems
    assert (coverage.labelled, coverage.found, coverage.probed) == (4, 4, 4)
    assert coverage.hours == pytest.approx(4 * SECONDS / 3600)
    assert [row.found for row in coverage.classes] == [4, 4, 0]
    assert [row.label for row in coverage.classes_without_clips] == ["Two"]


def test_m4a_files_count_as_clips(tmp_path: Path) -> None:
    pytest.importorskip("av")
    (tmp_path / "Ya.m4a").write_bytes(encoded_mp4(tone(300)[None], rate=RATE))
    (tmp_path / "Yb.m4a").write_bytes(encoded_mp4(tone(300)[None], rate=RATE)[:1000])
    coverage, problems = check(table_of({"a": (0,), "b": (1,)}), tmp_path)
    assert coverage.found == 2
    assert [(problem.problem, problem.clip_id) for problem in problems] == [("unreadable", "b")]
    assert coverage.hours == pytest.approx(SECONDS / 3600)


def test_every_kind_of_problem_is_counted_by_class_and_named(tmp_path: Path) -> None:
    (tmp_path / "a.flac").write_bytes(encoded(tone(300)))
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "Ya.wav").write_bytes(encoded(tone(300), kind="WAV"))
    (tmp_path / "broken.flac").write_bytes(b"fLaC and no more")
    (tmp_path / "short.flac").write_bytes(encoded(tone(300, seconds=0.25)))
    (tmp_path / "stranger.flac").write_bytes(encoded(tone(300)))
    labels = {"a": (0,), "broken": (0, 1), "short": (1,), "gone": (1, 2)}
    coverage, problems = check(table_of(labels), tmp_path)
    assert {problem.problem: problem.clip_id for problem in problems} == {
        "duplicated": "a",
        "unreadable": "broken",
        "short": "short",
        "missing": "gone",
    }
    counts = [
        (row.labelled, row.found, row.missing, row.duplicated, row.unreadable, row.short)
        for row in coverage.classes
    ]
    assert counts == [(2, 2, 0, 1, 1, 0), (3, 2, 1, 0, 1, 1), (1, 0, 1, 0, 0, 0)]
    assert coverage.unlabelled == 1
    assert coverage.hours == pytest.approx(2 * SECONDS / 3600)
    assert not coverage.is_complete
    assert not coverage.is_empty


def test_of_a_clip_that_is_there_twice_what_would_be_mined_has_to_be_readable(
    tones: Tones, tmp_path: Path
) -> None:
    name = next(iter(tones))
    for folder, content in (("a", b"fLaC and no more"), ("b", encoded(tone(300)))):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{name}.flac").write_bytes(content)
    table = table_of({name: (0,)})
    [mined, _] = [
        clip for reader in open_clip_source(str(tmp_path)).readers for clip in join_clips(reader, table=table)
    ]
    coverage, problems = check(table, tmp_path)
    assert mined.audio.location.endswith(f"a/{name}.flac")
    assert (coverage.unreadable, coverage.duplicated, coverage.hours) == (1, 1, 0)
    told = [problem.location for problem in problems if problem.problem == "unreadable"]
    assert told == [mined.audio.location]
    assert coverage.is_empty
    mined_place, other = tmp_path / "a" / f"{name}.flac", tmp_path / "b" / f"{name}.flac"
    mined_place.write_bytes(other.read_bytes())
    other.write_bytes(b"fLaC and no more")
    coverage, problems = check(table, tmp_path)
    assert coverage.is_complete
    assert [problem.problem for problem in problems] == ["duplicated"]


def test_a_clip_whose_copies_are_all_broken_is_told_of_once(tones: Tones, tmp_path: Path) -> None:
    sources = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.flac").write_bytes(b"fLaC and no more")
        sources.append(open_clip_source(str(tmp_path / folder)))
    problems: list[ClipProblem] = []
    coverage = check_coverage(
        table_of({"x": (0,)}), sources=sources, classes=CLASSES, on_problem=problems.append
    )
    assert coverage.unreadable == sum(problem.problem == "unreadable" for problem in problems) == 1


def test_a_sample_reads_as_many_headers_as_it_says(tones: Tones, tmp_path: Path) -> None:
    PACKERS["files"](tones, str(tmp_path))
    table = table_of(dict.fromkeys(tones, (0,)))
    assert [check(table, tmp_path, sample=size)[0].probed for size in (0, 2, 9)] == [0, 2, 4]
    with pytest.raises(ConfigError, match="sample"):
        check(table, tmp_path, sample=-1)


def test_a_broken_container_is_counted_once_and_is_not_fatal(tones: Tones, tmp_path: Path) -> None:
    PACKERS["tar"](tones, str(tmp_path))
    shard = tmp_path / "shard-1.tar.gz"
    shard.write_bytes(shard.read_bytes()[:2000])
    coverage, problems = check(table_of(dict.fromkeys(tones, (0,))), tmp_path)
    assert coverage.broken_containers == 1
    assert [problem.location for problem in problems if problem.problem == "container"] == [str(shard)]
    assert coverage.found + coverage.missing == 4
    assert coverage.missing + coverage.unreadable == sum(p.problem != "container" for p in problems) > 0
    assert not coverage.is_complete


@pytest.mark.skipif(not MINI.is_dir(), reason="no audioset_mini")
def test_a_real_set_is_complete() -> None:
    classes = ClassList.load()
    table = SegmentTable.load(
        [MINI / "metadata" / "eval_segments.csv"],
        class_index={class_id: index for index, class_id in enumerate(classes.ids)},
    )
    source = open_clip_source(str(MINI / "audio" / "eval"))
    coverage = check_coverage(table, sources=[source], classes=classes)
    assert coverage.is_complete
    assert coverage.found == coverage.probed == 322
    assert sum(row.found > 0 for row in coverage.classes) > 100
    assert np.isclose(coverage.hours, 322 * 10 / 3600)
