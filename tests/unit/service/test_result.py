"""What can be read of a result, wherever it lies."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile

import numpy as np
import pytest

from tests.unit.service.answers import DOG, NAMES, SOUND, answer_of, flac, row_of, stems_of, work_of
from uss_ray.errors import OutputError
from uss_ray.service import result
from uss_ray.service.backend import Answer
from uss_ray.service.kept import KeptResults
from uss_ray.service.problems import Refusal
from uss_ray.service.result import Result
from uss_ray.store.store import Store


def test_stems_are_read_in_place(made: Result) -> None:
    for name, content in answer_of(SOUND).files.items():
        assert b"".join(made.part(name).read(0, len(content) + 5)) == content
        assert b"".join(made.part(name).read(10, 20)) == content[10:20]


@pytest.mark.parametrize(
    ("start", "frames"), [(0, 8000), (7_777, 4000), (19_990, 100), (20_000, 5), (10**9, 5)]
)
def test_a_window_holds_all_stems_side_by_side(made: Result, start: int, frames: int) -> None:
    window = made.window(NAMES, start=start, frames=frames)
    stems = stems_of(SOUND)
    expected = np.stack([stems[name][:, start : start + frames].T for name in NAMES], axis=1)
    assert window.shape == expected.shape
    assert np.abs(window - np.rint(expected * 32767)).max(initial=0) <= 1
    assert not (window[:, 0] + window[:, 1]).any()  # what cancels, cancels to the bit


def test_a_stem_of_a_span_has_silence_around_it(results: KeptResults) -> None:
    bark = SOUND[:, :1000]
    span = {
        "start_seconds": 0.5, "end_seconds": 0.6, "stem_uri": "query/dog/0.flac", "stem_sha256": "0", "stem_bytes": 1,
        "stem_start_frame": 4000,
    }  # fmt: skip
    answer = Answer(rows=[row_of(DOG, active_spans=[span])], files={"query/dog/0.flac": flac(bark)}, run={})
    made = results.keep(work_of(SOUND), answer, tenant="one", seconds=60)
    window = made.window(["query/dog/0.flac"], start=3500, frames=2000)[:, 0]
    assert not window[:500].any()
    assert np.abs(window[500:1500] - np.rint(bark.T * 32767)).max() <= 1
    assert not window[1500:].any()
    assert not made.window(["query/dog/0.flac"], start=0, frames=4000).any()


def test_what_is_too_much_or_not_there_is_refused(made: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refusal, match=r"query/cow\.flac: expected a stem of this result") as raised:
        made.window(["query/cow.flac"], start=0, frames=5)
    assert raised.value.status == 404
    monkeypatch.setattr(result, "WINDOW_SAMPLES", 100)
    with pytest.raises(Refusal, match="at most 100 samples") as raised:
        made.window(NAMES, start=0, frames=17)
    assert raised.value.status == 413


def test_some_stems_are_zipped_as_they_are_read(made: Result) -> None:
    blocks = list(made.zipped([*NAMES[:2], NAMES[0]]))
    with zipfile.ZipFile(io.BytesIO(b"".join(blocks))) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["index.json", *NAMES[:2]]
        assert json.loads(archive.read("index.json"))["frames"] == 20_000
        assert archive.read(NAMES[0]) == answer_of(SOUND).files[NAMES[0]]
    with pytest.raises(Refusal, match="none"):
        made.zipped(["query/cow.flac"])


def test_what_is_drawn_of_a_long_recording_is_a_part_of_it(
    made: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = list(made.seen(NAMES[:1]))
    assert sum(block.shape[1] for _, block in whole) == made.seen_frames == made.frames
    monkeypatch.setattr(result, "_BLOCK_FRAMES", 1000)
    monkeypatch.setattr(result, "_SEEN_BLOCKS", 4)
    assert made.seen_frames == 4000
    stretches = list(made.seen(NAMES))
    assert [start for start, _ in stretches] == [0, 5000, 10_000, 15_000]
    for start, block in stretches:  # dog and cat cancel
        assert np.abs(block - SOUND[:, start : start + 1000]).max() < 1e-4


@pytest.mark.parametrize("blocks", [4, 19])
def test_of_a_long_recording_that_lies_far_away_stretches_are_read_side_by_side(
    made: Result, monkeypatch: pytest.MonkeyPatch, blocks: int
) -> None:
    far = KeptResults(Store("memory://far", error=OutputError))
    there = far.keep(work_of(SOUND), answer_of(SOUND), tenant="one", seconds=60)
    monkeypatch.setattr(result, "_BLOCK_FRAMES", 1000)
    monkeypatch.setattr(result, "_SEEN_BLOCKS", blocks)
    for (start, block), (wanted, here) in zip(there.seen(NAMES), made.seen(NAMES), strict=True):
        assert start == wanted
        assert np.array_equal(block, here)


def test_what_no_wav_file_can_hold_is_not_mixed(made: Result) -> None:
    hours = dataclasses.replace(made, index={**made.index, "frames": 1 << 30})
    with pytest.raises(Refusal, match="mix: expected at most"):
        hours.mixed({NAMES[0]: 1.0})
