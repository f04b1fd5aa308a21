from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.unit.evaluation.benchmarks.conftest import drawn, mixed, mixture_sdr, text, tone, write
from uss_ray.errors import DataError
from uss_ray.evaluation.benchmarks.known import find_benchmark
from uss_ray.store.store import Store


def replica(data: Path) -> Path:
    track = data / "test" / "Track01876"
    rate, seconds = 8_000, 26.0
    piano = tone(300, rate=rate, seconds=seconds, amplitude=0.2)
    piano[: 2 * rate] *= 0.25  # a peak of 0.05: not a candidate
    bass = tone(90, rate=rate, seconds=seconds, amplitude=0.4)
    write(track / "stems" / "S01.flac", piano, rate)
    write(track / "stems" / "S02.flac", bass, rate)
    write(track / "mix.flac", piano + bass, rate)
    text(
        track / "metadata.yaml",
        "stems:",
        "  S01: {audio_rendered: true, inst_class: Piano, is_drum: false, plugin_name: grand.nkm}",
        "  S02: {audio_rendered: true, inst_class: Bass, is_drum: false, plugin_name: pbass.nkm}",
        "  S03: {audio_rendered: false, inst_class: Guitar, is_drum: false, plugin_name: nylon.nkm}",
    )
    return data


def test_loud_segments_of_rendered_stems_stand_in_the_real_mix(tmp_path) -> None:
    data = replica(tmp_path)
    listed = drawn("slakh2100", data, protocol="published")
    assert {item.label for item in listed.items} == {"grand.nkm", "pbass.nkm"}
    assert sum(item.label == "grand.nkm" for item in listed.items) == 12
    assert min(source.start_seconds for source in listed.items[0].sources) == 2.0
    item = mixed(listed, data)
    assert len(item.mixture) == 64_000
    assert mixture_sdr(item) == pytest.approx(10 * np.log10(0.04 / 0.16), abs=0.01)


def test_the_strict_list_groups_by_instrument_and_each_seed_has_its_own(tmp_path) -> None:
    data = replica(tmp_path)
    listed = drawn("slakh2100", data)
    assert {item.label for item in listed.items} == {"Piano", "Bass"}
    assert listed.sha256 != drawn("slakh2100", data, seed=1).sha256


def test_what_was_not_rendered_is_not_missing(tmp_path) -> None:
    data = replica(tmp_path)
    check = find_benchmark("slakh2100").check(Store(data), "test")
    assert (check.expected, check.found, check.rates) == (3, 3, {8_000: 3})
    # some releases say of stems that are there that they were not rendered: the files decide, as in the released script
    write(data / "test" / "Track01876" / "stems" / "S03.flac", tone(500, rate=8_000, seconds=26.0), 8_000)
    assert "nylon.nkm" in {item.label for item in drawn("slakh2100", data, protocol="published").items}


def test_a_track_without_its_mix_is_not_whole(tmp_path) -> None:
    data = replica(tmp_path)
    (data / "test" / "Track01876" / "mix.flac").unlink()
    check = find_benchmark("slakh2100").check(Store(data), "test")
    assert (check.expected, check.found) == (3, 2)
    with pytest.raises(DataError, match=r"mix\.flac: expected every file of slakh2100"):
        drawn("slakh2100", data)
