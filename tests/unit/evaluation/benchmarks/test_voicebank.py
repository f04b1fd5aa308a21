from __future__ import annotations

import numpy as np
import pytest

from tests.unit.evaluation.benchmarks.conftest import drawn, mixed, mixture_sdr, tone, write
from uss_ray.errors import DataError


def test_noisy_files_have_the_names_of_the_clean_ones(tmp_path) -> None:
    clean = tone(300, rate=48_000, seconds=1.0, amplitude=0.2)
    write(tmp_path / "clean_testset_wav" / "p232_001.wav", clean, 48_000)
    write(
        tmp_path / "noisy_testset_wav" / "p232_001.wav",
        clean + tone(1000, rate=48_000, seconds=1.0, amplitude=0.1),
        48_000,
    )
    for protocol in ("published", "strict"):
        item = mixed(drawn("voicebank", tmp_path, protocol=protocol), tmp_path)
        assert item.sample_rate == 32_000
        assert mixture_sdr(item) == pytest.approx(10 * np.log10(4), abs=0.01)


def test_both_names_of_the_training_folder_are_known(tmp_path) -> None:
    for kind in ("clean", "noisy"):
        write(tmp_path / f"{kind}_trainset_28spk_wav" / "p226_001.wav", np.ones(100) * 0.1, 48_000)
    assert len(drawn("voicebank", tmp_path, split="train").items) == 1
    with pytest.raises(DataError, match="expected clean_testset_wav with WAV files, found none"):
        drawn("voicebank", tmp_path)
