"""The calls that tell what the service is, whether it works, and which sounds there are."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from uss_ray.errors import QueryError
from uss_ray.ontology.tree import list_nodes
from uss_ray.service.problems import Refusal
from uss_ray.service.service import UNCHANGED, is_known, service_of
from uss_ray.version import VERSION

router = APIRouter()


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Tell that the process answers."""
    return {"status": "ok"}


@router.get(
    "/readyz",
    responses={503: {"description": "Something is missing.", "content": {"application/json": {}}}},
)
async def readyz(request: Request) -> JSONResponse:
    """Tell whether recordings can be separated, or what is missing."""
    missing = dict(await service_of(request).missing())
    if missing:
        return JSONResponse(
            {"status": "not ready", "missing": missing}, status_code=503, headers={"retry-after": "5"}
        )
    return JSONResponse({"status": "ready", "missing": {}})


@router.get("/v1/info")
async def info(request: Request) -> dict[str, Any]:
    """Tell version, weights and limits."""
    service = service_of(request)
    facts = await service.facts()
    return {
        "version": VERSION,
        "weights": {"name": facts.weights_name, "sha256": facts.weights_sha256},
        "sample_rate": facts.sample_rate,
        "device": facts.device,
        "known_classes": len(facts.known_classes),
        "limits": service.settings.limits.model_dump(mode="json"),
        "keeps": service.store is not None,
        "jobs": service.settings.jobs.model_dump(mode="json") if service.takes_jobs else None,
    }


@router.get("/v1/classes", responses={304: UNCHANGED})
async def classes(
    request: Request,
    find: Annotated[str | None, Query(description="Only those whose label or id holds this text.")] = None,
    level: Annotated[int | None, Query(ge=1, description="Only those of this level.")] = None,
) -> Response:
    """List the nodes of the ontology, and which of them the weights know."""
    service = service_of(request)
    known = await service.known()
    try:
        nodes = list(list_nodes(service.vocabulary, find=find, known=known))
    except QueryError:  # none holds the text
        nodes = []
    nodes = [node for node in nodes if level is None or node["level"] == level]
    return _tagged(request, {"classes": nodes})


@router.get("/v1/classes/{node_id:path}", responses={304: UNCHANGED})
async def class_(request: Request, node_id: str) -> Response:
    """Tell of one node: its description, what lies around it, and whether the weights know it."""
    service = service_of(request)
    vocabulary, known = service.vocabulary, await service.known()
    wanted = node_id if node_id.startswith("/") else f"/{node_id}"
    node = vocabulary.ontology.nodes.get(wanted) or vocabulary.ontology.nodes.get(node_id)
    if node is None:
        raise Refusal(node_id[:100], expected="the id of a node, such as m/0bt9lr", found="none", status=404)
    found = {
        "node_id": node.node_id,
        "label": node.label,
        "description": node.description,
        "level": node.level,
        "parent_ids": list(node.parent_ids),
        "children_ids": list(node.children_ids),
        "is_separable": vocabulary.is_separable(node.node_id),
        "is_known": known.knows_node(node.node_id),
        "nearest_known": [near.node_id for near in known.nearest(node.node_id)],
    }
    return _tagged(request, found)


def _tagged(request: Request, content: dict[str, Any]) -> Response:
    """Answer with an ETag of what is said, whatever weights, ontology and class list made it so."""
    answer = JSONResponse(content)
    tag = f'"{hashlib.sha256(answer.body).hexdigest()[:32]}"'
    headers = {"etag": tag, "cache-control": "private, max-age=300"}
    if is_known(request, tag):
        return Response(status_code=304, headers=headers)
    answer.headers.update(headers)
    return answer
