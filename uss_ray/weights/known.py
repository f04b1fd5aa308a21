"""Weights that can be called by name, and where they are on this machine; no torch, for a list needs none."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final, Literal

from uss_ray.store.fetch import cache_folder
from uss_ray.weights import CONFIG_NAME, STARTER

PublishedKind = Literal["panns-cnn14", "panns-cnn14-decision-level-max", "htsat", "uss-resunet30"]
"""What a published file is, which tells how it is imported."""

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
        folder=if_complete(starter_folder()),
        download_bytes=None,
    )
    published = (
        KnownWeights(
            name=file.name,
            content=file.content,
            folder=if_complete(imports_folder() / file.name),
            download_bytes=file.size,
        )
        for file in PUBLISHED.values()
    )
    return [starter, *published]


def imports_folder() -> Path:
    """Give the folder of this machine's cache that imported weights are kept in."""
    return cache_folder() / "weights"


def folders_folder() -> Path:
    """Give the folder of this machine's cache that fetched weights folders are kept in."""
    return cache_folder() / "folders"


def if_complete(folder: Path) -> Path | None:
    """Give a weights folder if it is there; its config is written last."""
    return folder if (folder / CONFIG_NAME).is_file() else None
