"""Scenes: lists of recordings whose sources are known, drawn from labelled clips and mixed while they are read.

Owns the drawing, the JSON Lines of a list and the mixing. What a separation of a scene is worth is `scene_scores`'.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from uss_ray.datasets.clips import LoadedClips
from uss_ray.errors import DataError
from uss_ray.evaluation.pairs import Event, read_events
from uss_ray.evaluation.protocol import read_split
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.store.store import Location, Store

Waveform = NDArray[np.float32]

_SOURCES = (3, 6)
_LENGTHS_SECONDS = (20, 40)
_LEVELS_DB = (-12.0, 12.0)
_TIMES_MOST = 3
_LEVEL_OF_ZERO_DBFS = -30.0
_LOUDEST_PEAK = 0.9
_EDGE_SECONDS = 0.05
_TRIES = 200


@dataclass(frozen=True)
class ScenePiece:
    """A piece of a clip at its place in a scene; pieces of one class are one source.

    Parameters
    ----------
    clip_id, class_id : str
    start_seconds, seconds : float
        Place in the clip.
    position_seconds : float
        Where it begins in the scene.
    gain_db : float
    sounds : tuple of (float, float)
        Start and end of each labelled event, in seconds of the scene.
    """

    clip_id: str
    class_id: str
    start_seconds: float
    seconds: float
    position_seconds: float
    gain_db: float
    sounds: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Scene:
    """A recording to be, and what is in it.

    Parameters
    ----------
    scene_id : str
    seconds : int
    pieces : tuple of ScenePiece
        By source, then by position.
    """

    scene_id: str
    seconds: int
    pieces: tuple[ScenePiece, ...]

    @property
    def class_ids(self) -> tuple[str, ...]:
        """Give the classes of its sources, each once."""
        return tuple(dict.fromkeys(piece.class_id for piece in self.pieces))


@dataclass(frozen=True)
class PieceCandidate:
    """What a clip of one class offers.

    Parameters
    ----------
    clip_id, class_id : str
    sounds : tuple of (float, float)
        Start and end of each event in the clip, in seconds.
    level_dbfs : float
        RMS level while it sounds.
    peak : float
        Largest absolute sample, linear.
    """

    clip_id: str
    class_id: str
    sounds: tuple[tuple[float, float], ...]
    level_dbfs: float
    peak: float


class ClipShelf:
    """Clips of several data sets by their ids.

    Parameters
    ----------
    loaded : sequence of LoadedClips
        Of one sample rate; no clip in two of them.

    Raises
    ------
    DataError
        If a clip is in two of them.
    """

    def __init__(self, loaded: Sequence[LoadedClips]) -> None:
        self._places: dict[str, tuple[LoadedClips, int]] = {}
        for clips in loaded:
            for row, record in enumerate(clips.records):
                if record.clip_id in self._places:
                    raise DataError(
                        record.clip_id, expected="a clip of one data set", found="the same id in two"
                    )
                self._places[record.clip_id] = clips, row
        self.sample_rate = loaded[0].sample_rate

    @classmethod
    def load(
        cls,
        data: Sequence[Path],
        *,
        clip_ids: Iterable[str],
        vocabulary: Vocabulary,
        sample_rate: int,
        split: str = "eval",
    ) -> ClipShelf:
        """Decode some clips of one split of data sets in audioset_mini's layout.

        Raises
        ------
        DataError
            If one of them is in none of the sets, or cannot be decoded.
        """
        wanted = set(clip_ids)
        loaded = []
        for folder in data:
            records = [
                record
                for record in read_split(folder, split=split, vocabulary=vocabulary)
                if record.clip_id in wanted
            ]
            wanted.difference_update(record.clip_id for record in records)
            if records:
                loaded.append(
                    LoadedClips.load(
                        records,
                        folder / "audio" / split,
                        classes=len(vocabulary.classes),
                        sample_rate=sample_rate,
                    )
                )
        if wanted or not loaded:
            raise DataError(
                min(wanted, default="scenes"),
                expected=f"a clip of {', '.join(map(str, data))}",
                found="none of that name",
            )
        return cls(loaded)

    def waveform(self, clip_id: str) -> Waveform:
        """Give a whole clip, of shape (samples,)."""
        clips, row = self._places[clip_id]
        return clips.waveform(row)


@dataclass(frozen=True, eq=False)
class MixedScene:
    """A scene as sound.

    Parameters
    ----------
    mixture : ndarray of shape (samples,), dtype=float32
        The sum of the sources.
    sources : dict of str to ndarray of shape (samples,), dtype=float32
        Class id -> all its pieces.
    """

    mixture: Waveform
    sources: dict[str, Waveform]


def mix_scene(scene: Scene, clips: ClipShelf) -> MixedScene:
    """Cut the pieces of a scene from their clips, with short fades, and add them up.

    Parameters
    ----------
    scene : Scene
    clips : ClipShelf
    """
    rate = clips.sample_rate
    sources = {class_id: np.zeros(scene.seconds * rate, np.float32) for class_id in scene.class_ids}
    for piece in scene.pieces:
        cut = _cut(clips.waveform(piece.clip_id), piece.start_seconds, piece.seconds, sample_rate=rate)
        start = round(piece.position_seconds * rate)
        source = sources[piece.class_id]
        kept = cut[: len(source) - start]
        source[start : start + len(kept)] += np.float32(10 ** (piece.gain_db / 20)) * kept
    return MixedScene(np.sum(list(sources.values()), axis=0), sources)


def _cut(clip: Waveform, start_seconds: float, seconds: float, *, sample_rate: int) -> Waveform:
    start = round(start_seconds * sample_rate)
    cut = clip[start : start + round(seconds * sample_rate)].copy()
    edge = min(round(_EDGE_SECONDS * sample_rate), len(cut) // 2)
    ramp = ((np.arange(edge) + 0.5) / max(1, edge)).astype(np.float32)
    cut[:edge] *= ramp
    cut[len(cut) - edge :] *= ramp[::-1]
    return cut


def build_scenes(data: Sequence[Path], *, vocabulary: Vocabulary, count: int, seed: int = 0) -> list[Scene]:
    """Draw scenes from the eval splits of data sets whose events are known.

    Only clips in which a single class sounds are taken, so that a source holds nothing else.

    Parameters
    ----------
    data : sequence of Path
        In audioset_mini's layout, with `metadata/strong_labels.tsv`.
    vocabulary : Vocabulary
    count : int
        Number of scenes.
    seed : int, default=0

    Raises
    ------
    DataError
        If a table or a clip cannot be read, or there are too few clips.
    """
    sounds: dict[str, list[Event]] = {}
    for folder in data:
        for event in read_events(folder / "metadata" / "strong_labels.tsv", split="eval"):
            sounds.setdefault(event.clip_id, []).append(event)
    pure = {
        clip_id: events
        for clip_id, events in sounds.items()
        if len({event.class_id for event in events}) == 1
    }
    shelf = ClipShelf.load(data, clip_ids=pure, vocabulary=vocabulary, sample_rate=32_000)
    candidates = [
        _candidate(events, shelf.waveform(clip_id), sample_rate=shelf.sample_rate)
        for clip_id, events in pure.items()
    ]
    return draw_scenes(candidates, related=vocabulary.ontology.related, count=count, seed=seed)


def _candidate(events: Sequence[Event], clip: Waveform, *, sample_rate: int) -> PieceCandidate:
    sounds = tuple(sorted((event.onset_seconds, event.offset_seconds) for event in events))
    heard = np.concatenate([clip[round(on * sample_rate) : round(off * sample_rate)] for on, off in sounds])
    level = 10 * np.log10(np.square(heard, dtype=np.float64).mean() + 1e-12)
    peak = float(np.abs(heard).max())
    # Rounded, so that decoders that differ in their last bits draw the same list.
    return PieceCandidate(
        events[0].clip_id, events[0].class_id, sounds, round(float(level), 1), round(peak, 2)
    )


def draw_scenes(
    candidates: Iterable[PieceCandidate],
    *,
    related: Callable[[str, str], bool],
    count: int,
    seed: int = 0,
) -> list[Scene]:
    """Draw scenes of 3 to 6 sources in 20 to 40 s, each source up to three times, at levels of ±12 dB.

    Parameters
    ----------
    candidates : iterable of PieceCandidate
        In any order.
    related : callable
        True if two classes must not be in one scene.
    count : int
    seed : int, default=0

    Returns
    -------
    list of Scene
        Each drawn for itself: a longer list begins with a shorter one.

    Raises
    ------
    DataError
        If the classes are too few for unrelated sources.
    """
    by_class: dict[str, list[PieceCandidate]] = {}
    for candidate in sorted(candidates, key=lambda candidate: candidate.clip_id):
        by_class.setdefault(candidate.class_id, []).append(candidate)
    return [
        _draw_scene(f"scene{number:03d}", by_class, related, np.random.default_rng([seed, number]))
        for number in range(count)
    ]


def _draw_scene(
    scene_id: str,
    by_class: dict[str, list[PieceCandidate]],
    related: Callable[[str, str], bool],
    rng: np.random.Generator,
) -> Scene:
    seconds = int(rng.integers(_LENGTHS_SECONDS[0], _LENGTHS_SECONDS[1] + 1))
    sources = int(rng.integers(_SOURCES[0], _SOURCES[1] + 1))
    names = sorted(by_class)
    chosen: list[str] = []
    for _ in range(_TRIES):
        name = names[rng.integers(len(names))] if names else ""
        if names and not any(related(name, other) for other in chosen):
            chosen.append(name)
        if len(chosen) == sources:
            break
    else:
        raise DataError("scenes", expected=f"{sources} classes that are not related", found=str(len(chosen)))
    placed = [
        _place(one, level_db, seconds, rng)
        for name in chosen
        for level_db in [float(rng.uniform(*_LEVELS_DB))]
        for one in rng.choice(np.array(by_class[name], dtype=object), size=rng.integers(1, _TIMES_MOST + 1))
    ]
    # Where loud peaks could meet, the whole scene is turned down.
    loudest = max(peak for _, peak in placed)
    turned_db = max(0.0, 20 * math.log10(sources * loudest / _LOUDEST_PEAK))
    pieces = [replace(piece, gain_db=round(piece.gain_db - turned_db, 1)) for piece, _ in placed]
    order = {name: place for place, name in enumerate(chosen)}
    pieces.sort(key=lambda piece: (order[piece.class_id], piece.position_seconds))
    return Scene(scene_id=scene_id, seconds=seconds, pieces=tuple(pieces))


def _place(
    candidate: PieceCandidate, level_db: float, scene_seconds: int, rng: np.random.Generator
) -> tuple[ScenePiece, float]:
    """Give a piece somewhere in a scene, and its peak there."""
    start = max(0.0, candidate.sounds[0][0] - _EDGE_SECONDS)
    seconds = max(off for _, off in candidate.sounds) + _EDGE_SECONDS - start
    position = round(float(rng.uniform(0.0, scene_seconds - seconds)), 2)
    gain_db = _LEVEL_OF_ZERO_DBFS + level_db - candidate.level_dbfs
    moved = position - start
    piece = ScenePiece(
        clip_id=candidate.clip_id,
        class_id=candidate.class_id,
        start_seconds=round(start, 3),
        seconds=round(seconds, 3),
        position_seconds=position,
        gain_db=gain_db,
        sounds=tuple((round(on + moved, 3), round(off + moved, 3)) for on, off in candidate.sounds),
    )
    return piece, candidate.peak * 10 ** (gain_db / 20)


def scenes_jsonl(scenes: Iterable[Scene]) -> str:
    """Give a list as JSON Lines, a scene a line."""
    return "".join(json.dumps(asdict(scene), separators=(",", ":")) + "\n" for scene in scenes)


def list_sha256(scenes: Iterable[Scene]) -> str:
    """Name a list by what it says."""
    return hashlib.sha256(scenes_jsonl(scenes).encode()).hexdigest()


def read_scenes(location: Location | Store) -> list[Scene]:
    """Read a list that `scenes_jsonl` gave.

    Raises
    ------
    DataError
        If it cannot be read, or a line is no scene.
    """
    place = Store.of(location, DataError)
    checked = TypeAdapter(Scene)
    scenes = []
    for number, line in enumerate(place.read().decode().splitlines(), start=1):
        try:
            scenes.append(checked.validate_json(line))
        except ValidationError as error:
            found = error.errors()[0]["msg"]
            raise DataError(f"{place}, line {number}", expected="a scene", found=found) from error
    return scenes
