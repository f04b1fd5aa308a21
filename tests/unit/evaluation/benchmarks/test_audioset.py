from __future__ import annotations

import numpy as np

from tests.unit.evaluation.benchmarks.conftest import drawn, mixed, text, tone, write
from uss_ray.anchors.anchor import Anchor
from uss_ray.anchors.shards import write_anchor_shard
from uss_ray.ontology.vocabulary import Vocabulary

DOG, RAIN = "/m/0bt9lr", "/m/06mb1"


def replica(data) -> None:
    lines = ["# Segments csv", "# num_ytids=2", "# YTID, start_seconds, end_seconds, positive_labels"]
    for clip_id, class_id, hertz in (("-abc", DOG, 300), ("xyz", RAIN, 900)):
        sound = tone(hertz, rate=32_000, seconds=5)
        sound[: 2 * 32_000] *= 0.1
        write(data / f"audios/eval_segments/Y{clip_id}.wav", sound, 32_000)
        lines.append(f'{clip_id}, 30.000, 40.000, "{class_id}"')
    text(data / "metadata" / "eval_segments.csv", *lines)


def test_names_carry_a_letter_and_first_seconds_count_where_nothing_is_mined(tmp_path) -> None:
    replica(tmp_path)
    listed = drawn("audioset", tmp_path)
    assert {item.label for item in listed.items} == {"Dog", "Rain"}
    assert {source.path for source in listed.items[0].sources} == {
        "audios/eval_segments/Y-abc.wav", "audios/eval_segments/Yxyz.wav",
    }  # fmt: skip


def mined(data, *places: tuple[str, str, int, float]) -> None:
    classes = Vocabulary.load().classes
    anchors = [
        Anchor(
            clip_id=clip_id, class_index=classes.index(class_id), start_sample=start, sample_rate=32_000, score=score,
            purity=1.0, intruder_index=None, level_db=-20.0, label_indexes=(classes.index(class_id),), prob_indexes=(),
            probs=np.zeros(0, np.float32), waveform=np.ones(64_000, np.int16), soft=None,
        )
        for clip_id, class_id, start, score in places
    ]  # fmt: skip
    write_anchor_shard(anchors, data / "anchors" / "eval_segments" / "anchors" / "a.parquet")


def test_what_was_mined_says_where(tmp_path) -> None:
    replica(tmp_path)
    mined(tmp_path, ("-abc", DOG, 96_000, 0.9), ("xyz", RAIN, 80_000, 0.9))
    listed = drawn("audioset", tmp_path)
    assert [source.start_seconds for source in listed.items[0].sources] == [3.0, 2.5]
    [target] = mixed(listed, tmp_path).targets.values()
    assert np.abs(target).max() > 0.2


def test_of_several_places_of_a_label_the_best_counts_and_of_equals_the_first(tmp_path) -> None:
    replica(tmp_path)
    dog = [("-abc", DOG, start, score) for start, score in ((0, 0.5), (64_000, 0.9), (96_000, 0.2))]
    rain = [("xyz", RAIN, start, 0.9) for start in (96_000, 32_000, 64_000)]
    mined(tmp_path, *dog, *rain)
    listed = drawn("audioset", tmp_path)
    assert [source.start_seconds for source in listed.items[0].sources] == [2.0, 1.0]
