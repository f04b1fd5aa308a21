"""Scenes: recordings whose sources are known, drawn from labelled clips.

Owns the drawing. `benchmarks.mini` makes items of them; what a separation of a scene is worth is `scene_scores`'.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from uss_ray.datasets.clips import LoadedClips
from uss_ray.errors import DataError
from uss_ray.evaluation.items import MODEL_RATE
from uss_ray.evaluation.pairs import Event, read_events
from uss_ray.evaluation.protocol import read_split
from uss_ray.ontology.vocabulary import Vocabulary

Waveform = NDArray[np.float32]

_SOURCES = (3, 6)
_LENGTHS_SECONDS = (20, 40)
_LEVELS_DB = (-12.0, 12.0)
_TIMES_MOST = 3
_LEVEL_OF_ZERO_DBFS = -30.0
_LOUDEST_PEAK = 0.9
EDGE_SECONDS: Final = 0.05
"""What of a clip is taken before and after what sounds, and how long it fades."""
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
    candidates: dict[str, PieceCandidate] = {}
    for folder in data:
        found = _candidates(folder, vocabulary=vocabulary)
        twice = sorted(candidates.keys() & found.keys())
        if twice:
            raise DataError(twice[0], expected="a clip of one data set", found="the same id in two")
        candidates |= found
    return draw_scenes(candidates.values(), related=vocabulary.ontology.related, count=count, seed=seed)


def _candidates(data: Path, *, vocabulary: Vocabulary) -> dict[str, PieceCandidate]:
    """Decode the clips of a data set in which a single class sounds."""
    sounds: dict[str, list[Event]] = {}
    for event in read_events(data / "metadata" / "strong_labels.tsv", split="eval"):
        sounds.setdefault(event.clip_id, []).append(event)
    pure = [
        record
        for record in read_split(data, split="eval", vocabulary=vocabulary)
        if len({event.class_id for event in sounds.get(record.clip_id, ())}) == 1
    ]
    clips = LoadedClips.load(
        pure, data / "audio" / "eval", classes=len(vocabulary.classes), sample_rate=MODEL_RATE
    )
    return {
        record.clip_id: _candidate(sounds[record.clip_id], clips.waveform(row), sample_rate=MODEL_RATE)
        for row, record in enumerate(pure)
    }


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
    start = max(0.0, candidate.sounds[0][0] - EDGE_SECONDS)
    seconds = max(off for _, off in candidate.sounds) + EDGE_SECONDS - start
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
