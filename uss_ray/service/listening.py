"""A result to be looked at and heard: the player of the report, and pictures that are drawn when asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from uss_ray.results.index.activity import Activity
from uss_ray.results.index.table import ActiveSpan, IndexRow, Span
from uss_ray.results.layout import recording_folder
from uss_ray.results.report.lanes import group_of, lanes_of
from uss_ray.results.report.pictures import data_uri, spectrogram_png
from uss_ray.results.report.player import Lane, LaneFile, Link, Score, player_markup
from uss_ray.results.report.spectrogram import SpectrogramMeter
from uss_ray.results.report.unheard import unheard_markup
from uss_ray.service.backend import Work
from uss_ray.service.problems import Refusal
from uss_ray.service.result import Result

_ID = "recording.wav"  # rows of a page belong to a recording; where this one came from nobody knows
_WAVE_COLUMNS = 600
_WAVE_HEIGHT = 200
_SPAN_LINKS = 20
_FACTS = {"run_id": "", "recording_id": _ID, "recording_uri": _ID, "weights_name": "", "weights_sha256": ""}
_FIELDS = {field.name for field in dataclasses.fields(IndexRow)} - {"created_at", "settings", *_FACTS}
_SPAN_FIELDS = {field.name for field in dataclasses.fields(ActiveSpan)}

Floats = NDArray[np.float32]


def player_of(result: Result) -> str:
    """Make the markup of a player of a result; `UssRayPlayer.mount` and the page's `Windows` bring it to life.

    Parameters
    ----------
    result : Result

    Returns
    -------
    str
        Addresses in it are relative to the root of the service.
    """
    rows = [_row(record) for record in result.index["rows"]]
    seconds = result.seconds
    activities = {
        key: Activity(
            probabilities=np.asarray(probs, np.float32),
            column_seconds=float(result.index["segment_seconds"]),
            spans=(),
        )
        for key, probs in result.index["probabilities"].items()
    }
    lanes = lanes_of(
        rows,
        activities=activities,
        spectrograms={},
        total_seconds=max(seconds, 1e-9),
        top_db=0.0,
        picture_bytes=0,
    )
    name = result.index["recording"]
    whole = Lane(
        name="Recording",
        files=() if name is None else (LaneFile(url=_address(result, name)),),
        picture=result.links.get("spectrogram", "").removeprefix("/"),
        no_picture="Its rest was not kept, so the recording itself is not here: its sounds play without it.",
        links=() if name is None else (Link(url=_address(result, name), text="the recording"),),
        is_recording=True,
    )
    score = Score(
        seconds=seconds,
        sample_rate=result.sample_rate,
        channels=result.channels,
        lanes=(whole, *(_addressed(result, lane) for lane in lanes)),
        adds=tuple(dict.fromkeys(group_of(row) for row in rows if row.kind == "residual")),
        top_hz=result.sample_rate / 2,
    )
    return str(player_markup(score, keys="page") + unheard_markup(rows, heard=len(lanes) > 0))


def spectrogram_of(result: Result) -> bytes:
    """Draw a spectrogram of the recording as a PNG.

    Raises
    ------
    Refusal
        If its sound is not there.
    """
    if not result.recording:
        raise Refusal("spectrogram", expected="a recording whose sound was kept", found="none", status=404)
    blocks = (block for _, block in result.seen(result.recording))
    return _drawn(blocks, sample_rate=result.sample_rate, frames=result.seen_frames)


def spectrogram_address(work: Work) -> str:
    """Draw a spectrogram of a recording that is not kept, as an address that holds it."""
    drawn = _drawn([work.samples], sample_rate=work.spec.sample_rate, frames=work.samples.shape[1])
    return data_uri(drawn, media_type="image/png")


def _drawn(blocks: Iterable[Floats], *, sample_rate: int, frames: int) -> bytes:
    meter = SpectrogramMeter(sample_rate, frames=frames)
    for block in blocks:
        meter.add(block)
    picture = meter.result()
    return spectrogram_png(picture, top_db=picture.top_db)


def waveform_of(result: Result, name: str) -> str:
    """Draw the peaks of a stem over the whole recording as an SVG, quiet sounds taller than they are (square root).

    Parameters
    ----------
    result : Result
    name : str
        The stem.
    """
    frames = max(1, result.frames)
    columns = min(_WAVE_COLUMNS, frames)
    highest = np.zeros(columns, np.float32)
    lowest = np.zeros(columns, np.float32)
    for at, block in result.seen([name]):
        places = (np.arange(at, at + block.shape[1]) * columns // frames).clip(max=columns - 1)
        first = np.flatnonzero(np.diff(places, prepend=-1))
        touched = places[first]
        highest[touched] = np.maximum(highest[touched], np.maximum.reduceat(block.max(axis=0), first))
        lowest[touched] = np.minimum(lowest[touched], np.minimum.reduceat(block.min(axis=0), first))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {columns} {_WAVE_HEIGHT}" preserveAspectRatio="none">'
        f'<path fill="#56a380" d="{_outline(highest, lowest)}"/></svg>'
    )


def _outline(highest: Floats, lowest: Floats) -> str:
    middle = _WAVE_HEIGHT / 2
    upper = middle - middle * np.sqrt(np.clip(highest, 0, 1))
    lower = middle + middle * np.sqrt(np.clip(-lowest, 0, 1))
    there = " ".join(f"{x},{y:.0f}" for x, y in enumerate(upper))
    back = " ".join(f"{x},{y:.0f}" for x, y in reversed(list(enumerate(lower))))
    return f"M{there} {back}z"


def _row(record: Mapping[str, Any]) -> IndexRow:
    values = {name: value for name, value in record.items() if name in _FIELDS}
    values["active_spans"] = tuple(
        ActiveSpan(
            **{name: value for name, value in _placed(span).items() if name in _SPAN_FIELDS},
        )
        for span in record.get("active_spans") or ()
    )
    detected = record.get("detected_spans")
    values["detected_spans"] = None if detected is None else tuple(Span(**span) for span in detected)
    return IndexRow(**{**_FACTS, **_placed(values)})


def _placed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Let a file lie below the folder of the recording."""
    if values.get("stem_uri") is None:
        return dict(values)
    return {
        **values,
        "stem_uri": f"{recording_folder(_ID)}/{values['stem_uri']}",
        "stem_sha256": values.get("stem_sha256") or "",
        "stem_bytes": values.get("stem_bytes") or 0,
    }


def _addressed(result: Result, lane: Lane) -> Lane:
    """Let a lane's files be those of the service; `lanes_of` names them beside a page, percent-encoded."""
    files = tuple(dataclasses.replace(file, url=_stem_address(result, file.url)) for file in lane.files)
    whole = len(files) == 1 and files[0].start_seconds == 0
    links = tuple(
        dataclasses.replace(link, url=file.url) for link, file in zip(lane.links, files, strict=False)
    )
    if not whole:
        links = tuple(_span_links(files))
    picture = f"v1/results/{result.result_id}/waveform.svg?stem={_quoted(files[0].url)}" if whole else ""
    return dataclasses.replace(lane, files=files, links=links, picture=picture, is_wave=whole)


def _quoted(url: str) -> str:
    return url.partition("/stems/")[2].replace("/", "%2F")


def _span_links(files: Iterable[LaneFile]) -> Iterator[Link]:
    for file, _ in zip(files, range(_SPAN_LINKS), strict=False):
        yield Link(url=file.url, text=PurePosixPath(file.url).name)


def _address(result: Result, name: str) -> str:
    return _stem_address(result, quote(name))


def _stem_address(result: Result, quoted: str) -> str:
    return f"v1/results/{result.result_id}/stems/{quoted}"
