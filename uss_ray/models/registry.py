"""The one list of networks: which architectures there are, the settings of each, and what each can be.

An architecture is added by one `register`; programs outside add theirs by the same call, and where workers of a cluster
must find it too, by an entry point of the group `uss_ray.networks` that names the module with the call in it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Final, Literal, TypeVar, cast, get_args

from torch import nn

from uss_ray.config import Settings
from uss_ray.errors import ConfigError
from uss_ray.models.band_split import BandSplit
from uss_ray.models.conv_tasnet import ConvTasNet
from uss_ray.models.htsat import Htsat
from uss_ray.models.htsat_settings import HtsatConfig
from uss_ray.models.network_settings import (
    AdaptorConfig,
    BandedResUNetConfig,
    BandSplitConfig,
    ConvTasNetConfig,
    OpenUnmixConfig,
    ResUNetConfig,
    UNetConfig,
)
from uss_ray.models.open_unmix import OpenUnmix
from uss_ray.models.panns import Panns
from uss_ray.models.panns_settings import PannsConfig
from uss_ray.models.query_net import Adaptor
from uss_ray.models.resunet import BandedResUNet, ResUNet, UNet

Role = Literal["tagger", "detector", "query", "adaptor", "separator"]
"""What a network is to a weights folder. A detector is a tagger that says when; the query net begins with a tagger of
its own, where it has one, and ends with an adaptor."""

Kind = Literal["tagger", "adaptor", "separator"]
ROLES: Final = cast("tuple[Role, ...]", get_args(Role))
ENTRY_POINTS: Final = "uss_ray.networks"

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Architecture:
    """A network that can be asked for by name.

    Attributes
    ----------
    config : type of Settings
        Its field `architecture` holds the name by default.
    module : type of Module
        Made of a config alone, and keeps it as `config`.
    """

    kind: Kind
    name: str
    config: type[Settings]
    module: type[nn.Module]


_architectures: dict[tuple[Kind, str], Architecture] = {}


def register(kind: Kind, config: type[Settings]) -> Callable[[type[Network]], type[Network]]:
    """Make an architecture known; to be called on, or to decorate, the class of its networks.

    Parameters
    ----------
    kind : {"tagger", "adaptor", "separator"}
        A tagger derives from `tagging.AudioTagger` and serves as a detector too where its head is `"frame"`; a
        separator is one by `protocols.Separator`; an adaptor maps bottlenecks to conditions as `query_net.Adaptor`.
    config : type of Settings
        With a field `architecture` whose default is the name; all fields are written to weights folders.

    Raises
    ------
    ConfigError
        If the config has no name, or another network has it.
    """

    def add(module: type[Network]) -> type[Network]:
        field = config.model_fields.get("architecture")
        name = field.default if field is not None else None
        if not isinstance(name, str):
            raise ConfigError(
                config.__name__, expected="a field `architecture` with a name", found=repr(name)
            )
        known = _architectures.setdefault((kind, name), Architecture(kind, name, config, module))
        if known.module is not module:
            raise ConfigError(
                f"{kind} {name}", expected="a name of its own", found=f"that of {known.module.__qualname__}"
            )
        return module

    return add


register("tagger", PannsConfig)(Panns)
register("tagger", HtsatConfig)(Htsat)
register("adaptor", AdaptorConfig)(Adaptor)
register("separator", ResUNetConfig)(ResUNet)
register("separator", BandedResUNetConfig)(BandedResUNet)
register("separator", UNetConfig)(UNet)
register("separator", OpenUnmixConfig)(OpenUnmix)
register("separator", ConvTasNetConfig)(ConvTasNet)
register("separator", BandSplitConfig)(BandSplit)


def names_of(role: Role) -> tuple[str, ...]:
    """List the architectures that can take a role.

    Examples
    --------
    >>> names_of("detector")
    ('panns', 'htsat')
    """
    return tuple(name for kind, name in _architectures if kind == _kind_of(role))


def find_architecture(role: Role, name: object) -> Architecture:
    """Find an architecture by its name.

    Raises
    ------
    ConfigError
        If there is none of that name; names the known ones.
    """
    if name not in names_of(role):
        _load_entry_points()
    if name not in names_of(role):
        raise ConfigError(f"{role} architecture", expected=" or ".join(names_of(role)), found=repr(name))
    return _architectures[_kind_of(role), str(name)]


def describe_network(role: Role, network: nn.Module) -> dict[str, Any]:
    """Give the settings that `build_network` makes a network of this form from, as JSON has them.

    Raises
    ------
    ConfigError
        If its class is not registered for the role.
    """
    for architecture in _architectures.values():
        if architecture.kind == _kind_of(role) and type(network) is architecture.module:
            return cast("dict[str, Any]", cast(Any, network).config.model_dump(mode="json"))
    raise ConfigError(
        role, expected=f"a network of {' or '.join(names_of(role))}", found=type(network).__qualname__
    )


def build_network(role: Role, settings: Mapping[str, Any]) -> nn.Module:
    """Make a network with random parameters from the settings that a weights folder holds.

    Raises
    ------
    ConfigError
        If the architecture is unknown, or a setting is unknown, missing or out of its range.
    """
    architecture = find_architecture(role, settings.get("architecture"))
    missing = [name for name in architecture.config.model_fields if name not in settings]
    if missing:  # a default of today's would be a guess about the past
        raise ConfigError(
            role, expected="every setting of the architecture", found=f"no {', '.join(missing)}"
        )
    return architecture.module(architecture.config(**settings))


def _kind_of(role: Role) -> Kind:
    return "tagger" if role == "detector" or role == "query" else role


@functools.cache
def _load_entry_points() -> None:
    for entry_point in metadata.entry_points(group=ENTRY_POINTS):
        entry_point.load()
