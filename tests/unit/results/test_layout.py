"""Names under an output root."""

from __future__ import annotations

from typing import get_args

import pytest

from uss_ray.results.layout import (
    folder_of_own,
    free_slug,
    index_path,
    is_own_file,
    is_recording_folder,
    label_path,
    part_folder,
    recording_folder,
    recordings_in,
    report_path,
    report_sound_path,
    span_stem_path,
    stem_path,
    stem_slug,
)
from uss_ray.results.options import LabelFormat


def test_stems_carry_label_and_node_id() -> None:
    assert stem_slug("Child speech, kid speaking", node_id="/m/0ytgt") == "child-speech-kid-speaking__m_0ytgt"
    assert stem_slug("../../x") == "x"
    assert stem_slug("собака лает!") == "собака-лает"
    assert stem_slug("???") == "stem"
    assert len(stem_slug("word " * 100)) <= 60


def test_files_lie_where_the_readme_says() -> None:
    assert stem_path("a b.wav", level=2, slug="dog", extension="flac") == "a b.wav/level-2/dog.flac"
    assert stem_path("a b.wav", level=None, slug="dog", extension="wav") == "a b.wav/query/dog.wav"
    assert stem_path("a b.wav", level=0, slug="dog", extension="wav") == "a b.wav/events/dog.wav"
    assert report_path("a b.wav") == "a b.wav/report.html"
    assert index_path("part 1") == "index/part 1.parquet"


def test_labels_are_files_of_their_recording_and_no_part_of_an_id_has_their_names() -> None:
    paths = [label_path("a.wav", label_format=label_format) for label_format in get_args(LabelFormat)]
    assert len(set(paths)) == 6
    assert all(is_own_file(path.removeprefix("a.wav/")) for path in paths)
    assert recording_folder("a/labels.csv").startswith("a/%6Cabels.csv")


@pytest.mark.parametrize(
    ("label", "node_id"),
    [
        ("Dog", "/m/0bt9lr"),
        ("con", None),
        ("???", None),
        ("собака лает", "/t/dd00"),
        ("\N{MUSICAL SYMBOL G CLEF}\u4e00 " * 40, "wordnet:dog.n.01"),
        ("a " * 80, "Bird (song) *"),
    ],
)
@pytest.mark.parametrize("level", [None, 0, 12])
def test_all_that_is_written_of_a_recording_is_called_as_its_own(
    label: str, node_id: str | None, level: int | None
) -> None:
    slug = free_slug(stem_slug(label, node_id=node_id), taken=[stem_slug(label, node_id=node_id).casefold()])
    for recording in ("tapes/a.WAV", "s1/mic1", "ü" * 700 + ".flac"):
        whole = stem_path(recording, level=level, slug=slug, extension="flac")
        span = span_stem_path(recording, 1e6, level=level, slug=slug, extension="opus")
        for path in (whole, span, report_path(recording), report_sound_path(recording)):
            assert folder_of_own(path) == recording_folder(recording)
        assert is_recording_folder(recording_folder(recording))


@pytest.mark.parametrize(
    "name",
    [
        "events/bell.wav",
        "a.wav",
        "report.html",
        "a.wav/Level-1/dog.flac",
        "a.wav/level-1/my mix.flac",
        "a.wav/level-1/dog/cut.flac",
        "a.wav/level-1/dog.txt",
        "a.wav/level-1/x/dog/000000.000.flac",
    ],
)
def test_what_is_called_otherwise_is_of_no_recording(name: str) -> None:
    assert folder_of_own(name) is None


@pytest.mark.parametrize("folder", ["events", ".a.wav", "x.wav/music", ".trash/a.wav"])
def test_folders_of_no_recording(folder: str) -> None:
    assert not is_recording_folder(folder)


def test_equal_names_in_one_folder_are_numbered_whatever_their_case() -> None:
    assert free_slug("Dog", taken={"dog", "dog-2"}) == "Dog-3"
    assert free_slug("cat", taken={"dog"}) == "cat"


def test_names_of_spans_and_parts_sort_as_they_follow_each_other() -> None:
    starts = [0.0, 1.999, 2.0, 59.9, 3600.0, 86_400.125, 900_000.0]
    names = [span_stem_path("a.wav", start, level=None, slug="dog", extension="flac") for start in starts]
    assert names == sorted(names)
    assert len(set(names)) == len(names)
    folders = [part_folder("00ff", number) for number in (0, 9, 10, 99_999)]
    assert folders == sorted(folders)
    assert all(folder.startswith(".parts/00ff/") for folder in folders)


@pytest.mark.parametrize(
    "name",
    [
        "tapes/a.wav",
        "2026-01-01T10%3A00%3A00.wav",
        "nl%0Aname.wav",
        "s1",
        "s1/mic1",
        "a.wav/b.wav",
        "a.b.wav/b",
        "x.stems/y.stems/z.wav",
        "run.json",
        "a/level-1",
        ".hidden/.a.wav",
        ".a.wav/x.wav",
        "100%25.wav",
        "%69ndex/a.wav",
    ],
)
def test_the_recordings_of_a_folder_are_found_from_its_name(name: str) -> None:
    assert name in recordings_in(recording_folder(name))
