from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.unit.results.conftest import RATE, faded_scene, stem_run
from uss_ray.api import publisher as publisher_module
from uss_ray.api.publisher import Publisher, index_name, part_name, parts_folder
from uss_ray.audio.spec import AudioSpec
from uss_ray.errors import OutputError, RecordingError
from uss_ray.results.blocks import StemRequest
from uss_ray.results.index.table import RunFacts, read_index
from uss_ray.sources.recordings import single_recording
from uss_ray.store.store import Store

SCENE = faded_scene({"dog": ".##.#.", "cat": "....#."})
STEMS = [StemRequest(key=key, label=key.title(), level=1) for key in SCENE.estimates]
RUN = RunFacts(run_id="run", weights_name="w", weights_sha256="0" * 64)


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, SCENE.mixture.T, RATE, subtype="FLOAT")
    return single_recording(str(path))


@pytest.fixture
def spec():
    return AudioSpec(RATE, 2, SCENE.frames, "WAV", "FLOAT")


def publisher_of(output: Store, **options: object) -> Publisher:
    return Publisher(output, stem_run(STEMS, RUN, stem_format="wav", **options))


def names(output: Store) -> set[str]:
    return {place.relative_to(output) for place in output.list()} if output.exists() else set()


def test_stems_and_report_come_before_the_index_says_so(output, recording, spec):
    publisher = publisher_of(output)
    rows = publisher.publish(SCENE.blocks(), recording=recording, spec=spec, started=0.0)
    stems = [f"level-1/{row.stem_uri.rpartition('/')[2]}" for row in rows]
    assert names(output) == {f"a.wav/{name}" for name in ("report.html", "report.mp3", *stems)}
    publisher.commit_recordings([rows], name=index_name(recording))
    assert read_index(str(output)).num_rows == len(rows) == 3


def test_labels_lie_beside_the_stems_of_one_pass_and_of_parts(output, recording, spec):
    publisher = publisher_of(output, labels=("audacity", "rttm"), draw=False)
    publisher.publish(SCENE.blocks(), recording=recording, spec=spec, started=0.0)
    whole = [(output / "a.wav" / name).read() for name in ("labels.txt", "labels.rttm")]
    assert [line.split(b"\t")[2] for line in whole[0].splitlines()] == [b"Dog", b"Cat", b"Dog"]
    for part, (first, last) in enumerate(((0, 2), (2, 6))):
        publisher.publish_part(SCENE.blocks(first, last), recording=recording, spec=spec, part=part)
    publisher.join(recording, parts=2)
    assert [(output / "a.wav" / name).read() for name in ("labels.txt", "labels.rttm")] == whole


def test_a_recording_in_parts_has_the_results_of_one_pass(output, recording, spec, tmp_path):
    publisher = publisher_of(output, draw=False)
    rows = publisher.publish(SCENE.blocks(), recording=recording, spec=spec, started=0.0)
    parted = Publisher(
        Store(tmp_path / "parted"), stem_run(STEMS, RUN, stem_format="wav", draw=False), scratch=tmp_path
    )
    for part, (first, last) in enumerate(((0, 2), (2, 5), (5, 6))):
        parted.publish_part(SCENE.blocks(first, last), recording=recording, spec=spec, part=part)
        assert (tmp_path / "parted" / part_name(recording, part) / "part.json").exists()
    joined = parted.join(recording, parts=3)
    assert [row.stem_sha256 for row in joined] == [row.stem_sha256 for row in rows]
    assert not (tmp_path / "parted" / parts_folder(recording)).exists()
    assert read_index(str(tmp_path / "parted")).num_rows == 3


def test_stems_are_no_coarser_than_the_recording(output, recording, spec):
    rows = publisher_of(output).publish(SCENE.blocks(), recording=recording, spec=spec, started=0.0)
    assert rows[0].format == "WAV/FLOAT"


def test_a_recording_that_breaks_off_leaves_nothing(output, recording, spec):
    with pytest.raises(RecordingError, match="samples a channel"):
        publisher_of(output).publish(SCENE.blocks(0, 3), recording=recording, spec=spec, started=0.0)
    assert names(output) == set()


def test_a_failure_has_a_row_with_its_reason(output, recording):
    publisher = publisher_of(output)
    publisher.commit_failed([publisher.failed(recording, reason="no audio")], name="failed")
    [row] = read_index(str(output)).to_pylist()
    assert (row["status"], row["reason"], row["run_id"]) == ("failed", "no audio", "run")


def test_parts_that_are_not_there_can_be_forgotten(output, recording, spec):
    publisher = publisher_of(output)
    publisher.publish_part(SCENE.blocks(0, 2), recording=recording, spec=spec, part=0)
    for _ in range(2):
        publisher.forget_parts(recording)
        assert names(output) == set()


def test_residuals_are_made_of_the_mixture_that_is_read_again(recording, spec, tmp_path):
    publisher = publisher_of(Store(tmp_path / "out"), draw=False)
    publisher.publish_part(SCENE.blocks(), recording=recording, spec=spec, part=0)
    rows = publisher.join(recording, parts=1)
    stems = [soundfile.read(tmp_path / "out" / row.stem_uri)[0].T for row in rows]
    np.testing.assert_allclose(np.sum(stems, axis=0), SCENE.mixture, atol=1e-6)


@pytest.mark.parametrize("changed", ["before the last span", "before the join"])
def test_a_recording_is_never_joined_from_two_contents(recording, spec, tmp_path, changed):
    out, place = Store(tmp_path / "out"), Store(recording.recording_uri)
    publisher = publisher_of(out, draw=False)
    for part, (first, last) in enumerate(((0, 3), (3, 6))):
        if part and changed == "before the last span":
            os.utime(recording.recording_uri, ns=(1, 1))
        now = replace(recording, content_tag=place.content_tag())
        publisher.publish_part(SCENE.blocks(first, last), recording=now, spec=spec, part=part)
    if changed == "before the join":
        os.utime(recording.recording_uri, ns=(1, 1))
    with pytest.raises(OutputError, match="changed meanwhile"):
        publisher.join(now, parts=2)
    assert not (out / "index").exists()


@pytest.mark.parametrize(
    ("when", "found"),
    [
        ("before the join", "none any more"),
        ("as it is joined", "none any more"),
        ("cut as it is joined", "one that was changed meanwhile"),
    ],
)
def test_a_recording_that_goes_before_its_spans_are_joined_is_not_to_blame(
    recording, spec, tmp_path, monkeypatch, when, found
):
    """A disk with the archive may be away: the spans stay, and the next run joins them."""
    path = Path(recording.recording_uri)
    known = replace(recording, content_tag=Store(path).content_tag())
    publisher, read = publisher_of(Store(tmp_path / "out"), draw=False), publisher_module._mixture
    publisher.publish_part(SCENE.blocks(), recording=known, spec=spec, part=0)

    def gone(source, *, sha256):
        path.unlink() if when == "as it is joined" else path.write_bytes(path.read_bytes()[:100])
        return read(source, sha256=sha256)

    if when == "before the join":
        path.unlink()
    else:
        monkeypatch.setattr(publisher_module, "_mixture", gone)
    with pytest.raises(OutputError, match=f"until all its spans are separated, found {found}"):
        publisher.join(known, parts=1)
    assert list((tmp_path / "out/.parts").rglob("part.json"))


def test_rows_say_what_the_recording_held(output, recording, spec):
    known = replace(recording, content_tag="5 bytes")
    rows = publisher_of(output).publish(SCENE.blocks(), recording=known, spec=spec, started=0.0)
    assert {row.recording_content for row in rows} == {"5 bytes"}
    assert publisher_of(output).failed(known, reason="x").recording_content == "5 bytes"


def test_a_joined_recording_has_the_checksum_that_its_last_span_knows(recording, spec, tmp_path):
    out, sha256 = (
        Store(tmp_path / "out"),
        hashlib.sha256(Path(recording.recording_uri).read_bytes()).hexdigest(),
    )
    publisher = publisher_of(out, draw=False)
    publisher.publish_part(SCENE.blocks(0, 3), recording=recording, spec=spec, part=0)
    publisher.publish_part(SCENE.blocks(3, 6), recording=replace(recording, sha256=sha256), spec=spec, part=1)
    assert {row.recording_sha256 for row in publisher.join(recording, parts=2)} == {sha256}


def test_a_checksum_tells_two_contents_where_the_store_tells_nothing(recording, spec, tmp_path):
    publisher = publisher_of(Store(tmp_path / "out"), draw=False)
    publisher.publish_part(SCENE.blocks(), recording=replace(recording, sha256="0" * 64), spec=spec, part=0)
    with pytest.raises(OutputError, match="changed meanwhile"):
        publisher.join(recording, parts=1)


def test_rows_take_the_checksum_of_their_recording(output, recording, spec):
    rows = publisher_of(output).publish(SCENE.blocks(), recording=recording, spec=spec, started=0.0)
    known = rows.with_recording_sha256("ab" * 32)
    publisher_of(output).commit_recordings([known], name="a")
    assert set(read_index(str(output))["recording_sha256"].to_pylist()) == {"ab" * 32}
    assert [row.stem_sha256 for row in known] == [row.stem_sha256 for row in rows]
