"""Every command and snippet of README and two pages behind it gives what they say; the demo finds what is there.

What is left out stands in `NOT_HERE`: a line of these pages is in one of the two tables, or the first test fails.
"""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import soundfile as sf

from tests.pages import ROOT
from tests.truth import compare, read_truth, stems_of
from uss_ray.cli.main import COMMANDS, run
from uss_ray.ontology.graph import Ontology
from uss_ray.results.index.table import read_index

PAGES = ("README.md", "docs/separate.md", "docs/archive.md")
TEXT = "\n".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
STATION = "examples/archive/station.flac"
RECORDINGS = {sound.recording for sound in read_truth(ROOT / "examples/archive/truth.csv")}
DEMO = "archive examples/archive out/demo --events --overwrite"


@dataclass(frozen=True)
class Ran:
    """What a command said."""

    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


def told(output: str, *statuses: str) -> list[dict[str, Any]]:
    """Rows of an output, of all statuses but "absent", "unknown" and "explained" if none are named."""
    rows = read_index(Path(output)).to_pylist()
    left_out = {"absent", "unknown", "explained"}
    return [row for row in rows if (row["status"] in statuses if statuses else row["status"] not in left_out)]


def has(output: str, *labels: str, kinds: set[str], recordings: set[str] | None = None) -> None:
    """See that stems of these sounds are there, of these kinds, and their files."""
    rows = told(output)
    assert {row["status"] for row in rows} == {"written"}
    assert {row["kind"] for row in rows} == kinds
    assert {row["recording_id"] for row in rows} == (recordings or {"station.flac"})
    assert {row["label"] for row in rows} >= set(labels)
    assert all((Path(output) / row["stem_uri"]).is_file() for row in rows)


def says(*words: str) -> Callable[[Ran], None]:
    def check(ran: Ran) -> None:
        assert [word for word in words if word not in ran.out] == []

    return check


def ones_own(ran: Ran) -> None:
    has(
        "out/my",
        "Male speech, man speaking",
        "Clang",
        kinds={"event", "residual"},
        recordings={"my.wav"},
    )
    (listing,) = (block for block in fences("") if "report.html  " in block)
    for line in listing.splitlines():
        assert list(Path().glob(line.split("  ")[0])), line


def events(ran: Ran) -> None:
    has("out/events", "Male speech, man speaking", "Clang", kinds={"event", "residual"})


def levels(output: str, recordings: set[str] | None = None) -> Callable[[Ran], None]:
    def check(ran: Ran) -> None:
        has(output, "Music", "Human voice", "Speech", kinds={"node", "residual"}, recordings=recordings)
        assert {row["level"] for row in told(output)} == {1, 2, 3}

    return check


def harbour(ran: Ran) -> None:
    has("out/harbour", "Stream", "Clang", kinds={"event", "residual"}, recordings={"harbour.ogg"})


def levels_of_harbour(ran: Ran) -> None:
    has(
        "out/levels",
        "Natural sounds",
        "Human voice",
        "Stream",
        kinds={"node", "residual"},
        recordings={"harbour.ogg"},
    )
    assert {row["level"] for row in told("out/levels")} == {1, 2, 3}


def named(ran: Ran) -> None:
    has("out/named", "Horse", "Stream", kinds={"class", "residual"}, recordings={"farm by the brook.ogg"})


def several(ran: Ran) -> None:
    has("out/several", "Male speech, man speaking", kinds={"text", "residual"}, recordings=RECORDINGS)
    assert {line["recording_id"] for line in ran.lines} == RECORDINGS
    assert "'a man speaking' is taken as Male speech, man speaking" in ran.err


def piped(ran: Ran) -> None:
    speech, station = sf.info("out/speech.wav"), sf.info(STATION)
    assert (speech.frames, speech.samplerate) == (station.frames, station.samplerate)
    assert speech.format == "WAV"


def planned(ran: Ran) -> None:
    for line in ("recordings +6 in the folder, 0 done, 6 to do", "sound +2.0 min", "output +about .* MB"):
        assert re.search(line, ran.out)
    assert re.search("engine time +unknown: --trial", ran.out)
    assert not Path("out/archive").exists()


def only_an_index(ran: Ran) -> None:
    assert {row["status"] for row in told("out/index")} == {"detected"}
    assert not any(path.is_file() for path in Path("out/index").rglob("*.flac"))


def speech_found(ran: Ran) -> None:
    _, *found = (line.split("\t") for line in ran.out.splitlines())
    assert found
    assert all(
        "peech" in sound and float(probability.rstrip("?")) >= 0.5
        for _, sound, _, _, probability, *_ in found
    )


def water_found(ran: Ran) -> None:
    assert {line["label"] for line in ran.lines} - {"Water"} == {"Stream"}
    assert "'water running' is taken as Water" in ran.err


def sorted_by_probability(ran: Ran) -> None:
    _, *found = (line.split("\t") for line in ran.out.splitlines())
    probabilities = [float(probability.rstrip("?")) for _, _, _, _, probability, *_ in found if probability]
    assert probabilities == sorted(probabilities, reverse=True)
    assert {recording for recording, *_ in found} == {"harbour.ogg"}


def classes(ran: Ran) -> None:
    has("out/classes", "Speech", "Clang", kinds={"class", "residual"})


def text(ran: Ran) -> None:
    has(
        "out/text",
        "Male speech, man speaking",
        kinds={"text", "residual"},
        recordings={"farm by the brook.ogg"},
    )


def labels(ran: Ran) -> None:
    folder = Path("out/labels/station.flac")
    assert "Clang" in (folder / "labels.txt").read_text(encoding="utf-8")
    assert "Clang" in (folder / "labels.selections.txt").read_text(encoding="utf-8")


def speech_labels(ran: Ran) -> None:
    (made,) = Path("out/speech").rglob("*.rttm")
    assert "peech" in made.read_text(encoding="utf-8")


def sounds_it_knows(ran: Ran) -> None:
    assert "Female speech, woman speaking" in ran.out
    assert "Siren" not in ran.out


CHECKS: dict[str, Callable[[Ran], None]] = {
    "separate my.wav -o out/my": ones_own,
    f"separate {STATION} -o out/events": events,
    f"separate {STATION} -o out/one --levels 1 2 3": levels("out/one"),
    "separate examples/archive/harbour.ogg -o out/harbour": harbour,
    "separate examples/archive/harbour.ogg -o out/levels --levels 1 2 3": levels_of_harbour,
    'separate "examples/archive/farm by the brook.ogg" -o out/named --classes Horse /m/0j6m2 --exclude Speech': named,
    'separate examples/archive -o out/several --text "a man speaking" --json': several,
    f"separate - -o - --classes Speech --format wav < {STATION} > out/speech.wav": piped,
    "archive examples/archive out/archive --levels 1 2 3": levels("out/archive", RECORDINGS),
    "archive examples/archive out/archive --dry-run": planned,
    "archive configs/archive/index_only.yaml --threshold 0.3": only_an_index,
    "find out/demo --class Speech --min-probability 0.5": speech_found,
    'find out/demo --text "water running" --json': water_found,
    "find out/demo/harbour.ogg --sort probability": sorted_by_probability,
    "report out/demo": says("out/demo/index.html"),
    f"separate {STATION} -o out/classes --classes Speech /m/07rv4dm --exclude Music": classes,
    'separate "examples/archive/farm by the brook.ogg" -o out/text --text "a man speaking"': text,
    f"separate {STATION} -o out/example --query-dir out/wanted": lambda ran: has(
        "out/example", "wanted", kinds={"example", "residual"}
    ),
    f"separate {STATION} -o out/without --exclude Speech": lambda ran: has(
        "out/without", "Everything but Speech", kinds={"rest", "residual"}
    ),
    "ontology --find dog": says("Dog", "/m/0bt9lr"),
    "ontology --level 2 --weights starter": says("Musical instrument", "unknown"),
    f"separate {STATION} -o out/labels --labels audacity raven": labels,
    "find out/labels --class Speech --labels rttm --labels-folder out/speech": speech_labels,
    "weights list": says("starter", "uss-resunet30"),
    "weights show starter --classes": sounds_it_knows,
    "completion bash": says("complete"),
    "separate --help": says("--output", "--levels"),
    "archive --help": says("--shard", "--strict"),
    "verify out/demo": says("6 recordings", "all is well"),
    "verify OUT": says("6 recordings", "all is well"),
}
"""What the pages say of a command, beyond that it succeeds; `OUT` is the demo's output."""

NOT_HERE = {
    "serve --no-auth": "does not end: tests/ray/test_serving.py",
    "make demo": "its command is what the fixture runs",
    "make test": "this is it",
    "python3 -m venv .venv && . .venv/bin/activate": "a shell",
    "pip install '.[media]'": "packages: tests/test_install.py builds it",
    "separate RECORDING -o OUT --weights uss-resunet30": "published weights, 1.1 GB",
    "weights fetch uss-resunet30": "published weights: tests/unit/weights, with a server of its own",
    "archive s3://BUCKET/recordings s3://BUCKET/separated --levels 1 2 --format opus "
    "--storage-endpoint https://s3.example.org": "a bucket: tests/storage, tests/faults",
    "mine SEGMENTS_CSV AUDIO anchors --detector DETECTOR --conditions soft": "a set: tests/ray/test_mine.py",
    "calibrate --data DATA --corrections corrections.json -o better": "a set: tests/unit/cli/test_calibrate.py",
    "anchors pack anchors packed": "anchors: tests/unit/cli/test_anchors.py",
    "train separator configs/train/base.yaml configs/train/small.yaml --anchors packed --weights DETECTOR "
    "-o runs/a": "anchors: tests/unit/cli/test_train.py",
    "train export runs/a -o my-weights/a": "a run: tests/unit/cli/test_train.py",
    "evaluate run mini --data DATA --query class-mean -o RUN": "a set: tests/unit/cli/test_evaluate.py",
}


def fences(kind: str) -> list[str]:
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, flags=re.DOTALL | re.MULTILINE)
    return [block for of, block in blocks if of == kind]


def lines_of_pages() -> list[str]:
    """Commands in the order of the pages: those in blocks, then those in the text; without `uss-ray` and comments."""
    return list(dict.fromkeys(all_lines_of_pages()))


def all_lines_of_pages() -> list[str]:
    blocks = [block.replace("\\\n", " ") for block in fences("") if not is_listing(block)]
    lines = [line for block in blocks for line in block.splitlines()]
    named = re.findall(r"[`(]uss-ray ([^`|…)]+ [^`|…)]+)[`)]", TEXT)
    lines += [line for line in named if line not in COMMANDS]
    words = (" ".join(re.sub(r"\s+#.*", "", line).removeprefix("uss-ray ").split()) for line in lines)
    return [line for line in words if line]


def is_listing(block: str) -> bool:
    """Tell whether the lines of a block are paths, each with a remark."""
    return (
        all(re.match(r"\S.*?  +\S", line) for line in block.splitlines())
        and "uss-ray " not in block
        and "make " not in block
    )


def run_line(line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ran:
    words = shlex.split(line.replace("OUT", "out/demo"))
    if "<" in words:
        came, went = words[words.index("<") + 1], words[words.index(">") + 1]
        with Path(came).open("rb") as source, Path(went).open("wb") as target, monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", SimpleNamespace(buffer=source, isatty=lambda: False))
            patch.setattr(sys, "stdout", io.TextIOWrapper(target))
            assert run(words[: words.index("<")]) == 0
    else:
        assert run(words) == 0, line
    captured = capsys.readouterr()
    return Ran(captured.out, captured.err)


@pytest.fixture(scope="module")
def demo(local_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder like a checkout, with the results of `make demo`; commands run in it."""
    checkout = tmp_path_factory.mktemp("checkout")
    for name in ("examples", "configs"):
        (checkout / name).symlink_to(ROOT / name)
    waveform, rate = sf.read(ROOT / STATION, dtype="int16")
    sf.write(checkout / "my.wav", waveform, rate)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(checkout)
        assert run(shlex.split(DEMO)) == 0
        yield checkout / "out" / "demo"


def runs_the_pages(test: Callable[..., None]) -> Callable[..., None]:
    for mark in (pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)):
        test = mark(test)
    return test


def test_every_line_of_the_pages_is_run_or_left_out_by_name():
    lines = [line for line in lines_of_pages() if not line.startswith("mkdir -p ")]
    assert [line for line in lines if line not in {*CHECKS, *NOT_HERE}] == []
    assert {*CHECKS, *NOT_HERE} - set(lines) == set()


def test_no_separation_is_shown_into_results_of_another():
    """Who runs one page after another meets no results that are in the way."""
    lines = [line for line in all_lines_of_pages() if line.startswith("separate ") and " -o out/" in line]
    outputs = [line.split(" -o ")[1].split()[0] for line in lines]
    assert len(outputs) > 8
    assert [place for place in outputs if outputs.count(place) > 1] == []


def test_make_demo_is_what_is_tested():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"uss-ray (archive .*)", makefile)
    (place,) = re.findall(r"^DEMO +:= (.*)", makefile, flags=re.MULTILINE)
    assert recipe.replace("$(DEMO)", place) == DEMO


@runs_the_pages
def test_the_demo_finds_what_is_there_and_little_else(demo):
    archive = ROOT / "examples" / "archive"
    truth = read_truth(archive / "truth.csv")
    compared = compare(truth, stems_of(demo, archive), ontology=Ontology.load())
    assert compared.precision >= 0.8, compared.false
    assert compared.recall >= 0.7, compared.missed
    assert [stem for stem in compared.false if stem.level_db > -20] == []


@runs_the_pages
def test_every_command_gives_what_the_pages_say(demo, monkeypatch, capsys):
    capsys.readouterr()
    for line in lines_of_pages():
        if line.startswith("mkdir -p "):
            *_, source, folder = shlex.split(line)
            Path(folder).mkdir()
            shutil.copy(source, folder)
        elif line in CHECKS:
            CHECKS[line](run_line(line, monkeypatch, capsys))


@runs_the_pages
def test_every_snippet_runs_and_gives_what_the_pages_say(demo, capsys):
    known: dict[str, Any] = {}
    said = []
    for block in fences("python"):
        exec(compile(block, "pages", "exec"), known)
        said.append(capsys.readouterr().out)
    arrays, index = said
    assert "'Speech': (" in arrays
    assert "Clang" in index
