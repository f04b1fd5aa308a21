"""Names under an output root."""

from __future__ import annotations

import os

import pytest

from uss_ray.results.layout import (
    free_slug,
    index_path,
    part_folder,
    recording_id,
    report_path,
    span_stem_path,
    stem_path,
    stem_slug,
)


def test_recordings_that_differ_in_folder_or_extension_get_folders_of_their_own() -> None:
    paths = ["a.wav", "a.flac", "b/a.wav", "b a/a.wav", "b%20a/a.wav", "a:b.wav", "a%3Ab.wav", "a\x01.wav"]
    assert len({recording_id(path) for path in paths}) == len(paths)


@pytest.mark.parametrize(
    "path", ["field trip/Vögel 3.wav", "录音/狗叫.flac", "عربی‌ها/۱.ogg", "a/.hidden.wav"]
)
def test_spaces_and_any_script_stay_as_they_are(path: str) -> None:
    assert recording_id(path) == path


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("../../etc/passwd.wav", "etc/passwd.wav"),
        ("a/../../b.wav", "b.wav"),
        ("/abs//x/./y.wav", "abs/x/y.wav"),
        ('q?<>:"|*#.wav', "q%3F%3C%3E%3A%22%7C%2A%23.wav"),
        ("100%.wav", "100%25.wav"),
        ("line\nbreak\x00.wav", "line%0Abreak%00.wav"),
        ("ends. /dot.", "ends.%20/dot%2E"),
        ("back\\slash.wav", "back%5Cslash.wav"),
        ("nul.wav", "%6Eul.wav"),
        ("index/a.wav", "%69ndex/a.wav"),
        ("sub/index/a.wav", "sub/index/a.wav"),
    ],
)
def test_what_is_reserved_is_encoded_and_no_path_leads_out(path: str, expected: str) -> None:
    assert recording_id(path) == expected


def test_a_name_with_bytes_of_no_encoding_becomes_plain_text() -> None:
    assert recording_id(os.fsdecode(b"caf\xe9.wav")) == "caf%E9.wav"


def test_long_names_are_cut_yet_stay_different_and_keep_their_extension() -> None:
    one, other = recording_id("é" * 240 + "1.wav"), recording_id("é" * 240 + "2.wav")
    assert one != other
    assert len(one.encode()) <= 200
    assert one.endswith(".wav")


@pytest.mark.parametrize("path", ["", "/", "..", "./.", "a/.."])
def test_a_path_that_names_nothing_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="relative_path"):
        recording_id(path)


def test_stems_carry_label_and_node_id() -> None:
    assert stem_slug("Child speech, kid speaking", node_id="/m/0ytgt") == "child-speech-kid-speaking__m_0ytgt"
    assert stem_slug("../../x") == "x"
    assert stem_slug("собака лает!") == "собака-лает"
    assert stem_slug("???") == "stem"
    assert len(stem_slug("word " * 100)) <= 60


def test_files_lie_where_the_readme_says() -> None:
    assert stem_path("a b.wav", level=2, slug="dog", extension="flac") == "a b.wav/level-2/dog.flac"
    assert stem_path("a b.wav", level=None, slug="dog", extension="wav") == "a b.wav/query/dog.wav"
    assert report_path("a b.wav") == "a b.wav/report.html"
    assert index_path("part 1") == "index/part 1.parquet"


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


def test_every_reserved_letter_is_encoded_however_plain_its_neighbours() -> None:
    encoded = [chr(code) for code in range(128) if recording_id(f"a{chr(code)}b") != f"a{chr(code)}b"]
    assert encoded == [*map(chr, range(32)), *'"#%*:<>?\\|', "\x7f"]
