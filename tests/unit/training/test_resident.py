from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from examples.train_on_one_gpu import MinuteKeeper, join, resume
from tests.kept_run import Kept
from tests.synthetic_set import LABELS, RATE, SAMPLES, SyntheticSet, small_recipe, sound_of
from tests.unit.training.test_tagger import CONFIG
from uss_ray.anchors.anchor import Anchor
from uss_ray.errors import DataError
from uss_ray.mixtures import matching_gain
from uss_ray.training.fit import Fit, TrainingState
from uss_ray.training.mixing import Item
from uss_ray.training.recipe import FitSettings, PlanSettings, TaggerRecipe
from uss_ray.training.resident import (
    ResidentAnchors,
    ResidentClips,
    ResidentSeparatorTask,
    ResidentTaggerTask,
    _matching_gains,
)
from uss_ray.training.tagger import AnchorLabels
from uss_ray.weights.folder import read_folder, save_weights

CLASSES = len(LABELS)
EACH = 4
START = 100


@pytest.fixture(scope="module")
def clips() -> ResidentClips:
    """Four clips of each class, each sound a little after the beginning."""
    rng = np.random.default_rng(0)
    audio = np.zeros((CLASSES * EACH, START + SAMPLES + 50), np.int16)
    for row in range(len(audio)):
        audio[row, START : START + SAMPLES] = 0.5 * 32767 * sound_of(row // EACH, rng)
    labels = np.repeat(np.eye(CLASSES, dtype=np.float32), EACH, axis=0)
    return ResidentClips(audio, labels, device="cpu")


def anchors_of(clips: ResidentClips, synthetic_set: SyntheticSet) -> ResidentAnchors:
    packed = synthetic_set.open().manifest
    found = [
        Anchor(
            clip_id=str(row),
            class_index=row // EACH,
            start_sample=START,
            sample_rate=RATE,
            score=0.5,
            purity=1.0,
            intruder_index=None,
            level_db=-20.0,
            label_indexes=(row // EACH,),
            prob_indexes=(row // EACH,),
            probs=np.array([0.9], np.float32),
            waveform=clips.audio[row, START : START + SAMPLES].numpy(),
            soft=np.eye(CLASSES, dtype=np.float32)[row // EACH] * 0.9,
        )
        for row in reversed(range(len(clips.labels)))
    ]
    manifest = {
        "weights_name": packed.weights_name,
        "weights_sha256": packed.weights_sha256,
        "class_list_sha256": packed.class_list_sha256,
        "mining": packed.mining,
    }
    return ResidentAnchors(found, clips, rows={str(row): row for row in range(len(found))}, manifest=manifest)


def task_of(clips: ResidentClips, synthetic_set: SyntheticSet, **values: object) -> ResidentSeparatorTask:
    anchors = anchors_of(clips, synthetic_set)
    return ResidentSeparatorTask(small_recipe(**values), anchors, vocabulary=synthetic_set.vocabulary)


def item(**values: object) -> Item:
    base = {
        "step": 0,
        "lane": 0,
        "place": 0,
        "target": 0,
        "twin": None,
        "partners": (EACH,),
        "texture": None,
        "condition": "own",
        "condition_class": 0,
        "is_absent": False,
    }
    return Item(**{**base, **values})


def energies(waveforms: torch.Tensor) -> list[float]:
    return waveforms.double().square().sum(dim=1).tolist()


def test_excerpts_are_cut_at_their_places_and_end_in_silence(clips):
    cut = clips.cut(np.array([1, 5]), np.array([START, clips.samples - 10]), 20)
    assert torch.equal(cut[0], clips.audio[1, START : START + 20].float() / 32768)
    assert torch.equal(cut[1, :10], clips.audio[5, -10:].float() / 32768)
    assert not cut[1, 10:].any()


def test_anchors_are_what_a_pack_would_hold(clips, synthetic_set):
    anchors = anchors_of(clips, synthetic_set)
    assert anchors.catalogue.class_indexes.tolist() == [row // EACH for row in range(CLASSES * EACH)]
    assert anchors.manifest.counts == dict.fromkeys(range(CLASSES), EACH)
    assert anchors.manifest.samples == SAMPLES
    (read,) = anchors.read([EACH + 1])
    assert read.class_index == 1
    row = anchors.clip_rows[EACH + 1]
    assert (read.waveform == clips.audio[row, START : START + SAMPLES].numpy() / np.float32(32768)).all()
    assert anchors.class_means("soft")[1] == pytest.approx([0, 0.9, 0, 0])
    with pytest.raises(DataError, match="soft conditions"):
        anchors.class_means("latent")


def test_mixtures_are_rendered_as_by_a_loader(clips, synthetic_set):
    task = task_of(clips, synthetic_set)
    torch.manual_seed(0)
    items = [
        item(),
        item(is_absent=True),
        item(partners=(EACH, 2 * EACH)),
        item(texture=3 * EACH),
        item(partners=(), twin=1),
    ]
    mixtures, targets = task.render(items)
    target, others = energies(targets), energies(mixtures - targets)
    assert others[0] == pytest.approx(target[0], rel=1e-3)
    assert target[1] == 0
    assert others[2] == pytest.approx(2 * target[2], rel=0.2)
    assert 1.005 < others[3] / target[3] < 1.2
    assert others[4] == 0
    levels = 10 * np.log10(np.array(target)[[0, 2, 3, 4]] / task.samples)
    assert (levels >= -35.01).all()
    assert (levels <= -14.99).all()


def test_limits_of_matching_are_those_of_sound_as_it_was_recorded():
    generator = torch.Generator().manual_seed(0)
    targets, others = torch.randn(2, 3, 500, generator=generator) * torch.tensor([[0.1], [0.1], [1.0]])
    others *= torch.tensor([[1.0], [0.003], [0.001]])
    scale = torch.tensor([[0.5], [3.0], [2.0]])
    gains = _matching_gains(targets * scale, others, scale=scale)
    for target, other, factor, gain in zip(targets, others, scale, gains, strict=True):
        wanted = float(factor) * matching_gain(target.numpy(), other.numpy())
        assert float(gain) == pytest.approx(wanted, rel=1e-5)
    assert float(gains[1]) > 50
    assert float(gains[2]) == 100


def test_levels_that_are_off_leave_targets_as_recorded(clips, synthetic_set):
    for levels in ("matched", "recorded"):
        mixtures = {"target_rms_dbfs": None, "levels": levels}
        task = task_of(clips, synthetic_set, mixtures=mixtures)
        mixed, targets = task.render([item()])
        sources = task.anchors.cut(np.array([0, EACH]), task.samples)
        torch.testing.assert_close(targets[0], sources[0])
        if levels == "recorded":
            torch.testing.assert_close(mixed[0], sources.sum(dim=0))


def test_a_separator_trains_on_them_and_the_same_seed_gives_the_same(clips, synthetic_set):
    states = []
    for _ in range(2):
        task = task_of(clips, synthetic_set)
        fit = Fit(
            task,
            settings=FitSettings(steps=3),
            lanes=[0],
            lane_count=1,
            keeper=Kept(),
        )
        fit.run()
        states.append(task.module.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_tagger_hears_clips_and_anchors_with_their_labels(clips, synthetic_set):
    anchors = AnchorLabels(anchors_of(clips, synthetic_set), synthetic_set.vocabulary)
    recipe = TaggerRecipe(
        name="ear",
        fit=FitSettings(steps=2),
        plan=PlanSettings(batch_size=4, lanes=1),
        tagger=CONFIG.replace(classes=CLASSES, sample_rate=RATE),
        anchor_share=0.5,
        overlapped=0.0,
        crop_seconds=(0.1, 0.2),
    )
    task = ResidentTaggerTask(recipe, clips, anchors=anchors)
    lengths = {}
    for step in range(12):
        batch = task.load(step, 0)
        waveforms, labels = task.render(batch)
        lengths.setdefault(batch.kind, set()).add(waveforms.shape[1])
        assert torch.equal(labels, batch.labels)
    assert lengths["anchor"] == {SAMPLES}
    assert all(0.1 * RATE <= length <= 0.2 * RATE for length in lengths["clip"])
    loud = ResidentTaggerTask(recipe.replace(overlapped=1.0), clips, anchors=anchors)
    batch = loud.load(0, 0)
    torch.manual_seed(0)
    _, labels = loud.render(batch)
    assert (labels >= batch.labels).all()
    assert torch.isfinite(loud.loss(batch))


def test_the_average_of_a_minute_is_taken_up_again(tmp_path):
    network = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3))
    network(torch.randn(4, 3))
    state = TrainingState(7, network.state_dict(), {}, {})
    MinuteKeeper(tmp_path, seed=0).save(state, keep=1)
    other = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3))
    resume(other, tmp_path)
    for name, tensor in network.state_dict().items():
        assert torch.allclose(other.state_dict()[name], tensor, atol=1e-3)


def test_a_tagger_that_learnt_more_goes_before_a_separator_that_stays(
    tiny_weights: Path, tmp_path: Path
) -> None:
    separating = read_folder(tiny_weights)
    assert separating.tagger is not None
    with torch.no_grad():
        for parameter in separating.tagger.parameters():
            parameter += 0.25
    learnt = save_weights(
        tmp_path / "w",
        {"tagger": separating.tagger},
        name="ear",
        specifications=separating.specifications,
        source={"step": 7},
    )
    before = read_folder(learnt)
    join(learnt, read_folder(tiny_weights), name="both")
    both, kept = read_folder(learnt), read_folder(tiny_weights)
    assert (both.name, both.source) == (
        "both",
        {"tagger": {"step": 7}, "separator": {"sha256": kept.sha256, **(kept.source or {})}},
    )
    for role, of in (("tagger", before), ("separator", kept)):
        for name, tensor in of.networks[role].state_dict().items():
            torch.testing.assert_close(both.networks[role].state_dict()[name], tensor, rtol=1e-3, atol=1e-3)
    assert (both.class_means is None) == (kept.class_means is None)
    assert both.specifications == kept.specifications
