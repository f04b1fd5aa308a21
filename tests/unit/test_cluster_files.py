"""The files for clusters: valid by Ray's own rules, of the versions that the tests run with, and without secrets."""

from __future__ import annotations

import copy
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import requires
from importlib.metadata import version as number_of
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from uss_ray.cli.archive import COMMAND
from uss_ray.service.settings import Limits
from uss_ray.version import VERSION

ROOT = Path(__file__).parents[2]
CLUSTER, RAYJOB, DOCKERFILE = ROOT / "cluster.yaml", ROOT / "deploy/rayjob.yaml", ROOT / "deploy/Dockerfile"
RAYSERVICE = ROOT / "deploy/rayservice.yaml"
GUIDE = ROOT / "docs/clusters.md"
JOB = "python -m uss_ray.jobs.separate_archive"

_STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}
_QUANTITIES = {
    "type": "object",
    "additionalProperties": {
        "anyOf": [{"type": "integer"}, {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?([KMGT]i|m)?$"}]
    },
}
_COUNT = {"type": "integer", "minimum": 0}
_YES_OR_NO = {"type": "boolean"}


def an_object(properties: dict[str, Any], *, required: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


_CONTAINER_SECURITY = an_object(
    {
        "allowPrivilegeEscalation": _YES_OR_NO,
        "readOnlyRootFilesystem": _YES_OR_NO,
        "capabilities": an_object({"drop": {"type": "array", "items": {"type": "string"}}}),
    }
)
_POD = an_object(
    {
        "serviceAccountName": {"type": "string"},
        "automountServiceAccountToken": _YES_OR_NO,
        "restartPolicy": {"enum": ["Never", "OnFailure"]},
        "securityContext": an_object(
            {
                "runAsNonRoot": _YES_OR_NO,
                "runAsUser": _COUNT,
                "runAsGroup": _COUNT,
                "fsGroup": _COUNT,
                "seccompProfile": an_object({"type": {"enum": ["RuntimeDefault"]}}, required=("type",)),
            }
        ),
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
                    "securityContext": _CONTAINER_SECURITY,
                    "env": {
                        "type": "array",
                        "items": an_object({"name": {"type": "string"}, "value": {"type": "string"}}),
                    },
                    "resources": an_object({"requests": _QUANTITIES, "limits": _QUANTITIES}),
                    "volumeMounts": {
                        "type": "array",
                        "items": an_object(
                            {
                                "name": {"type": "string"},
                                "mountPath": {"type": "string"},
                                "readOnly": _YES_OR_NO,
                            },
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
                    "secret": an_object({"secretName": {"type": "string"}}, required=("secretName",)),
                },
                required=("name",),
            ),
        },
    },
    required=("containers",),
)
_GROUP = {"rayStartParams": _STRINGS, "template": an_object({"spec": _POD}, required=("spec",))}
# The part of KubeRay's ray.io/v1 that the manifests use, by its API reference (1.7): fields, types, what is required.
_RAY_CLUSTER = an_object(
    {
        "rayVersion": {"type": "string"},
        "authOptions": an_object({"mode": {"enum": ["disabled", "token"]}}),
        "enableInTreeAutoscaling": {"type": "boolean"},
        "autoscalerOptions": an_object(
            {
                "idleTimeoutSeconds": _COUNT,
                "upscalingMode": {"enum": ["Default", "Aggressive", "Conservative"]},
                "securityContext": _CONTAINER_SECURITY,
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
)


def manifest_schema(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    return an_object(
        {
            "apiVersion": {"const": "ray.io/v1"},
            "kind": {"const": kind},
            "metadata": an_object({"name": {"type": "string"}, "labels": _STRINGS}, required=("name",)),
            "spec": spec,
        },
        required=("apiVersion", "kind", "metadata", "spec"),
    )


RAYJOB_SCHEMA = manifest_schema(
    "RayJob",
    an_object(
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
            "submitterPodTemplate": an_object({"spec": _POD}, required=("spec",)),
            "rayClusterSpec": _RAY_CLUSTER,
        }
    ),
)
RAYSERVICE_SCHEMA = manifest_schema(
    "RayService",
    an_object(
        {
            "serveConfigV2": {"type": "string"},
            "rayClusterConfig": _RAY_CLUSTER,
            "rayClusterDeletionDelaySeconds": _COUNT,
        },
        required=("rayClusterConfig",),
    ),
)


@pytest.fixture(scope="module")
def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))


@pytest.fixture(scope="module")
def version() -> str:
    return VERSION


@pytest.fixture
def cluster() -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(CLUSTER.read_text())
    return config


@pytest.fixture
def manifests() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(RAYJOB.read_text()))


@pytest.fixture
def rayjob(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    (job,) = (manifest for manifest in manifests if manifest["kind"] == "RayJob")
    return copy.deepcopy(job)


@pytest.fixture
def rayservice() -> dict[str, Any]:
    (service,) = (each for each in yaml.safe_load_all(RAYSERVICE.read_text()) if each["kind"] == "RayService")
    return copy.deepcopy(service)


def check_by_ray(config: dict[str, Any]) -> dict[str, Any]:
    """Fill in the defaults and validate, as `ray up` does before it starts anything."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared: dict[str, Any] = prepare_config(copy.deepcopy(config))
    validate_config(prepared)
    return prepared


def options_of_archive() -> set[str]:
    return {option for flag in COMMAND.flags() for option in flag.options}


def all_pods_of(rayjob: dict[str, Any]) -> list[dict[str, Any]]:
    """Those of the cluster, and the one that submits the job."""
    return [*pods_of(rayjob), rayjob["spec"]["submitterPodTemplate"]["spec"]]


def pods_of(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    (cluster,) = (
        manifest["spec"][name] for name in ("rayClusterSpec", "rayClusterConfig") if name in manifest["spec"]
    )
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
    assert cluster["docker"]["image"].split("@sha256:")[0] == image
    assert re.findall(r"^ARG BASE=(\S+)$", DOCKERFILE.read_text(), re.MULTILINE) == [
        cluster["docker"]["image"]
    ]
    assert re.findall(r"^FROM (\S+)$", DOCKERFILE.read_text(), re.MULTILINE) == ["${BASE}"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert any(
        f"=={pinned['ray'].rpartition('.')[0]}.*" in name for name in project["optional-dependencies"]["ray"]
    )
    assert project["requires-python"].startswith(">=3.11")


def test_set_up_installs_by_the_constraints_and_checks_what_it_got(
    pinned: dict[str, str], cluster: dict[str, Any]
) -> None:
    base, environment, package, torch = cluster["setup_commands"]
    assert "python -m venv ~/venv" in environment
    assert package.endswith(
        "~/venv/bin/pip install --no-cache-dir --constraint constraints.txt '.[ray,s3,media,aws]'"
        " && ~/venv/bin/pip check"
    )
    image = " ".join(DOCKERFILE.read_text().replace("\\\n", " ").split())
    assert (
        "python -m venv /home/ray/venv && /home/ray/venv/bin/pip install --no-cache-dir --constraint"
        " constraints.txt '.[ray,s3,media,serve]' && /home/ray/venv/bin/pip check" in image
    )
    assert f"'{pinned['ray']}'" in base
    assert f"v('torch') != '{pinned['torch']}'" in torch


def test_every_shell_of_a_machine_finds_the_environment_first(
    cluster: dict[str, Any], tmp_path: Path
) -> None:
    program = tmp_path / "venv/bin/python"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    for _ in range(2):  # machines are set up anew when `ray up` is repeated
        subprocess.run(["bash", "-c", cluster["setup_commands"][1]], env=environment, check=True)
    assert (tmp_path / ".bashrc").read_text().count("venv") == 1
    found = subprocess.run(
        ["bash", "-c", "source ~/.bashrc; command -v python"],
        env=environment,
        check=True,
        capture_output=True,
    )
    assert found.stdout.decode().strip() == str(program)


@pytest.mark.parametrize("number", [0, 3])
def test_the_checks_of_the_set_up_pass_here_and_fail_for_other_versions(
    cluster: dict[str, Any], number: int
) -> None:
    check = re.sub(r"^\S*python", sys.executable, cluster["setup_commands"][number])
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


def test_the_other_manifest_is_a_rayservice(rayservice: dict[str, Any]) -> None:
    jsonschema.validate(rayservice, RAYSERVICE_SCHEMA)
    for mistake in (
        {"serveConfig": "x"},
        {"rayClusterDeletionDelaySeconds": "180"},
        {"rayClusterSpec": rayservice["spec"]["rayClusterConfig"]},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**rayservice, "spec": rayservice["spec"] | mistake}, RAYSERVICE_SCHEMA)


def test_what_is_in_flight_at_an_upgrade_is_answered_by_the_old_cluster(rayservice: dict[str, Any]) -> None:
    longest = Limits().deadline_seconds + 30
    assert rayservice["spec"]["rayClusterDeletionDelaySeconds"] >= longest


def test_every_pod_runs_the_image_of_this_version(
    rayjob: dict[str, Any], rayservice: dict[str, Any], pinned: dict[str, str], version: str
) -> None:
    pods = [*all_pods_of(rayjob), *pods_of(rayservice)]
    (image,) = {container["image"] for pod in pods for container in pod["containers"]}
    assert image.endswith(f"/uss-ray:{version}@sha256:DIGEST")
    assert f"-t REGISTRY/uss-ray:{version} ." in DOCKERFILE.read_text()
    assert rayjob["spec"]["rayClusterSpec"]["rayVersion"] == pinned["ray"]
    assert rayservice["spec"]["rayClusterConfig"]["rayVersion"] == pinned["ray"]


def test_the_documented_commands_pin_every_image_by_its_digest(tmp_path: Path, version: str) -> None:
    """`docker` is a stand-in that gives each image the digest of its name; a second time, when tags mean another."""
    shutil.copy(CLUSTER, tmp_path)
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    docker = tmp_path / "docker"
    docker.write_text(
        'for name; do :; done\n[ "$1" = inspect ] || exit 0\n'
        """echo "${name%:*}@sha256:$(printf %s "$name$DAY" | sha256sum | cut -c-64)"\n"""
    )
    docker.chmod(0o755)
    text = (ROOT / "docs/clusters.md").read_text()
    (block,) = (block for block in re.findall(r"```\n(.*?)```", text, re.DOTALL) if "pin.sh" in block)
    base = "rayproject/ray:2.60.0-py311-cpu"
    for day in ("", "later"):
        environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "DAY": day}
        subprocess.run(["sh", "-euc", block], cwd=tmp_path, env=environment, check=True)
        digests = {
            name: hashlib.sha256(f"{name}{day}".encode()).hexdigest()
            for name in (base, f"REGISTRY/uss-ray:{version}")
        }
        by_digest = [f"{name}@sha256:{digest}" for name, digest in digests.items()]
        cluster = yaml.safe_load((tmp_path / "cluster.yaml").read_text())
        assert cluster["docker"]["image"] == by_digest[0]
        assert f"ARG BASE={by_digest[0]}\n" in (tmp_path / "deploy/Dockerfile").read_text()
        documents = list(yaml.safe_load_all((tmp_path / "deploy/rayjob.yaml").read_text()))
        (job,) = (each for each in documents if each["kind"] == "RayJob")
        jsonschema.validate(job, RAYJOB_SCHEMA)
        documents = list(yaml.safe_load_all((tmp_path / "deploy/rayservice.yaml").read_text()))
        (service,) = (each for each in documents if each["kind"] == "RayService")
        pods = [*all_pods_of(job), *pods_of(service)]
        assert {container["image"] for pod in pods for container in pod["containers"]} == {by_digest[1]}


def test_an_image_without_a_digest_pins_nothing(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    (tmp_path / "docker").write_text("echo '<no value>'\n")
    (tmp_path / "docker").chmod(0o755)
    done = subprocess.run(
        ["sh", "deploy/pin.sh", "uss-ray:mine"],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "error: uss-ray:mine: expected a digest" in done.stderr
    assert (tmp_path / "deploy/rayjob.yaml").read_text() == RAYJOB.read_text()


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


def test_only_the_head_has_what_the_autoscaler_needs(
    manifests: list[dict[str, Any]], rayjob: dict[str, Any]
) -> None:
    accounts = {item["metadata"]["name"]: item for item in manifests if item["kind"] == "ServiceAccount"}
    head, *others = all_pods_of(rayjob)
    assert len(others) == 3
    assert head["serviceAccountName"] in accounts
    assert head["automountServiceAccountToken"] is True
    for pod in others:
        assert pod["serviceAccountName"] != head["serviceAccountName"]
        assert accounts[pod["serviceAccountName"]]["automountServiceAccountToken"] is False
        assert pod["automountServiceAccountToken"] is False
    # that KubeRay binds its role to the head's account is all the rights there are
    assert {item["kind"] for item in manifests} == {"ServiceAccount", "RayJob"}


def test_no_pod_may_become_more_than_it_is(rayjob: dict[str, Any], rayservice: dict[str, Any]) -> None:
    pods = [*all_pods_of(rayjob), *pods_of(rayservice)]
    containers = [container for pod in pods for container in pod["containers"]]
    autoscaler = rayjob["spec"]["rayClusterSpec"]["autoscalerOptions"]
    for container in [*containers, autoscaler]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    for pod in pods:
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    user = f"USER {security['runAsUser']}:{security['runAsGroup']}"
    assert user in DOCKERFILE.read_text()


def test_pods_mount_the_volumes_they_have_and_may_write_where_they_keep_things(
    rayjob: dict[str, Any], rayservice: dict[str, Any]
) -> None:
    for pod in (*all_pods_of(rayjob), *pods_of(rayservice)):
        volumes = {volume["name"] for volume in pod["volumes"]}
        mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
        assert set(mounts) == volumes
        assert "/tmp" in mounts.values()
    kept = re.findall(r"(?:XDG_CACHE_HOME|USS_RAY_CACHE)=(\S+)", DOCKERFILE.read_text())
    assert len(kept) == 2
    assert all(place.startswith("/tmp/") for place in kept)


@pytest.mark.parametrize("file", [CLUSTER, RAYJOB, RAYSERVICE, DOCKERFILE, GUIDE], ids=lambda path: path.name)
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
    assert (ROOT / "uss_ray/jobs/separate_archive.py").exists()
    assert len(job_lines()) == 2
    known = options_of_archive()
    for line in job_lines():
        assert set(re.findall(r"(?<!\S)--[a-z-]+", line)) <= known


def test_every_option_of_the_job_that_the_guide_explains_is_there() -> None:
    quoted = re.findall(r"`(--[a-z-]+)[^`]*`", GUIDE.read_text())
    assert len(quoted) >= 6
    of_others = {"--working-dir"}  # `ray job submit`
    assert set(quoted) <= options_of_archive() | of_others


def what_ray_up_imports() -> set[str]:
    """Name the packages that Ray's launcher for AWS imports besides Ray; Ray itself brings none of them."""
    import ray

    provider = Path(ray.__file__).parent / "autoscaler/_private/aws"
    sources = "\n".join(path.read_text() for path in provider.rglob("*.py"))
    found = re.findall(r"^ *(?:import|from) ([a-z]\w*)", sources, re.MULTILINE)
    return set(found) - {"ray", *sys.stdlib_module_names}


def test_who_follows_the_guide_can_start_the_cluster() -> None:
    before, up, _ = GUIDE.read_text().partition("ray up --yes")
    assert up
    extras = re.findall(r"pip install '\.\[([\w,]+)\]'", before)[-1]
    needed = what_ray_up_imports()
    assert "boto3" in needed
    assert {"ray", *needed} <= what_is_installed(extras)


def test_what_ray_up_needs_and_what_s3_stands_on_can_be_installed_together(pinned: dict[str, str]) -> None:
    """An aiobotocore allows three releases of boto's core: pip, if it may look at old ones, gives up."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {need.name: need.specifier for need in map(Requirement, project["optional-dependencies"]["aws"])}
    assert set(asked) == {"aiobotocore", "boto3"}
    for name, allowed in asked.items():
        assert allowed.contains(pinned[name])
        major, minor, *_ = pinned[name].split(".")
        assert not allowed.contains(f"{major}.{int(minor) - 1}.999")


def image_sources() -> list[str]:
    return [
        name
        for line in re.findall(r"^COPY --chown=\S+ (.+) \S+$", DOCKERFILE.read_text(), re.MULTILINE)
        for name in line.split()
    ]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from what the image copies, and from nothing else."""
    folder = tmp_path_factory.mktemp("image")
    for name in image_sources():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (built,) = (folder / "dist").glob("*.whl")
    return built


def test_the_image_gets_all_that_the_package_is_built_from(wheel: Path, version: str) -> None:
    ignored = (ROOT / "deploy/Dockerfile.dockerignore").read_text().splitlines()
    assert {line[1:] for line in ignored if line[0] == "!"} == set(image_sources())
    assert wheel.name == f"uss_ray-{version}-py3-none-any.whl"
    names = zipfile.ZipFile(wheel).namelist()
    assert "uss_ray/cli/main.py" in names
    assert "uss_ray/weights/starter/separator.safetensors" in names
    assert "uss_ray/evaluation/templates/report.html.j2" in names


@pytest.mark.parametrize(
    ("job", "command"),
    [
        ("separate_archive", "archive"),
        *(
            pytest.param(*job, marks=pytest.mark.slow)
            for job in (("mine_anchors", "mine"), ("evaluate", "evaluate run"))
        ),
    ],
)
def test_a_job_starts_where_there_is_only_the_wheel(
    wheel: Path, tmp_path: Path, job: str, command: str
) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    checkout = {str(ROOT), str(ROOT.resolve())}
    start = (
        "import runpy, sys\n"
        f"sys.path[:] = [{str(site)!r}] + [p for p in sys.path if p and p not in {checkout!r}]\n"
        "sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in repr(f).lower()]\n"
        "import uss_ray; print(uss_ray.__file__)\n"
        f"sys.argv[1:] = ['--help']; runpy.run_module('uss_ray.jobs.{job}', run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", start],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    first, _, rest = done.stdout.partition("\n")
    assert Path(first).is_relative_to(site)
    assert f"uss-ray {command}" in rest


JOBS = sorted(
    path.stem
    for path in (ROOT / "uss_ray/jobs").glob("*.py")
    if path.stem not in ("__init__", "run_job")  # which a service starts, and nobody types
)


def test_a_checkout_has_the_jobs_of_the_package() -> None:
    assert sorted(path.stem for path in (ROOT / "jobs").glob("*.py")) == ["__init__", *JOBS]


@pytest.mark.slow
@pytest.mark.parametrize("job", JOBS)
def test_a_job_of_a_checkout_is_that_of_the_package(job: str) -> None:
    ours, old = (
        subprocess.run(
            [sys.executable, "-m", f"{package}.{job}", "--help"], cwd=ROOT, capture_output=True, check=True
        ).stdout
        for package in ("uss_ray.jobs", "jobs")
    )
    assert old == ours


MOST_THAT_RAY_TAKES = 100 << 20  # of a working directory; the dashboard answers 413 to more
# what the commands of README leave in a checkout, and what people put there for them
LEFT_BY_COMMANDS = (
    ".venv/lib/torch.so", "out/demo/index/part.parquet", "runs/a/stem.flac", "my-weights/cnn14/tagger.safetensors",
    "Cnn14_mAP=0.431.pth", "OUT/level-1/animal.flac", "anchors/anchors/0.parquet", "recording.wav", "DATA/clip.wav",
    "dist/uss_ray.whl", "unbalanced_train_segments.csv", ".git/objects/pack", ".hypothesis/x", "ckpt.safetensors",
)  # fmt: skip


def test_a_checkout_in_which_people_worked_is_small_enough_to_submit(tmp_path: Path) -> None:
    from ray._private.runtime_env.packaging import _zip_files

    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    checkout = tmp_path / "checkout"
    for name in filter(None, tracked.stdout.split("\0")):
        if (ROOT / name).is_file():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, checkout / name)
    own = {"archive.yaml": "input: in", "recordings.csv": "uri"}
    for name, content in own.items():
        (checkout / name).write_text(content)
    for name in LEFT_BY_COMMANDS:
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        with (checkout / name).open("wb") as file:
            file.truncate(1 << 20)
    package = tmp_path / "package.zip"
    _zip_files(str(checkout), [], str(package), include_gitignore=True)
    assert package.stat().st_size < MOST_THAT_RAY_TAKES / 4
    names = set(zipfile.ZipFile(package).namelist())
    assert not names & set(LEFT_BY_COMMANDS)
    sources = {
        name for name in tracked.stdout.split("\0") if name.startswith(("uss_ray/", "jobs/", "configs/"))
    }
    assert {*sources, *own} <= names


def requirements_of_the_base() -> dict[str, tuple[str, list[Requirement]]]:
    """Each package of the base image: its version, and what it requires."""
    found: dict[str, tuple[str, list[Requirement]]] = {}
    name = ""
    for line in (ROOT / "tests/data/base_image.txt").read_text().splitlines():
        if line.startswith("    "):
            found[name][1].append(Requirement(line.strip()))
        elif not line.startswith("#"):
            name, _, number = line.partition("==")
            found[name] = (number, [])
    return found


def what_is_installed(extras: str) -> set[str]:
    """Name what pip installs with these extras of ours, by the metadata of what is installed here."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = list(project["dependencies"])
    for extra in extras.split(","):
        asked += project["optional-dependencies"][extra]
    waiting, seen = [Requirement(line) for line in asked], {}
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        new = ({""} | wanted.extras) - seen.setdefault(name, set())
        seen[name] |= new
        for line in (requires(name) or []) if new else ():
            needed = Requirement(line)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in new):
                waiting.append(needed)
    return set(seen)


def conflicts(extras: str, base: dict[str, tuple[str, list[Requirement]]]) -> set[tuple[str, str]]:
    """Say what `pip check` would: which package lacks which, when ours go into an environment with these."""
    ours = what_is_installed(extras)
    numbers = {name: number for name, (number, _) in base.items()} | {name: number_of(name) for name in ours}
    needs = {name: required for name, (_, required) in base.items() if name not in ours}
    needs |= {
        name: [
            need
            for need in map(Requirement, requires(name) or [])
            if need.marker is None or need.marker.evaluate({"extra": ""})
        ]
        for name in ours
    }
    return {
        (name, canonicalize_name(need.name))
        for name, required in needs.items()
        for need in required
        if not need.specifier.contains(numbers.get(canonicalize_name(need.name), "0"), prereleases=True)
    }


@pytest.mark.slow
def test_an_environment_of_its_own_agrees_with_itself_and_the_base_image_would_not() -> None:
    extras = set(re.findall(r"'\.\[([\w,]+)\]'", CLUSTER.read_text() + DOCKERFILE.read_text()))
    assert extras == {"ray,s3,media,serve", "ray,s3,media,aws"}
    for chosen in extras:
        assert not conflicts(chosen, {})
    base = requirements_of_the_base()
    assert len(base) > 50
    # why set-up and image do not install over the base's packages
    assert ("boto3", "botocore") in conflicts("ray,s3,media,serve", base)
    assert ("pyopenssl", "cryptography") in conflicts("ray,s3,media,aws", base)
