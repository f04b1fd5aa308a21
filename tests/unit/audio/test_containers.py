from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from uss_ray.audio.containers import inspect_container


@pytest.fixture
def ogg(tmp_path: Path) -> bytes:
    path = tmp_path / "noise.ogg"
    noise = np.random.default_rng(0).standard_normal(32_000) * 0.1
    soundfile.write(path, noise, 32_000, format="OGG", subtype="VORBIS")
    return path.read_bytes()


def is_complete(data: bytes) -> bool:
    found = inspect_container(io.BytesIO(data))
    return found.fault is None and not found.notes


def test_coded_audio_that_looks_like_the_start_of_a_page_cuts_no_file_off(ogg: bytes) -> None:
    inside_last_page = len(ogg) - 100
    lookalike = ogg[:inside_last_page] + b"OggSrp\x19" + ogg[inside_last_page + 7 :]
    assert is_complete(lookalike)


def test_a_file_without_its_last_page_is_cut_off(ogg: bytes) -> None:
    assert is_complete(ogg)
    assert not is_complete(ogg[: ogg.rfind(b"OggS")])
    assert inspect_container(io.BytesIO(ogg[:-50])).fault is not None
