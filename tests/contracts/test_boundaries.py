from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


HEAVY = {"torch", "ray"}
PROGRAM = """
import importlib, json, sys
first_seen = {}
for module in sys.argv[1:]:
    importlib.import_module(module)
    for name in {name.partition(".")[0] for name in sys.modules}:
        first_seen.setdefault(name, module)
sys.stdout.write(json.dumps(first_seen))
"""


def loaded_by(*modules: str) -> dict[str, str]:
    """Top-level modules that a fresh interpreter has loaded after importing some, each with the one that brought it."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *modules], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return json.loads(done.stdout)


def brought(names: set[str], *modules: str) -> dict[str, str]:
    """Which of some names are loaded, and by whom."""
    return {name: module for name, module in loaded_by(*modules).items() if name in names}


def test_the_torch_free_rooms_load_neither_torch_nor_ray():
    rooms = (
        "uss_ray", "uss_ray.errors", "uss_ray.config", "uss_ray.silence", "uss_ray.ontology.vocabulary",
        "uss_ray.audio.codec", "uss_ray.store.store", "uss_ray.results.index.table",
        "uss_ray.results.stems.writer", "uss_ray.results.report.recording", "uss_ray.sources.recordings",
        "uss_ray.datasets.clip_sources", "uss_ray.anchors.manifest", "uss_ray.anchors.shards",
        "uss_ray.anchors.stream", "uss_ray.mining.miner", "uss_ray.mining.purity", "uss_ray.mining.settings",
        "uss_ray.weights.known", "uss_ray.results.index.find",
    )  # fmt: skip
    assert brought(HEAVY, *rooms) == {}


def test_the_command_line_loads_nothing_heavy_before_a_command_runs():
    modules = (f"uss_ray.cli.{file.stem}" for file in sorted((ROOT / "uss_ray" / "cli").glob("*.py")))
    assert brought(HEAVY | {"pyarrow"}, *modules) == {}


@pytest.mark.slow
def test_workers_that_list_decode_and_join_do_without_torch():
    """The networks' libraries take seconds and memory to load."""
    steps = ("missing", "decode", "long_recordings")
    assert brought({"torch"}, *(f"uss_ray.pipelines.archive.{step}" for step in steps)) == {}


@pytest.mark.slow
def test_separating_one_recording_loads_no_ray():
    assert (
        brought({"ray"}, "uss_ray.weights.folder", "uss_ray.separation.engine", "uss_ray.api.separator") == {}
    )


def test_the_package_itself_loads_nothing_but_the_standard_library():
    assert brought({"numpy", "torch", "ray", "pyarrow", "tyro", "rich"}, "uss_ray") == {}


def test_every_public_name_can_be_loaded():
    import uss_ray

    for name in uss_ray.__all__:
        assert getattr(uss_ray, name).__name__ == name


def test_an_unknown_public_name_is_an_attribute_error():
    import uss_ray

    with pytest.raises(AttributeError, match="no attribute 'separte'"):
        uss_ray.separte  # noqa: B018
