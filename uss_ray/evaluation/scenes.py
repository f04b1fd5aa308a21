"""Scenes: recordings whose sources are known, drawn from labelled clips.

Owns the drawing. `benchmarks.mini` makes items of them; what a separation of a scene is worth is `scene_scores`'.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from uss_ray.datasets.clips import LoadedClips
from uss_ray.datasets.decode import MODEL_RATE
from uss_ray.errors import DataError
from uss_ray.evaluation.pairs import Event
from uss_ray.evaluation.protocol import read_split, read_true_events
from uss_ray.ontology.vocabulary import Vocabulary

Waveform = NDArray[np.float32]

_LENGTHS_SECONDS = (20, 40)
_LEVELS_DB = (-12.0, 12.0)
_TIMES_MOST = 3
_LEVEL_OF_ZERO_DBFS = -30.0
_LOUDEST_PEAK = 0.9
EDGE_SECONDS: Final = 0.05
"""What of a clip is taken before and after what sounds, and how long it fades."""
_TRIES = 200
_TEXTURES_DB = (-24.0, -12.0)
_LEAST_TEXTURE_SECONDS = 2.0
_APART_SECONDS = 0.1
"""What of a texture lies so near to an event may hold some of it."""
TEXTURE_FADE_SECONDS: Final = 0.25
"""How long pieces of a texture overlap."""


@dataclass(frozen=True, kw_only=True)
class SceneMakeup:
    """What scenes are drawn to hold.

    Parameters
    ----------
    targets : tuple of (int, int), default=(3, 6)
        The fewest and the most.
    repeated : float, default=0
        Share of further targets that are another sound of a class that is there already, in [0, 1].
    textures : float, default=0
        Share of scenes with a sound below all of it that is no target, in [0, 1]; without targets there is always one.
    """

    targets: tuple[int, int] = (3, 6)
    repeated: float = 0.0
    textures: float = 0.0


_MAKEUP = SceneMakeup()
_Sounding = tuple[str, tuple[tuple[float, float], ...]]
"""A class, and start and end of each time in which it sounds."""


@dataclass(frozen=True)
class ScenePiece:
    """A piece of a clip at its place in a scene.

    Parameters
    ----------
    clip_id, class_id : str
    source : int
        Which of the scene's sources it is of.
    start_seconds, seconds : float
        Place in the clip.
    position_seconds : float
        Where it begins in the scene.
    gain_db : float
    sounds : tuple of (float, float)
        Start and end of each labelled event, in seconds of the scene; of a texture nothing.
    """

    clip_id: str
    class_id: str
    source: int
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
    texture : tuple of ScenePiece, default=()
        What sounds below them, of one class, all the time.
    """

    scene_id: str
    seconds: int
    pieces: tuple[ScenePiece, ...]
    texture: tuple[ScenePiece, ...] = ()

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


def build_scenes(
    data: Sequence[Path],
    *,
    vocabulary: Vocabulary,
    count: int,
    seed: int = 0,
    makeup: SceneMakeup = _MAKEUP,
) -> list[Scene]:
    """Draw scenes from the eval splits of data sets whose events are known.

    Only clips in which a single class sounds are taken, so that a source holds nothing else; and of a texture only what
    is heard alone.

    Parameters
    ----------
    data : sequence of Path
        In audioset_mini's layout, with `metadata/strong_labels.tsv`.
    vocabulary : Vocabulary
    count : int
        Number of scenes.
    seed : int, default=0
    makeup : SceneMakeup, optional

    Raises
    ------
    DataError
        If a table or a clip cannot be read, or there are too few clips.
    """

    def gathered(choose: Callable[[Sequence[Event]], _Sounding | None]) -> list[PieceCandidate]:
        candidates: dict[str, PieceCandidate] = {}
        for folder in data:
            found = _candidates(folder, choose, vocabulary=vocabulary)
            twice = sorted(candidates.keys() & found.keys())
            if twice:
                raise DataError(twice[0], expected="a clip of one data set", found="the same id in two")
            candidates |= found
        return list(candidates.values())

    return draw_scenes(
        gathered(_only_class),
        textures=gathered(_texture_alone) if makeup.textures or not makeup.targets[0] else (),
        related=vocabulary.ontology.related,
        count=count,
        seed=seed,
        makeup=makeup,
    )


def _candidates(
    data: Path, choose: Callable[[Sequence[Event]], _Sounding | None], *, vocabulary: Vocabulary
) -> dict[str, PieceCandidate]:
    """Decode the clips of a data set of whose events something is chosen."""
    events: dict[str, list[Event]] = {}
    for event in read_true_events(data, split="eval", vocabulary=vocabulary):
        events.setdefault(event.clip_id, []).append(event)
    chosen = {clip_id: found for clip_id, own in events.items() if (found := choose(own)) is not None}
    records = [
        record for record in read_split(data, split="eval", vocabulary=vocabulary) if record.clip_id in chosen
    ]
    clips = LoadedClips.load(
        records, data / "audio" / "eval", classes=len(vocabulary.classes), sample_rate=MODEL_RATE
    )
    return {
        record.clip_id: _candidate(record.clip_id, *chosen[record.clip_id], clips.waveform(row))
        for row, record in enumerate(records)
    }


def _only_class(events: Sequence[Event]) -> _Sounding | None:
    """Give the class of a clip in which one alone sounds, and when."""
    if len({event.class_id for event in events}) > 1:
        return None
    return events[0].class_id, tuple(sorted((event.onset_seconds, event.offset_seconds) for event in events))


def _texture_alone(events: Sequence[Event]) -> _Sounding | None:
    """Give the class of a clip's background, and the longest time for which nothing else sounds."""
    below = [event for event in events if event.role == "background"]
    if len(below) != 1:
        return None
    start, longest = below[0].onset_seconds, (0.0, 0.0)
    others = sorted((event.onset_seconds, event.offset_seconds) for event in events if event is not below[0])
    for onset, offset in (*others, (below[0].offset_seconds + _APART_SECONDS, 0.0)):
        if onset - _APART_SECONDS - start > longest[1] - longest[0]:
            longest = (start, onset - _APART_SECONDS)
        start = max(start, offset + _APART_SECONDS)
    if longest[1] - longest[0] < _LEAST_TEXTURE_SECONDS:
        return None
    return below[0].class_id, ((round(longest[0], 3), round(longest[1], 3)),)


def _candidate(
    clip_id: str, class_id: str, sounds: tuple[tuple[float, float], ...], clip: Waveform
) -> PieceCandidate:
    heard = np.concatenate([clip[round(on * MODEL_RATE) : round(off * MODEL_RATE)] for on, off in sounds])
    level = 10 * np.log10(np.square(heard, dtype=np.float64).mean() + 1e-12)
    peak = float(np.abs(heard).max())
    # Rounded, so that decoders that differ in their last bits draw the same list.
    return PieceCandidate(clip_id, class_id, sounds, round(float(level), 1), round(peak, 2))


def draw_scenes(
    candidates: Iterable[PieceCandidate],
    *,
    related: Callable[[str, str], bool],
    count: int,
    seed: int = 0,
    makeup: SceneMakeup = _MAKEUP,
    textures: Iterable[PieceCandidate] = (),
) -> list[Scene]:
    """Draw scenes in 20 to 40 s, each source up to three times, at levels of ±12 dB, a texture 12 to 24 dB below.

    Parameters
    ----------
    candidates : iterable of PieceCandidate
        In any order.
    related : callable
        True if two classes must not be in one scene.
    count : int
    seed : int, default=0
    makeup : SceneMakeup, optional
    textures : iterable of PieceCandidate, default=()

    Returns
    -------
    list of Scene
        Each drawn for itself: a longer list begins with a shorter one.

    Raises
    ------
    DataError
        If the classes are too few for unrelated sources, or there is no texture and one is needed.
    """
    pool = _Pool(_by_class(candidates), _by_class(textures), related)
    return [
        _draw_scene(f"scene{number:03d}", pool, makeup, np.random.default_rng([seed, number]))
        for number in range(count)
    ]


@dataclass(frozen=True)
class _Pool:
    """What scenes are drawn of: sounds and textures by class, and which classes are related."""

    sounds: Mapping[str, Sequence[PieceCandidate]]
    textures: Mapping[str, Sequence[PieceCandidate]]
    related: Callable[[str, str], bool]


def _by_class(candidates: Iterable[PieceCandidate]) -> dict[str, list[PieceCandidate]]:
    by_class: dict[str, list[PieceCandidate]] = {}
    for candidate in sorted(candidates, key=lambda candidate: candidate.clip_id):
        by_class.setdefault(candidate.class_id, []).append(candidate)
    return by_class


def _draw_scene(scene_id: str, pool: _Pool, makeup: SceneMakeup, rng: np.random.Generator) -> Scene:
    seconds = int(rng.integers(_LENGTHS_SECONDS[0], _LENGTHS_SECONDS[1] + 1))
    chosen = _choose_classes(pool, makeup, rng)
    placed = [
        _place(one, source, level_db, seconds, rng)
        for source, name in enumerate(chosen)
        for level_db in [float(rng.uniform(*_LEVELS_DB))]
        for one in _taken(pool, chosen, source, rng)
    ]
    below: list[tuple[ScenePiece, float]] = []
    if not chosen or (makeup.textures and rng.random() < makeup.textures):
        below = _place_texture(pool, chosen, seconds, rng)
    # Where loud peaks could meet, the whole scene is turned down.
    loudest = max(peak for _, peak in (*placed, *below))
    at_once = len(chosen) + bool(below)
    turned_db = max(0.0, 20 * math.log10(at_once * loudest / _LOUDEST_PEAK))
    pieces, texture = (
        [replace(piece, gain_db=round(piece.gain_db - turned_db, 1)) for piece, _ in some]
        for some in (placed, below)
    )
    pieces.sort(key=lambda piece: (piece.source, piece.position_seconds))
    return Scene(scene_id=scene_id, seconds=seconds, pieces=tuple(pieces), texture=tuple(texture))


def _choose_classes(pool: _Pool, makeup: SceneMakeup, rng: np.random.Generator) -> list[str]:
    """Draw a class a source; one comes again only as often as there are clips of it."""
    sources = int(rng.integers(makeup.targets[0], makeup.targets[1] + 1))
    names = sorted(pool.sounds)
    chosen: list[str] = []
    for _ in range(_TRIES + 1):
        if len(chosen) == sources:
            return chosen
        if makeup.repeated and chosen and rng.random() < makeup.repeated:
            name = chosen[rng.integers(len(chosen))]
            if chosen.count(name) < len(pool.sounds[name]):
                chosen.append(name)
        elif names:
            name = names[rng.integers(len(names))]
            if not any(pool.related(name, other) for other in chosen):
                chosen.append(name)
    raise DataError("scenes", expected=f"{sources} classes that are not related", found=str(len(chosen)))


def _taken(pool: _Pool, chosen: Sequence[str], source: int, rng: np.random.Generator) -> list[PieceCandidate]:
    """Draw the clips of a source; sources of one class share none."""
    name = chosen[source]
    own = pool.sounds[name][chosen[:source].count(name) :: chosen.count(name)]
    return list(rng.choice(np.array(own, dtype=object), size=rng.integers(1, _TIMES_MOST + 1)))


def _place_texture(
    pool: _Pool, chosen: Sequence[str], scene_seconds: int, rng: np.random.Generator
) -> list[tuple[ScenePiece, float]]:
    """Lay pieces of one texture end to end, and give the peak of each."""
    names = sorted(name for name in pool.textures if not any(pool.related(name, other) for other in chosen))
    if not names:
        if chosen:
            return []
        raise DataError("scenes", expected="a texture for one without targets", found="none")
    clips = pool.textures[names[rng.integers(len(names))]]
    level_db = float(rng.uniform(*_TEXTURES_DB))
    placed: list[tuple[ScenePiece, float]] = []
    position = 0.0
    # A piece is longer than two fades, so that each brings the next one further.
    while not placed or scene_seconds - position > 2 * TEXTURE_FADE_SECONDS:
        one = clips[int(rng.integers(len(clips)))]
        [(start, end)] = one.sounds
        seconds = round(min(end - start, scene_seconds - position), 3)
        gain_db = _LEVEL_OF_ZERO_DBFS + level_db - one.level_dbfs
        piece = ScenePiece(
            clip_id=one.clip_id,
            class_id=one.class_id,
            source=len(chosen),
            start_seconds=start,
            seconds=seconds,
            position_seconds=round(position, 3),
            gain_db=gain_db,
            sounds=(),
        )
        placed.append((piece, one.peak * 10 ** (gain_db / 20)))
        position += seconds - TEXTURE_FADE_SECONDS
    return placed


def _place(
    candidate: PieceCandidate, source: int, level_db: float, scene_seconds: int, rng: np.random.Generator
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
        source=source,
        start_seconds=round(start, 3),
        seconds=round(seconds, 3),
        position_seconds=position,
        gain_db=gain_db,
        sounds=tuple((round(on + moved, 3), round(off + moved, 3)) for on, off in candidate.sounds),
    )
    return piece, candidate.peak * 10 ** (gain_db / 20)
