"""Names of clips: by their files, by the keys of tables."""

from __future__ import annotations

import pytest

from uss_ray.datasets.clip_audio import CLIP_SUFFIXES, clip_name, is_clip_file, wants, without_suffix


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/Y-x.wav", "Y-x"),
        ("s3://b/c_30.000.FLAC", "c_30.000"),
        ("shard.tar#a.mp3", "shard.tar#a"),
        ("notes.txt", None),
        ("a/._x.wav", None),
        (".wav", None),
        ("no suffix", None),
    ],
)
def test_a_clip_is_called_by_its_file_without_folder_and_suffix(path: str, name: str | None) -> None:
    assert clip_name(path) == name


def test_every_suffix_counts_in_any_case() -> None:
    assert all(is_clip_file(f"a{suffix.upper()}") for suffix in CLIP_SUFFIXES)
    assert not is_clip_file("a.json")


def test_keys_lose_folder_and_audio_suffix_only() -> None:
    keys = ["x/Ya.flac", "Ya", "Ya_30.000", "c.txt", "d.e.wav"]
    assert [without_suffix(key) for key in keys] == ["Ya", "Ya", "Ya_30.000", "c.txt", "d.e"]


def test_no_selection_wants_all() -> None:
    assert wants(None, "a")
    assert wants("a".__eq__, "a")
    assert not wants("a".__eq__, "b")
