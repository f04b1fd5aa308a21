from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from serve_app.app import app
from uss_ray.errors import ConfigError
from uss_ray.pipelines.serving.application import build
from uss_ray.pipelines.serving.options import Serving
from uss_ray.pipelines.serving.running import LIGHT_SERVE

ROOT = Path(__file__).parents[4]


def test_separators_take_what_they_are_given_and_fronts_nothing() -> None:
    serving = Serving.of({"service": {"no_auth": True}, "options": {"replicas": 2, "cpus": 2, "gpus": 0.25}})
    front = build(serving)._bound_deployment
    (separators,) = [
        argument._bound_deployment for argument in front.init_args if hasattr(argument, "_bound_deployment")
    ]
    assert separators.num_replicas == 2
    given = separators.ray_actor_options
    assert (given["num_cpus"], given["num_gpus"]) == (2, 0.25)
    assert front.ray_actor_options["num_cpus"] == 0


def test_arguments_of_serve_run_are_checked_before_anything_starts() -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        app({"service.tokens": "none.yaml"})


def _configurations() -> Iterator[dict[str, Any]]:
    yield yaml.safe_load((ROOT / "serve_app" / "serve.yaml").read_text())
    for document in yaml.safe_load_all((ROOT / "deploy" / "rayservice.yaml").read_text()):
        if document["kind"] == "RayService":
            yield yaml.safe_load(document["spec"]["serveConfigV2"])


def test_the_configurations_are_those_of_serve_and_their_arguments_ours() -> None:
    for configuration in _configurations():
        (deployed,) = ServeDeploySchema.model_validate(configuration).applications
        module, _, name = deployed.import_path.partition(":")
        assert getattr(import_module(module), name) is app
        assert Serving.of(deployed.args).service.tokens == "/etc/uss-ray/tokens.yaml"


def test_pods_have_the_environment_of_a_local_service_and_haproxy() -> None:
    text = (ROOT / "deploy" / "rayservice.yaml").read_text()
    (cluster,) = (
        document["spec"]["rayClusterConfig"]
        for document in yaml.safe_load_all(text)
        if document["kind"] == "RayService"
    )
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        (container,) = group["template"]["spec"]["containers"]
        environment = {given["name"]: given["value"] for given in container["env"]}
        assert environment == LIGHT_SERVE | {"RAY_SERVE_ENABLE_HA_PROXY": "1"}
