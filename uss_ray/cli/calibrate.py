"""`uss-ray calibrate`: what the probabilities of weights are worth, and weights whose probabilities are worth more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import Field

from uss_ray.cli.command import JSON, STORAGE_NAME, Command
from uss_ray.cli.notes import note, note_loading, write_json
from uss_ray.config import Location, Name, Settings
from uss_ray.errors import ConfigError
from uss_ray.store.options import Storage, StoreOptions
from uss_ray.weights import STARTER, ReplacesWeights, WeightsName

if TYPE_CHECKING:
    from uss_ray.evaluation.calibration import Observations, Score
    from uss_ray.separation.engine import SeparationEngine
    from uss_ray.weights.folder import Weights


class Calibrate(Settings):
    """Compare the probabilities of weights with the truth, and write weights that bring a calibration.

    Lines through the logits and thresholds, for all classes or for each, are fitted to some recordings and judged on
    others; the simplest way that does as well as any is taken, which may be the weights as they are.
    """

    weights: WeightsName = STARTER
    data: tuple[Location, ...] = Field(
        default=(),
        description="Labelled data sets, such as those the weights were trained on: audio/<split>, "
        "metadata/<split>_segments.csv.",
    )
    corrections: tuple[Location, ...] = Field(
        default=(),
        description="Files of corrections that the page of an output has saved (JSON or CSV), of these weights.",
    )
    split: Name = Field(default="train", description="Split of the data sets to fit to.")
    held_out: Name | None = Field(
        default="eval", description="Split to tell what came of it; none: only the fitted one is told of."
    )
    precision: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Share of what is found that is to be there; without it thresholds are those of the highest F1.",
    )
    limit: int | None = Field(
        default=None, ge=1, description="At most so many clips of each split of a data set."
    )
    output: Location | None = Field(
        default=None, description="Weights folder to write; without it, what it would hold is only told."
    )
    overwrite: ReplacesWeights = False
    storage: Storage = StoreOptions()


COMMAND: Final = Command(
    name="calibrate",
    model=Calibrate,
    short={"output": "-o"},
    names={"storage": STORAGE_NAME},
    lists=("data", "corrections"),
    extras={"json": JSON},
)


def run(arguments: Sequence[str]) -> int:
    """Fit, judge, choose, show, and write."""
    asked, extras = COMMAND.read(arguments)
    if not asked.data and not asked.corrections:
        raise ConfigError("uss-ray calibrate", expected="--data or --corrections", found="neither")
    if asked.output is not None:
        from uss_ray.weights.folder import check_free

        check_free(asked.output, overwrite=asked.overwrite)
    note_loading("the networks")
    from uss_ray.cli.display import say, show_table
    from uss_ray.evaluation.calibration import (
        NOW,
        THRESHOLD_WAYS,
        WAYS,
        Fitted,
        choose,
        cross_validate,
        fit,
        judge,
    )
    from uss_ray.ontology.vocabulary import Vocabulary
    from uss_ray.separation.engine import build_engine
    from uss_ray.separation.settings import EVENT_THRESHOLD
    from uss_ray.weights.folder import save_calibrated
    from uss_ray.weights.locate import load_weights

    weights = load_weights(asked.weights, storage=asked.storage)
    vocabulary = Vocabulary.load()
    weights.check_classes(vocabulary.classes.ids)
    engine = build_engine(weights, vocabulary=vocabulary)
    seen = _seen(asked, engine=engine, weights=weights)
    brought = weights.specifications.calibration
    now = Fitted.of_weights(
        brought, classes={*engine.known.class_indexes, *seen.classes.tolist()}, threshold=EVENT_THRESHOLD
    )
    scores = cross_validate(
        seen,
        now=now,
        precision=asked.precision,
        ways=WAYS if asked.precision is None else THRESHOLD_WAYS,
    )
    chosen = choose(scores)
    fitted = fit(seen, chosen.way, now=now, precision=asked.precision)
    later = _heard(asked, split=asked.held_out, engine=engine) if asked.held_out and asked.data else None
    held_out = [] if later is None else [judge(now, later), judge(fitted, later, way=chosen.way)]
    lines = [("other shares", score) for score in scores] + [
        (str(asked.held_out), score) for score in held_out
    ]
    if "json" in extras:
        for judged_on, score in lines:
            write_json(_record(score) | {"judged_on": judged_on, "is_chosen": score.way == chosen.way})
    else:
        show_table(
            ("Probabilities, thresholds", "Judged on", "Log loss", "Precision", "Recall", "F1"),
            [(_mark(score, chosen), judged_on, *_figures(score)) for judged_on, score in lines],
            title=f"{asked.weights}: {len(seen)} probabilities, {int(seen.is_there.sum())} of what is there",
            right=("Log loss", "Precision", "Recall", "F1"),
        )
    if chosen.way == NOW:
        note("Nothing is better than the weights as they are: no weights are written.")
    elif asked.output is None:
        note("--output FOLDER writes weights with it.")
    else:
        folder = save_calibrated(Path(asked.output), weights, calibration=fitted.of_classes(beside=brought))
        say(f"Weights: {folder}")
    return 0


def _seen(asked: Calibrate, *, engine: SeparationEngine, weights: Weights) -> Observations:
    """Gather what is fitted to."""
    from uss_ray.evaluation.calibration import Observations
    from uss_ray.evaluation.observations import of_corrections
    from uss_ray.results.corrections import read_corrections
    from uss_ray.store.store import Store

    found = [_heard(asked, split=asked.split, engine=engine)] if asked.data else []
    if asked.corrections:
        from uss_ray.errors import DataError

        told = read_corrections(Store(place, asked.storage, DataError) for place in asked.corrections)
        latest = told.latest().values()
        corrected = of_corrections(
            latest,
            vocabulary=engine.vocabulary,
            weights_sha256=weights.sha256,
            calibration=weights.specifications.calibration,
        )
        note(f"{len(corrected)} of {len(latest)} corrections are of classes and of these weights")
        if not len(corrected) and not found:
            others = sum(one.weights_sha256 != weights.sha256 for one in latest)
            raise DataError(
                f"corrections of {', '.join(asked.corrections)}",
                expected=f"some of classes and of these weights ({weights.name})",
                found=f"{len(latest)}, {others} of them of other weights" if latest else "none at all",
            )
        found.append(corrected)
    return Observations.joined(found)


def _heard(asked: Calibrate, *, split: str, engine: SeparationEngine) -> Observations:
    from uss_ray.cli.display import progress_bar
    from uss_ray.evaluation.calibration import Observations
    from uss_ray.evaluation.observations import listen

    heard = []
    for data in asked.data:
        with progress_bar(f"Listening to {split}", unit="clips") as advance:
            heard.append(listen(Path(data), split=split, engine=engine, limit=asked.limit, progress=advance))
    return Observations.joined(heard)


def _mark(score: Score, chosen: Score) -> str:
    return f"{score.way}{' *' if score.way == chosen.way else ''}"


def _figures(score: Score) -> tuple[str, ...]:
    rates = (f"{rate:.3f}" for rate in (score.precision, score.recall, score.f1))
    return (f"{score.log_loss:.4f}", *rates)


def _record(score: Score) -> dict[str, object]:
    return {
        "lines": score.way.lines,
        "thresholds": score.way.thresholds,
        "log_loss": score.log_loss,
        "precision": score.precision,
        "recall": score.recall,
        "f1": score.f1,
    }
