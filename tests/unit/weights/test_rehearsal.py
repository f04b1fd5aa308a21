"""`uss-ray weights fetch` of the published files from a server of their layout: broken off, resumed, checked, used.

The files are made here: the published tensors by their names, with random numbers. They are of narrow networks, unless
`USS_RAY_FULL_SIZE` is set; then they are of the published sizes (5 GB on the disk, a minute).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile as sf
import torch

from tests.published_files import published_htsat, published_panns, published_resunet
from tests.servers.shelf import shelf_of_files
from uss_ray.cli.main import run
from uss_ray.models.htsat_settings import HtsatConfig
from uss_ray.models.network_settings import ResUNetConfig
from uss_ray.models.panns_settings import PannsConfig
from uss_ray.store.fetch import file_sha256
from uss_ray.weights.folder import read_folder
from uss_ray.weights.importers import published
from uss_ray.weights.known import PUBLISHED

IS_FULL = bool(os.environ.get("USS_RAY_FULL_SIZE"))
RATE = 32_000


class Sizes(NamedTuple):
    panns: PannsConfig
    htsat: HtsatConfig
    resunet: ResUNetConfig


FULL = Sizes(PannsConfig(head="frame"), HtsatConfig(), ResUNetConfig())
NARROW = Sizes(
    panns=PannsConfig(block_channels=(2,) * 6, embedding_size=4, head="frame"),
    htsat=HtsatConfig(
        channels=4, stage_blocks=(1, 2), stage_heads=(1, 2), window_patches=4, image_size=64, mel_bins=16
    ),
    resunet=ResUNetConfig(channels=(2,) * 6, bottleneck_channels=2, stem_channels=2, window_samples=512),
)
SIZES = FULL if IS_FULL else NARROW


@pytest.fixture(autouse=True)
def _no_patience(own_cache: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USS_RAY_STORAGE_PATIENCE_SECONDS", "0")


@pytest.fixture(autouse=True)
def _seeded() -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(15)
        yield


@pytest.fixture(autouse=True)
def _sizes_of_the_importer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the importer expect the networks that the files here hold; of full size they are its own defaults."""
    if not IS_FULL:
        panns, resunet = SIZES.panns, SIZES.resunet
        monkeypatch.setattr(published, "PannsConfig", lambda head="clip": panns.replace(head=head))
        monkeypatch.setattr(published, "HtsatConfig", lambda: SIZES.htsat)
        monkeypatch.setattr(
            published, "ResUNetConfig", lambda condition_size: resunet.replace(condition_size=condition_size)
        )


def panns_content(room: int) -> dict[str, Any]:
    """As PANNs saved a training state."""
    return {"iteration": 600_000, "model": published_panns(SIZES.panns), "sampler": torch.zeros(room)}


def htsat_content(room: int) -> dict[str, Any]:
    """As HTS-AT saved an average over checkpoints: every tensor is float32."""
    return {
        "state_dict": {
            f"sed_model.{key}": value.float() for key, value in published_htsat(SIZES.htsat).items()
        }
    }


def uss_content(room: int) -> dict[str, Any]:
    """As Lightning saved the released separator: query net, detector, separator, and the optimiser's state."""
    panns = published_panns(SIZES.panns)
    state = {f"ss_model.{key}": value for key, value in published_resunet(SIZES.resunet).items()}
    state |= {f"query_net.base.{key}": value for key, value in panns.items()}
    state |= {f"anchor_segment_detector.sed_model.{key}": value.clone() for key, value in panns.items()}
    state["anchor_segment_detector.anchor_segment_scorer.smooth_filter"] = torch.ones(1, 1, 201) / 201
    optimiser = {"state": {0: {"exp_avg": torch.zeros(room)}}, "param_groups": [{"lr": 1e-3}]}
    return {"epoch": 0, "global_step": 1_000_000, "state_dict": state, "optimizer_states": [optimiser]}


CONTENTS: dict[str, tuple[Callable[[int], dict[str, Any]], bool]] = {
    "panns-cnn14": (panns_content, False),
    "panns-cnn14-decision-level-max": (panns_content, False),
    "htsat": (htsat_content, True),
    "uss-resunet30": (uss_content, True),
}


def made(name: str, folder: Path) -> Path:
    """Write a file of the published layout, and of its size where that is stated and full sizes are asked for."""
    content, is_zip = CONTENTS[name]
    path, size = folder / PUBLISHED[name].file, PUBLISHED[name].size
    torch.save(content(0), path, _use_new_zipfile_serialization=is_zip)
    if IS_FULL and size is not None:
        room = (size - path.stat().st_size) // 4
        torch.save(content(max(0, room)), path, _use_new_zipfile_serialization=is_zip)
        assert abs(path.stat().st_size - size) < size / 1000
    return path


@pytest.mark.parametrize("name", list(CONTENTS))
def test_a_published_file_is_fetched_over_a_broken_line_and_used(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = made(name, tmp_path)
    size, sha256 = file.stat().st_size, file_sha256(file)
    monkeypatch.setitem(PUBLISHED, name, replace(PUBLISHED[name], size=size, sha256=sha256))
    altered = tmp_path / "altered"
    altered.touch()
    os.truncate(altered, size)  # zeros that take no place on the disk
    with shelf_of_files({f"/good/{file.name}": file, f"/bad/{file.name}": altered}) as shelf:
        fetch = ["weights", "fetch", name, "--base"]

        assert run([*fetch, f"{shelf.address}/bad"]) == 5
        assert f"expected sha256 {sha256}" in capsys.readouterr().err

        shelf.drop_after = [size // 3]
        assert run([*fetch, f"{shelf.address}/good"]) == 5
        assert f"the connection ended after {size // 3} of {size} bytes" in capsys.readouterr().err

        assert run([*fetch, f"{shelf.address}/good"]) == 0
        assert shelf.ranges[-1] == f"bytes={size // 3}-"

        asked = len(shelf.ranges)
        assert run([*fetch, f"{shelf.address}/good"]) == 0
        assert len(shelf.ranges) == asked
    weights = read_folder(capsys.readouterr().out.rpartition("Weights: ")[2].strip())
    assert weights.source is not None
    assert weights.source["sha256"] == sha256
    assert weights.source["sha256"] in (weights.folder / "MODEL_CARD.md").read_text()

    noise = np.random.default_rng(3).standard_normal(2 * RATE).astype(np.float32) / 10
    tagger = weights.tagger or weights.detector
    assert tagger is not None
    with torch.inference_mode():
        heard = tagger(torch.from_numpy(noise)[None]).clipwise_probs
    assert heard.shape == (1, 527)
    assert torch.isfinite(heard).all()
    if weights.separator is None:
        return
    sf.write(tmp_path / "noise.wav", noise, RATE)
    out = tmp_path / "out"
    words = (
        "separate",
        tmp_path / "noise.wav",
        "-o",
        out,
        "--weights",
        name,
        "--class",
        "Speech",
        "--format",
        "wav",
    )
    assert run([str(word) for word in words]) == 0
    (stem,) = out.rglob("*peech*.wav")
    sound, rate = sf.read(stem)
    assert (len(sound), rate) == (len(noise), RATE)
    assert np.isfinite(sound).all()
    assert np.abs(sound).max() > 0
