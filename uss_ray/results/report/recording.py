"""One HTML page a recording, complete in one file: pictures, sounds, facts.

Owns what the page says and how much it may weigh; how it looks is in `templates/report.html.j2`.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import uuid
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from urllib.parse import quote

import jinja2
import numpy as np

from uss_ray.audio.spec import LOSSY_FORMATS
from uss_ray.errors import ConfigError, OutputError
from uss_ray.results.index.activity import Activity
from uss_ray.results.index.table import ActiveSpan, IndexRow, Status
from uss_ray.results.layout import recording_folder, report_path
from uss_ray.results.report.pictures import (
    STRIP_WIDTH,
    Bar,
    activity_bars,
    data_uri,
    frequency_ticks,
    span_bars,
    spectrogram_png,
    time_text,
    time_ticks,
)
from uss_ray.results.report.portrait import StemId
from uss_ray.results.report.preview import preview_of_file
from uss_ray.results.stems.written import WrittenRecording

_MP3 = "audio/mpeg"
_FILE_MEDIA_TYPES = {
    ".flac": "audio/flac",
    ".wav": "audio/wav",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg; codecs=opus",
}
_SPANS_IN_WORDS = 5
_PLAYED_SPANS = 8
_METER_FLOOR_DB = -60.0
_SOUNDING: tuple[Status, ...] = ("written", "detected", "silent")
_STATUSES: tuple[Status, ...] = (*_SOUNDING, "absent", "unknown")


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Player:
    """One sound to be played."""

    title: str
    url: str
    media_type: str
    is_embedded: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Stem:
    """One written stem or residual as the page shows it: its one file, or those of its spans."""

    row: IndexRow
    file_url: str
    file_size: str
    file_count: int
    picture: str
    players: list[_Player]
    seeks: bool
    meter_percent: float
    level_text: str
    peak_text: str
    spans_text: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Strip:
    """One line of the time line."""

    row: IndexRow
    bars: list[Bar]
    spans: list[Bar]
    text: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Group:
    """One ontology level, or the queries."""

    title: str
    anchor: str
    counts: str
    strips: list[_Strip]
    stems: list[_Stem]
    unheard: list[IndexRow]
    unknown: int
    is_detected_only: bool


def write_report(
    written: WrittenRecording,
    *,
    root: Path,
    embed_seconds: float = 90.0,
    page_bytes: int = 15_000_000,
) -> Path:
    """Write the page of one recording next to its stems.

    Parameters
    ----------
    written : WrittenRecording
        From `writer.write_estimates` or `parts.join_parts`, with a portrait.
    root : Path
        The output root it was written to, a local folder. Stems that are no longer there are played from the
        place they will have beside the page.
    embed_seconds : float, default=90.0
        Stems of longer recordings are played from their files instead of from inside the page.
    page_bytes : int, default=15_000_000
        About how large the page may become: stems that do not fit any more are played from their files.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    ConfigError
        If it was written without a portrait.
    OutputError
        If it cannot be written.
    """
    path = root / report_path(written.recording.recording_id)
    html = render_report(written, root=root, embed_seconds=embed_seconds, page_bytes=page_bytes)
    temporary = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_text(html, encoding="utf-8", errors="replace", newline="\n")
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        found = error.strerror or type(error).__name__
        raise OutputError(str(path), expected="a place that can be written", found=found) from error
    return path


def render_report(written: WrittenRecording, *, root: Path, embed_seconds: float, page_bytes: int) -> str:
    """Make the page of one recording as text; parameters as in `write_report`."""
    portrait = written.portrait
    if portrait is None:
        raise ConfigError(
            f"report of {written.recording.recording_id}",
            expected="a recording written with pictures",
            found="one without",
        )
    total_seconds = written.recording.seconds or 0.0
    mixture = portrait.mixture_spectrogram
    top_db = float(mixture.power_db.max())
    budget = _Budget(page_bytes)
    mixture_picture = budget.take(data_uri(spectrogram_png(mixture, top_db=top_db), media_type="image/png"))
    mixture_audio = budget.take(data_uri(portrait.mixture_preview, media_type=_MP3))
    pictures = {
        stem_id: budget.take(data_uri(spectrogram_png(spectrogram, top_db=top_db), media_type="image/png"))
        for stem_id, spectrogram in portrait.spectrograms.items()
    }
    sounds: dict[str, str] = {}
    if total_seconds <= embed_seconds:
        for row in sorted(written.rows, key=_loudness, reverse=True):
            if row.stem_uri is not None and budget.left > 0 and (root / row.stem_uri).exists():
                sound = data_uri(
                    preview_of_file(root / row.stem_uri, max_seconds=embed_seconds), media_type=_MP3
                )
                if len(sound) <= budget.left:
                    sounds[row.stem_uri] = budget.take(sound)
    levels = list(dict.fromkeys(row.level for row in written.rows))
    levels.sort(key=lambda level: (level is None, level or 0))
    formats = {row.format.split("/")[0] for row in written.rows if row.format is not None}
    name = PurePosixPath(written.recording.recording_id)
    return _template().render(
        name=name.name,
        folder="" if str(name.parent) == "." else str(name.parent),
        recording=written.recording,
        run=written.run,
        duration=_duration_text(total_seconds),
        total_seconds=total_seconds,
        created_at=max(row.created_at for row in written.rows) if written.rows else None,
        counts=_counts_text(written.rows),
        mixture_picture=mixture_picture,
        mixture_audio=mixture_audio,
        mixture_cut=_duration_text(portrait.preview_seconds)
        if portrait.preview_seconds < total_seconds
        else "",
        frequency_ticks=frequency_ticks(mixture.top_hz),
        time_ticks=time_ticks(total_seconds),
        strip_width=STRIP_WIDTH,
        groups=[_group(level, written=written, pictures=pictures, sounds=sounds) for level in levels],
        settings=_settings_items(written.run.settings),
        has_stems=bool(formats),
        is_lossless=bool(formats) and not formats & {name.upper() for name in LOSSY_FORMATS},
        adds_up=any(row.kind == "residual" for row in written.rows),
    )


class _Budget:
    """Bytes a page may still take."""

    def __init__(self, n_bytes: int) -> None:
        self.left = n_bytes

    def take(self, text: str) -> str:
        self.left -= len(text)
        return text


def _group(
    level: int | None, *, written: WrittenRecording, pictures: dict[StemId, str], sounds: dict[str, str]
) -> _Group:
    total_seconds = written.recording.seconds or 0.0
    rows = [row for row in written.rows if row.level == level]
    shown = sorted((row for row in rows if row.status == "written"), key=_loudness, reverse=True)
    shown.sort(key=lambda row: row.kind == "residual")
    timed = [row for row in rows if row.kind != "residual" and row.status in _SOUNDING]
    timed.sort(key=lambda row: (_loudness(row), row.probability or 0.0), reverse=True)
    unheard = [row for row in rows if row.status in {"detected", "silent", "absent"}]
    unheard.sort(key=lambda row: (row.status == "absent", -(row.probability or 0.0)))
    return _Group(
        title="Queries" if level is None else f"Level {level}",
        anchor="queries" if level is None else f"level-{level}",
        counts=_counts_text(rows),
        strips=[
            _strip(row, activity=written.activities[row.node_id], total_seconds=total_seconds)
            for row in timed
        ],
        stems=[_stem(row, picture=pictures[row.level, row.node_id], sounds=sounds) for row in shown],
        unheard=unheard,
        unknown=sum(row.status == "unknown" for row in rows),
        is_detected_only=any(row.status == "detected" for row in rows),
    )


def _strip(row: IndexRow, *, activity: Activity, total_seconds: float) -> _Strip:
    probability = "not tagged" if row.probability is None else f"highest probability {row.probability:.2f}"
    return _Strip(
        row=row,
        bars=activity_bars(activity, total_seconds=total_seconds),
        spans=span_bars(activity, total_seconds=total_seconds),
        text=f"{row.label}: {probability}, active {_spans_text(row) or 'nowhere'}",
    )


def _stem(row: IndexRow, *, picture: str, sounds: dict[str, str]) -> _Stem:
    level_db = _METER_FLOOR_DB if row.level_db is None else row.level_db
    players = _players(row, sounds=sounds)
    first_url = _beside_page(row.stem_uri or _span_uris(row)[0], row=row)
    return _Stem(
        row=row,
        file_url=first_url if row.stem_uri else str(PurePosixPath(first_url).parent) + "/",
        file_size=_size_text(row.written_bytes),
        file_count=row.stem_files,
        picture=picture,
        players=players,
        seeks=row.stem_uri is not None,
        meter_percent=float(np.clip(100 * (1 - level_db / _METER_FLOOR_DB), 0, 100)),
        level_text=_db_text(row.level_db),
        peak_text=_db_text(row.peak_db),
        spans_text=_spans_text(row),
    )


def _players(row: IndexRow, *, sounds: dict[str, str]) -> list[_Player]:
    if row.stem_uri is None:
        spans = [span for span in row.active_spans if span.stem_uri is not None]
        return [
            _file_player(str(span.stem_uri), row=row, title=_span_text(span, step=0.1))
            for span in spans[:_PLAYED_SPANS]
        ]
    if row.stem_uri in sounds:
        return [_Player(title="", url=sounds[row.stem_uri], media_type=_MP3, is_embedded=True)]
    return [_file_player(row.stem_uri, row=row, title="")]


def _file_player(stem_uri: str, *, row: IndexRow, title: str) -> _Player:
    media_type = _FILE_MEDIA_TYPES[PurePosixPath(stem_uri).suffix]
    return _Player(title=title, url=_beside_page(stem_uri, row=row), media_type=media_type, is_embedded=False)


def _beside_page(stem_uri: str, *, row: IndexRow) -> str:
    return quote(str(PurePosixPath(stem_uri).relative_to(recording_folder(row.recording_id))))


def _span_uris(row: IndexRow) -> list[str]:
    return [span.stem_uri for span in row.active_spans if span.stem_uri is not None]


def _loudness(row: IndexRow) -> float:
    return -np.inf if row.level_db is None else row.level_db


def _counts_text(rows: Iterable[IndexRow]) -> str:
    counts = Counter(row.status for row in rows if row.kind != "residual")
    return ", ".join(f"{counts[status]} {status}" for status in _STATUSES if counts[status])


def _spans_text(row: IndexRow) -> str:
    edges = [edge for span in row.active_spans for edge in (span.start_seconds, span.end_seconds)]
    step = 1.0 if all(edge == round(edge) for edge in edges) else 0.1
    spans = [_span_text(span, step=step) for span in row.active_spans[:_SPANS_IN_WORDS]]
    more = len(row.active_spans) - len(spans)
    return ", ".join(spans) + (f" and {more} more" if more > 0 else "")


def _span_text(span: ActiveSpan, *, step: float) -> str:
    return f"{time_text(span.start_seconds, step=step)}–{time_text(span.end_seconds, step=step)}"


def _db_text(level_db: float | None) -> str:
    return "" if level_db is None else f"{level_db:.1f}".replace("-", "−")


def _duration_text(seconds: float) -> str:
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 60 else time_text(seconds)


def _size_text(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.1f} MB" if n_bytes >= 1e6 else f"{max(1, round(n_bytes / 1e3))} kB"


def _settings_items(settings: str) -> list[tuple[str, str]]:
    values = json.loads(settings)
    if not isinstance(values, dict):
        return [("settings", settings)]
    return [
        (key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for key, value in values.items()
    ]


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("uss_ray.results.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")
