"""Build the example recordings of `examples/archive` from the evaluation clips of the audioset_mini data set.

Run `python examples/build_archive.py DATASET_FOLDER`. The samples are the same at every run; each recording
combines only clips whose licences may be combined, and `LICENSES.md` names every source with its holder.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr

FADE_SECONDS = 0.25
PEAK = 0.7
PREAMBLE = """\
# Licences of the example recordings

Each recording was mixed by `examples/build_archive.py` from ten-second clips of audioset_mini, which were cut
from freely licensed files of Debian packages: they were cut, resampled, mixed and encoded.
"""
LICENCE_TEXTS = """\
- CC0: https://creativecommons.org/publicdomain/zero/1.0/
- CC-BY-3.0: https://creativecommons.org/licenses/by/3.0/
- CC-BY-SA-3.0: https://creativecommons.org/licenses/by-sa/3.0/
- CC-BY-SA-4.0: https://creativecommons.org/licenses/by-sa/4.0/
- MIT: https://opensource.org/license/mit
"""


@dataclass(frozen=True)
class Placed:
    """A clip put into a recording: where it starts, how loud, and where between left (-1) and right (1)."""

    clip: str
    start_seconds: float = 0.0
    gain_db: float = 0.0
    pan: float = 0.0


@dataclass(frozen=True)
class Scene:
    """One example recording."""

    file: str
    subtype: str
    sample_rate: int
    channels: int
    seconds: float
    clips: tuple[Placed, ...]
    silences: tuple[tuple[float, float], ...] = ()


SCENES = (
    Scene("harbour.ogg", "VORBIS", 48_000, 2, 14.0, (
        Placed("dme6oyhhjsu", 0.0, 0.0, -0.6),
        Placed("dmeh2w2hpt2", 4.0, -2.0, 0.7),
        Placed("dmeih4yngwt", 4.0, -3.0, 0.1),
    )),
    Scene("station.flac", "PCM_16", 44_100, 1, 10.0, (
        Placed("dmenpwwfwpk"),
        Placed("dmexkl5jren", gain_db=-3.0),
    )),
    Scene("shop counter.wav", "PCM_16", 22_050, 1, 10.0, (
        Placed("dmedctwpxhu"),
        Placed("dmengiiijd2", gain_db=-2.0),
    )),
    Scene("farm by the brook.ogg", "VORBIS", 44_100, 2, 10.0, (
        Placed("dmec4nv3yiv", pan=0.5),
        Placed("dmejdfbasg7", gain_db=-1.0, pan=-0.5),
    )),
    Scene("Flugfeld für Anfänger.ogg", "VORBIS", 32_000, 1, 10.0, (
        Placed("dmerbdajwrf"),
        Placed("dme75d3uynw", 1.0, -3.0),
    )),
    Scene("a walk through the village.ogg", "VORBIS", 32_000, 1, 70.0, (
        Placed("dmehuuggiii", 0.0),
        Placed("dmeu4ugmn5k", 9.0),
        Placed("dmeaq6cq54w", 18.0),
        Placed("dmefyqpg6kz", 27.0),
        Placed("dmef4iamzmp", 43.0),
        Placed("dmescfvviu5", 52.0),
        Placed("dmezpdrn467", 61.0, -3.0),
    ), silences=((37.0, 43.0),)),
)  # fmt: skip


def main() -> None:
    """Read the clips, write the recordings and their licence list."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", type=Path, help="folder of audioset_mini")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "archive")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    for scene in SCENES:
        samples = render(scene, dataset=arguments.dataset)
        write(samples, arguments.output / scene.file, scene)
        print(f"{scene.file}: {scene.seconds:g} s, {scene.sample_rate} Hz, {scene.channels} channel(s)")
    (arguments.output / "LICENSES.md").write_text(
        licence_list(SCENES, dataset=arguments.dataset), encoding="utf-8"
    )


def render(scene: Scene, *, dataset: Path) -> np.ndarray:
    """Mix the clips of a scene.

    Parameters
    ----------
    scene : Scene
        What to mix.
    dataset : Path
        Folder of audioset_mini.

    Returns
    -------
    ndarray of shape (frames, channels)
        Samples in [-1, 1].
    """
    frames = round(scene.seconds * scene.sample_rate)
    mixture = np.zeros((frames, scene.channels))
    for placed in scene.clips:
        clip, rate = sf.read(dataset / "audio" / "eval" / f"{placed.clip}.ogg", dtype="float64")
        clip = fade_ends(soxr.resample(clip, rate, scene.sample_rate, quality="VHQ"), scene.sample_rate)
        start = round(placed.start_seconds * scene.sample_rate)
        clip = clip[: frames - start] * 10 ** (placed.gain_db / 20)
        mixture[start : start + len(clip)] += clip[:, None] * pan_gains(placed.pan, channels=scene.channels)
    mixture *= PEAK / np.abs(mixture).max()
    for first, last in scene.silences:
        mixture[round(first * scene.sample_rate) : round(last * scene.sample_rate)] = 0.0
    return mixture


def fade_ends(clip: np.ndarray, sample_rate: int) -> np.ndarray:
    """Fade a clip in and out, so that joins cannot click."""
    frames = round(FADE_SECONDS * sample_rate)
    ramp = np.sin(np.linspace(0, np.pi / 2, frames)) ** 2
    faded = clip.copy()
    faded[:frames] *= ramp
    faded[-frames:] *= ramp[::-1]
    return faded


def pan_gains(pan: float, *, channels: int) -> np.ndarray:
    """Give the gain of each channel: constant power between left (-1) and right (1)."""
    if channels == 1:
        return np.ones(1)
    angle = (pan + 1) * np.pi / 4
    return np.array([np.cos(angle), np.sin(angle)])


def write(samples: np.ndarray, path: Path, scene: Scene) -> None:
    """Encode a recording second by second; libsndfile's Vorbis encoder dislikes very long writes."""
    with sf.SoundFile(path, "w", scene.sample_rate, scene.channels, scene.subtype) as file:
        for start in range(0, len(samples), scene.sample_rate):
            file.write(samples[start : start + scene.sample_rate])


def licence_list(scenes: Iterable[Scene], *, dataset: Path) -> str:
    """Name licence and sources of every scene.

    Parameters
    ----------
    scenes : iterable of Scene
        The recordings.
    dataset : Path
        Folder of audioset_mini, with `metadata/sources.tsv` and `metadata/strong_labels.tsv`.

    Returns
    -------
    str
        Markdown.

    Raises
    ------
    ValueError
        If a scene combines licences that cannot be combined.
    """
    sources = {row["source"]: row for row in read_rows(dataset / "metadata" / "sources.tsv")}
    sources["generated"] = {"package": "", "version": "", "licence": "CC0", "holder": ""}
    events = read_rows(dataset / "metadata" / "strong_labels.tsv")
    sections = [scene_section(scene, sources=sources, events=events) for scene in scenes]
    return "\n".join([PREAMBLE, *sections, LICENCE_TEXTS])


def scene_section(scene: Scene, *, sources: dict[str, dict[str, str]], events: list[dict[str, str]]) -> str:
    """Name licence and sources of one scene: the table of `licence_list`."""
    clips = {placed.clip for placed in scene.clips}
    sounds: dict[str, set[str]] = {}
    for event in events:
        if event["segment_id"] in clips:
            for name in event["sources"].split(";"):
                sounds.setdefault(name.strip(), set()).add(event["display_name"])
    lines = [
        f"## {scene.file}\n",
        f"Licence: **{combined_licence({sources[name]['licence'] for name in sounds})}**\n",
        "| sound | source | package | licence | holder |",
        "|---|---|---|---|---|",
    ]
    for name in sorted(sounds):
        row = sources[name]
        package = f"{row['package']} {row['version']}".strip()
        cells = (", ".join(sorted(sounds[name])), f"`{name}`", package, row["licence"], row["holder"])
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def combined_licence(licences: set[str]) -> str:
    """Give the licence of a work made of parts under `licences`."""
    found = {{"CC0-1.0": "CC0"}.get(licence, licence) for licence in licences}
    unknown = found - {"CC0", "MIT", "CC-BY-3.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0"}
    if unknown:
        raise ValueError(
            f"licences: expected CC0, MIT, CC-BY or CC-BY-SA, found {', '.join(sorted(unknown))}"
        )
    if found & {"CC-BY-SA-3.0", "CC-BY-SA-4.0"}:
        return "CC-BY-SA-4.0"
    return " AND ".join(sorted(found - {"CC0"})) or "CC0"


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read a tab-separated table."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


if __name__ == "__main__":
    main()
