from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from uss_ray.anchors.anchor import Anchor
from uss_ray.anchors.manifest import MiningManifest, write_manifest
from uss_ray.anchors.shards import write_anchor_shard
from uss_ray.errors import ConfigError, DataError, WeightsError
from uss_ray.models.panns import Panns, PannsConfig
from uss_ray.models.resunet import ResUNetConfig
from uss_ray.models.specifications import ClassListId
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.training.loop import LoopConfig
from uss_ray.training.separator import TRAINING_RMS_DBFS
from uss_ray.training.starter import StarterConfig, open_work, train_starter_separator
from uss_ray.weights.folder import Weights, load_weights, save_weights, specify

RATE, SAMPLES = 32_000, 16_000
DOG, RAIN = 74, 283
SMALL = StarterConfig(
    name="small",
    training_samples=SAMPLES,
    separator=ResUNetConfig(
        channels=(2, 4), bottleneck_channels=4, stem_channels=2, window_samples=512, hop_samples=256
    ),
    separator_loop=LoopConfig(steps=1, learning_rate=1e-3),
    separator_batch=2,
    settle_batches=1,
)


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary.load()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, vocabulary: Vocabulary) -> Weights:
    networks = {"tagger": Panns(PannsConfig(block_channels=(2, 4), embedding_size=4, head="frame"))}
    folder = save_weights(
        tmp_path_factory.mktemp("weights") / "ear",
        networks,  # type: ignore[arg-type]
        name="ear",
        specifications=specify(
            networks,  # type: ignore[arg-type]
            segment_seconds=0.5,
            class_list=ClassListId.of(vocabulary.classes.ids),
        ),
    )
    return load_weights(folder)


@pytest.fixture(scope="module")
def anchors(tmp_path_factory: pytest.TempPathFactory, weights: Weights, vocabulary: Vocabulary) -> Path:
    """Two dogs and two rains of half a second, as mined by the weights."""
    root = tmp_path_factory.mktemp("mined")
    rng = np.random.default_rng(0)
    rows = [
        Anchor(
            clip_id=f"clip{number}",
            class_index=class_index,
            start_sample=0,
            sample_rate=RATE,
            score=0.5,
            purity=1.0,
            intruder_index=None,
            level_db=-20.0,
            label_indexes=(class_index,),
            prob_indexes=(),
            probs=np.zeros(0, np.float32),
            waveform=(3000 * rng.standard_normal(SAMPLES)).astype(np.int16),
            soft=np.full(527, number / 10, np.float32),
        )
        for number, class_index in enumerate((DOG, DOG, RAIN, RAIN))
    ]
    shard = write_anchor_shard(rows, root / "anchors" / "a.parquet")
    manifest = MiningManifest.of(
        [shard],
        rejects={},
        weights_name=weights.name,
        weights_sha256=weights.sha256,
        class_list_sha256=ClassListId.of(vocabulary.classes.ids).sha256,
        settings={"silence": {"anchor_rejected_below_rms_dbfs": -50.0}},
        sample_rate=RATE,
        clips=4,
    )
    write_manifest(manifest, root)
    return root


def test_weights_say_what_they_were_trained_on(
    anchors: Path, weights: Weights, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    folder = train_starter_separator(
        anchors, tmp_path / "out", weights=weights, work=tmp_path, config=SMALL, vocabulary=vocabulary
    )
    made = load_weights(folder)
    assert made.separator is not None
    assert made.specifications.segment_seconds == 0.5
    assert made.specifications.training_rms_dbfs == TRAINING_RMS_DBFS
    assert made.specifications.silence.anchor_rejected_below_rms_dbfs == -50.0
    assert made.class_means is not None
    assert made.class_means[DOG].numpy() == pytest.approx(np.full(527, 0.05), abs=1e-3)
    assert made.class_means[RAIN].numpy() == pytest.approx(np.full(527, 0.25), abs=1e-3)
    assert made.tagger is not None
    assert weights.tagger is not None
    for mine, its in zip(made.tagger.parameters(), weights.tagger.parameters(), strict=True):
        assert torch.allclose(mine, its, atol=1e-3)
    assert "4 anchors of 0.5 s" in (folder / "MODEL_CARD.md").read_text()


def test_anchors_of_other_weights_are_refused(
    anchors: Path, weights: Weights, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    manifest = json.loads((anchors / "manifest.json").read_text()) | {"weights_sha256": "0" * 64}
    other = tmp_path / "other"
    (other / "anchors").mkdir(parents=True)
    (other / "anchors" / "a.parquet").symlink_to(anchors / "anchors" / "a.parquet")
    (other / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(WeightsError, match="weights ear: expected ear, which mined"):
        train_starter_separator(
            other, tmp_path / "out", weights=weights, work=tmp_path, config=SMALL, vocabulary=vocabulary
        )


def test_a_run_that_is_not_finished_is_refused(
    anchors: Path, weights: Weights, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    (tmp_path / "anchors").symlink_to(anchors / "anchors")
    with pytest.raises(DataError, match="expected a finished mining run"):
        train_starter_separator(
            tmp_path, tmp_path / "out", weights=weights, work=tmp_path, config=SMALL, vocabulary=vocabulary
        )


def test_a_work_folder_belongs_to_one_recipe(tmp_path: Path) -> None:
    open_work(tmp_path / "work", SMALL)
    open_work(tmp_path / "work", SMALL)
    with pytest.raises(ConfigError, match="expected a new folder, or one of the same settings"):
        open_work(tmp_path / "work", SMALL.replace(settle_batches=3))
