"""The public lists of AudioSep and CLAPSep: mixtures of two clips that are asked for in words."""

from __future__ import annotations

import math
import re
from typing import ClassVar, Final

import numpy as np

from uss_ray.datasets.decode import MODEL_RATE
from uss_ray.evaluation.benchmarks.benchmark import Benchmark, Card, Draw, Files, Sound, read_rows
from uss_ray.evaluation.items import Item, ItemSource
from uss_ray.evaluation.sounds import SoundShelf
from uss_ray.store.store import Store

_VGGSOUND: Final = "vggsound"
_AUDIOSET: Final = "audioset"
_ROOT: Final = "evaluation/"
"""Of AudioSep's repository: what its list of AudioSet names its files from, and what our data are."""
_MIXTURE: Final = "mixture"
_SOUND_OF = re.compile(r"the sounds? of\s+", re.IGNORECASE)
_CLIP_SECONDS: Final = 10.0


class AudioSep(Benchmark):
    """Targets and mixtures come rendered; a list names their numbers, those of VGGSound and AudioSet their paths."""

    card: ClassVar[Card] = Card(
        name="audiosep",
        title="AudioSep's lists",
        revision="1",
        main_score="sdri",
        unit="dB",
        licence="of each source",
        citation="Liu et al. 2023, Separate anything you describe",
        layout="metadata/{esc50,audiocaps,clotho,music}_eval.csv: idx, caption; vggsound_eval.csv: mix_wav, s0_wav, "
        "s0_text; audioset_eval.csv: caption, src_wav, noise_wav; data/<set>/{segment,mixture}-<idx>.wav, of vggsound "
        "and audioset the paths of their lists",
        sample_rate=MODEL_RATE,
        splits=("esc50", "audiocaps", "clotho", "music", _VGGSOUND, _AUDIOSET),
        protocols=("published",),
        assumed="The lists were read, the sound was not at hand: that it has 32 kHz is what the scripts bring it to. "
        "AudioSep reports the plain mean over items; of MUSIC the mean over instruments, of AudioSet the mean over "
        "classes of the median of ten pairs; its SI-SDR is no improvement. Gains cannot be read from the lists.",
    )

    def sounds(self, data: Store, files: Files, split: str) -> list[Sound]:  # noqa: ARG002
        """See `Benchmark`: of each row the target, and behind it the mixture."""
        place = data / f"metadata/{split}_eval.csv"
        if split == _VGGSOUND:
            rows = read_rows(place, columns=("mix_wav", "s0_wav", "s0_text"))
            named = [(row["s0_wav"], row["mix_wav"], row["s0_text"]) for row in rows]
        elif split == _AUDIOSET:
            rows, folder = (
                read_rows(place, columns=("caption", "src_wav", "noise_wav")),
                f"{_ROOT}data/{split}/",
            )
            named = [
                (row["src_wav"].removeprefix(folder), row["noise_wav"].removeprefix(folder), row["caption"])
                for row in rows
            ]
        else:
            rows = read_rows(place, columns=("idx", "caption"))
            named = [
                (f"segment-{row['idx']}.wav", f"mixture-{row['idx']}.wav", row["caption"]) for row in rows
            ]
        return [
            Sound(f"data/{split}/{path}", (label,))
            for target, mixture, caption in named
            for path, label in ((target, caption), (mixture, _MIXTURE))
        ]

    def draw(self, draw: Draw) -> list[Item]:
        """See `Benchmark`: an item a row."""
        sounds = self.sounds(draw.data, draw.files, draw.split)
        return [
            _item(
                draw,
                number,
                ItemSource(role="target", path=target.path, label=target.labels[0]),
                ItemSource(role="mixture", path=mixture.path, label=_MIXTURE),
            )
            for number, (target, mixture) in enumerate(zip(sounds[::2], sounds[1::2], strict=True))
        ]


class ClapSep(Benchmark):
    """Two clips of a set, cut or padded to ten seconds, and mixed at 0 dB."""

    card: ClassVar[Card] = Card(
        name="clapsep",
        title="CLAPSep's lists",
        revision="1",
        main_score="sdri",
        unit="dB",
        licence="of each source",
        citation="Ma et al. 2024, CLAPSep: leveraging contrastive pre-trained model for target sound extraction",
        layout="metadata/evaluation/{esc,fsd,audiocaps,audioset,music}_eval.csv: source_file, positive_caption, "
        "noise_file, negative_caption; audio/<set>/: the files that its list names",
        sample_rate=0,
        splits=("esc", "fsd", "audiocaps", "audioset", "music"),
        protocols=("strict",),
        assumed="Its script was read for AudioCaps alone; the folder of each set's sound is ours. A mixture above full "
        "scale is turned down there, which changes no ratio. The words 'the sound of' are no part of a label. Of "
        "AudioSet a clip has all its labels in one caption, which is one label here.",
    )

    def sounds(self, data: Store, files: Files, split: str) -> list[Sound]:  # noqa: ARG002
        """See `Benchmark`: of each row the target, and behind it what it is mixed with."""
        rows = read_rows(
            data / f"metadata/evaluation/{split}_eval.csv",
            columns=("source_file", "positive_caption", "noise_file", "negative_caption"),
        )
        return [
            Sound(f"audio/{split}/{row[path]}", (_SOUND_OF.sub("", row[caption], count=1).strip(),))
            for row in rows
            for path, caption in (("source_file", "positive_caption"), ("noise_file", "negative_caption"))
        ]

    def draw(self, draw: Draw) -> list[Item]:
        """See `Benchmark`: an item a row, in the order of its list."""
        sounds, shelf = self.sounds(draw.data, draw.files, draw.split), SoundShelf(draw.data)
        items = []
        for number, (target, other) in enumerate(zip(sounds[::2], sounds[1::2], strict=True)):
            one = ItemSource(role="target", path=target.path, label=target.labels[0])
            is_there = {target.path, other.path} <= draw.files.sizes.keys()
            two = ItemSource(
                role="other",
                path=other.path,
                label=other.labels[0],
                gain=_equal_energy(shelf, draw, target.path, other.path) if is_there else 1.0,
            )
            items.append(_item(draw, number, one, two, seconds=_CLIP_SECONDS))
        return items


def _item(draw: Draw, number: int, *sources: ItemSource, seconds: float = 0.0) -> Item:
    return Item(
        item_id=f"{draw.split}/{number:05d}",
        label=sources[0].label,
        seconds=seconds,
        sample_rate=MODEL_RATE,
        protocol=draw.protocol,
        seed=draw.seed,
        sources=sources,
    )


def _equal_energy(shelf: SoundShelf, draw: Draw, target: str, other: str) -> float:
    """Give the factor that brings one clip to the energy of another over ten seconds, silence behind a short one."""
    one, two = (
        float(np.square(sound[: round(_CLIP_SECONDS * MODEL_RATE)], dtype=np.float64).sum())
        for path in (target, other)
        for sound, _ in (
            shelf.piece(
                ItemSource(role="other", path=path, label=path),
                sample_rate=MODEL_RATE,
                protocol=draw.protocol,
            ),
        )
    )
    return math.sqrt(one / two) if two else 1.0
