from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from importlib.metadata import version

import numpy as np
import pytest
import soundfile
from wavinfo import WavInfoReader

from uss_ray.audio.tags import RecordingTags
from uss_ray.errors import OutputError
from uss_ray.results.blocks import StemRequest, Stretch
from uss_ray.results.stems.files import Encoding, HeldSound, NoFiles, SpanFiles, WholeFile

RATE = 100
ENCODING = Encoding(RATE, 1, 400, "wav", "FLOAT")
DOG = StemRequest(key="/m/0bt9lr", label="Dog", level=3)
LOUD = np.arange(1, 101, dtype=np.float32)[None] / 200


def stretch(number: int, samples: np.ndarray | None = LOUD, *, active: bool = True) -> Stretch:
    return Stretch(100 * number, 100, samples, active)


def read(path):
    samples, _ = soundfile.read(path, dtype="float32", always_2d=True)
    return samples.T


def span_files(
    root,
    *,
    fade_seconds: float = 0.2,
    encoding: Encoding = ENCODING,
    heard: Sequence[tuple[float, float]] = (),
) -> SpanFiles:
    return SpanFiles(
        root,
        uri_at=lambda seconds: f"{seconds:.2f}.wav",
        encoding=encoding,
        stem=DOG,
        fade_seconds=fade_seconds,
        heard_so_far=lambda: heard,
    )


def test_a_whole_stem_has_silence_until_it_is_first_heard(tmp_path):
    files = WholeFile(tmp_path, uri="dog/stem.wav", encoding=ENCODING, stem=DOG)
    files.take(stretch(0, LOUD * 1e-6), heard=False)
    assert list(tmp_path.iterdir()) == []
    files.take(stretch(1), heard=True)
    files.take(stretch(2, LOUD * 1e-6), heard=False)
    files.take(stretch(3, None, active=False), heard=False)
    files.finish()
    [file] = files.finished
    assert (file.uri, file.start_frame, file.span_start_frame) == ("dog/stem.wav", 0, 0)
    silence = np.zeros_like(LOUD)
    expected = np.concatenate([silence, LOUD, LOUD * np.float32(1e-6), silence], axis=1)
    np.testing.assert_array_equal(read(tmp_path / file.uri), expected)


def test_a_sound_in_memory_is_what_its_file_would_be(tmp_path):
    files, held = (
        WholeFile(tmp_path, uri="a.wav", encoding=ENCODING, stem=DOG),
        HeldSound(uri="a.wav", channels=1),
    )
    for number, (samples, heard) in enumerate(
        [(LOUD * 1e-6, False), (LOUD, True), (None, False), (LOUD, False)]
    ):
        for kept in (files, held):
            kept.take(stretch(number, samples), heard=heard)
    files.finish()
    held.finish()
    np.testing.assert_array_equal(held.samples(), read(tmp_path / "a.wav"))
    assert held.is_heard
    assert not held.finished
    held.samples()[:] = 1
    assert held.samples()[0, 0] == 0
    held.discard()
    assert not held.samples().any()


def test_a_stem_that_is_never_heard_has_no_file(tmp_path):
    for files in (
        WholeFile(tmp_path, uri="a.wav", encoding=ENCODING, stem=DOG),
        span_files(tmp_path),
        NoFiles(),
    ):
        files.take(stretch(0, LOUD * 1e-6), heard=False)
        files.finish()
        assert list(files.finished) == list(tmp_path.iterdir()) == []


def test_each_active_span_has_a_file_with_half_a_fade_on_both_sides(tmp_path):
    files = span_files(tmp_path)
    files.take(stretch(0, active=False), heard=True)
    files.take(stretch(1), heard=True)
    files.take(stretch(2, active=False), heard=True)
    files.take(stretch(3), heard=True)
    files.finish()
    first, second = files.finished
    assert [(file.uri, file.start_frame, file.span_start_frame) for file in (first, second)] == [
        ("0.90.wav", 90, 100),
        ("2.90.wav", 290, 300),
    ]
    np.testing.assert_array_equal(
        read(tmp_path / first.uri), np.concatenate([LOUD[:, -10:], LOUD, LOUD[:, :10]], axis=1)
    )
    np.testing.assert_array_equal(
        read(tmp_path / second.uri), np.concatenate([LOUD[:, -10:], LOUD], axis=1), "the recording ends"
    )


def test_files_of_spans_do_not_overlap_however_long_the_fade(tmp_path):
    files = span_files(tmp_path, fade_seconds=1.6)
    for number, active in enumerate([True, False, True]):
        files.take(stretch(number, active=active), heard=True)
    files.finish()
    first, second = files.finished
    assert second.start_frame == first.start_frame + read(tmp_path / first.uri).shape[1] == 180


@pytest.mark.parametrize("finished", [False, True])
def test_nothing_is_left_of_what_is_discarded(tmp_path, finished):
    for files in (WholeFile(tmp_path, uri="a.wav", encoding=ENCODING, stem=DOG), span_files(tmp_path)):
        files.take(stretch(0), heard=True)
        if finished:
            files.take(Stretch(100, 300), heard=False)
            files.finish()
        files.discard()
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_folder_that_cannot_be_made_is_an_error_of_the_output(tmp_path):
    (tmp_path / "dog").write_text("in the way")
    files = WholeFile(tmp_path, uri="dog/stem.wav", encoding=ENCODING, stem=DOG)
    with pytest.raises(OutputError, match="folder"):
        files.take(stretch(0), heard=True)


def test_a_stem_says_what_it_is_and_where_its_events_are(tmp_path):
    tagged = dataclasses.replace(ENCODING, tags=RecordingTags(texts=(("TITLE", "Brook"),), bext=bytes(602)))
    whole = WholeFile(tmp_path, uri="a.wav", encoding=tagged, stem=DOG)
    spans = span_files(tmp_path, encoding=tagged, heard=[(0.0, 0.5), (0.8, 1.7), (3.0, 4.0)])
    for number, active in enumerate([False, True, True, False]):
        for files in (whole, spans):
            files.take(stretch(number, active=active), heard=True)
    whole.finish([Stretch(120, 150)])
    spans.finish()
    told = {}
    for files in (whole, spans):
        (file,) = files.finished
        info = WavInfoReader(str(tmp_path / file.uri))
        assert info.info.title == "Brook"
        assert info.info.comment == f"Dog (/m/0bt9lr), separated by USS-Ray {version('uss-ray')}"
        (cue,), (mark,) = info.cues.cues, info.cues.ranges
        told[file.uri] = cue.position, mark.length, info.bext.time_reference
        assert file.written.sha256 == hashlib.sha256((tmp_path / file.uri).read_bytes()).hexdigest()
    assert told == {"a.wav": (120, 150, 0), "0.90.wav": (10, 70, 90)}


def test_a_span_in_which_nothing_was_detected_has_no_cue(tmp_path):
    tagged = dataclasses.replace(ENCODING, tags=RecordingTags())
    spans = span_files(tmp_path, encoding=tagged)
    spans.take(stretch(0), heard=True)
    spans.finish()
    (file,) = spans.finished
    assert WavInfoReader(str(tmp_path / file.uri)).cues.cues == []
