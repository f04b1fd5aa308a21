"""Weights by name, folder, file or URI become a local weights folder; downloads and imports are kept in the cache."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from uss_ray.errors import WeightsError
from uss_ray.models.protocols import known_classes
from uss_ray.models.registry import describe_network
from uss_ray.store.fetch import Progress, fetch, file_sha256, forget
from uss_ray.store.options import StoreOptions
from uss_ray.store.store import Location, Store
from uss_ray.weights import CARD_NAME, CONFIG_NAME, STARTER
from uss_ray.weights.folder import Weights, config_sha256, known_classes_in, listed_files, read_folder
from uss_ray.weights.importers.published import import_published
from uss_ray.weights.known import (
    BASE_VARIABLE,
    NAMED,
    PUBLISHED,
    PublishedFile,
    folders_folder,
    if_complete,
    imports_folder,
    kept_folder,
    known_weights,
    named_here,
    readable,
    starter_folder,
    ways_to_say_base,
    weights_base,
)
from uss_ray.wording import without_secrets

_PUBLISHED_SUFFIXES = (".pth", ".pt", ".ckpt")

_MOST_CONFIG_BYTES = 16 << 20


def locate_weights(
    weights: Location, *, storage: StoreOptions | None = None, progress: Progress | None = None
) -> Path:
    """Make weights local.

    Parameters
    ----------
    weights : str or path
        `starter`, another name of `uss-ray weights list`, a local weights folder or published file, or the URI of
        either.
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
    # os.path's leaves the name of an unknown user as it is, which Path.expanduser() does not.
    path = Path(os.path.expanduser(url2pathname(urlsplit(spec).path) if spec.startswith("file://") else spec))
    with readable(spec):
        is_folder, is_file = path.is_dir(), path.is_file()
    if is_folder:
        return path
    if is_file:
        return _imported(path)
    if spec == STARTER:
        if if_complete(starter_folder()) is None:
            raise WeightsError(
                STARTER, expected="starter weights in the package", found=f"none in {starter_folder()}"
            )
        return starter_folder()
    if spec in (*NAMED, *PUBLISHED):
        return fetch_named(spec, storage=storage, progress=progress)
    place = Store(spec, storage, WeightsError)
    if not place.is_remote:
        known = ", ".join((STARTER, *NAMED, *PUBLISHED))
        raise WeightsError(
            spec, expected=f"a weights folder, a published file, a URI or one of {known}", found="none"
        )
    if urlsplit(spec).path.lower().endswith(_PUBLISHED_SUFFIXES):
        file = fetch(place, progress=progress)
        try:
            return _imported(file)
        except WeightsError as error:
            forget(file)  # such as the page of a network that wants a login: no answer to hold a place to
            item = error.item.replace(str(file), without_secrets(str(place)))
            raise WeightsError(item, expected=error.expected, found=error.found) from error
    return _fetch_folder(place, progress=progress)


def known_classes_here(sha256: str) -> frozenset[int] | None:
    """Tell which classes some weights know, if they are on this machine.

    Parameters
    ----------
    sha256 : str
        Of the weights, as the index of an output has it.

    Returns
    -------
    frozenset of int or None
        None: all classes, or weights that are not in the package or the cache.
    """
    named = [one.folder for one in known_weights() if one.folder is not None]
    kept = [folder for place in (imports_folder(), folders_folder()) for folder in sorted(place.glob("*"))]
    for folder in (*named, *filter(if_complete, kept)):
        with readable(folder):
            found = config_sha256((folder / CONFIG_NAME).read_bytes())
        if found == sha256:
            return known_classes_in(folder)[1]
    return None


def load_weights(
    weights: Location = STARTER, *, storage: StoreOptions | None = None, progress: Progress | None = None
) -> Weights:
    """Load weights by whatever names them; parameters and errors as of `locate_weights`.

    Returns
    -------
    Weights
        On the CPU, checked strictly.
    """
    folder = locate_weights(weights, storage=storage, progress=progress)
    return read_folder(folder)


def fetch_named(
    name: str,
    *,
    base: Location | None = None,
    storage: StoreOptions | None = None,
    progress: Progress | None = None,
) -> Path:
    """Make weights with a name local, once: a folder is fetched, a published file is fetched and imported.

    Parameters
    ----------
    name : str
        `starter`, or a key of `NAMED` or `PUBLISHED`.
    base : str or path, optional
        Folder or URI with `NAME/config.json` or the published file in it. By default what `USS_RAY_WEIGHTS_BASE` says;
        without it published files come from where their authors put them.
    storage : StoreOptions, optional
        How the store of the base is reached.
    progress : callable, optional
        Called with (bytes so far, bytes in all or None).

    Returns
    -------
    Path
        The weights folder, in the cache unless the base is a local folder.

    Raises
    ------
    WeightsError
        If the name is unknown, nobody says where the weights lie, or they cannot be had or are not what they should be.
    """
    if name == STARTER:
        return locate_weights(STARTER)
    named, published = NAMED.get(name), PUBLISHED.get(name)
    if named is not None:
        here = named_here(named, base)
        if here is not None:
            return here
        place = _at_base(base, name, name=name, storage=storage)
        return _fetch_folder(place, sha256=named.sha256, progress=progress)
    if published is None:
        known = ", ".join((STARTER, *NAMED, *PUBLISHED))
        raise WeightsError(name, expected=f"one of {known}", found="no weights of that name")
    folder = imports_folder() / published.name
    if if_complete(folder):
        return folder
    if base is None and not os.environ.get(BASE_VARIABLE) and published.uri is not None:
        place = Store(published.uri, None, WeightsError)
    else:
        place = _at_base(base, published.file, name=name, storage=storage)
    if place.is_remote:
        file = fetch(place, sha256=published.sha256, size=published.size, progress=progress)
    else:
        file = _checked(place.local_path(), published)
    return import_published(file, folder, kind=published.name)


def _at_base(base: Location | None, path: str, *, name: str, storage: StoreOptions | None) -> Store:
    root = base if base is not None else weights_base()
    if root is None:
        raise WeightsError(
            name,
            expected=f"where it lies, by uss-ray weights fetch {ways_to_say_base(name)}",
            found="neither",
        )
    return Store(root, storage, WeightsError) / path


def _checked(file: Path, published: PublishedFile) -> Path:
    """Refuse a local file that is not the published one."""
    with readable(file):
        if not file.is_file():
            raise WeightsError(str(file), expected=f"the file of {published.name}", found="nothing there")
        size = file.stat().st_size
        if published.size not in (None, size):
            raise WeightsError(str(file), expected=f"{published.size} bytes", found=f"{size} bytes")
        if published.sha256 is not None and (found := file_sha256(file)) != published.sha256:
            raise WeightsError(str(file), expected=f"sha256 {published.sha256}", found=f"sha256 {found}")
    return file


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
    loaded = load_weights(weights, storage=storage)
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


def _fetch_folder(place: Store, *, sha256: str | None = None, progress: Progress | None) -> Path:
    """Fetch `config.json` and every file that it lists; the config comes last, so that a folder with one is whole."""
    config = place / CONFIG_NAME
    raw = config.read(most_bytes=_MOST_CONFIG_BYTES)
    found = config_sha256(raw)
    if sha256 not in (None, found):
        raise WeightsError(str(config), expected=f"sha256 {sha256}", found=f"sha256 {found}")
    folder = kept_folder(found)
    for name, expected in listed_files(str(config), raw).items():
        fetch(place / name, sha256=expected, progress=progress, path=folder / name)
    with suppress(WeightsError):  # for people; nothing needs it
        Store(folder / CARD_NAME).put((place / CARD_NAME).read(most_bytes=_MOST_CONFIG_BYTES))
    Store(folder / CONFIG_NAME).put(raw)
    return folder


def _imported(file: Path) -> Path:
    with readable(file):
        folder = imports_folder() / f"{file.stem}-{file_sha256(file)[:12]}"
    return if_complete(folder) or import_published(file, folder)
