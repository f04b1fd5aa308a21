from __future__ import annotations

import pytest

from tests.unit.evaluation.benchmarks.conftest import drawn, mixed, mixture_sdr, text, tone, write
from uss_ray.errors import DataError
from uss_ray.evaluation.benchmarks.known import find_benchmark
from uss_ray.store.store import Store

RATE = 32_000


def rendered(data, folder: str, target: str, mixture: str, *, other: float = 0.1) -> None:
    one, two = (
        tone(hertz, rate=RATE, seconds=0.5, amplitude=level) for hertz, level in ((400, 0.2), (1000, other))
    )
    write(data / folder / target, one, RATE)
    write(data / folder / mixture, one + two, RATE)


def test_audiosep_names_rendered_targets_and_mixtures(tmp_path) -> None:
    text(
        tmp_path / "metadata" / "esc50_eval.csv",
        "idx,caption,src_wav,noise_wav",
        "0,dog,1-100032-A-0.wav,5-207836-D-29.wav",
        "1,chirping birds,1-100038-A-14.wav,1-30226-A-0.wav",
    )
    for number in (0, 1):
        rendered(tmp_path, "data/esc50", f"segment-{number}.wav", f"mixture-{number}.wav")
    listed = drawn("audiosep", tmp_path)
    assert [item.label for item in listed.items] == ["dog", "chirping birds"]
    assert mixture_sdr(mixed(listed, tmp_path)) == pytest.approx(6.02, abs=0.01)


def test_audiosep_names_the_paths_of_vggsound(tmp_path) -> None:
    text(
        tmp_path / "metadata" / "vggsound_eval.csv",
        "file_id,mix_wav,s0_wav,s0_text,s1_wav,s1_text",
        'a+++b,data/mix_wav/a+++b.wav,data/s0_wav/a+++b.wav,"playing violin, fiddle",data/s1_wav/a+++b.wav,skidding',
    )
    folder = "data/vggsound/data"
    rendered(tmp_path, folder, "s0_wav/a+++b.wav", "mix_wav/a+++b.wav", other=0.2)
    listed = drawn("audiosep", tmp_path, split="vggsound")
    assert listed.items[0].label == "playing violin, fiddle"
    assert mixture_sdr(mixed(listed, tmp_path)) == pytest.approx(0.0, abs=0.01)


def test_audiosep_names_the_files_of_audioset_from_the_root_of_its_repository(tmp_path) -> None:
    path = "evaluation/data/audioset/class_id=0/class_id=0,index=000,{}.wav"
    text(
        tmp_path / "metadata" / "audioset_eval.csv",
        "idx,caption,src_wav,noise_wav",
        f'0,Speech,"{path.format("source")}","{path.format("mixture")}"',
    )
    folder = "data/audioset/class_id=0"
    rendered(
        tmp_path, folder, "class_id=0,index=000,source.wav", "class_id=0,index=000,mixture.wav", other=0.2
    )
    listed = drawn("audiosep", tmp_path, split="audioset")
    assert listed.items[0].label == "Speech"
    assert mixture_sdr(mixed(listed, tmp_path)) == pytest.approx(0.0, abs=0.01)


def test_clapsep_mixes_whole_clips_at_equal_energy_over_ten_seconds(tmp_path) -> None:
    text(
        tmp_path / "metadata" / "evaluation" / "esc_eval.csv",
        "source_file,positive_caption,noise_file,negative_caption",
        "4-218199-F-35.wav,the sound of washing machine,5-223103-A-31.wav,The sounds of mouse click",
    )
    folder = tmp_path / "audio" / "esc"
    write(folder / "4-218199-F-35.wav", tone(400, rate=44_100, seconds=5.0, amplitude=0.2), 44_100)
    write(folder / "5-223103-A-31.wav", tone(1000, rate=44_100, seconds=0.5, amplitude=0.05), 44_100)
    listed = drawn("clapsep", tmp_path)
    item = mixed(listed, tmp_path)
    assert listed.items[0].label == "washing machine"
    assert listed.items[0].sources[1].label == "mouse click"
    assert len(item.mixture) == 10 * RATE
    assert not item.mixture[6 * RATE :].any()
    assert mixture_sdr(item) == pytest.approx(0.0, abs=0.01)
    (folder / "5-223103-A-31.wav").unlink()
    check = find_benchmark("clapsep").check(Store(tmp_path), "esc")
    assert (check.found, check.share) == (1, 0.5)


def test_a_list_without_a_column_is_refused(tmp_path) -> None:
    text(
        tmp_path / "metadata" / "evaluation" / "fsd_eval.csv",
        "source_file,positive_caption,noise_file",
        "a,b,c",
    )
    with pytest.raises(DataError, match="expected a column negative_caption"):
        drawn("clapsep", tmp_path, split="fsd")
