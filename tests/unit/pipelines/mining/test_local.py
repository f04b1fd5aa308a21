from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from uss_ray.anchors.manifest import read_manifest
from uss_ray.anchors.stream import AnchorShards
from uss_ray.errors import OutputError
from uss_ray.mining.settings import MiningSettings
from uss_ray.pipelines.mining import local
from uss_ray.pipelines.mining.local import mine_in_process
from uss_ray.pipelines.mining.request import MiningRequest
from uss_ray.silence import MiningSilence
from uss_ray.store.lease import hold_lease

torch = pytest.importorskip("torch")

RATE, CLIPS = 32_000, 5
DOG, RAIN = "/m/0bt9lr", "/m/06mb1"
NO_SILENCE = MiningSilence(anchor_rejected_below_rms_dbfs=None)
SETTINGS = MiningSettings(
    anchor_seconds=0.5, clip_seconds=1.0, min_probability=0.0, silence=NO_SILENCE, batch_size=2
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    from uss_ray.models.panns import Panns
    from uss_ray.models.panns_settings import PannsConfig
    from uss_ray.weights.folder import save_weights, specify

    torch.manual_seed(3)
    tagger = Panns(PannsConfig(block_channels=(2, 4), embedding_size=4, mel_bins=16, head="frame"))
    networks = {"tagger": tagger.eval()}
    folder = tmp_path_factory.mktemp("weights") / "small"
    return str(
        save_weights(folder, networks, name="small", specifications=specify(networks, segment_seconds=0.5))
    )


@pytest.fixture
def request_for(weights: str, tmp_path: Path):
    rng = np.random.default_rng(0)
    (tmp_path / "audio").mkdir()
    for number in range(CLIPS):
        soundfile.write(tmp_path / "audio" / f"c{number}.wav", 0.1 * rng.standard_normal(RATE), RATE)
    (tmp_path / "audio" / "letter.wav").write_text("a letter")
    lines = [f'{name}, 0, 1, "{DOG},{RAIN}"' for name in (*(f"c{n}" for n in range(CLIPS)), "gone", "letter")]
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")

    def make(**changes: object) -> MiningRequest:
        values = {
            "segments": (str(tmp_path / "labels.csv"),),
            "audio": str(tmp_path / "audio"),
            "output": str(tmp_path / "mined"),
            "weights": weights,
            "settings": SETTINGS,
            "device": "cpu",
        }
        return MiningRequest(**{**values, **changes})  # type: ignore[arg-type]

    return make


def test_every_clip_is_an_anchor_or_a_reject(request_for) -> None:
    request = request_for()
    totals = mine_in_process(request)
    assert (totals.clips, totals.anchors, totals.failed) == (CLIPS + 2, 2 * CLIPS, 2)
    assert totals.rejects == {"broken": 1, "missing": 1}
    assert read_manifest(request.output).anchors == sum(AnchorShards(request.output).counts.values()) == 10


def test_a_run_that_was_cut_off_goes_on_and_gives_the_same_anchors(
    request_for, monkeypatch, tmp_path
) -> None:
    whole = mine_in_process(request_for(output=str(tmp_path / "whole")))
    monkeypatch.setattr(local, "PACKET_CLIPS", 2)
    request = request_for()

    class CutOffError(Exception):
        pass

    def cut_off(done: float, total: float | None) -> None:
        raise CutOffError

    with pytest.raises(CutOffError):
        mine_in_process(request, on_progress=cut_off)
    seen: list[float] = []
    assert mine_in_process(request, on_progress=lambda done, total: seen.append(done)).clips == whole.clips
    assert seen[0] > 2
    assert (
        mine_in_process(request, on_progress=lambda *_: pytest.fail("all is done")).anchors == whole.anchors
    )
    ids = [
        sorted(anchor.anchor_id for index in shards.counts for anchor in shards.iter_class(index))
        for shards in (AnchorShards(request.output), AnchorShards(tmp_path / "whole"))
    ]
    assert ids[0] == ids[1]


def test_results_of_other_settings_are_not_mixed_with_these(request_for) -> None:
    mine_in_process(request_for())
    with pytest.raises(OutputError, match="min_purity"):
        mine_in_process(request_for(settings=SETTINGS.__class__(min_purity=0.5)))
    other = SETTINGS.__class__(anchor_seconds=1.0, clip_seconds=1.0, min_probability=0.0, silence=NO_SILENCE)
    again = request_for(settings=other, overwrite=True)
    assert mine_in_process(again).anchors == 2 * CLIPS


@pytest.mark.slow
def test_overwriting_begins_anew_unless_the_last_time_left_clips_that_fail(
    request_for, tmp_path: Path
) -> None:
    def times_anew(request: MiningRequest) -> int:
        seen: list[float] = []
        for _ in range(3):
            mine_in_process(request, on_progress=lambda done, _: seen.append(done))
        return seen.count(seen[0])

    assert times_anew(request_for(overwrite=True)) == 1
    whole = [line for line in (tmp_path / "labels.csv").read_text().splitlines() if line.startswith("c")]
    (tmp_path / "whole.csv").write_text("\n".join(whole) + "\n")
    other = {"segments": (str(tmp_path / "whole.csv"),), "output": str(tmp_path / "other")}
    assert times_anew(request_for(overwrite=True, **other)) == 3


def test_an_output_that_another_run_writes_to_is_left_alone(request_for) -> None:
    request = request_for()
    with (
        hold_lease(request.output_store, job="archive", on_lost=lambda _: None),
        pytest.raises(OutputError, match="archive"),
    ):
        mine_in_process(request)


def test_a_run_keeps_the_threads_it_began_with(request_for, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    real = local.PacketWork.__call__

    def watched(work, packet):
        seen.append(torch.get_num_threads())
        return real(work, packet)

    monkeypatch.setattr(local.PacketWork, "__call__", watched)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        monkeypatch.setattr(local, "PACKET_CLIPS", 4)
        mine_in_process(request_for())
        torch.set_num_threads(2)
        for receipt in request_for().output_store.list():
            if "/rejects/" in str(receipt) and "failed-" not in str(receipt):
                receipt.remove()
        mine_in_process(request_for())
        assert set(seen) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
