from __future__ import annotations

from uss_ray.pipelines.mining.request import MiningRequest


def test_compiled_networks_make_another_run_and_plain_ones_the_one_they_always_made() -> None:
    plain, compiled = (
        MiningRequest(segments=("a.csv",), audio="audio", output="out", compiled=choice).described(
            segments_sha256="1", class_list_sha256="2"
        )
        for choice in (False, True)
    )
    assert "compiled" not in plain
    assert compiled == {**plain, "compiled": True}
