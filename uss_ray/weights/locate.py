"""Weights by name, folder or URI: brings together where they are, how they are fetched and how they are read."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path

from uss_ray.store.cache import Progress, cache_folder, fetch, fetch_folder
from uss_ray.weights.catalogue import PUBLISHED, STARTER, fetch_published, resolve_weights, starter_folder
from uss_ray.weights.folder import CONFIG_NAME, load_weights


@dataclass(frozen=True, kw_only=True)
class KnownWeights:
    """Weights that can be called by name.

    Parameters
    ----------
    name : str
        What `--weights` takes.
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


def locate_weights(weights: str, *, progress: Progress | None = None) -> Path:
    """Make weights local.

    Parameters
    ----------
    weights : str
        `starter`, the name of a published file, a local weights folder or published file, or the URI of either.
    progress : callable, optional
        Called with (bytes so far, bytes in all or None) while a file is fetched.

    Returns
    -------
    Path
        A folder with a `config.json`; its content is checked where it is loaded.

    Raises
    ------
    WeightsError
        If there are no such weights, or they cannot be fetched.
    """
    return resolve_weights(
        weights,
        cache=cache_folder(),
        fetch=functools.partial(fetch, progress=progress),
        fetch_folder=functools.partial(fetch_folder, progress=progress),
    )


def fetch_named(name: str, *, progress: Progress | None = None) -> Path:
    """Download a published file and import it, once.

    Parameters
    ----------
    name : str
        A name of `known_weights`.
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
    return fetch_published(name, cache=cache_folder(), fetch=functools.partial(fetch, progress=progress))


def known_weights() -> list[KnownWeights]:
    """List the weights that can be called by name: the starter, then the published files."""
    starter = starter_folder()
    known = [
        KnownWeights(
            name=STARTER,
            content="small weights in the package, trained on freely licensed sounds",
            folder=starter if (starter / CONFIG_NAME).is_file() else None,
            download_bytes=None,
        )
    ]
    for published in PUBLISHED.values():
        folder = cache_folder() / "weights" / published.name
        known.append(
            KnownWeights(
                name=published.name,
                content=published.content,
                folder=folder if (folder / CONFIG_NAME).is_file() else None,
                download_bytes=published.size,
            )
        )
    return known


def describe_weights(weights: str) -> dict[str, str]:
    """Tell what a weights folder holds, from loading it strictly.

    Parameters
    ----------
    weights : str
        As `locate_weights` takes it.

    Returns
    -------
    dict of str to str
        Facts by their names.

    Raises
    ------
    WeightsError
        If it is missing, or anything in it is altered or does not fit.
    """
    loaded = load_weights(locate_weights(weights))
    facts = {"name": loaded.name, "folder": str(loaded.folder), "sha256": loaded.sha256}
    facts["sample rate"] = f"{loaded.sample_rate} Hz"
    facts["condition"] = f"{loaded.condition_kind}, {loaded.condition_size} numbers"
    for component in ("tagger", "detector", "separator"):
        module = getattr(loaded, component)
        if module is not None:
            facts[component] = f"{sum(parameter.numel() for parameter in module.parameters()):,} parameters"
    facts["class means"] = f"of {len(loaded.class_means)} classes" if loaded.class_means else "none"
    if "source" in loaded.config:
        facts["source"] = json.dumps(loaded.config["source"], ensure_ascii=False)
    return facts
