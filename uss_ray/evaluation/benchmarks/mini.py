"""Small data sets in AudioSet's format whose true events are known: pairs of two, and scenes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from uss_ray.datasets.decode import MODEL_RATE
from uss_ray.errors import ConfigError, DataError
from uss_ray.evaluation.benchmarks.benchmark import Benchmark, Card, Check, Draw, Files, Sound
from uss_ray.evaluation.items import Item, ItemSource, Role
from uss_ray.evaluation.pairs import PAIR_SECONDS, EvaluationPair
from uss_ray.evaluation.protocol import build_pairs, read_split, read_true_events
from uss_ray.evaluation.scenes import (
    EDGE_SECONDS,
    TEXTURE_FADE_SECONDS,
    Scene,
    SceneMakeup,
    ScenePiece,
    build_scenes,
)
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.store.store import Store

_SCENES = 60
_TEXTURE = "texture"
EVENTS = "metadata/strong_labels.tsv"
_LAYOUT = (
    "audio/{train,eval}/<id>.ogg; metadata/{train,eval}_segments.csv, strong_labels.tsv; "
    "or a folder of several such sets"
)


class WithLabels(Benchmark):
    """What is in AudioSet's format."""

    def sets(self, data: Store, split: str) -> list[str]:  # noqa: ARG002
        """Name the sets below the root, each with its slash; the root itself is an empty name.

        Raises
        ------
        DataError
            If there is none.
        """
        return sets_below(local_folder(data))

    def sounds(self, data: Store, files: Files, split: str) -> list[Sound]:
        """See `Benchmark`."""
        vocabulary = Vocabulary.load()
        classes = vocabulary.classes
        root, found = local_folder(data), []
        for folder in self.sets(data, split):
            paths = clip_paths(files, split, folder=folder)
            found += [
                Sound(
                    paths.get(record.clip_id, f"{folder}audio/{split}/{record.clip_id}.ogg"),
                    tuple(classes.labels[index] for index in record.class_indexes),
                    tuple(classes.ids[index] for index in record.class_indexes),
                )
                for record in read_split(root / folder, split=split, vocabulary=vocabulary)
            ]
        return found


class Mini(WithLabels):
    """Two seconds that a class fills best, against those of an unrelated one, at equal energy."""

    card: ClassVar[Card] = Card(
        name="mini",
        title="Two-source mixtures of a set with known events",
        revision="1",
        main_score="sdri",
        unit="dB",
        licence="of each source, in the set's LICENSES.md",
        citation="this project",
        layout=_LAYOUT,
        sample_rate=0,
        splits=("eval", "train"),
        protocols=("strict",),
    )

    def check(self, data: Store, split: str) -> Check:
        """See `Benchmark`; of events too."""
        vocabulary, root = Vocabulary.load(), local_folder(data)
        for folder in self.sets(data, split):
            records = read_split(root / folder, split=split, vocabulary=vocabulary)
            clips = {record.clip_id for record in records}
            read_true_events(root / folder, split=split, vocabulary=vocabulary, clips=clips)
        return super().check(data, split)

    def draw(self, draw: Draw) -> list[Item]:
        """See `Benchmark`; of several sets, the list of each."""
        root, items = local_folder(draw.data), []
        for folder in sets_below(root):
            pairs = build_pairs(
                root / folder,
                vocabulary=draw.vocabulary,
                segment_seconds=PAIR_SECONDS,
                seed=draw.seed,
                split=draw.split,
            )
            items += items_of_pairs(pairs, draw, folder=folder)
        return items


def local_folder(data: Store) -> Path:
    """Give the folder of a set whose events are known.

    Raises
    ------
    ConfigError
        If it is not on this machine.
    """
    if data.is_remote:
        raise ConfigError(
            str(data), expected="a folder of this machine, for sets with known events", found="a URI"
        )
    return data.local_path()


def sets_below(root: Path) -> list[str]:
    """Name the sets with known events below a folder, each with its slash; the folder itself is an empty name.

    Raises
    ------
    DataError
        If there is none.
    """
    if (root / EVENTS).is_file():
        return [""]
    found = sorted(f"{place.parents[1].name}/" for place in root.glob(f"*/{EVENTS}"))
    if not found:
        raise DataError(str(root / EVENTS), expected="a table of true events", found="none")
    return found


def clip_paths(files: Files, split: str, *, folder: str = "") -> dict[str, str]:
    """Find the file of each clip of a set by its name."""
    paths = files.below(f"{folder}audio/{split}")
    return {path.rpartition("/")[2].rpartition(".")[0]: path for path in paths}


def items_of_pairs(
    pairs: Sequence[EvaluationPair],
    draw: Draw,
    *,
    folder: str = "",
    seconds: float = PAIR_SECONDS,
    sample_rate: int = MODEL_RATE,
) -> list[Item]:
    """Turn pairs of clips of a set into items, at equal energy.

    Parameters
    ----------
    pairs : sequence of EvaluationPair
    draw : Draw
    folder : str, default=""
        Of the set below the root, with its slash.
    seconds : float, default=2
    sample_rate : int, default=32000
        In Hz.
    """
    paths = clip_paths(draw.files, draw.split, folder=folder)
    labels = draw.vocabulary.ontology
    items: list[Item] = []
    numbers: dict[str, int] = {}
    for pair in pairs:
        number = numbers[pair.class_id] = numbers.get(pair.class_id, -1) + 1
        target, other = (
            ItemSource(
                role="target" if is_target else "other",
                path=paths.get(clip_id, f"{folder}audio/{draw.split}/{clip_id}.ogg"),
                label=labels.node(class_id).label,
                class_id=class_id,
                start_seconds=start,
                seconds=seconds,
                gain=1.0,
            )
            for is_target, clip_id, class_id, start in (
                (True, pair.target_clip_id, pair.class_id, pair.target_start_seconds),
                (False, pair.other_clip_id, pair.other_class_id, pair.other_start_seconds),
            )
        )
        gain = draw.gain(target, other) if {target.path, other.path} <= draw.files.sizes.keys() else 1.0
        items.append(
            Item(
                item_id=f"{folder}{target.label}/{number:03d}",
                label=target.label,
                seconds=seconds,
                sample_rate=sample_rate,
                protocol=draw.protocol,
                seed=draw.seed,
                sources=(target, replace(other, gain=gain)),
            )
        )
    return items


class Scenes(WithLabels):
    """Recordings of 20 to 40 s with 3 to 6 sources at other levels; what a user gets of them."""

    _makeup: ClassVar[SceneMakeup] = SceneMakeup()

    card: ClassVar[Card] = Card(
        name="scenes",
        title="Scenes of a set with known events",
        revision="1",
        main_score="sdri",
        unit="dB",
        licence="of each source, in the set's LICENSES.md",
        citation="this project",
        layout=_LAYOUT,
        sample_rate=0,
        splits=("eval",),
        protocols=("strict",),
        is_of_scenes=True,
    )

    def draw(self, draw: Draw) -> list[Item]:
        """See `Benchmark`."""
        root = local_folder(draw.data)
        folders = [root / folder for folder in sets_below(root)]
        scenes = build_scenes(
            folders, vocabulary=draw.vocabulary, count=_SCENES, seed=draw.seed, makeup=self._makeup
        )
        return items_of_scenes(scenes, draw)


class OpenScenes(Scenes):
    """The same with none to 6 sources, other sounds of one class, and textures below that nobody asks for.

    Half of the scenes have a texture, and all of those without a source.
    """

    _makeup: ClassVar[SceneMakeup] = SceneMakeup(targets=(0, 6), repeated=0.25, textures=0.5)

    card: ClassVar[Card] = replace(
        Scenes.card,
        name="open-scenes",
        title="Scenes of none to six sources, with textures and classes that come twice",
        main_score="capi_sdri",
    )


def items_of_scenes(scenes: list[Scene], draw: Draw) -> list[Item]:
    """Turn scenes into items with a target a source; a texture is in the mixture, and no target."""
    paths: dict[str, str] = {}
    for folder in sets_below(local_folder(draw.data)):
        paths |= clip_paths(draw.files, draw.split, folder=folder)
    lacking = [
        piece.clip_id
        for scene in scenes
        for piece in (*scene.pieces, *scene.texture)
        if piece.clip_id not in paths
    ]
    if lacking:
        raise DataError(lacking[0], expected=f"a clip of that name in {draw.data}", found="none")

    def of_piece(piece: ScenePiece, role: Role, label: str, fade_seconds: float) -> ItemSource:
        return ItemSource(
            role=role,
            path=paths[piece.clip_id],
            label=label,
            class_id=piece.class_id,
            start_seconds=piece.start_seconds,
            seconds=piece.seconds,
            position_seconds=piece.position_seconds,
            gain=10 ** (piece.gain_db / 20),
            fade_seconds=fade_seconds,
            sounds=piece.sounds,
        )

    return [
        Item(
            item_id=scene.scene_id,
            label="",
            seconds=float(scene.seconds),
            sample_rate=MODEL_RATE,
            protocol=draw.protocol,
            seed=draw.seed,
            sources=(
                *(
                    of_piece(piece, "target", label, EDGE_SECONDS)
                    for piece, label in zip(scene.pieces, _labels(scene, draw.vocabulary), strict=True)
                ),
                *(of_piece(piece, "other", _TEXTURE, TEXTURE_FADE_SECONDS) for piece in scene.texture),
            ),
        )
        for scene in scenes
    ]


def _labels(scene: Scene, vocabulary: Vocabulary) -> list[str]:
    """Name the target of each piece; of a class that comes again the further ones have a number."""
    names: dict[int, str] = {}
    counts: Counter[str] = Counter()
    for piece in scene.pieces:
        if piece.source not in names:
            counts[piece.class_id] += 1
            label, number = vocabulary.ontology.node(piece.class_id).label, counts[piece.class_id]
            names[piece.source] = label if number == 1 else f"{label} ({number})"
    return [names[piece.source] for piece in scene.pieces]
