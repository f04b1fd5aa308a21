"""Labels: where each sound was heard, in the formats of the tools that people label with.

One text a recording and format. What is in which place of which format: docs/adr/0043.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from uss_ray.results.index.find import HEARD, Finding, FoundSpan
from uss_ray.results.index.table import IndexRow, Span
from uss_ray.results.layout import label_path
from uss_ray.results.options import LabelFormat
from uss_ray.version import VERSION

_CSV_COLUMNS = (
    "recording_id",
    "start_seconds",
    "end_seconds",
    "label",
    "node_id",
    "level",
    "probability",
    "certainty",
)
_RAVEN_COLUMNS = (
    "Selection",
    "View",
    "Channel",
    "Begin Time (s)",
    "End Time (s)",
    "Low Freq (Hz)",
    "High Freq (Hz)",
    "Annotation",
    "Node",
    "Level",
    "Probability",
    "Certainty",
)
_RTTM_NONE = "<NA>"
_JAMS_VERSION = "0.3.4"


@dataclass(frozen=True, kw_only=True)
class LabelEvent:
    """One stretch in which something is heard.

    Parameters
    ----------
    start_seconds, end_seconds : float
        From the start of the recording.
    label, node_id, level
        As in the index.
    probability : float or None
        In [0, 1].
    certainty : {"sure", "doubtful"} or None, default=None
        As in the index.
    """

    start_seconds: float
    end_seconds: float
    label: str
    node_id: str
    level: int | None
    probability: float | None
    certainty: str | None = None


@dataclass(frozen=True, kw_only=True)
class LabelledRecording:
    """What was heard in a recording.

    Parameters
    ----------
    recording_id : str
    sample_rate : int or None
        In Hz.
    seconds : float or None
        Its length.
    events : tuple of LabelEvent
        By their starts.
    """

    recording_id: str
    sample_rate: int | None
    seconds: float | None
    events: tuple[LabelEvent, ...]

    @classmethod
    def of_rows(cls, rows: Sequence[IndexRow]) -> LabelledRecording:
        """Collect the stretches of those rows of a recording whose sound was heard; residuals are no sounds."""
        return cls(
            recording_id=rows[0].recording_id,
            sample_rate=rows[0].sample_rate,
            seconds=_seconds(rows[0].frames, rows[0].sample_rate),
            events=_sorted(
                _event(row, span)
                for row in rows
                if row.kind != "residual" and row.status in HEARD
                for span in row.heard_spans
            ),
        )

    @classmethod
    def of_findings(cls, findings: Sequence[Finding]) -> LabelledRecording:
        """Do the same with what was found of one recording, whatever its status: it was asked for."""
        first = findings[0]
        return cls(
            recording_id=first.recording_id,
            sample_rate=first.sample_rate,
            seconds=_seconds(first.frames, first.sample_rate),
            events=_sorted(_event(finding, span) for finding in findings for span in finding.spans),
        )


def label_text(recording: LabelledRecording, *, label_format: LabelFormat) -> str:
    r"""Write the labels of a recording in a format.

    Parameters
    ----------
    recording : LabelledRecording
    label_format : {"audacity", "raven", "csv", "rttm", "jams", "vtt"}

    Returns
    -------
    str
        The whole file, to be written as UTF-8 with its line ends as they are.

    Examples
    --------
    >>> bark = LabelEvent(
    ...     start_seconds=1.5, end_seconds=4.0, label="Dog", node_id="/m/0bt9lr", level=3, probability=0.83
    ... )
    >>> yard = LabelledRecording(recording_id="yard.wav", sample_rate=48_000, seconds=9.0, events=(bark,))
    >>> label_text(yard, label_format="rttm")
    'SPEAKER yard.wav 1 1.500 2.500 <NA> <NA> Dog 0.830 <NA>\n'
    """
    return _WRITERS[label_format](recording)


def label_files(recording: LabelledRecording, formats: Iterable[LabelFormat]) -> Iterator[tuple[str, bytes]]:
    """Give name below the output root and content of each file of labels of a recording."""
    for label_format in formats:
        text = label_text(recording, label_format=label_format)
        yield label_path(recording.recording_id, label_format=label_format), text.encode()


def _audacity(recording: LabelledRecording) -> str:
    """Write a label track of Audacity: start, end and text of each, between tabs."""
    return "".join(
        f"{one.start_seconds:.6f}\t{one.end_seconds:.6f}\t{_line(one.label)}\n" for one in recording.events
    )


def _raven(recording: LabelledRecording) -> str:
    """Write a selection table of Raven: boxes over the whole band, and columns of our own behind them."""
    lines = ["\t".join(_RAVEN_COLUMNS)]
    for number, one in enumerate(recording.events, start=1):
        lines.append(
            "\t".join(
                (
                    str(number),
                    "Spectrogram 1",
                    "1",
                    f"{one.start_seconds:.6f}",
                    f"{one.end_seconds:.6f}",
                    "0.000",
                    f"{(recording.sample_rate or 0) / 2:.3f}",
                    _line(one.label),
                    _line(one.node_id),
                    _or_empty(one.level),
                    _probability(one, instead=""),
                    one.certainty or "",
                )
            )
        )
    return "\n".join(lines) + "\n"


def _csv(recording: LabelledRecording) -> str:
    """Write CSV as RFC 4180 has it."""
    file = io.StringIO()
    table = csv.writer(file)
    table.writerow(_CSV_COLUMNS)
    for one in recording.events:
        table.writerow(
            (
                recording.recording_id,
                f"{one.start_seconds:.6f}",
                f"{one.end_seconds:.6f}",
                one.label,
                one.node_id,
                _or_empty(one.level),
                _probability(one, instead=""),
                one.certainty or "",
            )
        )
    return file.getvalue()


def _rttm(recording: LabelledRecording) -> str:
    """Write NIST's Rich Transcription Time Marked; its fields hold no blanks, so these become underscores."""
    return "".join(
        f"SPEAKER {_word(recording.recording_id)} 1 {one.start_seconds:.3f}"
        f" {one.end_seconds - one.start_seconds:.3f} {_RTTM_NONE} {_RTTM_NONE} {_word(one.label)}"
        f" {_probability(one, instead=_RTTM_NONE)} {_RTTM_NONE}\n"
        for one in recording.events
    )


def _jams(recording: LabelledRecording) -> str:
    """Write the JSON Annotated Music Specification: an annotation of the namespace `tag_open` for each level."""
    length = recording.seconds or max((one.end_seconds for one in recording.events), default=0.0)
    levels = list(dict.fromkeys(one.level for one in recording.events))
    annotations = [
        {
            "annotation_metadata": {
                "curator": {"name": "", "email": ""},
                "annotator": {},
                "version": "",
                "corpus": "",
                "annotation_tools": f"USS-Ray {VERSION}",
                "annotation_rules": "",
                "validation": "",
                "data_source": "program",
            },
            "namespace": "tag_open",
            "data": [
                {
                    "time": one.start_seconds,
                    "duration": one.end_seconds - one.start_seconds,
                    "value": one.label,
                    "confidence": one.probability,
                }
                for one in recording.events
                if one.level == level
            ],
            "sandbox": {} if level is None else {"level": level},
            "time": 0,
            "duration": length,
        }
        for level in levels
    ]
    facts = {
        "title": recording.recording_id,
        "artist": "",
        "release": "",
        "duration": length,
        "identifiers": {},
        "jams_version": _JAMS_VERSION,
    }
    return (
        json.dumps(
            {"annotations": annotations, "file_metadata": facts, "sandbox": {}}, indent=2, ensure_ascii=False
        )
        + "\n"
    )


def _vtt(recording: LabelledRecording) -> str:
    """Write WebVTT: subtitles of what is heard."""
    cues = ["WEBVTT\n"]
    for number, one in enumerate(recording.events, start=1):
        start = round(one.start_seconds * 1000)
        stop = max(start + 1, round(one.end_seconds * 1000))
        text = _line(one.label).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        cues.append(f"\n{number}\n{_clock(start)} --> {_clock(stop)}\n{text}\n")
    return "".join(cues)


def _event(row: IndexRow | Finding, span: Span | FoundSpan) -> LabelEvent:
    return LabelEvent(
        start_seconds=span.start_seconds,
        end_seconds=span.end_seconds,
        label=row.label,
        node_id=row.node_id,
        level=row.level,
        probability=row.probability,
        certainty=row.certainty,
    )


def _sorted(events: Iterable[LabelEvent]) -> tuple[LabelEvent, ...]:
    return tuple(
        sorted(events, key=lambda one: (one.start_seconds, one.end_seconds, one.level or 0, one.label))
    )


def _seconds(frames: int | None, sample_rate: int | None) -> float | None:
    return frames / sample_rate if frames is not None and sample_rate else None


_WRITERS: Final[dict[LabelFormat, Callable[[LabelledRecording], str]]] = {
    "audacity": _audacity,
    "raven": _raven,
    "csv": _csv,
    "rttm": _rttm,
    "jams": _jams,
    "vtt": _vtt,
}


def _line(text: str) -> str:
    """Take out what would begin another field or line."""
    return re.sub(r"\s", " ", text)


def _word(text: str) -> str:
    return re.sub(r"\s", "_", text) or _RTTM_NONE


def _or_empty(number: int | None) -> str:
    return "" if number is None else str(number)


def _probability(event: LabelEvent, *, instead: str) -> str:
    return instead if event.probability is None else f"{event.probability:.3f}"


def _clock(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}.{rest:03d}"
