"""Every import that the house forbids is caught: each is planted in a copy of the packages, and import-linter looks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
LAYERS = "layers point downwards"
PARALLEL_JOBS = "a job knows no other job, the runtime knows none"

# room or module: what it must not import, and the contract that says so
FORBIDDEN: dict[str, dict[str, str]] = {
    "models": {
        "store audio ontology datasets": "models are pure networks",
        "weights separation": LAYERS,
    },
    "weights": {"audio separation": "weights know no sound and no separation", "api": LAYERS},
    "mining": {"store soundfile": "algorithms are handed their data", "separation": LAYERS},
    "mixtures": {"store soundfile": "algorithms are handed their data", "mining": LAYERS},
    "anchors": {"torch mining models": "anchors are arrays and files"},
    "separation": {"store soundfile": "algorithms are handed their data", "results training api": LAYERS},
    "training": {
        "separation evaluation mining datasets": "training separates nothing and mines nothing",
        "store audio soundfile": "training reads anchors and weights, and no other file of a store",
        "results": LAYERS,
    },
    "evaluation": {"pipelines training": "evaluation trains nothing", "api": LAYERS},
    "results": {
        "torch models separation datasets": "results know no data set and no network",
        "training": LAYERS,
    },
    "api": {
        "training mining evaluation": "the product's interface is for separation alone",
        "pipelines": LAYERS,
    },
    "audio": {"ontology store fsspec": "audio knows no labels and no object store", "results": LAYERS},
    "client": {"numpy pyarrow pydantic soundfile": "the client is light"},
    "pipelines.runtime": {"pipelines.archive pipelines.mining": PARALLEL_JOBS},
    "pipelines.archive": {"pipelines.mining pipelines.training": PARALLEL_JOBS},
    "pipelines.mining": {"pipelines.archive pipelines.training": PARALLEL_JOBS},
    "pipelines.training": {"pipelines.archive pipelines.mining": PARALLEL_JOBS},
    "pipelines.archive.decode": {"torch": "the core knows no torch"},
    "pipelines.mining.decode": {"torch": "the core knows no torch"},
    "service": {
        "ray uss_ray.training": "a service separates, and knows neither Ray nor how weights are made"
    },
    "service.decoder": {"torch": "the core knows no torch"},
    "evaluation.result": {"torch": "the core knows no torch"},
    "cli": {"torch ray pyarrow": "the command line loads nothing heavy"},
    "__main__": {"torch ray pyarrow": "the command line loads nothing heavy"},
    "cli.help": {"cli.command": "nothing goes round in circles"},
    "jobs": {"torch soundfile numpy": "jobs only start pipelines"},
}
WITH_RAY = {"pipelines", "cli", "jobs", "__main__"}
WITH_TORCH = {
    "__main__", "api", "cli", "evaluation", "jobs", "mining", "mixtures", "models", "pipelines", "separation",
    "service", "training", "weights",
}  # fmt: skip


def full(module: str) -> str:
    """Name of a room or of a package from outside."""
    is_ours = (ROOT / "uss_ray" / Path(*module.split("."))).is_dir() or (
        ROOT / "uss_ray" / Path(*module.split(".")).with_suffix(".py")
    ).is_file()
    return f"uss_ray.{module}" if is_ours else module


def rooms() -> list[str]:
    """Packages and modules at the top of the package, as they lie on the disk."""
    return sorted(
        path.stem
        for path in (ROOT / "uss_ray").iterdir()
        if (path.is_dir() and (path / "__init__.py").exists())
        or (path.suffix == ".py" and path.stem != "__init__")
    )


def layers(contract: str) -> list[list[str]]:
    """Layers of a contract from top to bottom, each with the rooms that stand side by side in it."""
    (found,) = (one for one in CONTRACTS if one["name"] == contract)
    (container,) = found["containers"]
    return [[f"{container}.{room.strip()}" for room in layer.split("|")] for layer in found["layers"]]


def all_plants() -> list[tuple[str, str, str]]:
    """Importer, imported module and the contract that must catch it."""
    plants = [
        (full(importer), full(imported), contract)
        for importer, forbidden in FORBIDDEN.items()
        for imported_modules, contract in forbidden.items()
        for imported in imported_modules.split()
    ]
    plants += [(full(room), "ray", "Ray stays in the pipelines") for room in rooms() if room not in WITH_RAY]
    plants += [(full(room), "torch", "the core knows no torch") for room in rooms() if room not in WITH_TORCH]
    for contract in (LAYERS, PARALLEL_JOBS):
        stack = layers(contract)
        for above, here in zip([[], *stack], stack, strict=False):
            plants += [(room, upper, contract) for room in here for upper in above]
            plants += [(room, sibling, contract) for room in here for sibling in here if room != sibling]
    return list(dict.fromkeys(plants))


PLANTS = all_plants()


def only_sources(folder: str, names: list[str]) -> set[str]:
    """What of a folder the import graph does not need."""
    return {
        name
        for name in names
        if not name.endswith(".py") and not (Path(folder) / name / "__init__.py").exists()
    }


def copy_to(place: Path) -> Path:
    """Copy the sources of both packages and the contracts."""
    for package in ("uss_ray", "jobs", "serve_app"):
        shutil.copytree(ROOT / package, place / package, ignore=only_sources)
    shutil.copy(ROOT / "pyproject.toml", place)
    return place


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str] | list[bool]]:
    """Broken contracts of a copy as it is; of each plant whether its line is seen, and its contract broken by it."""
    copy = copy_to(tmp_path_factory.mktemp("planted"))
    (copy / "plants.json").write_text(json.dumps(PLANTS))
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("plant.py")), "plants.json"],
        cwd=copy,
        env=os.environ | {"PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_nothing_is_broken_where_nothing_is_planted(found):
    assert found["nothing"] == []


@pytest.mark.parametrize("number", range(len(PLANTS)), ids=[f"{who}-{what}" for who, what, _ in PLANTS])
def test_a_planted_import_is_caught_by_its_contract(found, number):
    assert found["seen"][number], "the line is not seen"
    assert found["caught"][number], f"not caught by: {PLANTS[number][2]}"


def test_every_contract_has_a_plant():
    assert {contract["name"] for contract in CONTRACTS} == {contract for _, _, contract in PLANTS}


def test_layers_name_every_room():
    assert sorted(name.removeprefix("uss_ray.") for layer in layers(LAYERS) for name in layer) == rooms()


def test_the_command_itself_fails_and_names_the_contract(tmp_path):
    copy = copy_to(tmp_path)
    (copy / "uss_ray" / "models" / "planted.py").write_text("import uss_ray.store\n")
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=copy,
        env=os.environ | {"PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "models are pure networks BROKEN" in done.stdout
    assert "uss_ray.models.planted -> uss_ray.store" in done.stdout
