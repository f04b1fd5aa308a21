"""Weights: the folder they are kept in, where they come from, and imports of published files."""

from typing import Final

STARTER: Final = "starter"
"""Name of the weights in the package: what is used where no others are asked for."""

CONFIG_NAME: Final = "config.json"
"""Name of the file in a weights folder that says what the others are."""

CARD_NAME: Final = "MODEL_CARD.md"
"""Name of the file in a weights folder that tells people what they are."""
