"""Small labelled sets of tones in every container, in a folder and on an S3 server."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import soundfile

from tests.servers.fixtures import forget_clients
from uss_ray.store.store import Store

RATE = 32_000
SECONDS = 0.5
CLIP_IDS = ("-a_1", "Yb", "c", "d")
BUCKET = "clips"
Tones = dict[str, np.ndarray]
Pack = Callable[..., str]


def tone(hertz: float, *, seconds: float = SECONDS, rate: int = RATE) -> np.ndarray:
    return (0.4 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def encoded(waveform: np.ndarray, *, rate: int = RATE, kind: str = "FLAC") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, waveform, rate, format=kind)
    return file.getvalue()


@pytest.fixture
def tones() -> Tones:
    return {clip_id: tone(300 + 200 * place) for place, clip_id in enumerate(CLIP_IDS)}


@pytest.fixture(scope="session")
def object_store() -> Iterator[str]:
    """Endpoint of an S3 server that needs no installation; speed and faults are tried on a real one."""
    pytest.importorskip("s3fs")
    server_module = pytest.importorskip("moto.server")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(object_store: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket on that server, which the environment leads to."""
    boto3 = pytest.importorskip("boto3")
    monkeypatch.setenv("AWS_ENDPOINT_URL", object_store)
    forget_clients()
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket=BUCKET)
    yield f"s3://{BUCKET}"
    forget_clients()


@pytest.fixture(params=["local", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder or prefix that does not exist yet."""
    if request.param == "s3":
        return f"{request.getfixturevalue('bucket')}/{tmp_path.name}"
    return str(tmp_path / "set")


def as_files(tones: Tones, root: str) -> None:
    for clip_id, waveform in tones.items():
        (Store(root) / f"class {clip_id[-1]}" / f"Y{clip_id}.flac").put(encoded(waveform))


def tar_bytes(tones: Tones, *, mode: str = "w") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for clip_id, waveform in tones.items():
            for suffix, data in ((".json", b"{}"), (".flac", encoded(waveform)), (".cls", b"1")):
                member = tarfile.TarInfo(f"./shard/{clip_id}{suffix}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


def as_tar(tones: Tones, root: str) -> None:
    first, *rest = tones
    (Store(root) / "shard-0.tar").put(tar_bytes({first: tones[first]}))
    packed = tar_bytes({clip_id: tones[clip_id] for clip_id in rest}, mode="w:gz")
    (Store(root) / "shard-1.tar.gz").put(packed)


def as_parquet(tones: Tones, root: str) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    table = pa.table(
        {
            "video_id": [f"Y{clip_id}" for clip_id in tones],
            "labels": [["x"]] * len(tones),
            "audio": [
                {"bytes": encoded(waveform), "path": f"{clip_id}.flac"} for clip_id, waveform in tones.items()
            ],
        }
    )
    file = io.BytesIO()
    pq.write_table(table, file, row_group_size=2)
    (Store(root) / "train-00000.parquet").put(file.getvalue())


def as_hdf5(tones: Tones, root: str) -> None:
    h5py = pytest.importorskip("h5py")
    file = io.BytesIO()
    with h5py.File(file, "w") as pack:
        pack["audio_name"] = np.array([f"Y{clip_id}.wav".encode() for clip_id in tones], "S20")
        pack["waveform"] = np.stack([np.round(tone * 32767) for tone in tones.values()]).astype(np.int16)
        pack["target"] = np.zeros((len(tones), 2), bool)
        pack.attrs["sample_rate"] = RATE
    (Store(root) / "pack.h5").put(file.getvalue())


PACKERS: dict[str, Callable[[Tones, str], None]] = {
    "files": as_files,
    "tar": as_tar,
    "parquet": as_parquet,
    "hdf5": as_hdf5,
}


@pytest.fixture(params=list(PACKERS))
def packed(request: pytest.FixtureRequest, tones: Tones, root: str) -> tuple[str, str]:
    """(container, location) of the tones in each container."""
    PACKERS[request.param](tones, root)
    return request.param, root


class FailingFile:
    """A file that reads `allowed` times and never again."""

    def __init__(self, whole: BinaryIO, fault: Exception) -> None:
        self.reads = 0
        self.allowed = 1_000_000
        self._whole = whole
        self._fault = fault

    def __getattr__(self, name: str) -> object:
        return getattr(self._whole, name)

    def __enter__(self) -> FailingFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._whole.seek(0)

    def read(self, count: int = -1) -> bytes:
        self.reads += 1
        if self.reads > self.allowed:
            raise self._fault
        return self._whole.read(count)
