"""What several tests of the separation share."""

from __future__ import annotations

import pytest
import torch

from tests.unit.separation.fakes import FakeWeights
from uss_ray.ontology.vocabulary import Vocabulary


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    return Vocabulary.load()


@pytest.fixture
def weights() -> FakeWeights:
    return FakeWeights()


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
