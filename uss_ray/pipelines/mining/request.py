"""What a mining run is asked to do, as plain values that travel to a worker."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, get_args

import torch

from uss_ray.api.request import STARTER_WEIGHTS, Device
from uss_ray.datasets.clip_sources import CONTAINERS, Container
from uss_ray.datasets.containers.parquet import ParquetColumns
from uss_ray.errors import ConfigError, WeightsError
from uss_ray.mining.clip_miner import ClipMiner
from uss_ray.mining.settings import MiningSettings
from uss_ray.models.precision import Precision
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.store.access import StorageAccess
from uss_ray.weights.folder import Weights, load_weights
from uss_ray.weights.locate import locate_weights


@dataclass(frozen=True, kw_only=True)
class MiningRequest:
    """All that decides which anchors come out, and where they go.

    Parameters
    ----------
    segments : tuple of str
        Segment CSVs in AudioSet's format, local or URIs.
    audio : str
        Where the clips are: a folder, a prefix, or a single container.
    output : str
        Output root: a folder or a URI.
    weights : str, default="starter"
        Name, folder or URI; with a detector.
    settings : MiningSettings
    container : {"files", "tar", "parquet", "hdf5"} or None, default=None
        How clips are kept; None tells it by the names.
    columns : ParquetColumns
        Of Parquet files, where they have not the usual names.
    precision : {"float32", "tfloat32", "bfloat16"}, default="float32"
        Of the networks on CUDA.
    compiled : bool, default=False
        Have each worker compile the networks for its machine, which must have a C++ compiler.
    device : {"auto", "cpu", "cuda"}, default="auto"
        Auto takes a GPU where there is one.
    overwrite : bool, default=False
        Replace the results of an earlier run.
    report : bool, default=True
        Write the HTML page.
    ontology, class_list : str or None, default=None
        Files in AudioSet's formats; None takes AudioSet's own.
    storage : StorageAccess
        Which object store to talk to.

    Raises
    ------
    ConfigError
        If there are no segment CSVs, the output has no name, or a choice is unknown.
    """

    segments: tuple[str, ...]
    audio: str
    output: str
    weights: str = STARTER_WEIGHTS
    settings: MiningSettings = field(default_factory=MiningSettings)
    container: Container | None = None
    columns: ParquetColumns = field(default_factory=ParquetColumns)
    precision: Precision = "float32"
    compiled: bool = False
    device: Device = "auto"
    overwrite: bool = False
    report: bool = True
    ontology: str | None = None
    class_list: str | None = None
    storage: StorageAccess = field(default_factory=StorageAccess)

    def __post_init__(self) -> None:
        if not self.segments:
            raise ConfigError("segments", expected="at least one segment CSV", found="none")
        if not self.output:
            raise ConfigError("output", expected="a folder or URI", found="an empty name")
        for name, choices in (
            ("container", (None, *CONTAINERS)),
            ("precision", get_args(Precision)),
            ("device", get_args(Device)),
        ):
            if getattr(self, name) not in choices:
                expected = " or ".join(str(choice) for choice in choices if choice is not None)
                raise ConfigError(name, expected=expected, found=repr(getattr(self, name)))

    def load_vocabulary(self) -> Vocabulary:
        """Read ontology and class list."""
        return Vocabulary.load(ontology_path=self.ontology, classes_path=self.class_list)

    def described(self, *, segments_sha256: str, class_list_sha256: str) -> dict[str, Any]:
        """Give what shapes the anchors as JSON values: labels, settings and arithmetic, not places."""
        settings = {
            name: str(value) if isinstance(value, float) and abs(value) == float("inf") else value
            for name, value in dataclasses.asdict(self.settings).items()
        }
        facts = {
            "segments_sha256": segments_sha256,
            "class_list_sha256": class_list_sha256,
            "precision": self.precision,
            **settings,
        }
        if self.compiled:
            facts["compiled"] = True
        described: dict[str, Any] = json.loads(json.dumps(facts))
        return described


def load_checked_weights(request: MiningRequest) -> Weights:
    """Load the weights of a request.

    Raises
    ------
    WeightsError
        If they are missing or altered, or lack what is asked for.
    """
    weights = load_weights(locate_weights(request.weights))
    if weights.detector is None or weights.detector.config.head != "frame":
        raise WeightsError(
            f"weights {weights.name}", expected="a detector", found="none that tells frames apart"
        )
    if request.settings.conditions != "none" and weights.tagger is None:
        raise WeightsError(
            f"weights {weights.name}", expected="a tagger, for conditions of anchors", found="none"
        )
    return weights


def make_miner(request: MiningRequest) -> ClipMiner:
    """Load what a worker needs to mine.

    Raises
    ------
    WeightsError
        If the weights are missing or altered, lack a part or know other classes.
    """
    device = request.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return ClipMiner(
        load_checked_weights(request),
        settings=request.settings,
        vocabulary=request.load_vocabulary(),
        device=device,
        precision=request.precision,
        compiled=request.compiled,
    )
