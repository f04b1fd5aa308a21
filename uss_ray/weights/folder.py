"""The weights folder: `config.json`, one safetensors file for each component, and a model card.

Owns the format: how a folder is written in one step, and how it is read so that nothing in it can be missing,
left over, altered or of another shape than it says. Where folders come from is left to `registry`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from uss_ray.errors import ConfigError, OutputError, WeightsError
from uss_ray.models.query_net import Adaptor, AdaptorConfig, QueryNet
from uss_ray.models.registry import (
    ARCHITECTURES,
    DEFAULT_ARCHITECTURE,
    AudioTagger,
    architecture_of,
)
from uss_ray.models.resunet import ResUNet, ResUNetConfig

FORMAT_VERSION = 1
CONFIG_NAME = "config.json"
CARD_NAME = "MODEL_CARD.md"
CLASS_MEANS_NAME = "class_means.safetensors"

ConditionKind = Literal["soft", "latent"]
StoredType = Literal["float32", "float16", "bfloat16"]

_TAGGERS = ("tagger", "detector")
_SINGLE: dict[str, tuple[type[Any], type[nn.Module]]] = {
    "adaptor": (AdaptorConfig, Adaptor),
    "separator": (ResUNetConfig, ResUNet),
}
_COMPONENTS = (*_TAGGERS, *_SINGLE)
_ARCHITECTURE_KEY = "architecture"
_REQUIRED_KEYS = frozenset(
    {"format_version", "name", "sample_rate", "segment_seconds", "condition", "dtype", "files"}
)
_OPTIONAL_KEYS = frozenset({"class_list", "source"})
_TYPES: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}
_NAMED_AT_MOST = 3
_READABLE = 0o644


@dataclass(frozen=True)
class Weights:
    """Everything a weights folder holds, ready to use.

    Attributes
    ----------
    folder : Path
        Where it was read from.
    name : str
    sha256 : str
        Of `config.json`, which holds those of all other files: it identifies the weights.
    config : mapping
        The content of `config.json`.
    sample_rate : int
        Rate of the networks in Hz.
    segment_seconds : float
        Length of the segments the networks were trained on.
    condition_kind : {"soft", "latent"}
        What a condition is made of.
    condition_size : int
    tagger, detector : Panns, Htsat or None
        A tagger with a frame head serves as the detector where the folder has no other.
    query_net : QueryNet or None
        The tagger and, where there is one, the adaptor.
    separator : ResUNet or None
    class_means : dict of int to Tensor of shape (condition_size,), or None
        Average condition over the training anchors, by class index.
    """

    folder: Path
    name: str
    sha256: str
    config: Mapping[str, Any]
    sample_rate: int
    segment_seconds: float
    condition_kind: ConditionKind
    condition_size: int
    tagger: AudioTagger | None
    detector: AudioTagger | None
    query_net: QueryNet | None
    separator: ResUNet | None
    class_means: dict[int, Tensor] | None

    def check_classes(self, class_ids: Sequence[str]) -> None:
        """Refuse a class list that these weights were not trained with.

        Parameters
        ----------
        class_ids : sequence of str
            Ids of the trained classes in the order of their indexes.

        Raises
        ------
        WeightsError
            If the number of classes, or the list the folder records, is another.
        """
        found = ClassListId.of(class_ids)
        recorded = self.config.get("class_list")
        trained = self.tagger or self.detector
        count = recorded["count"] if recorded else trained.config.classes if trained else found.count
        if count != found.count:
            raise WeightsError(
                f"weights {self.name}", expected=f"a class list of {count}", found=f"one of {found.count}"
            )
        if recorded and recorded["sha256"] != found.sha256:
            raise WeightsError(
                f"weights {self.name}",
                expected=f"the class list with sha256 {recorded['sha256']}",
                found=f"other classes or another order, sha256 {found.sha256}",
            )


@dataclass(frozen=True)
class ClassListId:
    """Fingerprint of the trained classes and their order.

    Attributes
    ----------
    count : int
    sha256 : str
        Of the class ids, one a line.
    """

    count: int
    sha256: str

    @classmethod
    def of(cls, class_ids: Sequence[str]) -> ClassListId:
        """Fingerprint of class ids in the order of their indexes.

        Examples
        --------
        >>> ClassListId.of(["/m/09x0r", "/m/05zppz"]).sha256[:8]
        'b0ba0e82'
        """
        text = "".join(f"{class_id}\n" for class_id in class_ids)
        return cls(len(class_ids), hashlib.sha256(text.encode()).hexdigest())


# -- writing ------------------------------------------------------------------------------------------------


def save_weights(
    folder: str | os.PathLike[str],
    *,
    name: str,
    segment_seconds: float,
    condition_kind: ConditionKind = "soft",
    tagger: AudioTagger | None = None,
    detector: AudioTagger | None = None,
    adaptor: Adaptor | None = None,
    separator: ResUNet | None = None,
    class_means: Mapping[int, Tensor] | None = None,
    class_list: ClassListId | None = None,
    dtype: StoredType = "float32",
    source: Mapping[str, Any] | None = None,
    model_card: str | None = None,
) -> Path:
    """Write a weights folder; it appears under its name only when it is complete.

    Parameters
    ----------
    folder : path-like
        New, empty, or an older weights folder, which is replaced.
    name : str
        Short name of the weights.
    segment_seconds : float
        Length of the segments the networks were trained on.
    condition_kind : {"soft", "latent"}, default="soft"
    tagger, detector, adaptor, separator : module, optional
        At least one. A detector that is the tagger itself is not written twice.
    class_means : mapping of int to Tensor of shape (condition_size,), optional
    class_list : ClassListId, optional
        The trained classes, so that another list is refused at use (`Weights.check_classes`).
    dtype : {"float32", "float16", "bfloat16"}, default="float32"
        Storage of parameters of two dimensions or more. Vectors, statistics and filters keep float32: their
        range is wider than half precision has.
    source : mapping, optional
        Where the weights come from; any JSON.
    model_card : str, optional
        Markdown.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ConfigError
        If the parts do not fit each other, or a value is not finite in `dtype`.
    OutputError
        If the folder cannot be written or holds something else.
    """
    target = Path(folder)
    components: dict[str, nn.Module] = {
        key: module
        for key, module in (
            ("tagger", tagger),
            ("detector", None if detector is tagger else detector),
            ("adaptor", adaptor),
            ("separator", separator),
        )
        if module is not None
    }
    size = _condition_size(tagger, adaptor, separator, condition_kind)
    config: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "name": name,
        "sample_rate": _sample_rate(tagger, detector, separator),
        "segment_seconds": float(segment_seconds),
        "condition": {"kind": condition_kind, "size": size},
        "dtype": dtype,
    }
    if class_list is not None:
        config["class_list"] = dataclasses.asdict(class_list)
    if source is not None:
        config["source"] = dict(source)
    contents: dict[str, dict[str, Tensor]] = {}
    for key, module in components.items():
        config[key] = _component_settings(key, module)
        contents[f"{key}.safetensors"] = _to_store(key, module, _TYPES[dtype])
    if class_means is not None:
        contents[CLASS_MEANS_NAME] = _class_mean_tensors(class_means, size)
    _check_config(CONFIG_NAME, config | {"files": dict.fromkeys(contents, "0" * 64)}, ConfigError)
    return _write_folder(target, config, contents, model_card)


def _condition_size(
    tagger: AudioTagger | None, adaptor: Adaptor | None, separator: ResUNet | None, kind: ConditionKind
) -> int:
    if adaptor is not None and tagger is None:
        raise ConfigError("adaptor", expected="a tagger before it", found="none")
    made = QueryNet(tagger, kind=kind, adaptor=adaptor).condition_size if tagger is not None else None
    taken = separator.config.condition_size if separator is not None else None
    if made is not None and taken is not None and made != taken:
        raise ConfigError(
            "separator condition_size", expected=f"{made}, what the query net gives", found=str(taken)
        )
    return taken or made or 0


def _component_settings(key: str, module: nn.Module) -> dict[str, Any]:
    settings = dataclasses.asdict(cast(Any, module).config)
    if key in _TAGGERS and (name := architecture_of(cast(AudioTagger, module))) != DEFAULT_ARCHITECTURE:
        return {_ARCHITECTURE_KEY: name} | settings
    return settings


def _sample_rate(*modules: AudioTagger | ResUNet | None) -> int:
    rates = sorted({module.config.sample_rate for module in modules if module is not None})
    if len(rates) != 1:
        raise ConfigError(
            "sample_rate", expected="one rate for all components", found=str(rates or "no component")
        )
    return rates[0]


def _stored_types(module: nn.Module, half: torch.dtype) -> dict[str, torch.dtype]:
    """Type of each stored tensor: `half` of parameters of two dimensions or more, else its own."""
    matrices = {key for key, parameter in module.named_parameters() if parameter.ndim >= 2}
    return {key: half if key in matrices else tensor.dtype for key, tensor in module.state_dict().items()}


def _to_store(component: str, module: nn.Module, dtype: torch.dtype) -> dict[str, Tensor]:
    stored: dict[str, Tensor] = {}
    types = _stored_types(module, dtype)
    for key, tensor in module.state_dict().items():
        value = tensor.detach().cpu().to(types[key]).contiguous()
        if not torch.isfinite(value).all():
            raise ConfigError(
                f"{component} {key}", expected=f"finite values in {value.dtype}", found="NaN or Inf"
            )
        stored[key] = value
    return stored


def _class_mean_tensors(class_means: Mapping[int, Tensor], size: int) -> dict[str, Tensor]:
    indexes = sorted(class_means)
    for index in indexes:
        if tuple(class_means[index].shape) != (size,):
            raise ConfigError(
                f"class_means[{index}]",
                expected=f"shape ({size},)",
                found=str(tuple(class_means[index].shape)),
            )
    conditions = [class_means[index].detach().cpu().float() for index in indexes]
    return {
        "class_indexes": torch.tensor(indexes, dtype=torch.int64),
        "conditions": torch.stack(conditions) if conditions else torch.zeros(0, size),
    }


def _write_folder(
    target: Path, config: dict[str, Any], contents: dict[str, dict[str, Tensor]], model_card: str | None
) -> Path:
    known = {CONFIG_NAME, CARD_NAME, CLASS_MEANS_NAME} | {f"{key}.safetensors" for key in _COMPONENTS}
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    replaced = target.with_name(f".{target.name}.{os.getpid()}.old")
    try:
        foreign = sorted(p.name for p in target.iterdir() if p.name not in known) if target.exists() else []
        if foreign:
            raise OutputError(
                str(target), expected="a new folder or a weights folder", found=f"{foreign[0]} in it"
            )
        temporary.mkdir(parents=True)
        files: dict[str, str] = {}
        for name, tensors in contents.items():
            save_file(tensors, temporary / name)
            (temporary / name).chmod(_READABLE)  # safetensors leaves files to their owner alone
            files[name] = _file_sha256(temporary / name)
        if model_card is not None:
            (temporary / CARD_NAME).write_text(model_card, encoding="utf-8")
        text = json.dumps(config | {"files": files}, indent=2, ensure_ascii=False) + "\n"
        (temporary / CONFIG_NAME).write_text(text, encoding="utf-8")
        if target.exists():
            target.rename(replaced)
        temporary.rename(target)
    except (OSError, SafetensorError) as error:
        if replaced.exists() and not target.exists():
            replaced.rename(target)
        found = getattr(error, "strerror", None) or str(error)
        raise OutputError(str(target), expected="a folder that can be written", found=found) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)
    return target


# -- reading ------------------------------------------------------------------------------------------------


def load_weights(folder: str | os.PathLike[str], *, device: str | torch.device = "cpu") -> Weights:
    """Read a weights folder, strictly.

    Parameters
    ----------
    folder : path-like
        A local folder with a `config.json`.
    device : str or torch.device, default="cpu"

    Returns
    -------
    Weights
        Modules in evaluation mode, float32, on `device`.

    Raises
    ------
    WeightsError
        If a file is missing or altered, a setting is unknown, missing or out of its range, or a tensor is
        missing, left over or of another shape or type.
    """
    root = Path(folder)
    path = root / CONFIG_NAME
    if not path.is_file():
        found = "a folder without one" if root.is_dir() else "a file" if root.exists() else "nothing there"
        raise WeightsError(str(root), expected=f"a weights folder with a {CONFIG_NAME}", found=found)
    raw = path.read_bytes()
    try:
        config = json.loads(raw)
    except ValueError as error:
        raise WeightsError(str(path), expected="JSON", found=str(error)) from error
    _check_config(str(path), config, WeightsError)
    tensors = {name: _read_tensors(root / name, sha256) for name, sha256 in config["files"].items()}
    half = _TYPES[config["dtype"]]
    modules = {
        key: _build(f"{path} {key}", key, config[key], tensors[f"{key}.safetensors"], root, half)
        for key in _COMPONENTS
        if key in config
    }
    for module in modules.values():
        module.to(device).eval()
    tagger = cast("AudioTagger | None", modules.get("tagger"))
    detector = cast("AudioTagger | None", modules.get("detector"))
    if detector is None and tagger is not None and tagger.config.head == "frame":
        detector = tagger
    separator = cast("ResUNet | None", modules.get("separator"))
    kind: ConditionKind = config["condition"]["kind"]
    size: int = config["condition"]["size"]
    query_net = _query_net(path, tagger, cast("Adaptor | None", modules.get("adaptor")), kind, size)
    if separator is not None:
        _require(f"{path} separator.condition_size", size, separator.config.condition_size)
    for key in ("tagger", "detector", "separator"):
        if key in config:
            _require(f"{path} {key}.sample_rate", config["sample_rate"], config[key]["sample_rate"])
    means = tensors.get(CLASS_MEANS_NAME)
    return Weights(
        folder=root,
        name=config["name"],
        sha256=hashlib.sha256(raw).hexdigest(),
        config=config,
        sample_rate=config["sample_rate"],
        segment_seconds=config["segment_seconds"],
        condition_kind=kind,
        condition_size=size,
        tagger=tagger,
        detector=detector,
        query_net=query_net,
        separator=separator,
        class_means=None if means is None else _class_means(root / CLASS_MEANS_NAME, means, size, device),
    )


def _check_config(item: str, config: object, kind: type[WeightsError] | type[ConfigError]) -> None:
    """Check every setting of a config but those of the components' own."""
    if not isinstance(config, dict):
        raise kind(item, expected="a JSON object", found=type(config).__name__)
    _check_keys(item, config, _REQUIRED_KEYS, _OPTIONAL_KEYS.union(_COMPONENTS), kind)
    condition, files, classes = config["condition"], config["files"], config.get("class_list", {})
    for key, value in (("condition", condition), ("files", files), ("class_list", classes)):
        if not isinstance(value, dict):
            raise kind(f"{item} {key}", expected="a JSON object", found=repr(value))
    _check_keys(f"{item} condition", condition, frozenset({"kind", "size"}), frozenset(), kind)
    if classes:
        _check_keys(f"{item} class_list", classes, frozenset({"count", "sha256"}), frozenset(), kind)
    seconds = config["segment_seconds"]
    checks: tuple[tuple[str, bool, str, object], ...] = (
        (
            "format_version",
            config["format_version"] == FORMAT_VERSION,
            str(FORMAT_VERSION),
            config["format_version"],
        ),
        ("name", isinstance(config["name"], str) and bool(config["name"]), "a name", config["name"]),
        ("sample_rate", _is_count(config["sample_rate"]), "a positive integer", config["sample_rate"]),
        ("segment_seconds", _is_positive(seconds), "a positive number", seconds),
        ("dtype", config["dtype"] in _TYPES, " or ".join(_TYPES), config["dtype"]),
        ("condition.kind", condition["kind"] in get_args(ConditionKind), "soft or latent", condition["kind"]),
        ("condition.size", _is_count(condition["size"], least=0), "an integer", condition["size"]),
        (
            "class_list.count",
            not classes or _is_count(classes["count"]),
            "a positive integer",
            classes.get("count"),
        ),
    )
    for key, holds, expected, found in checks:
        if not holds:
            raise kind(f"{item} {key}", expected=expected, found=repr(found))
    components = {f"{key}.safetensors" for key in _COMPONENTS if key in config}
    if not components:
        raise kind(item, expected=f"one or more of {', '.join(_COMPONENTS)}", found="none")
    _check_keys(f"{item} files", files, frozenset(components), frozenset({CLASS_MEANS_NAME}), kind)


def _check_keys(
    item: str,
    found: Mapping[str, Any],
    required: frozenset[str],
    optional: frozenset[str],
    kind: type[WeightsError] | type[ConfigError],
) -> None:
    missing = sorted(required - found.keys())
    unknown = sorted(found.keys() - required - optional)
    if missing or unknown:
        found_keys = describe_keys(missing=missing, extra=unknown)
        raise kind(item, expected=f"the keys {', '.join(sorted(required))}", found=found_keys)


def _is_count(value: object, *, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_positive(value: object) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
    )


def _require(item: str, expected: object, found: object) -> None:
    if expected != found:
        raise WeightsError(item, expected=str(expected), found=str(found))


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_tensors(path: Path, sha256: str) -> dict[str, Tensor]:
    if not path.is_file():
        raise WeightsError(str(path), expected="the file that the config lists", found="nothing there")
    found = _file_sha256(path)
    if found != sha256:
        raise WeightsError(str(path), expected=f"sha256 {sha256}", found=f"sha256 {found}")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise WeightsError(str(path), expected="a safetensors file", found=str(error)) from error


def _build(
    item: str, key: str, settings: object, tensors: dict[str, Tensor], root: Path, half: torch.dtype
) -> nn.Module:
    """Make a component from its settings and give it its tensors."""
    config_type, module_type, own_settings = _component_types(item, key, settings)
    config = _component_config(item, config_type, own_settings)
    with torch.random.fork_rng(
        devices=[]
    ):  # the initial values are thrown away: leave the caller's draws alone
        module = module_type(config)
    blank = module.state_dict()
    path = root / f"{key}.safetensors"
    check_tensors(str(path), {name: tuple(tensor.shape) for name, tensor in blank.items()}, tensors)
    for name, dtype in _stored_types(module, half).items():
        _require(f"{path} {name}", dtype, tensors[name].dtype)
    module.load_state_dict({name: tensors[name].to(tensor.dtype) for name, tensor in blank.items()})
    return module


def _component_types(
    item: str, key: str, settings: object
) -> tuple[type[Any], type[nn.Module], dict[str, Any]]:
    """Give the types of a component and its settings without the name of its architecture."""
    if not isinstance(settings, dict):
        raise WeightsError(item, expected="a JSON object", found=repr(settings))
    if key not in _TAGGERS:
        return *_SINGLE[key], settings
    name = settings.get(_ARCHITECTURE_KEY, DEFAULT_ARCHITECTURE)
    if not isinstance(name, str) or name not in ARCHITECTURES:
        raise WeightsError(
            f"{item}.{_ARCHITECTURE_KEY}", expected=" or ".join(ARCHITECTURES), found=repr(name)
        )
    own = {setting: value for setting, value in settings.items() if setting != _ARCHITECTURE_KEY}
    return *ARCHITECTURES[name], own


def _component_config(item: str, config_type: type[Any], settings: dict[str, Any]) -> Any:
    fields = {field.name: field for field in dataclasses.fields(config_type)}
    _check_keys(item, settings, frozenset(fields), frozenset(), WeightsError)
    for name, field in fields.items():
        kinds = _accepted_types(field.default)
        values = settings[name] if isinstance(field.default, tuple) else [settings[name]]
        if not isinstance(values, list) or not all(_is_setting(value, kinds) for value in values):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            expected = f"a list of {wanted}" if isinstance(field.default, tuple) else wanted
            raise WeightsError(f"{item}.{name}", expected=expected, found=repr(settings[name]))
    try:
        return config_type(**settings)
    except ConfigError as error:
        raise WeightsError(f"{item} ({error.item})", expected=error.expected, found=error.found) from error


def _is_setting(value: object, kinds: tuple[type, ...]) -> bool:
    """Whether a value has one of these types and is no negative number, nor a zero that counts something."""
    if type(value) not in kinds:
        return False
    if isinstance(value, float):
        return math.isfinite(value) and value >= 0
    return not isinstance(value, int) or isinstance(value, bool) or value > 0 or float in kinds


def _accepted_types(default: object) -> tuple[type, ...]:
    """Types a JSON value may have where the default is `default`."""
    example = default[0] if isinstance(default, tuple) else default
    return (int, float) if isinstance(example, float) else (type(example),)


def check_tensors(item: str, expected: Mapping[str, tuple[int, ...]], found: Mapping[str, Tensor]) -> None:
    """Refuse a set of tensors that is not exactly the expected one.

    Parameters
    ----------
    item : str
        Names the set in the error.
    expected : mapping of str to tuple of int
        Shapes by key.
    found : mapping of str to Tensor

    Raises
    ------
    WeightsError
        If a key is missing, left over or of another shape; names the first few and their number.
    """
    missing = [key for key in expected if key not in found]
    extra = [key for key in found if key not in expected]
    if missing or extra:
        raise WeightsError(
            item, expected=f"{len(expected)} tensors", found=describe_keys(missing=missing, extra=extra)
        )
    for key, shape in expected.items():
        if tuple(found[key].shape) != tuple(shape):
            raise WeightsError(
                f"{item} {key}", expected=f"shape {shape}", found=f"shape {tuple(found[key].shape)}"
            )


def describe_keys(*, missing: Sequence[str], extra: Sequence[str]) -> str:
    """Say in one line which keys are missing and which are left over.

    Examples
    --------
    >>> describe_keys(missing=["a"], extra=["b", "c", "d", "e"])
    '1 missing (a) and 4 unknown (b, c, d, …)'
    """
    parts = [
        f"{len(keys)} {word} ({', '.join(keys[:_NAMED_AT_MOST])}{', …' if len(keys) > _NAMED_AT_MOST else ''})"
        for word, keys in (("missing", missing), ("unknown", extra))
        if keys
    ]
    return " and ".join(parts)


def _query_net(
    path: Path, tagger: AudioTagger | None, adaptor: Adaptor | None, kind: ConditionKind, size: int
) -> QueryNet | None:
    if tagger is None:
        if adaptor is not None:
            raise WeightsError(f"{path} tagger", expected="a tagger before the adaptor", found="none")
        return None
    try:
        query_net = QueryNet(tagger, kind=kind, adaptor=adaptor).eval()
    except ConfigError as error:
        raise WeightsError(f"{path} ({error.item})", expected=error.expected, found=error.found) from error
    _require(f"{path} condition.size", query_net.condition_size, size)
    return query_net


def _class_means(
    path: Path, tensors: dict[str, Tensor], size: int, device: str | torch.device
) -> dict[int, Tensor]:
    count = len(tensors["class_indexes"]) if "class_indexes" in tensors else 0
    check_tensors(str(path), {"class_indexes": (count,), "conditions": (count, size)}, tensors)
    indexes: list[int] = tensors["class_indexes"].tolist()
    if len(set(indexes)) != count or any(index < 0 for index in indexes):
        raise WeightsError(f"{path} class_indexes", expected="each class index once", found=str(indexes[:10]))
    return dict(zip(indexes, tensors["conditions"].float().to(device), strict=True))
