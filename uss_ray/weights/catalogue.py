"""Weights by name: where the published files are, and how any description of weights becomes a local folder.

Knows addresses and checksums and reads nothing from the network itself: the caller hands in the functions that
fetch (`uss_ray.store.cache`), so that networks stay usable without a store.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from uss_ray.errors import WeightsError
from uss_ray.weights.folder import CONFIG_NAME
from uss_ray.weights.importers.published import PublishedKind, import_published

STARTER = "starter"

_PUBLISHED_SUFFIXES = (".pth", ".pt", ".ckpt")
_ZENODO = "https://zenodo.org/records/3987831/files"
_RELEASED = "https://huggingface.co/RSNuts/Universal_Source_Separation/resolve/main/uss_material"


@dataclass(frozen=True)
class PublishedFile:
    """A published weights file.

    Attributes
    ----------
    name : str
        What users call it.
    kind : PublishedKind
        Which importer reads it.
    uri : str
    size : int
        In bytes.
    sha256 : str or None
        None where no checksum is published: then the first download is trusted and held to.
    content : str
        One line for a list.
    """

    name: str
    kind: PublishedKind
    uri: str
    size: int
    sha256: str | None
    content: str


PUBLISHED: dict[str, PublishedFile] = {
    published.name: published
    for published in (
        PublishedFile(
            name="panns-cnn14",
            kind="panns-cnn14",
            uri=f"{_ZENODO}/Cnn14_mAP%3D0.431.pth?download=1",
            size=327_428_481,
            sha256="0dc499e40e9761ef5ea061ffc77697697f277f6a960894903df3ada000e34b31",
            content="PANNs Cnn14: tagger of 527 AudioSet classes",
        ),
        PublishedFile(
            name="panns-cnn14-decision-level-max",
            kind="panns-cnn14-decision-level-max",
            uri=f"{_ZENODO}/Cnn14_DecisionLevelMax_mAP%3D0.385.pth?download=1",
            size=327_428_481,
            sha256="dd3b4043a87d4ec13df8082c0fcfee3fb5084151808e47e060987a95eabdd142",
            content="PANNs Cnn14_DecisionLevelMax: detector of 527 AudioSet classes, 100 frames a second",
        ),
        PublishedFile(
            name="uss-resunet30",
            kind="uss-resunet30",
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


class FetchFile(Protocol):
    """Make a file local: `uss_ray.store.cache.fetch`."""

    def __call__(self, uri: str, *, sha256: str | None = None, size: int | None = None) -> Path:
        """Give the local file."""
        ...


def starter_folder() -> Path:
    """Give the folder of the starter weights in the package.

    Returns
    -------
    Path
    """
    return Path(str(resources.files("uss_ray"))) / "weights" / STARTER


def resolve_weights(spec: str, *, cache: Path, fetch: FetchFile, fetch_folder: Callable[[str], Path]) -> Path:
    """Turn any description of weights into a local weights folder.

    Parameters
    ----------
    spec : str
        `starter`, a name in `PUBLISHED`, a local weights folder or published file, or the URI of either.
    cache : Path
        Folder under which imported files are kept, in `weights/`.
    fetch : callable
        (uri, sha256=, size=) -> local file.
    fetch_folder : callable
        (uri) -> local weights folder.

    Returns
    -------
    Path
        A folder with a `config.json`; what is in it is checked by `load_weights`.

    Raises
    ------
    WeightsError
        If there are no such weights, or they are not what they should be.
    """
    path = Path(spec).expanduser()
    if path.is_dir():
        return path
    if path.is_file():
        return _imported(path, cache)
    if spec == STARTER:
        return _packaged_starter()
    if spec in PUBLISHED:
        return fetch_published(spec, cache=cache, fetch=fetch)
    if "://" in spec:
        if urlsplit(spec).path.lower().endswith(_PUBLISHED_SUFFIXES):
            return _imported(fetch(spec), cache)
        return fetch_folder(spec)
    known = ", ".join((STARTER, *PUBLISHED))
    raise WeightsError(
        spec, expected=f"a weights folder, a published file, a URI or one of {known}", found="none"
    )


def fetch_published(name: str, *, cache: Path, fetch: FetchFile) -> Path:
    """Download a published file and import it, once.

    Parameters
    ----------
    name : str
        A key of `PUBLISHED`.
    cache : Path
        The folder is `<cache>/weights/<name>`.
    fetch : callable
        (uri, sha256=, size=) -> local file.

    Returns
    -------
    Path
        The weights folder.

    Raises
    ------
    WeightsError
        If the name is unknown, or the file cannot be had or is not the published one.
    """
    if name not in PUBLISHED:
        raise WeightsError(
            name, expected=f"one of {', '.join(PUBLISHED)}", found="no published file of that name"
        )
    published = PUBLISHED[name]
    folder = cache / "weights" / name
    if (folder / CONFIG_NAME).is_file():
        return folder
    file = fetch(published.uri, sha256=published.sha256, size=published.size)
    return import_published(file, folder, kind=published.kind)


def _packaged_starter() -> Path:
    folder = starter_folder()
    if not (folder / CONFIG_NAME).is_file():
        raise WeightsError(STARTER, expected="starter weights in the package", found=f"none in {folder}")
    return folder


def _imported(file: Path, cache: Path) -> Path:
    with file.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    folder = cache / "weights" / f"{file.stem}-{sha256[:12]}"
    return folder if (folder / CONFIG_NAME).is_file() else import_published(file, folder)
