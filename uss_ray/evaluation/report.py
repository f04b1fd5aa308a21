"""Runs as a page and as Markdown: systems with intervals, classes, levels, input SNR, sources, detection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from markupsafe import Markup

from uss_ray.evaluation.heard import HeardSound
from uss_ray.evaluation.result import Condition, EvaluationResult, MeasureResult, SystemResult, by_system
from uss_ray.evaluation.rows import TAGS, ScoreRow, is_beside
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.results.report.player import player_html
from uss_ray.results.report.template import template

TITLE: Final = "Evaluation"

_NAMES: Final = {
    "level": "Level of the estimate",
    "residual": "In the residual",
    "false_stems": "In false stems",
    "missed": "Missed",
    "sdri": "SDRi",
    "si_sdri": "SI-SDRi",
    "bss_sdr": "BSSEval SDR",
    "bss_sdr_swapped": "the same, swapped",
    "ca_sdri": "CA-SDRi, mean",
    "capi_sdri": "CAPI-SDRi, mean",
    "map": "mAP",
    "d_prime": "d′",
}
_IN_ROWS_ALONE = {"sdr", "si_sdr", "snr", "bss_sdri", "bss_sdri_swapped"}
_SCENE_COLUMNS: Final = (
    "Asked for", "Precision", "Recall", "F1", "Event F1", "Frame F1", "Taken twice", "Louder than parent", "Overdrawn",
)  # fmt: skip
_BARS_LEFT, _BARS_WIDTH = 240, 600
_INPUT_EDGES_DB = (-20.0, -10.0, -5.0, 0.0, 5.0, 10.0)
_LENGTH_EDGES_SECONDS = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 300.0)


@dataclass(frozen=True)
class Group:
    """Targets parted by something, with the median SDRi of each part."""

    title: str
    what: str
    rows: list[tuple[str, int, str]]


@dataclass(frozen=True, eq=False)
class Run:
    """What a report tells of a run.

    Parameters
    ----------
    result : EvaluationResult
    rows : sequence of ScoreRow
    heard : sequence of HeardSound, default=()
        Shown with spectrograms and players.
    """

    result: EvaluationResult
    rows: Sequence[ScoreRow]
    heard: Sequence[HeardSound] = ()


def report_html(runs: Sequence[Run], *, vocabulary: Vocabulary) -> str:
    """Write the page; it is whole in itself.

    Parameters
    ----------
    runs : sequence of Run
    vocabulary : Vocabulary
        For levels and branches of the classes.
    """
    told = [
        {**_page_of(run.result, run.rows, vocabulary), "players": [_player(sound) for sound in run.heard]}
        for run in runs
    ]
    return template("report.html.j2", package="uss_ray.evaluation").render(title=TITLE, runs=told)


def _player(sound: HeardSound) -> tuple[str, Markup]:
    """Give a line and a player of mixture, target and estimate."""
    heard, sounds = sound.heard, sound.sounds
    player = player_html(
        sounds["mixture"],
        {"Target": sounds["target"], "Estimate": sounds["estimate"]},
        sample_rate=sound.sample_rate,
    )
    line = f"{heard.which.capitalize()}: {heard.label}, {heard.sdri:z.2f} dB SDRi ({heard.item_id})"
    return line, Markup(player)


def report_markdown(runs: Sequence[Run], *, vocabulary: Vocabulary) -> str:
    """Write the same tables as Markdown, for a log or a card."""
    lines = [f"# {TITLE}", ""]
    for result, rows in ((run.result, run.rows) for run in runs):
        page = _page_of(result, rows, vocabulary)
        limited = ", a part of the list" if result.is_limited else ""
        changes = f"; with {result.changes}" if result.changes else ""
        lines += [
            f"## {result.title}, {result.weights}",
            "",
            f"{result.protocol}, {result.split}; {result.scored} of {result.listed} items{limited}; "
            f"list {result.list_sha256[:12]}, weights {result.weights_sha256[:12]}{changes}",
            "",
            *_table(
                ("System", "Query", *page["headings"], "Undefined", "Detected"),
                [
                    (
                        row["system"],
                        row["query"],
                        *(f"{value} {interval}".strip() for value, interval in row["figures"]),
                        row["undefined"],
                        row["detected"],
                    )
                    for row in page["rows"]
                ],
            ),
        ]
        if page["scenes"]:
            lines += ["### What was found", "", *_table(_SCENE_COLUMNS, page["scenes"])]
            lines += [line for told in page["empty"] for line in (told, "")]
        if result.condition is not None:
            warning = "**The separator hardly hears its condition.** " if result.condition.is_blind else ""
            lines += [f"{warning}{_above_random(result.condition)}", ""]
        if result.published is not None:
            lines += [f"The paper: {result.published:g} {result.unit} ({result.published_score}).", ""]
        for group in page["groups"]:
            lines += [f"### {group.title}", "", *_table((group.what, "Targets", "SDRi, median"), group.rows)]
    return "\n".join(lines)


def _above_random(condition: Condition) -> str:
    level = condition.absent_level_db
    leaks = "" if level is None else f" What is given for that class is at {level:z.2f} dB of the mixture."
    return f"The first query is {condition.difference_db:.2f} dB above a random class.{leaks}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    return [
        f"| {' | '.join(columns)} |",
        f"|{'---|' * len(columns)}",
        *(f"| {' | '.join(row)} |" for row in cells),
        "",
    ]


def _page_of(result: EvaluationResult, rows: Sequence[ScoreRow], vocabulary: Vocabulary) -> dict[str, Any]:
    named = dict.fromkeys((result.main_score, *(name for one in result.systems for name in one.measures)))
    measures = [name for name in named if name not in _IN_ROWS_ALONE]
    chosen = next(
        (one for one in result.systems if not is_beside(one.system, one.query)),
        result.systems[-1],
    )
    own = by_system(rows).get((chosen.system, chosen.query), [])
    return {
        "result": result,
        "headings": [_NAMES.get(name, name.upper()) for name in measures],
        "rows": [_row(one, measures, main=result.main_score) for one in result.systems],
        "chosen": f"{chosen.system}, {chosen.query}".rstrip(", "),
        "above_random": "" if result.condition is None else _above_random(result.condition),
        "scene_columns": _SCENE_COLUMNS,
        "scenes": [_scene_row(one) for one in result.systems if one.labels is not None],
        "empty": [
            f"{one.query.capitalize()}: {one.labels.empty.told}."
            for one in result.systems
            if one.labels is not None and one.labels.empty is not None
        ],
        "groups": _groups(own, vocabulary),
        "zero": _BARS_LEFT,
        "bars": _bars(chosen),
    }


def _row(one: SystemResult, measures: Sequence[str], *, main: str) -> dict[str, Any]:
    of_main = one.measures.get(main)
    return {
        "system": one.system,
        "query": one.query,
        "is_own": not is_beside(one.system, one.query),
        "figures": [
            _shown(one.measures[name], name, is_main=name == main) if name in one.measures else ("", "")
            for name in measures
        ],
        "undefined": one.failed + (of_main.undefined if of_main else 0),
        "detected": "" if one.detected is None else f"{one.detected:.0%}",
    }


def _scene_row(one: SystemResult) -> tuple[str, ...]:
    labels, level = one.labels, one.level
    assert labels is not None
    figures = (labels.precision, labels.recall, labels.f1, labels.event_f1, labels.frame_f1)
    shares = (None,) * 3 if level is None else (level.taken_twice, level.louder, level.overdrawn)
    return (
        f"{one.system}, {one.query}" if one.query == TAGS else one.query,
        *("" if value is None else f"{value:.2f}" for value in figures),
        *("" if value is None else f"{value:.0%}" for value in shares),
    )


def _shown(measure: MeasureResult, name: str, *, is_main: bool) -> tuple[str, str]:
    value, interval = measure.headline(name).figure
    # What the main score leaves out has a column of its own.
    return value, interval if is_main else (interval + measure.left_out).strip()


def _groups(rows: Sequence[ScoreRow], vocabulary: Vocabulary) -> list[Group]:
    nodes = {node.label: node for node in vocabulary.ontology.nodes.values()}

    def level(row: ScoreRow) -> str | None:
        node = nodes.get(row.label)
        return None if node is None else f"level {node.level}"

    def branch(row: ScoreRow) -> str | None:
        node = nodes.get(row.label)
        return None if node is None else vocabulary.ontology.main_line(node.node_id)[0].label

    def detected(row: ScoreRow) -> str | None:
        return None if row.is_detected is None else "detected" if row.is_detected else "not detected"

    parted = (
        ("By SDR of the mixture", "SDR in dB", _input_range),
        ("By length", "Seconds", _length_range),
        ("By number of sources", "Sources", lambda row: str(row.sources)),
        ("By level of the ontology", "Level", level),
        ("By branch", "Branch", branch),
        ("Detection against separation", "", detected),
    )
    groups = (Group(title, what, _parts(rows, key)) for title, what, key in parted)
    return [group for group in groups if len(group.rows) > 1]


def _input_range(row: ScoreRow) -> str | None:
    if row.input_sdr is None:
        return None
    place = int(np.searchsorted(_INPUT_EDGES_DB, round(row.input_sdr, 1), side="right"))
    low = "" if place == 0 else f"{_INPUT_EDGES_DB[place - 1]:g}"
    high = "" if place == len(_INPUT_EDGES_DB) else f"{_INPUT_EDGES_DB[place]:g}"
    return f"{low} … {high}".strip()


def _length_range(row: ScoreRow) -> str | None:
    if not row.seconds:
        return None
    edge = next((edge for edge in _LENGTH_EDGES_SECONDS if row.seconds <= edge), None)
    return f"up to {edge:g}" if edge else f"over {_LENGTH_EDGES_SECONDS[-1]:g}"


def _parts(rows: Sequence[ScoreRow], key: Callable[[ScoreRow], str | None]) -> list[tuple[str, int, str]]:
    parts: dict[str, list[ScoreRow]] = {}
    for row in rows:
        name = key(row)
        if name is not None and "sdri" in row.scores:
            parts.setdefault(name, []).append(row)
    along: dict[Any, Callable[[ScoreRow], float]] = {
        _input_range: lambda row: row.input_sdr or 0.0,
        _length_range: lambda row: row.seconds,
    }
    value_of = along.get(key, lambda _: 0.0)
    ordered = sorted(parts.items(), key=lambda part: (min(map(value_of, part[1])), part[0]))
    return [
        (name, len(own), f"{np.median([row.scores['sdri'] for row in own]):z.2f}") for name, own in ordered
    ]


def _bars(chosen: SystemResult) -> list[dict[str, Any]]:
    classes = sorted(
        ((one.medians["sdri"], one) for one in chosen.classes if "sdri" in one.medians),
        key=lambda one: -one[0],
    )
    most = max((abs(value) for value, _ in classes), default=1.0) or 1.0
    return [
        {
            "label": one.label,
            "value": value,
            "shown": f"{value:z.2f}",
            "targets": one.targets,
            "x": _BARS_LEFT,
            "width": round(_BARS_WIDTH * max(0.0, value) / most, 1),
        }
        for value, one in classes
    ]
