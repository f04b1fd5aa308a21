from __future__ import annotations

import pytest

from tests.unit.evaluation.benchmarks.conftest import drawn, mixed, mixture_sdr, text


def test_the_fifth_fold_is_scored_and_the_others_train(clips) -> None:
    names = ("1-100032-A-0.wav", "5-103999-A-30.wav", "5-117120-A-9.wav")
    data = clips({f"audio/{name}": 300.0 * (1 + place) for place, name in enumerate(names)}, seconds=1.0)
    text(
        data / "meta" / "esc50.csv",
        "filename,fold,target,category,esc10,src_file,take",
        f"{names[0]},1,0,dog,True,100032,A",
        f"{names[1]},5,30,door_wood_knock,False,103999,A",
        f"{names[2]},5,9,crow,False,117120,A",
    )
    listed = drawn("esc50", data)
    assert {item.label for item in listed.items} == {"door_wood_knock", "crow"}
    assert mixture_sdr(mixed(listed, data)) == pytest.approx(0.0, abs=0.01)
