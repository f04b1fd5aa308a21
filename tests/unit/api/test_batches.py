from __future__ import annotations

from decimal import Decimal
from pathlib import Path

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


def objects(*values):
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


@pytest.mark.parametrize(
    "column",
    [
        objects(b"\x01\0\0", b"\x02\0"),
        objects(None, np.array([1, 2])),
        objects([1], [1, 2]),
        objects(1, "a"),
        objects(True, 2),
        objects(b"\x01", "a"),
        objects(2**60 + 1, 1.5),
        np.array([[1, 2], [3, 4]], np.int16),
        np.array([1, 2], np.uint8),
        np.array(["2026-01-01", "NaT"], "datetime64[D]"),
    ],
    ids=lambda column: f"{column.dtype}-{column.tolist()}",
)
def test_other_columns_keep_their_values_and_their_dtype(stage, noise, column):
    rows = stage({"audio": noise, "sample_rate": np.array([RATE, RATE]), "kept": column})["kept"]
    assert rows.dtype == column.dtype
    assert repr(rows.tolist()) == repr([column.tolist()[place] for place in (0, 0, 0, 1, 1, 1)])


def test_columns_that_are_lists_keep_their_values(stage, noise):
    rows = stage({"audio": noise, "sample_rate": [RATE, RATE], "kept": [b"\x01\0", [1, 2]]})
    assert rows["kept"].tolist() == [b"\x01\0"] * 3 + [[1, 2]] * 3


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
    content = path.read_bytes()
    for given in (str(path), Path(path), content, bytearray(content), memoryview(content)):
        rows = stage({"audio": objects(given)})
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


@pytest.mark.parametrize(
    ("rate", "found"), [(np.nan, "nan"), (None, "none"), (0, "0"), ("x", "'x'"), (44_100.5, "44100.5")]
)
def test_a_wrong_rate_of_one_recording_is_a_fault_of_that_one(stage, tiny_weights, noise, rate, found):
    batch = {"audio": noise, "sample_rate": objects(rate, RATE), "id": np.array(["tape 7", "tape 8"])}
    rows = stage(batch)
    assert rows["status"].tolist()[0] == "failed"
    assert rows["reason"][0].startswith("waveform: column sample_rate: expected")
    assert rows["reason"][0].endswith(f"found {found}")
    assert rows["id"].tolist() == ["tape 7"] + ["tape 8"] * 3
    raising = SeparateBatch(weights=tiny_weights, classes="Dog", name="id")
    with pytest.raises(RecordingError, match="tape 7: column sample_rate"):
        raising(batch)
    of_all = SeparateBatch(weights=tiny_weights, classes="Dog", sample_rate=0, faults="row")
    with pytest.raises(ConfigError, match="sample_rate"):
        of_all({"audio": noise})


def test_an_empty_batch_is_empty(stage):
    assert stage({"audio": np.array([], dtype=object)}) == {}


def test_columns_that_are_missing_or_taken_are_told(stage, noise, tiny_weights):
    with pytest.raises(ConfigError, match=r"option audio: expected one of \['sound'\]"):
        stage({"sound": noise})
    with pytest.raises(ConfigError, match="option sample_rate"):
        stage({"audio": noise})
    with pytest.raises(ConfigError, match=r"\['label'\]: rename"):
        stage({"audio": noise, "label": np.array([1, 2])})
    with pytest.raises(ConfigError, match=r"option name: expected one of \['audio'\], found 'id'"):
        SeparateBatch(weights=tiny_weights, sample_rate=RATE, name="id")({"audio": noise})
    with pytest.raises(ConfigError, match="option faults"):
        SeparateBatch(weights=tiny_weights, faults="skip")
