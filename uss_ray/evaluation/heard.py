"""What of a run can be heard: the best, the median and the worst target of its first query, kept as sound.

Owns which they are and where they lie; how they are shown is the report's business.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import soundfile
from numpy.typing import NDArray

from uss_ray.anchors.audio import encode_flac
from uss_ray.audio.pcm import to_int16
from uss_ray.errors import DataError
from uss_ray.evaluation.result import Heard, by_system
from uss_ray.evaluation.rows import ScoreRow, is_beside
from uss_ray.evaluation.sounds import mix
from uss_ray.store.store import Store

if TYPE_CHECKING:
    from uss_ray.evaluation.run import Evaluator

HEARD_FOLDER: Final = "heard"
KINDS: Final = ("mixture", "target", "estimate")


@dataclass(frozen=True, eq=False)
class HeardSound:
    """A kept target as sound.

    Parameters
    ----------
    heard : Heard
    sounds : dict of str to ndarray of shape (samples,), dtype=float32
        By kind.
    sample_rate : int
        In Hz.
    """

    heard: Heard
    sounds: dict[str, NDArray[np.float32]]
    sample_rate: int


def asked_rows(rows: Sequence[ScoreRow]) -> list[ScoreRow]:
    """Give the rows of the first system and query that are no baseline; none where there is no such."""
    for (system, query), own in by_system(rows).items():
        if not is_beside(system, query):
            return own
    return []


def choose_heard(rows: Sequence[ScoreRow]) -> tuple[Heard, ...]:
    """Choose the best, the median and the worst target, each once."""
    ranked = sorted(
        (row for row in asked_rows(rows) if "sdri" in row.scores),
        key=lambda row: (-row.scores["sdri"], row.item_id, row.label),
    )
    places = {} if not ranked else {0: "best", len(ranked) // 2: "median", len(ranked) - 1: "worst"}
    return tuple(
        Heard(
            which=which,
            item_id=ranked[place].item_id,
            label=ranked[place].label,
            sdri=ranked[place].scores["sdri"],
        )
        for place, which in sorted(places.items())
    )


def sounds_to_keep(
    chosen: Sequence[Heard], rows: Sequence[ScoreRow], evaluator: Evaluator
) -> Iterator[tuple[str, bytes]]:
    """Separate what was chosen once more, and give name and FLAC of each sound.

    Parameters
    ----------
    chosen : sequence of Heard
    rows : sequence of ScoreRow
        Of the run.
    evaluator : Evaluator
    """
    first = asked_rows(rows)
    if not chosen:
        return
    [system] = [
        one for one in evaluator.systems if (one.name, one.query) == (first[0].system, first[0].query)
    ]
    items = {item.item_id: item for item in evaluator.scored.items}
    for heard in chosen:
        mixed = mix(items[heard.item_id], evaluator.sounds)
        [separated] = system.separate([mixed])
        sounds = (mixed.mixture, mixed.targets[heard.label], separated.estimates[heard.label])
        for kind, sound in zip(KINDS, sounds, strict=True):
            yield (
                f"{HEARD_FOLDER}/{heard.which}-{kind}.flac",
                encode_flac(to_int16(sound), sample_rate=mixed.sample_rate),
            )


def read_heard(run: Store, chosen: Sequence[Heard]) -> list[HeardSound]:
    """Read the sound that a run has kept; what is no longer there is left out.

    Parameters
    ----------
    run : Store
        Its folder.
    chosen : sequence of Heard
    """
    found = []
    for heard in chosen:
        places = {kind: run / HEARD_FOLDER / f"{heard.which}-{kind}.flac" for kind in KINDS}
        if not all(place.exists() for place in places.values()):
            continue
        sounds, rate = {}, 0
        for kind, place in places.items():
            try:
                sounds[kind], rate = soundfile.read(io.BytesIO(place.read()), dtype="float32")
            except soundfile.SoundFileError as error:
                raise DataError(str(place), expected="a FLAC file of a run", found=str(error)) from error
        found.append(HeardSound(heard, sounds, rate))
    return found
