"""A data set of three classes whose events are known, and weights that know two of them by their mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from uss_ray.models.network_settings import ResUNetConfig
from uss_ray.models.panns import Panns
from uss_ray.models.panns_settings import PannsConfig
from uss_ray.models.resunet import ResUNet
from uss_ray.models.specifications import ClassListId
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.separation.engine import SeparationEngine, build_engine
from uss_ray.weights.folder import read_folder, save_weights, specify

DOG, RAIN, PIANO = "/m/0bt9lr", "/m/06mb1", "/m/05r5c"


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    return Vocabulary.load()


@pytest.fixture(scope="session")
def two_sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six clips of three classes, each an event of 4 s in noise."""
    root = tmp_path_factory.mktemp("data")
    (root / "metadata").mkdir()
    (root / "audio" / "eval").mkdir(parents=True)
    rng = np.random.default_rng(0)
    segments, events = [], ["segment_id\tsplit\tonset\toffset\tmid\trole"]
    for number in range(6):
        class_id = (DOG, RAIN, PIANO)[number % 3]
        clip = rng.standard_normal(320_000) * 0.001
        clip[96_000:224_000] += 0.1 * np.sin(np.arange(128_000) * 0.05 * (1 + number % 3))
        soundfile.write(root / "audio" / "eval" / f"clip{number}.wav", clip, 32000)
        segments.append(f'clip{number}, 0.000, 10.000, "{class_id}"')
        events.append(f"clip{number}\teval\t3.0\t7.0\t{class_id}\ttarget")
    (root / "metadata" / "eval_segments.csv").write_text("\n".join(segments) + "\n")
    (root / "metadata" / "strong_labels.tsv").write_text("\n".join(events) + "\n")
    return root


@pytest.fixture(scope="session")
def two_means(tmp_path_factory: pytest.TempPathFactory, vocabulary: Vocabulary) -> Path:
    """Random networks whose tagger always hears rain, and never a dog or a piano."""
    torch.manual_seed(0)
    tagger = Panns(PannsConfig(block_channels=(2, 4), embedding_size=4, head="frame"))
    with torch.no_grad():
        tagger.classify.bias.fill_(-5.0)
        tagger.classify.bias[vocabulary.classes.index(RAIN)] = 5.0
    networks = {
        "tagger": tagger,
        "separator": ResUNet(
            ResUNetConfig(
                channels=(2, 4), bottleneck_channels=4, stem_channels=2, window_samples=512, hop_samples=250
            )
        ),
    }
    return save_weights(
        tmp_path_factory.mktemp("weights") / "tiny",
        networks,
        name="tiny",
        specifications=specify(
            networks, segment_seconds=2.0, class_list=ClassListId.of(vocabulary.classes.ids)
        ),
        class_means={vocabulary.classes.index(c): torch.rand(527) for c in (DOG, RAIN)},
    )


@pytest.fixture(scope="module")
def engine(two_means: Path, vocabulary: Vocabulary) -> SeparationEngine:
    return build_engine(read_folder(two_means), vocabulary=vocabulary)
