"""A project's routes in, ``GET /v1/models`` as OpenAI's or Anthropic's clients read it out."""

from __future__ import annotations

from typing import Any

from spanledger.serving.refusals import RefusedError
from spanledger.serving.snapshot import ProjectSnapshot

_EPOCH = "1970-01-01T00:00:00Z"


def list_models(project: ProjectSnapshot, is_anthropic: bool) -> dict[str, Any]:
    """Every route of the project."""
    data = [_model(name, is_anthropic) for name in sorted(project.routes)]
    if not is_anthropic:
        return {"object": "list", "data": data}
    ids = [model["id"] for model in data]
    return {
        "data": data,
        "has_more": False,
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
    }


def one_model(project: ProjectSnapshot, name: str, is_anthropic: bool) -> dict[str, Any]:
    """One route.

    Raises:
        RefusedError: 404, there is none of that name.
    """
    if name not in project.routes:
        raise RefusedError(404, "model_not_found", f"the model {name!r} does not exist or is not yours")
    return _model(name, is_anthropic)


def _model(name: str, is_anthropic: bool) -> dict[str, Any]:
    if is_anthropic:
        return {"type": "model", "id": name, "display_name": name, "created_at": _EPOCH}
    return {"id": name, "object": "model", "created": 0, "owned_by": "spanledger"}
