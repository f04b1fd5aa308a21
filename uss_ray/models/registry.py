"""The networks that can tag and detect, by the name that a weights folder gives them."""

from __future__ import annotations

from typing import TypeAlias

from uss_ray.models.htsat import Htsat, HtsatConfig
from uss_ray.models.panns import Panns, PannsConfig

AudioTagger: TypeAlias = Panns | Htsat
"""Both are taggers; those whose `config.head` is `"frame"` are detectors too."""

DEFAULT_ARCHITECTURE = "panns"
"""What a config block that names no architecture describes."""

ARCHITECTURES: dict[str, tuple[type[PannsConfig] | type[HtsatConfig], type[AudioTagger]]] = {
    "panns": (PannsConfig, Panns),
    "htsat": (HtsatConfig, Htsat),
}


def architecture_of(module: AudioTagger) -> str:
    """Name a tagger's architecture.

    Examples
    --------
    >>> architecture_of(Panns(PannsConfig(classes=2, block_channels=(2,), embedding_size=4)))
    'panns'
    """
    return next(name for name, (_, kind) in ARCHITECTURES.items() if type(module) is kind)
