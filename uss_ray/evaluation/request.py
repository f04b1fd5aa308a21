"""What a list and an evaluation are asked to be, as plain values that travel to a worker."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from uss_ray.config import Count, Device, Location, Settings, canonical_json
from uss_ray.errors import ConfigError, DataError, OutputError
from uss_ray.separation.settings import EngineNetworks, NetworkSettings, SeparationSettings
from uss_ray.store.options import Storage, StoreOptions
from uss_ray.store.store import Store
from uss_ray.weights import STARTER, WeightsName

QueryName = Literal["class-mean", "oracle", "detected", "class-index", "examples", "text"]
OWN_SYSTEMS: Final = ("engine", "gated", "bare", "published")


class Variation(Settings):
    """What the mixtures of two are varied in; without any of it they are as they were drawn.

    Each of them is there once for each value of each kind, and the other kinds as drawn: curves, not a grid.
    """

    snr_db: tuple[Annotated[float, Field(ge=-60, le=60)], ...] = Field(
        default=(), description="Levels of the target above all the rest, in dB."
    )
    sources: tuple[Annotated[int, Field(ge=2, le=16)], ...] = Field(
        default=(),
        description="Numbers of sources, each at the energy of the target and of an unrelated class.",
    )
    seconds: tuple[Annotated[float, Field(gt=0, le=600)], ...] = Field(
        default=(), description="Lengths; what is too short is repeated."
    )


class EvaluationRequest(Settings):
    """Score systems on the list of a benchmark.

    Raises
    ------
    ConfigError
        If a system or query is unknown, or comes twice.
    """

    benchmark: str = Field(
        description="One of audiosep, audioset, clapsep, dcase2025, dcase2026, esc50, fsd50k, fsdkaggle2018, mini, "
        "musdb18, musdb18-hq, open-scenes, scenes, slakh2100, tagging, voicebank."
    )
    data: Location = Field(description="Folder or URI of its data.")
    list: Location | None = Field(
        default=None,
        description="List of uss-ray evaluate list, mini's as CSV too; without it the one that is drawn of the data.",
    )
    protocol: Literal["published", "strict"] | None = Field(
        default=None, description="Of a list that is drawn; without it strict."
    )
    weights: WeightsName = STARTER
    systems: tuple[str, ...] = Field(
        default=("engine",),
        min_length=1,
        description="engine: as users run it. gated: the same, only where targets are detected. bare: the network "
        "alone, on hard blocks. published: the engine with --profile published. module:function: called with mixture, "
        "rate and labels, gives estimates.",
    )
    queries: tuple[QueryName, ...] = Field(
        default=("class-mean",),
        min_length=1,
        description="What steers them. class-mean: the mean of the class, of the weights or of a training list. "
        "oracle: the target itself. detected: what the tagger hears of it in the mixture. class-index: the class's "
        "place. examples: some sounds of a training list. text: the label in words.",
    )
    train_list: Location | None = Field(
        default=None,
        description="List of a training split, for class means and examples; no file of it is scored.",
    )
    examples: Count = Field(default=5, description="Sounds a class, for the query by examples.")
    settings: SeparationSettings = Field(
        default_factory=SeparationSettings,
        description="How mixtures are separated; the query decides the condition.",
    )
    networks: EngineNetworks = NetworkSettings()
    limit: Count | None = Field(default=None, description="Score so many items only, spread over the list.")
    allow_missing: bool = Field(
        default=False, description="Leave out items whose files are missing, and say so."
    )
    allow_unknown: bool = Field(
        default=False,
        description="Count targets that the weights have no class mean of as failed; otherwise they end the run.",
    )
    output: Location = Field(description="Folder or URI of the run.")
    device: Device = "auto"
    overwrite: bool = Field(default=False, description="Replace an earlier run.")
    storage: Storage = StoreOptions()

    def model_post_init(self, _: Any, /) -> None:
        """Check what no type says."""
        for name, values in (("systems", self.systems), ("queries", self.queries)):
            if len(set(values)) < len(values):
                raise ConfigError(f"evaluation {name}", expected="each once", found=", ".join(values))
        for system in self.systems:
            if system not in OWN_SYSTEMS and ":" not in system:
                raise ConfigError(
                    "evaluation systems",
                    expected=" or ".join((*OWN_SYSTEMS, "module:function")),
                    found=system,
                )

    @property
    def output_store(self) -> Store:
        """The folder of the run, as a place whose faults are those of an output."""
        return Store(self.output, self.storage, OutputError)

    @property
    def data_store(self) -> Store:
        """The data, as a place whose faults are those of a data set."""
        return Store(self.data, self.storage, DataError)

    def listed_at(self, place: Location) -> Store:
        """Give the place of a list."""
        return Store(place, self.storage, DataError)

    def described(self, *, list_sha256: str, train_sha256: str | None) -> dict[str, Any]:
        """Give what shapes the scores as JSON values: not places."""
        shaping = {"benchmark", "systems", "queries", "examples", "settings", "limit", "allow_missing"}
        if self.allow_unknown:
            shaping.add("allow_unknown")
        if self.networks != NetworkSettings():  # a run that was begun before there was a choice goes on
            shaping.add("networks")
        return {
            "list_sha256": list_sha256,
            "train_sha256": train_sha256,
            **self.model_dump(mode="json", include=shaping),
        }

    def run_id(self, described: dict[str, Any], *, weights_sha256: str) -> str:
        """Name a run by what shapes its scores."""
        text = canonical_json({**described, "weights_sha256": weights_sha256})
        return hashlib.sha256(text.encode()).hexdigest()[:16]
