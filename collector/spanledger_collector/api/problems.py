"""Exceptions in; RFC 9457 problem details out: the one shape of every error under /api/."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from clickhouse_connect.driver.exceptions import ClickHouseError
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from spanledger_collector.store.registry.errors import (
    ConflictError,
    DocumentError,
    InUseError,
    NotFoundError,
    RegistryError,
)
from spanledger_collector.store.registry.keys import KeysUnavailableError

MEDIA_TYPE = "application/problem+json"

log = logging.getLogger(__name__)

_ADDRESS = re.compile(r"(url: [^?\s]*)\?\S+")
_AWAY = {None, 202, 209, 210, 242, 279, 439, 999}
"""No code (the connection failed), or one that says: not now."""

_TOO_MUCH = {158, 159, 160, 241, 307, 396}
"""The engine's codes for a question over its limits: rows, time, memory, bytes, result size."""


class ProblemBody(BaseModel):
    """What went wrong, as RFC 9457 says it; ``errors`` names each wrong value and its place."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[dict[str, Any]] | None = None


RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {
        "description": text,
        "content": {MEDIA_TYPE: {"schema": ProblemBody.model_json_schema()}},
    }
    for status, text in (
        (400, "The body is no JSON."),
        (401, "No key, or one that is unknown or revoked."),
        (403, "The key lacks the scope, or may not act for the project named."),
        (404, "There is no such thing in the project."),
        (409, "Somebody else changed it, or others need it."),
        (422, "Values that are not allowed, or a question that reads too much."),
        (503, "The store does not answer: try again."),
    )
}
"""What every path may answer besides its own, for OpenAPI."""


class Refusal(Exception):
    """A request that is refused: HTTP status, what is wrong, and what else the client should know."""

    def __init__(
        self,
        status: int,
        detail: str,
        errors: list[dict[str, Any]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status, self.detail, self.errors, self.headers = status, detail, errors, headers
        super().__init__(detail)


def problem(
    status: int,
    detail: str,
    errors: list[dict[str, Any]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """The response for one problem. ``errors`` lists each wrong value with its place."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if errors:
        body["errors"] = errors
    return JSONResponse(body, status, dict(headers or {}), MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make every error of ``app`` a problem."""
    handlers: dict[type[Exception], Any] = {
        Refusal: _refusal,
        HTTPException: _http,
        RequestValidationError: _validation,
        RegistryError: _registry,
        KeysUnavailableError: _unavailable,
        ClickHouseError: _engine,
        Exception: _unexpected,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


async def _refusal(_: Request, refused: Refusal) -> JSONResponse:
    return problem(refused.status, refused.detail, refused.errors, refused.headers)


async def _http(_: Request, wrong: HTTPException) -> JSONResponse:
    return problem(wrong.status_code, str(wrong.detail), headers=wrong.headers)


async def _validation(_: Request, wrong: RequestValidationError) -> JSONResponse:
    errors = [
        {"path": ".".join(map(str, error["loc"])), "message": error["msg"].removeprefix("Value error, ")}
        for error in wrong.errors()
    ]
    return problem(422, "the request has values that are not allowed", errors)


async def _registry(_: Request, wrong: RegistryError) -> JSONResponse:
    errors = None
    if isinstance(wrong, DocumentError):
        errors = [
            {
                "kind": entry.kind,
                "name": entry.name,
                "path": entry.where,
                "location": list(entry.path),
                "message": entry.message,
            }
            for entry in wrong.problems
        ]
    statuses: dict[type[RegistryError], int] = {
        DocumentError: 422,
        ConflictError: 409,
        InUseError: 409,
        NotFoundError: 404,
    }
    detail = "documents are not valid; nothing was written" if errors else str(wrong)
    return problem(statuses.get(type(wrong), 400), detail, errors)


async def _unavailable(_: Request, away: KeysUnavailableError) -> JSONResponse:
    return problem(503, str(away), headers={"Retry-After": "2"})


async def _engine(_: Request, wrong: ClickHouseError) -> JSONResponse:
    code = getattr(wrong, "code", None)
    if code in _TOO_MUCH:
        return problem(422, "the question reads more than is allowed: narrow its time or filters")
    # What follows the question mark are bound values: people's words and names.
    log.error("the engine failed: %s", _ADDRESS.sub(r"\1?...", str(wrong))[:500])
    if code in _AWAY:
        return problem(503, "the store does not answer: try again", headers={"Retry-After": "2"})
    return problem(500, "the request failed; the collector's log says why")


async def _unexpected(_: Request, wrong: Exception) -> JSONResponse:
    log.error("a request failed", exc_info=wrong)
    return problem(500, "the request failed; the collector's log says why")
