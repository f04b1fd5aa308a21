from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.unit.evaluation.benchmarks.conftest import drawn, mixed, mixture_sdr, text, tone, write
from uss_ray.errors import ConfigError, DataError
from uss_ray.evaluation.benchmarks.mini import local_folder
from uss_ray.evaluation.protocol import build_pairs
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.store.store import Store

SCENES_SHA256 = "e20dd8c354e280104d5501f82015c0b398ade3c6bff0d43a317021e7d225453a"
TWO_SOURCE = Path(__file__).parents[3] / "data" / "two_source"


def test_the_list_is_that_of_pairs(vocabulary: Vocabulary) -> None:
    listed = drawn("mini", TWO_SOURCE)
    pairs = build_pairs(TWO_SOURCE, vocabulary=vocabulary, segment_seconds=2.0)
    assert sorted((pair.target_start_seconds, pair.other_class_id) for pair in pairs) == sorted(
        (item.sources[0].start_seconds, item.sources[1].class_id) for item in listed.items
    )
    assert mixture_sdr(mixed(listed, TWO_SOURCE)) == pytest.approx(0.0, abs=0.01)


@pytest.mark.slow
def test_the_training_split_has_a_list_that_examples_are_taken_from(tmp_path: Path) -> None:
    evaluated, data = drawn("mini", TWO_SOURCE), tmp_path / "set"
    shutil.copytree(TWO_SOURCE, data)
    (data / "audio" / "eval").rename(data / "audio" / "train")
    (data / "metadata" / "eval_segments.csv").rename(data / "metadata" / "train_segments.csv")
    events = data / "metadata" / "strong_labels.tsv"
    events.write_text(events.read_text().replace("\teval\t", "\ttrain\t"))
    listed = drawn("mini", data, split="train")
    assert [item.item_id for item in listed.items] == [item.item_id for item in evaluated.items]
    assert {path.rpartition("/")[0] for path in listed.paths} == {"audio/train"}


def scenes_data(data: Path) -> Path:
    """Six tones of six classes, each an event of 4 s."""
    events, segments = ["segment_id\tsplit\tonset\toffset\tmid\trole"], []
    ids = ("/m/0bt9lr", "/m/06mb1", "/m/05r5c", "/m/0k4j", "/m/09x0r", "/m/03m9d0z")
    for place, class_id in enumerate(ids):
        sound = tone(200 + 100 * place, rate=32_000, seconds=10)
        write(data / "audio" / "eval" / f"clip{place}.wav", sound, 32_000)
        segments.append(f'clip{place}, 0.000, 10.000, "{class_id}"')
        events.append(f"clip{place}\teval\t3.0\t7.0\t{class_id}\ttarget")
    text(data / "metadata" / "eval_segments.csv", *segments)
    text(data / "metadata" / "strong_labels.tsv", *events)
    return data


def test_a_scene_has_a_target_a_class_at_its_place(tmp_path) -> None:
    scenes_data(tmp_path)
    listed = drawn("scenes", tmp_path)
    assert len(listed.items) == 60
    item = mixed(listed, tmp_path)
    assert 3 <= len(item.targets) <= 6
    assert len(item.mixture) == round(listed.items[0].seconds * 32_000)
    np.testing.assert_allclose(item.mixture, np.sum(list(item.targets.values()), axis=0), atol=1e-6)


def test_a_list_of_scenes_keeps_its_name(tmp_path) -> None:
    # made before scenes could be empty
    assert drawn("scenes", scenes_data(tmp_path)).sha256 == SCENES_SHA256


def open_data(data: Path) -> Path:
    """As `scenes_data`, each class twice, and two textures below another event."""
    scenes_data(data)
    table, events = data / "metadata" / "eval_segments.csv", data / "metadata" / "strong_labels.tsv"
    segments, times = table.read_text().splitlines(), events.read_text().splitlines()
    for place in range(6):
        (data / "audio" / "eval" / f"again{place}.wav").write_bytes(
            (data / "audio" / "eval" / f"clip{place}.wav").read_bytes()
        )
        segments.append(segments[place].replace("clip", "again"))
        times.append(times[1 + place].replace("clip", "again"))
    for number, class_id in enumerate(("/m/034srq", "/m/0chx_")):
        below = tone(3000 + 100 * number, rate=32_000, seconds=10, amplitude=0.01)
        below[32_000 * 2 : 32_000 * 3] += 0.3
        write(data / "audio" / "eval" / f"below{number}.wav", below, 32_000)
        segments.append(f'below{number}, 0.000, 10.000, "{class_id}"')
        times.append(f"below{number}\teval\t0.0\t10.0\t{class_id}\tbackground")
        times.append(f"below{number}\teval\t2.0\t3.0\t/m/0bt9lr\ttarget")
    text(table, *segments)
    text(events, *times)
    return data


def test_scenes_may_be_empty_with_a_texture_that_is_no_target(tmp_path) -> None:
    listed = drawn("open-scenes", open_data(tmp_path))
    assert len(listed.items) == 60
    counts = [len(item.targets) for item in listed.items]
    assert (min(counts), max(counts)) == (0, 6)
    assert any(source.label.endswith(" (2)") for item in listed.items for source in item.targets)
    empty = mixed(listed, tmp_path, counts.index(0))
    assert not empty.targets
    levels = np.square(empty.mixture.reshape(-1, 3200)).mean(axis=1)
    # what is heard of the texture is itself alone, at one level from the beginning to the end
    assert levels[1:-1].min() > 0.2 * levels.max() > 0
    several = next(
        place for place, item in enumerate(listed.items) if item.targets and item.sources[-1].role == "other"
    )
    item = mixed(listed, tmp_path, several)
    rest = item.mixture - np.sum(list(item.targets.values()), axis=0)
    assert 0 < np.square(rest).mean() < np.square(item.mixture).mean()


def test_of_several_sets_each_gives_its_list(two_sources: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        shutil.copytree(two_sources, tmp_path / name)
    alone, both = drawn("mini", two_sources), drawn("mini", tmp_path)
    assert [item.item_id for item in both.items] == [
        f"{name}/{item.item_id}" for name in ("one", "two") for item in alone.items
    ]
    first, second = (mixed(both, tmp_path, place).mixture for place in (0, len(alone.items)))
    np.testing.assert_array_equal(first, second)
    with pytest.raises(DataError, match="expected a table of true events"):
        drawn("mini", tmp_path / "one" / "audio")


def test_a_set_with_known_events_is_on_this_machine() -> None:
    with pytest.raises(ConfigError, match="expected a folder of this machine"):
        local_folder(Store("s3://bucket/mini"))
    assert local_folder(Store(TWO_SOURCE)) == TWO_SOURCE
