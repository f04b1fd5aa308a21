"""Labels, read back by readers that others wrote, or as the format's own text says."""

from __future__ import annotations

import csv
import html
import io
from datetime import timedelta

import jams
import pytest
import webvtt

from uss_ray.results.index.table import ActiveSpan, IndexRow
from uss_ray.results.labels import LabelEvent, LabelledRecording, label_text

# start, end, label, level, probability; one label holds what the formats set fields and cues apart with
EVENTS = [
    (0.0, 2.0, "Animal", 1, 0.9),
    (0.0, 2.0, "Dog", 3, 0.83),
    (3.5, 4.1234567, "Child speech, kid\tspeaking", 3, 0.2),
    (3661.25, 3662.0, 'a <b> & "c" --> d', None, None),
]


@pytest.fixture
def recording():
    events = tuple(
        LabelEvent(
            start_seconds=start,
            end_seconds=end,
            label=label,
            node_id=f"/m/{place}",
            level=level,
            probability=sure,
        )
        for place, (start, end, label, level, sure) in enumerate(EVENTS)
    )
    return LabelledRecording(recording_id="field/å 1.wav", sample_rate=44_100, seconds=4000.0, events=events)


@pytest.fixture
def silence():
    return LabelledRecording(recording_id="silence.wav", sample_rate=8000, seconds=2.0, events=())


def row(**changes) -> IndexRow:
    values = {
        "run_id": "r",
        "recording_id": "a.wav",
        "recording_uri": "in/a.wav",
        "node_id": "/m/0bt9lr",
        "label": "Dog",
        "level": 3,
        "kind": "node",
        "status": "detected",
        "probability": 0.5,
        "sample_rate": 8000,
        "frames": 80_000,
        "weights_name": "w",
        "weights_sha256": "0",
    }
    return IndexRow(**(values | changes))


def spans(*edges: float) -> tuple[ActiveSpan, ...]:
    return tuple(ActiveSpan(start_seconds=edge, end_seconds=edge + 1) for edge in edges)


def test_what_was_heard_is_labelled_by_its_start_and_nothing_else_is():
    labelled = LabelledRecording.of_rows(
        [
            row(active_spans=spans(6, 8), certainty="doubtful"),
            row(active_spans=spans(7), label="Cat", node_id="/m/01yrx", level=2),
            row(active_spans=spans(1), status="silent", label="Bird"),
            row(kind="residual", node_id="residual", label="Residual"),
            row(status="absent", label="Rain"),
        ]
    )
    told = [(event.start_seconds, event.end_seconds, event.label) for event in labelled.events]
    assert told == [(6, 7, "Dog"), (7, 8, "Cat"), (8, 9, "Dog")]
    assert (labelled.recording_id, labelled.seconds) == ("a.wav", 10.0)
    table = list(csv.DictReader(io.StringIO(label_text(labelled, label_format="csv"))))
    assert [one["certainty"] for one in table] == ["doubtful", "", "doubtful"]


def test_audacity_reads_start_end_and_text_between_tabs(recording):
    lines = label_text(recording, label_format="audacity").splitlines()
    read = [line.split("\t") for line in lines]
    assert all(len(fields) == 3 for fields in read)
    assert [(float(start), float(end)) for start, end, _ in read] == [
        (start, pytest.approx(end, abs=1e-6)) for start, end, *_ in EVENTS
    ]
    assert [text for *_, text in read][1:3] == ["Dog", "Child speech, kid speaking"]


def test_raven_has_its_columns_and_boxes_over_the_whole_band(recording):
    table = list(csv.DictReader(io.StringIO(label_text(recording, label_format="raven")), delimiter="\t"))
    assert list(table[0])[:7] == [
        "Selection",
        "View",
        "Channel",
        "Begin Time (s)",
        "End Time (s)",
        "Low Freq (Hz)",
        "High Freq (Hz)",
    ]
    assert [one["Selection"] for one in table] == ["1", "2", "3", "4"]
    assert {(one["View"], one["Channel"], one["Low Freq (Hz)"], one["High Freq (Hz)"]) for one in table} == {
        ("Spectrogram 1", "1", "0.000", "22050.000")
    }
    assert [float(one["Begin Time (s)"]) for one in table] == [start for start, *_ in EVENTS]
    assert [(one["Annotation"], one["Probability"]) for one in table][1] == ("Dog", "0.830")


def test_csv_keeps_every_letter(recording):
    text = label_text(recording, label_format="csv")
    table = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [one["label"] for one in table] == [label for _, _, label, *_ in EVENTS]
    assert {one["recording_id"] for one in table} == {"field/å 1.wav"}
    assert [(one["level"], one["probability"]) for one in table] == [
        ("1", "0.900"), ("3", "0.830"), ("3", "0.200"), ("", "")
    ]  # fmt: skip
    assert text.count("\r\n") == 1 + len(EVENTS)


def test_rttm_has_ten_fields_and_no_blank_in_them(recording):
    read = [line.split(" ") for line in label_text(recording, label_format="rttm").splitlines()]
    assert all(len(fields) == 10 for fields in read)
    assert {tuple(fields[:3]) for fields in read} == {("SPEAKER", "field/å_1.wav", "1")}
    assert [(float(fields[3]), float(fields[4])) for fields in read] == [
        (start, pytest.approx(end - start, abs=5e-4)) for start, end, *_ in EVENTS
    ]
    assert [fields[7] for fields in read][:3] == ["Animal", "Dog", "Child_speech,_kid_speaking"]
    assert [fields[8] for fields in read] == ["0.900", "0.830", "0.200", "<NA>"]


def test_jams_is_valid_and_has_an_annotation_for_each_level(recording, tmp_path):
    path = tmp_path / "labels.jams"
    path.write_text(label_text(recording, label_format="jams"), encoding="utf-8")
    read = jams.load(str(path), validate=True, strict=True)
    assert read.file_metadata.duration == 4000.0
    levels = [getattr(one.sandbox, "level", None) for one in read.annotations]
    assert levels == [1, 3, None]
    assert [one.namespace for one in read.annotations] == ["tag_open"] * 3
    held = [
        (one.time, one.time + one.duration, one.value, level, one.confidence)
        for level, annotation in zip(levels, read.annotations, strict=True)
        for one in annotation.data
    ]
    assert held == [(start, pytest.approx(end), *rest) for start, end, *rest in EVENTS]


def test_vtt_is_read_as_cues_of_the_same_times(recording):
    cues = webvtt.from_string(label_text(recording, label_format="vtt")).captions
    times = [
        (
            timedelta(
                hours=start.hours,
                minutes=start.minutes,
                seconds=start.seconds,
                milliseconds=start.milliseconds,
            )
        )
        for start in (cue.start_time for cue in cues)
    ]
    assert [time.total_seconds() for time in times] == [start for start, *_ in EVENTS]
    assert cues[2].end == "00:00:04.123"
    assert cues[1].text == "Dog"
    assert html.unescape(cues[3].raw_text) == EVENTS[3][2]


@pytest.mark.parametrize(
    ("label_format", "expected"),
    [
        ("audacity", ""),
        ("rttm", ""),
        ("vtt", "WEBVTT\n"),
        ("csv", "recording_id,start_seconds,end_seconds,label,node_id,level,probability,certainty\r\n"),
    ],
)
def test_a_recording_in_which_nothing_was_heard_has_no_labels(silence, label_format, expected):
    assert label_text(silence, label_format=label_format) == expected


def test_a_cue_is_never_empty_and_jams_without_events_is_valid(silence, tmp_path):
    event = LabelEvent(
        start_seconds=1.0, end_seconds=1.0002, label="Click", node_id="/m/1", level=1, probability=1.0
    )
    short = LabelledRecording(recording_id="a", sample_rate=None, seconds=None, events=(event,))
    assert "00:00:01.000 --> 00:00:01.001\nClick\n" in label_text(short, label_format="vtt")
    for number, recording in enumerate((short, silence)):
        path = tmp_path / f"{number}.jams"
        path.write_text(label_text(recording, label_format="jams"), encoding="utf-8")
        jams.load(str(path), validate=True, strict=True)
