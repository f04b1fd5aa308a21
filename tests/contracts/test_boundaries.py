from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def loaded_after(statement: str) -> set[str]:
    """Top-level modules that are loaded in a fresh interpreter after a statement."""
    code = f"{statement}\nimport sys\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


def test_imports_point_only_where_the_architecture_says():
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "module",
    ["uss_ray", "uss_ray.errors", "uss_ray.ontology.vocabulary", "uss_ray.audio.codec", "uss_ray.store.store",
     "uss_ray.results.index.table", "uss_ray.results.stems.writer", "uss_ray.results.report.recording",
     "uss_ray.cli.main"],
)  # fmt: skip
def test_the_torch_free_rooms_load_neither_torch_nor_ray(module):
    assert not loaded_after(f"import {module}") & {"torch", "ray"}


@pytest.mark.parametrize(
    "module", ["uss_ray.weights.folder", "uss_ray.separation.engine", "uss_ray.api.separator"]
)
def test_separating_one_recording_loads_no_ray(module):
    assert "ray" not in loaded_after(f"import {module}")


def test_the_package_itself_loads_nothing_but_the_standard_library():
    assert not loaded_after("import uss_ray") & {"numpy", "torch", "ray", "pyarrow", "tyro", "rich"}


def test_every_public_name_can_be_loaded():
    import uss_ray

    for name in uss_ray.__all__:
        assert getattr(uss_ray, name).__name__ == name


def test_an_unknown_public_name_is_an_attribute_error():
    import uss_ray

    with pytest.raises(AttributeError, match="no attribute 'separte'"):
        uss_ray.separte  # noqa: B018
