"""Weights by name, folder, file or URI become a local weights folder; downloads and imports are kept in the cache."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

from uss_ray.errors import WeightsError
from uss_ray.models.protocols import known_classes
from uss_ray.models.registry import describe_network
from uss_ray.store.fetch import Progress, cache_folder, fetch, file_sha256
from uss_ray.store.options import StoreOptions
from uss_ray.store.store import Location, Store
from uss_ray.weights import STARTER
from uss_ray.weights.folder import CONFIG_NAME, config_sha256, listed_files, load_weights
from uss_ray.weights.importers.published import PublishedKind, import_published

_PUBLISHED_SUFFIXES = (".pth", ".pt", ".ckpt")
_ZENODO = "https://zenodo.org/records/3987831/files"
_RELEASED = "https://huggingface.co/RSNuts/Universal_Source_Separation/resolve/main/uss_material"


@dataclass(frozen=True)
class PublishedFile:
    """A published weights file.

    Attributes
    ----------
    name : PublishedKind
        What users call it, and which importer reads it.
    uri : str
    size : int
        In bytes.
    sha256 : str or None
        None where no checksum is published: then the first download is trusted and held to.
    content : str
        One line for a list.
    """

    name: PublishedKind
    uri: str
    size: int
    sha256: str | None
    content: str


PUBLISHED: Final[dict[str, PublishedFile]] = {
    published.name: published
    for published in (
        PublishedFile(
            name="panns-cnn14",
            uri=f"{_ZENODO}/Cnn14_mAP%3D0.431.pth?download=1",
            size=327_428_481,
            sha256="0dc499e40e9761ef5ea061ffc77697697f277f6a960894903df3ada000e34b31",
            content="PANNs Cnn14: tagger of 527 AudioSet classes",
        ),
        PublishedFile(
            name="panns-cnn14-decision-level-max",
            uri=f"{_ZENODO}/Cnn14_DecisionLevelMax_mAP%3D0.385.pth?download=1",
            size=327_428_481,
            sha256="dd3b4043a87d4ec13df8082c0fcfee3fb5084151808e47e060987a95eabdd142",
            content="PANNs Cnn14_DecisionLevelMax: detector of 527 AudioSet classes, 100 frames a second",
        ),
        PublishedFile(
            name="uss-resunet30",
            uri=f"{_RELEASED}/ss_model%3Dresunet30%2Cquerynet%3Dat_soft%2Cdata%3Dfull%2Cdevices%3D8"
            "%2Cstep%3D1000000.ckpt",
            size=1_121_024_828,
            sha256=None,
            content="ResUNet30 separator with its Cnn14 query net, trained on the whole of AudioSet",
        ),
    )
}
"""Sizes and addresses as the published programs state them; checksums as publicly recorded for these files.

The files of HTS-AT have no address of their own (their authors share a folder): they are imported from a local file.
"""


@dataclass(frozen=True, kw_only=True)
class KnownWeights:
    """Weights that can be called by name.

    Attributes
    ----------
    content : str
        One line on what they are.
    folder : Path or None
        Where they are on this machine, if they are.
    download_bytes : int or None
        What fetching them takes; None for those in the package.
    """

    name: str
    content: str
    folder: Path | None
    download_bytes: int | None


def starter_folder() -> Path:
    """Give the folder of the starter weights in the package."""
    return Path(str(resources.files("uss_ray"))) / "weights" / STARTER


def known_weights() -> list[KnownWeights]:
    """List the weights that can be called by name: the starter, then the published files."""
    starter = KnownWeights(
        name=STARTER,
        content="small weights in the package, trained on freely licensed sounds",
        folder=_if_complete(starter_folder()),
        download_bytes=None,
    )
    published = (
        KnownWeights(
            name=file.name,
            content=file.content,
            folder=_if_complete(_imports() / file.name),
            download_bytes=file.size,
        )
        for file in PUBLISHED.values()
    )
    return [starter, *published]


def locate_weights(
    weights: Location, *, storage: StoreOptions | None = None, progress: Progress | None = None
) -> Path:
    """Make weights local.

    Parameters
    ----------
    weights : str or path
        `starter`, the name of a published file, a local weights folder or published file, or the URI of either.
    storage : StoreOptions, optional
        How the store of a URI is reached.
    progress : callable, optional
        Called with (bytes so far, bytes in all or None) while a file is fetched.

    Returns
    -------
    Path
        A folder with a `config.json`; its content is checked where it is loaded.

    Raises
    ------
    WeightsError
        If there are no such weights, they are not what they should be, or they cannot be fetched.
    """
    spec = str(weights)
    path = Path(url2pathname(urlsplit(spec).path) if spec.startswith("file://") else spec).expanduser()
    if path.is_dir():
        return path
    if path.is_file():
        return _imported(path)
    if spec == STARTER:
        if _if_complete(starter_folder()) is None:
            raise WeightsError(
                STARTER, expected="starter weights in the package", found=f"none in {starter_folder()}"
            )
        return starter_folder()
    if spec in PUBLISHED:
        return fetch_named(spec, progress=progress)
    place = Store(spec, storage, WeightsError)
    if not place.is_remote:
        known = ", ".join((STARTER, *PUBLISHED))
        raise WeightsError(
            spec, expected=f"a weights folder, a published file, a URI or one of {known}", found="none"
        )
    if urlsplit(spec).path.lower().endswith(_PUBLISHED_SUFFIXES):
        return _imported(fetch(place, progress=progress))
    return _fetch_folder(place, progress=progress)


def fetch_named(name: str, *, progress: Progress | None = None) -> Path:
    """Download a published file and import it, once.

    Parameters
    ----------
    name : str
        A key of `PUBLISHED`.
    progress : callable, optional
        Called with (bytes so far, bytes in all or None).

    Returns
    -------
    Path
        The weights folder in the cache.

    Raises
    ------
    WeightsError
        If the name is unknown, or the file cannot be had or is not the published one.
    """
    published = PUBLISHED.get(name)
    if published is None:
        raise WeightsError(
            name, expected=f"one of {', '.join(PUBLISHED)}", found="no published file of that name"
        )
    folder = _imports() / published.name
    if _if_complete(folder):
        return folder
    place = Store(published.uri, None, WeightsError)
    file = fetch(place, sha256=published.sha256, size=published.size, progress=progress)
    return import_published(file, folder, kind=published.name)


def describe_weights(weights: Location, *, storage: StoreOptions | None = None) -> dict[str, str]:
    """Tell what weights hold, from loading them strictly.

    Parameters
    ----------
    weights, storage
        As of `locate_weights`.

    Returns
    -------
    dict of str to str
        Facts by their names.

    Raises
    ------
    WeightsError
        If they are missing, or anything in them is altered or does not fit.
    """
    loaded = load_weights(locate_weights(weights, storage=storage))
    specified = loaded.specifications
    facts = {"name": loaded.name, "folder": str(loaded.folder), "sha256": loaded.sha256}
    facts["sample rate"] = f"{specified.sample_rate} Hz"
    facts["segment"] = f"{specified.segment_seconds:g} s"
    facts["condition"] = f"{specified.condition.kind}, {specified.condition.size} numbers"
    levels = specified.training_rms_dbfs
    facts["trained at"] = "levels as recorded" if levels is None else f"{levels[0]:g} to {levels[1]:g} dBFS"
    for role, network in loaded.networks.items():
        count = sum(parameter.numel() for parameter in network.parameters())
        facts[role] = f"{describe_network(role, network)['architecture']}, {count:,} parameters"
    known, trained = known_classes(loaded), specified.class_list
    counted = "all" if known is None else str(len(known))
    facts["knows"] = f"{counted} of {trained.count} classes" if trained else f"{counted} classes"
    facts["class means"] = f"of {len(loaded.class_means)} classes" if loaded.class_means else "none"
    if loaded.source is not None:
        facts["source"] = json.dumps(loaded.source, ensure_ascii=False)
    return facts


def _fetch_folder(place: Store, *, progress: Progress | None) -> Path:
    """Fetch `config.json` and every file that it lists; a folder is named by its config, so versions never mix."""
    config = place / CONFIG_NAME
    raw = config.read()
    folder = cache_folder() / "folders" / config_sha256(raw)[:32]
    for name, sha256 in listed_files(str(config), raw).items():
        fetch(place / name, sha256=sha256, progress=progress, path=folder / name)
    Store(folder / CONFIG_NAME).put(raw)
    return folder


def _imports() -> Path:
    return cache_folder() / "weights"


def _imported(file: Path) -> Path:
    folder = _imports() / f"{file.stem}-{file_sha256(file)[:12]}"
    return _if_complete(folder) or import_published(file, folder)


def _if_complete(folder: Path) -> Path | None:
    return folder if (folder / CONFIG_NAME).is_file() else None
