"""`uss-ray weights`: list, show, fetch and import them, and write their card."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, cast

from pydantic import Field

from uss_ray.cli.command import JSON, STORAGE_NAME, Command
from uss_ray.cli.notes import write_json
from uss_ray.config import Location, Name, Settings
from uss_ray.store.options import Storage, StoreOptions
from uss_ray.weights import CARD_NAME, ReplacesWeights

if TYPE_CHECKING:
    from uss_ray.weights.known import PublishedKind


class ListWeights(Settings):
    """List the weights that can be called by name."""


class ShowWeights(Settings):
    """Check weights and tell what they hold; of a name that is not fetched yet, what is known of it."""

    weights: Location = Field(description="Name, folder or URI.")
    classes: bool = Field(default=False, description="List the classes that they were trained on.")
    storage: Storage = StoreOptions()


class FetchWeights(Settings):
    """Download weights into the cache, resuming an earlier try; published files are imported."""

    name: Name = Field(description="A name of `weights list`.")
    base: Location | None = Field(
        default=None,
        description="Folder or URI with the weights in it, NAME/config.json or the published file. Without it what the "
        "environment variable USS_RAY_WEIGHTS_BASE says, or where the authors of published files put them.",
    )
    storage: Storage = StoreOptions()


class ImportWeights(Settings):
    """Turn a published file into a weights folder, every key accounted for."""

    file: Location = Field(description="A published .pth or .ckpt file.")
    output: Location = Field(description="Weights folder to write.")
    kind: Name | None = Field(default=None, description="What the file is, if its name does not say.")
    overwrite: ReplacesWeights = False


class CardOfWeights(Settings):
    """Write the model card of weights: classes known, thin and unknown, licences, scores by class and level."""

    weights: Location = Field(description="Name, folder or URI.")
    results: tuple[Location, ...] = Field(
        default=(), description="Runs of `evaluate run` with these weights: pairs, scenes."
    )
    data: tuple[Location, ...] = Field(
        default=(), description="Data sets that they were trained on, with metadata/sources.tsv."
    )
    hours: str | None = Field(default=None, description="How long training took.")
    hardware: str | None = Field(default=None, description="What it took that long on.")
    made_with: str | None = Field(default=None, description="The command that makes these weights again.")
    output: Location | None = Field(
        default=None, description="Markdown file to write; without it MODEL_CARD.md of the weights."
    )
    storage: Storage = StoreOptions()

    @property
    def told(self) -> dict[str, str | None]:
        """What no file says, by what the card calls it."""
        command = self.made_with and f"`{self.made_with}`"
        return {"Hours": self.hours, "Hardware": self.hardware, "Made again with": command}


LIST: Final = Command(name="weights list", model=ListWeights, extras={"json": JSON})
SHOW: Final = Command(
    name="weights show",
    model=ShowWeights,
    positionals={"weights": "WEIGHTS"},
    extras={"json": JSON},
    names={"storage": STORAGE_NAME},
)
FETCH: Final = Command(
    name="weights fetch", model=FetchWeights, positionals={"name": "NAME"}, names={"storage": STORAGE_NAME}
)
IMPORT: Final = Command(
    name="weights import", model=ImportWeights, positionals={"file": "FILE"}, short={"output": "-o"}
)
CARD: Final = Command(
    name="weights card",
    model=CardOfWeights,
    positionals={"weights": "WEIGHTS"},
    short={"output": "-o"},
    names={"storage": STORAGE_NAME},
    lists=("results", "data"),
)


def list_weights(arguments: Sequence[str]) -> int:
    """List what is known."""
    _, extras = LIST.read(arguments)

    from uss_ray.cli.display import show_table
    from uss_ray.weights.known import known_weights

    if "json" in extras:
        for known in known_weights():
            write_json(dataclasses.asdict(known))
        return 0
    rows = [
        (
            known.name,
            known.content,
            "" if known.download_bytes is None else f"{known.download_bytes / 1e6:.0f} MB",
            str(known.folder or ("missing" if known.is_packaged else "not fetched")),
        )
        for known in known_weights()
    ]
    show_table(
        ("Name", "What", "Download", "Where"),
        rows,
        title="Weights",
        right=("Download",),
        below=("What", "Where"),
    )
    return 0


def show_weights(arguments: Sequence[str]) -> int:
    """Show what weights hold."""
    asked, extras = SHOW.read(arguments)

    from uss_ray.cli.display import say
    from uss_ray.errors import WeightsError
    from uss_ray.weights.known import describe_unfetched

    facts = describe_unfetched(asked.weights)
    if facts is not None and asked.classes:
        found = f"none (uss-ray weights fetch {asked.weights})"
        raise WeightsError(
            asked.weights, expected="weights on this machine, whose classes are read", found=found
        )
    if facts is None:
        from uss_ray.weights.locate import describe_weights

        facts = dict(describe_weights(asked.weights, storage=asked.storage))
    if "json" in extras:
        names = ("index", "class_id", "label")
        classes = [dict(zip(names, one, strict=True)) for one in (_known(asked) if asked.classes else ())]
        write_json(facts | ({"classes": classes} if asked.classes else {}))
        return 0
    for name, value in facts.items():
        say(f"{name + ':':<14}{value}")
    for index, class_id, label in _known(asked) if asked.classes else ():
        say(f"{index:>5}  {label} ({class_id})")
    return 0


def _known(asked: ShowWeights) -> Iterator[tuple[int, str, str]]:
    """Give index, id and label of each class that the weights know."""
    from uss_ray.models.protocols import known_classes
    from uss_ray.ontology.known import KnownNodes
    from uss_ray.ontology.vocabulary import Vocabulary
    from uss_ray.weights.locate import load_weights

    vocabulary, weights = Vocabulary.load(), load_weights(asked.weights, storage=asked.storage)
    weights.check_classes(vocabulary.classes.ids)
    for index in sorted(KnownNodes(vocabulary, known_classes(weights)).class_indexes):
        yield index, vocabulary.classes.ids[index], vocabulary.classes.labels[index]


def fetch_weights(arguments: Sequence[str]) -> int:
    """Download, and say where the folder is."""
    asked, _ = FETCH.read(arguments)

    from uss_ray.cli.display import download_bar, say
    from uss_ray.weights.locate import fetch_named

    with download_bar(asked.name) as advance:
        folder = fetch_named(asked.name, base=asked.base, storage=asked.storage, progress=advance)
    say(f"Weights: {folder}")
    return 0


def import_weights(arguments: Sequence[str]) -> int:
    """Import, and say where the folder is."""
    asked, _ = IMPORT.read(arguments)

    from uss_ray.cli.display import say
    from uss_ray.weights.folder import check_free
    from uss_ray.weights.importers.published import import_published

    check_free(asked.output, overwrite=asked.overwrite)
    folder = import_published(asked.file, asked.output, kind=cast("PublishedKind | None", asked.kind))
    say(f"Weights: {folder}")
    return 0


def write_model_card(arguments: Sequence[str]) -> int:
    """Write, and say where it is."""
    asked, _ = CARD.read(arguments)

    from uss_ray.cli.display import say
    from uss_ray.errors import DataError
    from uss_ray.evaluation.card import read_training_data, write_card
    from uss_ray.evaluation.result import read_result
    from uss_ray.evaluation.rows import read_rows
    from uss_ray.ontology.vocabulary import Vocabulary
    from uss_ray.store.store import Store
    from uss_ray.weights.locate import load_weights

    vocabulary, weights = Vocabulary.load(), load_weights(asked.weights, storage=asked.storage)
    weights.check_classes(vocabulary.classes.ids)
    places = [Store(place, asked.storage, DataError) for place in asked.results]
    data = [Store(place, asked.storage, DataError) for place in asked.data]
    text = write_card(
        weights,
        [(read_result(place), read_rows(place)) for place in places],
        read_training_data(data, vocabulary=vocabulary),
        names=[str(place).rstrip("/").rpartition("/")[2] for place in data],
        vocabulary=vocabulary,
        told={name: value for name, value in asked.told.items() if value},
    )
    output = asked.output or str(weights.folder / CARD_NAME)
    Store(output, asked.storage).put(text.encode())
    say(f"Model card: {output}")
    return 0
