from __future__ import annotations

from pathlib import Path

import numpy as np

from uss_ray.pipelines.archive.cleaning import OWNED, forget_done_parts
from uss_ray.pipelines.archive.ledger import Ledger
from uss_ray.records import recording_key
from uss_ray.store.store import Store

NAMES = ("separated.wav", "failed.wav", "under way.wav")
KEYS = [recording_key(name) for name in NAMES]
LEDGER = Ledger(separated=np.array(KEYS[:1]), failed=np.array(KEYS[1:2]))


def left(output: Store) -> list[str]:
    return [file.relative_to(output) for file in output.list()]


def test_spans_go_once_their_recording_is_joined_or_has_failed(tmp_path: Path) -> None:
    output = Store(tmp_path / "out")
    for key in KEYS:
        (output / ".parts" / f"{key:016x}" / "000000" / "part.json").put(b"{}")
    (output / ".parts" / "x" / "report.html").put(b"of a recording that is called so in an older output")
    forget_done_parts(output, lambda: LEDGER)
    (output / ".parts" / "x" / "report.html").remove()
    folders = [path.name for path in (tmp_path / "out" / ".parts").iterdir() if any(path.rglob("*.json"))]
    assert folders == [f"{KEYS[2]:016x}"]


def test_no_spans_are_nothing_to_forget_and_nothing_to_read_the_index_for(tmp_path: Path) -> None:
    def read() -> Ledger:
        raise AssertionError

    output = Store(tmp_path / "out")
    forget_done_parts(output, read)
    assert not (tmp_path / "out").exists()
    (output / ".parts" / "x" / "report.html").put(b"of a recording that is called so in an older output")
    forget_done_parts(output, read)


def test_starting_over_leaves_stems_and_takes_what_says_that_they_count(tmp_path: Path) -> None:
    output = Store(tmp_path / "out")
    key = f"{KEYS[0]:016x}"
    kept = ["a.wav/level-1/dog.flac", "index/bell.wav", "index/birds.parquet"]
    ours = (f"index/{key}.parquet", f"index/failed-{key}.parquet", f".parts/{key}/000000/part.json")
    for place in (*ours, *kept):
        (output / place).put(b"x")
    OWNED.remove(output)
    assert left(output) == kept
    assert not (tmp_path / "out/.parts").exists()
