"""Our engine in the published profile against the released program's steps around the released networks."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.parity import peers
from tests.unit.separation.fakes import trained_on
from uss_ray.models.panns_settings import PannsConfig
from uss_ray.models.query_net import QueryNet
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.separation.engine import build_engine
from uss_ray.separation.mixture import ArraySource
from uss_ray.separation.settings import SeparationSettings
from uss_ray.separation.targets import SeparationPlan, Target
from uss_ray.weights.importers.published import load_panns, load_resunet

pytestmark = [pytest.mark.peer, pytest.mark.slow]

SEGMENT = 2 * peers.SAMPLE_RATE
THRESHOLD = 0.2


@pytest.fixture(scope="module", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what the peers write and read at import out of the user's home."""
    home = tmp_path_factory.mktemp("home")
    peers.prepare_home(home)
    patch = pytest.MonkeyPatch()
    patch.setenv("HOME", str(home))
    patch.setenv("MPLCONFIGDIR", str(home / "matplotlib"))
    yield
    patch.undo()


def released_stem(
    waveform: Tensor, *, tagger: nn.Module, separator: nn.Module, class_indexes: list[int]
) -> Tensor:
    """One stem as `uss` 0.0.4 makes it: segments end to end, silence where no class reaches the threshold."""
    segments_count = -(-len(waveform) // SEGMENT)
    segments = nn.functional.pad(waveform, (0, segments_count * SEGMENT - len(waveform))).reshape(-1, SEGMENT)
    stem = torch.zeros_like(segments)
    with torch.no_grad():
        for position, segment in enumerate(segments):
            soft = tagger(segment[None])["clipwise_output"]
            if soft[0, class_indexes].max() >= THRESHOLD:
                condition = torch.zeros_like(soft)
                condition[:, class_indexes] = soft[:, class_indexes]
                inputs = {"mixture": segment[None, None], "condition": condition}
                stem[position] = separator(inputs)["waveform"][0, 0]
    return stem.flatten()[: len(waveform)]


def test_the_published_profile_gives_the_released_programs_stem(vocabulary: Vocabulary) -> None:
    tagger, separator = peers.panns("Cnn14", seed=1), peers.resunet30(seed=3)
    waveform = 3.0 * peers.scene(5.3, batch=1, seed=4)[0]
    waveform[SEGMENT : 2 * SEGMENT] *= 0.001  # so that the tagger has something to tell apart
    with torch.no_grad():
        whole_segments = nn.functional.pad(waveform, (0, 3 * SEGMENT - len(waveform))).reshape(3, SEGMENT)
        probs = tagger(whole_segments)["clipwise_output"]
    reaches = (probs >= THRESHOLD).sum(0)
    chosen = torch.nonzero((reaches > 0) & (reaches < 3)).flatten()[:1].tolist()
    assert chosen, "no class sounds in some segments only: the comparison would not see the threshold"
    never = torch.nonzero(reaches == 0).flatten()[:5].tolist()
    class_indexes = sorted({*chosen, *never})

    ours = load_panns("tagger", tagger.state_dict(), PannsConfig())
    weights = SimpleNamespace(
        tagger=ours,
        query_net=QueryNet(ours),
        separator=load_resunet("separator", separator.state_dict()),
        class_means=None,
        specifications=trained_on(),
    )
    engine = build_engine(weights, vocabulary=vocabulary)  # type: ignore[arg-type]
    target = Target(key="query:classes", label="classes", class_indexes=tuple(class_indexes))
    source = ArraySource(waveform.numpy(), sample_rate=peers.SAMPLE_RATE)
    plan = SeparationPlan((target,))
    blocks = list(engine.stream(source, plan, settings=SeparationSettings.published()))
    stem = np.concatenate([b.estimates.get(target.key, np.zeros_like(b.mixture)) for b in blocks], axis=1)[0]

    expected = released_stem(
        waveform, tagger=tagger, separator=separator, class_indexes=class_indexes
    ).numpy()
    difference = np.abs(stem - expected).max()
    assert np.abs(expected).max() > 0.05
    assert difference < 1e-4
