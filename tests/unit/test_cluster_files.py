"""The files for clusters: valid by Ray's own rules, of the versions that the tests run with, and without secrets."""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from uss_ray.cli.archive import COMMAND

ROOT = Path(__file__).parents[2]
CLUSTER, RAYJOB, DOCKERFILE = ROOT / "cluster.yaml", ROOT / "deploy/rayjob.yaml", ROOT / "deploy/Dockerfile"
GUIDE = ROOT / "docs/clusters.md"
JOB = "python -m jobs.separate_archive"

_STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}
_QUANTITIES = {
    "type": "object",
    "additionalProperties": {
        "anyOf": [{"type": "integer"}, {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?([KMGT]i|m)?$"}]
    },
}
_COUNT = {"type": "integer", "minimum": 0}


def an_object(properties: dict[str, Any], *, required: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


_POD = an_object(
    {
        "serviceAccountName": {"type": "string"},
        "automountServiceAccountToken": {"type": "boolean"},
        "terminationGracePeriodSeconds": _COUNT,
        "nodeSelector": _STRINGS,
        "tolerations": {"type": "array", "items": _STRINGS},
        "containers": {
            "type": "array",
            "minItems": 1,
            "items": an_object(
                {
                    "name": {"type": "string"},
                    "image": {"type": "string"},
                    "env": {
                        "type": "array",
                        "items": an_object({"name": {"type": "string"}, "value": {"type": "string"}}),
                    },
                    "resources": an_object({"requests": _QUANTITIES, "limits": _QUANTITIES}),
                    "volumeMounts": {
                        "type": "array",
                        "items": an_object(
                            {"name": {"type": "string"}, "mountPath": {"type": "string"}},
                            required=("name", "mountPath"),
                        ),
                    },
                },
                required=("name", "image"),
            ),
        },
        "volumes": {
            "type": "array",
            "items": an_object(
                {
                    "name": {"type": "string"},
                    "emptyDir": an_object({"medium": {"const": "Memory"}, "sizeLimit": {"type": "string"}}),
                },
                required=("name",),
            ),
        },
    },
    required=("containers",),
)
_GROUP = {"rayStartParams": _STRINGS, "template": an_object({"spec": _POD}, required=("spec",))}
# The part of KubeRay's ray.io/v1 that the manifest uses, by its API reference (1.7): fields, types, what is required.
RAYJOB_SCHEMA = an_object(
    {
        "apiVersion": {"const": "ray.io/v1"},
        "kind": {"const": "RayJob"},
        "metadata": an_object({"name": {"type": "string"}, "labels": _STRINGS}, required=("name",)),
        "spec": an_object(
            {
                "entrypoint": {"type": "string"},
                "jobId": {"type": "string"},
                "runtimeEnvYAML": {"type": "string"},
                "submissionMode": {"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
                "backoffLimit": _COUNT,
                "activeDeadlineSeconds": _COUNT,
                "shutdownAfterJobFinishes": {"type": "boolean"},
                "ttlSecondsAfterFinished": _COUNT,
                "suspend": {"type": "boolean"},
                "rayClusterSpec": an_object(
                    {
                        "rayVersion": {"type": "string"},
                        "authOptions": an_object({"mode": {"enum": ["disabled", "token"]}}),
                        "enableInTreeAutoscaling": {"type": "boolean"},
                        "autoscalerOptions": an_object(
                            {
                                "idleTimeoutSeconds": _COUNT,
                                "upscalingMode": {"enum": ["Default", "Aggressive", "Conservative"]},
                            }
                        ),
                        "headGroupSpec": an_object(_GROUP, required=("template",)),
                        "workerGroupSpecs": {
                            "type": "array",
                            "items": an_object(
                                _GROUP
                                | {"groupName": {"type": "string"}}
                                | dict.fromkeys(("replicas", "minReplicas", "maxReplicas"), _COUNT),
                                required=("groupName", "template", "minReplicas", "maxReplicas"),
                            ),
                        },
                    },
                    required=("headGroupSpec",),
                ),
            }
        ),
    },
    required=("apiVersion", "kind", "metadata", "spec"),
)


@pytest.fixture(scope="module")
def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))


@pytest.fixture(scope="module")
def version() -> str:
    name: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return name


@pytest.fixture
def cluster() -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(CLUSTER.read_text())
    return config


@pytest.fixture
def rayjob() -> dict[str, Any]:
    manifest: dict[str, Any] = yaml.safe_load(RAYJOB.read_text())
    return manifest


def check_by_ray(config: dict[str, Any]) -> dict[str, Any]:
    """Fill in the defaults and validate, as `ray up` does before it starts anything."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared: dict[str, Any] = prepare_config(copy.deepcopy(config))
    validate_config(prepared)
    return prepared


def options_of_archive() -> set[str]:
    return {option for flag in COMMAND.flags() for option in flag.options}


def pods_of(rayjob: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = rayjob["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [group["template"]["spec"] for group in groups]


def test_ray_accepts_the_cluster_file(cluster: dict[str, Any]) -> None:
    prepared = check_by_ray(cluster)
    assert prepared["cluster_name"] == "uss-ray"
    # the defaults would install a nightly Ray over the pinned one
    assert prepared["setup_commands"] == cluster["setup_commands"]
    assert prepared["docker"]["image"] == cluster["docker"]["image"]


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config.update(workers=3),
        lambda config: config["docker"].update(head_imag="x"),
        lambda config: config["auth"].update(password="x"),
        lambda config: config["available_node_types"]["gpu_spot"].update(spot=True),
        lambda config: config["available_node_types"]["gpu_spot"]["resources"].update(CPU=0.5),
        lambda config: config["available_node_types"]["gpu_spot"].pop("node_config"),
        lambda config: config["available_node_types"]["gpu_spot"].update(min_workers=10_000),
        lambda config: config.update(head_node_type="tail"),
    ],
)
def test_ray_would_refuse_a_mistake_in_it(cluster: dict[str, Any], change: Any) -> None:
    change(cluster)
    with pytest.raises((jsonschema.ValidationError, ValueError)):
        check_by_ray(cluster)


def test_no_work_lands_on_the_head_and_nothing_runs_unasked(cluster: dict[str, Any]) -> None:
    types = cluster["available_node_types"]
    assert types[cluster["head_node_type"]]["resources"] == {"CPU": 0}
    assert {kind.get("min_workers") for kind in types.values()} == {0}
    assert cluster["max_workers"] == sum(kind["max_workers"] for kind in types.values())
    assert cluster["idle_timeout_minutes"] <= 10


def test_each_kind_of_worker_is_tried_on_spot_first_and_then_on_demand(cluster: dict[str, Any]) -> None:
    types = cluster["available_node_types"]
    for pool in ("decode", "gpu"):
        spot, on_demand = types[f"{pool}_spot"], types[f"{pool}_on_demand"]
        assert spot["priority"] > on_demand["priority"]
        assert spot["resources"] == on_demand["resources"]
        assert spot["node_config"].pop("InstanceMarketOptions") == {"MarketType": "spot"}
        assert spot["node_config"] == on_demand["node_config"]
    gpu = [kind for kind in types.values() if "GPU" in kind["resources"]]
    assert len(gpu) == 2
    for kind in gpu:
        assert "--gpus all" in kind["docker"]["worker_run_options"]


def test_ray_of_the_cluster_is_shut_from_outside_and_asks_for_a_token(cluster: dict[str, Any]) -> None:
    start = " ".join(cluster["head_start_ray_commands"])
    assert "--dashboard-host=127.0.0.1" in start
    assert "--autoscaling-config=" in start
    assert "--env RAY_AUTH_MODE=token" in cluster["docker"]["run_options"]
    assert any(remote.endswith("/.ray/auth_token") for remote in cluster["file_mounts"])


def test_images_are_of_the_pinned_ray_and_python(pinned: dict[str, str], cluster: dict[str, Any]) -> None:
    image = f"rayproject/ray:{pinned['ray']}-py311-cpu"
    assert cluster["docker"]["image"] == image
    assert re.findall(r"^FROM (\S+)$", DOCKERFILE.read_text(), re.MULTILINE) == [image]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert any(
        f"=={pinned['ray'].rpartition('.')[0]}.*" in name for name in project["optional-dependencies"]["ray"]
    )
    assert project["requires-python"].startswith(">=3.11")


def test_set_up_installs_by_the_constraints_and_checks_what_it_got(
    pinned: dict[str, str], cluster: dict[str, Any]
) -> None:
    install = "pip install --no-cache-dir --constraint constraints.txt '.[ray,s3,media]'"
    base, package, torch = cluster["setup_commands"]
    assert package.endswith(install)
    assert install in DOCKERFILE.read_text()
    assert f"'{pinned['ray']}'" in base
    assert f"['{pinned['torch']}', '{pinned['torchaudio']}']" in torch


@pytest.mark.parametrize("number", [0, 2])
def test_the_checks_of_the_set_up_pass_here_and_fail_for_other_versions(
    cluster: dict[str, Any], number: int
) -> None:
    check = cluster["setup_commands"][number].replace("python", sys.executable, 1)
    wrong = re.sub(r"'2\.(60|11)\.0'", "'1.0.0'", check)
    assert wrong != check
    here = sys.version_info[:2] == (3, 11)
    assert subprocess.run(check, shell=True, check=False).returncode == (0 if here or number else 1)
    assert subprocess.run(wrong, shell=True, check=False, stderr=subprocess.DEVNULL).returncode == 1


def test_the_manifest_is_a_rayjob(rayjob: dict[str, Any]) -> None:
    jsonschema.validate(rayjob, RAYJOB_SCHEMA)


@pytest.mark.parametrize(
    "change",
    [
        lambda job: job.update(apiVersion="ray.io/v1alpha1"),
        lambda job: job["spec"].update(entryPoint="x"),
        lambda job: job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0].update(maxReplicas="4"),
        lambda job: job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["rayStartParams"].update(num_cpus=1),
        lambda job: job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"].update(containers=[]),
        lambda job: pods_of(job)[1]["containers"][0].pop("image"),
    ],
)
def test_a_mistake_in_the_manifest_would_show(rayjob: dict[str, Any], change: Any) -> None:
    change(rayjob)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(rayjob, RAYJOB_SCHEMA)


def test_every_pod_runs_the_image_of_this_version(
    rayjob: dict[str, Any], pinned: dict[str, str], version: str
) -> None:
    images = {container["image"] for pod in pods_of(rayjob) for container in pod["containers"]}
    assert len(images) == 1
    assert images.pop().endswith(f"/uss-ray:{version}")
    assert f"-t REGISTRY/uss-ray:{version} ." in DOCKERFILE.read_text()
    assert rayjob["spec"]["rayClusterSpec"]["rayVersion"] == pinned["ray"]


def test_pods_ask_for_what_they_use_and_gpu_pods_for_a_gpu(rayjob: dict[str, Any]) -> None:
    cluster = rayjob["spec"]["rayClusterSpec"]
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    decode, gpu = cluster["workerGroupSpecs"]
    for group in (decode, gpu):
        (container,) = group["template"]["spec"]["containers"]
        assert container["resources"]["limits"] == container["resources"]["requests"]
        assert group["minReplicas"] == 0 < group["maxReplicas"]
        assert ("nvidia.com/gpu" in container["resources"]["limits"]) == (group is gpu)


def test_a_stop_has_time_to_commit_what_is_in_flight(rayjob: dict[str, Any], cluster: dict[str, Any]) -> None:
    head, *workers = pods_of(rayjob)
    (wait,) = (
        int(variable["value"])
        for variable in head["containers"][0]["env"]
        if variable["name"] == "RAY_JOB_STOP_WAIT_TIME_S"
    )
    assert wait >= 300
    for pod in (head, *workers):
        assert pod["terminationGracePeriodSeconds"] > wait
    assert f"--env RAY_JOB_STOP_WAIT_TIME_S={wait}" in cluster["docker"]["run_options"]


def test_pods_have_a_service_account_and_volumes_for_what_they_mount(rayjob: dict[str, Any]) -> None:
    for pod in pods_of(rayjob):
        assert pod["serviceAccountName"] == "uss-ray"
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for mount in pod["containers"][0]["volumeMounts"]} == volumes


@pytest.mark.parametrize("file", [CLUSTER, RAYJOB, DOCKERFILE, GUIDE], ids=lambda path: path.name)
def test_no_secret_is_in_any_of_them(file: Path) -> None:
    text = file.read_text()
    for secret in (
        r"AKIA[0-9A-Z]{8}",
        r"(?i)secret_?(access_?)?key\s*[:=]\s*\S",
        r"(?i)password",
        r"://[^/\s]+:[^/\s]+@",
    ):
        assert re.search(secret, text) is None


def job_lines() -> list[str]:
    text = "\n".join((CLUSTER.read_text(), RAYJOB.read_text(), GUIDE.read_text())).replace("\\\n", " ")
    return [line.partition(JOB)[2] for line in text.splitlines() if JOB in line]


def test_every_command_line_of_the_job_uses_options_that_there_are() -> None:
    assert (ROOT / "jobs/separate_archive.py").exists()
    assert len(job_lines()) == 2
    known = options_of_archive()
    for line in job_lines():
        assert set(re.findall(r"(?<!\S)--[a-z-]+", line)) <= known


def test_every_option_of_the_job_that_the_guide_explains_is_there() -> None:
    quoted = re.findall(r"`(--[a-z-]+)[^`]*`", GUIDE.read_text())
    assert len(quoted) >= 6
    assert set(quoted) <= options_of_archive()


def test_the_image_gets_all_that_the_package_is_built_from(tmp_path: Path, version: str) -> None:
    sources = [
        name
        for line in re.findall(r"^COPY --chown=\S+ (.+) \S+$", DOCKERFILE.read_text(), re.MULTILINE)
        for name in line.split()
    ]
    kept = {
        line[1:]
        for line in (ROOT / "deploy/Dockerfile.dockerignore").read_text().splitlines()
        if line[0] == "!"
    }
    assert kept == set(sources)
    for name in sources:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, tmp_path / name)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    with zipfile.ZipFile(tmp_path / f"dist/uss_ray-{version}-py3-none-any.whl") as wheel:
        names = wheel.namelist()
    assert "uss_ray/cli/main.py" in names
    assert "uss_ray/weights/starter/separator.safetensors" in names
