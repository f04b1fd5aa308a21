"""What is asked of each recording, and what hangs on it alone: worked out once, however many recordings there are."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from uss_ray.errors import ConfigError
from uss_ray.results.blocks import StemRequest
from uss_ray.results.index.table import INDEX_SCHEMA
from uss_ray.results.layout import RESIDUAL_SLUG, free_slug, stem_slug


class StemPlan(tuple[StemRequest, ...]):
    """The stems that are asked for, in the order of the engine's targets; each has a place in it."""

    @classmethod
    def of(cls, stems: Sequence[StemRequest]) -> StemPlan:
        """Take stems as they are, or what was made of them before.

        Raises
        ------
        ConfigError
            If a key is there twice.
        """
        plan = stems if isinstance(stems, cls) else cls(stems)
        if len(plan.places) != len(plan):
            repeated = sorted({key for key in plan.keys if plan.keys.count(key) > 1})
            raise ConfigError("stems", expected="each key once", found=str(repeated))
        return plan

    @functools.cached_property
    def keys(self) -> tuple[str, ...]:
        """Their keys."""
        return tuple(stem.key for stem in self)

    @functools.cached_property
    def places(self) -> dict[str, int]:
        """Where each key stands."""
        return {key: place for place, key in enumerate(self.keys)}

    @functools.cached_property
    def unknown(self) -> npt.NDArray[np.bool_]:
        """Which of them the weights do not know."""
        return np.array([not stem.is_known for stem in self], np.bool_)

    @functools.cached_property
    def slugs(self) -> tuple[str, ...]:
        """What their files are called, each name once in its folder."""
        taken: dict[int | None, set[str]] = {}
        slugs = []
        for stem in self:
            in_use = taken.setdefault(stem.group, {RESIDUAL_SLUG})
            wanted = stem_slug(stem.label, node_id=None if stem.level is None else stem.key)
            slugs.append(free_slug(wanted, taken=in_use))
            in_use.add(slugs[-1].casefold())
        return tuple(slugs)

    @functools.cached_property
    def residuals(self) -> tuple[StemRequest, ...]:
        """What may be left over: of each level, of the events (level 0), and of the queries; after the stems."""
        return tuple(
            StemRequest(key="residual", label="Residual", level=level, kind="residual")
            for level in dict.fromkeys(stem.group for stem in self)
        )

    @functools.cached_property
    def columns(self) -> dict[str, pa.Array]:
        """What the index says of stems and residuals whatever the recording, by column."""
        everything = (*self, *self.residuals)
        values = {
            "node_id": [stem.key for stem in everything],
            "label": [stem.label for stem in everything],
            "level": [stem.level for stem in everything],
            "kind": [stem.kind for stem in everything],
        }
        return {name: pa.array(found, INDEX_SCHEMA.field(name).type) for name, found in values.items()}
