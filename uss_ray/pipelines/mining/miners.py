"""From a mining request to weights that are checked, and to the miner of a worker."""

from __future__ import annotations

import numpy as np

from uss_ray.errors import WeightsError
from uss_ray.mining.clip_miner import ClipMiner, WeakClip
from uss_ray.models.device import find_device
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.pipelines.mining.request import MiningRequest
from uss_ray.weights.folder import Weights
from uss_ray.weights.locate import load_weights


def load_vocabulary(request: MiningRequest) -> Vocabulary:
    """Read ontology and class list of a request."""
    return Vocabulary.load(ontology_path=request.ontology, classes_path=request.class_list)


def load_checked_weights(request: MiningRequest) -> Weights:
    """Load the weights of a request.

    Raises
    ------
    WeightsError
        If they are missing or altered, or lack what is asked for.
    """
    weights = load_weights(request.weights, storage=request.storage)
    if weights.detector is None or weights.detector.config.head != "frame":
        raise WeightsError(
            f"weights {weights.name}", expected="a detector", found="none that tells frames apart"
        )
    if request.settings.conditions != "none" and weights.tagger is None:
        raise WeightsError(
            f"weights {weights.name}", expected="a tagger, for conditions of anchors", found="none"
        )
    return weights


def make_miner(request: MiningRequest) -> ClipMiner:
    """Load what a worker needs to mine.

    Raises
    ------
    WeightsError
        If the weights are missing or altered, lack a part or know other classes.
    """
    return ClipMiner(
        load_checked_weights(request),
        settings=request.settings,
        vocabulary=load_vocabulary(request),
        device=find_device(request.device),
        precision=request.precision,
        compiled=request.compiled,
    )


def try_weights(request: MiningRequest, vocabulary: Vocabulary) -> Weights:
    """Load the weights, and mine a second of silence with them: what is wrong shows before any worker starts.

    Raises
    ------
    WeightsError
        As of `make_miner`.
    """
    weights = load_checked_weights(request)
    settings = request.settings.replace(batch_size=1)
    miner = ClipMiner(weights, settings=settings, vocabulary=vocabulary)
    silence = np.zeros(round(settings.anchor_seconds * weights.specifications.sample_rate), np.float32)
    miner.mine([WeakClip("silence", (0,), silence)])
    return weights
