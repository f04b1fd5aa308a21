"""No two recordings meet below an output root, whatever their ids: property tests of layout and commit together."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uss_ray.api.staging import commit, staging_folder
from uss_ray.records import RECORDING_SUFFIXES, recording_id
from uss_ray.results.layout import (
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
s1 mic1 a.wav b.WAV level-1 Level-2 query report.html report.mp3 index index-pages .parts .lease .uss-ray-x x. dog.flac
residual a%2Ewav
"""
PARTS = st.one_of(
    st.sampled_from((*HOSTILE.split(), *ROOT_FILES)),
    st.text(min_size=1, max_size=8),
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


@settings(max_examples=300, deadline=None)
@given(st.lists(PATHS, min_size=1, max_size=6))
def test_no_two_recordings_files_meet(paths):
    seen = set(OWN_OF_ROOT)
    for name in ids_of(paths):
        files = files_of(name)
        assert not files & seen, name
        seen |= files
    folders = set().union(*map(ancestors, seen))
    assert not folders & seen, "a file where another has a folder"
    assert not any(part.startswith(".") for file in seen - OWN_OF_ROOT for part in file.split("/"))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
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


@pytest.mark.parametrize("nested", ["a.wav/b.wav", "tapes/a.OGG/level-1/b.flac", "a.wav/b.wav/c.wav"])
def test_no_recording_of_a_usual_name_lies_in_the_folder_of_another(nested):
    above = [part.partition("%")[0] for part in recording_folder(nested).split("/")[:-1]]
    assert not any(Path(part).suffix.casefold() in RECORDING_SUFFIXES for part in above)


@pytest.mark.parametrize(
    "name", ["a.wav", "field trip/Vögel 3.wav", "s1/mic1", "level-1/a.wav", "v1.0/tape", "x/index"]
)
def test_usual_ids_are_their_own_folders(name):
    assert recording_folder(name) == name
