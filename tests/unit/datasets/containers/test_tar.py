"""Clips in tar archives: what is a clip, and what is no end of an archive."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from tests.unit.datasets.conftest import Tones, encoded, tar_bytes, tone
from uss_ray.datasets.clip_audio import BrokenContainer, ClipAudio, ClipPlace
from uss_ray.datasets.clip_sources import open_clip_source
from uss_ray.datasets.containers import tar as tar_module
from uss_ray.datasets.containers.tar import TarReader
from uss_ray.errors import DataError
from uss_ray.store.store import Store


def test_a_tar_without_its_end_mark_or_with_a_damaged_header_is_not_taken_for_whole(
    tmp_path: Path, tones: Tones
) -> None:
    data = tar_bytes(tones)
    end = data.rstrip(b"\0")
    cut = tmp_path / "a.tar"
    cut.write_bytes(data[: -(-len(end) // 512) * 512])
    items = list(open_clip_source(str(cut)).readers[0]())
    assert len(items) == len(tones) + 1
    assert "end mark" in items[-1].reason
    damaged = bytearray(data)
    at = data.index(b"./shard/c.flac")
    damaged[at : at + 300] = b"x" * 300
    cut.write_bytes(damaged)
    items = list(open_clip_source(str(cut)).readers[0]())
    assert [type(item) for item in items] == [ClipAudio, ClipAudio, BrokenContainer]


def archive_of(path: Path, members: dict[str, bytes]) -> TarReader:
    with tarfile.open(path, "w") as archive:
        folder = tarfile.TarInfo("folder.wav")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return TarReader(Store(path, None, DataError))


def test_only_audio_members_are_clips(tmp_path: Path) -> None:
    sound = encoded(tone(300))
    members = {"x/Ya.flac": sound, "x/._b.flac": b"", "notes.txt": b"", "deep/er/c.WAV": b""}
    reader = archive_of(tmp_path / "a#1.tar", members)
    assert list(reader.places()) == [
        ClipPlace("Ya", f"{tmp_path}/a#1.tar#Ya"),
        ClipPlace("c", f"{tmp_path}/a#1.tar#c"),
    ]
    assert [(clip.name, clip.data) for clip in reader() if isinstance(clip, ClipAudio)] == [
        ("Ya", sound),
        ("c", b""),
    ]


def test_a_member_larger_than_a_clip_can_be_is_told_and_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tar_module, "_LARGEST_MEMBER_BYTES", 5)
    large, small = archive_of(tmp_path / "a.tar", {"a.wav": b"123456", "b.wav": b"12345"})()
    assert isinstance(large, BrokenContainer)
    assert "6 bytes" in large.reason
    assert isinstance(small, ClipAudio)
