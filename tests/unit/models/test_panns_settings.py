from __future__ import annotations

import pytest

from uss_ray.errors import ConfigError
from uss_ray.models.panns_settings import PannsConfig


@pytest.mark.parametrize(
    ("field", "value"), [("head", "both"), ("pooling", "mean"), ("convs_per_block", 3), ("kernel_size", 4)]
)
def test_a_wrong_setting_is_named(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=field):
        PannsConfig(**{field: value})  # type: ignore[arg-type]
