"""Weights that can be called by name, and where they are on this machine; no torch, for a list needs none."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final, Literal

from uss_ray.errors import WeightsError
from uss_ray.store.faults import wording
from uss_ray.store.fetch import cache_folder
from uss_ray.store.store import Location, Store
from uss_ray.weights import CONFIG_NAME, STARTER
from uss_ray.wording import without_secrets

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
    file : str
        Its name where it lies in a folder or at a base address.
    uri : str or None
        None where its authors give no address of it.
    size : int or None
        In bytes; None where it is not stated.
    sha256 : str or None
        None where no checksum is published: then the first download is trusted and held to.
    content : str
        One line for a list.
    """

    name: PublishedKind
    file: str
    uri: str | None
    size: int | None
    sha256: str | None
    content: str


@dataclass(frozen=True)
class NamedFolder:
    """A weights folder that is kept, but not in the package.

    Attributes
    ----------
    name : str
        What users call it, and the folder's name at a base address.
    sha256 : str
        Of its `config.json`, which holds those of all other files.
    size : int
        Of all its files, in bytes.
    content : str
        One line for a list.
    """

    name: str
    sha256: str
    size: int
    content: str


PUBLISHED: Final[dict[str, PublishedFile]] = {
    published.name: published
    for published in (
        PublishedFile(
            name="panns-cnn14",
            file="Cnn14_mAP=0.431.pth",
            uri=f"{_ZENODO}/Cnn14_mAP%3D0.431.pth?download=1",
            size=327_428_481,
            sha256="0dc499e40e9761ef5ea061ffc77697697f277f6a960894903df3ada000e34b31",
            content="PANNs Cnn14: tagger of 527 AudioSet classes",
        ),
        PublishedFile(
            name="panns-cnn14-decision-level-max",
            file="Cnn14_DecisionLevelMax_mAP=0.385.pth",
            uri=f"{_ZENODO}/Cnn14_DecisionLevelMax_mAP%3D0.385.pth?download=1",
            size=327_428_481,
            sha256="dd3b4043a87d4ec13df8082c0fcfee3fb5084151808e47e060987a95eabdd142",
            content="PANNs Cnn14_DecisionLevelMax: detector of 527 AudioSet classes, 100 frames a second",
        ),
        PublishedFile(
            name="htsat",
            file="HTSAT_AudioSet_Saved_1.ckpt",
            uri=None,
            size=None,
            sha256=None,
            content="HTS-AT: tagger and detector of 527 AudioSet classes",
        ),
        PublishedFile(
            name="uss-resunet30",
            file="ss_model=resunet30,querynet=at_soft,data=full,devices=8,step=1000000.ckpt",
            uri=f"{_RELEASED}/ss_model%3Dresunet30%2Cquerynet%3Dat_soft%2Cdata%3Dfull%2Cdevices%3D8"
            "%2Cstep%3D1000000.ckpt",
            size=1_121_024_828,
            sha256=None,
            content="ResUNet30 separator with its Cnn14 query net, trained on the whole of AudioSet",
        ),
    )
}
"""Sizes and addresses as the published programs state them; checksums as publicly recorded for these files.

The files of HTS-AT have no address of their own (their authors share a folder): they are fetched from a base, or
imported from a local file.
"""

NAMED: Final[dict[str, NamedFolder]] = {
    named.name: named
    for named in (
        NamedFolder(
            name="starter-v1",
            sha256="ba3798cea2aaeac7bfeaf6fe54175036a8c971ec901adbe6ccc029bccf3d4f92",
            size=10_220_290,
            content="the first starter weights, of 128 classes",
        ),
        NamedFolder(
            name="starter-large",
            sha256="c9b31f0bd5b9a2cd8f09e54c3e2892281cc385d5be8269e6f258e41a6866d767",
            size=17273939,
            content="281 classes, a separator of twice the parameters",
        ),
        NamedFolder(
            name="starter-large-v2",
            sha256="21834ba8206da1534d42adaf8b5d0d6f69976c5c94ba5a90d8b857ac56eb6694",
            size=17_306_812,
            content="the same separator, a tagger that learnt on, calibrated",
        ),
    )
}
"""Folders of other weights of this project. Their sha256 stays: who has used them can have them again, to the bit."""

BASE_VARIABLE: Final = "USS_RAY_WEIGHTS_BASE"
"""Where weights with a name lie, for who does not say it: a folder or URI with them in it."""


@dataclass(frozen=True, kw_only=True)
class KnownWeights:
    """Weights that can be called by name.

    Attributes
    ----------
    content : str
        One line on what they are.
    folder : Path or None
        Where they are on this machine, if they are.
    is_packaged : bool
    download_bytes : int or None
        What fetching them takes, where it is stated; None for those in the package.
    """

    name: str
    content: str
    folder: Path | None
    is_packaged: bool
    download_bytes: int | None


def starter_folder() -> Path:
    """Give the folder of the starter weights in the package."""
    return Path(str(resources.files("uss_ray"))) / "weights" / STARTER


def known_weights() -> list[KnownWeights]:
    """List the weights that can be called by name: the starter, other folders of this project, published files."""
    starter = KnownWeights(
        name=STARTER,
        content="small weights in the package, trained on freely licensed sounds",
        folder=if_complete(starter_folder()),
        is_packaged=True,
        download_bytes=None,
    )
    kept = (
        KnownWeights(
            name=named.name,
            content=named.content,
            folder=named_here(named),
            is_packaged=False,
            download_bytes=named.size,
        )
        for named in NAMED.values()
    )
    published = (
        KnownWeights(
            name=file.name,
            content=file.content,
            folder=if_complete(imports_folder() / file.name),
            is_packaged=False,
            download_bytes=file.size,
        )
        for file in PUBLISHED.values()
    )
    return [starter, *kept, *published]


def describe_unfetched(name: str) -> dict[str, str] | None:
    """Tell what is known of weights with a name that are not on this machine, without fetching anything.

    Parameters
    ----------
    name : str

    Returns
    -------
    dict of str to str
        Facts by their names; None for weights that are here, and for what is no name.
    """
    known = next((one for one in known_weights() if one.name == name), None)
    if known is None or known.folder is not None or known.is_packaged or Path(name).exists():
        return None
    named, published, base = NAMED.get(name), PUBLISHED.get(name), weights_base()
    if published is not None and published.uri is not None and not os.environ.get(BASE_VARIABLE):
        source = published.uri
    elif base is None:
        source = f"a base: {ways_to_say_base(name)}"
    else:
        source = without_secrets(str(Store(base) / (name if published is None else published.file)))
    sha256 = named.sha256 if named is not None else published.sha256 if published is not None else None
    size = known.download_bytes
    return {
        "name": name,
        "what": known.content,
        "folder": f"not on this machine (uss-ray weights fetch {name})",
        "download": "of a size that is not stated" if size is None else f"{size / 1e6:.0f} MB",
        "from": source,
        "sha256": sha256 or "not published; that of the first download is held to",
    }


def imports_folder() -> Path:
    """Give the folder of this machine's cache that imported weights are kept in."""
    return cache_folder() / "weights"


def folders_folder() -> Path:
    """Give the folder of this machine's cache that fetched weights folders are kept in."""
    return cache_folder() / "folders"


def kept_folder(sha256: str) -> Path:
    """Give the place in the cache of a fetched weights folder: it is named by its config, so versions never mix."""
    return folders_folder() / sha256[:32]


def weights_base() -> str | None:
    """Tell where weights with a name lie: what the environment says, or `weights` of the checkout that runs as it is.

    Returns
    -------
    str or None
        A folder or URI; None where nobody said it.
    """
    checkout = Path(__file__).parents[2] / "weights"
    return os.environ.get(BASE_VARIABLE) or (str(checkout) if checkout.is_dir() else None)


def ways_to_say_base(name: str) -> str:
    """Tell how a user says where weights with a name lie; a package that is not editable does not know its checkout."""
    ways = f"--base or {BASE_VARIABLE}"
    return f"{ways} (in a checkout {BASE_VARIABLE}=weights)" if name in NAMED else ways


def named_here(named: NamedFolder, base: Location | None = None) -> Path | None:
    """Give a named weights folder if it is on this machine: in the cache, or at a base that is a local folder.

    Parameters
    ----------
    named : NamedFolder
    base : str or path, optional
        By default that of `weights_base`.
    """
    kept = if_complete(kept_folder(named.sha256))
    place = base if base is not None else weights_base()
    if kept is not None or place is None or Store(place).is_remote:
        return kept
    config = Store(place).local_path() / named.name / CONFIG_NAME
    with readable(config):
        is_it = config.is_file() and hashlib.sha256(config.read_bytes()).hexdigest() == named.sha256
    return config.parent if is_it else None


def if_complete(folder: Path) -> Path | None:
    """Give a weights folder if it is there; its config is written last."""
    with readable(folder):
        return folder if (folder / CONFIG_NAME).is_file() else None


@contextmanager
def readable(place: Location) -> Iterator[None]:
    """Tell what the system refuses of a place of weights, such as a permission, as an error of the weights.

    Raises
    ------
    WeightsError
        If what is done in it raises an `OSError`.
    """
    try:
        yield
    except OSError as fault:
        raise WeightsError(str(place), expected="weights that can be read", found=wording(fault)) from fault
