"""What a recording is called, wherever its archive lies."""

from __future__ import annotations

import os
import pickle

import pytest

from uss_ray.records import Recording, recording_id, recording_key


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


def test_every_reserved_letter_is_encoded_however_plain_its_neighbours() -> None:
    encoded = [chr(code) for code in range(128) if recording_id(f"a{chr(code)}b") != f"a{chr(code)}b"]
    assert encoded == [*map(chr, range(32)), *'"#%*:<>?\\|', "\x7f"]


def test_keys_follow_from_ids_alone_and_fit_a_signed_integer() -> None:
    here = Recording(recording_uri="/archive/a.wav", recording_id="a.wav")
    there = Recording(recording_uri="s3://bucket/a.wav", recording_id="a.wav")
    assert here.recording_key == there.recording_key == recording_key("a.wav") == 0x38B9E6351D53D0A3
    keys = {recording_key(f"{number}.wav") for number in range(1000)}
    assert len(keys) == 1000
    assert all(0 <= key < 2**63 for key in keys)
    assert pickle.loads(pickle.dumps(here)) == here  # noqa: S301
