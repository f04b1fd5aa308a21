"""What users wrote at the first sight of the package, in their words; numbers are those of their list.

10 and 11 need Ray: `tests/ray/test_python_users.py`. 17 needs an installed package: `tests/test_install.py`.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile as sf
import torch

import uss_ray
from uss_ray import (
    QueryError,
    SeparationEngine,
    Separator,
    Vocabulary,
    build_engine,
    load_weights,
    read_index,
    separate,
    tag,
)
from uss_ray.errors import ConfigError


@pytest.fixture
def x():
    return 0.1 * np.random.default_rng(0).standard_normal(3 * 16_000).astype(np.float32)


@pytest.fixture
def asked(tiny_weights):
    return {"weights": tiny_weights, "device": "cpu"}


def test_1_a_numpy_array(x, asked):
    out = separate(x, sample_rate=16_000, classes=["Speech"], **asked)
    assert out["Speech"].shape == x.shape
    np.testing.assert_allclose(out["Speech"] + out.residual, x, atol=1e-6)


def test_2_a_tensor(asked):
    out = separate(torch.zeros(1, 32_000), sample_rate=32_000, classes=["Speech"], **asked)
    assert isinstance(out["Speech"], torch.Tensor)
    assert out["Speech"].shape == (1, 32_000)
    assert out.row("Speech").status in ("silent", "absent")


def test_3_audio_of_a_file_without_an_output(make_recording, asked):
    out = separate(make_recording("a.wav"), classes=["Speech"], **asked)
    assert out["Speech"].any()


def test_4_one_separator_for_many_files(make_recording, tiny_weights):
    for sep in (Separator.from_pretrained(tiny_weights, device="auto"), Separator(tiny_weights)):
        for name in ("a.wav", "b.wav"):
            assert "Dog" in sep(make_recording(name), classes="Dog")


def test_5_weights_by_their_name():
    weights = load_weights("starter")
    assert weights.name == "starter"
    assert isinstance(build_engine(weights, vocabulary=Vocabulary.load()), SeparationEngine)


def test_6_one_in_place_of_a_list(make_recording, tmp_path, asked):
    path = make_recording("a.wav")
    options = {**asked, "report": False, "overwrite": True}
    assert {row.level for row in separate(path, output=tmp_path, levels=3, **options).rows} == {3}
    assert separate(path, output=tmp_path, classes="Speech", **options).rows[0].label == "Speech"
    assert (
        separate(path, output=tmp_path, texts="a man speaking", **options).matches[0][0] == "a man speaking"
    )


def test_7_threshold_by_its_name(x, asked):
    assert len(separate(x, sample_rate=16_000, levels=1, threshold=0.99, **asked)) == 0
    with pytest.raises(ConfigError, match=r"threshold.*1"):
        separate(x, sample_rate=16_000, threshold=1.5, **asked)


def test_8_lists_and_open_files(make_recording, asked):
    a, b = make_recording("a.wav"), make_recording("b.wav", seconds=1.0)
    assert [out.seconds for out in separate([a, b], classes="Dog", **asked)] == [3.0, 1.0]
    assert separate(io.BytesIO(a.read_bytes()), classes="Dog", **asked).seconds == 3.0


def test_9_events_as_a_data_frame(x, asked):
    pytest.importorskip("pandas")
    events = tag(x, 16_000, **asked).to_pandas()
    assert {"start_seconds", "end_seconds", "label", "probability"} <= set(events.columns)
    assert "Speech" in set(events["label"])


def test_12_the_index_as_a_data_frame(make_recording, tmp_path, asked):
    pytest.importorskip("pandas")
    separate(make_recording("a.wav"), output=tmp_path, classes="Dog", report=False, **asked)
    assert read_index(tmp_path).to_pandas()["label"].tolist() == ["Dog", "Residual"]


def test_13_a_progress_bar(x, asked):
    class Bar:
        n = 0.0

        def update(self, more):
            self.n += more

    bar = Bar()
    separate(
        x,
        sample_rate=16_000,
        classes="Dog",
        progress=lambda done, total: bar.update(done - bar.n),
        **asked,
    )
    assert bar.n == 3.0


def test_14_looking_up_a_sound():
    vocabulary = Vocabulary.load()
    assert vocabulary.resolve("Dog").node_id == "/m/0bt9lr"
    match = vocabulary.resolve_text("a dog barking")
    assert match.runners_up
    assert all(len(repr(scored.node)) < 200 for scored in match.runners_up)


@pytest.mark.slow
def test_15_a_notebook_shows_players(x, make_recording, asked):
    out = separate(x, sample_rate=16_000, classes=["Speech", "Dog"], **asked)
    page = out._repr_html_()
    assert page.count("data:audio/mpeg") >= 4  # the recording, two sounds, what they leave
    assert "Speech" in page
    assert "object at 0x" not in repr(out)
    assert "object at 0x" not in repr(out.rows)
    several = separate(x, sample_rate=16_000, levels=(1, 2), **asked)
    assert "Animal" in several._repr_html_()
    silent = separate(np.zeros(16_000), sample_rate=16_000, classes="Dog", **asked)
    assert "Recording" in silent._repr_html_()


@pytest.mark.slow
def test_15_a_notebook_shows_players_of_files_too(x, make_recording, asked, tmp_path):
    path = make_recording("a.wav", seconds=2.0, channels=2)
    for write in ("stems", "active-spans", "index-only"):
        out = separate(
            path, output=tmp_path / write, classes=["Speech", "Dog"], write=write, report=False, **asked
        )
        sounds = 0 if write == "index-only" else 2 + (write == "stems")
        assert out._repr_html_().count("data:audio/mpeg") == 1 + sounds
        assert "object at 0x" not in repr(out)
    path.unlink()
    assert "a.wav" in out._repr_html_()
    assert "data:audio/mpeg" not in out._repr_html_()


def test_16_the_version_without_loading_anything():
    program = (
        "import sys, uss_ray; print(uss_ray.__version__, 'torch' in sys.modules, 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    version, *loaded = done.stdout.split()
    assert version[0].isdigit()
    assert loaded == ["False", "False"]


def test_the_package_shows_what_users_need_and_nothing_else():
    shown = {name for name in dir(uss_ray) if not name.startswith("__")}
    assert shown == set(uss_ray.__all__)
    assert {
        "AnchorShards",
        "JobOptions",
        "SeparationRequest",
        "Vocabulary",
        "WriteOptions",
        "read_index",
    } <= shown
    assert "__version__" in dir(uss_ray)


def test_errors_are_in_words_of_python(make_recording, tmp_path, asked):
    path = make_recording("a.wav")
    separate(path, output=tmp_path, classes="Dog", report=False, **asked)
    with pytest.raises(uss_ray.OutputError, match="overwrite=True"):
        separate(path, output=tmp_path, classes="Dog", **asked)
    with pytest.raises(QueryError) as told:
        separate(path, classes="Dogg", **asked)
    assert "--" not in str(told.value)


def test_what_was_saved_opens_with_any_library(x, tmp_path, asked):
    out = separate(x, sample_rate=16_000, classes="Dog", **asked)
    (path,) = out.save(tmp_path, report=False).paths("Dog")
    samples, rate = sf.read(path)
    assert (samples.shape, rate) == (x.shape, 16_000)
    assert json.loads(out.rows[0].settings)["query"]["classes"] == ["Dog"]
