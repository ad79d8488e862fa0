"""Who asks, and for which project: the key of a request in, a caller with a tenant out.

The project always comes from the key. Only an operator's key (it stands in project ``*``) may name
another, by the query parameter ``project``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Query, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from spanledger_collector.store.registry.documents import SHARED
from spanledger_collector.store.registry.fields import Scope
from spanledger_collector.store.registry.keys import Key, KeyDirectory

from .problems import Refusal

_BEARER = HTTPBearer(auto_error=False, description="A key `sl_<id>_<secret>` with the scope the path needs.")


@dataclass(slots=True, frozen=True)
class Caller:
    """An authenticated request: the key, and the one project it acts for."""

    key: Key
    project: str


Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]
ProjectName = Annotated[
    str | None,
    Query(alias="project", max_length=200, description="For operators: the project to act for."),
]


def caller_with(scope: Scope, shared: bool = False) -> Callable[..., Awaitable[Caller]]:
    """A dependency: the caller, who must hold ``scope``. ``shared`` also lets project ``*`` be named."""

    async def dependency(request: Request, credentials: Credentials, project: ProjectName = None) -> Caller:
        key = identify(request.app.state.keys, credentials)
        if not key.may(scope):
            raise Refusal(403, f"key {key.id!r} lacks scope {scope!r}: it has {', '.join(key.scopes)}")
        return Caller(key, _tenant(key, project, shared))

    return dependency


async def document_reader(request: Request, credentials: Credentials, project: ProjectName = None) -> Caller:
    """A dependency: the caller, who must hold ``read``; for prompts ``ingest`` will do, as applications have it."""
    key = identify(request.app.state.keys, credentials)
    allowed = ("read", "ingest") if request.path_params.get("kind") == "prompt" else ("read",)
    if not any(key.may(scope) for scope in allowed):
        raise Refusal(403, f"key {key.id!r} lacks scope 'read': it has {', '.join(key.scopes)}")
    return Caller(key, _tenant(key, project, shared=True))


def identify(keys: KeyDirectory, credentials: HTTPAuthorizationCredentials | None) -> Key:
    """The holder of the request's key.

    Raises:
        Refusal: 401 without a key, or with an unknown or revoked one.
    """
    if credentials is None:
        raise _unauthorised("send a key: Authorization: Bearer sl_<id>_<secret>")
    key = keys.lookup(credentials.credentials)
    if key is None:
        raise _unauthorised("the key is unknown or revoked")
    return key


def _tenant(key: Key, asked: str | None, shared: bool) -> str:
    if asked is None or asked == key.project:
        return key.project
    if not key.operator:
        raise Refusal(403, f"key {key.id!r} acts for project {key.project!r} only")
    if asked == SHARED and not shared:
        raise Refusal(422, "project '*' holds documents only: name a project")
    return asked


def _unauthorised(detail: str) -> Refusal:
    return Refusal(401, detail, headers={"WWW-Authenticate": 'Bearer realm="spanledger"'})
