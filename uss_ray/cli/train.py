"""`uss-ray train`: from anchors, or from weak labels, to weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

from pydantic import Field, model_validator

from uss_ray.cli.command import STORAGE_NAME, Command
from uss_ray.config import Location, Settings
from uss_ray.errors import ConfigError
from uss_ray.pipelines.training.options import TrainOptions
from uss_ray.pipelines.training.request import SeparatorTraining, TaggerTraining, Training
from uss_ray.store.options import Storage, StoreOptions
from uss_ray.weights import STARTER, ReplacesWeights


class TrainSeparator(Settings):
    """Train a separator on a pack of anchors, or go on where the same command ended before.

    FILES of settings are laid over each other in their order; flags are laid over them.
    """

    request: SeparatorTraining = Field(description="What is trained on what, and where the run goes.")
    options: TrainOptions = Field(default_factory=TrainOptions, description="Who does it.")


class TrainTagger(Settings):
    """Train a tagger on weakly labelled clips and on anchors, or go on where the same command ended before.

    FILES of settings are laid over each other in their order; flags are laid over them.
    """

    request: TaggerTraining = Field(description="What is trained on what, and where the run goes.")
    options: TrainOptions = Field(default_factory=TrainOptions, description="Who does it.")


class TrainStarter(Settings):
    """Train tagger and separator on one machine, as the weights in the package were; from ANCHORS the latter."""

    source: Location = Field(
        description="Data set: audio/train, metadata/train_segments.csv; or anchors: `uss-ray mine --conditions soft`."
    )
    output: Location = Field(description="Weights folder to write.")
    work: Location = Field(
        default="runs/starter", description="Both runs; started again with the same folder, it goes on."
    )
    weights: Location = Field(
        default=STARTER, description="Those that mined ANCHORS; their tagger goes into the new ones."
    )
    segments: Location | None = Field(
        default=None,
        description="Segment CSV to train on in place of that of DATA, as of `uss-ray data hold-out`.",
    )
    overwrite: ReplacesWeights = False


class ShowRun(Settings):
    """Tell how far a training run is, from its files alone."""

    run: Location = Field(description="Folder or URI of the run.")
    storage: Storage = StoreOptions()


class ExportRun(Settings):
    """Write the weights folder of a run: averaged parameters, settled statistics, class means, a model card."""

    run: Location = Field(description="Folder or URI of the run.")
    output: Location = Field(description="Weights folder to write.")
    step: int | None = Field(default=None, ge=0, description="Of the checkpoint; without it the last.")
    best: bool = Field(default=False, description="The checkpoint whose validation is the best.")
    overwrite: ReplacesWeights = False
    storage: Storage = StoreOptions()

    @model_validator(mode="after")
    def _choose_one(self) -> Self:
        if self.best and self.step is not None:
            raise ConfigError("checkpoint", expected="a step or the best one", found="both")
        return self


_RECIPE = "request.recipe"
SEPARATOR: Final = Command(
    name="train separator",
    model=TrainSeparator,
    names={
        **{
            f"{_RECIPE}.{part}": f"{part}.{{}}"
            for part in (
                "fit",
                "fit.optimiser",
                "plan",
                "mixtures",
                "mixtures.conditions",
                "augmentation",
                "loss",
                "query",
            )
        },
        # What has parts of its own kind, or two values, is said in a file.
        **dict.fromkeys(
            (
                f"{_RECIPE}.separator",
                f"{_RECIPE}.query.network",
                *(
                    f"{_RECIPE}.query.adaptor.{name}"
                    for name in ("architecture", "bottleneck_size", "hidden_size", "condition_size")
                ),
                f"{_RECIPE}.mixtures.target_rms_dbfs",
                f"{_RECIPE}.augmentation.room_ratio_db",
            )
        ),
        "request.validation": "validation.{}",
        "request.storage": STORAGE_NAME,
    },
    short={"request.output": "-o"},
    takes_file=True,
)
TAGGER: Final = Command(
    name="train tagger",
    model=TrainTagger,
    names={
        **{f"{_RECIPE}.{part}": f"{part}.{{}}" for part in ("fit", "fit.optimiser", "plan", "tagger")},
        f"{_RECIPE}.tagger.architecture": None,
        f"{_RECIPE}.crop_seconds": None,  # two values are said in a file
        "request.validation": "validation.{}",
        "request.storage": STORAGE_NAME,
    },
    short={"request.output": "-o"},
    takes_file=True,
)
STARTER_RECIPE: Final = Command(
    name="train starter", model=TrainStarter, positionals={"source": "DATA|ANCHORS"}, short={"output": "-o"}
)
SHOW: Final = Command(
    name="train show", model=ShowRun, positionals={"run": "RUN"}, names={"storage": STORAGE_NAME}
)
EXPORT: Final = Command(
    name="train export",
    model=ExportRun,
    positionals={"run": "RUN"},
    names={"storage": STORAGE_NAME},
    short={"output": "-o"},
)


def train_separator(arguments: Sequence[str]) -> int:
    """Train, and say how far the run is."""
    asked, _ = SEPARATOR.read(arguments)
    return _train(asked.request, asked.options)


def train_tagger(arguments: Sequence[str]) -> int:
    """Train, and say how far the run is."""
    asked, _ = TAGGER.read(arguments)
    return _train(asked.request, asked.options)


def train_starter(arguments: Sequence[str]) -> int:
    """Train, and say where the weights are."""
    asked, _ = STARTER_RECIPE.read(arguments)

    import logging
    from functools import partial

    from uss_ray.anchors.manifest import MANIFEST_NAME
    from uss_ray.cli.display import say
    from uss_ray.pipelines import starter
    from uss_ray.weights.folder import check_free

    source, output, work = Path(asked.source), Path(asked.output), Path(asked.work)
    if (source / MANIFEST_NAME).is_file():
        if asked.segments is not None:
            raise ConfigError("train starter --segments", expected="a data set before it", found="anchors")
        is_made = partial(starter.is_made_of_anchors, source, output, weights=asked.weights, work=work)
        train = partial(starter.train_starter_from_anchors, source, output, weights=asked.weights, work=work)
    else:
        segments = None if asked.segments is None else Path(asked.segments)
        is_made = partial(starter.is_made_of_data, source, output, segments=segments, work=work)
        train = partial(starter.train_starter, source, output, segments=segments, work=work)
    if not asked.overwrite and is_made():
        say(f"Weights: {output}, made by this command before; nothing is left to do")
        return 0
    check_free(asked.output, overwrite=asked.overwrite)
    logging.getLogger("uss_ray").setLevel(logging.INFO)
    say(f"Weights: {train()}")
    return 0


def show_run(arguments: Sequence[str]) -> int:
    """Print how far a run is."""
    asked, _ = SHOW.read(arguments)

    from uss_ray.cli.display import say, show_table
    from uss_ray.errors import DataError
    from uss_ray.pipelines.training.progress import look_at
    from uss_ray.store.store import Store

    seen = look_at(Store(asked.run, asked.storage, DataError))
    show_table(
        ("Step", "Loss", "Rate", "Items/s", "Waits for data"),
        [
            (
                f"{line['step']}",
                f"{line['loss']:.4f}",
                f"{line['learning_rate']:.2e}",
                f"{line['items_per_second']:.1f}",
                f"{line['data_wait_share']:.0%}",
            )
            for line in seen.curve
        ],
        title="Curve",
        right=("Step", "Loss", "Rate", "Items/s", "Waits for data"),
    )
    if seen.validations:
        title, columns = _shown_scores(seen.validations[-1])
        names = ("Step", *columns, "Best")
        show_table(
            names,
            [
                (
                    f"{line['step']}",
                    *(form.format(line[key]) for key, form in columns.values()),
                    "*" if line["step"] == seen.best else "",
                )
                for line in seen.validations
            ],
            title=title,
            right=names[:-1],
        )
    if seen.otherwise:
        say(
            f"{seen.otherwise} validations on something else are in validations.jsonl, and not compared with these"
        )
    later = f", the curve tells of {seen.told}" if seen.told != seen.step else ""
    say(f"{seen.name}: {seen.step} of {seen.steps} steps{later}")
    say(seen.state)
    return 0


def _shown_scores(validation: Mapping[str, Any]) -> tuple[str, dict[str, tuple[str, str]]]:
    """Give the title of a table of validations, and its columns with the key and the form of each."""
    if "sdri_db" in validation:
        return f"Validations, {validation['query']} query, {validation['pairs']} mixtures", {
            "SDRi dB": ("sdri_db", "{:z.2f}"),
            "Only detected": ("gated_sdri_db", "{:z.2f}"),
            "Detected": ("detected", "{:.0%}"),
        }
    return f"Validations, {validation['clips']} clips, {len(validation['classes'])} classes", {
        "mAP": ("mean_average_precision", "{:.3f}")
    }


def export_run(arguments: Sequence[str]) -> int:
    """Export, and say where the weights are."""
    asked, _ = EXPORT.read(arguments)

    from uss_ray.cli.display import say
    from uss_ray.errors import OutputError
    from uss_ray.pipelines.training.request import read_request
    from uss_ray.pipelines.training.worker import export
    from uss_ray.store.store import Store
    from uss_ray.weights.folder import check_free

    check_free(asked.output, overwrite=asked.overwrite)
    request = read_request(Store(asked.run, asked.storage, OutputError))
    say(f"Weights: {export(request, Path(asked.output), step=asked.step, best=asked.best)}")
    return 0


def _train(request: Training, options: TrainOptions) -> int:
    from uss_ray.cli.display import say
    from uss_ray.pipelines.training.run_folder import is_scored

    if options.worker_range == (0, 0):
        from uss_ray.pipelines.runtime.stopping import stop_on_signals
        from uss_ray.pipelines.training.local import train_here

        with stop_on_signals(lambda: say("Stopping after this step; again to stop at once.")) as stop:
            done = train_here(request, is_stopping=lambda: bool(stop), on_step=_tell, say=say)
        signal_number = stop.signal_number
    else:
        from uss_ray.pipelines.training.job import train_on_ray

        done, signal_number = train_on_ray(request, options, on_step=_tell, say=say)
    steps = request.recipe.fit.steps
    say(f"Run: {request.output}, {done} of {steps} steps")
    is_owed = (
        signal_number is not None
        and request.validation is not None
        and not is_scored(request.run_store, done)
    )
    if done < steps or is_owed:
        say("The same command goes on.")
        return 128 + signal_number if signal_number is not None else 1
    say(f"uss-ray train export {request.output} -o WEIGHTS writes its weights.")
    return 0


def _tell(step: int, line: Mapping[str, Any]) -> None:
    from uss_ray.cli.display import say

    say(f"step {step}: loss {line['loss']:.4f}, {line['items_per_second']:.1f} items/s")
