from __future__ import annotations

import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from uss_ray import read_index, separate
from uss_ray.api import sounds
from uss_ray.api.sounds import NoSuchSoundError
from uss_ray.errors import ConfigError, OutputError, QueryError, RecordingError

CHANGING = ["processing_seconds", "created_at"]


def files_below(folder):
    """All files but the index, whose rows say how long it took."""
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".parquet"
    }


def rows_below(folder):
    return read_index(folder).drop_columns(CHANGING).to_pylist()


def lanes_of(player):
    """The names of the lanes of a player."""
    (data,) = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', player, re.DOTALL)
    return [lane["name"] for lane in json.loads(data)["lanes"]]


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({"levels": [1, 2]}, marks=pytest.mark.slow),
        {"texts": "a dog"},
        pytest.param({"classes": ["Dog", "Speech"], "exclude": ["Music"]}, marks=pytest.mark.slow),
        pytest.param({"labels": "csv"}, marks=pytest.mark.slow),
    ],
)
def test_what_is_saved_is_what_would_have_been_written(
    separator, make_recording, tiny_weights, tmp_path, asked
):
    path = make_recording("a b.wav", seconds=13.3, channels=2)
    written = separate(path, output=tmp_path / "written", weights=tiny_weights, report=False, **asked)
    held = separator(path, **asked)
    saved = held.save(tmp_path / "saved", report=False)
    assert files_below(tmp_path / "saved") == files_below(tmp_path / "written")
    assert rows_below(tmp_path / "saved") == rows_below(tmp_path / "written")
    assert list(held) == list(saved) == list(written)
    for name in held:
        np.testing.assert_allclose(held[name], written[name], atol=2**-15)
        assert all(sf.info(path).frames == held[name].shape[1] for path in saved.paths(name))


@pytest.mark.slow
def test_other_formats_can_be_saved_from_the_same_sounds(separator, make_recording, tiny_weights, tmp_path):
    path = make_recording("a.wav", seconds=5.0)
    held = separator(path, classes="Dog")
    for write, folder in (("stems", "wav"), ("active-spans", "spans")):
        options = {"stem_format": "wav", "write": write, "report": False}
        saved = held.save(tmp_path / folder, **options)
        written = separate(
            path, output=tmp_path / f"{folder}-written", weights=tiny_weights, classes="Dog", **options
        )
        assert [row.stem_sha256 for row in saved.rows] == [row.stem_sha256 for row in written.rows]
        assert rows_below(tmp_path / folder) == rows_below(tmp_path / f"{folder}-written")
        np.testing.assert_allclose(saved["Dog"], held["Dog"], atol=2**-15)
    page = held.save(tmp_path / "page").report
    assert page is not None
    assert "Dog" in Path(page).read_text(encoding="utf-8")
    assert (tmp_path / "page" / "index.html").exists()


def test_results_are_replaced_only_when_asked_for_and_options_are_told_in_words_of_python(
    separator, make_recording, tmp_path
):
    held = separator(make_recording("a.wav"), classes="Dog")
    held.save(tmp_path, report=False)
    with pytest.raises(OutputError, match="overwrite=True"):
        held.save(tmp_path, report=False)
    held.save(tmp_path, report=False, overwrite=True)
    with pytest.raises(ConfigError, match="option treshold"):
        held.save(tmp_path, treshold=0.3)
    with pytest.raises(ConfigError, match="index-only"):
        held.save(tmp_path, write="index-only", overwrite=True)
    with pytest.raises(RecordingError, match="expected 8000"):
        separator(np.zeros(44_100) + 0.1, 44_100, classes="Dog").save(tmp_path / "opus", stem_format="opus")


def test_a_sound_is_found_by_label_id_or_text_and_a_stranger_is_told(separator, make_recording):
    path = make_recording("a.wav")
    held = separator(path, classes=["Dog", "Speech"], texts="music")
    assert held.row("dog").node_id == held.row("/m/0bt9lr").node_id == "/m/0bt9lr"
    assert held.row("music").label == "Music"
    assert np.array_equal(held["/m/0bt9lr"], held["Dog"])
    assert set(held) == {"Dog", "Speech", "Music"}
    with pytest.raises(KeyError, match="near: Speech"):
        held["Speach"]
    with pytest.raises(QueryError, match="none of 3"):
        held["Siren"]
    assert held.get("Siren") is None
    assert "Siren" not in held
    assert 3 not in held


def test_a_sound_is_found_by_what_was_asked_for_however_it_was_spelt(separator, make_recording, tmp_path):
    path = make_recording("a.wav")
    asked = {"classes": ["0", " dog "], "texts": ["A cat  meowing"]}
    held = separator(path, **asked)
    written = separator.separate(path, output=tmp_path / "out", report=False, **asked)
    for found in (held, written, held.save(tmp_path / "saved", report=False)):
        assert found.row("0").label == found.row(" speech ").label == "Speech"
        assert found.row(" dog ").label == found.row("DOG").label == found.row(" /m/0bt9lr").label == "Dog"
        texts = {found.row(text).label for text in ("A cat  meowing", "a cat meowing", " A Cat Meowing ")}
        assert len(texts) == 1
        assert len(found["0"]) == len(found["Speech"])
        for stranger in ("1", "a cat"):
            with pytest.raises(KeyError, match="that was asked for, found none of 3"):
                found[stranger]
    united = separator(path, classes=["Dog", "Speech"], union=True)
    assert united.row("Dog + Speech").kind == "union"
    with pytest.raises(KeyError, match=r"near: Dog \+ Speech"):
        united["dog"]


def test_two_sounds_that_are_called_the_same_are_two(separator, make_recording, tmp_path):
    path = make_recording("a.wav", subtype="FLOAT")
    examples = tmp_path / "wanted" / "Speech"
    examples.mkdir(parents=True)
    shutil.copy(path, examples)
    held = separator(path, classes=["Speech", "Dog"], example_folder=examples)
    saved = held.save(tmp_path / "saved", stem_format="wav", report=False)
    for found in (held, saved):
        assert list(found) == ["Speech", "Dog", "query:speech"]
        assert len(found) == 3
        assert [found.row(name).kind for name in found] == ["class", "class", "example"]
        whole = sum(found.values()) + found.residual
        np.testing.assert_allclose(whole, held.mixture, atol=1e-5)
        assert sorted(lanes_of(found._repr_html_())) == sorted(["Recording", *found, "Residual"])


def test_what_was_asked_for_and_is_not_there_is_silence(separator, make_recording):
    held = separator(make_recording("a.wav"), levels=1)
    (absent,) = (row.label for row in held.rows if row.label == "Natural sounds")
    assert held.row(absent).status == "absent"
    assert absent not in held
    assert held[absent].shape == (1, 96_000)
    assert not held[absent].any()


def test_of_sound_that_is_too_quiet_to_be_tagged_nothing_is_known(separator):
    noise = np.random.default_rng(0).standard_normal(96_000).astype(np.float32)
    quiet, loud = 1e-6 * noise, 0.1 * noise

    def told(waveform):
        rows = separator(waveform, sample_rate=32_000, levels=1).rows
        return {row.label: (row.status, row.probability, row.certainty) for row in rows if row.kind == "node"}

    assert set(told(quiet).values()) == {("absent", None, None)}
    assert set(told(0 * noise).values()) == {("absent", 0.0, "sure")}
    with_pause = told(np.concatenate([loud, 0 * loud, quiet]))
    assert with_pause == told(np.concatenate([loud, 0 * loud, 0 * quiet])), "a pause is no reason to doubt"


@pytest.mark.slow
def test_sounds_and_what_they_leave_sum_to_the_recording_level_by_level(separator, make_recording):
    path = make_recording("a.wav", seconds=14.5, channels=2, subtype="FLOAT")
    mixture = sf.read(path, always_2d=True, dtype="float32")[0].T
    held = separator(path, levels=(1, 3))
    assert np.array_equal(held.mixture, mixture)
    assert set(held.residuals) == {1, 3}
    for level, rest in held.residuals.items():
        stems = [
            held[row.node_id]
            for row in held.rows
            if row.level == level and row.is_kept and row.kind == "node"
        ]
        assert len(stems) >= 2
        np.testing.assert_allclose(sum(stems) + rest, mixture, atol=1e-6)
    with pytest.raises(NoSuchSoundError, match="2 residuals, in `residuals` by level"):
        held.residual  # noqa: B018
    assert separator(path, classes="Dog", residual=False).residuals == {}


def test_sounds_are_compared_by_being_the_same(separator, make_recording):
    one, other = (separator(make_recording("a.wav"), classes="Dog") for _ in range(2))
    assert one == one
    assert one != other
    assert len({one, other}) == 2
    assert "a.wav" in repr(one)
    assert "Dog" in repr(one)


@pytest.fixture
def played(monkeypatch):
    """Give the mixtures of all players that are made."""
    mixtures = []

    def player(mixture, stems, **options):
        mixtures.append(mixture)
        return "a player"

    monkeypatch.setattr(sounds, "player_html", player)
    return mixtures


def test_the_player_of_what_lies_nowhere_plays_its_sounds_and_no_file_of_its_name(
    separator, make_recording, tmp_path, monkeypatch, played
):
    monkeypatch.chdir(tmp_path)
    sf.write("take.wav", np.full(32_000, 0.5), 32_000)
    x = 0.1 * np.random.default_rng(0).standard_normal(64_000).astype(np.float32)
    path = make_recording("a.wav")
    file = io.BytesIO(path.read_bytes())
    asked = {"classes": ["Dog", "Music"], "name": "take.wav", "report": False}
    arrays = separator.separate(x, output="out", sample_rate=32_000, **asked)
    saved = separator(x, 32_000, classes="Dog").save("saved", name="take.wav", report=False)
    opened = separator.separate(file, output="opened", **asked)
    alone = separator.separate(x, output="alone", sample_rate=32_000, residual=False, **asked)
    for result in (arrays, saved, opened):
        assert result._repr_html_() == "a player"
    for mixture in played[:2]:
        np.testing.assert_allclose(mixture[0], x, atol=1e-4)
    np.testing.assert_allclose(played[2].T, sf.read(path, always_2d=True)[0], atol=1e-4)
    assert "its sound was kept nowhere as a whole" in alone._repr_html_()


def test_results_are_read_from_another_folder_too_and_what_is_gone_is_told(
    separator, make_recording, tmp_path, monkeypatch, played
):
    monkeypatch.chdir(tmp_path)
    path = make_recording("in/a.wav").rename(tmp_path / "a.wav")
    result = separator.separate(path.name, output="out", classes="Dog", report=True)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert result["Dog"].any()
    assert result._repr_html_() == "a player"
    assert all(sf.info(file).frames for file in result.paths("Dog"))
    assert Path(result.report).is_file()
    assert read_index(tmp_path / "out")["recording_uri"].to_pylist()[0] == "a.wav"
    for file in result.paths("Dog"):
        Path(file).unlink()
    monkeypatch.setattr(sounds, "player_html", lambda mixture, stems, **options: "")
    assert "dog" in result._repr_html_().casefold()
    assert result._repr_html_().startswith("<p>SeparatedRecording(")
