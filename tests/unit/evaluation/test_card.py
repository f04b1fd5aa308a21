"""The card by class: what is known, thin and unknown, whose licences, which scores."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.evaluation.test_result import result_of, row
from uss_ray.errors import ConfigError, DataError
from uss_ray.evaluation.card import ClassFacts, TrainingData, facts_of_classes, read_training_data, write_card
from uss_ray.evaluation.rows import TAGS
from uss_ray.ontology.vocabulary import Vocabulary
from uss_ray.store.store import Store
from uss_ray.weights.folder import Weights, read_folder

BARK, DOG, RAIN, MEOW = "/m/05tny_", "/m/0bt9lr", "/m/06mb1", "/m/07qrkrw"
SEGMENTS = f"""# a, b
one, 0.0, 10.0, "{BARK},{DOG},{RAIN}"
two, 0.0, 8.0, "{BARK},{DOG}"
three, 0.0, 18.0, "{RAIN}"
"""
SOURCES = """source\tpackage\tclass\tsplit\tlicence
a:bark1.ogg\tdogs\tBark\ttrain\tCC0
a:bark2.ogg\tdogs\tBark\ttrain\tMIT
b:rain.wav\tsky\tRain\ttrain\tCC0
b:other rain.wav\tsky\tRain\teval\tGPL-2
"""
EVENTS = f"""segment_id\tsplit\tmid
one\ttrain\t{BARK}
one\ttrain\t{RAIN}
two\ttrain\t{BARK}
three\ttrain\t{RAIN}
"""
ROWS = [
    row("Bark/0", 4.0),
    row("Bark/1", 6.0),
    row("Rain/0", 1.0),
    row("Rain/0", 0.5, query="random-class"),
    row("Rain/0", 3.0, system="half", query=""),
]
SCENES = [
    row("events/0", 0.0, query="events", scores={"ca_sdri": 2.0}, found=(BARK, RAIN), true=(BARK, DOG)),
    row("Rain/0", -4.0),
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    metadata = tmp_path / "some_set" / "metadata"
    metadata.mkdir(parents=True)
    for name, text in (
        ("train_segments.csv", SEGMENTS),
        ("sources.tsv", SOURCES),
        ("strong_labels.tsv", EVENTS),
    ):
        (metadata / name).write_text(text)
    return metadata.parent


@pytest.fixture(scope="module")
def weights(tiny_weights: Path, vocabulary: Vocabulary) -> Weights:
    """Of four classes."""
    means = read_folder(tiny_weights).class_means or {}
    known = [vocabulary.classes.index(one) for one in (BARK, DOG, RAIN)]
    return replace(read_folder(tiny_weights), class_means={index: means[index] for index in known})


def test_what_a_class_rests_on_is_told(data: Path, weights: Weights, vocabulary: Vocabulary) -> None:
    read = read_training_data([Store(data)], vocabulary=vocabulary)
    assert (read.clips, round(read.hours * 3600)) == (3, 36)
    assert read.licences == {"CC0": 2, "MIT": 1}
    facts = {one.label: one for one in facts_of_classes(weights, read, ROWS[:3], vocabulary=vocabulary)}
    assert len(facts) == 527
    assert facts["Bark"] == ClassFacts(
        label="Bark", level=4, state="known", recordings=2, series=1, targets=2, sdri=5.0
    )
    assert (facts["Rain"].state, facts["Rain"].recordings, facts["Rain"].sdri) == ("thin", 1, 1.0)
    # A parent counts what lies below it; rain sounds in one of two clips with barks, so that barks do not stand for it.
    assert (facts["Dog"].state, facts["Dog"].recordings, facts["Dog"].sdri) == ("known", 2, None)
    assert facts["Meow"].state == "unknown"


def test_the_card_has_scores_by_class_and_level_licences_and_what_no_file_says(
    data: Path, weights: Weights, vocabulary: Vocabulary
) -> None:
    runs = [(result_of(rows).replace(weights_sha256=weights.sha256), rows) for rows in (ROWS, SCENES)]
    card = write_card(
        weights,
        runs,
        read_training_data([Store(data)], vocabulary=vocabulary),
        names=["some_set"],
        vocabulary=vocabulary,
        told={"Hours": "1.5"},
    )
    lines = card.splitlines()
    for told in (
        "| Bark | 4 | known | 2 | 1 | 2 | 5.00 |",
        "| Rain | 3 | thin | 1 | 1 | 1 | 1.00 |",
        "| Dog | 3 | known | 2 | 1 |  |  |",
        "| 3 | 1 | 1 | 1.00 |",
        "| 4 | 1 | 2 | 5.00 |",
        "| CC0 | 2 |",
        "- Hours: 1.5",
        "- Data: some_set: 3 clips, 0.0 h, of 3 classes by their weak labels.",
        "<details><summary>Unknown (524)</summary>",
    ):
        assert told in lines
    (scores,) = (line for line in lines if line.startswith("| engine, class-mean |"))
    assert scores.startswith("| engine, class-mean | 3 | 2 | 3.00")
    assert "| nothing | 0.50 | 50 % | 2.00 |" in card


def test_a_card_without_runs_and_data_is_one(weights: Weights, vocabulary: Vocabulary) -> None:
    card = write_card(weights, [], TrainingData(), names=[], vocabulary=vocabulary, told={})
    assert "## Results" not in card
    assert "| Bark | 4 | known | 0 | 0 |  |  |" in card


def test_what_tags_clips_is_told_by_its_system(weights: Weights, vocabulary: Vocabulary) -> None:
    # Of rain there is a d′; dog is told apart without a fault.
    clips = (((DOG,), 0.2), ((RAIN,), 0.3), ((DOG, RAIN), 0.8), ((), 0.4))
    rows = [
        row(
            f"tags/{number}", None, system="bare", query=TAGS, undefined=(), true=true, found=true[:1],
            probs={DOG: 0.9 if DOG in true else 0.1, RAIN: rain},
        )
        for number, (true, rain) in enumerate(clips)
    ]  # fmt: skip
    result = result_of(rows).replace(weights_sha256=weights.sha256, scored=4, listed=6)
    card = write_card(weights, [(result, rows)], TrainingData(), names=[], vocabulary=vocabulary, told={})
    assert "4 of 6 clips" in card
    assert re.search(
        r"\n\| bare \| 0\.92 \[.*\] \| 0\.95 \[.*\] \(1 undefined\) \| 0\.86 \| 0 % \|\n\n", card
    ), card
    assert "| asked for |" not in card


def test_a_run_of_other_weights_is_refused(weights: Weights, vocabulary: Vocabulary) -> None:
    run = (result_of(ROWS).replace(weights_sha256="ab" * 32), ROWS)
    with pytest.raises(ConfigError, match=f"one of the weights tiny, sha256 {weights.sha256[:12]}"):
        write_card(weights, [run], TrainingData(), names=[], vocabulary=vocabulary, told={})


@pytest.mark.parametrize(
    ("table", "text", "message"),
    [
        ("sources.tsv", "source\tclass\tsplit\n", "expected a column licence, found none"),
        ("strong_labels.tsv", "segment_id\tsplit\n", "expected a column mid, found none"),
        (
            "sources.tsv",
            SOURCES.replace("Rain\ttrain", "Drizzle\ttrain"),
            "classes of the ontology, found Drizzle",
        ),
    ],
)
def test_tables_that_tell_something_else_are_refused(
    data: Path, vocabulary: Vocabulary, table: str, text: str, message: str
) -> None:
    (data / "metadata" / table).write_text(text)
    with pytest.raises(DataError, match=message):
        read_training_data([Store(data)], vocabulary=vocabulary)
