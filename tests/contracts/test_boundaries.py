from __future__ import annotations

import ast
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


NEED_RAY = """
import importlib, json, sys
sys.modules["ray"] = None
need = []
for module in sys.argv[1:]:
    try:
        importlib.import_module(module)
    except ModuleNotFoundError:
        need.append(module)
sys.stdout.write(json.dumps(need))
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
        "uss_ray.weights.known", "uss_ray.results.index.find", "uss_ray.evaluation.compare",
        "uss_ray.evaluation.report",
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


def imports_of(node: ast.AST) -> list[str]:
    """The modules that a piece of source imports from when it runs."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return []
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{alias.name}" if node.module == "uss_ray.pipelines" else str(node.module)
                for alias in node.names]  # fmt: skip
    return [name for child in ast.iter_child_nodes(node) for name in imports_of(child)]


@pytest.mark.slow
def test_a_command_needs_ray_for_what_it_does_with_ray_alone():
    """Whoever has no Ray separates, trains on one machine, scores and so on: a new line here is a command less."""
    by_command = {
        file.stem: {name for name in imports_of(ast.parse(file.read_text())) if name.startswith("uss_ray.")}
        for file in sorted((ROOT / "uss_ray" / "cli").glob("*.py"))
    }
    modules = sorted(set().union(*by_command.values()))
    done = subprocess.run(
        [sys.executable, "-c", NEED_RAY, *modules], capture_output=True, text=True, check=True, cwd=ROOT
    )
    need = {name.removeprefix("uss_ray.pipelines.") for name in json.loads(done.stdout)}
    found = {
        command: sorted(need & {name.removeprefix("uss_ray.pipelines.") for name in names})
        for command, names in by_command.items()
    }
    assert {command: names for command, names in found.items() if names} == {
        "anchors": ["training.packing_on_ray"],
        "archive": ["archive.job", "archive.plan"],
        "evaluate_run": ["evaluation.job"],  # with `--ray`
        "mine": ["mining.job"],
        "serve": ["serving.running"],
        "train": ["training.job"],  # with `--workers`
    }


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
