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

from uss_ray.errors import OutputError
from uss_ray.results.activity import Activity
from uss_ray.results.index import IndexRow
from uss_ray.results.layout import report_path
from uss_ray.results.pictures import (
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
from uss_ray.results.preview import preview_of_file
from uss_ray.results.writer import WrittenRecording

_MP3 = "audio/mpeg"
_FILE_MEDIA_TYPES = {".flac": "audio/flac", ".wav": "audio/wav"}
_SPANS_IN_WORDS = 5
_METER_FLOOR_DB = -60.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Stem:
    """One written stem or residual as the page shows it."""

    row: IndexRow
    file_url: str
    file_size: str
    picture: str
    audio_url: str
    audio_type: str
    is_embedded: bool
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
        From `writer.write_estimates`.
    root : Path
        The output root it was written to, a local folder.
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
    total_seconds = written.recording.seconds or 0.0
    mixture = written.mixture_spectrogram
    top_db = float(mixture.power_db.max())
    budget = _Budget(page_bytes)
    mixture_picture = budget.take(data_uri(spectrogram_png(mixture, top_db=top_db), media_type="image/png"))
    mixture_audio = budget.take(data_uri(written.mixture_preview, media_type=_MP3))
    pictures = {
        uri: budget.take(data_uri(spectrogram_png(spectrogram, top_db=top_db), media_type="image/png"))
        for uri, spectrogram in written.spectrograms.items()
    }
    sounds: dict[str, str] = {}
    if total_seconds <= embed_seconds:
        for row in sorted(written.rows, key=_loudness, reverse=True):
            if row.stem_uri is not None and budget.left > 0:
                sound = data_uri(
                    preview_of_file(root / row.stem_uri, max_seconds=embed_seconds), media_type=_MP3
                )
                if len(sound) <= budget.left:
                    sounds[row.stem_uri] = budget.take(sound)
    levels = list(dict.fromkeys(row.level for row in written.rows))
    levels.sort(key=lambda level: (level is None, level or 0))
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
        mixture_cut=_duration_text(written.preview_seconds)
        if written.preview_seconds < total_seconds
        else "",
        frequency_ticks=frequency_ticks(mixture.top_hz),
        time_ticks=time_ticks(total_seconds),
        strip_width=STRIP_WIDTH,
        groups=[_group(level, written=written, pictures=pictures, sounds=sounds) for level in levels],
        settings=_settings_items(written.run.settings),
    )


class _Budget:
    """Bytes a page may still take."""

    def __init__(self, n_bytes: int) -> None:
        self.left = n_bytes

    def take(self, text: str) -> str:
        self.left -= len(text)
        return text


def _group(
    level: int | None, *, written: WrittenRecording, pictures: dict[str, str], sounds: dict[str, str]
) -> _Group:
    total_seconds = written.recording.seconds or 0.0
    rows = [row for row in written.rows if row.level == level]
    shown = sorted((row for row in rows if row.status == "written"), key=_loudness, reverse=True)
    shown.sort(key=lambda row: row.kind == "residual")
    timed = [row for row in rows if row.kind != "residual" and row.status in {"written", "silent"}]
    timed.sort(key=_loudness, reverse=True)
    unheard = [row for row in rows if row.status in {"silent", "absent"}]
    unheard.sort(key=lambda row: -(row.probability or 0.0))
    return _Group(
        title="Queries" if level is None else f"Level {level}",
        anchor="queries" if level is None else f"level-{level}",
        counts=_counts_text(rows),
        strips=[
            _strip(row, activity=written.activities[row.node_id], total_seconds=total_seconds)
            for row in timed
        ],
        stems=[_stem(row, picture=pictures[str(row.stem_uri)], sounds=sounds) for row in shown],
        unheard=unheard,
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
    stem_uri = PurePosixPath(str(row.stem_uri))
    file_url = quote(str(stem_uri.relative_to(row.recording_id)))
    sound = sounds.get(str(row.stem_uri))
    level_db = _METER_FLOOR_DB if row.level_db is None else row.level_db
    return _Stem(
        row=row,
        file_url=file_url,
        file_size=_size_text(row.stem_bytes or 0),
        picture=picture,
        audio_url=sound or file_url,
        audio_type=_MP3 if sound else _FILE_MEDIA_TYPES[stem_uri.suffix],
        is_embedded=sound is not None,
        meter_percent=float(np.clip(100 * (1 - level_db / _METER_FLOOR_DB), 0, 100)),
        level_text=_db_text(row.level_db),
        peak_text=_db_text(row.peak_db),
        spans_text=_spans_text(row),
    )


def _loudness(row: IndexRow) -> float:
    return -np.inf if row.level_db is None else row.level_db


def _counts_text(rows: Iterable[IndexRow]) -> str:
    counts = Counter(row.status for row in rows if row.kind != "residual")
    return ", ".join(
        f"{counts[status]} {status}" for status in ("written", "silent", "absent") if counts[status]
    )


def _spans_text(row: IndexRow) -> str:
    edges = [edge for span in row.active_spans for edge in (span.start_seconds, span.end_seconds)]
    step = 1.0 if all(edge == round(edge) for edge in edges) else 0.1
    spans = [
        f"{time_text(span.start_seconds, step=step)}–{time_text(span.end_seconds, step=step)}"
        for span in row.active_spans
    ]
    more = len(spans) - _SPANS_IN_WORDS
    return ", ".join(spans[:_SPANS_IN_WORDS]) + (f" and {more} more" if more > 0 else "")


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
        loader=jinja2.PackageLoader("uss_ray.results"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")
