"""What an installed package holds: the data it needs, its entry point, and nothing of the tests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.truth import read_truth

ROOT = Path(__file__).parent.parent


def build(target, folder):
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (made,) = folder.iterdir()
    return made


def tracked_files(*below):
    tracked = subprocess.run(["git", "ls-files", "-z", *below], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    return {name for name in tracked.stdout.split("\0") if name}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build("wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def wheel_names(wheel):
    return set(zipfile.ZipFile(wheel).namelist())


def test_every_data_file_of_the_checkout_is_in_the_wheel(wheel_names):
    assert tracked_files("uss_ray") <= wheel_names
    assert {
        "uss_ray/ontology/data/ontology.json",
        "uss_ray/ontology/data/class_labels_indices.csv",
    } <= wheel_names


def test_the_source_distribution_is_the_checkout(tmp_path):
    """What the documents and the tests in it use is there: `make test`, `.ci/run`, `.rayignore`."""
    tracked = tracked_files()
    with tarfile.open(build("sdist", tmp_path)) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert tracked - names == set()


def test_nothing_but_the_package_is_in_the_wheel(wheel_names):
    assert {name.split("/")[0] for name in wheel_names if ".dist-info" not in name} == {"uss_ray"}


TORCH = """
from typing import Any

class Tensor: ...

def zeros(size: int) -> Tensor: ...
def __getattr__(name: str) -> Any: ...
"""
"""What the interface names of PyTorch."""
SETTINGS = """
[mypy]
strict = True

[mypy-torch.*,ray.*]
follow_imports = skip

[mypy-torch]
follow_imports = normal
"""
"""The types of others, of which a type checker would read two thousand files, are not what is looked at."""

USER = """
import numpy as np
import torch

import uss_ray

sep = uss_ray.Separator.from_pretrained("starter", device="auto", levels=1)
out = sep(np.zeros(32_000, np.float32), 32_000, classes=["Speech"])
reveal_type(out["Speech"])
reveal_type(sep(torch.zeros(32_000), 32_000).residual)
reveal_type(sep(["a.wav", "b.wav"]))
reveal_type(uss_ray.separate("a.wav", output="out", levels=3))
reveal_type(out.save("out").paths("Speech"))
reveal_type(uss_ray.__version__)
sep(3)
out.sample_rate.upper()
"""


@pytest.mark.slow
def test_a_type_checker_sees_the_types_of_the_installed_package(wheel, tmp_path):
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    zipfile.ZipFile(wheel).extractall(site)
    (site / "others.pth").write_text(sysconfig.get_path("purelib"))
    (tmp_path / "user.py").write_text(USER)
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.pyi").write_text(TORCH)
    (tmp_path / "mypy.ini").write_text(SETTINGS)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--python-executable", str(python), "user.py"],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name not in ("MYPYPATH", "PYTHONPATH")},
        capture_output=True,
        text=True,
    )
    told = re.sub(r"ndarray\[[^,]*?(\[.*?\])?, .*?\]\]\]", "ndarray", done.stdout)
    revealed = [re.sub(r"\w+\.", "", line) for line in re.findall(r'Revealed type is "(.*)"', told)]
    assert revealed == [
        "ndarray",
        "Tensor",
        "list[SeparatedSound[ndarray]]",
        "SeparatedRecording",
        "tuple[str, ...]",
        "str",
    ]
    assert re.findall(r"error: (.*?)  ", told) == [
        'No overload variant of "__call__" of "Separator" matches argument type "int"',
        '"int" has no attribute "upper"',
    ]


def test_no_file_but_weights_is_above_one_megabyte():
    large = [
        name
        for name in tracked_files()
        if not name.startswith(("uss_ray/weights/", "weights/")) and (ROOT / name).is_file()
        if (ROOT / name).stat().st_size > 1 << 20
    ]
    assert not large


def test_the_example_recordings_are_what_the_demo_promises():
    import soundfile as sf

    archive = ROOT / "examples" / "archive"
    recordings = {path.name: path for path in archive.iterdir() if path.suffix in {".ogg", ".flac", ".wav"}}
    infos = [sf.info(path) for path in recordings.values()]
    assert any(info.samplerate == 48_000 and info.channels == 2 for info in infos)
    assert any(info.samplerate == 44_100 for info in infos)
    assert any(info.duration >= 60 for info in infos)
    assert sum(path.stat().st_size for path in archive.iterdir()) <= 3e6
    licences = (archive / "LICENSES.md").read_text(encoding="utf-8")
    assert all(f"## {name}" in licences for name in recordings)
    assert {sound.recording for sound in read_truth(archive / "truth.csv")} == set(recordings)
