"""What packing is asked to do. Without Ray, for the command line reads it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from uss_ray.config import Location, Settings
from uss_ray.errors import DataError, OutputError
from uss_ray.store.options import Storage
from uss_ray.store.store import Store, StoreOptions


class PackRequest(Settings):
    """Which anchors are packed, how, and where the pack goes."""

    anchors: Location = Field(min_length=1, description="Output of `uss-ray mine`.")
    output: Location = Field(min_length=1, description="Folder or URI of the pack.")
    shard_mebibytes: int = Field(default=128, ge=1, description="Size at which a shard ends.")
    seed: int = Field(default=0, ge=0, description="Of the order of anchors within a class.")
    overwrite: bool = Field(default=False, description="Replace a pack that is there.")
    storage: Storage = StoreOptions()

    @property
    def anchor_store(self) -> Store:
        """The anchors, as a place whose faults are those of a data set."""
        return Store(self.anchors, self.storage, DataError)

    @property
    def output_store(self) -> Store:
        """The pack, as a place whose faults are those of an output."""
        return Store(self.output, self.storage, OutputError)

    @property
    def device(self) -> Literal["cpu"]:
        """Where it is done: nothing here takes a GPU."""
        return "cpu"
