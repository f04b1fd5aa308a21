"""The page of a whole output: what was found, sound by sound, to be heard and to be called right or wrong.

Owns what it holds of an index of any size, and says what it leaves out. Its data are scripts beside it, one a sound,
for a page that is opened as a file may read nothing else. How it looks and works is in `archive.js` and its template.
"""

from __future__ import annotations

import functools
import hashlib
import heapq
import json
import re
import secrets
from array import array
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from markupsafe import Markup
from numpy.typing import NDArray

from uss_ray.errors import OutputError
from uss_ray.parallel import map_stream
from uss_ray.parsing import read_json
from uss_ray.records import recording_key, safe_name
from uss_ray.results.corrections import Correction
from uss_ray.results.index.table import (
    PARTS_AT_ONCE,
    has_file,
    heard_in,
    index_parts,
    open_part,
    read_index_part,
)
from uss_ray.results.layout import ARCHIVE_DATA_FOLDER, ARCHIVE_PAGE_NAME, OWN_PAGE_DATA, recording_folder
from uss_ray.results.report.pictures import time_text
from uss_ray.results.report.player import player_style
from uss_ray.results.report.template import template
from uss_ray.store.store import FoundFile, Location, Store
from uss_ray.version import VERSION

_STATUSES = ("written", "detected", "silent", "absent")
_LEAST_ABSENT = 0.1  # below it, that a sound is absent is no news
_KEPT_ROWS = 1000  # of a sound
_KEPT_RECORDINGS = 20_000
_KEPT_EVENTS = 6  # of a row
_AT_A_TIME = 8
_RECORDINGS = "recordings"
_END = b"</html>"
_OBJECT = b"UssRayArchive"
_STATE = re.compile(rb'<meta name="uss-ray-index" content="([0-9a-f]{64})">')
_FACTS = re.compile(rb'<script type="application/json" id="facts">(.*?)</script>', re.DOTALL)
_COLUMNS = [
    "recording_id", "node_id", "label", "level", "kind", "status", "reason", "probability", "certainty", "active_spans",
    "detected_spans", "level_db", "stem_uri", "frames", "sample_rate", "weights_name", "weights_sha256", "run_id",
]  # fmt: skip
_OF_RUN = ["weights_name", "weights_sha256", "run_id"]
_OF_FILES = ["recording_id", "stem_uri", "active_spans"]
_SHOWN = [
    *_OF_FILES,
    "detected_spans",
    "sample_rate",
    "status",
    "probability",
    "certainty",
    "level_db",
    "span_count",
]


@dataclass
class _Sound:
    """All that the index says of a node, and what the page keeps of its rows: how certain, which, and what it shows."""

    label: str
    level: int | None
    counts: Counter[str] = field(default_factory=Counter)
    kept: list[tuple[tuple[bool, float], int, _Shown]] = field(default_factory=list)

    @property
    def least(self) -> tuple[bool, float]:
        """How certain a row is at least that is still kept; what was heard comes before what was not."""
        return self.kept[0][0] if len(self.kept) >= _KEPT_ROWS else (False, -1.0)

    def keep(self, shown: _Shown, *, certainty: tuple[bool, float], number: int) -> None:
        """Keep a row in the place of the one that is the least certain, and the last of these."""
        entry = (certainty, -number, shown)
        if len(self.kept) < _KEPT_ROWS:
            heapq.heappush(self.kept, entry)
        else:
            heapq.heappushpop(self.kept, entry)

    def shown(self) -> list[_Shown]:
        """Give what is shown of the rows that are kept, the most certain first."""
        return [shown for _, _, shown in sorted(self.kept, key=lambda entry: entry[:2], reverse=True)]


class _Shown(NamedTuple):
    """What the page shows of a row: of which recording, in which folder, and the rest of it as JSON."""

    recording_id: str
    folder: str
    text: str


@dataclass
class _First:
    """The first of many recordings by their ids, each with something about it."""

    of: dict[str, str] = field(default_factory=dict)
    last: str | None = None

    def takes(self, recording_id: str) -> bool:
        """Tell whether a recording may be among the first."""
        return self.last is None or recording_id <= self.last

    def put(self, recording_id: str, about: str) -> None:
        """Take a recording, and let go of those that others come before."""
        self.of[recording_id] = about
        if len(self.of) > 2 * _KEPT_RECORDINGS:
            kept = heapq.nsmallest(_KEPT_RECORDINGS, self.of)
            self.of, self.last = {name: self.of[name] for name in kept}, kept[-1]


@dataclass
class _Recordings:
    """Recordings of an index: numbers of each time that one is met, by its key, and words of those the page lists."""

    keys: array[int] = field(default_factory=lambda: array("q"))
    seconds: array[float] = field(default_factory=lambda: array("d"))
    heard: array[int] = field(default_factory=lambda: array("q"))
    failed_keys: array[int] = field(default_factory=lambda: array("q"))
    folders: _First = field(default_factory=_First)
    reasons: _First = field(default_factory=_First)
    other_folders: dict[int, str] = field(
        default_factory=dict
    )  # of an older version: any of these may still fail

    def meet(self, recording_id: str, *, seconds: float, heard: int = 0, folder: str = "") -> None:
        """Take what a part says of a recording: its length (or NaN), how many sounds, where its files lie."""
        key = recording_key(recording_id)
        self.keys.append(key)
        self.seconds.append(seconds)
        self.heard.append(heard)
        if folder not in ("", recording_folder(recording_id)):
            self.other_folders.setdefault(key, folder)
        if self.folders.takes(recording_id):
            self.folders.put(recording_id, self.folders.of.get(recording_id) or folder)

    def fail(self, recording_id: str, reason: str) -> None:
        """Take that one has failed, which is met besides."""
        self.failed_keys.append(recording_key(recording_id))
        if self.reasons.takes(recording_id):
            self.reasons.put(recording_id, reason)

    def counts(self) -> tuple[int, int]:
        """Tell how many there are, and how many of them have failed."""
        return len(np.unique(np.array(self.keys))), len(np.unique(np.array(self.failed_keys)))

    def total_seconds(self) -> float:
        """Give the length of all together, added in the order of the index."""
        _, _, known = self._merged()
        return (
            float(np.cumsum(np.array(self.seconds)[np.sort(known[known >= 0])])[-1])
            if (known >= 0).any()
            else 0.0
        )

    def listed(self) -> list[list[Any]]:
        """Give what the page lists: those that failed first, both in the order of their ids."""
        failed = sorted(self.reasons.of)[:_KEPT_RECORDINGS]
        others = sorted(self.folders.of.keys() - self.reasons.of.keys())[: _KEPT_RECORDINGS - len(failed)]
        keys, heard, known = self._merged()
        listed = []
        for name in [*failed, *others]:
            key = recording_key(name)
            place = int(np.searchsorted(keys, key))
            seconds = round(self.seconds[known[place]], 1) if known[place] >= 0 else None
            _, *folder = _named(name, self.folders.of.get(name) or self.other_folders.get(key, ""))
            listed.append([name, seconds, int(heard[place]), self.reasons.of.get(name), *folder])
        return listed

    def _merged(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Give the sorted keys, how many sounds each has, and where its length first stands; -1 where nowhere."""
        keys, owners = np.unique(np.array(self.keys), return_inverse=True)
        heard = np.bincount(owners, weights=np.array(self.heard), minlength=len(keys)).astype(np.int64)
        return keys, heard, _first_rows(owners, ~np.isnan(np.array(self.seconds)), size=len(keys))


@dataclass
class ArchivePage:
    """What an index says, as far as the page keeps it; it takes the parts in the order of their names."""

    sounds: dict[str, _Sound] = field(default_factory=dict)
    recordings: _Recordings = field(default_factory=_Recordings)
    weights_name: str = ""
    weights_sha256: str = ""
    run_id: str = ""
    _row_count: int = 0

    def take(self, table: pa.Table) -> None:
        """Take a part of the index, as `read_index_part` gives it."""
        self.take_seen(*_seen(table))

    def take_seen(self, kept: pa.Table, quiet: pa.Table) -> None:
        """Take what the page looks at of a part, see `_seen`."""
        for rows in (kept, quiet):
            if len(rows):
                (last,) = rows.slice(len(rows) - 1).select(_OF_RUN).to_pylist()
                self.weights_name, self.weights_sha256, self.run_id = (last[name] for name in _OF_RUN)
        if len(kept):
            self._take_recordings(kept)
            self._take_sounds(kept)
        for row, seconds in zip(quiet["recording_id"].to_pylist(), _seconds(quiet), strict=True):
            self.recordings.meet(row, seconds=seconds)
        self._row_count += len(kept)

    def _take_recordings(self, kept: pa.Table) -> None:
        codes, names = _codes(kept["recording_id"])
        is_heard = _is_sound(kept) & _is_one_of(kept["status"], ("written", "detected"))
        heard = np.bincount(codes[is_heard], minlength=len(names))
        seconds = _seconds(kept)
        known = _first_rows(codes, ~np.isnan(seconds), size=len(names))
        filed = _first_rows(codes, _is_sound(kept) & has_file(kept), size=len(names))
        rows = kept.select(_OF_FILES).take(filed[filed >= 0]).to_pylist()
        folders = {row["recording_id"]: _folder(row) for row in rows}
        for code, name in enumerate(names):
            length = float(seconds[known[code]]) if known[code] >= 0 else np.nan
            self.recordings.meet(name, seconds=length, heard=int(heard[code]), folder=folders.get(name, ""))
        for row in (
            kept.select(["recording_id", "reason"]).filter(pc.equal(kept["status"], "failed")).to_pylist()
        ):
            self.recordings.fail(row["recording_id"], row["reason"])

    def _take_sounds(self, kept: pa.Table) -> None:
        is_sound = _is_sound(kept)
        numbers = self._row_count + np.flatnonzero(is_sound)
        rows = kept.filter(pa.array(is_sound))
        if not len(rows):
            return
        codes, node_ids = _codes(rows["node_id"])
        firsts = (
            rows.select(["label", "level"])
            .take(_first_rows(codes, codes >= 0, size=len(node_ids)))
            .to_pylist()
        )
        sounds = [
            self.sounds.setdefault(node_id, _Sound(first["label"], first["level"]))
            for node_id, first in zip(node_ids, firsts, strict=True)
        ]
        status_codes, statuses = _codes(rows["status"])
        pairs, counts = np.unique(codes * len(statuses) + status_codes, return_counts=True)
        for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True):
            sounds[pair // len(statuses)].counts[statuses[pair % len(statuses)]] += count
        is_there = ~_is_one_of(rows["status"], ("absent",))
        probability = rows["probability"].fill_null(1.0).to_numpy().astype(np.float64)
        least_there, least = (
            np.array(values)[codes] for values in zip(*(sound.least for sound in sounds), strict=True)
        )
        keeps = (is_there > least_there) | ((is_there == least_there) & (probability > least))
        places = np.flatnonzero(keeps)
        shown = rows.select(_SHOWN).take(places).to_pylist()
        folders: dict[str, str] = {}
        for place, row in zip(places.tolist(), shown, strict=True):
            sound, certainty = sounds[codes[place]], (bool(is_there[place]), float(probability[place]))
            if certainty > sound.least:
                folder = _folder(row)
                folder = folders.setdefault(folder, folder)  # one text for the many rows of a recording
                text = _row_text(row, folder=folder)
                sound.keep(
                    _Shown(row["recording_id"], folder, text), certainty=certainty, number=int(numbers[place])
                )

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Give what lies beside the page: the name of each file, relative to the output root, and its content."""
        yield _file(_RECORDINGS, _json(self.recordings.listed()))
        for node_id, chunk in _chunk_names(self).items():
            yield _file(chunk, _sound_text(self.sounds[node_id]))

    def facts(self) -> dict[str, Any]:
        """Give what the page itself holds of the index."""
        chunks = _chunk_names(self)
        recordings, failed = self.recordings.counts()
        return {
            "run": self.run_id,
            "weights": self.weights_sha256,
            "folder": ARCHIVE_DATA_FOLDER,
            "recordings": recordings,
            "failed": failed,
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
        If the store cannot be asked, the page not be written, or another one is called so.
    """
    output = Store.of(root, OutputError)
    page = output / ARCHIVE_PAGE_NAME
    if page.exists() and not _is_own(page.read()):
        raise OutputError(
            str(page), expected="no page yet, or that of an output", found="another, which stays as it is"
        )
    archive, state = ArchivePage(), hashlib.sha256()
    with closing(map_stream(_read, _noted(index_parts(output), state), threads=PARTS_AT_ONCE)) as parts:
        for kept, quiet in parts:
            archive.take_seen(kept, quiet)
    earlier = _data_in(output)

    def put(name: str, content: bytes) -> str:
        (output / name).put(content)
        return name

    # small files, and in a store each takes its time
    earlier -= set(map_stream(lambda file: put(*file), archive.files(), threads=_AT_A_TIME))
    for stale in sorted(earlier):
        (output / stale).remove()
    page.put(_render(archive, state=state.hexdigest()).encode("utf-8", "replace"))
    return str(page)


def is_current_page(output: Store) -> bool:
    """Tell whether the page of an output is there, whole, and made of the index as it is; no part of that is read.

    Raises
    ------
    OutputError
        If the store cannot be asked.
    """
    place = output / ARCHIVE_PAGE_NAME
    if not place.exists():
        return False
    page = place.read()
    told = _STATE.search(page)
    if told is None or not page.rstrip().endswith(_END):
        return False
    state = hashlib.sha256()
    deque(_noted(index_parts(output), state), maxlen=0)
    return _data_in(output) == {*page_data(page)} and told[1].decode() == state.hexdigest()


def _data_in(output: Store) -> set[str]:
    """Name the data of a page that are there, relative to the output root."""
    folder = output / ARCHIVE_DATA_FOLDER
    found = folder.list() if folder.exists() else ()
    return {file.relative_to(output) for file in found if OWN_PAGE_DATA.fullmatch(file.relative_to(folder))}


def _is_own(page: bytes) -> bool:
    """Tell whether what is called as the page of an output is one, of whatever version, cut or nothing at all."""
    return not page or _OBJECT in page or _STATE.search(page) is not None  # this stands near its beginning


def is_cut_page(page: bytes) -> bool:
    """Tell whether something is the page of an output without its end."""
    return bool(page) and _is_own(page) and not page.rstrip().endswith(_END)


def _noted(parts: Iterable[FoundFile], state: Any) -> Iterator[FoundFile]:
    """Give the parts of an index, and note what of them changes with their content, and who makes a page of it."""
    state.update(VERSION.encode())
    for part in parts:
        # What the store does not tell is another each time: then no page is taken for one of the same index.
        tag = part.content_tag or secrets.token_hex()
        state.update(f"\n{part.place.name}\t{tag}".encode("utf-8", "replace"))
        yield part


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
        return read_json(found[1]) if found else {}
    return {}


def _read(part: FoundFile) -> tuple[pa.Table, pa.Table]:
    with open_part(part) as file:
        return _seen(read_index_part(file, name=str(part.place), columns=_COLUMNS))


def _seen(table: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Give what the page looks at: rows of what is near, known, and not told by the row of another, or failed.

    The second table tells of each recording with other rows, in which all may be quiet, that it is there.
    """
    table = table.select(_COLUMNS)
    is_near = pc.greater_equal(pc.fill_null(table["probability"], 0.0), _LEAST_ABSENT)
    is_absent = pc.equal(table["status"], "absent")
    says_nothing = pc.is_in(table["status"], pa.array(["unknown", "explained"]))
    keeps = pc.and_not(pc.or_(pc.invert(is_absent), is_near), says_nothing)
    keeps = pc.or_(keeps, pc.equal(table["kind"], "recording"))  # what failed
    kept = table.filter(keeps).combine_chunks()
    spans, detected = kept["active_spans"], kept["detected_spans"]
    counts = pc.coalesce(pc.list_value_length(detected), pc.list_value_length(spans))
    kept = kept.append_column("span_count", counts)
    if detected.null_count == len(kept):  # where they are told, their files lie anywhere among the spans
        place = kept.schema.get_field_index("active_spans")
        kept = kept.set_column(place, "active_spans", pc.list_slice(spans, 0, _KEPT_EVENTS))
    names = ["frames", "sample_rate", *_OF_RUN]
    quiet = table.filter(pc.invert(keeps)).group_by("recording_id", use_threads=False)
    return kept, quiet.aggregate([(name, "first") for name in names]).select(
        ["recording_id", *(f"{name}_first" for name in names)]
    ).rename_columns(["recording_id", *names])


def _codes(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], list[str]]:
    """Give the texts of a column numbers, in the order in which they come."""
    encoded = pa.concat_arrays(column.chunks).dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary.to_pylist()


def _first_rows(codes: NDArray[np.int64], counts: NDArray[np.bool_], *, size: int) -> NDArray[np.int64]:
    """Give for each code the first row that counts; -1 where none does."""
    rows = np.flatnonzero(counts)
    found, first = np.unique(codes[rows], return_index=True)
    of = np.full(size, -1, np.int64)
    of[found] = rows[first]
    return of


def _is_one_of(column: pa.ChunkedArray, values: Sequence[str]) -> NDArray[np.bool_]:
    return np.asarray(pc.is_in(column, pa.array(values)).to_numpy(zero_copy_only=False), np.bool_)


def _is_sound(rows: pa.Table) -> NDArray[np.bool_]:
    """Tell which rows are of sounds: no residuals, and nothing that failed."""
    return ~(_is_one_of(rows["status"], ("failed",)) | _is_one_of(rows["kind"], ("residual",)))


def _seconds(rows: pa.Table) -> NDArray[np.float64]:
    """Give the length of the recording of each row; NaN where it is not known."""
    frames, rates = (
        rows[name].cast(pa.float64(), safe=False).to_numpy() for name in ("frames", "sample_rate")
    )
    return np.asarray(np.divide(frames, rates, out=np.full(len(rows), np.nan), where=rates > 0))


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


def _sound_text(sound: _Sound) -> str:
    rows = sound.shown()
    places: dict[str, int] = {}
    folders: dict[str, str] = {}
    for row in rows:
        places.setdefault(row.recording_id, len(places))
        folders[row.recording_id] = row.folder or folders.get(row.recording_id, "")
    recordings = _json([_named(recording_id, folders[recording_id]) for recording_id in places])
    texts = ",".join(f"[{places[row.recording_id]},{row.text}]" for row in rows)
    return f'{{"recordings":{recordings},"rows":[{texts}]}}'


def _folder(row: dict[str, Any]) -> str:
    """Tell where the files of a recording lie, by one of them: an older version may have named folders otherwise."""
    if row["stem_uri"] is not None:
        return str(row["stem_uri"]).rsplit("/", 2)[0]
    own = _first_file(row)
    return "" if own is None else own.rsplit("/", 3)[0]


def _first_file(row: dict[str, Any]) -> str | None:
    """Name the first of the files of its stretches."""
    return next((str(span["stem_uri"]) for span in row["active_spans"] if span["stem_uri"] is not None), None)


def _named(recording_id: str, folder: str) -> list[str]:
    """Give the id, and the folder where that has another name."""
    folder = folder or recording_folder(recording_id)
    return [recording_id] if folder == recording_id else [recording_id, folder]


def _row_text(row: dict[str, Any], *, folder: str) -> str:
    """Write what the page shows of a row, but for the place of its recording, as the values of a JSON list."""
    folder += "/"
    heard = heard_in(row)[:_KEPT_EVENTS]
    spans = [
        [
            round(span["start_seconds"], 2),
            round(span["end_seconds"], 2),
            *_own_file(span, folder=folder, sample_rate=row["sample_rate"]),
        ]
        for span in heard
    ]
    stem = row["stem_uri"] if heard else row["stem_uri"] or _first_file(row)
    values = [
        _STATUSES.index(row["status"]),
        None if row["probability"] is None else round(row["probability"], 3),
        None if row["level_db"] is None else round(row["level_db"], 1),
        row["span_count"],
        spans,
        None if stem is None else stem.removeprefix(folder),
        int(row["certainty"] == "doubtful"),
    ]
    return _json(values)[1:-1]


def _own_file(span: dict[str, Any], *, folder: str, sample_rate: int | None) -> list[str | float]:
    """Name the file that a stretch lies in, and the second of the recording at which that begins."""
    if span["stem_uri"] is None:
        return []
    first, rate = span["stem_start_frame"], sample_rate
    begins = span["start_seconds"] if first is None or not rate else first / rate
    return [span["stem_uri"].removeprefix(folder), round(begins, 2)]


_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _file(chunk: str, text: str) -> tuple[str, bytes]:
    """Write JSON as a script that hands it to the page; give its name too."""
    content = f"UssRayArchive.take({json.dumps(chunk)},{text})\n".encode("utf-8", "replace")
    return f"{ARCHIVE_DATA_FOLDER}/{chunk}.js", content


def _render(archive: ArchivePage, *, state: str) -> str:
    recordings, failed = archive.recordings.counts()
    return template("archive.html.j2").render(
        style=player_style(),
        script=_code(),
        facts=archive.facts(),
        state=state,
        recordings=recordings,
        failed=failed,
        duration=time_text(archive.recordings.total_seconds()),
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
