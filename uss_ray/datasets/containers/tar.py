"""Clips in tar archives, such as WebDataset shards: read from front to end, one member in memory at a time."""

from __future__ import annotations

import bz2
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal, cast

from uss_ray.datasets.clip_audio import BrokenContainer, ClipAudio, ClipPlace, Wanted, clip_name, wants
from uss_ray.datasets.containers.watched import BrokenContentError, WatchedFile, open_watched
from uss_ray.store.store import Store

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_LARGEST_MEMBER_BYTES = 1 << 30
_BLOCK_BYTES = 1 << 20
_PACKED_BYTES = 1 << 13
_END_MARK_BYTES = 1024
_DECOMPRESSORS: dict[bytes, Callable[[], Any]] = {
    b"\x1f\x8b": lambda: zlib.decompressobj(16 + zlib.MAX_WBITS),
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ\0": lzma.LZMADecompressor,
    b"\x5d\0\0": lzma.LZMADecompressor,
}
_CONTENT_FAULTS = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError)


@dataclass(frozen=True)
class TarReader:
    """Reads the audio members of one tar archive, plain or compressed; what lies beside them is skipped.

    Parameters
    ----------
    place : Store
        A member's name, without folder and suffix, names its clip.
    """

    place: Store

    def places(self) -> Iterator[ClipPlace | BrokenContainer]:
        """List the clips; a plain archive is skipped through from header to header."""
        try:
            with self._opened(is_skipping=True) as archive:
                for member, name in _clips_in(archive):
                    location = f"{self.place}#{name}"
                    yield _link(member, location) or ClipPlace(name, location)
        except BrokenContentError as error:
            yield BrokenContainer(str(self.place), str(error))

    def __call__(self, *, wanted: Wanted | None = None) -> Iterator[ClipAudio | BrokenContainer]:
        """Read the wanted clips in the order of the archive."""
        try:
            with self._opened() as archive:
                for member, name in _clips_in(archive):
                    if wants(wanted, name):
                        yield self._clip(archive, member, name)
        except BrokenContentError as error:
            yield BrokenContainer(str(self.place), str(error))

    def _clip(
        self, archive: tarfile.TarFile, member: tarfile.TarInfo, name: str
    ) -> ClipAudio | BrokenContainer:
        location = f"{self.place}#{name}"
        link = _link(member, location)
        if link is not None:
            return link
        if member.size > _LARGEST_MEMBER_BYTES:
            return BrokenContainer(location, f"{member.size} bytes are more than a clip can have")
        file = archive.extractfile(member)
        return ClipAudio(name, location, data=b"" if file is None else file.read())

    @contextmanager
    def _opened(self, *, is_skipping: bool = False) -> Iterator[tarfile.TarFile]:
        with open_watched(self.place, content_faults=_CONTENT_FAULTS) as file:
            unpacked = _unpacked(file)
            mode: Literal["r:", "r|"] = "r:" if is_skipping and unpacked is None else "r|"
            with tarfile.open(
                fileobj=unpacked or cast("BinaryIO", file),
                mode=mode,
                tarinfo=_StrictTarInfo,
                bufsize=_BLOCK_BYTES,
            ) as archive:
                yield archive
            # Checksums stand at the end of what is packed, behind the end of the archive.
            while unpacked is not None and unpacked.read(_BLOCK_BYTES):
                pass


def _unpacked(file: WatchedFile) -> BinaryIO | None:
    """Unpack a compressed archive, whatever it is called; None for a plain one.

    tarfile does so itself, but compares no checksum, and ends with the first of several streams.
    """
    head = file.read(tarfile.BLOCKSIZE)
    file.seek(0)
    if _is_header(head):  # a plain archive begins with a file name, which may be any of the marks
        return None
    for mark in _DECOMPRESSORS:
        if head.startswith(mark):
            return cast("BinaryIO", _Unpacked(cast("BinaryIO", file), mark))
    return None


def _is_header(block: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


class _Unpacked:
    """What is in one or more packed streams, with zeros between and anything else behind them.

    The files of the standard library refuse bytes behind the last stream, and what they had unpacked before a
    fault is lost with it. Here the fault waits for the next read, and costs no more than the end mark of an
    archive, where that is a wrong checksum behind all of it.
    """

    def __init__(self, source: BinaryIO, mark: bytes) -> None:
        self._source = source
        self._mark = mark
        self._stream = _DECOMPRESSORS[mark]()
        self._packed = b""
        self._fault: Exception | None = None

    def read(self, count: int) -> bytes:
        """Unpack `count` bytes; fewer at the end or before a fault, which the next read raises."""
        unpacked = bytearray()
        while len(unpacked) < count and self._fault is None and self._has_more():
            try:
                unpacked += self._unpack(min(count - len(unpacked), _END_MARK_BYTES))
            except _CONTENT_FAULTS as fault:
                self._fault = fault
        if self._fault is not None and not unpacked:
            raise self._fault
        return bytes(unpacked)

    def _unpack(self, count: int) -> bytes:
        # Only zlib hands back what it had no room to unpack; the others keep it.
        if not self._packed and getattr(self._stream, "needs_input", True):
            self._packed = self._source.read(_PACKED_BYTES)
            if not self._packed:
                raise EOFError("the packed file ends before its end mark")
        unpacked: bytes = self._stream.decompress(self._packed, count)
        self._packed = getattr(self._stream, "unconsumed_tail", b"")
        return unpacked

    def _has_more(self) -> bool:
        """Go on with the next stream after the end of one, if another follows."""
        if not self._stream.eof:
            return True
        behind = (self._packed or self._stream.unused_data).lstrip(b"\0")
        while len(behind) < len(self._mark) and (read := self._source.read(_PACKED_BYTES)):
            behind = (behind + read).lstrip(b"\0")
        self._packed = behind
        if not behind.startswith(self._mark):
            return False
        self._stream = _DECOMPRESSORS[self._mark]()
        return True


def _clips_in(archive: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, str]]:
    for member in archive:
        archive.members.clear()  # type: ignore[attr-defined] # every header would be kept
        name = clip_name(member.name) if member.isfile() or member.islnk() or member.issym() else None
        if name is not None:
            yield member, name


def _link(member: tarfile.TarInfo, location: str) -> BrokenContainer | None:
    """Refuse a member whose sound lies elsewhere: what is read from front to end does not go back for it."""
    if not (member.islnk() or member.issym()):
        return None
    how = "--hard-dereference" if member.islnk() else "--dereference"
    return BrokenContainer(location, f"a link to {member.linkname}; pack with tar {how}")


class _StrictTarInfo(tarfile.TarInfo):
    """A header that is damaged or missing is a fault: tarfile takes it for the end of the archive.

    It ends with the first of several archives, too; here the next header behind an end mark is read on from, as
    with `tar --ignore-zeros`. Anything else behind an end mark is no part of the archive.
    """

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> tarfile.TarInfo:  # type: ignore[override]
        at, zeros = archive.fileobj.tell(), 0
        # Behind a header that tells of the next one, such as a long name, no end mark may stand.
        is_own_header = at == archive.offset
        while True:
            try:
                member = super().fromtarfile(archive)
            except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
                if not is_own_header:
                    raise
                zeros += 1
                continue
            except tarfile.HeaderError as error:
                if _may_follow(error, zeros):
                    raise tarfile.EOFHeaderError(str(error)) from error  # type: ignore[attr-defined]
                if zeros == 1:
                    raise _lone_zeros(at) from error
                raise _fault(str(error), at + zeros * tarfile.BLOCKSIZE) from error
            if zeros == 1:
                raise _lone_zeros(at)
            return member


def _may_follow(error: tarfile.HeaderError, zeros: int) -> bool:
    """Tell whether what is no header may stand behind so many blocks of zeros; an end mark has two."""
    if isinstance(error, tarfile.InvalidHeaderError):  # type: ignore[attr-defined]
        return zeros > 1
    ends = (tarfile.EmptyHeaderError, tarfile.TruncatedHeaderError)  # type: ignore[attr-defined]
    return zeros > 0 and isinstance(error, ends)


def _lone_zeros(at: int) -> tarfile.ReadError:
    return _fault("a lone block of zeros", at)


def _fault(what: str, at: int) -> tarfile.ReadError:
    return tarfile.ReadError(f"{what} at byte {at}, where a member or the end mark should be")
