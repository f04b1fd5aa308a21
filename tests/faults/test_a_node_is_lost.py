"""A machine of the cluster goes away in the middle of its work: the others take it over."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.faults.archive_on_two_nodes import HEAD_CPUS, LOST, STALL_SECONDS
from tests.faults.conftest import UNITS
from tests.faults.results import assert_complete
from tests.synthetic_set import make_synthetic_set, training_of
from uss_ray.config import to_yaml
from uss_ray.pipelines.training.run_folder import read_lines
from uss_ray.store.store import Store

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


def test_what_a_lost_node_had_begun_is_done_by_another(start_command, undisturbed, tmp_path):
    """All processes of one of two nodes are killed while it separates and decodes."""
    command = start_command(
        "--actors", "2", is_held=True, module="tests.faults.archive_on_two_nodes"
    )  # the last --actors counts
    assert command.wait() == 0, command.log.read_text()
    assert (command.gate.folder / LOST).exists()
    assert len(set(command.gate.nodes())) == 2
    assert set(command.gate.begun()) == UNITS
    assert len(command.gate.begun()) > len(UNITS)
    assert_complete(tmp_path / "out", stems=undisturbed)


def test_a_cluster_that_has_become_too_small_goes_on_with_fewer_workers(start_command, undisturbed, tmp_path):
    """The node that stays has as many CPUs as the actors take: none is left to decode on."""
    environment = {HEAD_CPUS: "2", STALL_SECONDS: "5"}
    command = start_command(
        "--actors", "2", is_held=True, module="tests.faults.archive_on_two_nodes", environment=environment
    )
    assert command.wait() == 0, command.log.read_text()
    assert (command.gate.folder / LOST).exists()
    assert "no progress" in command.log.read_text()
    assert_complete(tmp_path / "out", stems=undisturbed)


def test_elastic_training_goes_on_with_the_node_that_stays(tmp_path):
    run = tmp_path / "run"
    training = training_of(
        make_synthetic_set(tmp_path), run, fit={"steps": 60, "checkpoint_steps": 10, "log_steps": 10}
    )
    file = tmp_path / "run.yaml"
    file.write_text("request:\n  " + to_yaml(training).replace("\n", "\n  "))
    # Ray finds that the node is gone while it waits for a place for two workers, which it would for a minute.
    ended = subprocess.run(
        [sys.executable, "-m", "tests.faults.training_on_two_nodes", file],
        env=os.environ | {"RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "8"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert (run / "lost").exists()
    assert "60 of 60 steps" in ended.stdout
    assert [line["step"] for line in read_lines(Store(run / "metrics.jsonl"))] == list(range(10, 61, 10))
