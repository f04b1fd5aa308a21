"""Voicebank-DEMAND: speech in noise, scored as enhancement."""

from __future__ import annotations

from typing import ClassVar, Final

from uss_ray.datasets.decode import MODEL_RATE
from uss_ray.errors import DataError
from uss_ray.evaluation.benchmarks.benchmark import Benchmark, Card, Draw, Files, Sound
from uss_ray.evaluation.items import Item, ItemSource
from uss_ray.store.store import Store

_LABEL, _SPEECH = "speech", "/m/09x0r"
_FOLDERS: Final = {"test": ("testset_wav",), "train": ("trainset_28spk_wav", "trainset_wav")}


class Voicebank(Benchmark):
    """Noisy files have the names of the clean ones."""

    card: ClassVar[Card] = Card(
        name="voicebank",
        title="Voicebank-DEMAND",
        revision="1",
        main_score="ssnr",
        unit="dB",
        licence="CC BY 4.0",
        citation="Valentini-Botinhao 2017, Noisy speech database for training speech enhancement algorithms",
        layout="{clean,noisy}_testset_wav/*.wav, {clean,noisy}_trainset_28spk_wav/*.wav (or without 28spk)",
        sample_rate=48_000,
        measures=("ssnr", "pesq", "stoi", "csig", "cbak", "covl"),
        published=9.00,
        assumed="Speech is separated at 32 kHz and scored at 16 kHz, as in the released script.",
    )

    def sounds(self, data: Store, files: Files, split: str) -> list[Sound]:
        """See `Benchmark`."""
        for folder in _FOLDERS[split]:
            clean = [path for path in files.below(f"clean_{folder}") if path.endswith(".wav")]
            if clean:
                noisy = [f"noisy_{folder}/{path.rpartition('/')[2]}" for path in clean]
                return [
                    *(Sound(path, (_LABEL,), (_SPEECH,)) for path in clean),
                    *(Sound(path, ("noisy",)) for path in noisy),
                ]
        expected = f"clean_{_FOLDERS[split][0]} with WAV files"
        raise DataError(str(data), expected=expected, found="none")

    def draw(self, draw: Draw) -> list[Item]:
        """See `Benchmark`: an item a file."""
        sounds = self.sounds(draw.data, draw.files, draw.split)
        return [
            Item(
                item_id=f"{_LABEL}/{sound.path.rpartition('/')[2]}",
                label=_LABEL,
                seconds=0.0,
                sample_rate=MODEL_RATE,
                protocol=draw.protocol,
                seed=draw.seed,
                sources=(
                    ItemSource(role="target", path=sound.path, label=_LABEL, class_id=_SPEECH),
                    ItemSource(role="mixture", path=sound.path.replace("clean_", "noisy_", 1), label="noisy"),
                ),
            )
            for sound in sounds
            if sound.labels[0] == _LABEL
        ]
