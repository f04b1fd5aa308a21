"""The page of a whole output: what was found, sound by sound, to be heard and to be called right or wrong.

Owns what it holds of an index of any size, and says what it leaves out. Its data are scripts beside it, one a sound,
for a page that is opened as a file may read nothing else. How it looks and works is in `archive.js` and its template.
"""

from __future__ import annotations

import functools
import heapq
import json
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from markupsafe import Markup

from uss_ray.errors import OutputError
from uss_ray.records import safe_name
from uss_ray.results.corrections import Correction
from uss_ray.results.index.table import index_parts, read_index_part
from uss_ray.results.layout import ARCHIVE_DATA_FOLDER, ARCHIVE_PAGE_NAME, recording_folder
from uss_ray.results.report.pictures import time_text
from uss_ray.results.report.player import player_style
from uss_ray.results.report.template import template
from uss_ray.store.store import Location, Store

_STATUSES = ("written", "detected", "silent", "absent")
_LEAST_ABSENT = 0.1  # below it, that a sound is absent is no news
_KEPT_ROWS = 1000  # of a sound
_KEPT_RECORDINGS = 20_000
_KEPT_EVENTS = 6  # of a row
_AT_A_TIME = 8
_RECORDINGS = "recordings"
_END = b"</html>"
_FACTS = re.compile(rb'<script type="application/json" id="facts">(.*?)</script>', re.DOTALL)
_COLUMNS = [
    "recording_id", "node_id", "label", "level", "kind", "status", "reason", "probability", "certainty", "active_spans",
    "level_db", "stem_uri", "frames", "sample_rate", "weights_name", "weights_sha256", "run_id",
]  # fmt: skip


@dataclass
class _Sound:
    """All that the index says of a node, and the rows that the page keeps of it."""

    label: str
    level: int | None
    counts: Counter[str] = field(default_factory=Counter)
    kept: list[tuple[tuple[bool, float], int, dict[str, Any]]] = field(default_factory=list)

    def take(self, row: dict[str, Any], *, number: int) -> None:
        """Count a row, and keep it if it is of the most certain; what was heard comes before what was not."""
        self.counts[row["status"]] += 1
        certainty = (row["status"] != "absent", row["probability"] if row["probability"] is not None else 1.0)
        entry = (certainty, -number, row)
        if len(self.kept) < _KEPT_ROWS:
            heapq.heappush(self.kept, entry)
        else:
            heapq.heappushpop(self.kept, entry)

    def rows(self) -> list[dict[str, Any]]:
        """Give the rows that are kept, the most certain first."""
        return [row for _, _, row in sorted(self.kept, key=lambda entry: entry[:2], reverse=True)]


@dataclass
class ArchivePage:
    """What an index says, as far as the page keeps it; it takes the parts in the order of their names."""

    sounds: dict[str, _Sound] = field(default_factory=dict)
    recordings: dict[str, list[Any]] = field(default_factory=dict)
    seconds: float = 0.0
    failed: int = 0
    weights_name: str = ""
    weights_sha256: str = ""
    run_id: str = ""
    _row_count: int = 0

    def take(self, table: pa.Table) -> None:
        """Take a part of the index, as `read_index_part` gives it."""
        for row in _rows(table):
            self._take_row(row)

    def _take_row(self, row: dict[str, Any]) -> None:
        known = self.recordings.setdefault(row["recording_id"], [None, 0, None, ""])
        if known[0] is None and row["frames"] is not None and row["sample_rate"]:
            seconds = row["frames"] / row["sample_rate"]
            self.seconds += seconds
            known[0] = seconds
        self.weights_name, self.weights_sha256 = row["weights_name"], row["weights_sha256"]
        self.run_id = row["run_id"]
        if row["status"] == "failed":
            self.failed += known[2] is None
            known[2] = row["reason"]
        elif row["kind"] != "residual":
            known[1] += row["status"] in ("written", "detected")
            known[3] = known[3] or _folder(row)
            sound = self.sounds.setdefault(row["node_id"], _Sound(row["label"], row["level"]))
            sound.take(row, number=self._row_count)
        self._row_count += 1

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Give what lies beside the page: the name of each file, relative to the output root, and its content."""
        listed = sorted(self.recordings.items(), key=lambda item: (item[1][2] is None, item[0]))
        yield _file(_RECORDINGS, [_recording_data(*item) for item in listed[:_KEPT_RECORDINGS]])
        for node_id, chunk in _chunk_names(self).items():
            yield _file(chunk, _sound_data(self.sounds[node_id]))

    def facts(self) -> dict[str, Any]:
        """Give what the page itself holds of the index."""
        chunks = _chunk_names(self)
        return {
            "run": self.run_id,
            "weights": self.weights_sha256,
            "folder": ARCHIVE_DATA_FOLDER,
            "recordings": len(self.recordings),
            "failed": self.failed,
            "columns": list(Correction.model_fields),
            "sounds": [
                {
                    "id": node_id,
                    "label": sound.label,
                    "level": sound.level,
                    "chunk": chunks[node_id],
                    "counts": [sound.counts[status] for status in _STATUSES],
                }
                for node_id, sound in sorted(
                    self.sounds.items(),
                    key=lambda item: (
                        -item[1].counts["written"] - item[1].counts["detected"],
                        item[1].label,
                        item[0],
                    ),
                )
            ],
        }

    def is_told_by(self, page: bytes) -> bool:
        """Tell whether a page is whole and holds this, whenever it was written."""
        is_whole = page.rstrip().endswith(_END)
        return is_whole and _facts_of(page) == json.loads(json.dumps(self.facts()))


def write_archive_page(root: Location | Store) -> str:
    """Write the page of an output from its index, and its data beside it.

    Parameters
    ----------
    root : Store, str or path
        Output root.

    Returns
    -------
    str
        Where the page is; it is written last.

    Raises
    ------
    DataError
        If there is no index, or a part of it cannot be read.
    OutputError
        If the store cannot be asked, or the page not be written.
    """
    output = Store.of(root, OutputError)
    archive = ArchivePage()
    for part in index_parts(output):
        with part.place.open() as file:
            archive.take(read_index_part(file, name=str(part.place)))
    folder = output / ARCHIVE_DATA_FOLDER
    earlier = {file.relative_to(output) for file in folder.list()} if folder.exists() else set()

    def put(name: str, content: bytes) -> str:
        (output / name).put(content)
        return name

    with ThreadPoolExecutor(_AT_A_TIME) as pool:  # small files, and in a store each takes its time
        written = [pool.submit(put, *file) for file in archive.files()]
        earlier -= {done.result() for done in written}
    for stale in sorted(earlier):
        (output / stale).remove()
    page = output / ARCHIVE_PAGE_NAME
    page.put(_render(archive).encode("utf-8", "replace"))
    return str(page)


def page_data(page: bytes) -> tuple[str, ...]:
    """Name the files that the page of an output reads.

    Parameters
    ----------
    page : bytes
        The page, or any other file.

    Returns
    -------
    tuple of str
        Relative to the output root; none of what is no such page.
    """
    try:
        facts = _facts_of(page)
        chunks = [_RECORDINGS, *(sound["chunk"] for sound in facts["sounds"])]
        return tuple(f"{facts['folder']}/{chunk}.js" for chunk in chunks)
    except (ValueError, KeyError, TypeError):
        return ()


def _facts_of(page: bytes) -> Any:
    found = _FACTS.search(page)
    with suppress(ValueError):
        return json.loads(found[1]) if found else {}
    return {}


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Give the rows that the page looks at: of what is near, known, and not told by the row of another."""
    table = table.select(_COLUMNS)
    is_near = pc.greater_equal(pc.fill_null(table["probability"], 0.0), _LEAST_ABSENT)
    is_absent = pc.equal(table["status"], "absent")
    says_nothing = pc.is_in(table["status"], pa.array(["unknown", "explained"]))
    keeps = pc.and_not(pc.or_(pc.invert(is_absent), is_near), says_nothing)
    first = pc.equal(table["kind"], "recording")  # what failed
    quiet = table.filter(pc.invert(pc.or_(keeps, first)))
    yield from table.filter(pc.or_(keeps, first)).to_pylist()
    yield from _only_lengths(quiet)


def _only_lengths(quiet: Any) -> Iterator[dict[str, Any]]:
    """Tell of each recording in which all may be quiet that it is there."""
    first_of = quiet.group_by("recording_id", use_threads=False).aggregate(
        [(name, "first") for name in ("frames", "sample_rate", "weights_name", "weights_sha256", "run_id")]
    )
    for row in first_of.to_pylist():
        plain = {name.removesuffix("_first"): value for name, value in row.items()}
        yield plain | {"status": "unknown", "kind": "residual"}


def _chunk_names(archive: ArchivePage) -> dict[str, str]:
    """Name the script of each sound, the same in every run."""
    taken: set[str] = set()
    names = {}
    for node_id in sorted(archive.sounds):
        wanted = safe_name("sound-" + re.sub(r"\W+", "_", node_id.casefold()).strip("_"))
        name, number = wanted, 1
        while name in taken:
            number += 1
            name = f"{wanted}-{number}"
        taken.add(name)
        names[node_id] = name
    return names


def _sound_data(sound: _Sound) -> dict[str, Any]:
    rows = sound.rows()
    places: dict[str, int] = {}
    folders: dict[str, str] = {}
    for row in rows:
        places.setdefault(row["recording_id"], len(places))
        folders[row["recording_id"]] = _folder(row) or folders.get(row["recording_id"], "")
    return {
        "recordings": [_named(recording_id, folders[recording_id]) for recording_id in places],
        "rows": [_row_data(row, place=places[row["recording_id"]]) for row in rows],
    }


def _folder(row: dict[str, Any]) -> str:
    """Tell where the files of a recording lie, by one of them: an older version may have named folders otherwise."""
    if row["stem_uri"] is not None:
        return str(row["stem_uri"]).rsplit("/", 2)[0]
    own = next((span["stem_uri"] for span in row["active_spans"] if span["stem_uri"] is not None), None)
    return "" if own is None else str(own).rsplit("/", 3)[0]


def _named(recording_id: str, folder: str) -> list[str]:
    """Give the id, and the folder where that has another name."""
    folder = folder or recording_folder(recording_id)
    return [recording_id] if folder == recording_id else [recording_id, folder]


def _row_data(row: dict[str, Any], *, place: int) -> list[Any]:
    folder = _folder(row) + "/"
    spans = [
        [round(span["start_seconds"], 2), round(span["end_seconds"], 2), *_own_file(span, folder=folder)]
        for span in row["active_spans"][:_KEPT_EVENTS]
    ]
    return [
        place,
        _STATUSES.index(row["status"]),
        None if row["probability"] is None else round(row["probability"], 3),
        None if row["level_db"] is None else round(row["level_db"], 1),
        len(row["active_spans"]),
        spans,
        None if row["stem_uri"] is None else row["stem_uri"].removeprefix(folder),
        int(row["certainty"] == "doubtful"),
    ]


def _own_file(span: dict[str, Any], *, folder: str) -> list[str]:
    return [] if span["stem_uri"] is None else [span["stem_uri"].removeprefix(folder)]


def _recording_data(recording_id: str, known: list[Any]) -> list[Any]:
    seconds, heard, reason, place = known
    _, *folder = _named(recording_id, place)
    return [recording_id, None if seconds is None else round(seconds, 1), heard, reason, *folder]


def _file(chunk: str, data: Any) -> tuple[str, bytes]:
    """Write data as a script that hands them to the page; give its name too."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    content = f"UssRayArchive.take({json.dumps(chunk)},{text})\n".encode("utf-8", "replace")
    return f"{ARCHIVE_DATA_FOLDER}/{chunk}.js", content


def _render(archive: ArchivePage) -> str:
    return template("archive.html.j2").render(
        style=player_style(),
        script=_code(),
        facts=archive.facts(),
        recordings=len(archive.recordings),
        failed=archive.failed,
        duration=time_text(archive.seconds),
        weights_name=archive.weights_name,
        made_at=datetime.now(UTC),
        statuses=_STATUSES,
        least_absent=_LEAST_ABSENT,
        left_out=_left_out(archive),
    )


def _left_out(archive: ArchivePage) -> str:
    cut = sum(sum(sound.counts.values()) > _KEPT_ROWS for sound in archive.sounds.values())
    if not cut:
        return ""
    return f"Of {cut} sound{'' if cut == 1 else 's'} the page holds {_KEPT_ROWS} findings each; the index has all."


@functools.cache
def _code() -> Markup:
    return Markup((files("uss_ray.results.report") / "archive.js").read_text(encoding="utf-8"))
