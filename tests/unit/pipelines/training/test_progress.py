from __future__ import annotations

import json
import os
import re
from itertools import pairwise
from pathlib import Path

import pytest

from tests.synthetic_set import SyntheticSet, training_of
from uss_ray.config import to_yaml
from uss_ray.errors import DataError
from uss_ray.pipelines.training.local import train_here
from uss_ray.pipelines.training.progress import look_at
from uss_ray.store.store import Store


def test_a_long_curve_is_shown_evenly_with_its_last_line(synthetic_set: SyntheticSet, tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text(to_yaml(training_of(synthetic_set, tmp_path, fit={"steps": 600})))
    lines = [json.dumps({"step": step, "loss": 1.0}) for step in range(1, 391)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    seen = look_at(Store(tmp_path))
    steps = [line["step"] for line in seen.curve]
    # It died before it kept anything.
    assert (len(steps), seen.told, seen.step, seen.steps) == (20, 390, 0, 600)
    assert len({later - earlier for earlier, later in pairwise(steps)}) == 1
    assert seen.state == "Nobody trains it: the same command goes on at step 0; no checkpoint yet."


@pytest.mark.slow
def test_what_a_stop_keeps_and_what_the_lines_tell_are_both_told(
    synthetic_set: SyntheticSet, tmp_path: Path
) -> None:
    asked = iter([False, False, True])
    assert train_here(training_of(synthetic_set, tmp_path), is_stopping=lambda: next(asked)) == 3
    seen = look_at(Store(tmp_path))
    assert (seen.step, seen.told) == (3, 2)
    assert seen.state == (
        "Nobody trains it: the same command goes on at step 3; last checkpoint step-000000003."
    )


def test_a_run_is_looked_at_while_it_is_trained(synthetic_set: SyntheticSet, tmp_path: Path) -> None:
    seen: list[str] = []
    train_here(
        training_of(synthetic_set, tmp_path), on_step=lambda *_: seen.append(look_at(Store(tmp_path)).state)
    )
    begun = f"Trained by process {os.getpid()} on "
    assert [state.startswith(begun) for state in seen] == [True] * 3
    assert re.search(r"; its last line is \d+ s old; no checkpoint yet\.$", seen[0])
    assert seen[2].endswith("last checkpoint step-000000003.")


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a training run"):
        look_at(Store(tmp_path))
