from __future__ import annotations

import copy
import io
import pickle
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile as sf
import torch

from uss_ray import Separator, separate, tag
from uss_ray.errors import ConfigError, OutputError, RecordingError, WeightsError
from uss_ray.store.store import Store

RATE = 32_000


@pytest.fixture(scope="module")
def noise():
    return 0.1 * np.random.default_rng(0).standard_normal((2, 5 * RATE)).astype(np.float32)


def test_arrays_come_back_in_the_shape_and_kind_they_came_in(separator, noise):
    stereo = separator(noise, RATE, classes=["Dog"])
    assert stereo["Dog"].shape == noise.shape
    assert stereo["Dog"].dtype == np.float32
    assert stereo["Dog"].any()
    mono = separator(noise[0].astype(np.float64), RATE, classes=["Dog"])
    assert mono["Dog"].shape == noise[0].shape
    tensors = separator(torch.from_numpy(noise), RATE, classes=["Dog"])
    assert isinstance(tensors["Dog"], torch.Tensor)
    assert np.array_equal(tensors["Dog"].numpy(), stereo["Dog"])
    assert np.array_equal(tensors.residual.numpy(), stereo.residual)


def test_an_array_gives_the_bits_of_a_file_with_the_same_samples(separator, noise, tmp_path):
    sf.write(tmp_path / "a.wav", noise.T, RATE, subtype="FLOAT")
    of_file, of_array = separator(tmp_path / "a.wav", classes="Dog"), separator(noise, RATE, classes="Dog")
    assert np.array_equal(of_file["Dog"], of_array["Dog"])
    whole = (noise[0] * 32767).astype(np.int16)
    assert np.array_equal(
        separator(whole, RATE, classes="Dog")["Dog"],
        separator((whole / 32768).astype(np.float32), RATE, classes="Dog")["Dog"],
    )


@pytest.mark.slow
def test_a_list_gives_a_list_of_what_each_gives_alone(separator, noise, make_recording):
    lengths = (5, 3, 1, 4, 2, 5, 1, 2, 3, 1)
    waveforms = [noise[0, : length * RATE] for length in lengths]
    told = []
    together = separator(waveforms, RATE, classes="Dog", progress=lambda *done: told.append(done))
    assert len(together) == len(lengths)
    for sound, waveform in zip(together, waveforms, strict=True):
        assert np.array_equal(sound["Dog"], separator(waveform, RATE, classes="Dog")["Dog"])
    assert told[-1] == (sum(lengths), None)
    assert told == sorted(told)
    paths = [make_recording("a.wav"), str(make_recording("b.wav"))]
    assert [sound.recording.recording_id for sound in separator(paths, classes="Dog")] == ["a.wav", "b.wav"]


def test_progress_is_told_segment_by_segment(separator, noise):
    told = []
    separator(noise, RATE, classes="Dog", progress=lambda *done: told.append(done))
    assert told == [(2.0, 5.0), (4.0, 5.0), (5.0, 5.0)]


@pytest.mark.slow
def test_threads_may_share_one(separator, noise):
    alone = {name: separator(noise, RATE, classes=name)[name] for name in ("Dog", "Speech", "Music")}
    with ThreadPoolExecutor(4) as pool:
        calls = [(name, pool.submit(separator, noise, RATE, classes=name)) for name in [*alone] * 3]
        for name, call in calls:
            assert np.array_equal(call.result()[name], alone[name])


def test_a_call_that_asks_for_something_asks_for_that_alone(tiny_weights, noise, tmp_path):
    of_levels = Separator.from_pretrained(tiny_weights, levels=1)
    assert [row.label for row in of_levels(noise, RATE, classes="Dog").rows] == ["Dog", "Residual"]
    assert of_levels(noise, RATE, classes="Dog").residual.shape == noise.shape
    to_files = of_levels.separate(noise, output=tmp_path, sample_rate=RATE, classes="Dog", report=False)
    assert [row.label for row in to_files.rows] == ["Dog", "Residual"]
    of_events = Separator.from_pretrained(tiny_weights, events=True)
    assert {row.level for row in of_events(noise, RATE, levels=1).rows} == {1}
    published = Separator.from_pretrained(tiny_weights, hierarchy="published")
    asked = published(noise, RATE, classes="Dog").rows
    alone = separate(noise, sample_rate=RATE, weights=tiny_weights, hierarchy="published", classes="Dog").rows
    assert [row.label for row in asked] == [row.label for row in alone]
    assert len({row.level for row in published(noise, RATE).rows}) == 3


def test_what_is_asked_for_at_first_holds_for_every_call_that_says_nothing_else(tiny_weights, noise):
    separator = Separator.from_pretrained(tiny_weights, levels=1, threshold=0.99)
    assert len(separator(noise, RATE)) == 0
    assert "Animal" in separator(noise, RATE, threshold=0.2)


@pytest.mark.parametrize("name", ["weights", "device", "batch_size"])
def test_what_the_engine_is_made_of_is_not_changed_by_a_call(separator, noise, name):
    with pytest.raises(ConfigError, match=f"option {name}.*from_pretrained"):
        separator(noise, RATE, **{name: "cpu"})


def test_an_unknown_option_is_told_with_the_nearest(separator, noise):
    with pytest.raises(ConfigError, match="'classes'"):
        separator(noise, RATE, clases="Dog")


def test_files_are_written_by_the_loaded_weights_as_by_others(
    separator, make_recording, tiny_weights, tmp_path
):
    path = make_recording("a.wav")
    ours = separator.separate(path, output=tmp_path / "a", classes="Dog", report=False)
    own = separate(path, output=tmp_path / "b", weights=tiny_weights, classes="Dog", report=False)
    assert [row.stem_sha256 for row in ours.rows] == [row.stem_sha256 for row in own.rows]
    assert ours.rows[0].run_id == own.rows[0].run_id
    with pytest.raises(OutputError, match="overwrite=True"):
        separator.separate(path, output=tmp_path / "a", classes="Dog")


def test_arrays_open_files_and_lists_may_go_to_files(make_recording, tiny_weights, tmp_path, noise):
    asked = {"weights": tiny_weights, "classes": "Dog", "report": False, "output": tmp_path / "out"}
    array = separate(noise, sample_rate=RATE, name="take 1", **asked)
    assert array.recording.recording_id == "take 1"
    content = io.BytesIO(make_recording("a.wav").read_bytes())
    assert separate(content, **asked).recording.recording_id == "recording"
    both = separate([make_recording("b.wav"), make_recording("c.wav")], **asked)
    assert [one.recording.recording_id for one in both] == ["b.wav", "c.wav"]
    assert both[0]["Dog"].shape == (1, 96_000)


def test_without_an_output_the_function_gives_arrays(make_recording, tiny_weights, noise):
    asked = {"weights": tiny_weights, "classes": "Dog"}
    assert separate(make_recording("a.wav"), **asked)["Dog"].shape == (1, 96_000)
    assert [one["Dog"].shape for one in separate([noise, noise[0]], sample_rate=RATE, **asked)] == [
        noise.shape,
        noise[0].shape,
    ]


def test_sounds_of_an_open_file_are_pickled_and_copied_without_it(separator, make_recording, tmp_path):
    with make_recording("a.wav").open("rb") as file:
        sounds = separator(file, classes="Dog")
        held = weakref.ref(file)
    del file
    assert held() is None
    for other in (pickle.loads(pickle.dumps(sounds)), copy.deepcopy(sounds)):  # noqa: S301
        assert np.array_equal(other["Dog"], sounds["Dog"])
        assert np.array_equal(other.mixture, sounds.mixture)
        saved = other.save(tmp_path / f"{id(other)}", report=False)
        assert (saved.recording.recording_id, saved.source) == ("a.wav", None)


def test_a_list_of_numbers_is_told_from_recordings(separator):
    with pytest.raises(RecordingError, match=r"^float: expected .*`numpy\.asarray`.*, found a float$"):
        separator([0.1, 0.2, 0.3], RATE)


def test_tags_are_events_of_all_that_the_weights_know(separator, noise, tiny_weights):
    events = separator.tag(noise, RATE)
    assert {"Dog", "Speech", "Music"} <= set(events["label"].to_pylist())
    assert set(events["end_seconds"].to_pylist()) == {5.0}
    assert set(events["status"].to_pylist()) == {"detected"}
    assert separator.tag(noise, RATE, threshold=0.99).num_rows == 0
    assert set(separator.tag(noise, RATE, levels=1)["label"].to_pylist()) >= {"Animal", "Music"}
    assert tag(noise, RATE, weights=tiny_weights, device="cpu") == events


def test_the_function_tags_with_the_options_of_the_weights_that_it_loads(tiny_weights, noise, monkeypatch):
    def refuse(place, *, most_bytes=None):
        raise WeightsError(str(place), expected="no answer", found=f"{place.options.endpoint}")

    options = {"batch_size": 2, "precision": "float32", "ontology": None, "class_list": None}
    tagged = tag(noise, RATE, weights=tiny_weights, device="cpu", threshold=0.2, **options)
    assert tagged == tag(noise, RATE, weights=tiny_weights, threshold=0.2)
    monkeypatch.setattr(Store, "read", refuse)
    with pytest.raises(WeightsError, match="found http://elsewhere:9000"):
        tag(noise, RATE, weights="s3://bucket/weights", storage={"endpoint": "http://elsewhere:9000"})


def test_a_fault_of_one_of_a_list_is_raised(separator, noise):
    with pytest.raises(RecordingError, match="NaN"):
        separator([noise, noise * np.nan], RATE, classes="Dog")


@pytest.mark.parametrize("overwrite", [True, False])
def test_two_of_a_list_that_would_lie_in_one_folder_are_refused_before_any_work(
    separator, noise, make_recording, tmp_path, overwrite
):
    one, other = make_recording("x/a.wav", seconds=0.5), make_recording("y/a.wav", seconds=0.5)
    for several, rate in (([one, other], None), ([noise, noise], RATE)):
        with pytest.raises(ConfigError, match="different names"):
            separator.separate(
                several, sample_rate=rate, output=tmp_path / "out", classes="Dog", overwrite=overwrite
            )
    assert not (tmp_path / "out").exists()
