"""From a run to a weights folder: the averaged parameters, settled norm statistics, class means, a model card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jinja2 import Environment, StrictUndefined
from torch import Tensor, nn

from uss_ray.errors import WeightsError
from uss_ray.models.registry import Role, describe_network
from uss_ray.models.specifications import ClassListId
from uss_ray.models.tagging import AudioTagger
from uss_ray.silence import MiningSilence
from uss_ray.training.anchors import TrainingAnchors
from uss_ray.training.fit import TrainingState
from uss_ray.training.norms import settle_norms_of
from uss_ray.training.recipe import SeparatorRecipe
from uss_ray.training.separator import SeparatorTask
from uss_ray.training.tagger import TaggerTask
from uss_ray.weights.folder import Weights, save_weights, specify
from uss_ray.weights.tensors import StoredType

_NOTHING_TOLD: Mapping[str, Any] = {}
_NO_SILENCE = MiningSilence(anchor_rejected_below_rms_dbfs=None)
_ADAPT_AT_ONCE = 64


def export_tagger(
    state: TrainingState,
    output: Path,
    *,
    task: TaggerTask,
    segment_seconds: float,
    class_ids: Sequence[str],
    known_classes: Sequence[int],
    told: Mapping[str, Any] = _NOTHING_TOLD,
) -> Path:
    """Write the weights folder of a tagger, that anchors can be mined with.

    Parameters
    ----------
    state : TrainingState
        Of a checkpoint of the run.
    output : Path
        Weights folder to write.
    task : TaggerTask
        Of the run's recipe; its module is overwritten.
    segment_seconds : float
        Length of the segments that it will be asked about.
    class_ids : sequence of str
        In the order of their indexes.
    known_classes : sequence of int
        Indexes of those that it was trained on.
    told : mapping, optional
        JSON values: licence, hardware and validation.
    """
    recipe = task.recipe
    task.module.load_state_dict(dict(state.ema or state.model))
    networks: dict[Role, nn.Module] = {"tagger": task.module.eval()}
    facts = {
        "recipe": recipe.name,
        "step": state.step,
        "averaged": bool(state.ema),
        "clips in a step": recipe.plan.batch_size,
        "peak rate": recipe.fit.optimiser.learning_rate,
        **told,
    }
    return save_weights(
        output,
        networks,
        name=recipe.name,
        specifications=specify(
            networks,
            segment_seconds=segment_seconds,
            class_list=ClassListId.of(class_ids),
            known_classes=tuple(known_classes),
        ),
        source=facts,
        model_card=_card(
            "tagger_card.md.j2",
            facts,
            recipe=recipe,
            tagger=_listed(describe_network("tagger", task.module)),
            classes=len(class_ids),
            known=len(known_classes),
        ),
    )


def check_tagger(weights: Weights, anchors: TrainingAnchors) -> AudioTagger:
    """Give the tagger of the weights; refuse one that did not mine the anchors, or has more than itself.

    Raises
    ------
    WeightsError
    """
    manifest = anchors.manifest
    if weights.sha256 != manifest.weights_sha256:
        raise WeightsError(
            f"weights {weights.name}",
            expected=f"{manifest.weights_name}, which mined {anchors.root}",
            found=f"others, sha256 {weights.sha256[:12]}…",
        )
    if weights.tagger is None or weights.networks.keys() & {"adaptor", "query"}:
        raise WeightsError(
            f"weights {weights.name}", expected="a tagger without an adaptor or a query net", found="others"
        )
    return weights.tagger


def export_separator(
    state: TrainingState,
    output: Path,
    *,
    task: SeparatorTask,
    weights: Weights,
    class_ids: Sequence[str],
    told: Mapping[str, Any] = _NOTHING_TOLD,
    dtype: StoredType = "float16",
) -> Path:
    """Write the weights folder of a checkpoint.

    Parameters
    ----------
    state : TrainingState
        Of a checkpoint of the run.
    output : Path
        Weights folder to write.
    task : SeparatorTask
        Of the run's recipe; its module is overwritten.
    weights : Weights
        Those that mined: their tagger goes into the folder.
    class_ids : sequence of str
        In the order of their indexes.
    told : mapping, optional
        JSON values: licence, hardware and validation.
    dtype : {"float32", "float16", "bfloat16"}, default="float16"
        Storage of matrices.

    Returns
    -------
    Path
        The weights folder.

    Raises
    ------
    WeightsError
        See `check_tagger`.
    """
    tagger = check_tagger(weights, task.anchors)
    recipe = task.recipe
    module = task.module
    module.load_state_dict(dict(state.ema or state.model))
    settle_norms_of(
        task,
        first=recipe.fit.steps,  # data that no step of training has seen in this order
        batches=recipe.settle_batches,
        lanes=recipe.plan.lanes,
        seed=recipe.plan.seed,
    )
    networks: dict[Role, nn.Module] = {"tagger": tagger, "separator": module.separator}
    if module.query is not None:
        networks["query"] = module.query
    if module.adaptor is not None:
        networks["adaptor"] = module.adaptor
    manifest = task.anchors.manifest
    facts = {
        "recipe": recipe.name,
        "step": state.step,
        "averaged": bool(state.ema),
        "anchors": manifest.anchors,
        "anchors_sha256": manifest.data_sha256,
        "clips": manifest.clips,
        **told,
    }
    return save_weights(
        output,
        networks,
        name=recipe.name,
        specifications=specify(
            networks,
            segment_seconds=manifest.samples / manifest.sample_rate,
            condition_kind=recipe.query.kind,
            shortcut=recipe.query.shortcut,
            class_list=ClassListId.of(class_ids),
            training_rms_dbfs=recipe.mixtures.target_rms_dbfs,
            silence=manifest.mining.get("silence", _NO_SILENCE),
            calibration=weights.specifications.calibration,  # of the tagger, which goes along
        ),
        class_means=_conditions(task),
        dtype=dtype,
        source=facts,
        model_card=describe(recipe, facts=facts, weights=weights, task=task),
    )


def describe(
    recipe: SeparatorRecipe, *, facts: Mapping[str, Any], weights: Weights, task: SeparatorTask
) -> str:
    """Write the model card: what the weights are, what they were trained on and how, what they are not for."""
    manifest = task.anchors.manifest
    return _card(
        "separator_card.md.j2",
        facts,
        recipe=recipe,
        tagger=_listed(describe_network("tagger", weights.networks["tagger"])),
        tagger_name=weights.name,
        tagger_source=_listed(weights.source or {}) or "see its own card",
        separator=_listed(recipe.separator.model_dump()),
        classes=len(task.anchors.catalogue.classes),
        seconds=manifest.samples / manifest.sample_rate,
        sources=json.dumps(manifest.mining, sort_keys=True),
    )


def _card(name: str, facts: Mapping[str, Any], **values: Any) -> str:
    template = resources.files("uss_ray.training").joinpath(f"templates/{name}").read_text("utf-8")
    environment = Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    told = {
        **facts,
        "hardware": facts.get("hardware", ""),
        "validation": _listed(facts.get("validation", {})),
        "licence": facts.get("licence", "not stated by who trained on them; those of the data set hold"),
    }
    return environment.from_string(template).render(facts=told, torch_version=torch.__version__, **values)


def _listed(settings: Mapping[str, Any]) -> str:
    """Write settings or figures in a line."""

    def shown(value: Any) -> str:
        if isinstance(value, Mapping | list | tuple):
            return ", ".join(map(str, value.values() if isinstance(value, Mapping) else value))
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    return "; ".join(f"{name} {shown(value)}" for name, value in settings.items())


@torch.no_grad()
def _conditions(task: SeparatorTask) -> dict[int, Tensor]:
    """Bring class means behind what was trained of the query net."""
    module = task.module.eval()
    classes = task.anchors.catalogue.classes
    if module.query is not None:
        return {index: _mean_of_anchors(task, index) for index in classes}
    means = torch.from_numpy(np.stack([task.class_means[index] for index in classes])).to(task.device)
    rows = torch.cat([module.conditions(some, some[:, :0]) for some in means.split(_ADAPT_AT_ONCE)])
    return dict(zip(classes, rows.cpu(), strict=True))


def _mean_of_anchors(task: SeparatorTask, class_index: int) -> Tensor:
    """Average the conditions of some anchors of a class, evenly out of all."""
    rows = np.flatnonzero(task.anchors.catalogue.class_indexes == class_index)
    count = min(len(rows), task.recipe.query.mean_anchors)
    chosen = rows[np.linspace(0, len(rows) - 1, count).round().astype(int)]
    total = torch.zeros(())
    for start in range(0, count, _ADAPT_AT_ONCE):
        read = task.anchors.read(chosen[start : start + _ADAPT_AT_ONCE].tolist())
        conditions = task.module.conditions(*(part.to(task.device) for part in task.query_of(read)))
        total = total + conditions.sum(dim=0).cpu()
    return total / count
