from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.unit.evaluation.benchmarks.conftest import drawn, tone, write
from tests.unit.evaluation.benchmarks.test_mini import scenes_data
from uss_ray.errors import ConfigError
from uss_ray.evaluation.items import EvaluationList
from uss_ray.evaluation.metrics import sdr
from uss_ray.evaluation.request import Variation
from uss_ray.evaluation.sounds import MixedItem, SoundShelf, mix
from uss_ray.store.store import Store


@pytest.fixture
def six(tmp_path: Path) -> Path:
    """Six classes with two clips each, so that each is a target."""
    data = scenes_data(tmp_path / "data")
    segments, events = data / "metadata" / "eval_segments.csv", data / "metadata" / "strong_labels.tsv"
    more = []
    for line in segments.read_text().splitlines():
        more.append(line.replace("clip", "again"))
        name = more[-1].partition(",")[0]
        write(
            data / "audio" / "eval" / f"{name}.wav",
            tone(150 * (1 + int(name[-1])), rate=32_000, seconds=10),
            32_000,
        )
    segments.write_text(segments.read_text() + "\n".join(more) + "\n")
    rows = events.read_text().splitlines()
    events.write_text("\n".join([*rows, *(row.replace("clip", "again") for row in rows[1:])]) + "\n")
    return data


def of_kind(listed: EvaluationList, data: Path, kind: str) -> list[MixedItem]:
    shelf = SoundShelf(Store(data))
    return [mix(item, shelf) for item in listed.items if f"/{kind} " in item.item_id][:12]


@pytest.mark.slow
def test_levels_numbers_and_lengths_are_varied_and_all_else_is_as_drawn(six: Path) -> None:
    plain = drawn("mini", six)
    assert drawn("mini", six, variation=Variation()) == plain
    variation = Variation(snr_db=(-10.0, 5.0), sources=(2, 4), seconds=(1.0,))
    listed = drawn("mini", six, variation=variation)
    assert len(listed.items) == 5 * len(plain.items)
    assert listed.sha256 == drawn("mini", six, variation=variation).sha256 != plain.sha256
    for item in of_kind(listed, six, "snr"):
        [target] = item.targets.values()
        wanted = float(item.item.item_id.rpartition(" ")[2])
        assert float(sdr(item.mixture, target)) == pytest.approx(wanted, abs=0.05)
    for item in of_kind(listed, six, "sources"):
        labels = [source.label for source in item.item.sources]
        assert len(set(labels)) == len(labels) == int(item.item.item_id[-1])
        [target] = item.targets.values()
        if len(labels) == 4:  # tones of one energy that hold nothing of each other
            assert float(sdr(item.mixture, target)) == pytest.approx(-10 * np.log10(3), abs=0.3)
    assert {len(item.mixture) for item in of_kind(listed, six, "seconds")} == {32_000}


def test_what_is_no_mixture_of_two_is_refused(tmp_path: Path) -> None:
    data = scenes_data(tmp_path / "data")
    with pytest.raises(ConfigError, match="expected mixtures of a target and another source"):
        drawn("scenes", data, variation=Variation(snr_db=(0.0,)))
