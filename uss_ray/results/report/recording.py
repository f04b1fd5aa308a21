"""One HTML page a recording, whose sound lies beside it: a player of the recording and its stems, and facts.

Owns what the page says and how much it may weigh; how it looks is in `templates/report.html.j2` and `player.css`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from uss_ray.audio.spec import LOSSY_FORMATS
from uss_ray.config import flat_settings
from uss_ray.errors import ConfigError, OutputError
from uss_ray.parsing import read_json
from uss_ray.results.index.table import IndexRow, Status
from uss_ray.results.layout import ARCHIVE_PAGE_NAME, REPORT_SOUND_NAME, report_path
from uss_ray.results.report.lanes import group_of, lanes_of
from uss_ray.results.report.pictures import data_uri, spectrogram_png, time_text
from uss_ray.results.report.player import (
    Lane,
    LaneFile,
    Score,
    player_markup,
    player_script,
    player_style,
)
from uss_ray.results.report.portrait import Portrait
from uss_ray.results.report.template import template
from uss_ray.results.report.unheard import unheard_markup
from uss_ray.results.stems.written import WrittenRecording

_PICTURE_BYTES = 1_600_000
_STATUSES: tuple[Status, ...] = ("written", "detected", "silent", "explained", "absent", "unknown")


def write_report(written: WrittenRecording, *, root: Path) -> Path:
    """Write the page of one recording next to its stems.

    Parameters
    ----------
    written : WrittenRecording
        From `writer.write_estimates` or `parts.join_parts`, with a portrait.
    root : Path
        The output root it was written to, a local folder. The page plays files by the places they have beside it, and
        need not find them now.

    Returns
    -------
    Path
        The page, of at most 3 MB whatever the length of the recording.

    Raises
    ------
    ConfigError
        If it was written without a portrait.
    OutputError
        If it cannot be written.
    """
    path = root / report_path(written.recording.recording_id)
    html = render_report(written)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(html, encoding="utf-8", errors="replace", newline="\n")
    except OSError as error:
        found = error.strerror or type(error).__name__
        raise OutputError(str(path), expected="a place that can be written", found=found) from error
    return path


def render_report(written: WrittenRecording) -> str:
    """Make the page of one recording as text."""
    portrait = written.portrait
    if portrait is None:
        raise ConfigError(
            f"report of {written.recording.recording_id}",
            expected="a recording written with pictures",
            found="one without",
        )
    recording = written.recording
    total_seconds = recording.seconds or 0.0
    score = _score(written, portrait=portrait, total_seconds=total_seconds)
    formats = {row.format.split("/")[0] for row in written.rows if row.format is not None}
    name = PurePosixPath(recording.recording_id)
    return template("report.html.j2").render(
        name=name.name,
        folder="" if str(name.parent) == "." else str(name.parent),
        archive_page="../" * (report_path(recording.recording_id).count("/")) + ARCHIVE_PAGE_NAME,
        recording=recording,
        run=written.run,
        duration=_duration_text(total_seconds),
        created_at=max(row.created_at for row in written.rows) if written.rows else None,
        counts=_counts_text(written.rows),
        player=player_markup(score, keys="page"),
        style=player_style(),
        script=player_script(),
        unheard=unheard_markup(written.rows, heard=len(score.lanes) > 1),
        settings=_settings_items(written.run.settings),
        is_lossless=bool(formats) and not formats & {name.upper() for name in LOSSY_FORMATS},
        adds_up=bool(score.adds),
    )


def _score(written: WrittenRecording, *, portrait: Portrait, total_seconds: float) -> Score:
    recording = written.recording
    mixture = portrait.mixture_spectrogram
    top_db = mixture.top_db
    heard_seconds = portrait.heard_seconds
    is_cut = heard_seconds < total_seconds - 0.05
    note = f"plays its first {_duration_text(heard_seconds)}: no sound was to be kept" if is_cut else ""
    whole = Lane(
        name="Recording",
        note=note,
        files=(LaneFile(url=REPORT_SOUND_NAME, end_seconds=heard_seconds if is_cut else None),),
        picture=data_uri(spectrogram_png(mixture, top_db=top_db), media_type="image/png"),
        is_recording=True,
    )
    lanes = lanes_of(
        written.rows,
        activities=written.activities,
        spectrograms=portrait.spectrograms,
        total_seconds=total_seconds,
        top_db=top_db,
        picture_bytes=_PICTURE_BYTES - len(whole.picture),
    )
    return Score(
        seconds=total_seconds,
        sample_rate=recording.sample_rate or 0,
        channels=recording.channels or 1,
        lanes=(whole, *lanes),
        adds=tuple(dict.fromkeys(group_of(row) for row in written.rows if row.kind == "residual")),
        top_hz=mixture.top_hz,
        top_db=top_db,
    )


def _counts_text(rows: Iterable[IndexRow]) -> str:
    counts = Counter(row.status for row in rows if row.kind != "residual")
    return ", ".join(f"{counts[status]} {status}" for status in _STATUSES if counts[status])


def _duration_text(seconds: float) -> str:
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 60 else time_text(seconds)


def _settings_items(settings: str) -> list[tuple[str, str]]:
    values = read_json(settings)
    if not isinstance(values, dict):
        return [("settings", settings)]
    return [
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in flat_settings(values).items()
        if value not in (None, [], "")
    ]
