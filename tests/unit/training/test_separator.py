from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from uss_ray.datasets.clips import ClipStore
from uss_ray.datasets.segments import ClipRecord
from uss_ray.errors import ConfigError, DataError
from uss_ray.evaluation.metrics import sdr_improvement
from uss_ray.mining.miner import AnchorSegment
from uss_ray.mixtures import mix_in_ring
from uss_ray.models.panns import Panns, PannsConfig
from uss_ray.models.query_net import QueryNet
from uss_ray.models.resunet import ResUNet, ResUNetConfig
from uss_ray.training.loop import LoopConfig, run_loop
from uss_ray.training.norms import settle_norms
from uss_ray.training.separator import (
    AnchorTable,
    ConditionShares,
    SeparatorTask,
    average_by_class,
    build_anchor_table,
)
from uss_ray.training.tagger import overlap_clips, tagger_loss

RATE = 4000
SEGMENT = 1000


def tones_and_noise(clips: int = 12, seconds: float = 2.0) -> ClipStore:
    """Clips of class 0 hold steady tones, of class 1 noise."""
    rng = np.random.default_rng(0)
    samples = round(seconds * RATE)
    audio = np.zeros((clips, samples))
    for clip in range(0, clips, 2):
        for hertz in rng.uniform(200, 1800, 3):
            audio[clip] += np.sin(2 * np.pi * hertz / RATE * np.arange(samples))
    audio[1::2] = rng.standard_normal((clips // 2, samples))
    audio = (audio / np.abs(audio).max() * 20000).astype(np.int16)
    records = [ClipRecord(f"c{k}", 0, seconds, (k % 2,)) for k in range(clips)]
    return ClipStore(records, audio, sample_rate=RATE, classes=2)


def hard_table(store: ClipStore) -> AnchorTable:
    anchors = [AnchorSegment(k, k % 2, 0, 1.0) for k in range(len(store))]
    bottlenecks = np.eye(2, dtype=np.float32)[[a.class_index for a in anchors]]
    return AnchorTable(anchors, bottlenecks, average_by_class(anchors, bottlenecks))


def separator() -> ResUNet:
    torch.manual_seed(0)
    return ResUNet(
        ResUNetConfig(
            condition_size=2,
            channels=(4, 8),
            bottleneck_channels=8,
            stem_channels=4,
            window_samples=128,
            hop_samples=64,
            sample_rate=RATE,
        )
    )


def task(model: ResUNet, store: ClipStore, shares: ConditionShares | None = None) -> SeparatorTask:
    eye = np.eye(2, dtype=bool)
    return SeparatorTask(
        model,
        store,
        hard_table(store),
        related=eye,
        subtree=eye,
        segment_samples=SEGMENT,
        batch_size=8,
        shares=shares,
    )


def test_tones_and_noise_are_learnt_apart(tmp_path: Path) -> None:
    store = tones_and_noise()
    model = separator()
    work = task(model, store)
    run_loop(
        model,
        work.loss,
        config=LoopConfig(steps=120, learning_rate=1e-2, warmup_steps=5),
        checkpoint=tmp_path / "model.pt",
    )
    settle_norms(model, work.loss, batches=20)
    sources = torch.from_numpy(store.waveform(np.array([0, 1])))
    mixtures = mix_in_ring(sources)
    with torch.inference_mode():
        estimates = model(mixtures, torch.eye(2))
    # Half of the mixture would be 3 dB better than the mixture: what must be beaten clearly.
    assert (sdr_improvement(estimates.numpy(), sources.numpy(), mixtures.numpy()) > 4.5).all()


def test_an_interrupted_run_ends_where_an_undisturbed_one_does(tmp_path: Path) -> None:
    store = tones_and_noise()
    config = LoopConfig(steps=6, learning_rate=1e-3, warmup_steps=2, checkpoint_steps=3)
    whole, parts = separator(), separator()
    run_loop(whole, task(whole, store).loss, config=config, checkpoint=tmp_path / "whole.pt")

    class StopError(Exception):
        pass

    def stop(step: int) -> None:
        raise StopError

    with pytest.raises(StopError):
        run_loop(
            parts,
            task(parts, store).loss,
            config=config,
            checkpoint=tmp_path / "parts.pt",
            on_checkpoint=stop,
        )
    resumed = separator()
    run_loop(resumed, task(resumed, store).loss, config=config, checkpoint=tmp_path / "parts.pt")
    for one, other in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    model = separator()
    step = task(model, tones_and_noise()).loss
    run_loop(model, step, config=LoopConfig(steps=1, learning_rate=1e-3), checkpoint=tmp_path / "m.pt")
    with pytest.raises(ConfigError, match="2 steps"):
        run_loop(model, step, config=LoopConfig(steps=2, learning_rate=1e-3), checkpoint=tmp_path / "m.pt")


def test_a_batch_holds_mixtures_of_equal_energy_and_conditions_of_the_target() -> None:
    store = tones_and_noise()
    drawn = task(separator(), store, ConditionShares(own=0, masked=0, class_mean=1)).draw(
        torch.Generator().manual_seed(0)
    )
    mixtures, targets, conditions = drawn
    assert mixtures.shape == targets.shape == (8, SEGMENT)
    others = mixtures - targets
    assert torch.allclose(others.square().sum(-1), targets.square().sum(-1), rtol=1e-3)
    crest = targets.abs().amax(dim=1) / targets.square().mean(dim=1).sqrt()
    assert torch.equal(conditions.argmax(dim=1), (crest > 2.6).long())


def test_mining_gives_every_label_its_anchors_and_class_means() -> None:
    store = tones_and_noise(clips=4)
    torch.manual_seed(0)
    tagger = Panns(
        PannsConfig(
            classes=2,
            block_channels=(2, 4),
            embedding_size=4,
            head="frame",
            sample_rate=RATE,
            window_samples=256,
            hop_samples=64,
            mel_bins=16,
            max_hertz=1900,
        )
    )
    table = build_anchor_table(store, detector=tagger, query_net=QueryNet(tagger), segment_samples=2000)
    assert {(a.clip, a.class_index) for a in table.anchors} == {(0, 0), (1, 1), (2, 0), (3, 1)}
    assert all(0 <= a.start_sample <= 6000 for a in table.anchors)
    assert table.bottlenecks.shape == (len(table.anchors), 2)
    rows = [k for k, a in enumerate(table.anchors) if a.class_index == 1]
    low, high = table.bottlenecks[rows].min(axis=0), table.bottlenecks[rows].max(axis=0)
    assert ((table.class_means[1] >= low - 1e-6) & (table.class_means[1] <= high + 1e-6)).all()


def test_a_clip_head_cannot_mine() -> None:
    tagger = Panns(PannsConfig(classes=2, block_channels=(2,), embedding_size=4))
    with pytest.raises(DataError, match="frame head"):
        build_anchor_table(
            tones_and_noise(2), detector=tagger, query_net=QueryNet(tagger), segment_samples=100
        )


def test_overlapped_clips_carry_the_labels_of_both() -> None:
    torch.manual_seed(0)
    waveform, labels = torch.randn(8, 400), torch.eye(8)
    mixed, union = overlap_clips(waveform, labels, generator=torch.Generator().manual_seed(0), share=1.0)
    changed = (mixed - waveform).abs().amax(dim=1) > 0
    assert changed.all()
    assert set(union.sum(dim=1).tolist()) <= {1.0, 2.0}
    assert (union >= labels).all()
    assert union.sum() > 8
    same, kept = overlap_clips(waveform, labels, generator=torch.Generator().manual_seed(0), share=0.0)
    assert torch.equal(same, waveform)
    assert torch.equal(kept, labels)


def test_the_tagger_learns_from_weak_labels(tmp_path: Path) -> None:
    store = tones_and_noise()
    torch.manual_seed(0)
    model = Panns(
        PannsConfig(
            classes=2,
            block_channels=(4, 8),
            embedding_size=8,
            head="frame",
            pooling="linear_softmax",
            sample_rate=RATE,
            window_samples=256,
            hop_samples=64,
            mel_bins=16,
            max_hertz=1900,
            block_dropout=0.0,
            head_dropout=0.0,
        )
    )
    waveform, labels = torch.from_numpy(store.waveform(np.arange(12))), torch.from_numpy(store.labels)
    run_loop(
        model,
        lambda generator: tagger_loss(model, waveform, labels),
        config=LoopConfig(steps=100, learning_rate=1e-2, warmup_steps=2),
        checkpoint=tmp_path / "tagger.pt",
    )
    with torch.inference_mode():
        probs = model(waveform).clipwise_probs
    assert ((probs > 0.5).float() == labels).all()
