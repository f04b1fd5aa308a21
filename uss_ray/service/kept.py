"""Results that are kept for a while: one object each, of which stems, windows of sound and pictures are read in place.

A result is a zip without compression, which is also what a client gets of it as a whole::

    STORE/kept/<tenant>/<id>.zip      index.json, stems as `uss-ray separate` lays them out, and the recording itself

The id begins with the second in which it is over, in hexadecimal, so that no other file has to say so; the rest is by
chance. A result of another tenant is one that is not there.
"""

from __future__ import annotations

import json
import re
import secrets
import tempfile
import threading
import time
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from uss_ray.audio.capacity import stem_encoding
from uss_ray.audio.pcm import to_int16
from uss_ray.audio.splice import SplicedFile
from uss_ray.audio.stretch import read_stretch, stem_blocks
from uss_ray.audio.writing import StemWriter
from uss_ray.errors import OutputError, UssRayError
from uss_ray.records import safe_name
from uss_ray.service.backend import Answer, Work
from uss_ray.service.problems import Refusal
from uss_ray.store.store import Store
from uss_ray.store.systems import S3_SCHEMES

WINDOW_SAMPLES = 1 << 23
"""Most samples of a window, over all channels and stems."""

_FOLDER = "kept"
_INDEX = "index.json"
_ID = re.compile(r"([0-9a-f]{8})[0-9a-f]{32}")
_LOCAL_HEADER_BYTES = 30  # APPNOTE.TXT, 4.3.7: a name and an extra field follow, whose lengths are its end
_REMEMBERED = 256
_BLOCK_FRAMES = 1 << 17
_PRESIGNED_SECONDS = 60

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Part:
    """A stem within the object of its result.

    Attributes
    ----------
    offset, size : int
        Which bytes of the object it is.
    start_frame : int
        Where in the recording it begins.
    """

    offset: int
    size: int
    start_frame: int = 0


@dataclass(frozen=True, kw_only=True)
class KeptResult:
    """What is known of a result without reading sound.

    Attributes
    ----------
    result_id : str
    expires : int
        Second of Unix time from which it is gone.
    size : int
        Bytes of the object.
    index : mapping
        What `index.json` says: rate, channels, frames, rows, probabilities, run, and which stem is the recording.
    parts : mapping of str to Part
        Stems by their names.
    """

    result_id: str
    expires: int
    size: int
    index: Mapping[str, Any]
    parts: Mapping[str, Part]

    @property
    def seconds(self) -> float:
        """Length of the recording."""
        return float(self.index["frames"] / self.index["sample_rate"])

    @property
    def links(self) -> dict[str, str]:
        """Where the service gives it."""
        own = f"/v1/results/{self.result_id}"
        return {
            "self": own,
            "zip": f"{own}.zip",
            "window": f"{own}/window",
            "spectrogram": f"{own}/spectrogram.png",
        }

    def part(self, name: str) -> Part:
        """Give a stem by its name.

        Raises
        ------
        Refusal
            If there is none of that name.
        """
        found = self.parts.get(name)
        if found is None:
            raise Refusal(f"stem {name[:100]}", expected="a stem of this result", found="none", status=404)
        return found


class KeptResults:
    """The results that a store keeps.

    Parameters
    ----------
    store : Store
        Root of what the service keeps.
    presign : bool, default=False
        Whether whole results are fetched from the store itself, by addresses that are good for a minute.
    """

    def __init__(self, store: Store, *, presign: bool = False) -> None:
        self._root = store / _FOLDER
        self._presign = presign and store.scheme in S3_SCHEMES
        self._known: OrderedDict[tuple[str, str], KeptResult] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, work: Work, answer: Answer, *, tenant: str, seconds: int) -> KeptResult:
        """Keep what came of a recording.

        Parameters
        ----------
        work : Work
        answer : Answer
        tenant : str
            Whose it is.
        seconds : int
            How long it is kept.

        Returns
        -------
        KeptResult

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        result_id = f"{int(time.time()) + seconds:08x}{secrets.token_hex(16)}"
        with tempfile.TemporaryDirectory(prefix="uss-ray-kept-") as folder:
            recording = _recording(work, folder=Path(folder))
            index = {
                "sample_rate": work.spec.sample_rate,
                "channels": work.samples.shape[0],
                "frames": work.samples.shape[1],
                "name": work.name,
                "recording": recording.name,
                "run": dict(answer.run),
                "segment_seconds": answer.segment_seconds,
                "rows": [dict(row) for row in answer.rows],
                "probabilities": {
                    key: np.round(np.nan_to_num(probs), 3).tolist()
                    for key, probs in answer.probabilities.items()
                },
            }
            made = Path(folder, "result.zip")
            with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
                archive.writestr(zipfile.ZipInfo(_INDEX), json.dumps(index, default=str, ensure_ascii=False))
                for name, content in answer.files.items():
                    archive.writestr(zipfile.ZipInfo(name), content)
                archive.write(recording, recording.name)
            self._place(tenant, result_id).put(made)
        return self.find(tenant, result_id)

    def find(self, tenant: str, result_id: str) -> KeptResult:
        """Give a result that is there.

        Raises
        ------
        Refusal
            If there is none of that id, it is another tenant's, or it is over.
        """
        if _expires(result_id) <= time.time():
            raise _gone(result_id)
        with self._lock:
            known = self._known.get((tenant, result_id))
        if known is not None and self._place(tenant, result_id).is_gone():  # another front has removed it
            with self._lock:
                self._known.pop((tenant, result_id), None)
            raise _gone(result_id)
        if known is None:
            with self._open(tenant, result_id) as file:
                known = _described(file, result_id=result_id)
            with self._lock:
                self._known[tenant, result_id] = known
                while len(self._known) > _REMEMBERED:
                    self._known.popitem(last=False)
        return known

    def remove(self, tenant: str, result_id: str) -> None:
        """Remove a result.

        Raises
        ------
        Refusal
            If there is none of that id.
        OutputError
            If it cannot be removed.
        """
        self.find(tenant, result_id)
        with self._lock:
            self._known.pop((tenant, result_id), None)
        self._place(tenant, result_id).remove()

    def expire(self) -> int:
        """Remove what is over, whosever it is; what the store does not let go of now goes another time."""
        removed = 0
        try:
            found = list(self._root.list())
        except UssRayError:
            return 0  # nothing was kept yet, or the store is away, which whoever writes hears next
        for place in found:
            result_id = place.name.removesuffix(".zip")
            if _ID.fullmatch(result_id) and _expires(result_id) <= time.time():
                try:
                    place.remove()
                except OutputError:
                    continue
                removed += 1
        return removed

    def read(self, tenant: str, kept: KeptResult, *, start: int, stop: int) -> Iterator[bytes]:
        """Read bytes of the object, block by block."""
        with self._open(tenant, kept.result_id) as file:
            yield from blocks_between(file, start, stop)

    def window(
        self, tenant: str, kept: KeptResult, *, names: Sequence[str], start: int, frames: int
    ) -> NDArray[np.int16]:
        """Read the same stretch of several stems.

        Parameters
        ----------
        tenant : str
        kept : KeptResult
        names : sequence of str
            Which stems, in the order in which they are wanted.
        start, frames : int
            The stretch in native frames of the recording; what is beyond its end is left out.

        Returns
        -------
        ndarray of shape (frames, stems, channels), dtype=int16
            Silence where a stem has no sound.

        Raises
        ------
        Refusal
            If it is more than a window may be, or a stem is not there.
        """
        channels = kept.index["channels"]
        frames = max(0, min(frames, kept.index["frames"] - start))
        if frames * len(names) * channels > WINDOW_SAMPLES:
            raise Refusal(
                "window",
                expected=f"at most {WINDOW_SAMPLES} samples over all channels and stems",
                found=str(frames * len(names) * channels),
                status=413,
            )
        window = np.zeros((frames, len(names), channels), np.int16)
        with self._open(tenant, kept.result_id) as file:
            for place, name in enumerate(names):
                part = kept.part(name)
                skipped = max(0, part.start_frame - start)
                if skipped >= frames:
                    continue
                read = read_stretch(
                    _shown(file, part),
                    start=max(0, start - part.start_frame),
                    frames=frames - skipped,
                    name=name,
                )
                window[skipped : skipped + read.shape[1], place] = to_int16(read).T
        return window

    def blocks(self, tenant: str, kept: KeptResult, name: str) -> Iterator[Floats]:
        """Read a stem from its own start to its end."""
        part = kept.part(name)
        with self._open(tenant, kept.result_id) as file:
            yield from stem_blocks(_shown(file, part), block_frames=_BLOCK_FRAMES, name=name)

    def presigned(self, tenant: str, kept: KeptResult) -> str | None:
        """Give an address of the object in the store; None where results come through the service."""
        if not self._presign:
            return None
        system, path = self._place(tenant, kept.result_id).file_system()
        return str(system.sign(path, expiration=_PRESIGNED_SECONDS))

    def _folder(self, tenant: str) -> Store:
        return self._root / safe_name(quote(tenant, safe=" "))

    def _place(self, tenant: str, result_id: str) -> Store:
        return self._folder(tenant) / f"{result_id}.zip"

    @contextmanager
    def _open(self, tenant: str, result_id: str) -> Iterator[BinaryIO]:
        place = self._place(tenant, result_id)
        try:
            file = place.open()
        except UssRayError as error:
            if place.is_gone():
                raise _gone(result_id) from error
            raise OutputError(str(place), expected=error.expected, found=error.found) from error
        with file:
            yield file


def blocks_between(file: BinaryIO, start: int, stop: int) -> Iterator[bytes]:
    """Read bytes of a file, block by block."""
    file.seek(start)
    while start < stop and (block := file.read(min(1 << 18, stop - start))):
        start += len(block)
        yield block


def _gone(result_id: str) -> Refusal:
    return Refusal(f"result {result_id[:80]}", expected="a result that is kept", found="none", status=404)


def _expires(result_id: str) -> int:
    match = _ID.fullmatch(result_id)
    if match is None:
        raise _gone(result_id)
    return int(match[1], 16)


def _recording(work: Work, *, folder: Path) -> Path:
    """Write the recording as it was separated, with no loss."""
    stem_format, subtype = stem_encoding(work.spec, stem_format="flac", item=work.name)
    writer = StemWriter(
        folder / f"recording.{stem_format}",
        sample_rate=work.spec.sample_rate,
        channels=work.samples.shape[0],
        format=stem_format,
        subtype=subtype,
        grows=True,
        name="recording",
    )
    with writer:
        writer.write(work.samples)
    return writer.path


def _described(file: BinaryIO, *, result_id: str) -> KeptResult:
    try:
        with zipfile.ZipFile(file) as archive:
            index = json.loads(archive.read(_INDEX))
            found = archive.infolist()
        starts = {
            span["stem_uri"]: span.get("stem_start_frame") or 0
            for row in index["rows"]
            for span in row.get("active_spans") or ()
            if span.get("stem_uri")
        }
        parts = {
            info.filename: Part(
                offset=_content_offset(file, info),
                size=info.file_size,
                start_frame=starts.get(info.filename, 0),
            )
            for info in found
            if info.filename != _INDEX
        }
        size = file.seek(0, 2)
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        raise OutputError(
            f"result {result_id}", expected="a result as it was kept", found=str(error)
        ) from error
    return KeptResult(result_id=result_id, expires=_expires(result_id), size=size, index=index, parts=parts)


def _content_offset(file: BinaryIO, info: zipfile.ZipInfo) -> int:
    file.seek(info.header_offset)
    header = file.read(_LOCAL_HEADER_BYTES)
    lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    return info.header_offset + _LOCAL_HEADER_BYTES + lengths


def _shown(file: BinaryIO, part: Part) -> SplicedFile:
    return SplicedFile(file, [range(part.offset, part.offset + part.size)])
