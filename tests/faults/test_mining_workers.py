"""A clip takes the worker that mines it with it, or the job is told to stop: nothing else is lost."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile as sf

from tests.faults.disturbances import LOOK_SECONDS
from tests.faults.stops import noting_stops
from uss_ray.mining.settings import MiningSettings
from uss_ray.pipelines.mining.job import mine_archive
from uss_ray.pipelines.mining.miners import make_miner
from uss_ray.pipelines.mining.request import MiningRequest
from uss_ray.pipelines.runtime import stages
from uss_ray.pipelines.runtime.options import JobOptions
from uss_ray.pipelines.runtime.stopping import StopRequest

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("nothing_held_afterwards"), pytest.mark.timeout(600)]

RATE = 32_000
CLIPS = 6
OPTIONS = JobOptions(actors=1, threads=1)


@pytest.fixture
def request_here(tmp_path, frame_weights):
    audio = tmp_path / "audio"
    audio.mkdir()
    lines = []
    for number in range(CLIPS):
        sound = 0.1 * np.random.default_rng(number).standard_normal(4 * RATE)
        sf.write(audio / f"Yclip{number}.flac", sound, RATE)
        lines.append(f'clip{number}, 0.000, 4.000, "/m/0bt9lr,/m/04rlf"\n')
    (tmp_path / "segments.csv").write_text("".join(lines))
    return MiningRequest(
        segments=(str(tmp_path / "segments.csv"),),
        audio=str(audio),
        output=str(tmp_path / "out"),
        weights=frame_weights,
        settings=MiningSettings(clip_seconds=4.0, anchor_seconds=1.0, min_probability=0.0, batch_size=2),
        report=False,
    )


@pytest.fixture(scope="module")
def frame_weights(tmp_path_factory):
    import torch

    from uss_ray.models.panns import Panns
    from uss_ray.models.panns_settings import PannsConfig
    from uss_ray.weights.folder import save_weights, specify

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        tagger = Panns(
            PannsConfig(block_channels=(4, 8), embedding_size=12, mel_bins=16, head="frame", hop_samples=640)
        )
    networks = {"tagger": tagger.eval()}
    folder = tmp_path_factory.mktemp("weights") / "small"
    return str(
        save_weights(folder, networks, name="small", specifications=specify(networks, segment_seconds=2.0))
    )


def rows_in(folder):
    return [row for file in sorted(folder.glob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def test_a_clip_that_kills_its_worker_each_time_fails_alone(request_here, tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "_TASK_RETRIES", 1)  # each worker more takes seconds to start

    class DeadlyMiner:
        def __init__(self, request):
            self._miner = make_miner(request)

        def mine(self, clips):
            if any(clip.clip_id == "clip3" for clip in clips):
                os.kill(os.getpid(), signal.SIGKILL)
            return self._miner.mine(clips)

    result = mine_archive(request_here, options=OPTIONS, make_miner=DeadlyMiner)
    assert result.exit_code == 8
    assert (result.summary.mined, result.summary.failed, result.summary.unfinished) == (CLIPS - 1, 1, 0)
    (reject,) = rows_in(tmp_path / "out" / "rejects")
    assert (reject["clip_id"], reject["reason"]) == ("clip3", "broken")
    assert "worker died" in reject["found"]

    mended = mine_archive(request_here, options=JobOptions(actors=1, threads=1, retry_failed=True))
    assert (mended.exit_code, mended.summary.mined) == (0, 1)
    assert not rows_in(tmp_path / "out" / "rejects")
    anchors = rows_in(tmp_path / "out" / "anchors")
    assert sorted({row["clip_id"] for row in anchors}) == [f"clip{number}" for number in range(CLIPS)]
    assert len(anchors) == 2 * CLIPS


def test_a_job_that_is_told_to_stop_commits_what_it_has_begun_and_goes_on_later(
    request_here, tmp_path, monkeypatch
):
    told_workers = tmp_path / "told"

    class PatientMiner:
        """Has the first clip behind it when the job is told, and the second in hand."""

        def __init__(self, request):
            self._miner = make_miner(request)
            self._calls = 0

        def mine(self, clips):
            self._calls += 1
            while self._calls == 2 and not told_workers.exists():
                time.sleep(LOOK_SECONDS)
            return self._miner.mine(clips)

    # Each clip is a packet, so that the job is told long before the last.
    request = request_here.replace(settings=request_here.settings.replace(batch_size=1))
    told = []

    def tell_once(progress):
        if not told:
            told.append(progress.finished)
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(StopRequest, "__init__", noting_stops(told_workers))
    stopped = mine_archive(request, options=OPTIONS, on_progress=tell_once, make_miner=PatientMiner)
    assert stopped.exit_code == 128 + signal.SIGTERM
    assert 0 < stopped.summary.mined < CLIPS
    assert stopped.summary.failed == 0  # what was not begun is not missing
    again = mine_archive(request, options=OPTIONS)
    assert again.exit_code == 0
    assert again.summary.skipped == stopped.summary.mined
    assert len(rows_in(tmp_path / "out" / "anchors")) == 2 * CLIPS
