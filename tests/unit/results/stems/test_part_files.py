from __future__ import annotations

import json

import numpy as np
import pytest

from tests.unit.results.conftest import RATE, faded_scene
from uss_ray.errors import DataError, OutputError
from uss_ray.results.blocks import Geometry
from uss_ray.results.index.activity import Loudness
from uss_ray.results.index.table import RecordingFacts
from uss_ray.results.stems.part_files import (
    PART_NAME,
    PartWriter,
    SampleReader,
    read_part_facts,
    read_part_segments,
    samples_name,
)
from uss_ray.store.store import Store

KEYS = ("dog", "cat", "bird")
SCENE = faded_scene({"dog": ".#..", "cat": "####", "bird": "...."})


@pytest.fixture
def part(tmp_path):
    writer = PartWriter(tmp_path, keys=KEYS, geometry=Geometry(RATE, 2))
    for block in SCENE.blocks(1, 3):
        writer.add(block)
    return tmp_path, writer.close(
        run_id="run",
        recording=RecordingFacts(recording_id="a.wav", recording_uri="a.wav", recording_content="5 bytes"),
    )


def test_what_was_written_is_read_again(part):
    folder, facts = part
    assert read_part_facts(Store(folder)) == facts
    assert (facts.start_frame, facts.stop_frame, facts.segments) == (RATE, 3 * RATE, 2)
    found = read_part_segments(Store(folder))
    np.testing.assert_array_equal(found.bounds, [RATE, 2 * RATE, 3 * RATE])
    np.testing.assert_array_equal(found.active, SCENE.active[1:3])
    np.testing.assert_array_equal(found.probs, SCENE.probs[1:3])


def test_a_part_from_before_it_said_what_was_tagged_is_taken_for_tagged(part):
    folder, facts = part
    written = json.loads((folder / PART_NAME).read_text())
    assert written.pop("loudness") == Loudness.TAGGED
    (folder / PART_NAME).write_text(json.dumps(written))
    assert read_part_facts(Store(folder)) == facts


def test_the_samples_of_a_target_are_kept_where_they_are_not_zero_bit_for_bit(part):
    folder, facts = part
    stretches = read_part_segments(Store(folder)).stretches
    dog = stretches[stretches[:, 0] == 0]
    fade = round(0.25 * RATE / 2)
    assert dog[:, 2:].tolist() == [[RATE, RATE], [2 * RATE, fade]]
    with SampleReader(Store(folder), target=0, channels=2) as reader:
        for _, _, first, frames in dog.tolist():
            np.testing.assert_array_equal(
                reader.read(frames), SCENE.estimates["dog"][:, first : first + frames]
            )
        with pytest.raises(OutputError, match="more bytes"):
            reader.read(1)
    assert samples_name(2) not in facts.files, "nothing of a bird"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (PART_NAME, b"{", "expected a JSON object"),
        (PART_NAME, b"[]", "a JSON object"),
        (PART_NAME, b'{"version": 2}', "version: expected 3, found 2"),
        (PART_NAME, b'{"version": 3}', "run_id: expected a value"),
        ("segments.npz", b"PK", "segments of a part"),
    ],
)
def test_a_part_that_is_no_part_is_refused(part, name, content, message):
    folder, _ = part
    (folder / name).write_bytes(content)
    read = read_part_facts if name == PART_NAME else read_part_segments
    with pytest.raises(DataError, match=message):
        read(Store(folder))


def test_the_facts_are_strict_json(part):
    folder, facts = part
    values = json.loads((folder / PART_NAME).read_text(), parse_constant=pytest.fail)
    assert values["keys"] == list(KEYS)
    assert values["files"] == facts.files


def test_segments_of_which_any_byte_is_wrong_are_named_or_read(part):
    folder, _ = part
    place = folder / "segments.npz"
    whole = place.read_bytes()
    refused: list[str] = []
    for at in range(0, len(whole), 3):
        place.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            read_part_segments(Store(folder))
        except DataError as error:
            refused.append(str(error))
    assert len(refused) > len(whole) // 6
    assert all("segments.npz" in said for said in refused)
