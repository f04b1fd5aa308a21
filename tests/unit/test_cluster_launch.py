"""`ray up cluster.yaml`, run by Ray's own launcher: with moto in EC2's place, and with ssh that notes its commands."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]


class NotingSsh:
    """What Ray takes for `subprocess`: everything succeeds at once, and what was asked is kept."""

    def __init__(self) -> None:
        self.commands: list[str] = []

    def check_call(self, command: list[str], *_: Any, **__: Any) -> int:
        self.commands.append(" ".join(command))
        return 0

    def check_output(self, command: list[str], *_: Any, **__: Any) -> bytes:
        self.commands.append(" ".join(command))
        if "Env" in self.commands[-1]:
            return b'["HOME=/home/ray"]'
        if "State.Running" in self.commands[-1]:
            return b"true" if any("docker run" in command for command in self.commands) else b"false"
        return b"" if "docker inspect" in self.commands[-1] else b"/usr/bin/docker"

    call = check_call


@pytest.fixture
def launched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[NotingSsh, list[dict[str, Any]]]:
    """Launch the cluster; give the commands, and the machines that there are afterwards."""
    import boto3
    from moto import mock_aws
    from ray.autoscaler._private import commands
    from ray.autoscaler._private.aws import config as ray_aws
    from ray.autoscaler._private.aws.utils import resource_cache

    # What AWS takes a while to tell all of its machines, moto knows at once.
    monkeypatch.setattr(ray_aws, "time", SimpleNamespace(sleep=lambda _: None))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(ROOT)  # what is mounted is named relative to the checkout
    token = tmp_path / ".ray/auth_token"
    token.parent.mkdir()
    token.write_text("0" * 64)
    config = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    profile = config["available_node_types"]["head"]["node_config"]["IamInstanceProfile"]["Name"]
    ssh = NotingSsh()
    resource_cache.cache_clear()
    with mock_aws():
        boto3.client("iam").create_instance_profile(InstanceProfileName=profile)
        bootstrapped = commands._bootstrap_config(commands.prepare_config(config), no_config_cache=True)
        commands.get_or_create_head_node(
            bootstrapped,
            str(ROOT / "cluster.yaml"),
            no_restart=False,
            restart_only=False,
            yes=True,
            override_cluster_name=None,
            _runner=ssh,
        )
        region = config["provider"]["region"]
        found = boto3.client("ec2", region_name=region).describe_instances()["Reservations"]
    resource_cache.cache_clear()
    return ssh, [machine for group in found for machine in group["Instances"]]


@pytest.mark.slow
def test_ray_up_starts_a_head_and_gives_it_every_command(launched: Any) -> None:
    ssh, machines = launched
    (head,) = machines
    assert head["InstanceType"] == "m7i.2xlarge"
    assert head["IamInstanceProfile"]["Arn"].endswith("/uss-ray-node")
    config = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    told = "\n".join(ssh.commands)
    steps = ["docker run", "sys.version_info", "-m venv", "--constraint", "2.11.0", "ray start --head"]
    assert config["docker"]["image"] in told
    places = [told.find(step) for step in steps]
    assert -1 not in places
    assert places == sorted(places)
    for mount in config["file_mounts"]:
        assert re.search(rf"(rsync|docker cp|scp).*{re.escape(mount)}", told)
