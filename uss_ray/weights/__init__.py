"""Weights: the folder they are kept in, where they come from, and imports of published files."""

from typing import Annotated, Final

from pydantic import Field

from uss_ray.config import Location

STARTER: Final = "starter"
"""Name of the weights in the package: what is used where no others are asked for."""

WeightsName = Annotated[Location, Field(description="Name, folder or URI of the weights.")]
"""Type of a field that says which weights are taken."""

ReplacesWeights = Annotated[bool, Field(description="Replace weights that are there.")]
"""Type of a field that says whether weights are written where some are already."""

CONFIG_NAME: Final = "config.json"
"""Name of the file in a weights folder that says what the others are."""

CARD_NAME: Final = "MODEL_CARD.md"
"""Name of the file in a weights folder that tells people what they are."""
