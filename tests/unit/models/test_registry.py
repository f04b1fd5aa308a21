"""Every architecture can be described and made again; a program outside adds its own by one call."""

from __future__ import annotations

from importlib import metadata
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from uss_ray.config import Settings
from uss_ray.errors import ConfigError
from uss_ray.models import registry
from uss_ray.models.panns_settings import PannsConfig
from uss_ray.models.registry import ROLES, build_network, describe_network, names_of, register


class GainConfig(Settings):
    architecture: Literal["gain"] = "gain"
    condition_size: int = 3
    sample_rate: int = 32_000


class Gain(nn.Module):
    def __init__(self, config: GainConfig) -> None:
        super().__init__()
        self.config = config
        self.gain = nn.Linear(config.condition_size, 1)

    @property
    def sample_rate(self) -> int:
        return self.config.sample_rate

    @property
    def condition_size(self) -> int:
        return self.config.condition_size

    def forward(self, mixture: Tensor, condition: Tensor) -> Tensor:
        return mixture * self.gain(condition)


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the architectures of other tests alone."""
    monkeypatch.setattr(registry, "_architectures", dict(registry._architectures))
    registry._load_entry_points.cache_clear()


@pytest.mark.parametrize("role", ROLES)
def test_every_architecture_is_made_from_what_it_is_described_by(role: Any) -> None:
    small: dict[str, dict[str, Any]] = {
        "panns": {"block_channels": (2, 2), "embedding_size": 4},
        "htsat": {"channels": 8, "image_size": 64, "stage_blocks": (1, 1), "stage_heads": (1, 2)},
        "resunet": {"channels": (2, 2), "bottleneck_channels": 2, "stem_channels": 2},
        "banded-resunet": {"channels": (2, 2), "bottleneck_channels": 2, "stem_channels": 2},
        "unet": {"channels": (2, 2), "bottleneck_channels": 2, "stem_channels": 2},
        "open-unmix": {"hidden_channels": 4, "layers": 1},
        "band-split": {"channels": 4, "hidden_channels": 4, "trunk_blocks": 1},
        "conv-tasnet": {"filters": 4, "channels": 4, "hidden_channels": 4, "stacks": 1},
        "two-layer": {"hidden_size": 4},
    }
    for name in names_of(role):
        config = registry.find_architecture(role, name).config(**small[name])
        network = build_network(role, config.model_dump(mode="json"))
        assert network.config == config
        assert describe_network(role, network) == config.model_dump(mode="json")


@pytest.mark.usefixtures("own_registry")
def test_a_network_from_outside_is_known_by_one_call() -> None:
    assert "gain" not in names_of("separator")
    assert register("separator", GainConfig)(Gain) is Gain
    register("separator", GainConfig)(Gain)
    network = build_network("separator", GainConfig().model_dump())
    assert isinstance(network, Gain)
    assert network(torch.ones(2, 5), torch.ones(2, 3)).shape == (2, 5)


@pytest.mark.usefixtures("own_registry")
def test_a_network_from_outside_is_found_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    class EntryPoint:
        def load(self) -> None:
            register("separator", GainConfig)(Gain)

    def entry_points(*, group: str) -> list[EntryPoint]:
        return [EntryPoint()] if group == "uss_ray.networks" else []

    monkeypatch.setattr(metadata, "entry_points", entry_points)
    assert isinstance(build_network("separator", GainConfig().model_dump()), Gain)


@pytest.mark.usefixtures("own_registry")
def test_a_name_belongs_to_one_network() -> None:
    class OtherConfig(Settings):
        architecture: Literal["resunet"] = "resunet"

    class NamelessConfig(Settings):
        width: int = 3

    with pytest.raises(
        ConfigError, match="separator resunet: expected a name of its own, found that of ResUNet"
    ):
        register("separator", OtherConfig)(nn.Identity)
    with pytest.raises(ConfigError, match="NamelessConfig: expected a field `architecture`"):
        register("separator", NamelessConfig)(nn.Identity)


@pytest.mark.parametrize("name", ["resnet", None, ["htsat"], "resunet"])
def test_an_unknown_architecture_is_refused_with_the_known_ones(name: object) -> None:
    with pytest.raises(ConfigError, match="tagger architecture: expected panns or htsat, found "):
        build_network("tagger", {"architecture": name})


def test_a_setting_that_is_left_out_is_not_guessed() -> None:
    settings = PannsConfig().model_dump()
    del settings["head"], settings["pooling"]
    with pytest.raises(ConfigError, match=r"tagger: expected every setting .*found no head, pooling"):
        build_network("tagger", settings)


def test_a_network_of_no_known_class_is_refused() -> None:
    with pytest.raises(
        ConfigError,
        match=r"separator: expected a network of resunet or banded-resunet or .*, found Linear",
    ):
        describe_network("separator", nn.Linear(1, 1))
