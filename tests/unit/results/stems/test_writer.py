"""Blocks of the engine become stems, residuals and rows."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.memory import least_peak_bytes
from tests.unit.results.conftest import (
    RATE,
    FadedScene,
    FakeBlock,
    Floats,
    blocks_of,
    faded_scene,
    write_stems,
)
from uss_ray.errors import ConfigError, OutputError, RecordingError, UssRayError
from uss_ray.results.blocks import StemRequest
from uss_ray.results.events import events_table
from uss_ray.results.index.table import RecordingFacts, RunFacts
from uss_ray.results.labels import LabelledRecording
from uss_ray.results.layout import report_sound_path
from uss_ray.results.stems.written import WrittenRecording

DOG = StemRequest(key="/m/0bt9lr", label="Dog", level=2)
CAT = StemRequest(key="/m/01yrx", label="Cat", level=2)
BIRD = StemRequest(key="/m/015p6", label="Bird <script>", level=2)
ANIMAL = StemRequest(key="/m/0jbk", label="Animal", level=1)
QUERY = StemRequest(key="query:mine", label="Mine", kind="example")
STEMS = [DOG, CAT, BIRD, ANIMAL, QUERY]


@dataclasses.dataclass
class Scene:
    mixture: Floats
    estimates: dict[str, Floats]

    def blocks(self) -> Iterator[FakeBlock]:
        return blocks_of(self.mixture, self.estimates, keys=[stem.key for stem in STEMS])


@pytest.fixture
def scene(recording_facts: RecordingFacts) -> Scene:
    """Dog from 2 s on, cat too soft to hear, bird never, animal always, a query in the last block."""
    noise = np.random.default_rng(1)
    frames = recording_facts.frames or 0
    dog, cat, animal, query = (noise.normal(0, 0.2, (2, frames)).astype(np.float32) for _ in range(4))
    dog[:, : 2 * RATE] = 0
    query[:, : 5 * RATE] = 0
    cat *= np.float32(1e-4)
    mixture = (dog + cat + noise.normal(0, 0.1, dog.shape)).astype(np.float32)
    return Scene(mixture, {DOG.key: dog, CAT.key: cat, ANIMAL.key: animal, QUERY.key: query})


def written(
    root: Path, scene: Scene, recording: RecordingFacts, run: RunFacts, **options: Any
) -> WrittenRecording:
    options = {"stems": STEMS, "stem_format": "wav", "subtype": "FLOAT", "draw": False} | options
    return write_stems(scene.blocks(), root=root, recording=recording, run=run, **options)


def read(root: Path, uri: str | None) -> Floats:
    assert uri is not None
    samples, rate = soundfile.read(root / uri, dtype="float32", always_2d=True)
    assert rate == RATE
    return samples.T


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


@pytest.fixture
def result(
    tmp_path: Path, scene: Scene, recording_facts: RecordingFacts, run_facts: RunFacts
) -> WrittenRecording:
    return written(tmp_path, scene, recording_facts, run_facts)


def test_each_node_gets_one_row_and_only_what_is_heard_a_file(
    tmp_path: Path, result: WrittenRecording
) -> None:
    assert [(row.label, row.level, row.kind, row.status) for row in result.rows] == [
        ("Dog", 2, "node", "written"),
        ("Cat", 2, "node", "silent"),
        ("Bird <script>", 2, "node", "absent"),
        ("Animal", 1, "node", "written"),
        ("Mine", None, "example", "written"),
        ("Residual", 2, "residual", "written"),
        ("Residual", 1, "residual", "written"),
        ("Residual", None, "residual", "written"),
    ]
    assert files(tmp_path) == sorted(row.stem_uri for row in result.rows if row.stem_uri)
    assert "field trip/å.wav/level-2/dog__m_0bt9lr.wav" in files(tmp_path)
    assert "field trip/å.wav/query/mine.wav" in files(tmp_path)


def test_stems_have_the_length_of_the_recording_and_zeros_where_inactive(
    tmp_path: Path, result: WrittenRecording, scene: Scene
) -> None:
    for row, key in ((result.rows[0], DOG.key), (result.rows[4], QUERY.key)):
        np.testing.assert_array_equal(read(tmp_path, row.stem_uri), scene.estimates[key])


def test_the_stems_of_a_level_and_its_residual_sum_to_the_mixture(
    tmp_path: Path, result: WrittenRecording, scene: Scene
) -> None:
    for level in (1, 2, None):
        stems = [read(tmp_path, row.stem_uri) for row in result.rows if row.level == level and row.stem_uri]
        assert len(stems) == 2
        np.testing.assert_allclose(sum(stem.astype(np.float64) for stem in stems), scene.mixture, atol=1e-6)


def test_rows_tell_level_peak_checksum_and_spans_of_the_stem(
    tmp_path: Path, result: WrittenRecording, scene: Scene
) -> None:
    row, dog = result.rows[0], scene.estimates[DOG.key]
    path = tmp_path / str(row.stem_uri)
    assert row.stem_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert row.stem_bytes == path.stat().st_size
    assert row.level_db == pytest.approx(10 * np.log10(np.mean(dog.astype(float) ** 2)), abs=1e-3)
    assert row.peak_db == pytest.approx(20 * np.log10(np.abs(dog).max()), abs=1e-3)
    assert [(span.start_seconds, span.end_seconds) for span in row.active_spans] == [(2.0, 5 + 321 / RATE)]
    assert (row.probability, row.frames, row.channels, row.sample_rate) == (0.75, dog.shape[1], 2, RATE)
    assert row.format == "WAV/FLOAT"


def test_everything_is_silent_in_a_silent_recording(
    tmp_path: Path, scene: Scene, recording_facts: RecordingFacts, run_facts: RunFacts
) -> None:
    quiet = Scene(np.zeros_like(scene.mixture), {})
    result = written(tmp_path, quiet, recording_facts, run_facts)
    assert {row.status for row in result.rows[:5]} == {"absent"}
    assert {row.status for row in result.rows[5:]} == {"silent"}
    assert all(row.level_db is None for row in result.rows)
    assert files(tmp_path) == []


def test_no_residual_is_written_when_none_is_wanted(
    tmp_path: Path, scene: Scene, recording_facts: RecordingFacts, run_facts: RunFacts
) -> None:
    result = written(tmp_path, scene, recording_facts, run_facts, residual=False)
    assert len(result.rows) == len(STEMS)
    assert not any("residual" in name for name in files(tmp_path))


def test_stems_that_would_share_a_name_do_not_overwrite_each_other(
    tmp_path: Path, scene: Scene, recording_facts: RecordingFacts, run_facts: RunFacts
) -> None:
    labels = ["Residual", "residual!", "Same", "same?", "SAME"]
    stems = [
        dataclasses.replace(stem, level=None, label=label) for stem, label in zip(STEMS, labels, strict=True)
    ]
    scene.estimates = {stem.key: scene.estimates[DOG.key] for stem in stems}
    result = written(tmp_path, scene, recording_facts, run_facts, stems=stems)
    names = [Path(row.stem_uri or "").name for row in result.rows]
    assert names == [
        "residual-2.wav",
        "residual-3.wav",
        "same.wav",
        "same-2.wav",
        "same-3.wav",
        "residual.wav",
    ]


def test_flac_in_24_bits_is_a_step_from_the_estimates(
    tmp_path: Path, scene: Scene, recording_facts: RecordingFacts, run_facts: RunFacts
) -> None:
    result = written(tmp_path, scene, recording_facts, run_facts, stem_format="flac", subtype="PCM_24")
    assert result.rows[0].format == "FLAC/PCM_24"
    assert str(result.rows[0].stem_uri).endswith(".flac")
    clipped = np.clip(scene.estimates[DOG.key], -1, 1)
    np.testing.assert_allclose(read(tmp_path, result.rows[0].stem_uri), clipped, atol=2.0**-22)


@pytest.mark.parametrize("fail_at", [0, 1, 4])
def test_a_failure_midway_leaves_no_file(
    tmp_path: Path, scene: Scene, recording_facts: RecordingFacts, run_facts: RunFacts, fail_at: int
) -> None:
    def failing() -> Iterator[FakeBlock]:
        yield from itertools.islice(scene.blocks(), fail_at)
        raise RecordingError("å.wav", expected="samples", found="a broken frame")

    with pytest.raises(RecordingError, match="broken frame"):
        write_stems(
            failing(), stems=STEMS, root=tmp_path, recording=recording_facts, run=run_facts, draw=False
        )
    assert files(tmp_path) == []


def test_a_stem_that_cannot_be_committed_takes_the_committed_ones_with_it(
    tmp_path: Path, scene: Scene, recording_facts: RecordingFacts, run_facts: RunFacts
) -> None:
    (tmp_path / "field trip/å.wav/query/residual.wav/in the way").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"residual\.wav"):
        written(tmp_path, scene, recording_facts, run_facts)
    assert files(tmp_path) == []


def test_a_root_that_is_a_file_is_an_error_that_names_it(
    tmp_path: Path, scene: Scene, recording_facts: RecordingFacts, run_facts: RunFacts
) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match="out"):
        written(tmp_path / "out", scene, recording_facts, run_facts)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda blocks: blocks[1:], "from frame 0"),
        (lambda blocks: blocks[:2] + blocks[3:], "from frame 16000"),
        (lambda blocks: blocks[:-1], "40321 samples"),
        (lambda blocks: [], "at least one sample"),
        (lambda blocks: [dataclasses.replace(blocks[0], mixture=blocks[0].mixture[:1])], "shape"),
    ],
)
def test_blocks_that_are_not_the_whole_recording_are_refused(
    tmp_path: Path,
    scene: Scene,
    recording_facts: RecordingFacts,
    run_facts: RunFacts,
    spoil: Any,
    message: str,
) -> None:
    blocks = spoil(list(scene.blocks()))
    with pytest.raises(RecordingError, match=message):
        write_stems(blocks, stems=STEMS, root=tmp_path, recording=recording_facts, run=run_facts, draw=False)
    assert files(tmp_path) == []


def test_the_length_may_be_unknown_beforehand(
    tmp_path: Path, scene: Scene, recording_facts: RecordingFacts, run_facts: RunFacts
) -> None:
    open_ended = dataclasses.replace(recording_facts, frames=None)
    result = written(tmp_path, scene, open_ended, run_facts)
    assert result.recording.frames == scene.mixture.shape[1] == result.rows[0].frames


@pytest.mark.parametrize(
    "change", [{"stems": [DOG, DOG]}, {"recording": RecordingFacts(recording_id="a", recording_uri="a")}]
)
def test_requests_that_make_no_sense_are_refused(
    tmp_path: Path, recording_facts: RecordingFacts, run_facts: RunFacts, change: dict[str, Any]
) -> None:
    options: dict[str, Any] = {"stems": STEMS, "recording": recording_facts} | change
    with pytest.raises(ConfigError):
        write_stems([], root=tmp_path, run=run_facts, **options)


def test_the_report_gets_pictures_of_what_was_written(
    tmp_path: Path, scene: Scene, recording_facts: RecordingFacts, run_facts: RunFacts
) -> None:
    result = written(tmp_path, scene, recording_facts, run_facts, draw=True)
    portrait = result.portrait
    assert portrait is not None
    assert set(portrait.spectrograms) == {(row.level, row.node_id) for row in result.rows if row.stem_uri}
    dog = portrait.spectrograms[DOG.level, DOG.key].power_db
    onset = int(np.flatnonzero(dog.max(axis=0) > -60)[0]) / dog.shape[1]
    assert onset == pytest.approx(2 * RATE / result.recording.frames, abs=0.02)
    assert portrait.mixture_spectrogram.power_db.shape[1] == pytest.approx(dog.shape[1], abs=1)
    copy = soundfile.info(tmp_path / report_sound_path(result.recording.recording_id))
    assert copy.format == "MP3"
    assert portrait.heard_seconds == result.recording.seconds == pytest.approx(copy.duration, abs=0.15)


SPANS = faded_scene({DOG.key: "##..#.", CAT.key: ".....#", BIRD.key: "......"})


def written_spans(
    root: Path, recording: RecordingFacts, run: RunFacts, *, scene: FadedScene = SPANS, per_block: int = 1
) -> WrittenRecording:
    return write_stems(
        scene.blocks(per_block=per_block),
        stems=STEMS[: scene.active.shape[1]],
        root=root,
        recording=recording,
        run=run,
        write="active-spans",
        stem_format="wav",
        subtype="FLOAT",
        fade_seconds=scene.fade_seconds,
        draw=False,
    )


@pytest.mark.parametrize("per_block", [1, 2, 3, 6])
def test_each_active_span_is_a_file_with_half_a_fade_on_both_sides(
    tmp_path: Path, recording_facts: RecordingFacts, run_facts: RunFacts, per_block: int
) -> None:
    result = written_spans(tmp_path, recording_facts, run_facts, per_block=per_block)
    half, frames = RATE // 8, SPANS.frames
    expected = {
        DOG.key: [(0.0, 2.0, 0, 2 * RATE + half), (4.0, 5.0, 4 * RATE - half, 5 * RATE + 321)],
        CAT.key: [(5.0, frames / RATE, 5 * RATE - half, frames)],
        BIRD.key: [],
    }
    for row in result.rows:
        assert [(span.start_seconds, span.end_seconds) for span in row.active_spans] == [
            (start, end) for start, end, _, _ in expected[row.node_id]
        ]
        for span, (_, _, first, last) in zip(row.active_spans, expected[row.node_id], strict=True):
            assert span.stem_start_frame == first
            samples = read(tmp_path, span.stem_uri)
            np.testing.assert_array_equal(samples, SPANS.estimates[row.node_id][:, first:last])
            path = tmp_path / str(span.stem_uri)
            assert span.stem_bytes == path.stat().st_size
            assert span.stem_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert files(tmp_path) == [
        "field trip/å.wav/level-2/cat__m_01yrx/000004.875.wav",
        "field trip/å.wav/level-2/dog__m_0bt9lr/000000.000.wav",
        "field trip/å.wav/level-2/dog__m_0bt9lr/000003.875.wav",
    ]


def test_rows_of_spans_measure_as_much_as_those_of_stems_and_there_is_no_residual(
    tmp_path: Path, recording_facts: RecordingFacts, run_facts: RunFacts
) -> None:
    spans = written_spans(tmp_path / "spans", recording_facts, run_facts)
    stems = write_stems(
        SPANS.blocks(),
        stems=STEMS[:3],
        root=tmp_path / "stems",
        recording=recording_facts,
        run=run_facts,
        residual=False,
    )
    assert len(spans.rows) == len(stems.rows) == 3
    for of_spans, of_stem in zip(spans.rows, stems.rows, strict=True):
        for name in ("node_id", "status", "probability", "level_db", "peak_db", "active_seconds", "frames"):
            assert getattr(of_spans, name) == getattr(of_stem, name)
        assert of_spans.stem_uri is None


def test_a_span_that_is_never_heard_has_no_file_and_one_beside_it_has(
    tmp_path: Path, recording_facts: RecordingFacts, run_facts: RunFacts
) -> None:
    scene = faded_scene({DOG.key: "5.#.55", CAT.key: "6....."})
    result = written_spans(tmp_path, recording_facts, run_facts, scene=scene)
    dog, cat = result.rows
    assert (dog.status, cat.status) == ("written", "silent")
    assert [span.stem_uri is not None for span in dog.active_spans] == [False, True, False]
    assert len(files(tmp_path)) == dog.stem_files == 1


def test_a_failure_takes_the_files_of_finished_spans_with_it(
    tmp_path: Path, recording_facts: RecordingFacts, run_facts: RunFacts
) -> None:
    def failing() -> Iterator[FakeBlock]:
        yield from itertools.islice(SPANS.blocks(), 4)
        assert len(files(tmp_path)) == 2  # a span's, and what the page plays of the recording
        raise RecordingError("å.wav", expected="samples", found="a broken frame")

    with pytest.raises(RecordingError, match="broken frame"):
        write_stems(
            failing(),
            stems=STEMS[:3],
            root=tmp_path,
            recording=recording_facts,
            run=run_facts,
            write="active-spans",
        )
    assert files(tmp_path) == []


def test_an_index_alone_needs_no_estimates(
    tmp_path: Path, recording_facts: RecordingFacts, run_facts: RunFacts
) -> None:
    blocks = (dataclasses.replace(block, estimates={}) for block in SPANS.blocks(per_block=2))
    result = write_stems(
        blocks,
        stems=STEMS[:3],
        root=tmp_path,
        recording=recording_facts,
        run=run_facts,
        write="index-only",
        draw=False,
    )
    assert [row.status for row in result.rows] == ["detected", "detected", "absent"]
    assert [row.active_seconds for row in result.rows] == pytest.approx([3.0, 321 / RATE, 0.0])
    assert all(row.probability is not None and row.level_db is None for row in result.rows)
    assert files(tmp_path) == []


@pytest.mark.parametrize("write", ["stems", "active-spans"])
def test_what_is_kept_does_not_depend_on_the_length_of_blocks(
    tmp_path: Path, recording_facts: RecordingFacts, run_facts: RunFacts, write: Any
) -> None:
    scene = faded_scene({DOG.key: "555#55", CAT.key: "55.5.#"})
    results = []
    for per_block in (1, 2, 4, 6):
        root = tmp_path / str(per_block)
        write_stems(
            scene.blocks(per_block=per_block),
            stems=[DOG, CAT],
            root=root,
            recording=recording_facts,
            run=run_facts,
            write=write,
            draw=False,
        )
        results.append({name: (root / name).read_bytes() for name in files(root)})
    assert all(result == results[0] for result in results)
    dog = soundfile.read(next((tmp_path / "1").rglob("*dog*/*.flac" if write != "stems" else "*dog*.flac")))[
        0
    ]
    assert np.flatnonzero(dog.any(axis=1))[0] == 2 * RATE  # the loud segment fades in there


def test_flags_of_another_width_are_refused(
    tmp_path: Path, scene: Scene, recording_facts: RecordingFacts, run_facts: RunFacts
) -> None:
    block = next(scene.blocks())
    narrow = dataclasses.replace(block, active=block.active[:, :-1])
    with pytest.raises(ValueError, match="broadcast"):
        write_stems([narrow], stems=STEMS, root=tmp_path, recording=recording_facts, run=run_facts)
    assert files(tmp_path) == []


def test_nothing_is_drawn_unless_it_is_wanted(result: WrittenRecording) -> None:
    assert result.portrait is None


@pytest.mark.slow
def test_memory_does_not_grow_with_the_recording(tmp_path: Path, run_facts: RunFacts) -> None:
    def long(n_blocks: int) -> Iterator[FakeBlock]:
        noise = np.random.default_rng(0).normal(0, 0.1, (1, RATE)).astype(np.float32)
        for i in range(n_blocks):
            yield FakeBlock(
                i * RATE,
                noise.copy(),
                {DOG.key: noise.copy()},
                np.ones((1, 1), np.float32),
                np.ones((1, 1), bool),
                np.array([[i, i + 1.0]]),
            )

    roots = (tmp_path / str(number) for number in itertools.count())
    facts = RecordingFacts(recording_id="a.wav", recording_uri="a", sample_rate=RATE, channels=1)

    def write(n_blocks: int) -> None:
        write_stems(long(n_blocks), stems=[DOG], root=next(roots), recording=facts, run=run_facts)

    def peak_bytes(n_blocks: int) -> int:
        return least_peak_bytes(lambda: write(n_blocks), tries=1)

    write(2)  # loads what draws
    more_bytes = (240 - 95) * RATE * 4  # of one track
    assert peak_bytes(240) - peak_bytes(95) < more_bytes / 2


def test_errors_of_the_family_are_what_the_caller_catches(
    tmp_path: Path, scene: Scene, recording_facts: RecordingFacts, run_facts: RunFacts
) -> None:
    with pytest.raises(UssRayError):
        written(tmp_path, scene, recording_facts, run_facts, stem_format="flac", subtype="FLOAT")
    assert files(tmp_path) == []


@pytest.mark.parametrize("stem_format", ["flac", "wav"])
@pytest.mark.parametrize("loudness", [1, 6, 20_000])
def test_stems_and_residual_sum_to_the_mixture_however_loud_they_are(
    tmp_path: Path,
    scene: Scene,
    recording_facts: RecordingFacts,
    run_facts: RunFacts,
    stem_format: str,
    loudness: int,
) -> None:
    loud = Scene(scene.mixture * loudness, {key: est * loudness for key, est in scene.estimates.items()})
    result = written(tmp_path, loud, recording_facts, run_facts, stem_format=stem_format, subtype="PCM_16")
    level = [row for row in result.rows if row.level == 2 and row.stem_uri]
    summed = sum(read(tmp_path, row.stem_uri).astype(np.float64) for row in level)
    np.testing.assert_allclose(summed, loud.mixture, atol=3 * 2.0**-15 + loudness * 2.0**-22)
    assert files(tmp_path) == sorted(row.stem_uri for row in result.rows if row.stem_uri)
    for row in result.rows:
        if row.stem_uri:
            assert row.clipped_samples == 0
            assert row.stem_sha256 == hashlib.sha256((tmp_path / row.stem_uri).read_bytes()).hexdigest()
            expected = "WAV/FLOAT" if str(row.stem_uri).endswith(".wav") and (row.peak_db or 0) > 0 else None
            assert expected is None or row.format == expected


def test_rows_name_another_decoder_and_what_a_header_said_wrongly(
    tmp_path: Path, scene: Scene, recording_facts: RecordingFacts, run_facts: RunFacts
) -> None:
    facts = dataclasses.replace(
        recording_facts, format="MATROSKA/OPUS", decoder="FFmpeg", note="the header states 0 bytes"
    )
    rows = written(tmp_path, scene, facts, run_facts, stem_format="flac", subtype="PCM_16").rows
    assert rows[0].format in (
        "FLAC/PCM_16, from MATROSKA/OPUS by FFmpeg",
        "WAV/FLOAT, from MATROSKA/OPUS by FFmpeg",
    )
    assert {row.reason for row in rows} == {"the header states 0 bytes"}
    assert {row.format for row in rows if row.status == "absent"} == {None}


def detected_only(block: FakeBlock, detected: np.ndarray) -> FakeBlock:
    return dataclasses.replace(
        block,
        detected=detected,
        sure=None,
        detected_spans=None,  # type: ignore[arg-type]  # as detected
    )


@pytest.mark.parametrize("heard", [[(1.0, 2.0)], []])
@pytest.mark.parametrize("write", ["stems", "active-spans"])
def test_where_a_sound_was_heard_does_not_hang_on_what_has_files(
    tmp_path: Path, recording_facts: RecordingFacts, run_facts: RunFacts, write: str, heard: list
) -> None:
    dog = StemRequest(key="/m/0bt9lr", label="Dog", kind="class")
    scene = faded_scene({dog.key: "####"}, last_frames=RATE)
    detected = np.array([[False], [bool(heard)], [False], [False]])
    blocks = [
        detected_only(block, found[None]) for block, found in zip(scene.blocks(), detected, strict=True)
    ]
    facts = dataclasses.replace(recording_facts, frames=scene.frames)
    written = write_stems(
        iter(blocks), stems=[dog], root=tmp_path, recording=facts, run=run_facts, write=write, draw=False
    )
    row = written.rows[0]
    assert (row.status, row.certainty) == ("written", "sure" if heard else None)
    assert [(span.start_seconds, span.end_seconds) for span in row.heard_spans] == heard
    assert row.active_seconds == sum(end - start for start, end in heard)
    events = events_table([row])
    assert (
        list(zip(*(events[f"{edge}_seconds"].to_pylist() for edge in ("start", "end")), strict=True)) == heard
    )
    labels = LabelledRecording.of_rows(written.rows).events
    assert [(event.start_seconds, event.end_seconds) for event in labels] == heard
    separated = [(0.0, 4.0)] if write == "active-spans" else heard
    assert [(span.start_seconds, span.end_seconds) for span in row.active_spans] == separated


def test_what_was_separated_and_never_heard_is_silent_though_nothing_was_detected(
    tmp_path: Path, recording_facts: RecordingFacts, run_facts: RunFacts
) -> None:
    dog = StemRequest(key="/m/0bt9lr", label="Dog", kind="class")
    scene = faded_scene({dog.key: "6666"}, last_frames=RATE)
    blocks = (detected_only(block, np.zeros_like(block.active)) for block in scene.blocks())
    facts = dataclasses.replace(recording_facts, frames=scene.frames)
    written = write_stems(blocks, stems=[dog], root=tmp_path, recording=facts, run=run_facts, draw=False)
    assert (written.rows[0].status, written.rows[0].active_spans) == ("silent", ())
