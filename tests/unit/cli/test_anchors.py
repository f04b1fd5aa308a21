"""`uss-ray anchors pack`."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from uss_ray.pipelines.training import packing_on_ray


@pytest.mark.parametrize(
    ("unfinished", "code", "told"),
    [(0, 0, "160 anchors in 3 shards"), (2, 8, "2 shards are not written (no room)")],
)
def test_what_became_of_the_pack_is_told(command, monkeypatch, unfinished, code, told):
    asked = []

    def pack(request, *, options, on_progress):
        asked.append((request, options))
        return SimpleNamespace(
            summary=SimpleNamespace(unfinished=unfinished, anchors=160, shards=3),
            counters=SimpleNamespace(unfinished_reason="no room"),
            output=request.output,
            exit_code=code,
        )

    monkeypatch.setattr(packing_on_ray, "pack_anchors", pack)
    ran = command("anchors", "pack", "mined", "packed", "--seed", 3, "--actors", 2)
    assert ran.exit_code == code
    assert told in ran.out
    ((request, options),) = asked
    assert (request.anchors, request.output, request.seed, options.actors) == ("mined", "packed", 3, 2)
