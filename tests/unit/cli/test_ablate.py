"""`uss-ray ablate`: its table and its exit code; what is run is tested with the pipeline."""

from __future__ import annotations

from uss_ray.pipelines.training import ablation
from uss_ray.pipelines.training.ablation_table import RunOutcome, summarise


def test_a_failed_arm_is_told_of_and_shows_in_the_exit_code(command, monkeypatch):
    ran = [
        RunOutcome(arm="base", seed=0, state="finished", step=9, sdri_db=5.0, loss=0.5),
        RunOutcome(arm="l1", seed=0, state="failed", step=4, error="it broke"),
    ]
    seen = []

    def ablate(request, options, *, is_stopping, on_run):
        seen.append((request, options))
        for outcome in ran:
            on_run(outcome)
        return summarise(ran, ["base", "l1"])

    monkeypatch.setattr(ablation, "ablate", ablate)
    arguments = ("b.yaml", "o1", "o2", "-o", "out", "--seeds", 1, "--workers", 2, "--device", "cpu")
    ended = command("ablate", *arguments)
    assert ended.exit_code == 1
    assert "l1, seed 0: failed at step 4, it broke" in ended.out
    assert "1 runs are not finished, 1 of them failed." in ended.out
    assert "Table: out/ablation.md" in ended.out
    request, options = seen[0]
    assert (request.base, request.overlays, request.seeds) == ("b.yaml", ("o1", "o2"), 1)
    assert (request.device, options.workers) == ("cpu", 2)
    ran[1] = RunOutcome(
        arm="l1", seed=0, state="finished", step=9, sdri_db=5.0, measured_on={"list_sha256": "b"}
    )
    assert "l1: scored on another list than the base" in command("ablate", *arguments).out
    del ran[1]
    monkeypatch.setattr(ablation, "ablate", lambda *_, **__: summarise(ran, ["base"]))
    assert command("ablate", *arguments).exit_code == 0
