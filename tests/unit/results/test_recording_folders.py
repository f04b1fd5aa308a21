"""No two recordings meet below an output root, whatever their ids: property tests of layout and commit together."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uss_ray.api.staging import commit, staging_folder
from uss_ray.records import recording_id
from uss_ray.results.layout import (
    former_folder,
    index_path,
    is_own_file,
    part_folder,
    recording_folder,
    report_path,
    report_sound_path,
    span_stem_path,
    stem_path,
)
from uss_ray.store.store import Store

ROOT_FILES = ("run.json", "summary.json", "summary-1-of-2.json", "failed.jsonl", "index.html")
HOSTILE = """
s1 mic1 a.wav b.WAV A.wav S1 s1.stems S1.STEMS a.stems.wav é.wav é.wav level-1 Level-2 query report.html report.mp3
events index index-pages .parts .lease .uss-ray-x x. dog.flac residual a%2Ewav
"""
PARTS = st.one_of(
    st.sampled_from((*HOSTILE.split(), *ROOT_FILES)),
    st.text(min_size=1, max_size=8),
    st.integers(190, 260).map(lambda length: "é" * (length // 2) + ".wav"),
    st.integers(190, 260).map(lambda length: "x" * length),
)
PATHS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)


def ids_of(paths):
    ids = set()
    for path in paths:
        try:
            ids.add(recording_id(path))
        except ValueError:  # nothing but dots and slashes
            continue
    return sorted(ids)


def files_of(name):
    return {
        report_path(name),
        report_sound_path(name),
        stem_path(name, level=1, slug="dog", extension="flac"),
        stem_path(name, level=None, slug="residual", extension="wav"),
        stem_path(name, level=0, slug="dog", extension="flac"),
        span_stem_path(name, 3.5, level=2, slug="dog", extension="flac"),
    }


OWN_OF_ROOT = {
    *ROOT_FILES,
    index_path("0"),
    part_folder("0", 0) + "/part.json",
    ".lease/0.json",
    "index-pages/0.js",
}


def ancestors(file):
    parts = file.split("/")
    return {"/".join(parts[:depth]) for depth in range(1, len(parts))}


@settings(max_examples=300)
@given(st.lists(PATHS, min_size=1, max_size=6))
@pytest.mark.slow
def test_no_two_recordings_files_meet(paths):
    seen = set(OWN_OF_ROOT)
    for name in ids_of(paths):
        files = files_of(name)
        assert not files & seen, name
        seen |= files
    places = [recording_folder(name) for name in ids_of(paths)]
    assert len(set(places)) == len(places)
    assert not set().union(*map(ancestors, places)) & set(places), "a recording in the folder of another"
    assert all(len(part.encode()) <= 255 for file in seen for part in file.split("/"))
    folders = set().union(*map(ancestors, seen))
    assert not folders & seen, "a file where another has a folder"
    assert not any(part.startswith(".") for file in seen - OWN_OF_ROOT for part in file.split("/"))


@pytest.mark.slow
@settings(max_examples=60)
@given(st.lists(PATHS, min_size=2, max_size=5), st.data())
def test_committing_one_again_leaves_all_others_files(paths, data):
    ids = ids_of(paths)
    if not ids:
        return
    again = data.draw(st.sampled_from(ids))
    with tempfile.TemporaryDirectory() as folder:
        output = Store(folder)
        for name in [*ids, again, again]:
            with staging_folder(output) as staging:
                for file in files_of(name):
                    (staging / file).parent.mkdir(parents=True, exist_ok=True)
                    (staging / file).write_text(name)
                commit(staging, output=output, name=recording_folder(name), is_own=is_own_file)
        for name in ids:
            for file in files_of(name):
                assert (Path(folder) / file).read_text() == name


@pytest.mark.parametrize(
    "name", ["a.wav", "field trip/Vögel 3.wav", "level-1/a.wav", "v1.0/tape.flac", "x/index/a.ogg"]
)
def test_usual_ids_are_their_own_folders(name):
    assert recording_folder(name) == former_folder(name) == name


@pytest.mark.parametrize(("name", "before"), [("s1", "s1"), ("s1/mic1", "s1/mic1"), ("x/index", "x/index")])
def test_an_id_that_does_not_end_like_a_recording_has_a_folder_that_does(name, before):
    assert recording_folder(name) == f"{before}.stems"
    assert former_folder(name) == before


def test_no_folder_is_too_long_for_a_key_of_an_object_store() -> None:
    deep = "/".join(["ü" * 90] * 9)
    folders = [
        recording_folder(name) for name in (f"{deep}/a.wav", f"{deep}/b.wav", f"{deep}/a.wav/b.wav", deep)
    ]
    assert len(set(folders)) == 4
    assert max(len(folder.encode()) for folder in folders) < 600
    assert folders[0].endswith("/a.wav")
    assert recording_folder(folders[0]) != folders[0]  # whoever is called so
    assert len(stem_path(f"{deep}/a.wav", level=2, slug="x" * 200, extension="flac").encode()) < 900
