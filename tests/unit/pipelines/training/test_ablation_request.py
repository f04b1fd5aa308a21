from __future__ import annotations

from pathlib import Path

import pytest

from uss_ray.errors import ConfigError
from uss_ray.pipelines.training.ablation_request import AblationRequest, arms_of

BASE = """
request:
  anchors: packed
  output: unused
  validation: {data: held-out}
  recipe: {name: base, fit: {steps: 10, checkpoint_steps: 5}}
"""


def asked(root: Path, overlays: dict[str, str], *, base: str = BASE) -> AblationRequest:
    (root / "base.yaml").write_text(base)
    (root / "overlays").mkdir()
    for name, text in overlays.items():
        (root / "overlays" / f"{name}.yaml").write_text(text)
    return AblationRequest(
        base=str(root / "base.yaml"), overlays=(str(root / "overlays"),), output="out", seeds=2, device="cpu"
    )


def test_an_arm_is_the_base_with_its_overlay_and_its_seed(tmp_path: Path) -> None:
    arms = arms_of(asked(tmp_path, {"l1": "request: {recipe: {loss: {kind: l1}}}"}))
    assert [(arm.name, arm.seed) for arm in arms] == [("base", 0), ("l1", 0), ("base", 1), ("l1", 1)]
    assert arms[3].training.output == "out/l1/seed-1"
    assert arms[3].training.recipe.plan.seed == 1
    assert [arm.training.recipe.loss.kind for arm in arms[:2]] == ["l1-relative", "l1"]
    assert arms[0].training.device == "cpu"


@pytest.mark.parametrize(
    ("base", "overlays", "message"),
    [
        (
            BASE,
            {"a": "request: {recipe: {los: {kind: l1}}}"},
            r"a\.yaml: request\.recipe\.los: expected a known setting, 'loss'",
        ),
        (
            BASE.replace("recipe: {", "recipe: {los: 3, "),
            {"a": "request: {recipe: {loss: {kind: l1}}}"},
            r"base\.yaml: request\.recipe\.los: expected a known setting, 'loss'",
        ),
        (BASE, {"a": "request: 3"}, r"a\.yaml: request: expected settings by their names, found 3"),
        (BASE, {"a": "recipe: {}"}, r"a\.yaml: recipe: expected a known setting, 'request'"),
        (BASE, {"base": ""}, "expected a name that no other arm has, found base"),
        (BASE, {}, r"expected overlays \(\*\.yaml\), found none"),
        (BASE.replace("validation", "ontology").replace("{data: held-out}", "o"), {"a": ""}, "a validation"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_before_any_run(
    tmp_path: Path, base: str, overlays: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        arms_of(asked(tmp_path, overlays, base=base))
