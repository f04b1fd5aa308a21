from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from uss_ray.anchors.manifest import read_manifest
from uss_ray.errors import DataError
from uss_ray.models.conv_tasnet import ConvTasNet
from uss_ray.models.network_settings import ConvTasNetConfig, ResUNetConfig
from uss_ray.models.panns_settings import PannsConfig
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.pipelines.starter import (
    is_made_of_anchors,
    is_made_of_data,
    train_starter,
    train_starter_from_anchors,
)
from uss_ray.silence import MiningSilence
from uss_ray.training.recipe import FitSettings, PlanSettings
from uss_ray.training.starter import StarterConfig, starter_separator, starter_tagger
from uss_ray.weights.folder import read_folder

DOG, RAIN = "/m/0bt9lr", "/m/06mb1"
SMALL = StarterConfig(
    tagger=starter_tagger().replace(
        fit=FitSettings(steps=2),
        plan=PlanSettings(batch_size=2, lanes=1),
        tagger=PannsConfig(
            block_channels=(2, 4), embedding_size=4, head="frame", pooling="linear_softmax", hop_samples=640
        ),
    ),
    separator=starter_separator().replace(
        name="small",
        fit=FitSettings(steps=2),
        plan=PlanSettings(batch_size=2, lanes=1),
        separator=ResUNetConfig(
            channels=(2, 4), bottleneck_channels=4, stem_channels=2, window_samples=512, hop_samples=256
        ),
        samples=16_000,
        settle_batches=2,
    ),
)


pytestmark = pytest.mark.slow  # it is trained, though briefly


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


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Weights folder and work folder of a whole run."""
    root = tmp_path_factory.mktemp("trained")
    return train_starter(data, root / "weights", work=root / "work", config=SMALL), root / "work"


def test_the_recipe_leaves_weights_that_load_and_say_what_they_are(trained: tuple[Path, Path]) -> None:
    vocabulary = Vocabulary.load()
    folder, work = trained
    weights = read_folder(folder)
    weights.check_classes(vocabulary.classes.ids)
    assert weights.separator is not None
    assert weights.class_means is not None
    assert set(weights.class_means) == {vocabulary.classes.index(DOG), vocabulary.classes.index(RAIN)}
    card = (folder / "MODEL_CARD.md").read_text()
    anchors = read_manifest(work / "anchors").anchors
    assert f"4 weakly labelled clips; {anchors} anchors of 2.0 s" in card
    assert "mean condition of 2 classes" in card
    assert "`starter-tagger`" in card


def test_class_means_are_those_of_the_shards(trained: tuple[Path, Path]) -> None:
    folder, work = trained
    weights = read_folder(folder)
    anchors = read_manifest(work / "anchors")
    assert weights.class_means is not None
    assert weights.source is not None
    assert weights.source["anchors"] == anchors.anchors
    assert weights.specifications.training_rms_dbfs == (-35.0, -15.0)
    assert weights.specifications.silence == MiningSilence(**anchors.settings["silence"])
    assert sorted(weights.class_means) == sorted(anchors.counts)


def test_the_recipe_goes_on_where_it_stopped(data: Path, trained: tuple[Path, Path], tmp_path: Path) -> None:
    folder, work = trained
    shutil.rmtree(work / "separator-run")
    kept = [work / "tagger" / "config.json", work / "anchors" / "run.json", work / "packed" / "pack.json"]
    before = [path.stat().st_mtime_ns for path in kept]
    again = train_starter(data, tmp_path / "again", work=work, config=SMALL)
    assert [path.stat().st_mtime_ns for path in kept] == before
    assert (folder / "separator.safetensors").read_bytes() == (again / "separator.safetensors").read_bytes()


def test_what_ended_says_so_of_its_own_weights_and_settings_alone(
    data: Path, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    folder, work = trained
    assert is_made_of_data(data, folder, work=work, config=SMALL)
    assert not is_made_of_data(data, folder, work=work)
    assert not is_made_of_data(data, folder, work=work, config=SMALL, segments=data / "other.csv")
    assert not is_made_of_data(data, tmp_path / "none", work=work, config=SMALL)
    assert not is_made_of_data(data, folder, work=tmp_path, config=SMALL)
    assert not is_made_of_anchors(work / "anchors", folder, weights="starter", work=work, config=SMALL)
    (tmp_path / "made.json").write_text('{"weights_sha256": "a"}')
    assert not is_made_of_data(data, folder, work=tmp_path, config=SMALL)
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert is_made_of_data(data, copy, work=work, config=SMALL)
    for name in ("config.json", "separator.safetensors"):
        whole = (copy / name).read_bytes()
        (copy / name).write_bytes(whole + b" ")
        assert not is_made_of_data(data, copy, work=work, config=SMALL)
        (copy / name).write_bytes(whole)
    (copy / "separator.safetensors").unlink()
    assert not is_made_of_data(data, copy, work=work, config=SMALL)


def test_anchors_alone_train_the_same_separator(trained: tuple[Path, Path], tmp_path: Path) -> None:
    folder, work = trained
    again = train_starter_from_anchors(
        work / "anchors", tmp_path / "out", weights=str(work / "tagger"), work=tmp_path / "work", config=SMALL
    )
    assert (folder / "separator.safetensors").read_bytes() == (again / "separator.safetensors").read_bytes()
    told = {"weights": str(work / "tagger"), "work": tmp_path / "work"}
    assert is_made_of_anchors(work / "anchors", again, **told, config=SMALL)
    assert not is_made_of_anchors(work / "anchors", again, **told)


def test_a_folder_that_is_no_data_set_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train_segments\.csv"):
        train_starter(tmp_path, tmp_path / "w", work=tmp_path / "work", config=SMALL)
    with pytest.raises(DataError, match=r"known\.csv: expected a segment CSV"):
        train_starter(
            tmp_path, tmp_path / "w", work=tmp_path / "work", config=SMALL, segments=tmp_path / "known.csv"
        )
    assert not (tmp_path / "work").exists()


def test_a_separator_in_the_time_domain_is_trained_by_the_same_recipe(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    _, work = trained
    chosen = ConvTasNetConfig(filters=8, channels=4, hidden_channels=6, stack_blocks=2, stacks=1)
    folder = train_starter_from_anchors(
        work / "anchors",
        tmp_path / "out",
        weights=str(work / "tagger"),
        work=tmp_path / "work",
        config=SMALL.replace(separator=SMALL.separator.replace(separator=chosen)),
    )
    separator = read_folder(folder).separator
    assert isinstance(separator, ConvTasNet)
    assert separator.config == chosen
    assert "architecture conv-tasnet; condition_size 527" in (folder / "MODEL_CARD.md").read_text()
