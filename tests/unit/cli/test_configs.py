"""The files of settings: those in configs/, what overrides them, and what is wrong in one."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from uss_ray.api.request import Query
from uss_ray.cli import archive, mine, separate, train
from uss_ray.mining.settings import MiningSettings
from uss_ray.pipelines.training.ablation_request import AblationRequest, arms_of
from uss_ray.separation.settings import SeparationSettings

ROOT = Path(__file__).parents[3]
COMMANDS = {
    "archive": archive.COMMAND,
    "mine": mine.COMMAND,
    "separate": separate.COMMAND,
    "train": train.SEPARATOR,
    "train/tagger": train.TAGGER,
}
FILES = sorted(path for path in (ROOT / "configs").glob("*/*.yaml") if path.parent.name != "ablations")


def read(command, *arguments):
    return COMMANDS[command].read([str(argument) for argument in arguments])[0]


def test_every_overlay_is_an_arm_of_an_ablation(tmp_path):
    base = tmp_path / "base.yaml"
    base.write_text(f"base: {ROOT}/configs/train/base.yaml\nrequest: {{validation: {{data: held-out}}}}\n")
    asked = AblationRequest(base=str(base), overlays=(str(ROOT / "configs/ablations"),), output="o", seeds=1)
    assert len(arms_of(asked)) == 1 + len(list((ROOT / "configs/ablations").glob("*.yaml")))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_file_that_is_shipped_can_be_read(path):
    read(_command(path), path)


def test_there_are_files_for_the_commands_that_take_them():
    assert {_command(path) for path in FILES} == set(COMMANDS)


def _command(path):
    folder = path.parent.name
    return f"{folder}/{path.stem}" if f"{folder}/{path.stem}" in COMMANDS else folder


def test_the_published_files_are_the_published_profiles():
    separated = read("archive", ROOT / "configs/archive/published.yaml")
    assert separated.request.settings == SeparationSettings.published()
    mined = read("mine", ROOT / "configs/mine/paper.yaml")
    assert mined.request.settings == MiningSettings.published().replace(conditions="both")


def test_overlays_are_laid_over_each_other_in_their_order():
    base, small = ROOT / "configs/train/base.yaml", ROOT / "configs/train/small.yaml"
    asked = read("train", base, small, "--loss.kind", "l1").request.recipe
    assert (asked.name, asked.plan.batch_size, asked.loss.kind) == ("small", 8, "l1")
    assert asked.mixtures == read("train", base).request.recipe.mixtures
    assert asked.separator.channels == (8, 16, 32, 64, 128, 128)


def test_the_published_recipe_is_that_of_the_released_program():
    recipe = read("train", ROOT / "configs/train/published.yaml").request.recipe
    assert recipe.mixtures.target_rms_dbfs is None
    assert (recipe.loss.kind, recipe.mixtures.partners, recipe.mixtures.absent) == ("l1", "any", 0)
    assert recipe.mixtures.conditions.own == 1
    assert recipe.augmentation.is_off
    optimiser = recipe.fit.optimiser
    assert (optimiser.schedule, optimiser.learning_rate, optimiser.amsgrad) == ("published", 1e-3, True)


def test_a_flag_overrides_the_file():
    file = ROOT / "configs/archive/store.yaml"
    plain, changed = read("archive", file), read("archive", file, "--threshold", 0.3, "--no-report")
    assert changed.request.settings == plain.request.settings.replace(threshold=0.3)
    assert changed.request.write == plain.request.write.replace(report=False)
    assert changed.request.storage == plain.request.storage
    assert changed.options == plain.options


def test_a_flag_or_a_file_that_asks_for_something_asks_for_that_alone(tmp_path):
    file, over = ROOT / "configs/archive/base.yaml", tmp_path / "over.yaml"
    assert read("archive", file).request.query == Query(levels=(1, 2, 3))
    assert read("archive", file, "--classes", "Dog").request.query == Query(classes=("Dog",))
    assert read("archive", file, "--events").request.query == Query(events=True)
    excluding = read("archive", file, "--exclude", "Music").request.query
    assert excluding == Query(levels=(1, 2, 3), exclude=("Music",))
    over.write_text(f"base: {file}\nrequest: {{query: {{classes: [Dog]}}}}")
    assert read("archive", over).request.query == Query(classes=("Dog",))
    assert read("archive", over, "--levels", "2").request.query == Query(levels=(2,))


def test_a_profile_lies_between_file_and_flags(tmp_path):
    file = tmp_path / "mine.yml"
    file.write_text(
        "recording: a.wav\nrequest: {output: out, settings: {threshold: 0.5, channel_mode: independent}}"
    )
    asked = read("separate", file, "--profile", "published", "--threshold", 0.3)
    assert asked.request.settings == SeparationSettings.published().replace(threshold=0.3)


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("separate", "a.wav -o out --text dog --text cat --storage-patience 3"),
        ("archive", "in out --levels 1 2 --shard 2/3 --version b --profile published --actors 2 --verbose"),
        ("archive", f"{ROOT}/configs/archive/store.yaml --exclude Speech Music"),
        ("mine", "a.csv b.csv audio out --silence off --mode random --seed 3 --compile"),
    ],
)
def test_the_settings_printed_give_the_same_request(command, arguments, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        read(command, *arguments.split(), "--print-config")
    assert not ended.value.code
    file = tmp_path / "printed.yaml"
    file.write_text(capsys.readouterr().out)
    assert read(command, file) == read(command, *arguments.split())


def test_silence_that_is_off_can_be_printed_and_read(capsys):
    with pytest.raises(SystemExit):
        read("archive", "in", "out", "--profile", "published", "--print-config")
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["request"]["settings"]["silence"]["untagged_below_rms_dbfs"] is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "archive: in\nrequest: {outptu: out}",
            "outptu: expected a known setting, 'output'?, found an unknown one",
        ),
        ("archve: in", "archve: expected a known setting, 'archive'?, found an unknown one"),
        (
            "archive: in\nrequest: {output: o, settings: {threshold: 2}}",
            "threshold: expected at most 1, found 2",
        ),
        (
            "archive: in\nrequest: {output: out, query: {levels: {a: 1}}}",
            'request.query.levels: expected a list, found {"a": 1}',
        ),
        ("archive: in", "request: expected a value, found none"),
        ("request: {output: out}", "archive: expected a value, found none"),
        ("[1, 2]", "expected settings by their names, found list"),
        ("archive: [", "expected a YAML file of settings, found"),
        ("base: other.yaml", "other.yaml: expected a YAML file of settings, found No such file or directory"),
    ],
)
def test_what_is_wrong_in_a_file_is_one_line(command, tmp_path, content, message):
    file = tmp_path / "job.yaml"
    file.write_text(content)
    ran = command("archive", file)
    assert ran.exit_code == 2
    assert message in ran.err
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    assert ran.out == ""
