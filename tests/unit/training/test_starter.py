from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from uss_ray.errors import DataError
from uss_ray.models.panns import PannsConfig
from uss_ray.models.resunet import ResUNetConfig
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.training.loop import LoopConfig
from uss_ray.training.starter import StarterConfig, train_starter
from uss_ray.weights.folder import load_weights

DOG, RAIN = "/m/0bt9lr", "/m/06mb1"
SMALL = StarterConfig(
    name="small",
    training_samples=16_000,
    tagger=PannsConfig(
        block_channels=(2, 4), embedding_size=4, head="frame", pooling="linear_softmax", hop_samples=640
    ),
    separator=ResUNetConfig(
        channels=(2, 4), bottleneck_channels=4, stem_channels=2, window_samples=512, hop_samples=256
    ),
    tagger_loop=LoopConfig(steps=2, learning_rate=1e-3),
    separator_loop=LoopConfig(steps=2, learning_rate=1e-3),
    tagger_batch=2,
    separator_batch=2,
    settle_batches=2,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    (root / "metadata").mkdir()
    (root / "audio" / "train").mkdir(parents=True)
    rng = np.random.default_rng(0)
    lines = []
    for number in range(4):
        soundfile.write(
            root / "audio" / "train" / f"clip{number}.flac", rng.standard_normal(320_000) * 0.05, 32000
        )
        lines.append(f'clip{number}, 0.000, 10.000, "{(DOG, RAIN)[number % 2]}"')
    (root / "metadata" / "train_segments.csv").write_text("\n".join(lines) + "\n")
    return root


def test_the_recipe_leaves_weights_that_load_and_say_what_they_are(data: Path, tmp_path: Path) -> None:
    vocabulary = Vocabulary.load()
    folder = train_starter(
        data, tmp_path / "weights", work=tmp_path / "work", config=SMALL, vocabulary=vocabulary
    )
    weights = load_weights(folder)
    weights.check_classes(vocabulary.classes.ids)
    assert weights.separator is not None
    assert weights.class_means is not None
    assert set(weights.class_means) == {vocabulary.classes.index(DOG), vocabulary.classes.index(RAIN)}
    card = (folder / "MODEL_CARD.md").read_text()
    assert "4 weakly labelled clips" in card
    assert "mean condition of 2 classes" in card


def test_the_recipe_goes_on_where_it_stopped(data: Path, tmp_path: Path) -> None:
    vocabulary = Vocabulary.load()
    work = tmp_path / "work"
    first = train_starter(data, tmp_path / "one", work=work, config=SMALL, vocabulary=vocabulary)
    (work / "separator.pt").unlink()
    tagger = (work / "tagger.pt").stat().st_mtime_ns
    second = train_starter(data, tmp_path / "two", work=work, config=SMALL, vocabulary=vocabulary)
    assert (work / "tagger.pt").stat().st_mtime_ns == tagger
    assert (first / "separator.safetensors").read_bytes() == (second / "separator.safetensors").read_bytes()


def test_a_folder_that_is_no_data_set_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train_segments\.csv"):
        train_starter(
            tmp_path,
            tmp_path / "w",
            work=tmp_path / "work",
            config=replace(SMALL),
            vocabulary=Vocabulary.load(),
        )
    assert not (tmp_path / "work").exists()
