"""From the rows of a recording to the lanes of its page: one a sound, in the order of the ontology.

Owns what is one lane (rows that point to the same file are), where it hangs in the tree and what it is called. Rows of
what was not heard have no lane; what is explained by something more specific has one without sound, to hang that from.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from urllib.parse import quote

import numpy as np

from uss_ray.errors import QueryError
from uss_ray.ontology.graph import Ontology
from uss_ray.results.index.activity import Activity
from uss_ray.results.index.table import IndexRow
from uss_ray.results.layout import recording_folder
from uss_ray.results.report.pictures import activity_code, activity_path, data_uri, spectrogram_png
from uss_ray.results.report.player import Lane, LaneFile, Link
from uss_ray.results.report.portrait import StemId
from uss_ray.results.report.spectrogram import Spectrogram

_KEPT_FILES = 20_000  # of the spans of all lanes together
_SMALLEST_COLUMNS = 75
_LEAST_BYTES_A_PIXEL = 0.2  # of a spectrogram that is full of sound; most are not, and take less
_NODES = ("node", "event")
_TOO_LARGE = "No picture: the page would be too large with it."


@dataclass(frozen=True)
class _Sound:
    """Rows that are one sound: of one file, or a single one without."""

    rows: tuple[IndexRow, ...]

    @property
    def first(self) -> IndexRow:
        return self.rows[0]

    @property
    def name(self) -> str:
        row = self.first
        if row.kind == "residual":
            return f"Rest of level {row.level}" if row.level else "Rest"
        return ", ".join(dict.fromkeys(row.label for row in self.rows))

    @property
    def groups(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(group_of(row) for row in self.rows))

    @property
    def loudness(self) -> float:
        return max((row.level_db for row in self.rows if row.level_db is not None), default=-np.inf)

    @property
    def order(self) -> tuple[float, float]:
        """The louder, and what has no sound the more probable, comes first."""
        return -self.loudness, -max((row.probability or 0.0 for row in self.rows), default=0.0)


def group_of(row: IndexRow) -> str:
    """Name the mix that a row is a part of: its level, the events, or what was asked for by name."""
    return "queries" if row.group is None else f"level {row.group}" if row.group else "events"


def lanes_of(
    rows: Sequence[IndexRow],
    *,
    activities: Mapping[str, Activity],
    spectrograms: Mapping[StemId, Spectrogram],
    total_seconds: float,
    top_db: float,
    picture_bytes: int,
) -> list[Lane]:
    """Make the lanes of everything that was heard, below each other as the ontology has them.

    Parameters
    ----------
    rows : sequence of IndexRow
        Of one recording.
    activities : mapping of str to Activity
        By node id.
    spectrograms : mapping of (level, key) to Spectrogram
        Of the stems that were written.
    total_seconds : float
        Length of the recording, > 0.
    top_db : float
        The brightest colour of all pictures.
    picture_bytes : int
        About how large all pictures together may be: they get coarser, and in the end fewer, to keep to it.

    Returns
    -------
    list of Lane
        Without the recording, whose place 0 they count from; rests last.
    """
    sounds = _sounds(rows)
    places = _tree([sound for sound in sounds if sound.first.kind != "residual"])
    places += [(sound, None, 0) for sound in sounds if sound.first.kind == "residual"]
    pictures = _pictures(
        {
            place: drawn
            for place, (sound, _, _) in enumerate(places)
            if (drawn := _drawn(sound, spectrograms))
        },
        top_db=top_db,
        most_bytes=picture_bytes,
        loudest=sorted(range(len(places)), key=lambda place: places[place][0].order),
    )
    kept_files = max(1, _KEPT_FILES // max(1, len(places)))
    return [
        replace(
            _lane(
                sound,
                activity=activities.get(sound.first.node_id),
                total_seconds=total_seconds,
                kept_files=kept_files,
            ),
            parent=0 if above is None else above + 1,
            depth=depth,
            picture=pictures.get(place, ""),
            no_picture=_TOO_LARGE if place not in pictures and _drawn(sound, spectrograms) else "",
        )
        for place, (sound, above, depth) in enumerate(places)
    ]


def _sounds(rows: Sequence[IndexRow]) -> list[_Sound]:
    found: dict[object, list[IndexRow]] = {}
    for row in rows:
        if row.status in ("written", "detected", "explained"):
            files = [row.stem_uri, *(span.stem_uri for span in row.active_spans)]
            key = next((uri for uri in files if uri is not None), (row.level, row.node_id))
            found.setdefault(key, []).append(row)
    return [_Sound(tuple(sorted(same, key=lambda row: -(row.probability or 0.0)))) for same in found.values()]


def _tree(sounds: Sequence[_Sound]) -> list[tuple[_Sound, int | None, int]]:
    """Order sounds so that each comes after the one it belongs to; with the place of that and its own depth."""
    nodes = {row.node_id: sound for sound in sounds for row in sound.rows if row.kind in _NODES}
    below: dict[int | None, list[_Sound]] = {}
    for sound in sounds:
        above = _above(sound, nodes)
        below.setdefault(None if above is None else id(above), []).append(sound)
    placed: list[tuple[_Sound, int | None, int]] = []

    def order(sound: _Sound) -> tuple[float, float]:
        return min([sound.order, *map(order, below.get(id(sound), ()))])

    def place(sound: _Sound, above: int | None, depth: int) -> None:
        own = len(placed)
        placed.append((sound, above, depth))
        for inner in sorted(below.get(id(sound), ()), key=order):
            place(inner, own, depth + 1)

    roots = sorted(below.get(None, ()), key=lambda one: (one.first.kind in _NODES, order(one)))
    for root in roots:
        place(root, None, 0)
    return placed


def _above(sound: _Sound, nodes: Mapping[str, _Sound]) -> _Sound | None:
    """Find the nearest ancestor that has a lane."""
    if sound.first.kind not in _NODES:
        return None
    try:
        parents = list(_ontology().node(sound.first.node_id).parent_ids)
    except QueryError:
        return None
    seen: set[str] = set()
    while parents:
        node_id = parents.pop(0)
        if node_id not in seen:
            seen.add(node_id)
            above = nodes.get(node_id)
            if above is not None and above is not sound:
                return above
            parents += _ontology().node(node_id).parent_ids
    return None


@functools.cache
def _ontology() -> Ontology:
    return Ontology.load()


def _drawn(sound: _Sound, spectrograms: Mapping[StemId, Spectrogram]) -> Spectrogram | None:
    found = (spectrograms.get((row.level, row.node_id)) for row in sound.rows if row.status == "written")
    return next((spectrogram for spectrogram in found if spectrogram is not None), None)


def _pictures(
    spectrograms: Mapping[int, Spectrogram], *, top_db: float, most_bytes: int, loudest: Sequence[int]
) -> dict[int, str]:
    """Draw pictures that keep to a size together."""
    coarse = 1
    pixels = sum(one.power_db.size for one in spectrograms.values())
    while pixels * _LEAST_BYTES_A_PIXEL / coarse > most_bytes:
        coarse *= 2
    while True:
        drawn = {
            place: data_uri(spectrogram_png(_coarser(one, coarse), top_db=top_db), media_type="image/png")
            for place, one in spectrograms.items()
        }
        columns = max((one.power_db.shape[1] // coarse for one in spectrograms.values()), default=0)
        if sum(map(len, drawn.values())) <= most_bytes or columns <= _SMALLEST_COLUMNS:
            break
        coarse *= 2
    left = most_bytes
    kept: dict[int, str] = {}
    for place in loudest:
        picture = drawn.get(place, "")
        if picture and len(picture) <= left:
            kept[place] = picture
            left -= len(picture)
    return kept


def _coarser(spectrogram: Spectrogram, factor: int) -> Spectrogram:
    if factor == 1:
        return spectrogram
    power = spectrogram.power_db
    padded = np.pad(power, ((0, 0), (0, -power.shape[1] % factor)), mode="edge")
    pooled = padded.reshape(len(power), -1, factor).max(axis=2)
    return replace(spectrogram, power_db=pooled)


def _lane(sound: _Sound, *, activity: Activity | None, total_seconds: float, kept_files: int) -> Lane:
    row = sound.first
    is_residual = row.kind == "residual"
    spans = () if is_residual else _spans(sound)
    files = _files(sound)
    left_out = f", of which the first {kept_files} play here" if len(files) > kept_files else ""
    return Lane(
        name=sound.name,
        groups=sound.groups,
        files=tuple(files[:kept_files]),
        note=_note(sound),
        facts=_facts(sound, left_out=left_out),
        strip="" if activity is None or is_residual else activity_path(activity, total_seconds=total_seconds),
        probs=("", 0.0) if activity is None or is_residual else activity_code(activity),
        strip_text="" if is_residual else _strip_text(sound, spans=len(spans)),
        spans=spans,
        links=_links(row),
        is_residual=is_residual,
    )


def _spans(sound: _Sound) -> tuple[tuple[float, float], ...]:
    """Give where any of its names is heard."""
    spans = sorted((span.start_seconds, span.end_seconds) for row in sound.rows for span in row.heard_spans)
    joined: list[tuple[float, float]] = []
    for start, end in spans:
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return tuple(joined)


def _files(sound: _Sound) -> list[LaneFile]:
    row = sound.first
    if row.stem_uri is not None:
        return [LaneFile(url=beside_page(row.stem_uri, row=row))]
    rate = row.sample_rate or 1
    total = math.inf if row.frames is None else row.frames / rate
    files = {
        span.stem_uri: LaneFile(
            url=beside_page(span.stem_uri, row=row),
            start_seconds=span.start_seconds
            if span.stem_start_frame is None
            else span.stem_start_frame / rate,
            end_seconds=min(span.end_seconds + 1.0, total),
        )
        for one in sound.rows
        for span in one.active_spans
        if span.stem_uri is not None
    }
    return sorted(files.values(), key=lambda file: file.start_seconds)


def beside_page(stem_uri: str, *, row: IndexRow) -> str:
    """Address a file of a recording from its page."""
    return quote(str(PurePosixPath(stem_uri).relative_to(recording_folder(row.recording_id))))


def _links(row: IndexRow) -> tuple[Link, ...]:
    size = size_text(row.written_bytes)
    coding = (row.format or "").split("/")[0]
    if row.stem_uri is not None:
        return (Link(url=beside_page(row.stem_uri, row=row), text=f"{coding} file, {size}"),)
    uris = [span.stem_uri for span in row.active_spans if span.stem_uri is not None]
    if not uris:
        return ()
    folder = str(PurePosixPath(beside_page(uris[0], row=row)).parent) + "/"
    return (Link(url=folder, text=f"{len(uris)} {coding} file{'' if len(uris) == 1 else 's'}, {size}"),)


def _note(sound: _Sound) -> str:
    row = sound.first
    if row.kind == "residual":
        return " · ".join(filter(None, ["the recording minus the stems", db_text(row.level_db)]))
    place = f"{row.kind} query" if row.level is None else f"level {'+'.join(_levels(sound))}"
    probability = "" if row.probability is None else f"p {row.probability:.2f}"
    probability += "?" if row.certainty == "doubtful" else ""
    within = "in those below" if row.status == "explained" else ""
    return " · ".join(filter(None, [place, probability, db_text(row.level_db), within]))


def _levels(sound: _Sound) -> list[str]:
    return list(dict.fromkeys(str(row.level) for row in sound.rows))


def _facts(sound: _Sound, *, left_out: str) -> str:
    row = sound.first
    nodes = ", ".join(dict.fromkeys(one.node_id for one in sound.rows if one.kind != "residual"))
    return " · ".join(
        filter(
            None,
            [
                nodes,
                f"p {row.stem_probability:.2f} in the stem itself"
                if row.stem_probability is not None
                else "",
                f"peak {db_text(row.peak_db)}" if row.peak_db is not None else "",
                f"{row.clipped_samples} clipped samples" if row.clipped_samples else "",
                f"active {row.active_seconds:.1f} s" if row.heard_spans else "",
                f"{row.stem_files} files{left_out}" if left_out else "",
            ],
        )
    )


def _strip_text(sound: _Sound, *, spans: int) -> str:
    row = sound.first
    probability = "not tagged" if row.probability is None else f"highest probability {row.probability:.2f}"
    where = f"{spans} event{'' if spans == 1 else 's'}" if spans else "active nowhere"
    return f"{sound.name}: {probability}, {where}"


def db_text(level_db: float | None) -> str:
    """Write a level in dB; nothing for none."""
    return "" if level_db is None else f"{level_db:.1f} dB".replace("-", "−")


def size_text(n_bytes: int) -> str:
    """Write the size of a file."""
    return f"{n_bytes / 1e6:.1f} MB" if n_bytes >= 1e6 else f"{max(1, round(n_bytes / 1e3))} kB"
