from __future__ import annotations

import pytest

from tests.synthetic_set import small_recipe
from uss_ray.errors import ConfigError
from uss_ray.training.recipe import AugmentationSettings, SeparatorRecipe


def test_an_unknown_key_names_the_nearest():
    with pytest.raises(ConfigError, match="snr_range_db"):
        small_recipe(mixtures={"snr_rang_db": 5})


def test_a_recipe_survives_the_way_through_json():
    recipe = small_recipe(mixtures={"absent": 0.1}, augmentation={"speed": 0.05})
    assert SeparatorRecipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_the_network_is_chosen_by_its_architecture():
    recipe = small_recipe(separator={"architecture": "resunet"})
    assert recipe.separator.architecture == "resunet"
    values = {"name": "t", "fit": {"steps": 1}, "separator": {"architecture": "conv-tasnet", "filters": 8}}
    assert SeparatorRecipe(**values).separator.filters == 8
    with pytest.raises(ConfigError):
        SeparatorRecipe(**{**values, "separator": {"architecture": "none"}})


def test_augmentation_is_off_where_nothing_is_asked():
    assert AugmentationSettings().is_off
    assert not AugmentationSettings(polarity=True).is_off
