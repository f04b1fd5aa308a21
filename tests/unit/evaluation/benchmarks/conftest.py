"""Miniatures of public layouts, with sounds whose scores follow from how they are made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from uss_ray.evaluation.benchmarks.known import draw_list, find_benchmark
from uss_ray.evaluation.items import EvaluationList
from uss_ray.evaluation.metrics import sdr
from uss_ray.evaluation.sounds import MixedItem, SoundShelf, mix
from uss_ray.store.store import Store


def tone(hertz: float, *, rate: int, seconds: float, amplitude: float = 0.25) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def write(path: Path, waveform: np.ndarray, rate: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, waveform, rate, subtype="PCM_16")


def text(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def drawn(name: str, data: Path, **options: object) -> EvaluationList:
    return draw_list(find_benchmark(name), Store(data), **options)  # type: ignore[arg-type]


def mixed(listed: EvaluationList, data: Path, place: int = 0) -> MixedItem:
    return mix(listed.items[place], SoundShelf(Store(data)))


def mixture_sdr(item: MixedItem) -> float:
    [target] = item.targets.values()
    return float(sdr(item.mixture, target))


@pytest.fixture
def clips(tmp_path: Path) -> Callable[..., Path]:
    """Write short tones: name -> hertz."""

    def make(sounds: dict[str, float], *, rate: int = 44_100, seconds: float = 0.4) -> Path:
        for number, (name, hertz) in enumerate(sounds.items()):
            write(
                tmp_path / name, tone(hertz, rate=rate, seconds=seconds, amplitude=0.05 * (1 + number)), rate
            )
        return tmp_path

    return make
