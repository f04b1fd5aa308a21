"""The weights folder: `config.json`, one safetensors file for each network, and a model card.

Owns the format: how a folder is written in one step, and how it is read so that nothing in it can be missing,
left over, altered or of another shape than it says. Where folders come from is left to `locate`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from uss_ray.config import Settings
from uss_ray.errors import ConfigError, OccupiedError, OutputError, WeightsError
from uss_ray.models.forks import note_computing
from uss_ray.models.protocols import Separator
from uss_ray.models.query_net import Adaptor, QueryNet
from uss_ray.models.registry import ROLES, Role, build_network, describe_network
from uss_ray.models.specifications import (
    ClassCalibration,
    ClassListId,
    Condition,
    ConditionKind,
    Sha256,
    Specifications,
)
from uss_ray.models.tagging import AudioTagger
from uss_ray.parsing import read_object
from uss_ray.store.fetch import file_sha256
from uss_ray.weights import CARD_NAME, CONFIG_NAME
from uss_ray.weights.known import readable
from uss_ray.weights.tensors import StoredType, check_tensors, describe_keys, read_file, read_into, to_store
from uss_ray.weights.versions import FORMAT_VERSION, upgrade

_CLASS_MEANS_NAME = "class_means.safetensors"
_READABLE = 0o644
_NetworkSettings = dict[str, Any]


class FolderConfig(Settings):
    """What `config.json` holds. A network's settings are those of its architecture (`models.registry`)."""

    format_version: Literal[2] = FORMAT_VERSION
    name: Annotated[str, Field(min_length=1)]
    specifications: Specifications
    dtype: StoredType
    source: dict[str, Any] | None = None
    tagger: _NetworkSettings | None = None
    detector: _NetworkSettings | None = None
    query: _NetworkSettings | None = None
    adaptor: _NetworkSettings | None = None
    separator: _NetworkSettings | None = None
    files: dict[str, Sha256]

    @property
    def networks(self) -> dict[Role, _NetworkSettings]:
        """Settings of the networks that there are."""
        found = {role: getattr(self, role) for role in ROLES}
        return {role: settings for role, settings in found.items() if settings is not None}


@dataclass(frozen=True)
class Weights:
    """Everything a weights folder holds, ready to use.

    Attributes
    ----------
    folder : Path
        Where it was read from.
    sha256 : str
        Of `config.json`, which holds those of all other files: it identifies the weights.
    specifications : Specifications
        What training and inference must agree on.
    source : mapping or None
        Where the weights come from.
    detector : AudioTagger or None
        A tagger with a frame head serves as the detector where the folder has no other.
    query_net : QueryNet or None
        The tagger, or a trunk of its own, and, where there is one, the adaptor.
    class_means : dict of int to Tensor of shape (condition_size,), or None
        Average condition over the training anchors, by class index.
    """

    folder: Path
    name: str
    sha256: str
    specifications: Specifications
    source: Mapping[str, Any] | None
    tagger: AudioTagger | None
    detector: AudioTagger | None
    query_net: QueryNet | None
    separator: Separator | None
    class_means: dict[int, Tensor] | None

    @property
    def networks(self) -> dict[Role, nn.Module]:
        """The networks by their roles; the detector that is the tagger itself is left out."""
        found = {
            "tagger": self.tagger,
            "detector": None if self.detector is self.tagger else self.detector,
            "query": None if self.query_net is None else self.query_net.trunk,
            "adaptor": None if self.query_net is None else self.query_net.adaptor,
            "separator": self.separator,
        }
        return {role: cast(nn.Module, found[role]) for role in ROLES if found[role] is not None}

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
        found, trained = ClassListId.of(class_ids), self.specifications.class_list
        network = self.tagger or self.detector
        count = trained.count if trained else network.config.classes if network else found.count
        if count != found.count:
            raise WeightsError(
                f"weights {self.name}", expected=f"a class list of {count}", found=f"one of {found.count}"
            )
        if trained and trained.sha256 != found.sha256:
            raise WeightsError(
                f"weights {self.name}",
                expected=f"the class list with sha256 {trained.sha256}",
                found=f"other classes or another order, sha256 {found.sha256}",
            )


# -- writing ------------------------------------------------------------------------------------------------


def specify(
    networks: Mapping[Role, nn.Module],
    *,
    segment_seconds: float,
    condition_kind: ConditionKind = "soft",
    shortcut: bool = False,
    **others: Any,
) -> Specifications:
    """Give the specifications of networks; sample rate and size of a condition are read off them.

    Parameters
    ----------
    networks : mapping of str to Module
    segment_seconds, condition_kind, shortcut, **others
        Fields of `Specifications` and of its condition.

    Raises
    ------
    ConfigError
        If there is no network, or a value is out of its range.
    """
    rates = [_sample_rate(network) for role, network in networks.items() if role != "adaptor"]
    if not rates:
        raise ConfigError("networks", expected="a tagger, detector or separator", found="none")
    query_net = _query_net(networks, kind=condition_kind, shortcut=shortcut)
    separator = networks.get("separator")
    size = query_net.condition_size if query_net else 0
    if separator is not None:
        size = cast(Separator, separator).condition_size
    condition = Condition(kind=condition_kind, size=size, shortcut=shortcut)
    return Specifications(
        sample_rate=rates[0], segment_seconds=segment_seconds, condition=condition, **others
    )


def check_free(folder: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Refuse, before any work, a place that holds weights already, or something else.

    Parameters
    ----------
    folder : path-like
        Where a weights folder is to be written.
    overwrite : bool
        Whether weights that are there may be replaced.

    Raises
    ------
    OccupiedError
        If weights are there that are not to be replaced.
    OutputError
        If something else is there, or the place cannot be read.
    """
    target = Path(folder)
    there = _names_in(target)
    if there and not overwrite:
        raise OccupiedError(
            str(target), expected="no weights yet (--overwrite replaces them)", found=there[0]
        )


def _names_in(target: Path) -> list[str]:
    """List what is in a weights folder, or the place of one."""
    known = {CONFIG_NAME, CARD_NAME, _CLASS_MEANS_NAME} | {f"{role}.safetensors" for role in ROLES}
    try:
        there = sorted(p.name for p in target.iterdir()) if target.exists() else []
    except OSError as error:
        raise OutputError(str(target), expected="a folder", found=error.strerror or str(error)) from error
    foreign = [name for name in there if name not in known]
    if foreign:
        raise OutputError(
            str(target), expected="a new folder or a weights folder", found=f"{foreign[0]} in it"
        )
    return there


def save_weights(
    folder: str | os.PathLike[str],
    networks: Mapping[Role, nn.Module],
    *,
    name: str,
    specifications: Specifications,
    class_means: Mapping[int, Tensor] | None = None,
    dtype: StoredType = "float32",
    source: Mapping[str, Any] | None = None,
    model_card: str | None = None,
) -> Path:
    """Write a weights folder; it appears under its name only when it is complete.

    Parameters
    ----------
    folder : path-like
        New, empty, or an older weights folder, which is replaced.
    networks : mapping of str to Module
        By their roles, at least one; of registered architectures. A detector that is the tagger itself is not written
        twice.
    specifications : Specifications
        See `specify`.
    class_means : mapping of int to Tensor of shape (condition_size,), optional
    dtype : {"float32", "float16", "bfloat16"}, default="float32"
        Storage of matrices (`tensors.stored_types`).
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
    stored = {
        role: networks[role]
        for role in ROLES
        if role in networks and (role != "detector" or networks[role] is not networks.get("tagger"))
    }
    settings: dict[str, Any] = {role: describe_network(role, network) for role, network in stored.items()}
    _check_fit(specifications, stored)
    contents = {f"{role}.safetensors": to_store(role, network, dtype) for role, network in stored.items()}
    if class_means is not None:
        contents[_CLASS_MEANS_NAME] = _class_mean_tensors(class_means, specifications.condition.size)
    config = FolderConfig(
        name=name,
        specifications=specifications,
        dtype=dtype,
        source=None if source is None else dict(source),
        files={},
        **settings,
    )
    return _write_folder(Path(folder), config, contents, model_card)


def save_calibrated(
    folder: str | os.PathLike[str], weights: Weights, *, calibration: Sequence[ClassCalibration]
) -> Path:
    """Write weights anew, with another calibration; their networks keep their bits.

    Parameters
    ----------
    folder : path-like
        As of `save_weights`.
    weights : Weights
    calibration : sequence of ClassCalibration
        Takes the place of the one they have.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ConfigError, OutputError
        As of `save_weights`.
    WeightsError
        If a file of theirs is altered by now.
    """
    config, _ = _read_config(weights.folder)
    contents = {name: _read_checked(weights.folder / name, sha256) for name, sha256 in config.files.items()}
    card = weights.folder / CARD_NAME
    with readable(card):
        written = card.read_text(encoding="utf-8") if card.is_file() else None
    calibrated = config.specifications.replace(calibration=tuple(calibration))
    return _write_folder(
        Path(folder),
        config.replace(specifications=calibrated),
        contents,
        written,
    )


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
    target: Path, config: FolderConfig, contents: Mapping[str, dict[str, Tensor]], model_card: str | None
) -> Path:
    _names_in(target)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    replaced = target.with_name(f".{target.name}.{os.getpid()}.old")
    try:
        temporary.mkdir(parents=True)
        files: dict[str, str] = {}
        for name, tensors in contents.items():
            save_file(tensors, temporary / name)
            (temporary / name).chmod(_READABLE)  # safetensors leaves files to their owner alone
            files[name] = file_sha256(temporary / name)
        if model_card is not None:
            (temporary / CARD_NAME).write_text(model_card, encoding="utf-8")
        values = config.replace(files=files).model_dump(mode="json")
        given = {key: value for key, value in values.items() if value is not None}
        text = json.dumps(given, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
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


def read_folder(folder: str | os.PathLike[str]) -> Weights:
    """Read a weights folder, strictly.

    Parameters
    ----------
    folder : path-like
        A local folder with a `config.json`.

    Returns
    -------
    Weights
        Modules in evaluation mode, float32, on the CPU.

    Raises
    ------
    WeightsError
        If a file is missing or altered, an architecture or setting is unknown, missing or out of its range, or a tensor
        is missing, left over or of another shape or type.
    ConfigError
        If nothing can be computed here, as of `models.forks.note_computing`.
    """
    note_computing()
    root = Path(folder)
    config, sha256 = _read_config(root)
    tensors = {name: _read_checked(root / name, expected) for name, expected in config.files.items()}
    networks: dict[Role, nn.Module] = {}
    for role, settings in config.networks.items():
        file = f"{role}.safetensors"
        # The initial values are thrown away: the caller's draws are left alone.
        with _of_folder(root, role), torch.random.fork_rng(devices=[]):
            networks[role] = _built(role, settings)
        read_into(networks[role], root / file, tensors[file], config.dtype)
        networks[role].eval()
    specifications = config.specifications
    with _of_folder(root):
        query_net = _check_fit(specifications, networks)
    tagger = cast("AudioTagger | None", networks.get("tagger"))
    frame_tagger = tagger if tagger is not None and tagger.config.head == "frame" else None
    means = tensors.get(_CLASS_MEANS_NAME)
    size = specifications.condition.size
    return Weights(
        folder=root,
        name=config.name,
        sha256=sha256,
        specifications=specifications,
        source=config.source,
        tagger=tagger,
        detector=cast("AudioTagger | None", networks.get("detector")) or frame_tagger,
        query_net=None if query_net is None else query_net.eval(),
        separator=cast("Separator | None", networks.get("separator")),
        class_means=None if means is None else _class_means(root / _CLASS_MEANS_NAME, means, size),
    )


def known_classes_in(folder: str | os.PathLike[str]) -> tuple[str, frozenset[int] | None]:
    """Tell which classes the weights of a folder know, without reading a network.

    Returns
    -------
    sha256 : str
        That identifies the weights.
    known : frozenset of int or None
        As of `models.protocols.known_classes`.

    Raises
    ------
    WeightsError
        If the folder is no weights folder, or what is read of it is altered.
    """
    root = Path(folder)
    config, sha256 = _read_config(root)
    listed = config.specifications.known_classes
    if listed is not None or _CLASS_MEANS_NAME not in config.files:
        return sha256, None if listed is None else frozenset(listed)
    path = root / _CLASS_MEANS_NAME
    tensors = _read_checked(path, config.files[_CLASS_MEANS_NAME])
    means = _class_means(path, tensors, config.specifications.condition.size)
    return sha256, frozenset(means) or None


def config_sha256(raw: bytes) -> str:
    """Identify weights by their `config.json`, which holds the sha256 of every other file."""
    return hashlib.sha256(raw).hexdigest()


def listed_files(item: str, raw: bytes) -> dict[str, str]:
    """Read the list of files from a `config.json`, with names that stay in its folder.

    Parameters
    ----------
    item : str
        Names the config in errors.
    raw : bytes

    Returns
    -------
    dict of str to str
        Sha256 by file name.

    Raises
    ------
    WeightsError
        If there is no such list, or it holds anything else.
    """
    config = _parse(item, raw)
    files = config.get("files")
    if not isinstance(files, dict) or not files:
        raise WeightsError(f"{item} files", expected="sha256 by file name", found=repr(files))
    known = {_CLASS_MEANS_NAME} | {f"{role}.safetensors" for role in ROLES}
    for name, sha256 in files.items():
        if name not in known:
            expected = f"some of {', '.join(sorted(known))}"
            raise WeightsError(f"{item} files", expected=expected, found=repr(name))
        if not isinstance(sha256, str):
            raise WeightsError(f"{item} files.{name}", expected="a sha256", found=repr(sha256))
    return cast("dict[str, str]", files)


def _read_config(root: Path) -> tuple[FolderConfig, str]:
    path = root / CONFIG_NAME
    with readable(path):
        if not path.is_file():
            found = (
                "a folder without one" if root.is_dir() else "a file" if root.exists() else "nothing there"
            )
            raise WeightsError(str(root), expected=f"a weights folder with a {CONFIG_NAME}", found=found)
        raw = path.read_bytes()
    values = _parse(str(path), raw)
    with _of_folder(root):
        config = FolderConfig(**upgrade(values))
    needed = {f"{role}.safetensors" for role in config.networks}
    missing = sorted(needed - config.files.keys())
    extra = sorted(config.files.keys() - needed - {_CLASS_MEANS_NAME})
    if missing or extra or not needed:
        found = describe_keys(missing=missing, extra=extra) or "no network"
        raise WeightsError(f"{path} files", expected="one of each network", found=found)
    return config, config_sha256(raw)


def _parse(item: str, raw: bytes) -> dict[str, Any]:
    return read_object(raw, item=item, error=WeightsError)


def _read_checked(path: Path, sha256: str) -> dict[str, Tensor]:
    with readable(path):
        if not path.is_file():
            raise WeightsError(str(path), expected="the file that the config lists", found="nothing there")
        found = file_sha256(path)
        if found != sha256:
            raise WeightsError(str(path), expected=f"sha256 {sha256}", found=f"sha256 {found}")
        return read_file(path)


def _class_means(path: Path, tensors: dict[str, Tensor], size: int) -> dict[int, Tensor]:
    count = len(tensors["class_indexes"]) if "class_indexes" in tensors else 0
    check_tensors(str(path), {"class_indexes": (count,), "conditions": (count, size)}, tensors)
    indexes: list[int] = tensors["class_indexes"].tolist()
    if len(set(indexes)) != count or any(index < 0 for index in indexes):
        raise WeightsError(f"{path} class_indexes", expected="each class index once", found=str(indexes[:10]))
    return dict(zip(indexes, tensors["conditions"].float(), strict=True))


# -- both ---------------------------------------------------------------------------------------------------


def _check_fit(specifications: Specifications, networks: Mapping[Role, nn.Module]) -> QueryNet | None:
    """Refuse networks that do not fit each other or the specifications; give the query net that they make."""
    if not networks:
        raise ConfigError("networks", expected=f"one or more of {', '.join(ROLES)}", found="none")
    for role, network in networks.items():
        if role != "adaptor":
            _require(f"{role} sample_rate", specifications.sample_rate, _sample_rate(network))
    condition = specifications.condition
    query_net = _query_net(networks, kind=condition.kind, shortcut=condition.shortcut)
    if query_net is not None:
        _require("query net condition_size", condition.size, query_net.condition_size)
    if "separator" in networks:
        size = cast(Separator, networks["separator"]).condition_size
        _require("separator condition_size", condition.size, size)
    return query_net


def _query_net(networks: Mapping[Role, nn.Module], *, kind: ConditionKind, shortcut: bool) -> QueryNet | None:
    tagger, trunk, adaptor = networks.get("tagger"), networks.get("query"), networks.get("adaptor")
    if tagger is None:
        for role, network in (("adaptor", adaptor), ("query", trunk)):
            if network is not None:
                raise ConfigError(role, expected="a tagger before it", found="none")
        return None
    return QueryNet(
        cast(AudioTagger, tagger),
        kind=kind,
        adaptor=cast("Adaptor | None", adaptor),
        trunk=cast("AudioTagger | None", trunk),
        shortcut=shortcut,
    )


def _sample_rate(network: nn.Module) -> int:
    return int(cast(Any, network).config.sample_rate)


def _require(item: str, expected: int, found: int) -> None:
    if expected != found:
        raise ConfigError(item, expected=f"{expected}, as the specifications say", found=str(found))


def _built(role: Role, settings: Mapping[str, Any]) -> nn.Module:
    try:
        return build_network(role, settings)
    except (
        RuntimeError,
        TypeError,
        MemoryError,
        OverflowError,
    ) as error:  # torch's, of sizes without measure
        found = str(error).partition("\n")[0] or type(error).__name__
        raise ConfigError(role, expected="sizes that fit into memory", found=found) from error


@contextmanager
def _of_folder(root: Path, part: str = "") -> Iterator[None]:
    """Tell what is wrong with settings as a fault of the folder that they were read from."""
    try:
        yield
    except ConfigError as error:
        raise WeightsError(
            f"{f'{root / CONFIG_NAME} {part}'.strip()} ({error.item})",
            expected=error.expected,
            found=error.found,
        ) from error
