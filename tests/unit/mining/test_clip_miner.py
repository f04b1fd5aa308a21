from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from uss_ray.anchors.anchor import Anchor, Reject
from uss_ray.anchors.schema import anchor_table
from uss_ray.audio.pcm import to_float
from uss_ray.errors import WeightsError
from uss_ray.mining.clip_miner import ClipMiner, WeakClip
from uss_ray.mining.settings import MiningSettings
from uss_ray.ontology.vocabulary import Vocabulary

torch = pytest.importorskip("torch")
RATE = 32_000


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary.load()


def clips(count: int) -> list[WeakClip]:
    rng = np.random.default_rng(2)
    made = []
    for number in range(count):
        sound = 0.01 * rng.standard_normal(10 * RATE)
        sound[number * RATE : (number + 2) * RATE] *= 20
        made.append(WeakClip(f"clip{number}", (number, 74, 137), sound.astype(np.float32)))
    return made


def test_a_clip_gives_the_same_bytes_in_any_company(weights, vocabulary: Vocabulary) -> None:
    settings = MiningSettings(min_probability=0.0, batch_size=2, conditions="both")
    miner = ClipMiner(weights, settings=settings, vocabulary=vocabulary)
    sounds = clips(3)
    together = anchor_table(miner.mine(sounds))
    assert together.num_rows == 9
    alone = [anchor_table(miner.mine([clip])) for clip in reversed(sounds)]
    for number, table in enumerate(reversed(alone)):
        assert table.equals(together.slice(3 * number, 3))


def test_conditions_describe_the_anchor_as_it_is_kept(weights, vocabulary: Vocabulary) -> None:
    settings = MiningSettings(min_probability=0.0, batch_size=2, conditions="both")
    found = ClipMiner(weights, settings=settings, vocabulary=vocabulary).mine(clips(1))
    anchor = found[0]
    assert isinstance(anchor, Anchor)
    with torch.inference_mode():
        rows = torch.from_numpy(np.stack([to_float(anchor.waveform)] * 2))
        tagging = weights.tagger(rows)
    assert np.array_equal(anchor.soft, tagging.clipwise_probs[0].numpy())
    assert np.array_equal(anchor.latent, tagging.embedding[0].numpy())


def test_what_gives_no_anchor_is_a_reject_beside_the_others(weights, vocabulary: Vocabulary) -> None:
    settings = MiningSettings(min_probability=0.0, conditions="soft", batch_size=2)
    short = WeakClip("short", (1,), np.zeros(RATE, np.float32))
    silent = WeakClip("silent", (1,), np.zeros(10 * RATE, np.float32))
    found = ClipMiner(weights, settings=settings, vocabulary=vocabulary).mine([short, *clips(1), silent])
    assert [item.reason if isinstance(item, Reject) else item.clip_id for item in found] == [
        "short", "clip0", "clip0", "clip0", "silent",
    ]  # fmt: skip
    assert all(item.latent is None for item in found if isinstance(item, Anchor))


def test_nothing_gives_nothing(weights, vocabulary: Vocabulary) -> None:
    assert ClipMiner(weights, settings=MiningSettings(), vocabulary=vocabulary).mine([]) == []


def test_weights_without_a_detector_are_refused(tiny_weights: Path, vocabulary: Vocabulary) -> None:
    from uss_ray.weights.folder import read_folder

    with pytest.raises(WeightsError, match="expected a detector, found none"):
        ClipMiner(read_folder(tiny_weights), settings=MiningSettings(), vocabulary=vocabulary)
