from __future__ import annotations

from uss_ray.pipelines.mining.request import MiningRequest


def test_compiled_networks_make_another_run() -> None:
    plain, compiled = (
        MiningRequest(segments=("a.csv",), audio="audio", output="out", compiled=choice).described(
            segments_sha256="1", class_list_sha256="2"
        )
        for choice in (False, True)
    )
    assert not plain["compiled"]
    assert compiled == {**plain, "compiled": True}
