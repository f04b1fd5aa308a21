"""A recording in a store: opened where it lies, closed in the end, with the errors of its place."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from uss_ray.errors import QueryError, RecordingError
from uss_ray.sources.reading import open_stored_recording
from uss_ray.store.store import Store


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_a_recording_is_read_where_it_lies(kind: str, tmp_path: Path) -> None:
    root = Store(tmp_path) if kind == "local" else Store(f"memory://{tmp_path.name}")
    samples = np.linspace(-0.5, 0.5, 800, dtype=np.float32)
    encoded = io.BytesIO()
    sf.write(encoded, samples, 8000, format="WAV", subtype="FLOAT")
    (root / "a b.wav").put(encoded.getvalue())
    with open_stored_recording(root / "a b.wav") as reader:
        assert (reader.sample_rate, reader.channels) == (8000, 1)
        np.testing.assert_array_equal(np.concatenate(list(reader.blocks(300)), axis=1)[0], samples)


def test_what_is_missing_is_of_the_stores_kind_and_what_is_no_audio_of_its_own(tmp_path: Path) -> None:
    with (
        pytest.raises(QueryError, match=r"missing\.wav"),
        open_stored_recording(Store(tmp_path / "missing.wav", None, QueryError)),
    ):
        pass
    (tmp_path / "letter.wav").write_text("this is a letter")
    with (
        pytest.raises(RecordingError, match=r"letter\.wav"),
        open_stored_recording(Store(tmp_path / "letter.wav", None, QueryError)),
    ):
        pass
