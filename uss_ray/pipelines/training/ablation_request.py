"""What an ablation is asked to do: the arms that a base, its overlays and the seeds make. Without Ray and torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from uss_ray.config import (
    Count,
    Device,
    Layer,
    Location,
    Name,
    Settings,
    in_its_file,
    merged,
    overlay,
    read_layers,
)
from uss_ray.errors import ConfigError, OutputError
from uss_ray.pipelines.training.request import SeparatorTraining
from uss_ray.store.options import Storage, StoreOptions
from uss_ray.store.store import Store

BASE_ARM = "base"
_PARTS = ("request", "options")


class AblationRequest(Settings):
    """Which runs are compared, and where they go."""

    base: Location = Field(
        description="File of settings of `uss-ray train separator`; it names a validation."
    )
    overlays: tuple[Location, ...] = Field(
        min_length=1, description="Files that hold what differs, or folders of such; each is an arm."
    )
    output: Location = Field(min_length=1, description="Folder or URI of the runs and of the table.")
    seeds: Count = Field(default=3, description="Runs of each arm, with seeds from 0.")
    device: Device | None = Field(
        default=None, description="Where the networks are trained; off: as in BASE."
    )
    storage: Storage = StoreOptions()

    @property
    def output_store(self) -> Store:
        """Where runs and table go."""
        return Store(self.output, self.storage, OutputError)


class AblationOptions(Settings):
    """Who does the runs of an ablation."""

    workers: int = Field(
        default=0,
        ge=0,
        description="Runs at a time, on Ray, a GPU each where there are some; 0: in this process.",
    )
    address: Name | None = Field(
        default=None, description="Ray cluster; without it RAY_ADDRESS, or a local Ray."
    )
    cpus_per_worker: float = Field(default=1.0, gt=0.0, description="What Ray sets aside for a run.")
    verbose: bool = Field(default=False, description="Let the logs of Ray and of the workers through.")


@dataclass(frozen=True)
class Arm:
    """A run of an ablation.

    Parameters
    ----------
    name : str
        Of the overlay; `base` has none.
    seed : int
    training : SeparatorTraining
    """

    name: str
    seed: int
    training: SeparatorTraining


class _OfFiles(Settings):
    """What the files of an arm say, as they say it."""

    request: SeparatorTraining


def arms_of(request: AblationRequest) -> list[Arm]:
    """Make all runs, those of a seed after each other, so that each arm soon has one.

    Raises
    ------
    ConfigError
        If a file is not what it should be, two overlays have one name, or the base names no validation.
    """
    base = _layers_in(request.base)
    arms = {BASE_ARM: base}
    for path in _files(request.overlays):
        if path.stem in arms:
            raise ConfigError(str(path), expected="a name that no other arm has", found=path.stem)
        arms[path.stem] = [*base, *_layers_in(path)]
    made = [
        Arm(name, seed, _training(request, name, seed=seed, layers=layers))
        for seed in range(request.seeds)
        for name, layers in arms.items()
    ]
    if made[0].training.validation is None:
        raise ConfigError(request.base, expected="a validation, by which arms are compared", found="none")
    return made


def _training(
    request: AblationRequest, name: str, *, seed: int, layers: Sequence[Layer]
) -> SeparatorTraining:
    place = request.output_store / name / f"seed-{seed}"
    own: dict[str, Any] = {
        "output": str(place),
        "recipe": {"plan": {"seed": seed}},
        "storage": request.storage,
    }
    if request.device is not None:
        own["device"] = request.device
    values: dict[str, Any] = {"request": overlay(merged(layers).get("request", {}), own)}
    try:
        return _OfFiles(**values).request
    except ConfigError as error:
        raise in_its_file(error, _OfFiles, values, layers=layers) from error


def _files(places: Sequence[str]) -> Iterator[Path]:
    for place in map(Path, places):
        found = sorted(place.glob("*.yaml")) if place.is_dir() else [place]
        if not found:
            raise ConfigError(str(place), expected="overlays (*.yaml)", found="none")
        yield from found


def _layers_in(path: str | Path) -> list[Layer]:
    """Read a file and its bases; of the settings of a training they hold what is trained, and not who does it."""
    layers = read_layers(path)
    for layer in layers:
        strange = sorted(layer.values.keys() - set(_PARTS))
        if strange:
            raise ConfigError(
                f"{layer.file}: {strange[0]}", expected="a known setting, 'request'", found="an unknown one"
            )
        request = layer.values.get("request", {})
        if not isinstance(request, Mapping):
            raise ConfigError(
                f"{layer.file}: request", expected="settings by their names", found=repr(request)
            )
    return layers
