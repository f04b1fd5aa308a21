"""`uss-ray verify`: what it says of an output, and how it ends."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from uss_ray.cli.main import run
from uss_ray.results.index.table import IndexRow, Kind, RecordingFacts, RunFacts, failed_row, write_index
from uss_ray.results.layout import index_path, stem_path


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """One recording with one stem."""
    write_index([separated(tmp_path)], path=tmp_path / index_path("a"))
    return tmp_path


def separated(root: Path, *, slug: str = "dog", kind: Kind = "node") -> IndexRow:
    """Write a stem, and give its row."""
    uri = stem_path("a.wav", level=1, slug=slug, extension="wav")
    stem = root / uri
    stem.parent.mkdir(parents=True, exist_ok=True)
    sf.write(stem, np.zeros((100, 1)), 8000)
    return IndexRow(
        run_id="run",
        recording_id="a.wav",
        recording_uri="a.wav",
        node_id=slug,
        label=slug,
        level=1,
        kind=kind,
        status="written",
        stem_uri=uri,
        stem_sha256=hashlib.sha256(stem.read_bytes()).hexdigest(),
        stem_bytes=stem.stat().st_size,
        frames=100,
        weights_name="starter",
        weights_sha256="cd" * 32,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def test_an_output_that_is_well_ends_with_0(output: Path, capsys):
    assert run(["verify", str(output)]) == 0
    assert "1 recordings, 1 stems: all is well" in capsys.readouterr().out


def test_residuals_are_counted_apart_from_stems(tmp_path: Path, capsys):
    rows = [separated(tmp_path), separated(tmp_path, slug="residual", kind="residual")]
    write_index(rows, path=tmp_path / index_path("a"))
    assert run(["verify", str(tmp_path)]) == 0
    assert "1 recordings, 1 stems and 1 residuals: all is well" in capsys.readouterr().out
    assert run(["verify", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["stems"], told["residuals"]) == (2, 1)


def test_what_failed_is_told_beside_what_is_well(output: Path, capsys):
    facts = RecordingFacts(recording_id="b.wav", recording_uri="b.wav")
    run_facts = RunFacts(run_id="run", weights_name="starter", weights_sha256="cd" * 32)
    row = failed_row(facts, run=run_facts, reason="it is no sound")
    write_index([row], path=output / index_path("failed-b"))
    assert run(["verify", str(output)]) == 0
    assert "1 recordings, 1 stems, 1 failed: all is well" in capsys.readouterr().out


def test_what_is_wrong_is_named_and_ends_with_8(output: Path, capsys):
    stem = output / "a.wav" / "level-1" / "dog.wav"
    stem.unlink()
    assert run(["verify", str(output)]) == 8
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "missing: a.wav/level-1/dog.wav"
    assert lines[-1] == "1 recordings, 1 stems: 1 missing"


def test_findings_come_as_json(output: Path, capsys):
    (output / "a.wav" / "level-1" / "dog.wav").unlink()
    assert run(["verify", str(output), "--json"]) == 8
    told = json.loads(capsys.readouterr().out)
    assert [finding["place"] for finding in told["findings"]] == ["a.wav/level-1/dog.wav"]


def test_a_repaired_output_is_well(output: Path, capsys):
    (output / "a.wav" / "level-1" / "dog.wav").unlink()
    assert run(["verify", str(output), "--repair"]) == 0
    assert "repaired: 1 missing" in capsys.readouterr().out
    assert run(["verify", str(output)]) == 0


@pytest.fixture
def broken(output: Path) -> Path:
    """Of three stems one is missing and one altered; beside them lies a stem that nobody names."""
    rows = [separated(output, slug=slug) for slug in ("cat", "cow", "dog")]
    write_index(rows, path=output / index_path("a"))
    (output / "a.wav/level-1/cat.wav").unlink()
    (output / "a.wav/level-1/cow.wav").write_bytes(b"moo")
    stray = output / "b.wav/level-1/dog.wav"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"woof")
    return output


def test_a_repair_names_what_it_takes_out_and_counts_what_was_found(broken: Path, capsys):
    assert run(["verify", str(broken), "--repair"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "a.wav: 1 altered, 1 missing; taken out, the next run separates it again",
        "repaired stray: b.wav/level-1/dog.wav",
        "repaired: 1 altered, 1 missing, 1 stray",
        "0 recordings, 0 stems: all is well",
    ]


def test_what_a_repair_took_out_comes_as_json(broken: Path, capsys):
    assert run(["verify", str(broken), "--repair", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["findings"], told["counts"]) == ([], {})
    assert told["mended_counts"] == {"missing": 1, "altered": 1, "stray": 1}
    assert told["taken_out"] == {"a.wav": {"missing": 1, "altered": 1}}
    assert {"kind": "stray", "place": "b.wav/level-1/dog.wav", "recording_id": None} in told["mended"]


def test_bytes_are_read_unless_only_sizes_are_asked_for(output: Path):
    stem = output / "a.wav" / "level-1" / "dog.wav"
    content = stem.read_bytes()
    stem.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert run(["verify", str(output), "--quick"]) == 0
    assert run(["verify", str(output)]) == 8


def test_a_place_without_an_index_is_refused(tmp_path: Path, capsys):
    assert run(["verify", str(tmp_path / "nothing")]) == 6
    assert "nothing" in capsys.readouterr().err


def test_half_a_report_is_told_with_what_makes_it_again(output: Path, capsys):
    """A report shows what no stem and no index holds, so that only separating again makes it."""
    (output / "a.wav/report.mp3").write_bytes(b"sound")
    assert run(["verify", str(output), "--repair"]) == 8
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "missing report: a.wav/report.html"
    assert (
        f"uss-ray verify {output} --repair --lost-reports takes recordings with half a report out (1)"
        in lines[-1]
    )
    assert run(["verify", str(output), "--repair", "--lost-reports"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "a.wav: 1 missing report; taken out, the next run separates it again",
        "repaired: 1 missing report",
        "0 recordings, 0 stems: all is well",
    ]


def test_lost_reports_are_for_a_repair(output: Path, capsys):
    assert run(["verify", str(output), "--lost-reports"]) == 2
    assert "uss-ray verify --lost-reports: expected --repair beside it, found none" in capsys.readouterr().err
