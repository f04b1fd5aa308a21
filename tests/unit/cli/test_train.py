"""`uss-ray train starter`: from a data set, or from anchors."""

from __future__ import annotations

from pathlib import Path

import pytest

from uss_ray.pipelines import starter


@pytest.fixture
def called(monkeypatch):
    """Take the place of the two ways to train, and say which was taken."""
    calls: list[tuple[str, Path, Path, Path]] = []

    def train(source, output, *, work):
        calls.append(("data", source, output, work))
        return output

    def train_from_anchors(source, output, *, weights, work):
        calls.append((weights, source, output, work))
        return output

    monkeypatch.setattr(starter, "train_starter", train)
    monkeypatch.setattr(starter, "train_starter_from_anchors", train_from_anchors)
    return calls


def test_a_data_set_is_trained_from_the_start(command, called, tmp_path):
    ran = command("train", "starter", tmp_path, "-o", "out", "--work", "w")
    assert ran.exit_code == 0
    assert called == [("data", tmp_path, Path("out"), Path("w"))]
    assert "Weights: out" in ran.out


def test_anchors_are_trained_from_with_the_weights_that_mined_them(command, called, tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    assert command("train", "starter", tmp_path, "-o", "out", "--weights", "mine").exit_code == 0
    assert called == [("mine", tmp_path, Path("out"), Path("runs/starter"))]
