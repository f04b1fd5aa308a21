"""What a training run is asked to do, as plain values that travel to a worker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from uss_ray.config import Count, Device, Location, Name, Settings
from uss_ray.errors import ConfigError, DataError, OutputError
from uss_ray.ontology.source import ClassListFile, OntologyFile
from uss_ray.store.options import Storage
from uss_ray.store.store import Store, StoreOptions
from uss_ray.training.recipe import FitSettings, SeparatorRecipe, TaggerRecipe
from uss_ray.weights import STARTER

SETTINGS_NAME = "settings.yaml"
YOUNGER_FACTS: Final = frozenset({"ontology_sha256", "clips_sha256", "clip_seconds"})
"""Of an identity, what runs that were begun earlier do not have in theirs; they go on."""
_MEBIBYTE = 1 << 20

EverySteps = Annotated[
    Count | None,
    Field(
        description="Steps between validations, a multiple of those between checkpoints; off: at each of them. The "
        "last step is always one."
    ),
]
SegmentFiles = Annotated[
    tuple[Location, ...],
    Field(min_length=1, description="Segment CSVs in AudioSet's format, local or URIs."),
]
ClipsInMemory = Annotated[
    Location,
    Field(
        min_length=1,
        description="Where the clips are: folder, prefix, .tar, .parquet or .h5. They are held in memory.",
    ),
]


class _Training(Settings):
    """What all runs are told."""

    output: Location = Field(min_length=1, description="Folder or URI of the run.")
    device: Device = Field(default="auto", description="Where the networks are trained.")
    cache_mebibytes: int = Field(
        default=1024, ge=1, description="Most that row groups of anchors take in the memory of a worker."
    )
    ontology: OntologyFile = None
    class_list: ClassListFile = None
    tensorboard: bool = Field(
        default=False, description="Write event files for TensorBoard; needs the extra `tensorboard`."
    )
    licence: Name | None = Field(
        default=None,
        description="Licences of the recordings that are trained on; stands in the model card of exported weights.",
    )
    storage: Storage = StoreOptions()

    @model_validator(mode="after")
    def _find_tensorboard(self) -> Self:
        if self.tensorboard and find_spec("tensorboard") is None:
            raise ConfigError(
                "training setting tensorboard",
                expected="TensorBoard (pip install 'uss-ray[tensorboard]')",
                found="no such package",
            )
        return self

    @property
    def run_store(self) -> Store:
        """The run's folder, as a place whose faults are those of an output."""
        return Store(self.output, self.storage, OutputError)

    @property
    def cache_bytes(self) -> int:
        """`cache_mebibytes` in bytes."""
        return self.cache_mebibytes * _MEBIBYTE


class ValidationSettings(Settings):
    """What a run is scored on, through the engine that users run: mixtures of two clips that it is not trained on."""

    data: Location = Field(
        min_length=1, description="Data set folder: audio/eval, metadata/eval_segments.csv."
    )
    pairs: Location | None = Field(
        default=None,
        description="List of mixtures (CSV); without it the one that `uss-ray evaluate list` draws.",
    )
    every_steps: EverySteps = None
    query: Literal["class-mean", "detected", "oracle"] = Field(
        default="class-mean", description="What steers the separator."
    )
    heard: int = Field(
        default=4, ge=0, description="Mixtures whose sound is kept: mixture, target and estimate."
    )


class TaggerValidationSettings(Settings):
    """What a run is scored on: weakly labelled clips that it is not trained on, whole."""

    segments: SegmentFiles
    audio: ClipsInMemory
    every_steps: EverySteps = None


class SeparatorTraining(_Training):
    """All that decides which separator comes out, and where it goes."""

    anchors: Location = Field(min_length=1, description="Pack of anchors: `uss-ray anchors pack`.")
    weights: Location = Field(
        default=STARTER, description="Those that mined the anchors; their tagger goes into the exported ones."
    )
    query_weights: Location | None = Field(
        default=None,
        description="Those whose tagger hears queries, where the recipe has a foreign trunk.",
    )
    recipe: SeparatorRecipe = Field(description="How the separator is trained.")
    validation: ValidationSettings | None = Field(
        default=None, description="What the run is scored on; off: nothing."
    )

    @model_validator(mode="after")
    def _validate_at_checkpoints(self) -> Self:
        _check_every(self.validation, self.recipe.fit)
        return self

    @property
    def anchor_store(self) -> Store:
        """The pack, as a place whose faults are those of a data set."""
        return Store(self.anchors, self.storage, DataError)

    def identity(
        self,
        *,
        anchors_sha256: str,
        weights_sha256: str,
        class_list_sha256: str,
        ontology_sha256: str | None = None,
        query_weights_sha256: str | None = None,
    ) -> dict[str, Any]:
        """Give what shapes the parameters as JSON values: recipe, data, classes, not places."""
        return {
            "anchors_sha256": anchors_sha256,
            "weights_sha256": weights_sha256,
            "class_list_sha256": class_list_sha256,
            "recipe": shaping(self.recipe),
        } | _known(ontology_sha256=ontology_sha256, query_weights_sha256=query_weights_sha256)


class TaggerTraining(_Training):
    """All that decides which tagger comes out, and where it goes."""

    segments: SegmentFiles
    audio: ClipsInMemory
    anchors: Location | None = Field(
        default=None, description="Pack of anchors, for a recipe that has a share for them."
    )
    clip_seconds: float = Field(
        default=10.0, gt=0.0, description="Length that clips are cut or padded with silence to."
    )
    segment_seconds: float = Field(
        default=2.0, gt=0.0, description="Length of the segments that the tagger will be asked about."
    )
    recipe: TaggerRecipe = Field(description="How the tagger is trained.")
    validation: TaggerValidationSettings | None = Field(
        default=None, description="What the run is scored on; off: nothing."
    )

    @model_validator(mode="after")
    def _validate_at_checkpoints(self) -> Self:
        _check_every(self.validation, self.recipe.fit)
        return self

    @property
    def anchor_store(self) -> Store | None:
        """The pack, as a place whose faults are those of a data set."""
        return None if self.anchors is None else Store(self.anchors, self.storage, DataError)

    def identity(
        self,
        *,
        labels_sha256: str,
        clips_sha256: str,
        class_list_sha256: str,
        anchors_sha256: str | None,
        ontology_sha256: str | None,
    ) -> dict[str, Any]:
        """Give what shapes the parameters as JSON values: recipe, clips and their labels, classes, not places.

        The ontology says what is unknown of anchors; without them it shapes nothing.
        """
        return {
            "labels_sha256": labels_sha256,
            "clips_sha256": clips_sha256,
            "clip_seconds": self.clip_seconds,
            "class_list_sha256": class_list_sha256,
            "recipe": shaping(self.recipe),
        } | _known(anchors_sha256=anchors_sha256, ontology_sha256=ontology_sha256)


Training = SeparatorTraining | TaggerTraining


def read_request(run: Store) -> Training:
    """Read what a run was asked to do, from its folder.

    Raises
    ------
    DataError
        If there is no run.
    ConfigError
        If its settings are of another version.
    """
    import yaml

    place = run / SETTINGS_NAME
    if not place.exists():
        raise DataError(str(run), expected="a training run", found=f"no {SETTINGS_NAME}")
    try:
        values = yaml.safe_load(place.raising(DataError).read())
    except (yaml.YAMLError, ValueError) as error:
        found = " ".join(str(error).split())
        raise DataError(str(place), expected="settings of a training run", found=found) from error
    if not isinstance(values, dict):
        raise DataError(str(place), expected="settings of a training run", found=type(values).__name__)
    kind = TaggerTraining if "segments" in values else SeparatorTraining
    # The run may have been moved or mounted elsewhere since.
    return kind(**{**values, "output": str(run), "storage": run.options})


def _known(**facts: str | None) -> dict[str, str]:
    return {name: fact for name, fact in facts.items() if fact is not None}


def _check_every(validation: ValidationSettings | TaggerValidationSettings | None, fit: FitSettings) -> None:
    steps = validation and validation.every_steps
    if steps and steps % fit.checkpoint_steps:
        raise ConfigError(
            "training setting validation.every_steps",
            expected=f"a multiple of the {fit.checkpoint_steps} steps between checkpoints",
            found=str(steps),
        )


def defaults_of(recipe: Settings) -> set[str]:
    """Name the settings of a recipe that have their defaults, as they are called in the identity of a run."""
    every, own = (set(_names(recipe.model_dump(mode="json", exclude_defaults=off))) for off in (False, True))
    return every - own


def _names(values: Mapping[str, Any], prefix: str = "recipe.") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _names(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def shaping(recipe: Settings) -> dict[str, Any]:
    """Give a recipe as JSON values, without what shapes no parameter: paces of checkpoints, metrics and reading."""
    values = recipe.model_dump(mode="json")
    for name in ("checkpoint_steps", "keep_checkpoints", "log_steps", "prefetch"):
        values["fit"].pop(name)
    return values
