"""Parts of a long recording, joined, are what one pass gives."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from tests.memory import least_peak_bytes
from tests.unit.results.conftest import (
    RATE,
    FadedScene,
    FakeBlock,
    Floats,
    faded_scene,
    join_stems,
    keep_part,
    stem_run,
    write_stems,
)
from uss_ray.audio.spec import LOSSY_FORMATS, STEM_SUBTYPES
from uss_ray.errors import ConfigError, DataError, OutputError, RecordingError
from uss_ray.results.blocks import StemRequest
from uss_ray.results.index.table import RecordingFacts, RunFacts
from uss_ray.results.layout import report_sound_path
from uss_ray.results.options import WriteMode
from uss_ray.results.report.recording import write_report
from uss_ray.results.stems.parts import PART_NAME, PartFacts, join_parts, write_part
from uss_ray.results.stems.writer import write_estimates
from uss_ray.results.stems.written import WrittenRecording
from uss_ray.store.store import Store

DOG = StemRequest(key="/m/0bt9lr", label="Dog", level=2)
CAT = StemRequest(key="/m/01yrx", label="Cat", level=2)
ANIMAL = StemRequest(key="/m/0jbk", label="Animal", level=1)
BIRD = StemRequest(key="/m/015p6", label="Bird", level=2)
QUERY = StemRequest(key="query:mine", label="Mine", kind="example")
STEMS = [DOG, CAT, ANIMAL, BIRD, QUERY]
# Cat is first heard in the third part; what it says before is below the silence level, in a part of its own.
PATTERN = {
    DOG.key: "..##.#....#.",
    CAT.key: ".55.55..#5.5",
    ANIMAL.key: "############",
    BIRD.key: "............",
    QUERY.key: ".....6......",
}
CUTS = (0, 3, 7, 8, 12)


@pytest.fixture(scope="module")
def scene() -> FadedScene:
    return faded_scene(PATTERN)


@pytest.fixture
def facts(scene: FadedScene, recording_facts: RecordingFacts) -> RecordingFacts:
    return dataclasses.replace(recording_facts, frames=scene.frames)


def in_parts(
    scene: FadedScene, folder: Path, facts: RecordingFacts, run: RunFacts, *, cuts: tuple[int, ...] = CUTS
) -> list[str]:
    """Write the parts between the cuts, with blocks of other lengths than a pass has."""
    locations = []
    for first, last in itertools.pairwise(cuts):
        location = folder / f"{first:06d}"
        keep_part(
            scene.blocks(first, last, per_block=2), stems=STEMS, folder=location, recording=facts, run=run
        )
        locations.append(str(location))
    return locations


def one_pass(
    scene: FadedScene, root: Path, facts: RecordingFacts, run: RunFacts, **options: Any
) -> WrittenRecording:
    options = {"draw": False} | options
    return write_stems(scene.blocks(per_block=5), stems=STEMS, root=root, recording=facts, run=run, **options)


def places(parts: Iterable[str]) -> list[Store]:
    return [Store(part, None, OutputError) for part in parts]


def joined(
    parts: list[str], scene: FadedScene, root: Path, facts: RecordingFacts, run: RunFacts, **options: Any
) -> WrittenRecording:
    options = {"stems": STEMS, "mixture_blocks": scene.mixture_blocks, "draw": False} | options
    return join_stems(places(parts), root=root, recording=facts, run=run, **options)


def files(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def without_time(result: WrittenRecording) -> list[dict[str, Any]]:
    records = [row.to_record() for row in result.rows]
    for record in records:
        del record["created_at"]
    return records


@pytest.mark.parametrize("write", ["stems", "active-spans", "index-only"])
@pytest.mark.parametrize(
    ("stem_format", "subtype"), [("flac", "PCM_16"), ("flac", "PCM_24"), ("wav", "PCM_24")]
)
def test_joined_parts_are_bit_for_bit_what_one_pass_writes(
    tmp_path: Path,
    scene: FadedScene,
    facts: RecordingFacts,
    run_facts: RunFacts,
    write: WriteMode,
    stem_format: str,
    subtype: str,
) -> None:
    options = {"write": write, "stem_format": stem_format, "subtype": subtype}
    alone = one_pass(scene, tmp_path / "alone", facts, run_facts, **options)
    parts = in_parts(scene, tmp_path / "parts", facts, run_facts)
    together = joined(parts, scene, tmp_path / "joined", facts, run_facts, **options)
    assert without_time(together) == without_time(alone)
    assert files(tmp_path / "joined") == files(tmp_path / "alone")
    assert bool(files(tmp_path / "joined")) == (write != "index-only")
    assert [row.status for row in alone.rows[:5]] == (
        ["detected", "detected", "detected", "absent", "detected"]
        if write == "index-only"
        else ["written", "written", "written", "absent", "silent"]
    )


@pytest.mark.parametrize("stem_format", sorted(LOSSY_FORMATS))
def test_lossy_stems_are_encoded_once_and_exactly_as_long_as_the_recording(
    tmp_path: Path, facts: RecordingFacts, run_facts: RunFacts, stem_format: Any
) -> None:
    scene = faded_scene({DOG.key: ".##."})
    options: dict[str, Any] = {
        "stems": [DOG],
        "recording": dataclasses.replace(facts, frames=scene.frames),
        "run": run_facts,
        "stem_format": stem_format,
        "subtype": STEM_SUBTYPES[stem_format][0],
        "draw": False,
    }
    alone = write_stems(scene.blocks(), root=tmp_path / "alone", **options)
    parts = [str(tmp_path / name) for name in ("first", "second")]
    for part, segments in zip(parts, ((0, 2), (2, 4)), strict=True):
        named = {name: options[name] for name in ("stems", "recording", "run")}
        keep_part(scene.blocks(*segments), folder=Path(part), **named)
    join_stems(places(parts), mixture_blocks=scene.mixture_blocks, root=tmp_path / "joined", **options)
    assert files(tmp_path / "joined") == files(tmp_path / "alone")
    assert files(tmp_path / "joined").keys() == {row.stem_uri for row in alone.rows}
    for name in files(tmp_path / "joined"):
        found = soundfile.info(tmp_path / "joined" / name)
        assert (found.frames, found.channels, found.samplerate) == (scene.frames, 2, RATE)


def test_float_stems_are_those_of_one_pass_to_the_last_bit(
    tmp_path: Path, scene: FadedScene, facts: RecordingFacts, run_facts: RunFacts
) -> None:
    options = {"stem_format": "wav", "subtype": "FLOAT"}
    one_pass(scene, tmp_path / "alone", facts, run_facts, **options)
    parts = in_parts(scene, tmp_path / "parts", facts, run_facts)
    joined(parts, scene, tmp_path / "joined", facts, run_facts, **options)
    assert len(files(tmp_path / "joined")) == 6
    assert files(tmp_path / "joined") == files(tmp_path / "alone")


def test_the_stems_of_a_level_and_its_residual_sum_to_the_mixture(
    tmp_path: Path, scene: FadedScene, facts: RecordingFacts, run_facts: RunFacts
) -> None:
    parts = in_parts(scene, tmp_path / "parts", facts, run_facts)
    result = joined(parts, scene, tmp_path, facts, run_facts, stem_format="wav", subtype="FLOAT")
    for level in (1, 2, None):
        stems = [
            soundfile.read(tmp_path / str(row.stem_uri), dtype="float64")[0].T
            for row in result.rows
            if row.level == level and row.stem_uri
        ]
        np.testing.assert_allclose(np.sum(stems, axis=0), scene.mixture, atol=1e-6)


def test_wherever_it_is_cut_the_result_is_the_same(
    tmp_path: Path, scene: FadedScene, facts: RecordingFacts, run_facts: RunFacts
) -> None:
    results = []
    for number, cuts in enumerate([(0, 12), tuple(range(13)), (0, 11, 12)]):
        root = tmp_path / str(number)
        parts = in_parts(scene, root / "parts", facts, run_facts, cuts=cuts)
        joined(parts, scene, root / "out", facts, run_facts, write="stems")
        results.append(files(root / "out"))
    assert all(result == results[0] for result in results)
    assert len(results[0]) == 6


def test_parts_can_lie_in_an_object_store(
    tmp_path: Path, scene: FadedScene, facts: RecordingFacts, run_facts: RunFacts
) -> None:
    local = in_parts(scene, tmp_path / "parts", facts, run_facts)
    remote = []
    for location in local:
        remote.append(f"memory://bucket/{tmp_path.name}/{Path(location).name}")
        for path in Path(location).iterdir():
            (Store(remote[-1]) / path.name).put(path)
    joined(local, scene, tmp_path / "a", facts, run_facts)
    joined(remote, scene, tmp_path / "b", facts, run_facts)
    assert files(tmp_path / "a") == files(tmp_path / "b") != {}


@pytest.mark.parametrize("write", ["stems", "active-spans"])
def test_each_file_is_handed_over_once_when_it_is_whole_and_may_be_moved_away(
    tmp_path: Path, scene: FadedScene, facts: RecordingFacts, run_facts: RunFacts, write: WriteMode
) -> None:
    parts = in_parts(scene, tmp_path / "parts", facts, run_facts)
    alone = one_pass(scene, tmp_path / "alone", facts, run_facts, write=write)
    out, store = tmp_path / "out", {}
    most = 0

    def take(path: Path) -> None:
        nonlocal most
        most = max(most, len(files(out)))
        store[path.relative_to(out).as_posix()] = path.read_bytes()
        path.unlink()

    result = joined(parts, scene, out, facts, run_facts, write=write, on_file=take)
    assert store == files(tmp_path / "alone")
    assert without_time(result) == without_time(alone)
    assert files(out) == {}
    assert most <= 1 + (3 if write == "stems" else 0)  # a stem, or what is there of the residuals


def test_the_page_of_joined_parts_shows_the_same_recording(
    tmp_path: Path, scene: FadedScene, facts: RecordingFacts, run_facts: RunFacts
) -> None:
    alone = one_pass(scene, tmp_path / "alone", facts, run_facts, draw=True)
    parts = in_parts(scene, tmp_path / "parts", facts, run_facts)
    result = joined(parts, scene, tmp_path / "out", facts, run_facts, draw=True, on_file=Path.unlink)
    assert result.portrait is not None
    assert alone.portrait is not None
    copies = [tmp_path / place / report_sound_path(facts.recording_id) for place in ("out", "alone")]
    assert copies[0].read_bytes() == copies[1].read_bytes()
    assert set(result.portrait.spectrograms) == set(alone.portrait.spectrograms)
    for stem_id, spectrogram in alone.portrait.spectrograms.items():
        found = result.portrait.spectrograms[stem_id].power_db
        np.testing.assert_allclose(found.max(), spectrogram.power_db.max(), atol=0.5)
        assert found.shape[1] == pytest.approx(spectrogram.power_db.shape[1], abs=2)
    assert [result.activities[stem.key].spans for stem in STEMS] == [
        alone.activities[stem.key].spans for stem in STEMS
    ]
    text = write_report(result, root=tmp_path / "out").read_text()
    assert 'href="level-1/' in text  # though the stems themselves have gone


def test_the_recording_is_not_read_again_when_nothing_needs_it(
    tmp_path: Path, scene: FadedScene, facts: RecordingFacts, run_facts: RunFacts
) -> None:
    def unreadable() -> Iterator[Floats]:
        raise AssertionError("read again")

    parts = in_parts(scene, tmp_path / "parts", facts, run_facts)
    result = joined(
        parts,
        scene,
        tmp_path / "out",
        facts,
        run_facts,
        mixture_blocks=unreadable,
        residual=False,
    )
    assert result.portrait is None
    assert [row.status for row in result.rows] == ["written", "written", "written", "absent", "silent"]


def test_silence_takes_no_room_in_a_part(tmp_path: Path, facts: RecordingFacts, run_facts: RunFacts) -> None:
    scene = faded_scene({DOG.key: "..##......#.", CAT.key: "............"})
    part = keep_part(scene.blocks(), stems=[DOG, CAT], folder=tmp_path, recording=facts, run=run_facts)
    sounding_frames = 3 * RATE + 3 * RATE // 8 + 321  # of the last fade only what the recording holds
    assert part.files.keys() == {"00000.f32", "segments.npz"}
    assert part.files["00000.f32"] == 4 * 2 * sounding_frames
    assert (part.start_frame, part.frames, part.segments) == (0, scene.frames, 12)


def test_a_part_is_whole_when_it_has_its_last_file(
    tmp_path: Path, scene: FadedScene, facts: RecordingFacts, run_facts: RunFacts
) -> None:
    folder = tmp_path / "part"

    def failing() -> Iterator[FakeBlock]:
        yield from scene.blocks(0, 4)
        assert not (folder / PART_NAME).exists()
        raise RecordingError("å.wav", expected="samples", found="a broken frame")

    for _ in range(2):  # what an earlier attempt left, whole or not, does no harm
        with pytest.raises(RecordingError, match="broken frame"):
            keep_part(failing(), stems=STEMS, folder=folder, recording=facts, run=run_facts)
        assert not (folder / PART_NAME).exists()
        part = keep_part(scene.blocks(0, 4), stems=STEMS, folder=folder, recording=facts, run=run_facts)
    assert part.names[-1] == PART_NAME
    assert sorted(part.names) == sorted(path.name for path in folder.iterdir())
    assert {name: (folder / name).stat().st_size for name in part.files} == part.files
    assert part.file_bytes == sum(part.files.values())
    assert json.loads((folder / PART_NAME).read_text())["frames"] == 4 * RATE


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


@pytest.mark.parametrize(
    ("spoil", "kind", "message"),
    [
        (lambda parts: shorten(Path(parts[2]) / "00001.f32"), OutputError, r"00001\.f32: expected \d+ more"),
        (lambda parts: (Path(parts[0]) / "00000.f32").unlink(), OutputError, r"00000\.f32"),
        (lambda parts: shorten(Path(parts[1]) / "segments.npz"), DataError, "segments of a part"),
        (lambda parts: shorten(Path(parts[1]) / PART_NAME), DataError, r"part\.json: expected a JSON object"),
        (lambda parts: (Path(parts[3]) / PART_NAME).unlink(), OutputError, "part.json"),
        (
            lambda parts: (Path(parts[3]) / PART_NAME).write_text('{"version": 99}'),
            DataError,
            "version: expected 3, found 99",
        ),
        (lambda parts: (Path(parts[3]) / PART_NAME).write_text("[]"), DataError, "a JSON object"),
        (lambda parts: parts.pop(1), DataError, "from frame 24000, found from 56000"),
        (lambda parts: parts.reverse(), DataError, "from frame 0"),
        (lambda parts: parts.clear(), DataError, "at least one part"),
        (lambda parts: parts.pop(), RecordingError, "samples a channel"),
    ],
)
def test_parts_that_are_not_the_whole_recording_are_refused_and_leave_nothing(
    tmp_path: Path,
    scene: FadedScene,
    facts: RecordingFacts,
    run_facts: RunFacts,
    spoil: Any,
    kind: type[Exception],
    message: str,
) -> None:
    parts = in_parts(scene, tmp_path / "parts", facts, run_facts)
    spoil(parts)
    with pytest.raises(kind, match=message):
        joined(parts, scene, tmp_path / "out", facts, run_facts)
    assert files(tmp_path / "out") == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"run": RunFacts(run_id="other", weights_name="w", weights_sha256="0")}, "run_id"),
        ({"recording_id": "other.wav"}, "recording_id"),
        ({"stems": STEMS[:-1]}, "keys"),
        ({"channels": 1}, "channels"),
        ({"sample_rate": 16000}, "sample_rate"),
    ],
)
def test_parts_of_something_else_are_refused_by_name(
    tmp_path: Path,
    scene: FadedScene,
    facts: RecordingFacts,
    run_facts: RunFacts,
    change: dict[str, Any],
    message: str,
) -> None:
    parts = in_parts(scene, tmp_path / "parts", facts, run_facts)
    named = {name: change.pop(name) for name in ("recording_id", "channels", "sample_rate") if name in change}
    run = change.pop("run", run_facts)
    with pytest.raises(DataError, match=message):
        joined(parts, scene, tmp_path, dataclasses.replace(facts, **named), run, **change)


@pytest.mark.parametrize("extra", [-10, 10])
def test_a_mixture_of_another_length_is_refused(
    tmp_path: Path, scene: FadedScene, facts: RecordingFacts, run_facts: RunFacts, extra: int
) -> None:
    other = np.pad(scene.mixture, ((0, 0), (0, 10)))[:, : scene.frames + extra]
    parts = in_parts(scene, tmp_path / "parts", facts, run_facts)
    with pytest.raises(RecordingError, match="10 samples"):
        joined(parts, scene, tmp_path / "out", facts, run_facts, mixture_blocks=lambda: iter([other]))
    assert files(tmp_path / "out") == {}


def test_a_part_needs_blocks_that_follow_each_other(
    tmp_path: Path, scene: FadedScene, facts: RecordingFacts, run_facts: RunFacts
) -> None:
    def part_of(blocks: Any, stems: list[StemRequest] = STEMS) -> PartFacts:
        return keep_part(blocks, stems=stems, folder=tmp_path, recording=facts, run=run_facts)

    blocks = list(scene.blocks())
    with pytest.raises(RecordingError, match="from frame 32000"):
        part_of(blocks[3:4] + blocks[5:])
    with pytest.raises(RecordingError, match="at least one block"):
        part_of([])
    with pytest.raises(ConfigError, match="each key once"):
        part_of(blocks, [DOG, DOG])


def test_a_part_that_cannot_be_written_names_the_place(
    tmp_path: Path, scene: FadedScene, facts: RecordingFacts, run_facts: RunFacts
) -> None:
    (tmp_path / "a file").write_text("")
    with pytest.raises(OutputError, match="a file"):
        keep_part(
            scene.blocks(), stems=STEMS, folder=tmp_path / "a file" / "0", recording=facts, run=run_facts
        )


def test_the_length_may_be_unknown_beforehand(
    tmp_path: Path, scene: FadedScene, facts: RecordingFacts, run_facts: RunFacts
) -> None:
    open_ended = dataclasses.replace(facts, frames=None)
    parts = in_parts(scene, tmp_path / "parts", open_ended, run_facts)
    result = joined(parts, scene, tmp_path / "out", open_ended, run_facts)
    assert result.recording.frames == scene.frames == result.rows[0].frames


@pytest.mark.parametrize(
    ("kinds", "told"),
    [
        ("quiet quiet quiet", (None, None)),
        ("zero quiet zero", (None, None)),
        ("quiet zero zero", (None, None)),
        ("zero zero zero", (0.0, "sure")),
        ("quiet tagged quiet", (0.0, "sure")),
    ],
)
def test_parts_say_of_sound_that_was_never_tagged_what_one_pass_says(
    tmp_path: Path, run_facts: RunFacts, kinds: str, told: tuple[float | None, str | None]
) -> None:
    facts = RecordingFacts(recording_id="a.wav", recording_uri="a", sample_rate=RATE, channels=1)
    blocks = [
        FakeBlock(
            start_frame=number * RATE,
            mixture=np.full((1, RATE), 0.0 if kind == "zero" else 1e-6, np.float32),
            estimates={},
            segment_probs=np.array([[0.0, np.nan]], np.float32),
            active=np.zeros((1, 2), bool),
            tagged=np.array([kind == "tagged"]),
            segment_spans_seconds=np.array([[number, number + 1.0]]),
        )
        for number, kind in enumerate(kinds.split())
    ]
    wanted = dataclasses.replace(stem_run([DOG, QUERY], run_facts, draw=False), surely_absent_below=0.0003)
    alone = write_estimates(blocks, wanted, root=tmp_path / "alone", recording=facts)
    for block in blocks:
        write_part([block], wanted, folder=tmp_path / f"{block.start_frame:06d}", recording=facts)
    together = join_parts(
        places([str(tmp_path / f"{block.start_frame:06d}") for block in blocks]),
        wanted,
        mixture_blocks=lambda: (block.mixture for block in blocks),
        root=tmp_path / "joined",
        recording=facts,
    )
    for result in (alone, together):
        dog, query = result.rows[:2]
        assert (dog.status, dog.probability, dog.certainty) == ("absent", *told)
        assert (query.probability, query.certainty) == (None, None)
    assert without_time(together) == without_time(alone)


@pytest.mark.slow
def test_memory_depends_on_the_length_of_a_part_not_on_their_number(
    tmp_path: Path, run_facts: RunFacts
) -> None:
    block = np.random.default_rng(0).normal(0, 0.1, (1, 2 * RATE)).astype(np.float32)

    def part(number: int) -> Iterator[FakeBlock]:
        for i in range(5 * number, 5 * number + 5):
            yield FakeBlock(
                start_frame=i * 2 * RATE,
                mixture=block,
                estimates={DOG.key: block},
                segment_probs=np.ones((1, 1), np.float32),
                active=np.ones((1, 1), bool),
                segment_spans_seconds=np.array([[2.0 * i, 2.0 * i + 2]]),
            )

    folders = (tmp_path / str(number) for number in itertools.count())

    def peak_bytes(n_parts: int) -> int:
        facts = RecordingFacts(recording_id="a.wav", recording_uri="a", sample_rate=RATE, channels=1)

        def write_and_join() -> None:
            folder = next(folders)
            parts = [str(folder / str(number)) for number in range(n_parts)]
            for number, location in enumerate(parts):
                keep_part(part(number), stems=[DOG], folder=Path(location), recording=facts, run=run_facts)
            result = join_stems(
                places(parts),
                mixture_blocks=lambda: itertools.repeat(block, 5 * n_parts),
                stems=[DOG],
                root=folder,
                recording=facts,
                run=run_facts,
                draw=False,
            )
            assert result.recording.seconds == 10 * n_parts

        return least_peak_bytes(write_and_join, tries=2)

    sound_of_a_part = 5 * block.nbytes
    assert peak_bytes(40) - peak_bytes(4) < 36 * sound_of_a_part / 2


def test_a_flag_for_each_of_many_targets_survives(
    tmp_path: Path, facts: RecordingFacts, run_facts: RunFacts
) -> None:
    noise = np.random.default_rng(3)
    stems = [StemRequest(key=f"/m/{i}", label=f"Node {i}", level=1) for i in range(11)]
    active: npt.NDArray[np.bool_] = noise.random((12, len(stems))) < 0.4
    pattern = {
        stem.key: "".join("#" if flag else "." for flag in active[:, column])
        for column, stem in enumerate(stems)
    }
    scene = faded_scene(pattern)
    options: dict[str, Any] = {"recording": facts, "run": run_facts, "write": "active-spans", "draw": False}
    alone = write_stems(scene.blocks(per_block=4), stems=stems, root=tmp_path / "alone", **options)
    parts = []
    for first, last in ((0, 5), (5, 6), (6, 12)):
        parts.append(str(tmp_path / str(first)))
        keep_part(
            scene.blocks(first, last),
            stems=stems,
            folder=Path(parts[-1]),
            recording=facts,
            run=run_facts,
        )
    together = join_stems(
        places(parts), mixture_blocks=scene.mixture_blocks, stems=stems, root=tmp_path / "joined", **options
    )
    assert without_time(together) == without_time(alone)
    assert files(tmp_path / "joined") == files(tmp_path / "alone")


def held_by_the_dog(blocks: Iterable[FakeBlock]) -> Iterator[FakeBlock]:
    """Let the bird be heard where the dog is: a sound that two names fit."""
    dog, bird = STEMS.index(DOG), STEMS.index(BIRD)
    for block in blocks:
        active, held_by = block.active.copy(), block.held_by.copy()
        active[:, bird] = active[:, dog]
        held_by[:, bird] = np.where(active[:, dog], dog, -1)
        # What is detected follows from what is active.
        left_open: dict[str, Any] = dict.fromkeys(("detected", "sure", "detected_spans"))
        yield dataclasses.replace(block, active=active, held_by=held_by, **left_open)


@pytest.mark.parametrize("write", ["stems", "active-spans"])
def test_rows_of_one_sound_point_to_one_stem_in_one_pass_and_in_parts(
    tmp_path: Path, scene: FadedScene, facts: RecordingFacts, run_facts: RunFacts, write: WriteMode
) -> None:
    options: dict[str, Any] = {"stems": STEMS, "write": write, "draw": write == "stems"}
    alone = write_stems(
        held_by_the_dog(scene.blocks(per_block=5)),
        root=tmp_path / "alone",
        recording=facts,
        run=run_facts,
        **options,
    )
    one_pass(scene, tmp_path / "plain", facts, run_facts, write=write, draw=write == "stems")
    assert files(tmp_path / "alone") == files(tmp_path / "plain")
    dog, bird = (alone.rows[STEMS.index(stem)] for stem in (DOG, BIRD))
    assert (bird.label, bird.status, dog.status) == ("Bird", "written", "written")
    same = ("stem_uri", "stem_sha256", "stem_bytes", "level_db", "peak_db", "format", "active_spans")
    assert [getattr(bird, name) for name in same] == [getattr(dog, name) for name in same]
    if alone.portrait is not None:
        pictures = alone.portrait.spectrograms
        assert pictures[BIRD.level, BIRD.key] is pictures[DOG.level, DOG.key]
    parts = []
    for first, last in itertools.pairwise(CUTS):
        parts.append(str(tmp_path / "parts" / f"{first}"))
        keep_part(
            held_by_the_dog(scene.blocks(first, last, per_block=2)),
            stems=STEMS,
            folder=Path(parts[-1]),
            recording=facts,
            run=run_facts,
        )
    together = joined(parts, scene, tmp_path / "joined", facts, run_facts, **options)
    assert without_time(together) == without_time(alone)
    assert files(tmp_path / "joined") == files(tmp_path / "alone")


def test_a_target_with_a_stem_of_its_own_somewhere_keeps_it(
    tmp_path: Path, scene: FadedScene, facts: RecordingFacts, run_facts: RunFacts
) -> None:
    dog, cat = STEMS.index(DOG), STEMS.index(CAT)

    def partly(blocks: Iterable[FakeBlock]) -> Iterator[FakeBlock]:
        for number, block in enumerate(blocks):
            held_by = block.held_by.copy()
            if number % 2:
                held_by[:, cat] = np.where(held_by[:, cat] >= 0, dog, -1)
            yield dataclasses.replace(block, held_by=held_by)

    found = write_stems(
        partly(scene.blocks()), stems=STEMS, root=tmp_path, recording=facts, run=run_facts, draw=False
    )
    assert "cat" in str(found.rows[cat].stem_uri)
