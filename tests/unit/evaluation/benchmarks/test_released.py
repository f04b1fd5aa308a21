"""What the released scripts do, written once more from their description: lists, mixtures and scores are the same."""

from __future__ import annotations

import csv
import io
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import yaml

from tests.unit.evaluation.benchmarks.conftest import drawn, mixed, text, tone, write
from uss_ray.evaluation.averages import class_median_mean
from uss_ray.evaluation.items import EvaluationList
from uss_ray.evaluation.measures import Truth, score

RATE, SAMPLES, SEED, EACH = 32_000, 64_000, 1234, 100


def loaded(path: Path, start: int = 0, count: int | None = None) -> np.ndarray:
    """Decode as the scripts' loader does: mono, at 32 kHz by soxr's HQ, as long as the ratio of the rates says."""
    sound, rate = soundfile.read(path, start=start, frames=-1 if count is None else count, dtype="float32")
    wanted = int(np.ceil(len(sound) * RATE / rate))
    found = soxr.resample(sound, rate, RATE, quality="HQ")
    return np.concatenate([found, np.zeros(max(0, wanted - len(found)), np.float32)])[:wanted]


def as_written(sound: np.ndarray) -> np.ndarray:
    """Go through a 16-bit WAV file."""
    file = io.BytesIO()
    soundfile.write(file, sound, RATE, format="WAV", subtype="PCM_16")
    file.seek(0)
    return soundfile.read(file, dtype="float32")[0]


def two_seconds(path: Path) -> np.ndarray:
    sound = loaded(path)
    return np.tile(sound, 1 + SAMPLES // len(sound))[:SAMPLES]


def ring_of_pairs(rows: list[tuple[str, str]]) -> Iterator[tuple[str, int, str, str]]:
    """Give label, number in it, target and partner."""
    state, numbers = np.random.RandomState(SEED), {label: itertools.count() for _, label in rows}
    full: dict[str, int] = dict.fromkeys(numbers, 0)
    while any(count < EACH for count in full.values()):
        for here in state.permutation(len(rows)):
            (name, label), (beside, other) = rows[here], rows[here + 1 - len(rows)]
            if full[label] == EACH or label == other:
                continue
            full[label] += 1
            yield label, next(numbers[label]), name, beside


def check(listed: EvaluationList, data: Path, folder: str, rows: list[tuple[str, str]]) -> None:
    expected = {(label, number): (one, two) for label, number, one, two in ring_of_pairs(rows)}
    items = {tuple(item.item_id.rsplit("/", 1)): (place, item) for place, item in enumerate(listed.items)}
    assert {(label, int(number)) for label, number in items} == expected.keys()
    sounds = {name: two_seconds(data / folder / name) for name, _ in rows}
    for (label, number), (place, item) in items.items():
        names = tuple(source.path.rpartition("/")[2] for source in item.sources)
        assert names == expected[label, int(number)]
        target, other = (sounds[name] for name in names)
        ratio = (
            np.mean(target.astype(np.float64) ** 2) / max(1e-10, np.mean(other.astype(np.float64) ** 2))
        ) ** 0.5
        ratio = min(50.0, max(0.02, ratio))
        assert item.sources[1].gain == pytest.approx(ratio, rel=1e-6)
        if int(number) < 2:
            ours = mixed(listed, data, place)
            theirs = as_written(target + np.float32(ratio) * other)
            assert np.abs(ours.mixture - theirs).max() <= 1 / 2**15
            np.testing.assert_array_equal(ours.targets[label], as_written(target))


def test_the_lists_of_freesound_s_sets_are_those_of_the_scripts(clips: Callable[..., Path]) -> None:
    names = [f"{place:08x}.wav" for place in (11, 5, 93, 40, 8)]
    labels = ["Gunshot_or_gunfire", "Chime", "Chime", "Saxophone", "Gunshot_or_gunfire"]
    folder = "FSDKaggle2018.audio_test"
    data = clips({f"{folder}/{name}": 310.0 + 170 * place for place, name in enumerate(names)})
    rows = list(zip(names, labels, strict=True))
    text(
        data / "FSDKaggle2018.meta" / "test_post_competition_scoring_clips.csv",
        "fname,label,usage,freesound_id,license",
        *(f"{name},{label},Public,1,CC0" for name, label in rows),
    )
    check(drawn("fsdkaggle2018", data, protocol="published"), data, folder, rows)


def test_fsd50k_counts_first_labels_alone(clips: Callable[..., Path]) -> None:
    folder = "FSD50K.eval_audio"
    names = [f"{number}.wav" for number in (101, 22, 303, 4)]
    data = clips({f"{folder}/{name}": 200.0 + 130 * place for place, name in enumerate(names)})
    table = data / "FSD50K.ground_truth" / "eval.csv"
    text(
        table,
        "fname,labels,mids",
        '101,"Bark,Dog","/m/05tny_,/m/0bt9lr"',
        '22,"Dog,Animal","/m/0bt9lr,/m/0jbk"',
        '303,"Rain","/m/06mb1"',
        '4,"Bark,Dog","/m/05tny_,/m/0bt9lr"',
    )
    with table.open(encoding="utf-8") as lines:
        rows = [(f"{row['fname']}.wav", row["labels"].split(",")[0]) for row in csv.DictReader(lines)]
    check(drawn("fsd50k", data, protocol="published"), data, folder, rows)


def test_slakh_s_segments_are_drawn_with_one_state_for_all_plugins(tmp_path: Path) -> None:
    rate = 8_000
    rng = np.random.default_rng(0)
    for number, plugins in ((1876, ("grand.nkm", "bass.nkm")), (1877, ("grand.nkm", "few.nkm"))):
        track, told = tmp_path / "test" / f"Track{number:05d}", []
        for place, plugin in enumerate(plugins):
            seconds = 14 if plugin == "few.nkm" else 150
            stem = tone(100.0 + 90 * place, rate=rate, seconds=seconds, amplitude=0.3)
            stem *= np.repeat(rng.choice([0.1, 1.0], seconds // 2), 2 * rate)  # some are too quiet
            write(track / "stems" / f"S{place:02d}.flac", stem, rate)
            told.append(
                f"  S{place:02d}: {{audio_rendered: true, inst_class: A, is_drum: false, plugin_name: {plugin}}}"
            )
        write(track / "mix.flac", tone(100, rate=rate, seconds=150, amplitude=0.6), rate)
        text(track / "metadata.yaml", "stems:", *told)
    candidates: dict[str, list[tuple[str, int]]] = {}
    for table in sorted((tmp_path / "test").glob("*/metadata.yaml")):
        for stem, named in yaml.safe_load(table.read_text())["stems"].items():
            path = table.parent / "stems" / f"{stem}.flac"
            sound, _ = soundfile.read(path)
            loud = [
                start
                for start in range(0, len(sound) - 2 * rate + 1, 2 * rate)
                if np.abs(sound[start : start + 2 * rate]).max() > 0.1
            ]
            candidates.setdefault(named["plugin_name"], []).extend(
                (str(path.relative_to(tmp_path)), start) for start in loud
            )
    state, expected = np.random.RandomState(SEED), {}
    for plugin, own in candidates.items():
        if len(own) > 10:
            order = range(len(own)) if len(own) < EACH else state.choice(len(own), size=EACH, replace=False)
            expected |= {f"{plugin}/{number:03d}": own[place] for number, place in enumerate(order)}
    assert {name.partition("/")[0] for name in expected} == {"grand.nkm", "bass.nkm"}
    listed = drawn("slakh2100", tmp_path, protocol="published")
    assert {
        item.item_id: (item.sources[0].path, round(item.sources[0].start_seconds * rate))
        for item in listed.items
    } == expected
    path, start = expected[listed.items[0].item_id]
    ours = mixed(listed, tmp_path)
    mixture = as_written(loaded(tmp_path / Path(path).parents[1] / "mix.flac", start, 2 * rate))
    assert np.abs(ours.mixture - mixture).max() <= 1 / 2**15


@pytest.mark.slow
def test_the_scripts_scores_are_ours_with_museval_s_arguments_swapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ffmpeg", "ffprobe"):  # museval looks for them, and leaves it at that
        (tmp_path / name).touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    import museval

    rng = np.random.default_rng(0)
    reference, other = (rng.standard_normal(3 * RATE).astype(np.float32) * 0.1 for _ in range(2))
    estimate, mixture = reference + 0.3 * other, reference + other
    ours = score(estimate, Truth(reference, mixture, RATE), more=("bss_sdr_swapped", "bss_sdri_swapped"))

    def swapped(heard: np.ndarray) -> float:
        ratios = museval.evaluate(
            references=estimate[None, :, None], estimates=heard[None, :, None], win=RATE, hop=RATE
        )[0]
        return float(np.nanmedian(ratios))

    assert ours["bss_sdr_swapped"] == pytest.approx(swapped(reference), abs=1e-3)
    assert ours["bss_sdri_swapped"] == pytest.approx(swapped(reference) - swapped(mixture), abs=1e-3)

    def plain(heard: np.ndarray) -> float:
        wrong = np.mean((heard - reference) ** 2)
        return float(10 * np.log10(max(np.mean(reference**2), 1e-10) / max(wrong, 1e-10)))

    assert ours["sdri"] == pytest.approx(plain(estimate) - plain(mixture), abs=1e-4)
    values = {"a": [1.0, 7.0, 2.0], "b": [4.0]}
    assert class_median_mean(values).value == np.nanmean([np.nanmedian(own) for own in values.values()])
