"""The walk of docs/train-on-audioset.md: an ontology, classes and sounds of one's own, all the way to stems."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from uss_ray.cli.main import run

ROOT = Path(__file__).parents[2]
SHORTER = {  # what makes minutes seconds
    "train tagger": ["--fit.steps", "40", "--fit.checkpoint-steps", "20"],
    "train separator": ["--fit.steps", "4", "--fit.checkpoint-steps", "2", "--settle-batches", "2"],
    "mine": ["--actors", "1", "--no-report", "--min-probability", "0"],
}

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def lines_of_the_walk() -> Iterator[list[str]]:
    page = (ROOT / "docs" / "train-on-audioset.md").read_text("utf-8")
    (block,) = re.findall(
        r"^```\n(.+?)^```", page.partition("## Classes of your own")[2], re.MULTILINE | re.DOTALL
    )
    yield from map(shlex.split, block.splitlines())


def test_the_walk_ends_in_a_stem(local_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "examples" / "bioacoustics", tmp_path / "examples" / "bioacoustics")
    monkeypatch.chdir(tmp_path)
    for program, *words in lines_of_the_walk():
        if program == "python":
            monkeypatch.setattr("sys.argv", words)
            runpy.run_path(words[0], run_name="__main__")
            continue
        assert program == "uss-ray"
        # The workers of a Ray that was there before are elsewhere.
        words = [f"{tmp_path}/{word}" if word.startswith("animals/") else word for word in words]
        name = " ".join(words[:2]) if words[0] == "train" else words[0]
        assert run([*words, *SHORTER.get(name, [])]) == 0, words
    stems = list((tmp_path / "animals" / "out").rglob("frog.flac"))
    assert stems
    assert soundfile.info(stems[0]).samplerate == 8000
    assert (tmp_path / "animals" / "runs" / "separator" / "validations.jsonl").read_text().count("step") == 2
