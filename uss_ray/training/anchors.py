"""What training takes of a set of anchors, wherever they lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from uss_ray.anchors.catalogue import AnchorCatalogue
from uss_ray.anchors.packed import PackManifest
from uss_ray.anchors.packed_reader import PackedAnchor


class TrainingAnchors(Protocol):
    """Anchors with a catalogue; `PackedAnchors` reads them from a pack, `ResidentAnchors` holds them on a device."""

    manifest: PackManifest

    @property
    def root(self) -> object:
        """What errors call them."""
        ...

    @property
    def catalogue(self) -> AnchorCatalogue:
        """What the anchors are, without their sound."""
        ...

    def class_means(self, kind: str) -> dict[int, NDArray[np.float32]]:
        """Give the mean bottleneck of each class."""
        ...

    def read(self, rows: Sequence[int]) -> list[PackedAnchor]:
        """Give anchors by their rows in the catalogue, in that order."""
        ...
