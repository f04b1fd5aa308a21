"""The precisions that networks compute in. Without torch, for settings are read where no network is."""

from __future__ import annotations

from typing import Literal

Precision = Literal["float32", "tfloat32", "bfloat16"]
"""`float32` as IEEE has it; `tfloat32`: factors of convolutions and products rounded to 10 bits, on a GPU that has
units for it; `bfloat16`: autocast to 8 bits."""
