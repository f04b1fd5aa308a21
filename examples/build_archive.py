"""Build the recordings of `examples/archive`, and say what is in them: `truth.csv` and `LICENSES.md`.

Run `python examples/build_archive.py DATASET...` with the folders of audioset_mini and audioset_mini2. All sounds
are of their evaluation splits, from files that nobody trained on, and were chosen so that the starter weights find
them; what these weights do elsewhere is in `docs/log.md`. The samples are the same at every run.
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr

FADE_SECONDS = 0.02
PREAMBLE = """\
# Licences of the example recordings

Each recording was mixed by `examples/build_archive.py` from clips of the evaluation splits of audioset_mini and
audioset_mini2, which were cut from freely licensed files of Debian packages: they were cut, resampled, mixed and
encoded. `truth.csv`, which is CC0, says what sounds where; of what lies 15 dB and more below another sound of its
clip it says nothing.
"""
LICENCE_TEXTS = """\
- CC0: https://creativecommons.org/publicdomain/zero/1.0/
- CC-BY-3.0: https://creativecommons.org/licenses/by/3.0/
- CC-BY-SA-3.0: https://creativecommons.org/licenses/by-sa/3.0/
- CC-BY-SA-4.0: https://creativecommons.org/licenses/by-sa/4.0/
"""
TRUTH_COLUMNS = (
    "recording", "class", "class_id", "onset_seconds", "offset_seconds", "level_dbfs", "clip", "sources", "licence",
    "author",
)  # fmt: skip


@dataclass(frozen=True)
class Sound:
    """A stretch of a clip in which one class sounds."""

    class_name: str
    clip: str
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True)
class Placed:
    """A sound put into a recording: when, how loud while it sounds, and where between left (-1) and right (1)."""

    sound: Sound
    onset_seconds: float
    level_dbfs: float = -24.0
    pan: float = 0.0


@dataclass(frozen=True)
class Scene:
    """One example recording."""

    file: str
    subtype: str
    sample_rate: int
    channels: int
    seconds: float
    placed: tuple[Placed, ...]


BROOK = Sound("Stream", "dmeiuuoznhz", 2.62, 7.58)
FAR_BROOK = Sound("Stream", "dme675xjcpq", 0.35, 6.35)
RIVER = Sound("Stream", "dneoogkytmt", 5.47, 9.25)
SPLASHES = Sound("Splash, splatter", "dmeka7dljo4", 2.33, 4.53)
ANVIL = Sound("Clang", "dmemj4a6hx6", 2.60, 5.93)
BUCKET = Sound("Clang", "dmevvhrpjyr", 5.75, 7.13)
GATE = Sound("Clang", "dmehuuggiii", 0.30, 2.71)
WOMAN = Sound("Female speech, woman speaking", "dmeuizkq4fe", 5.69, 7.23)
URGENT_WOMAN = Sound("Female speech, woman speaking", "dme7nco7vlq", 7.18, 9.37)
MAN = Sound("Male speech, man speaking", "dmejdfbasg7", 1.83, 6.58)
NEIGH = Sound("Horse", "dmec4nv3yiv", 0.69, 2.50)
TWO_HORSES = Sound("Horse", "dme5nrctwsi", 5.94, 9.91)
TABLA = Sound("Tabla", "dmedctwpxhu", 2.00, 3.73)
BAND = Sound("Music", "dmezx2fzxbv", 0.86, 6.25)

SCENES = (
    Scene("harbour.ogg", "VORBIS", 48_000, 2, 14.0, (
        Placed(BROOK, 0.0, -33.0, -0.4),
        Placed(SPLASHES, 0.4, -24.0, -0.4),
        Placed(BUCKET, 6.0, -28.0, 0.7),
        Placed(FAR_BROOK, 8.0, -28.0, -0.6),
        Placed(URGENT_WOMAN, 10.8, -20.0, 0.1),
    )),
    Scene("station.flac", "PCM_16", 44_100, 1, 14.0, (
        Placed(BAND, 0.0, -30.0),
        Placed(WOMAN, 2.0, -18.0),
        Placed(MAN, 6.4, -20.0),
        Placed(BUCKET, 12.0, -28.0),
    )),
    Scene("tabla lesson.wav", "PCM_16", 22_050, 1, 8.0, (
        Placed(TABLA, 0.0, -20.0),
        Placed(WOMAN, 1.2, -20.0),
        Placed(TABLA, 4.0, -22.0),
        Placed(TABLA, 6.0, -26.0),
    )),
    Scene("farm by the brook.ogg", "VORBIS", 44_100, 2, 14.0, (
        Placed(FAR_BROOK, 0.0, -26.0, 0.5),
        Placed(MAN, 2.8, -23.0, -0.5),
        Placed(NEIGH, 8.0, -22.0, 0.3),
        Placed(RIVER, 10.0, -26.0, 0.5),
        Placed(NEIGH, 12.0, -20.0, -0.2),
    )),
    Scene("Schmiede für Anfänger.ogg", "VORBIS", 32_000, 1, 10.0, (
        Placed(ANVIL, 0.0, -34.0),
        Placed(WOMAN, 2.8, -22.0),
        Placed(GATE, 6.4, -28.0),
    )),
    Scene("a walk through the village.ogg", "VORBIS", 32_000, 1, 60.0, (
        Placed(TWO_HORSES, 0.0, -22.0),
        Placed(RIVER, 6.0, -32.0),
        Placed(WOMAN, 8.0, -20.0),
        Placed(GATE, 12.8, -28.0),
        Placed(BAND, 20.0, -30.0),
        Placed(BUCKET, 22.0, -26.0),
        Placed(TABLA, 28.0, -22.0),
        Placed(RIVER, 32.0, -26.0),
        Placed(NEIGH, 34.8, -20.0),
        Placed(ANVIL, 40.0, -28.0),
        Placed(BAND, 46.0, -30.0),
        Placed(WOMAN, 48.0, -18.0),
        Placed(TWO_HORSES, 54.0, -26.0),
    )),
)  # fmt: skip


class Clips:
    """The clips of data sets: their sound, what sounds in them, and whose it is.

    Parameters
    ----------
    data : sequence of Path
        Folders of audioset_mini and audioset_mini2.

    Raises
    ------
    ValueError
        If a source of an evaluation clip was trained on.
    """

    def __init__(self, data: Sequence[Path]) -> None:
        self._data = data
        rows = [row for folder in data for row in read_rows(folder / "metadata" / "sources.tsv")]
        self.sources = {row["source"]: row for row in rows if row["split"] == "eval"}
        self._trained_on = {row["source"] for row in rows if row["split"] != "eval"}
        self._events = [
            row
            for folder in data
            for row in read_rows(folder / "metadata" / "strong_labels.tsv")
            if row["split"] == "eval"
        ]

    def read(self, sound: Sound, *, sample_rate: int) -> np.ndarray:
        """Cut a sound out of its clip, at a rate, with ends that cannot click; frames of one channel."""
        path = next(
            path
            for folder in self._data
            if (path := folder / "audio" / "eval" / f"{sound.clip}.ogg").is_file()
        )
        clip, rate = sf.read(path, dtype="float64")
        cut = clip[round(sound.start_seconds * rate) : round(sound.end_seconds * rate)]
        cut = soxr.resample(cut, rate, sample_rate, quality="VHQ")
        frames = round(FADE_SECONDS * sample_rate)
        ramp = np.sin(np.linspace(0, np.pi / 2, frames)) ** 2
        cut[:frames] *= ramp
        cut[-frames:] *= ramp[::-1]
        return cut

    def heard(self, sound: Sound) -> list[dict[str, str]]:
        """Give the labelled events of its stretch, those far below it included."""
        found = [
            row
            for row in self._events
            if row["segment_id"] == sound.clip
            and float(row["onset"]) < sound.end_seconds
            and float(row["offset"]) > sound.start_seconds
        ]
        if not any(row["display_name"] == sound.class_name for row in found):
            raise ValueError(f"{sound.clip}: expected {sound.class_name} in that stretch, found none")
        return found

    def sources_of(self, sound: Sound) -> list[str]:
        """Name the files a stretch was cut from."""
        names = sorted({name.strip() for row in self.heard(sound) for name in row["sources"].split(";")})
        for name in names:
            if name in self._trained_on or name not in self.sources:
                raise ValueError(f"{name}: expected a source of the evaluation split, found it elsewhere")
        return names


def main() -> None:
    """Read the clips; write the recordings, what is in them, and their licences."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="+", help="folders of audioset_mini and audioset_mini2")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "archive")
    arguments = parser.parse_args()
    clips = Clips(arguments.data)
    arguments.output.mkdir(parents=True, exist_ok=True)
    for scene in SCENES:
        write(render(scene, clips), arguments.output / scene.file, scene)
        print(f"{scene.file}: {scene.seconds:g} s, {scene.sample_rate} Hz, {scene.channels} channel(s)")
    (arguments.output / "truth.csv").write_text(truth_csv(SCENES, clips), encoding="utf-8")
    (arguments.output / "LICENSES.md").write_text(licence_list(SCENES, clips), encoding="utf-8")


def render(scene: Scene, clips: Clips) -> np.ndarray:
    """Mix the sounds of a scene.

    Returns
    -------
    ndarray of shape (frames, channels)
        Samples in [-1, 1].

    Raises
    ------
    ValueError
        If it is too short for a sound, or would clip.
    """
    mixture = np.zeros((round(scene.seconds * scene.sample_rate), scene.channels))
    for placed in scene.placed:
        sound = clips.read(placed.sound, sample_rate=scene.sample_rate)
        sound *= 10 ** (placed.level_dbfs / 20) / np.sqrt(np.mean(np.square(sound)))
        start = round(placed.onset_seconds * scene.sample_rate)
        if start + len(sound) > len(mixture):
            raise ValueError(f"{scene.file}: expected room for {placed.sound.clip}, found its end")
        mixture[start : start + len(sound)] += sound[:, None] * pan_gains(placed.pan, channels=scene.channels)
    if np.abs(mixture).max() >= 1:
        raise ValueError(f"{scene.file}: expected samples below full scale, found louder ones")
    return mixture


def pan_gains(pan: float, *, channels: int) -> np.ndarray:
    """Give the gain of each channel: constant power between left (-1) and right (1), 1 in both in the middle."""
    if channels == 1:
        return np.ones(1)
    angle = (pan + 1) * np.pi / 4
    return np.sqrt(2) * np.array([np.cos(angle), np.sin(angle)])


def write(samples: np.ndarray, path: Path, scene: Scene) -> None:
    """Encode a recording second by second; libsndfile's Vorbis encoder dislikes very long writes."""
    with sf.SoundFile(path, "w", scene.sample_rate, scene.channels, scene.subtype) as file:
        for start in range(0, len(samples), scene.sample_rate):
            file.write(samples[start : start + scene.sample_rate])


def truth_csv(scenes: Iterable[Scene], clips: Clips) -> str:
    """Say what sounds when: a line for each sound of a scene, `level_dbfs` its RMS level while it sounds."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(TRUTH_COLUMNS)
    for scene in scenes:
        for placed in sorted(scene.placed, key=lambda one: one.onset_seconds):
            sound = placed.sound
            names = clips.sources_of(sound)
            row = next(row for row in clips.heard(sound) if row["display_name"] == sound.class_name)
            offset = placed.onset_seconds + sound.end_seconds - sound.start_seconds
            holders = dict.fromkeys(clips.sources[name]["holder"] for name in names)
            table.writerow(
                (
                    scene.file,
                    sound.class_name,
                    row["mid"],
                    f"{placed.onset_seconds:.2f}",
                    f"{offset:.2f}",
                    f"{placed.level_dbfs:.1f}",
                    sound.clip,
                    " | ".join(names),
                    " | ".join(dict.fromkeys(clips.sources[name]["licence"] for name in names)),
                    " | ".join(holders),
                )
            )
    return text.getvalue()


def licence_list(scenes: Iterable[Scene], clips: Clips) -> str:
    """Name licence and sources of every scene, in Markdown."""
    return "\n".join([PREAMBLE, *(scene_section(scene, clips) for scene in scenes), LICENCE_TEXTS])


def scene_section(scene: Scene, clips: Clips) -> str:
    """Name licence and sources of one scene."""
    sounds: dict[str, set[str]] = {}
    for placed in scene.placed:
        for event in clips.heard(placed.sound):
            for name in event["sources"].split(";"):
                sounds.setdefault(name.strip(), set()).add(event["display_name"])
    lines = [
        f"## {scene.file}\n",
        f"Licence: **{combined_licence({clips.sources[name]['licence'] for name in sounds})}**\n",
        "| sound | source | package | licence | holder |",
        "|---|---|---|---|---|",
    ]
    for name in sorted(sounds):
        row = clips.sources[name]
        package = f"{row['package']} {row['version']}".strip()
        cells = (", ".join(sorted(sounds[name])), f"`{name}`", package, row["licence"], row["holder"])
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def combined_licence(licences: set[str]) -> str:
    """Give the licence of a work made of parts under `licences`."""
    found = {{"CC0-1.0": "CC0"}.get(licence, licence) for licence in licences}
    unknown = found - {"CC0", "CC-BY-3.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0"}
    if unknown:
        raise ValueError(f"licences: expected CC0, CC-BY or CC-BY-SA, found {', '.join(sorted(unknown))}")
    if found & {"CC-BY-SA-3.0", "CC-BY-SA-4.0"}:
        return "CC-BY-SA-4.0"
    return " AND ".join(sorted(found - {"CC0"})) or "CC0"


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read a tab-separated table."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


if __name__ == "__main__":
    main()
