from __future__ import annotations

import pytest

from uss_ray.errors import ConfigError
from uss_ray.models.htsat_settings import HtsatConfig

SMALL = {
    "channels": 8,
    "stage_blocks": (1, 2, 1),
    "stage_heads": (1, 2, 4),
    "window_patches": 4,
    "image_size": 64,
    "mel_bins": 16,
}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("stage_heads", (1, 2)),
        ("stage_heads", (3, 2, 4)),
        ("stage_blocks", ()),
        ("image_size", 72),
        ("window_patches", 3),
        ("drop_path", 1.0),
        ("short_clips", "loop"),
    ],
)
def test_sizes_that_do_not_fit_are_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=field):
        HtsatConfig(**(SMALL | {field: value}))  # type: ignore[arg-type]


def test_an_image_whose_last_tokens_cannot_be_unfolded_is_refused() -> None:
    with pytest.raises(ConfigError, match="HTS-AT image_size: expected a multiple of 8 mel bins and of 128"):
        HtsatConfig(**(SMALL | {"mel_bins": 8}))  # type: ignore[arg-type]
