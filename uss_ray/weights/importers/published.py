"""Published weights files turned into weights folders, key by key.

Owns the names that the published programs of PANNs and USS gave their tensors (those of HTS-AT are in
`published_htsat`), and how their files are read. Every key of a file is accounted for (`key_map`).
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from uss_ray.errors import WeightsError
from uss_ray.models.htsat_settings import HtsatConfig
from uss_ray.models.network_settings import AdaptorConfig, ResUNetConfig
from uss_ray.models.panns import Panns
from uss_ray.models.panns_settings import PannsConfig
from uss_ray.models.query_net import Adaptor
from uss_ray.models.registry import Role
from uss_ray.models.resunet import ConvolutionBlock, ResUNet
from uss_ray.models.specifications import ClassListId, ConditionKind
from uss_ray.store.fetch import file_sha256
from uss_ray.weights.folder import save_weights, specify
from uss_ray.weights.importers.htsat import load_htsat
from uss_ray.weights.importers.key_map import (
    COUNTER,
    NORM_TENSORS,
    KeyMap,
    add_renamed,
    check_constant,
    check_only_constants,
    fill,
    inverse_stft_constants,
    linear_keys,
    norm_keys,
    stft_constants,
)
from uss_ray.weights.known import PublishedKind, readable
from uss_ray.weights.tensors import describe_keys

Networks = dict[Role, nn.Module]

AUDIOSET_CLASSES = ClassListId(
    count=527, sha256="1204eb85b61fbbe5dfbf24c782035798b6998fa9821758510e8c81113fd4b032"
)
"""The class list all published files were trained with, in the order of `class_labels_indices.csv`."""

_CLIP_SECONDS = 10.0
_SEGMENT_SECONDS = 2.0
_ANCHOR_FRAMES = 201
_HTSAT_PREFIX = "sed_model."
_TOLD_BY_KEYS: frozenset[str | None] = frozenset({"htsat", "uss-resunet30"})
"""Kinds that no other file can be taken for."""
_SOURCES: dict[str, dict[str, str]] = {
    "panns-cnn14": {
        "work": "Kong et al. 2020, PANNs: Large-Scale Pretrained Audio Neural Networks",
        "page": "https://zenodo.org/records/3987831",
        "licence": "CC-BY-4.0",
        "data": "AudioSet",
    },
    "panns-cnn14-decision-level-max": {
        "work": "Kong et al. 2020, PANNs: Large-Scale Pretrained Audio Neural Networks",
        "page": "https://zenodo.org/records/3987831",
        "licence": "CC-BY-4.0",
        "data": "AudioSet",
    },
    "htsat": {
        "work": "Chen et al. 2022, HTS-AT: A Hierarchical Token-Semantic Audio Transformer for Sound Classification "
        "and Detection",
        "page": "https://github.com/RetroCirce/HTS-Audio-Transformer",
        "licence": "MIT (of the published program; see the page of the file for the file's own)",
        "data": "AudioSet",
    },
    "uss-resunet30": {
        "work": "Kong et al. 2023, Universal Source Separation with Weakly Labelled Data",
        "page": "https://github.com/bytedance/uss",
        "licence": "Apache-2.0 (of the published program; see the page of the file for the file's own)",
        "data": "AudioSet",
    },
}


def import_published(
    file: str | PathLike[str], output: str | PathLike[str], *, kind: PublishedKind | None = None
) -> Path:
    """Turn a published weights file into a weights folder.

    Parameters
    ----------
    file : path-like
        PANNs `Cnn14_mAP=0.431.pth` or `Cnn14_DecisionLevelMax_mAP=0.385.pth`, HTS-AT
        `HTSAT_AudioSet_Saved_1.ckpt` (to 6), or the released Lightning checkpoint of `uss`.
    output : path-like
        Folder to write.
    kind : {"panns-cnn14", "panns-cnn14-decision-level-max", "htsat", "uss-resunet30"}, optional
        What the file is. By default recognised by its keys; the two PANNs files hold the same keys and are told
        apart by their file names.

    Returns
    -------
    Path
        The folder; `config.json` and `MODEL_CARD.md` name the source file, its sha256 and its licence.

    Raises
    ------
    WeightsError
        If the file is missing, is not one of these, or has a missing, unknown or mis-shaped tensor.
    OutputError
        If the folder cannot be written.

    Notes
    -----
    Files are read with `torch.load(weights_only=True)`, which makes tensors and plain containers and runs no code.
    """
    path = Path(file)
    if kind is not None and kind not in get_args(PublishedKind):
        raise WeightsError("kind", expected=", ".join(get_args(PublishedKind)), found=repr(kind))
    content = _read(path)
    found = _recognise(path, content)
    if kind is not None and kind != found and {kind, found} & _TOLD_BY_KEYS:
        raise WeightsError(str(path), expected=f"a file of {kind}", found="the keys of another")
    kind = kind or found
    if kind is None:
        raise WeightsError(
            str(path),
            expected="`Cnn14_` or `Cnn14_DecisionLevelMax_` in the file name, or the kind",
            found=f"{path.name}, and both have the same keys",
        )
    source = {"file": path.name, "sha256": file_sha256(path), **_SOURCES[kind]}
    networks = _IMPORTERS[kind](str(path), content)
    specifications = specify(
        networks,
        segment_seconds=_SEGMENT_SECONDS if "separator" in networks else _CLIP_SECONDS,
        condition_kind=_condition_kind(networks),
        class_list=AUDIOSET_CLASSES,
    )
    return save_weights(
        output,
        networks,
        name=kind,
        specifications=specifications,
        source=source,
        model_card=_card(kind, source),
    )


def _condition_kind(networks: Networks) -> ConditionKind:
    """Tell by its size what a condition is made of; the files do not say."""
    tagger, separator = networks.get("tagger"), networks.get("separator")
    if not isinstance(tagger, Panns) or not isinstance(separator, ResUNet):
        return "soft"
    adaptor = networks.get("adaptor")
    size = adaptor.config.bottleneck_size if isinstance(adaptor, Adaptor) else separator.condition_size
    return "latent" if size == tagger.config.embedding_size else "soft"


def _import_cnn14(item: str, content: Mapping[str, Any]) -> Networks:
    return {"tagger": load_panns(item, content["model"], PannsConfig())}


def _import_decision_level_max(item: str, content: Mapping[str, Any]) -> Networks:
    return {"detector": load_panns(item, content["model"], PannsConfig(head="frame"))}


def _import_htsat(item: str, content: Mapping[str, Any]) -> Networks:
    state = _split(item, content["state_dict"], (_HTSAT_PREFIX,))[_HTSAT_PREFIX]
    return {"tagger": load_htsat(item, state, HtsatConfig())}


def _import_uss(item: str, content: Mapping[str, Any]) -> Networks:
    groups = _split(
        item,
        content["state_dict"],
        ("ss_model.", "query_net.base.", "query_net.", "anchor_segment_detector.", "loss_function."),
    )
    separator = load_resunet(f"{item} ss_model", groups["ss_model."])
    networks: Networks = {
        "tagger": load_panns(f"{item} query_net.base", groups["query_net.base."], PannsConfig()),
        "separator": separator,
    }
    if groups["query_net."]:
        networks["adaptor"] = load_adaptor(f"{item} query_net", groups["query_net."])
    detector_item = f"{item} anchor_segment_detector"
    detector_groups = _split(
        detector_item, groups["anchor_segment_detector."], ("sed_model.", "anchor_segment_scorer.")
    )
    if detector_groups["sed_model."]:
        networks["detector"] = load_panns(
            detector_item, detector_groups["sed_model."], PannsConfig(head="frame")
        )
    check_only_constants(
        detector_item,
        detector_groups["anchor_segment_scorer."],
        {"smooth_filter": lambda: torch.full((1, 1, _ANCHOR_FRAMES), 1.0 / _ANCHOR_FRAMES)},
    )
    check_only_constants(
        f"{item} loss_function",
        groups["loss_function."],
        stft_constants("stft.", separator.config.window_samples),
    )
    return networks


_IMPORTERS: dict[PublishedKind, Callable[[str, Mapping[str, Any]], Networks]] = {
    "panns-cnn14": _import_cnn14,
    "panns-cnn14-decision-level-max": _import_decision_level_max,
    "htsat": _import_htsat,
    "uss-resunet30": _import_uss,
}


# -- the modules --------------------------------------------------------------------------------------------


def load_panns(item: str, state: Mapping[str, Tensor], config: PannsConfig) -> Panns:
    """Make a tagger or detector of the tensors of the published PANNs program.

    Parameters
    ----------
    item : str
        Names the file in errors.
    state : mapping of str to Tensor
    config : PannsConfig

    Returns
    -------
    Panns

    Raises
    ------
    WeightsError
        If a tensor is missing, unknown, of another shape, or a Fourier or mel matrix of another front end.
    """
    module = Panns(config)
    own = module.state_dict()
    keys = KeyMap(constants=stft_constants("spectrogram_extractor.stft.", config.window_samples))
    names = {"log_mel.filters": "logmel_extractor.melW"}
    names |= dict(norm_keys("norm", "bn0"))
    for block in range(len(config.block_channels)):
        for conv in range(config.convs_per_block):
            ours, theirs = f"blocks.{block}", f"conv_block{block + 1}"
            names[f"{ours}.convs.{conv}.weight"] = f"{theirs}.conv{conv + 1}.weight"
            names |= dict(norm_keys(f"{ours}.norms.{conv}", f"{theirs}.bn{conv + 1}"))
    names |= dict(linear_keys("embed", "fc1")) | dict(linear_keys("classify", "fc_audioset"))
    add_renamed(keys, names, own)
    filters = own["log_mel.filters"].clone()
    fill(item, module, keys, state)
    check_constant(f"{item} logmel_extractor.melW", filters, state["logmel_extractor.melW"])
    return module


def load_adaptor(item: str, state: Mapping[str, Tensor]) -> Adaptor:
    """Make an adaptor of the two linear layers of the published query net.

    Parameters
    ----------
    item : str
        Names the file in errors.
    state : mapping of str to Tensor

    Returns
    -------
    Adaptor

    Raises
    ------
    WeightsError
        If a tensor is missing, unknown or of another shape.
    """
    widths = {key: tuple(state[key].shape) for key in ("fc1.weight", "fc2.weight") if key in state}
    if len(widths) < 2 or any(len(shape) != 2 for shape in widths.values()):
        missing = [key for key in ("fc1.weight", "fc2.weight") if key not in widths]
        raise WeightsError(
            item, expected="two linear layers fc1, fc2", found=describe_keys(missing=missing, extra=[])
        )
    module = Adaptor(
        AdaptorConfig(
            bottleneck_size=widths["fc1.weight"][1],
            hidden_size=widths["fc1.weight"][0],
            condition_size=widths["fc2.weight"][0],
        )
    )
    keys = KeyMap()
    names = dict(linear_keys("hidden", "fc1")) | dict(linear_keys("output", "fc2"))
    add_renamed(keys, names, module.state_dict())
    fill(item, module, keys, state)
    return module


def load_resunet(item: str, state: Mapping[str, Tensor]) -> ResUNet:
    """Make a separator of the tensors of the published ResUNet30.

    Parameters
    ----------
    item : str
        Names the file in errors.
    state : mapping of str to Tensor
        Keys `base.*` and `film.<block>-><layer>.*`.

    Returns
    -------
    ResUNet
        Its `condition_size` is that of the FiLM layers found.

    Raises
    ------
    WeightsError
        If a tensor is missing, unknown, of another shape, or a Fourier matrix of another transform.
    """
    first = state.get("film.encoder_block1->conv_block1->beta1.weight")
    if first is None or first.ndim != 2:
        raise WeightsError(item, expected="FiLM layers of encoder_block1", found="none")
    config = ResUNetConfig(condition_size=first.shape[1])
    module = ResUNet(config)
    keys = _resunet_keys(module)
    fill(item, module, keys, state)
    return module


def _resunet_keys(module: ResUNet) -> KeyMap:
    own, config = module.state_dict(), module.config
    keys = KeyMap(
        constants=stft_constants("base.stft.", config.window_samples)
        | inverse_stft_constants("base.istft.", config.window_samples)
    )
    names = dict(norm_keys("norm", "base.bn0"))
    names |= dict(linear_keys("stem", "base.pre_conv")) | dict(linear_keys("head", "base.after_conv"))
    shifted: list[str] = []  # the published FiLM layers in the order of ours
    residual = [
        (f"encoder.{i}.blocks.0", f"encoder_block{i + 1}", "conv_block1") for i in range(len(module.encoder))
    ]
    residual += [("bottleneck.blocks.0", "conv_block7a", "conv_block1")]
    residual += [
        (f"decoder.{i}.stage.blocks.0", f"decoder_block{i + 1}", "conv_block2")
        for i in range(len(module.decoder))
    ]
    for ours, stage, block in residual:
        if stage.startswith("decoder"):
            up = ours.removesuffix(".stage.blocks.0")
            names |= dict(norm_keys(f"{up}.norm", f"base.{stage}.bn1"))
            names[f"{up}.up.weight"] = f"base.{stage}.conv1.weight"
            shifted.append(f"film.{stage}->beta1")
            width = own[f"{up}.norm.weight"].shape[0]
            # The published up-convolution has a second norm and shift which nothing reads.
            keys.unused |= {
                f"base.{stage}.bn2.{name}": () if name == COUNTER else (width,) for name in NORM_TENSORS
            }
            keys.unused[f"film.{stage}->beta2.weight"] = (width, config.condition_size)
            keys.unused[f"film.{stage}->beta2.bias"] = (width,)
        for part in (1, 2):
            names |= dict(norm_keys(f"{ours}.norm{part}", f"base.{stage}.{block}.bn{part}"))
            names[f"{ours}.conv{part}.weight"] = f"base.{stage}.{block}.conv{part}.weight"
            shifted.append(f"film.{stage}->{block}->beta{part}")
        resblock = module.get_submodule(ours)
        if isinstance(resblock, ConvolutionBlock) and resblock.shortcut is not None:
            names |= dict(linear_keys(f"{ours}.shortcut", f"base.{stage}.{block}.shortcut"))
    add_renamed(keys, names, own)
    for name in ("weight", "bias"):
        layers = tuple(f"{layer}.{name}" for layer in shifted)
        keys.parts[f"film.shift.{name}"] = layers
        rest = tuple(own[f"film.shift.{name}"].shape[1:])
        keys.shapes |= {
            layer: (channels, *rest)
            for layer, channels in zip(layers, module.film.layer_channels, strict=True)
        }
    return keys


# -- the file -----------------------------------------------------------------------------------------------


_PEEKED_BYTES = 64


class _NameOnly:
    """Stands for a class whose name a file holds as a key; has nothing to run."""


_NAMES_ALLOWED: tuple[tuple[type[_NameOnly], str], ...] = (
    # Lightning before 1.5 filed the state of a callback under its class.
    (_NameOnly, "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint"),
)


def _read(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise WeightsError(
            str(path),
            expected="a published weights file",
            found="a folder" if path.is_dir() else "nothing there",
        )
    with readable(path), path.open("rb") as file:
        if file.read(_PEEKED_BYTES).lstrip().startswith(b"<"):
            raise WeightsError(str(path), expected="a published weights file", found="an HTML page")
    try:
        with torch.serialization.safe_globals(list(_NAMES_ALLOWED)):
            # Only the newer file format can be mapped instead of read.
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        name = re.search(r"GLOBAL (\S+)", str(error))
        raise WeightsError(
            str(path),
            expected="tensors and plain containers only (of a file you trust, save `state_dict` alone)",
            # What torch says besides is to load the file unsafely.
            found=f"the program object {name[1]}" if name else "something else",
        ) from error
    except Exception as error:  # the unpickler takes any bytes for a program, and stumbles anyhow
        said = str(error).partition("\n")[0]
        told = type(error).__name__ if "weights_only" in said else f"{type(error).__name__}: {said}"
        raise WeightsError(
            str(path),
            expected="a complete file written by torch.save",
            found=f"something that cannot be read ({told})",
        ) from error
    for key in ("model", "state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            if all(isinstance(value, Tensor) for value in content[key].values()):
                return content
            raise WeightsError(f"{path} {key}", expected="tensors only", found="something else among them")
    found = (
        f"a mapping with {', '.join(map(repr, list(content)[:3]))}"
        if isinstance(content, Mapping)
        else "no mapping"
    )
    raise WeightsError(str(path), expected="a mapping with `model` or `state_dict`", found=found)


def _recognise(path: Path, content: Mapping[str, Any]) -> PublishedKind | None:
    """Tell the published files apart; None where keys alone cannot."""
    if any(key.startswith("ss_model.") for key in content.get("state_dict", {})):
        return "uss-resunet30"
    if any(key.startswith(f"{_HTSAT_PREFIX}tscam_conv.") for key in content.get("state_dict", {})):
        return "htsat"
    if any(key.startswith("spectrogram_extractor.") for key in content.get("model", {})):
        if "DecisionLevelMax" in path.name:
            return "panns-cnn14-decision-level-max"
        return "panns-cnn14" if path.name.startswith(("Cnn14_mAP", "Cnn14.")) else None
    keys = list(content.get("model") or content.get("state_dict") or {})[:3]
    raise WeightsError(
        str(path),
        expected="the keys of PANNs Cnn14, of HTS-AT or of a uss checkpoint",
        found=", ".join(keys) or "no keys",
    )


def _split(item: str, state: Mapping[str, Tensor], prefixes: tuple[str, ...]) -> dict[str, dict[str, Tensor]]:
    """Sort tensors by the first of `prefixes` that fits, which is cut off."""
    groups: dict[str, dict[str, Tensor]] = {prefix: {} for prefix in prefixes}
    extra: list[str] = []
    for key, value in state.items():
        prefix = next((prefix for prefix in prefixes if key.startswith(prefix)), None)
        if prefix is None:
            extra.append(key)
        else:
            groups[prefix][key.removeprefix(prefix)] = value
    if extra:
        raise WeightsError(
            item, expected=f"keys under {', '.join(prefixes)}", found=describe_keys(missing=[], extra=extra)
        )
    return groups


def _card(kind: str, source: Mapping[str, str]) -> str:
    return f"""# {kind}

Imported from a published file; nothing was trained here.

| | |
|---|---|
| source file | `{source["file"]}` |
| sha256 of it | `{source["sha256"]}` |
| work | {source["work"]} |
| page | {source["page"]} |
| licence | {source["licence"]} |
| trained on | {source["data"]} |
"""
