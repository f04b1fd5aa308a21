from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from uss_ray import SeparateBatch
from uss_ray.errors import ConfigError, RecordingError

RATE = 16_000


@pytest.fixture(scope="module")
def noise():
    return 0.1 * np.random.default_rng(0).standard_normal((2, RATE)).astype(np.float32)


@pytest.fixture(scope="module")
def stage(tiny_weights):
    return SeparateBatch(weights=tiny_weights, classes=["Dog", "Music"], faults="row")


def test_each_recording_becomes_a_row_for_each_sound_and_keeps_its_columns(stage, noise):
    rows = stage({"audio": noise, "sample_rate": np.array([RATE, RATE]), "id": np.array(["a", "b"])})
    assert rows["id"].tolist() == ["a"] * 3 + ["b"] * 3
    assert rows["label"].tolist() == ["Dog", "Music", "Residual"] * 2
    assert rows["level"].tolist() == [0] * 6
    assert {sound.shape for sound in rows["audio"]} == {(1, RATE)}
    np.testing.assert_allclose(sum(rows["audio"][:3])[0], noise[0], atol=1e-6)
    assert rows["spans"][0].tolist() == [[0.0, 1.0]]
    assert len({len(column) for column in rows.values()}) == 1


def test_rates_of_tables_may_be_texts_and_decimals(stage, noise):
    rates = np.array([str(RATE), Decimal(RATE)], dtype=object)
    assert stage({"audio": noise, "sample_rate": rates})["sample_rate"].tolist() == [RATE] * 6


def test_lengths_and_channels_may_differ(stage, noise):
    audio = np.empty(2, dtype=object)
    audio[:] = [noise, noise[0, : RATE // 2]]
    rows = stage({"audio": audio, "sample_rate": np.array([RATE, RATE])})
    assert [sound.shape for sound in rows["audio"]] == [(2, RATE)] * 3 + [(1, RATE // 2)] * 3


def test_paths_and_bytes_of_files_are_recordings_too(stage, make_recording):
    path = make_recording("a.wav")
    for given in (str(path), path.read_bytes()):
        rows = stage({"audio": np.array([given], dtype=object)})
        assert rows["audio"][0].shape == (1, 96_000)
        assert rows["sample_rate"].tolist() == [32_000] * 3


def test_a_fault_is_a_row_or_the_end(stage, tiny_weights, noise):
    batch = {"audio": np.array(["no such file.wav", b"RIFF"], dtype=object)}
    rows = stage(batch)
    assert rows["status"].tolist() == ["failed"] * 2
    assert "no such file" in rows["reason"][0]
    assert {sound.shape for sound in rows["audio"]} == {(1, 0)}
    raising = SeparateBatch(weights=tiny_weights, sample_rate=RATE, classes="Dog", name="id")
    with pytest.raises(RecordingError, match="tape 7"):
        raising({"audio": noise * np.nan, "id": np.array(["tape 7", "tape 8"])})
    assert raising({"audio": noise, "id": np.array(["a", "b"])})["id"].tolist() == ["a", "a", "b", "b"]


def test_an_empty_batch_is_empty(stage):
    assert stage({"audio": np.array([], dtype=object)}) == {}


def test_columns_that_are_missing_or_taken_are_told(stage, noise, tiny_weights):
    with pytest.raises(ConfigError, match=r"option audio: expected one of \['sound'\]"):
        stage({"sound": noise})
    with pytest.raises(ConfigError, match="option sample_rate"):
        stage({"audio": noise})
    with pytest.raises(ConfigError, match=r"\['label'\]: rename"):
        stage({"audio": noise, "label": np.array([1, 2])})
    with pytest.raises(ConfigError, match="option faults"):
        SeparateBatch(weights=tiny_weights, faults="skip")
