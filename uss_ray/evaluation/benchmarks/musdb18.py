"""MUSDB18 and MUSDB18-HQ: songs of four stems, scored whole."""

from __future__ import annotations

from typing import ClassVar, Final

from uss_ray.datasets.decode import MODEL_RATE
from uss_ray.errors import DataError
from uss_ray.evaluation.benchmarks.benchmark import Benchmark, Card, Draw, Files, Sound
from uss_ray.evaluation.items import Item, ItemSource
from uss_ray.store.store import Store

STEMS: Final = ("vocals", "drums", "bass", "other")
_TRACKS: Final = {"mixture": 0, "drums": 1, "bass": 2, "other": 3, "vocals": 4}
_SUFFIX = ".stem.mp4"


class Musdb18Hq(Benchmark):
    """A folder a song; the mixture is a file of its own."""

    card: ClassVar[Card] = Card(
        name="musdb18-hq",
        title="MUSDB18-HQ",
        revision="1",
        main_score="bss_sdr",
        unit="dB",
        licence="for education only; each song has its own",
        citation="Rafii et al. 2019, MUSDB18-HQ: an uncompressed version of MUSDB18",
        layout="{train,test}/<artist - title>/{mixture,vocals,drums,bass,other}.wav",
        sample_rate=44_100,
        measures=("bss_sdr", "bss_sdri", "bss_sdr_swapped", "bss_sdri_swapped"),
        published=8.12,
        published_score="bss_sdr_swapped",
        assumed="The released script gives museval estimate and reference in each other's place, and so does the "
        "published protocol (measure bss_sdr_swapped); in it everything is mono at 32 kHz.",
    )

    def sounds(self, data: Store, files: Files, split: str) -> list[Sound]:
        """See `Benchmark`."""
        songs = sorted({path.split("/")[1] for path in files.below(split) if path.count("/") == 2})
        if not songs:
            raise DataError(str(data / split), expected="folders of songs", found="none")
        return [
            Sound(f"{split}/{song}/{stem}.wav", (stem,)) for song in songs for stem in ("mixture", *STEMS)
        ]

    def draw(self, draw: Draw) -> list[Item]:
        """See `Benchmark`: an item a song and stem."""
        sounds = self.sounds(draw.data, draw.files, draw.split)
        songs: dict[str, dict[str, str]] = {}
        for sound in sounds:
            song = sound.path if sound.path.endswith(_SUFFIX) else sound.path.rpartition("/")[0]
            songs.setdefault(song, {})[sound.labels[0]] = sound.path
        return [
            Item(
                item_id=f"{stem}/{song.split('/', 1)[1].removesuffix(_SUFFIX)}",
                label=stem,
                seconds=0.0,
                sample_rate=MODEL_RATE if draw.protocol == "published" else 0,
                protocol=draw.protocol,
                seed=draw.seed,
                sources=(
                    ItemSource(
                        role="mixture", path=paths["mixture"], label="mixture", track=self.track("mixture")
                    ),
                    ItemSource(role="target", path=paths[stem], label=stem, track=self.track(stem)),
                ),
            )
            for song, paths in songs.items()
            for stem in STEMS
        ]

    def track(self, stem: str) -> int:  # noqa: ARG002
        """Tell which sound track of its file a stem is."""
        return 0


class Musdb18(Musdb18Hq):
    """A stem file a song: five tracks of AAC, in which nothing is above 16 kHz and the mixture is not quite the sum."""

    card: ClassVar[Card] = Card(
        name="musdb18",
        title="MUSDB18",
        revision="1",
        main_score="bss_sdr",
        unit="dB",
        licence="for education only; each song has its own",
        citation="Rafii et al. 2017, The MUSDB18 corpus for music separation",
        layout="{train,test}/<artist - title>.stem.mp4: mixture, drums, bass, other, vocals",
        sample_rate=44_100,
        measures=("bss_sdr", "bss_sdri", "bss_sdr_swapped", "bss_sdri_swapped"),
        published=8.12,
        published_score="bss_sdr_swapped",
        assumed="As of musdb18-hq; which of the two the paper's figure is for is not said.",
    )

    def sounds(self, data: Store, files: Files, split: str) -> list[Sound]:
        """See `Benchmark`."""
        songs = [path for path in files.below(split) if path.endswith(_SUFFIX)]
        if not songs:
            raise DataError(str(data / split), expected=f"songs in *{_SUFFIX}", found="none")
        return [Sound(song, (stem,)) for song in songs for stem in ("mixture", *STEMS)]

    def track(self, stem: str) -> int:
        """See above."""
        return _TRACKS[stem]
