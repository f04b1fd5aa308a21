from __future__ import annotations

import pytest

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory):
    from tests.small_tagger import save_small_tagger
    from uss_ray.weights.folder import read_folder

    return read_folder(save_small_tagger(tmp_path_factory.mktemp("weights") / "small"))
