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
import time
import zipfile
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import numpy as np

from uss_ray.audio.capacity import stem_encoding
from uss_ray.audio.writing import StemWriter
from uss_ray.errors import OutputError, UssRayError
from uss_ray.parsing import read_json
from uss_ray.records import safe_name
from uss_ray.results.layout import CALL_INDEX_NAME
from uss_ray.service.backend import Answer, Work
from uss_ray.service.result import Part, Result, gone, opened
from uss_ray.store.store import Store

_FOLDER = "kept"
_ID = re.compile(r"([0-9a-f]{8})[0-9a-f]{32}")
_LOCAL_HEADER_BYTES = 30  # APPNOTE.TXT, 4.3.7: a name and an extra field follow, whose lengths are its end
_HEADER_READ_AHEAD_BYTES = 1 << 16


class KeptResults:
    """The results that a store keeps.

    Parameters
    ----------
    store : Store
        Root of what the service keeps.
    """

    def __init__(self, store: Store) -> None:
        self._root = store / _FOLDER

    def keep(self, work: Work, answer: Answer, *, tenant: str, seconds: int) -> Result:
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
        Result

        Raises
        ------
        OutputError
            If it cannot be written.
        """
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
                archive.writestr(
                    zipfile.ZipInfo(CALL_INDEX_NAME), json.dumps(index, default=str, ensure_ascii=False)
                )
                for name, content in answer.files.items():
                    archive.writestr(zipfile.ZipInfo(name), content)
                archive.write(recording, recording.name)
            result_id = f"{int(time.time()) + seconds:08x}{secrets.token_hex(16)}"
            self._place(tenant, result_id).put(made)
        return self._read(tenant, result_id)  # it is there, though it may be over by now

    def find(self, tenant: str, result_id: str) -> Result:
        """Give a result that is there.

        Raises
        ------
        Refusal
            If there is none of that id, it is another tenant's, or it is over.
        """
        if _expires(result_id) <= time.time():
            raise gone(result_id)
        return self._read(tenant, result_id)

    def _read(self, tenant: str, result_id: str) -> Result:
        place = self._place(tenant, result_id)
        with opened(place, ahead_bytes=_HEADER_READ_AHEAD_BYTES, name=result_id) as file:
            return _described(file, place=place, result_id=result_id)

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

    def _folder(self, tenant: str) -> Store:
        return self._root / safe_name(quote(tenant, safe=" "))

    def _place(self, tenant: str, result_id: str) -> Store:
        return self._folder(tenant) / f"{result_id}.zip"


def _expires(result_id: str) -> int:
    match = _ID.fullmatch(result_id)
    if match is None:
        raise gone(result_id)
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


def _described(file: BinaryIO, *, place: Store, result_id: str) -> Result:
    try:
        with zipfile.ZipFile(file) as archive:
            index = read_json(archive.read(CALL_INDEX_NAME))
            found = archive.infolist()
        starts = {
            span["stem_uri"]: span.get("stem_start_frame") or 0
            for row in index["rows"]
            for span in row.get("active_spans") or ()
            if span.get("stem_uri")
        }
        offsets = {
            info.filename: _content_offset(file, info) for info in found if info.filename != CALL_INDEX_NAME
        }
        parts = {
            info.filename: Part(
                place=place,
                size=info.file_size,
                tag=f"{result_id}-{offset}",
                offset=offset,
                start_frame=starts.get(info.filename, 0),
            )
            for info in found
            if (offset := offsets.get(info.filename)) is not None
        }
        return Result(
            result_id=result_id,
            index=index,
            parts=parts,
            recording=(index["recording"],),
            archive=Part(place=place, size=file.seek(0, 2), tag=f"{result_id}-0"),
            expires=_expires(result_id),
        )
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        raise OutputError(
            f"result {result_id}", expected="a result as it was kept", found=str(error)
        ) from error


def _content_offset(file: BinaryIO, info: zipfile.ZipInfo) -> int:
    file.seek(info.header_offset)
    header = file.read(_LOCAL_HEADER_BYTES)
    lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    return info.header_offset + _LOCAL_HEADER_BYTES + lengths
