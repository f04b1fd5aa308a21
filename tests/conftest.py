"""What several tests share: weights small enough for any machine, recordings made of tones, and a local Ray."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterator, Set
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from _pytest.doctest import DoctestModule
from hypothesis import HealthCheck, settings

from uss_ray.threads import wait_patiently

os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
# Ray Train's controller looks every two seconds otherwise.
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
# Otherwise 15: tests that need no Ray would hold up those that do.
os.environ.setdefault("RAY_worker_niceness", "0")
wait_patiently()
# How long an example takes, or takes to be thought of, is a matter of who else is on the machine.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

pytest_plugins = ["tests.servers.fixtures"]

MakeRecording = Callable[..., Path]


def pytest_sessionstart(session: pytest.Session) -> None:
    """Keep files of a folder together: pytest forgets a folder's fixtures where another one is named in between."""
    if is_filling(os.environ.get("PYTEST_XDIST_WORKER", "")):
        os.nice(5)
    session.config.args.sort(key=lambda named: Path(named.partition("::")[0]).absolute().parts)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what asks for the S3 server; keep together what shares a server where tests run side by side."""
    for item in items:
        if needs_s3_server(item):
            item.add_marker(pytest.mark.s3)
        if (group := group_of(item)) is not None:
            item.add_marker(pytest.mark.xdist_group(group))
    if "PYTEST_XDIST_WORKER" in os.environ:
        long_files = {item.path for item in items if any(item.iter_markers("slow"))}
        items.sort(key=lambda item: _rank(item, long_files))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Share out groups and whole files, in the order of the tests: what a module's fixtures make is made once."""
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadGroupScheduling

    class ByGroupOrFile(LoadGroupScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return super()._split_scope(nodeid).split("::")[0]

        def _assign_work_unit(self, node: Any) -> None:
            others = (scope for scope in self.workqueue if scope not in RAY_GROUPS)
            if is_filling(node.gateway.id) and (first := next(others, None)) is not None:
                self.workqueue.move_to_end(first, last=False)
            super()._assign_work_unit(node)

    config.option.loadscopereorder = False
    return ByGroupOrFile(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collect_file() -> Generator[None, list[Any], list[Any]]:
    """Look for no doctests in tests: there are none, and it takes a second of a process."""
    found = yield
    return [collector for collector in found if not isinstance(collector, DoctestModule)]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse to run side by side where groups are not kept together: each worker would start a Ray of its own."""
    if getattr(session.config.option, "loadgroup", False):
        for item in session.items:
            if item.get_closest_marker("xdist_group") and "@" not in item.nodeid:
                raise pytest.UsageError("pytest-xdist: expected it to group tests, found that it does not")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Keep the content of files out of the names of tests."""
    return f"{argname} of {len(val)} bytes" if isinstance(val, bytes) and len(val) > 40 else None


RAY_GROUPS = ("a Ray of their own", "faults", "ray", "rooms on Ray")
GROUPS = (*RAY_GROUPS, "storage")
"""What runs one after another in one process, in the order in which it begins (ADR 49, 70).

Tests that start a Ray of their own do so one at a time. Those of faults share a Ray and an S3 server, those of
`tests/ray` another Ray, those of rooms, mining and benchmarks a third, those of storage another server.
"""


def is_filling(worker: str) -> bool:
    """Tell whether a process is there to compute while others wait for Ray: two Rays at a time fill a machine."""
    return int(worker.removeprefix("gw") or 0) >= 2


def group_of(item: pytest.Item) -> str | None:
    """Name the group of a test; None: it may run beside any other."""
    own, faults, shared, rooms, storage = GROUPS
    if not item.get_closest_marker("ray"):
        return storage if needs_s3_server(item) else None
    if "local_ray" not in getattr(item, "fixturenames", ()):
        return own
    if "/faults/" in item.nodeid:
        return faults
    return shared if "/ray/" in item.nodeid and "/test_mine.py" not in item.nodeid else rooms


def _rank(item: pytest.Item, long_files: Set[Path]) -> int:
    """Put what takes long first: what comes last is waited for by idle cores."""
    group = group_of(item)
    return GROUPS.index(group) if group is not None else len(GROUPS) + (item.path not in long_files)


def needs_s3_server(item: pytest.Item) -> bool:
    """Tell by a test's fixtures, and where one has the parameter `s3`, by that."""
    call = getattr(item, "callspec", None)
    parameters = [value for value in call.params.values() if isinstance(value, str)] if call else []
    return "s3_server" in getattr(item, "fixturenames", ()) or "s3" in parameters


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    """Leave torch as many threads as it had: the last bit of a sample may depend on them, in the next test too."""
    torch: Any = sys.modules.get("torch")
    before = torch.get_num_threads() if torch is not None else None
    yield
    if before is not None and torch.get_num_threads() != before:
        torch.set_num_threads(before)


TINY_ACTIVE_CLASSES = (0, 74, 137)


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Complete weights with random values: the real networks, made small; always a dog, speech and music."""
    import torch

    from uss_ray.models.network_settings import ResUNetConfig
    from uss_ray.models.panns import Panns
    from uss_ray.models.panns_settings import PannsConfig
    from uss_ray.models.resunet import ResUNet
    from uss_ray.weights.folder import save_weights, specify

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        tagger = Panns(PannsConfig(block_channels=(4, 8), convs_per_block=1, embedding_size=16, mel_bins=16))
        separator = ResUNet(
            ResUNetConfig(
                channels=(4, 4, 4),
                bottleneck_channels=4,
                stem_channels=4,
                window_samples=512,
                hop_samples=160,
            )
        )
        means = {class_index: torch.rand(527) for class_index in range(527)}
    with torch.no_grad():
        tagger.classify.weight.zero_()
        tagger.classify.bias.fill_(-5.0)
        tagger.classify.bias[list(TINY_ACTIVE_CLASSES)] = 2.0
    networks = {"tagger": tagger.eval(), "separator": separator.eval()}
    return save_weights(
        tmp_path_factory.mktemp("weights") / "tiny",
        networks,
        name="tiny",
        specifications=specify(networks, segment_seconds=2.0),
        class_means=means,
    )


@pytest.fixture
def make_recording(tmp_path: Path) -> MakeRecording:
    """Write a recording of two tones and noise; give its path."""

    def make(
        name: str = "two tones.wav",
        *,
        seconds: float = 3.0,
        sample_rate: int = 32_000,
        channels: int = 1,
        subtype: str | None = None,
    ) -> Path:
        return write_recording(
            tmp_path / "in" / name,
            seconds=seconds,
            sample_rate=sample_rate,
            channels=channels,
            subtype=subtype,
        )

    return make


def write_recording(
    path: Path,
    *,
    seconds: float = 3.0,
    sample_rate: int = 32_000,
    channels: int = 1,
    subtype: str | None = None,
) -> Path:
    """Write a recording of two tones and noise, always the same; give its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = max(1, round(seconds * sample_rate))
    time = np.arange(frames)[:, None] / sample_rate
    tones = 0.2 * np.sin(2 * np.pi * 440 * time) + 0.1 * np.sin(2 * np.pi * 1234 * time)
    noise = 0.02 * np.random.default_rng(3).standard_normal((frames, channels))
    sf.write(path, tones + noise, sample_rate, subtype=subtype)
    return path


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """One small Ray for all tests that need one, with its Jobs API."""
    from uss_ray.pipelines.runtime.session import ray_session

    with ray_session(takes_jobs=True):
        yield


@pytest.fixture
def nothing_held_afterwards(local_ray: None) -> Iterator[None]:
    """See that a job leaves all CPUs of its Ray free, however it ends."""
    from tests.free_cluster import wait_until_cpus_are_free

    yield
    wait_until_cpus_are_free()
