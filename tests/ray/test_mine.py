"""The mining job on a local Ray: the same anchors from every container; resumed, shared out; bad clips listed."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from collections import Counter
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile as sf

from tests.small_tagger import save_small_tagger
from uss_ray.anchors.manifest import read_manifest
from uss_ray.anchors.schema import ANCHOR_SCHEMA, read_anchors
from uss_ray.anchors.stream import AnchorShards
from uss_ray.audio.pcm import to_float, to_int16
from uss_ray.cli.main import run as command
from uss_ray.errors import DataError, OutputError, WeightsError
from uss_ray.mining.settings import MiningSettings
from uss_ray.pipelines.mining.job import mine_archive
from uss_ray.pipelines.mining.local import mine_in_process
from uss_ray.pipelines.mining.request import MiningRequest
from uss_ray.pipelines.runtime.options import JobOptions

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("nothing_held_afterwards")]

RATE = 32_000
CLIP_SECONDS = 4
BATCH = 2
SETTINGS = MiningSettings(
    anchor_seconds=1.0,
    clip_seconds=CLIP_SECONDS,
    min_probability=0.0,
    silence={"anchor_rejected_below_rms_dbfs": None},
    batch_size=BATCH,
    conditions="both",
)
ONE_ACTOR = JobOptions(actors=1, threads=1)
GOOD = tuple(f"clip{number}" for number in range(8))
LABELS = {clip_id: (number, 74, 137) for number, clip_id in enumerate(GOOD)}
MIDS = ("/m/09x0r", "/m/05zppz", "/m/02zsn", "/m/0ytgt", "/m/01h8n0", "/m/02qldy", "/m/0261r1", "/m/0brhx")
DOG, MUSIC = "/m/0bt9lr", "/m/04rlf"


def waveform_of(number):
    """Noise with something loud in it, as samples that every container holds exactly."""
    rng = np.random.default_rng(number)
    sound = 0.01 * rng.standard_normal(CLIP_SECONDS * RATE)
    start = int(rng.integers(0, 3 * RATE))
    time = np.arange(RATE) / RATE
    sound[start : start + RATE] += 0.3 * np.sin(2 * np.pi * (300 + 200 * number) * time)
    return np.rint(np.clip(sound, -1, 1) * 32767).astype(np.int16)


def encoded(samples):
    file = io.BytesIO()
    sf.write(file, to_float(samples), RATE, format="WAV", subtype="FLOAT")
    return file.getvalue()


def as_files(folder):
    for number, clip_id in enumerate(GOOD):
        (folder / f"Y{clip_id}.wav").write_bytes(encoded(waveform_of(number)))


def as_tar(folder):
    for part in (0, 1):
        with tarfile.open(folder / f"shard-{part}.tar", "w") as archive:
            for number, clip_id in enumerate(GOOD):
                # What lies in both archives is mined once.
                if number % 2 == part or number == 0:
                    data = encoded(waveform_of(number))
                    member = tarfile.TarInfo(f"{clip_id}.wav")
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))


def as_parquet(folder):
    table = pa.table(
        {"video_id": GOOD, "audio": [encoded(waveform_of(number)) for number in range(len(GOOD))]}
    )
    pq.write_table(table, folder / "train.parquet", row_group_size=3)


def as_hdf5(folder):
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "pack.h5", "w") as pack:
        pack["audio_name"] = np.array([f"Y{clip_id}.wav".encode() for clip_id in GOOD])
        pack["waveform"] = np.stack([waveform_of(number) for number in range(len(GOOD))])
        pack.attrs["sample_rate"] = RATE


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return str(save_small_tagger(tmp_path_factory.mktemp("weights") / "small"))


@pytest.fixture(scope="module")
def clip_set(tmp_path_factory):
    """Segment CSV and a folder: eight good clips, and one each that is missing, no audio and short."""
    root = tmp_path_factory.mktemp("set")
    lines = [
        f'{clip_id}, 0.000, {CLIP_SECONDS}.000, "{mid},{DOG},{MUSIC}"'
        for clip_id, mid in zip(GOOD, MIDS, strict=True)
    ]
    bad = [f'{name}, 0.000, {CLIP_SECONDS}.000, "{DOG}"' for name in ("absent", "letter", "short")]
    (root / "good.csv").write_text("# made up\n" + "\n".join(lines) + "\n")
    (root / "all.csv").write_text("# made up\n" + "\n".join(lines + bad) + "\n")
    for name, write in (("files", as_files), ("tar", as_tar), ("parquet", as_parquet), ("hdf5", as_hdf5)):
        (root / name).mkdir()
        write(root / name)
    mixed = root / "mixed"
    mixed.mkdir()
    as_files(mixed)
    (mixed / "Yletter.wav").write_text("this is a letter")
    (mixed / "Yshort.wav").write_bytes(encoded(waveform_of(9)[: RATE // 2]))
    return root


@pytest.fixture
def request_for(clip_set, weights, tmp_path):
    def make(**changes):
        values = {
            "segments": (str(clip_set / "good.csv"),),
            "audio": str(clip_set / "files"),
            "output": str(tmp_path / "out"),
            "weights": weights,
            "settings": SETTINGS,
            "report": False,
        }
        return MiningRequest(**(values | changes))

    return make


def anchors_below(output):
    """Every anchor below an output root, as it is stored, by its name."""
    rows = {}
    for shard in sorted((output / "anchors").glob("*.parquet")):
        for row in pq.read_table(shard).to_pylist():
            name = (row["clip_id"], row["class_index"], row["start_sample"])
            assert name not in rows, f"{name} is there twice"
            rows[name] = row
    return rows


@pytest.fixture(scope="module")
def undisturbed(clip_set, weights, tmp_path_factory, local_ray):
    """What one run without any trouble gives."""
    output = tmp_path_factory.mktemp("undisturbed")
    request = MiningRequest(
        segments=(str(clip_set / "good.csv"),),
        audio=str(clip_set / "files"),
        output=str(output),
        weights=weights,
        settings=SETTINGS,
    )
    result = mine_archive(request, options=ONE_ACTOR)
    assert result.exit_code == 0
    assert (output / "report.html").exists()
    return output


def test_every_label_gets_the_anchor_that_a_slow_search_finds(undisturbed, weights):
    from uss_ray.weights.folder import read_folder

    detector = read_folder(weights).detector
    anchors = anchors_below(undisturbed)
    assert len(anchors) == sum(len(labels) for labels in LABELS.values())
    hop = 640
    for number, clip_id in enumerate(GOOD):
        waveform = to_float(waveform_of(number))
        with torch.inference_mode():
            tagging = detector(torch.from_numpy(np.stack([waveform] * BATCH)))
        frames = tagging.framewise_probs[0].numpy()[: len(waveform) // hop + 1].astype(np.float64)
        half = round(RATE / 2 / hop)
        for class_index in LABELS[clip_id]:
            padded = np.pad(frames[:, class_index], half, mode="edge")
            scores = [padded[centre : centre + 2 * half + 1].mean() for centre in range(len(frames))]
            best = int(np.argmax(np.round(scores, 12)))
            start = min(max(round(best * hop - RATE / 2), 0), len(waveform) - RATE)
            (row,) = [
                a for a in anchors.values() if (a["clip_id"], a["class_index"]) == (clip_id, class_index)
            ]
            assert row["start_sample"] == start
            samples = read_anchors(pa.Table.from_pylist([row]).cast(ANCHOR_SCHEMA))[0].waveform
            np.testing.assert_array_equal(samples, to_int16(waveform[start : start + RATE]))


def test_conditions_are_those_of_the_query_net(undisturbed, weights):
    from uss_ray.weights.folder import read_folder

    tagger = read_folder(weights).tagger
    for anchor in AnchorShards(undisturbed).iter_class(74):
        with torch.inference_mode():
            tagging = tagger(torch.from_numpy(np.stack([to_float(anchor.waveform)] * BATCH)))
        np.testing.assert_allclose(anchor.soft, tagging.clipwise_probs[0].numpy(), atol=1e-6)
        np.testing.assert_allclose(anchor.latent, tagging.embedding[0].numpy(), atol=1e-5)


@pytest.mark.parametrize("container", ["parquet", "hdf5"])
def test_every_container_gives_the_same_anchors(container, clip_set, request_for, undisturbed, tmp_path):
    """Without Ray, whose workers mine with the same code; that readers travel to them: unit/datasets."""
    torch.set_num_threads(1)
    mine_in_process(request_for(audio=str(clip_set / container)))
    assert anchors_below(tmp_path / "out") == anchors_below(undisturbed)


def test_a_container_gives_the_same_anchors_and_changes_as_a_whole(
    clip_set, request_for, undisturbed, tmp_path
):
    audio, out = tmp_path / "audio", tmp_path / "out"
    shutil.copytree(clip_set / "tar", audio)
    mine = partial(mine_archive, request_for(audio=str(audio)), options=ONE_ACTOR)
    first = mine()
    assert (first.summary.mined, first.summary.changed["count"]) == (len(GOOD), 0)
    assert anchors_below(out) == anchors_below(undisturbed)

    with tarfile.open(audio / "shard-1.tar", "a") as archive:
        archive.addfile(tarfile.TarInfo("notes.txt"))
    again = mine()
    # The first clip lies in both archives; which one it was mined from is a matter of which was read first.
    from_either = {"clip0"} & set(again.summary.changed["examples"])
    changed = {f"clip{number}" for number in range(1, len(GOOD), 2)}
    assert_mined_again(again, changed | from_either)
    assert anchors_below(out) == anchors_below(undisturbed)


def test_a_run_that_was_interrupted_gives_the_same_anchors_and_later_what_changes_is_mined_again(
    clip_set, request_for, undisturbed, tmp_path
):
    class PowerCutError(Exception):
        pass

    def cut(progress):
        if progress.finished >= 2 * BATCH:
            raise PowerCutError

    audio, out = tmp_path / "audio", tmp_path / "out"
    shutil.copytree(clip_set / "files", audio)
    request = request_for(audio=str(audio))
    mine = partial(mine_archive, options=ONE_ACTOR)
    with pytest.raises(PowerCutError):
        mine(request, on_progress=cut)
    assert not (out / "manifest.json").exists()
    receipts = sorted((out / "rejects").glob("*.parquet"))
    assert len(receipts) >= 2
    receipts[0].unlink()  # a worker that dies before the receipt is written leaves its shard
    # Nor does a shard count that a worker was cut off behind, before its receipt.
    shards = [out / "anchors" / receipt.name for receipt in receipts[1:]]
    begun = {path.name: path.stat().st_mtime_ns for path in shards if path.exists()}

    again = mine(request)
    assert again.exit_code == 0
    assert again.summary.skipped >= BATCH
    assert again.summary.changed["count"] == 0
    before = anchors_below(out)
    assert before == anchors_below(undisturbed)
    assert {name: (out / "anchors" / name).stat().st_mtime_ns for name in begun} == begun
    manifest, whole = read_manifest(str(out)), read_manifest(str(undisturbed))
    assert (manifest.counts, manifest.clips, manifest.rejects) == (whole.counts, whole.clips, whole.rejects)

    (audio / "Yclip3.wav").write_bytes(encoded(waveform_of(30)))
    failing = mine(request.replace(changed="fail"))
    assert (failing.exit_code, failing.summary.failed) == (8, 1)
    assert_mined_again(mine(request), {"clip3"})
    after = anchors_below(out)
    assert {name for name, *_ in after} == set(GOOD)
    assert len(after) == len(before)
    assert after != before


def test_shards_share_out_the_clips(request_for, undisturbed, tmp_path):
    for part in (1, 2):
        options = JobOptions(actors=1, threads=1, shard=(part, 2))
        assert mine_archive(request_for(), options=options).summary.mined == len(GOOD) // 2
    out = tmp_path / "out"
    assert anchors_below(out) == anchors_below(undisturbed)
    assert read_manifest(str(out)).counts == read_manifest(str(undisturbed)).counts
    assert (out / "summary-2-of-2.json").exists()


def test_bad_clips_are_listed_and_can_be_mended(clip_set, weights, capsys, tmp_path):
    """So are links out of the audio, which are followed on request."""
    audio, out = tmp_path / "audio", tmp_path / "out"
    shutil.copytree(clip_set / "mixed", audio)
    (audio / "Yclip7.wav").unlink()
    (audio / "Yclip7.wav").symlink_to(clip_set / "files" / "Yclip7.wav")
    (audio / "loop").symlink_to(audio)
    os.mkfifo(audio / "Ypipe.wav")
    words = [clip_set / "all.csv", audio, out, "--detector", weights, "--profile", "published"]
    words += ["--batch-size", "4", "--actors", "1", "--threads", "1", "--no-report"]
    arguments = [str(word) for word in words]
    assert command(["mine", *arguments]) == 8
    shown = capsys.readouterr().out
    assert "missing: 2; broken: 1" in shown
    rejects = [
        row for file in sorted((out / "rejects").glob("*.parquet")) for row in pq.read_table(file).to_pylist()
    ]
    assert {row["clip_id"]: row["reason"] for row in rejects} == {
        "absent": "missing",
        "clip7": "missing",
        "letter": "broken",
        "short": "short",
    }
    assert read_manifest(str(out)).clips == len(GOOD) + 3
    passed_over = json.loads((out / "summary.json").read_text())["broken_containers"]
    assert sum("--follow-links" in line for line in passed_over) == 1
    assert sum("a link to a folder that it lies in" in line for line in passed_over) == 1

    (audio / "Yabsent.wav").write_bytes(encoded(waveform_of(10)))
    assert command(["mine", *arguments, "--retry-failed", "--follow-links"]) == 8
    manifest = read_manifest(str(out))
    assert manifest.rejects == {"broken": 1, "short": 1}
    assert manifest.counts[74] == len(GOOD) + 1
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["mined"], summary["failed"]) == (2, 1)
    assert Counter(name[0] for name in anchors_below(out))["absent"] == 1


def assert_mined_again(result, changed):
    """These clips and no others."""
    assert (result.exit_code, result.summary.mined) == (0, len(changed))
    assert result.summary.skipped == len(GOOD) - len(changed)
    assert set(result.summary.changed["examples"]) == changed


@pytest.mark.parametrize(
    ("changes", "error", "named"),
    [
        ({"weights": "no-such-weights"}, WeightsError, "no-such-weights"),
        ({"class_list": "no-such-list.csv"}, DataError, "no-such-list"),
        ({"segments": ("no-such.csv",)}, DataError, "no-such.csv"),
        ({"audio": "no-such-folder"}, DataError, "no-such-folder"),
    ],
)
def test_wrong_input_stops_the_job_before_any_work(request_for, tmp_path, changes, error, named):
    with pytest.raises(error, match=named):
        mine_archive(request_for(**changes), options=ONE_ACTOR)
    assert not (tmp_path / "out").exists()


def test_a_label_that_the_class_list_lacks_is_named_before_any_work(request_for, tmp_path):
    (tmp_path / "odd.csv").write_text('clip0, 0.000, 4.000, "/m/odd"\n')
    with pytest.raises(DataError, match="/m/odd"):
        mine_archive(request_for(segments=(str(tmp_path / "odd.csv"),)), options=ONE_ACTOR)
    assert not (tmp_path / "out").exists()


def test_results_of_other_settings_are_not_mixed_in(request_for, undisturbed, tmp_path):
    options = JobOptions(actors=1, threads=1, limit=2)
    shutil.copytree(undisturbed, tmp_path / "out")
    other = MiningSettings(anchor_seconds=1.0, clip_seconds=CLIP_SECONDS, batch_size=BATCH, mode="random")
    with pytest.raises(OutputError, match="mode paper"):
        mine_archive(request_for(settings=other), options=options)
    replaced = mine_archive(request_for(settings=other, overwrite=True), options=options)
    assert replaced.summary.mined == 2
    assert read_manifest(str(tmp_path / "out")).settings["mode"] == "random"
