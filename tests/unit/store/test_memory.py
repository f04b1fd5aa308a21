from __future__ import annotations

import threading
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFile

from uss_ray.errors import OutputError
from uss_ray.store.store import Store


def test_of_two_who_create_a_file_at_once_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Store("memory://at-once/a.json", None, OutputError)
    commit = MemoryFile.commit
    created: list[bool] = []
    other = threading.Thread(target=lambda: created.append(place.create(b"other")))

    def committed(file: MemoryFile) -> None:
        if threading.current_thread() is not other:
            other.start()
            other.join(0.2)  # it creates the file now, unless it is kept waiting as it should be
        commit(file)

    monkeypatch.setattr(MemoryFile, "commit", committed)
    created.append(place.create(b"one"))
    other.join()
    assert sorted(created) == [False, True]
    assert place.read() == b"one"


def test_a_file_that_is_copied_is_there_whole_or_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Store("memory://copied/a.wav", None, OutputError)
    place.put(b"older")
    (tmp_path / "new").write_bytes(b"newer")
    commit, found = MemoryFile.commit, []

    def looked_at(file: MemoryFile) -> None:
        found.append(place.read())
        commit(file)
        found.append(place.read())

    monkeypatch.setattr(MemoryFile, "commit", looked_at)
    place.put(tmp_path / "new")
    assert found == [b"older", b"newer"]
