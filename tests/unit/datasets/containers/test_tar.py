"""Clips in tar archives: what is a clip, and what is no end of an archive."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable
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


def reader_of(path: Path, content: bytes) -> TarReader:
    path.write_bytes(content)
    return TarReader(Store(path, None, DataError))


_PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "a.tar.gz": gzip.compress,
    "a.tar.bz2": bz2.compress,
    "a.tar.xz": lzma.compress,
    "a.tar": lambda data: data,
}
_PACKED = ["a.tar.gz", "a.tar.bz2", "a.tar.xz"]


@pytest.mark.parametrize("pack", _PACKERS.values(), ids=_PACKERS)
@pytest.mark.parametrize("name", _PACKERS)
def test_a_compressed_archive_is_read_whatever_it_is_called(
    tmp_path: Path, tones: Tones, pack: Callable[[bytes], bytes], name: str
) -> None:
    reader = reader_of(tmp_path / name, pack(tar_bytes(tones)))
    names = [place.name for place in reader.places() if isinstance(place, ClipPlace)]
    assert names == [clip.name for clip in reader() if isinstance(clip, ClipAudio)] == sorted(tones)


@pytest.mark.parametrize("name", _PACKED)
def test_an_archive_compressed_in_pieces_is_read_to_its_end(tmp_path: Path, tones: Tones, name: str) -> None:
    data = tar_bytes(tones)
    pieces = [data[at : at + 5000] for at in range(0, len(data), 5000)]
    assert len(pieces) > 2
    reader = reader_of(tmp_path / name, b"".join(map(_PACKERS[name], pieces)))
    assert [type(clip) for clip in reader()] == [ClipAudio] * len(tones)
    assert [type(place) for place in reader.places()] == [ClipPlace] * len(tones)


@pytest.mark.parametrize(
    "behind", [bytes(512), b"trailing", b"\0\0\0x", b"\x1f"], ids=["zeros", "text", "both", "half a mark"]
)
@pytest.mark.parametrize("name", _PACKED)
def test_what_lies_behind_a_compressed_archive_costs_no_clip(
    tmp_path: Path, tones: Tones, name: str, behind: bytes
) -> None:
    reader = reader_of(tmp_path / name, _PACKERS[name](tar_bytes(tones)) + behind)
    assert [type(clip) for clip in reader()] == [ClipAudio] * len(tones)
    assert [type(place) for place in reader.places()] == [ClipPlace] * len(tones)


@pytest.mark.parametrize("zeros", [4, (1 << 13) - 1, 1 << 14])
@pytest.mark.parametrize("name", _PACKED)
def test_a_compressed_archive_goes_on_behind_zeros(
    tmp_path: Path, tones: Tones, name: str, zeros: int
) -> None:
    data, pack = tar_bytes(tones), _PACKERS[name]
    reader = reader_of(tmp_path / name, pack(data[:5000]) + b"\0" * zeros + pack(data[5000:]))
    assert [type(clip) for clip in reader()] == [ClipAudio] * len(tones)


def all_but_the_last(items: list[ClipAudio | BrokenContainer]) -> list[type]:
    assert isinstance(items[-1], BrokenContainer)
    return [type(item) for item in items[:-1]]


@pytest.mark.parametrize("name", _PACKED)
def test_a_wrong_checksum_or_a_cut_is_told_behind_the_clips_before_it(
    tmp_path: Path, tones: Tones, name: str
) -> None:
    data = tar_bytes(tones)
    whole = _PACKERS[name](data)
    for packed in (whole[:-1], _with_a_wrong_checksum(name, data)):
        reader = reader_of(tmp_path / name, packed)
        assert all_but_the_last(list(reader())) == [ClipAudio] * len(tones)
        assert isinstance(list(reader.places())[-1], BrokenContainer)


def _with_a_wrong_checksum(name: str, data: bytes) -> bytes:
    packed = bytearray(_PACKERS[name](data))
    xz_index_bytes = 4 * (1 + int.from_bytes(packed[-8:-4], "little"))
    # The checksum of all that the archive holds; that of bzip2 may end within the last byte.
    packed[{"a.tar.gz": -8, "a.tar.bz2": -2, "a.tar.xz": -12 - xz_index_bytes - 1}[name]] ^= 1
    return bytes(packed)


def test_the_end_of_a_compressed_archive_stays_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    first, behind = gzip.compress(b"first"), b"trailing"
    monkeypatch.setattr(tar_module, "_PACKED_BYTES", len(first))
    source = io.BytesIO(first + behind.ljust(len(first)) + gzip.compress(b"no part of it"))
    unpacked = tar_module._Unpacked(source, b"\x1f\x8b")
    assert [unpacked.read(1 << 20) for _ in range(4)] == [b"first", b"", b"", b""]


def test_no_more_is_unpacked_at_once_than_is_asked_for(tmp_path: Path) -> None:
    class Counted(io.BytesIO):
        most = 0

        def read(self, count: int | None = -1, /) -> bytes:
            data = super().read(count)
            Counted.most = max(Counted.most, len(data))
            return data

    for mark, name in ((b"\x1f\x8b", "a.tar.gz"), (b"BZh", "a.tar.bz2"), (b"\xfd7zXZ\0", "a.tar.xz")):
        unpacked = tar_module._Unpacked(Counted(_PACKERS[name](bytes(3_000_001))), mark)
        sizes = []
        while data := unpacked.read(1 << 20):
            sizes.append(len(data))
        assert sizes == [1 << 20, 1 << 20, 3_000_001 - (2 << 20)]
    assert Counted.most <= 1 << 13


@pytest.mark.parametrize(
    ("kind", "how"), [(tarfile.LNKTYPE, "--hard-dereference"), (tarfile.SYMTYPE, "--dereference")]
)
def test_a_link_to_a_clip_says_how_to_pack_it(tmp_path: Path, kind: bytes, how: str) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("a.wav")
        member.size = 3
        archive.addfile(member, io.BytesIO(b"abc"))
        for name in ("b.wav", "b.txt"):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, "a.wav"
            archive.addfile(link)
    reader = reader_of(tmp_path / "a.tar", file.getvalue())
    told = BrokenContainer(f"{tmp_path}/a.tar#b", f"a link to a.wav; pack with tar {how}")
    assert list(reader.places())[1:] == list(reader())[1:] == [told]
    assert [clip.name for clip in reader(wanted=lambda name: name == "a") if isinstance(clip, ClipAudio)] == [
        "a"
    ]


@pytest.mark.parametrize("first", ["BZh91AY&SY.wav", "BZhAbc.wav", "]", "\x1f\udc8b.wav"], ids=ascii)
def test_a_plain_archive_is_not_taken_for_a_packed_one_by_its_first_name(tmp_path: Path, first: str) -> None:
    reader = archive_of(tmp_path / "a.tar", {"b.wav": b"123"})
    header = tarfile.TarInfo(first).tobuf(tarfile.GNU_FORMAT)
    (tmp_path / "a.tar").write_bytes(header + (tmp_path / "a.tar").read_bytes())
    assert list(reader.places())[-1] == ClipPlace("b", f"{tmp_path}/a.tar#b")
    assert [type(clip) for clip in reader()][-1] is ClipAudio


def names_of(reader: TarReader) -> list[str]:
    """What both ways of reading have in common: the names of the clips and the reasons why there are no more."""
    placed = [item.name if isinstance(item, ClipPlace) else item.reason for item in reader.places()]
    assert [item.name if isinstance(item, ClipAudio) else item.reason for item in reader()] == placed
    return placed


def tar_of(*names: str, form: int = tarfile.GNU_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 700
            archive.addfile(member, io.BytesIO(b"x" * 700))
    return file.getvalue()


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("name", _PACKERS)
def test_joined_archives_are_all_read(tmp_path: Path, name: str, form: int) -> None:
    long = "l" * 200
    parts = [tar_of("a.wav", "b.wav"), tar_of(), tar_of(f"{long}.wav", "d.wav", form=form)]
    joined = b"".join(map(_PACKERS[name], parts))
    assert names_of(reader_of(tmp_path / name, joined)) == ["a", "b", long, "d"]
    joined = _PACKERS[name](b"".join(parts))
    assert names_of(reader_of(tmp_path / name, joined)) == ["a", "b", long, "d"]


def test_a_fault_in_a_joined_archive_is_told(tmp_path: Path) -> None:
    first, second = tar_of("a.wav"), bytearray(tar_of("b.wav", "c.wav"))
    second[1536:1600] = b"x" * 64  # in the header of c
    told = f"bad checksum at byte {len(first) + 1536}, where a member or the end mark should be"
    assert names_of(reader_of(tmp_path / "a.tar", first + second)) == ["a", "b", told]
    long = bytearray(tar_of("l" * 200 + ".wav"))
    long[1024:1088] = b"x" * 64  # in the header that the long name is for
    told = f"bad checksum at byte {len(first) + 1024}, where a member or the end mark should be"
    assert names_of(reader_of(tmp_path / "a.tar", first + long)) == ["a", told]


@pytest.mark.parametrize("behind", [b"junk", b"junk" * 512, bytes(700)], ids=["little", "blocks", "zeros"])
def test_what_is_no_header_behind_the_end_mark_is_no_part_of_an_archive(
    tmp_path: Path, behind: bytes
) -> None:
    assert names_of(reader_of(tmp_path / "a.tar", tar_of("a.wav") + behind)) == ["a"]


@pytest.mark.parametrize("size", [0, 700])
def test_a_header_of_zeros_is_no_end_mark(tmp_path: Path, size: int) -> None:
    rest = tar_of("c.wav")[512 if size else 0 :]
    reader = reader_of(tmp_path / "a.tar", tar_of("a.wav")[:1536] + bytes(512) + rest)
    assert names_of(reader) == [
        "a",
        "a lone block of zeros at byte 1536, where a member or the end mark should be",
    ]


def test_an_end_mark_between_a_long_name_and_its_member_is_a_fault(tmp_path: Path) -> None:
    half = tar_of("l" * 200 + ".wav")[:1024] + bytes(10240)
    (told,) = names_of(reader_of(tmp_path / "a.tar", half + tar_of("b.wav")))
    assert "where a member or the end mark should be" in told


def test_an_end_mark_of_one_block_ends_an_archive(tmp_path: Path) -> None:
    assert names_of(reader_of(tmp_path / "a.tar", tar_of("a.wav")[: 1536 + 512])) == ["a"]
