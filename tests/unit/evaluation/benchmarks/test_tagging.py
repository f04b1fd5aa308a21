from __future__ import annotations

import numpy as np
import pytest

from tests.unit.evaluation.benchmarks.conftest import drawn, mixed, text, tone, write
from uss_ray.errors import DataError

ANIMAL, DOG, BARK, RAIN = "/m/0jbk", "/m/0bt9lr", "/m/05tny_", "/m/06mb1"


def a_set(root, *, has_times: bool = True) -> None:
    for name in ("one", "two"):
        write(root / "audio" / "eval" / f"{name}.wav", tone(300, rate=16_000, seconds=2), 16_000)
    text(
        root / "metadata" / "eval_segments.csv",
        "# a comment", f'one, 0.000, 2.000, "{ANIMAL},{DOG},{BARK}"', f'two, 0.000, 2.000, "{RAIN}"',
    )  # fmt: skip
    if has_times:
        text(
            root / "metadata" / "strong_labels.tsv",
            "segment_id\tsplit\tonset\toffset\tmid\trole",
            f"one\teval\t0.5\t1.0\t{BARK}\ttarget",
            f"one\teval\t0.8\t1.2\t{DOG}\tsecond",
            f"one\teval\t1.5\t1.6\t{BARK}\ttarget",
            f"one\ttrain\t0.0\t2.0\t{BARK}\ttarget",
            "two\teval\t0.0\t2.0\t/m/unknown\ttarget",
        )


def test_an_item_is_a_clip_and_a_label_sounds_when_one_below_it_does(tmp_path) -> None:
    a_set(tmp_path)
    listed = drawn("tagging", tmp_path)
    assert [item.item_id for item in listed.items] == ["one", "two"]
    tags = {source.class_id: source.sounds for source in listed.items[0].sources if source.role == "tag"}
    assert tags == {
        ANIMAL: ((0.5, 1.2), (1.5, 1.6)), DOG: ((0.5, 1.2), (1.5, 1.6)), BARK: ((0.5, 1.0), (1.5, 1.6)),
    }  # fmt: skip
    assert [source.sounds for source in listed.items[1].sources] == [(), ()]
    clip = mixed(listed, tmp_path)
    assert (clip.sample_rate, clip.targets) == (16_000, {})
    np.testing.assert_allclose(clip.mixture, tone(300, rate=16_000, seconds=2), atol=1e-4)


def test_a_set_alone_needs_no_times_and_of_several_each_gives_its_clips(tmp_path) -> None:
    a_set(tmp_path / "alone", has_times=False)
    assert all(
        not source.sounds for item in drawn("tagging", tmp_path / "alone").items for source in item.sources
    )
    for name in ("first", "second"):
        a_set(tmp_path / "sets" / name)
    listed = drawn("tagging", tmp_path / "sets")
    assert [item.item_id for item in listed.items] == ["first/one", "first/two", "second/one", "second/two"]
    (tmp_path / "sets" / "first" / "audio" / "eval" / "two.wav").unlink()
    with pytest.raises(DataError, match=r"two.ogg: expected every file of tagging .* found 75.0% of 4"):
        drawn("tagging", tmp_path / "sets")
    assert drawn("tagging", tmp_path / "sets", allow_missing=True).missing == 1
