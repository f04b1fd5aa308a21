"""Looks at what a run left behind, as somebody does who trusts none of its own words."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import soundfile as sf
import torch

from uss_ray.api.request import SeparationRequest
from uss_ray.api.separator import RecordingSeparator
from uss_ray.api.several import recordings_at, separate_each
from uss_ray.api.sounds import SeparatedRecording
from uss_ray.results.index.table import read_index


def separate_here(archive: Path, *, request: SeparationRequest) -> dict[str, str]:
    """Separate an archive in this process, each recording in one piece, with a worker's one thread; checksum its stems.

    Nothing that a job does with Ray, spans and ledger can be wrong in what it is compared with.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        inputs = recordings_at([str(archive)], request=request)
        separated = list(separate_each(RecordingSeparator(request), inputs))
    finally:
        torch.set_num_threads(threads)
    assert all(isinstance(one, SeparatedRecording) for one in separated)
    return stems_of(Path(request.output))


def stems_of(output: Path) -> dict[str, str]:
    """Checksum of each stem below an output root, by its name."""
    return {
        file.relative_to(output).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in output.rglob("*.flac")
        if not any(part.startswith(".") for part in file.relative_to(output).parts)
    }


def separated(output: Path) -> set[str]:
    """Recordings that the index calls separated."""
    if not (output / "index").exists():
        return set()
    return {row["recording_id"] for row in read_index(output).to_pylist() if row["status"] != "failed"}


def failed(output: Path) -> dict[str, str]:
    """Recordings that the index calls failed, and why."""
    rows = read_index(output).to_pylist()
    return {row["recording_id"]: row["reason"] for row in rows if row["status"] == "failed"}


def times_of(output: Path, recordings: Collection[str]) -> dict[str, int]:
    """When each stem of some recordings was written."""
    return {
        name: (output / name).stat().st_mtime_ns
        for name in stems_of(output)
        if name.split("/")[0] in recordings
    }


def assert_complete(output: Path, *, stems: dict[str, str]) -> None:
    """Every recording is there once, every stem is whole and as it should be, and nothing else is."""
    rows = read_index(output).to_pylist()
    told = Counter((row["recording_id"], row["kind"], row["node_id"], row["level"]) for row in rows)
    assert set(told.values()) == {1}
    written = {row["stem_uri"]: row for row in rows if row["status"] == "written"}
    found = stems_of(output)
    assert set(written) == set(found) == set(stems)
    for name, row in written.items():
        assert row["stem_sha256"] == found[name]
        assert sf.info(output / name).frames == row["frames"]
    assert found == stems
    assert_tidy(output)


def staged(output: Path) -> list[str]:
    """What lies below an output root that is no result and waits for nothing."""
    return [path.name for path in output.iterdir() if path.name.startswith(".") and path.name != ".parts"]


def assert_tidy(output: Path) -> None:
    """Nothing lies about that is no result."""
    assert not staged(output)
    assert not any((output / ".parts").rglob("*"))
    assert not list(output.rglob("*.part"))
