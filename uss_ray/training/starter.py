"""The starter recipe: a tagger from weak labels, and a separator from the anchors that are mined with it.

Owns the sizes and lengths of both; the road that runs them is `pipelines.training.starter`.
"""

from __future__ import annotations

from pydantic import Field

from uss_ray.config import Settings
from uss_ray.models.network_settings import ResUNetConfig
from uss_ray.models.panns_settings import PannsConfig
from uss_ray.training.recipe import (
    FitSettings,
    OptimiserSettings,
    PlanSettings,
    SeparatorRecipe,
    TaggerRecipe,
)
from uss_ray.weights import STARTER


def starter_tagger() -> TaggerRecipe:
    """Give the tagger's recipe: half an hour on a core."""
    return TaggerRecipe(
        name=f"{STARTER}-tagger",
        fit=FitSettings(steps=2000, optimiser=OptimiserSettings(learning_rate=3e-3)),
        plan=PlanSettings(batch_size=16, lanes=1),
        tagger=PannsConfig(
            block_channels=(16, 32, 64, 128, 256),
            embedding_size=256,
            head="frame",
            pooling="linear_softmax",
            hop_samples=640,
            block_dropout=0.05,
            head_dropout=0.2,
        ),
    )


def starter_separator() -> SeparatorRecipe:
    """Give the separator's recipe: some hours on a core."""
    return SeparatorRecipe(
        name=STARTER,
        fit=FitSettings(steps=6000, optimiser=OptimiserSettings(learning_rate=2e-3)),
        plan=PlanSettings(batch_size=8, lanes=1),
        separator=ResUNetConfig(
            channels=(8, 16, 32, 64, 128, 128),
            bottleneck_channels=128,
            stem_channels=8,
            window_samples=2048,
            hop_samples=1000,
        ),
        samples=63_000,
    )


class StarterConfig(Settings):
    """Both recipes, and the mining between them."""

    tagger: TaggerRecipe = Field(
        default_factory=starter_tagger, description="The network that tags and detects."
    )
    separator: SeparatorRecipe = Field(
        default_factory=starter_separator, description="The network that separates."
    )
    segment_seconds: float = Field(
        default=2.0, gt=0.0, description="Length of an anchor at mining and at inference."
    )
    anchors_per_label: int = Field(default=3, ge=1, description="Most anchors of a label of a clip.")
