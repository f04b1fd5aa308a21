"""`uss-ray evaluate run`: systems scored on the list of a benchmark, here or with Ray."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pydantic import Field

from uss_ray.cli.command import JSON, STORAGE_NAME, VERSION, Command
from uss_ray.cli.notes import note, note_loading
from uss_ray.config import Settings
from uss_ray.evaluation.request import OWN_SYSTEMS, EvaluationRequest
from uss_ray.pipelines.runtime.options import JobOptions

if TYPE_CHECKING:
    from uss_ray.evaluation.averages import Average
    from uss_ray.evaluation.result import ClassResult, EvaluationResult, MeasureResult, SystemResult


class EvaluateRun(Settings):
    """Score systems on the list of a benchmark, or go on where the same command ended before.

    Beside them always: the mixture, its half, ideal masks, and a class that is not there. The exit code is 8 if items
    are missing or broken.
    """

    request: EvaluationRequest = Field(description="What is scored, and with what.")
    with_ray: bool = Field(
        default=False, description="Let workers of a Ray cluster do it; the scores are the same."
    )
    options: JobOptions = Field(default_factory=JobOptions, description="How the job runs, with Ray.")


RUN: Final = Command(
    name="evaluate run",
    model=EvaluateRun,
    positionals={"request.benchmark": "BENCHMARK"},
    short={"request.output": "-o"},
    names={
        "request.queries": "query",
        "request.systems": "system",
        "request.storage": STORAGE_NAME,
        "request.settings.condition": None,
        "request.settings.mixture_consistency": "consistency",
        "request.settings.silence.stem_silent_below_peak_dbfs": None,
        "request.settings.hierarchy": None,
        "request.settings.channel_mode": None,
        "with_ray": "ray",
        "options.limit": None,
        "options.shard": None,
        "options.retry_failed": None,
        "options.follow_links": None,
        "options.max_failed_fraction": None,
    },
    aliases={"--mixture-consistency": "--consistency", "--silence": "--untagged-below-rms-dbfs"},
    lists=("request.queries", "request.systems"),
    extras={"json": JSON, "version": VERSION},
    takes_file=True,
)

_INCOMPLETE = 8
LEAST_TARGETS: Final = 5
"""Fewer say nothing of a class."""
_SCENE_FIGURES = (
    ("CA-SDRi", "ca_sdri"),
    ("CAPI-SDRi", "capi_sdri"),
    ("SDRi of what is there", "sdri"),
    ("energy in the residual", "residual"),
    ("in false stems", "false_stems"),
    ("missed", "missed"),
)


def run(arguments: Sequence[str]) -> int:
    """Score, show, and give the exit code."""
    asked, extras = RUN.read(arguments)

    note_loading("Ray" if asked.with_ray else "the networks")
    from uss_ray.cli.display import progress_bar, say

    request = asked.request
    if asked.with_ray:
        from uss_ray.cli.run_progress import run_progress
        from uss_ray.evaluation.result import read_result
        from uss_ray.pipelines.evaluation.job import evaluate_archive

        with run_progress("chunks") as on_progress:
            ran = evaluate_archive(request, options=asked.options, on_progress=on_progress)
        if ran.exit_code:
            say(f"Not all is scored ({ran.counters.unfinished_reason}); the same command goes on.")
            return ran.exit_code
        result = read_result(request.output_store)
    else:
        from uss_ray.pipelines.evaluation.local import evaluate_here  # there need be no Ray

        scored = 0

        def tell(done: float, total: float | None, /) -> None:
            nonlocal scored
            scored = round(done)
            advance(done, total)

        with progress_bar("Scoring", unit="items") as advance:
            try:
                result = evaluate_here(request, on_progress=tell)
            except (SystemExit, KeyboardInterrupt):
                note(f"Stopped: {scored} items are scored and kept; the same command goes on.")
                raise
    if extras.get("json"):
        say(result.to_json())
    else:
        show_result(result)
        say(f"Result: {request.output}/result.json; rows: {request.output}/items/*.parquet")
    return _INCOMPLETE if result.missing or result.broken else 0


def show_result(result: EvaluationResult) -> None:
    """Print a table of the systems, and what is to be known of it."""
    from uss_ray.cli.display import say, show_table
    from uss_ray.evaluation.measures import OF_TAGS, is_by_class
    from uss_ray.evaluation.rows import TAGS

    main, sdri = result.main_score, "sdri"
    measures = [
        name
        for name in dict.fromkeys((main, sdri, *OF_TAGS))
        if any(name in one.measures for one in result.systems)
    ]
    has_mean = is_by_class(main)
    names = (name if is_by_class(name) else f"{name}, mean" for name in measures)
    columns = (
        "System", "Query", *names, *(("Mean",) if has_mean else ()), "SI-SDRi", "Undefined", "Detected",
    )  # fmt: skip
    rows = []
    for one in result.systems:
        of_main, own = one.measures.get(main), one.measures
        rows.append(
            (
                one.system,
                one.query,
                *(shown(own.get(name), name, is_main=name == main) for name in measures),
                *((figure(of_main.mean) if of_main else "",) if has_mean else ()),
                shown(own.get("si_sdri"), "si_sdri", is_main=False),
                str(of_main.undefined + one.failed if of_main else one.failed),
                "" if one.detected is None else f"{one.detected:.0%}",
            )
        )
    with_changes = f" with {result.changes}" if result.changes else ""
    say(
        f"{result.title}, {result.protocol}, {result.split}; {result.weights}{with_changes}; "
        f"{result.scored} of {result.listed} items, list {result.list_sha256[:12]}"
    )
    show_table(
        columns, rows, title="Median in a class, mean over classes, with 95 % intervals", right=columns[2:]
    )
    for one in result.systems:
        if one.labels is not None:
            asked = one.query.replace("-", " ") if one.level else "nothing asked for"
            if one.query == TAGS:
                asked = f"{one.system}, clips tagged"
            say(f"{asked[0].upper()}{asked[1:]}: {found_in_scenes(one)}")
    worst = lowest_class(result)
    if worst is not None:
        say(
            f"Lowest class of {LEAST_TARGETS} targets or more: {worst.label}, "
            f"{worst.medians['sdri']:z.2f} dB SDRi"
        )
    for package in sorted(set(result.not_measured.values())):
        names = (name for name, needed in result.not_measured.items() if needed == package)
        say(f"Not measured: {', '.join(names)}, which need {package}")
    if result.published is not None:
        say(f"The paper: {result.published:g} {result.unit} ({result.published_score})")
    for count, what in ((result.missing, "missing"), (result.broken, "broken")):
        if count:
            say(f"{count} items are {what}, and not scored")
    for reason, count in result.reasons.items():
        say(f"{count} × {reason}")
    if result.condition is not None:
        level = result.condition.absent_level_db
        leaks = "" if level is None else f"; what is given for that: {level:z.2f} dB of the mixture"
        say(f"Above a random class: {result.condition.difference_db:.2f} dB SDRi{leaks}")
        if result.condition.is_blind:
            say("WARNING: the separator hardly hears its condition: a random class does as well.")


def lowest_class(result: EvaluationResult) -> ClassResult | None:
    """Find the class that the first query does worst."""
    asked = next((one for one in result.systems if one.system in OWN_SYSTEMS), None)
    classes = [] if asked is None else asked.classes
    enough = [one for one in classes if one.targets >= LEAST_TARGETS and "sdri" in one.medians]
    return min(enough, key=lambda one: one.medians["sdri"], default=None)


def found_in_scenes(one: SystemResult) -> str:
    """Say what was found where nothing was asked for."""
    from uss_ray.evaluation.result import left_out

    labels = one.labels
    assert labels is not None
    told = [
        *((name, one.measures[key].mean.value) for name, key in _SCENE_FIGURES if key in one.measures),
        ("F1", labels.f1),
        ("precision", labels.precision),
        ("recall", labels.recall),
        ("event F1", labels.event_f1),
        ("frame F1", labels.frame_f1),
        ("mAP", labels.mean_average_precision),
        ("d'", labels.d_prime),
        ("labels right", labels.source_accuracy),
        ("scenes right", labels.mixture_accuracy),
    ]
    if one.level is not None:
        told += [
            ("stems taken twice", one.level.taken_twice),
            ("louder than their parent", one.level.louder),
            ("parents overdrawn", one.level.overdrawn),
        ]
    notes = {name: one.measures[key].left_out for name, key in _SCENE_FIGURES if key in one.measures}
    for name, key in (("mAP", "mean_average_precision"), ("d'", "d_prime")):
        notes[name] = left_out(labels.undefined.get(key, 0))
    empty = "" if labels.empty is None else f"; {labels.empty.told}"
    return (
        ", ".join(f"{name} {value:z.2f}{notes.get(name, '')}" for name, value in told if value is not None)
        + empty
    )


def shown(measure: MeasureResult | None, name: str, *, is_main: bool) -> str:
    """Write a measure with what it leaves out; of the main score that has a column of its own."""
    if measure is None:
        return ""
    return figure(measure.headline(name)) + ("" if is_main else measure.left_out)


def figure(average: Average) -> str:
    """Write a figure with its interval."""
    return " ".join(average.figure).strip()
