"""What users of Ray wrote at the first sight of the package; see `tests/unit/api/test_python_users.py`."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import uss_ray
from tests.pages import ROOT, blocks_of
from uss_ray import SeparateBatch, separate_archive
from uss_ray.errors import ConfigError

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


def test_10_an_archive_in_one_line(local_ray, make_recording, tiny_weights, tmp_path):
    archive = make_recording("a.wav").parent
    result = separate_archive(
        archive, tmp_path / "out", levels=[1], weights=tiny_weights, report=False, actors=1, limit=5
    )
    assert result.exit_code == 0
    assert result.counters.done == 1
    with pytest.raises(ConfigError, match="'levels'"):
        separate_archive(archive, tmp_path / "out", level=[1])


def test_11_a_stage_of_somebody_elses_pipeline(local_ray, make_recording, tiny_weights):
    import ray

    rng = np.random.default_rng(0)
    waveforms = [0.1 * rng.standard_normal(length).astype(np.float32) for length in (16_000, 8_000, 12_000)]
    dataset = ray.data.from_items(
        [
            {"id": f"take {number}", "audio": waveform, "sample_rate": 16_000}
            for number, waveform in enumerate(waveforms)
        ]
    )
    options = {"weights": str(tiny_weights), "device": "cpu", "classes": ["Dog"]}
    rows = dataset.map_batches(
        SeparateBatch, fn_constructor_kwargs=options, batch_size=2, compute=ray.data.ActorPoolStrategy(size=1)
    ).take_all()
    assert len(rows) == 6
    by_id = {(row["id"], row["kind"]): row for row in rows}
    for number, waveform in enumerate(waveforms):
        dog, rest = (by_id[f"take {number}", kind]["audio"] for kind in ("class", "residual"))
        assert dog.shape == rest.shape == (1, len(waveform))
        np.testing.assert_allclose((dog + rest)[0], waveform, atol=1e-6)

    paths = ray.data.from_items([{"audio": str(make_recording("a.wav"))}, {"audio": "no such file.wav"}])
    found = paths.map_batches(
        SeparateBatch,
        fn_constructor_kwargs={**options, "faults": "row"},
        compute=ray.data.ActorPoolStrategy(size=1),
    ).take_all()
    assert sorted(row["status"] for row in found) == ["failed", "held", "held"]


@pytest.mark.slow
def test_the_blocks_of_the_page_that_start_ray_run(tmp_path):
    """In a process of its own, for Ray's workers take over the folder that it was started in."""
    blocks = blocks_of("docs/python.md", with_ray=True)
    assert len(blocks) == 2
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    kept = ("RAY_AUTH_MODE", "RAY_USAGE_STATS_ENABLED", "RAY_worker_niceness")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("RAY_") or name in kept
    }
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(["import uss_ray", *blocks])],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert uss_ray.read_index(tmp_path / "out" / "python-archive").num_rows > 10
