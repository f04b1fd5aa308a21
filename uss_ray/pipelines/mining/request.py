"""What a mining run is asked to do, as plain values that travel to a worker."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from uss_ray.config import Device, Location, Settings
from uss_ray.datasets.containers.options import Container, ParquetColumns
from uss_ray.errors import DataError, OutputError
from uss_ray.mining.settings import MiningSettings
from uss_ray.models.precision import Precision
from uss_ray.ontology.source import ClassListFile, OntologyFile
from uss_ray.store.options import Storage
from uss_ray.store.store import Store, StoreOptions
from uss_ray.weights import STARTER

Changed = Literal["redo", "keep", "fail"]


class MiningRequest(Settings):
    """All that decides which anchors come out, and where they go.

    Raises
    ------
    ConfigError
        If there are no segment CSVs, the output has no name, or a choice is unknown.
    """

    segments: tuple[Location, ...] = Field(
        min_length=1, description="Segment CSVs in AudioSet's format, local or URIs."
    )
    audio: Location = Field(
        min_length=1, description="Where the clips are: folder, prefix, .tar, .parquet or .h5."
    )
    output: Location = Field(min_length=1, description="Folder or URI of the anchors.")
    weights: Location = Field(
        default=STARTER,
        description="Name, folder or URI of weights with a detector: starter, PANNs, HTS-AT.",
    )
    settings: MiningSettings = Field(default_factory=MiningSettings, description="How anchors are mined.")
    container: Container | None = Field(
        default=None, description="How clips are kept; without it the names tell."
    )
    columns: ParquetColumns = Field(default_factory=ParquetColumns, description="Of Parquet files.")
    precision: Precision = Field(
        default="float32",
        description="Of the networks on a GPU: each faster and rougher than the one before.",
    )
    compiled: bool = Field(
        default=False, description="Compile the networks on each worker; needs a C++ compiler there."
    )
    device: Device = "auto"
    changed: Changed = Field(
        default="redo",
        description="Clips in a file with another size, ETag or time of change than when they were mined are mined "
        "again; kept without a look; or kept, and count as failed.",
    )
    overwrite: bool = Field(default=False, description="Replace the results of an earlier run.")
    report: bool = Field(default=True, description="Write the HTML page.")
    ontology: OntologyFile = None
    class_list: ClassListFile = None
    storage: Storage = StoreOptions()

    @property
    def output_store(self) -> Store:
        """The output root, as a place whose faults are those of an output."""
        return Store(self.output, self.storage, OutputError)

    @property
    def audio_store(self) -> Store:
        """Where the clips are, as a place whose faults are those of a data set."""
        return Store(self.audio, self.storage, DataError)

    def described(self, *, segments_sha256: str, class_list_sha256: str) -> dict[str, Any]:
        """Give what shapes the anchors as JSON values: labels, settings and arithmetic, not places."""
        return {
            "segments_sha256": segments_sha256,
            "class_list_sha256": class_list_sha256,
            **self.model_dump(mode="json", include={"settings", "precision", "compiled"}),
        }
