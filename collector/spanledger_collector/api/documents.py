"""/api/registry: versioned documents; requests in, versions and changes out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import BaseModel, Field

from spanledger_collector.store.registry.documents import SHARED, Kind
from spanledger_collector.store.registry.plan import Action, Change, Draft, Version, differences
from spanledger_collector.store.registry.registry import Registry

from .callers import Caller, caller_with, document_reader
from .problems import Refusal
from .snapshots import Snapshots

router = APIRouter(prefix="/api/registry", tags=["registry"])

Reader = Annotated[Caller, Depends(document_reader)]
Admin = Annotated[Caller, Depends(caller_with("admin", shared=True))]
Note = Annotated[str, Field(max_length=2000)]
VersionNumber = Annotated[int, Field(ge=0, le=2**31)]


class VersionBody(BaseModel):
    """One version of a document."""

    project: str
    kind: str
    name: str
    version: int
    document: dict[str, Any]
    deleted: bool
    author: str
    time: datetime
    note: str


class PutBody(BaseModel):
    """A document as it shall be. ``base_version``: the version you saw (0: none); absent: whatever it is."""

    document: dict[str, Any]
    note: Note = ""
    base_version: VersionNumber | None = None


class DraftBody(BaseModel):
    """One document of several."""

    kind: str
    name: str
    document: dict[str, Any]
    base_version: VersionNumber | None = None


class ApplyBody(BaseModel):
    """Documents to bring about together: all are checked before the first is written."""

    documents: Annotated[list[DraftBody], Field(max_length=5000)]
    note: Note = ""


class RollbackBody(BaseModel):
    """Which version to return to."""

    version: Annotated[int, Field(ge=1, le=2**31)]
    note: Note = ""


class DifferenceBody(BaseModel):
    """One value that differs; null where the field is absent."""

    path: str
    before: Any
    after: Any


class ChangeBody(BaseModel):
    """What one draft did, or would do."""

    kind: str
    name: str
    action: Action
    base_version: int
    version: int
    differences: list[DifferenceBody]


def registry_of(request: Request) -> Registry:
    """The registry of the app."""
    registry: Registry = request.app.state.registry
    return registry


Documents = Annotated[Registry, Depends(registry_of)]


@router.get("/snapshot", response_class=Response)
def snapshot(
    request: Request,
    caller: Annotated[Caller, Depends(caller_with("gateway"))],
    if_none_match: Annotated[str, Header()] = "",
) -> Response:
    """What gateways serve from, compiled. Send the last `ETag` as `If-None-Match`: 304 when nothing changed.

    An operator's key sees every project, any other its own.
    """
    snapshots: Snapshots = request.app.state.snapshots
    found = snapshots.current(None if caller.key.operator else caller.project)
    etag = f'"{found.version}"'
    if etag in {part.strip().removeprefix("W/") for part in if_none_match.split(",")}:
        return Response(status_code=304, headers={"ETag": etag})
    return Response(found.to_json(), media_type="application/json", headers={"ETag": etag})


@router.post("/apply")
def apply(
    documents: Documents,
    caller: Admin,
    body: ApplyBody,
    dry_run: Annotated[bool, Query(description="Say what would change and write nothing.")] = False,
) -> list[ChangeBody]:
    """Bring several documents about; the same again changes nothing."""
    drafts = [Draft(**entry.model_dump()) for entry in body.documents]
    if dry_run:
        changes = documents.plan(caller.project, drafts)
    else:
        changes = documents.apply(caller.project, drafts, caller.key.id, body.note)
    return [_change(change) for change in changes]


@router.get("")
def list_all(documents: Documents, caller: Reader) -> list[VersionBody]:
    """Every current document of the project, and those of project `*`."""
    return _listed(documents, caller, [])


@router.get("/{kind}")
def list_kind(documents: Documents, caller: Reader, kind: Kind) -> list[VersionBody]:
    """Current documents of one kind, of the project and of project `*`."""
    return _listed(documents, caller, [kind])


@router.get("/{kind}/{name:path}/history")
def history(documents: Documents, caller: Reader, kind: Kind, name: str) -> list[VersionBody]:
    """Every version of a document, newest first."""
    versions = documents.history(caller.project, kind, name)
    if not versions:
        raise Refusal(404, f"there is no {kind} {name!r} in project {caller.project!r}")
    return [_version(row) for row in versions]


@router.get("/{kind}/{name:path}/diff")
def diff(
    documents: Documents,
    caller: Reader,
    kind: Kind,
    name: str,
    before: Annotated[int, Query(ge=1, le=2**31)],
    after: Annotated[int | None, Query(ge=1, le=2**31, description="Default: the current version.")] = None,
) -> list[DifferenceBody]:
    """The values in which two versions differ."""
    old = documents.get(caller.project, kind, name, before)
    new = documents.get(caller.project, kind, name, after)
    return [
        DifferenceBody(path=entry.path, before=entry.before, after=entry.after)
        for entry in differences(old.document, new.document)
    ]


@router.post("/{kind}/{name:path}/rollback")
def rollback(documents: Documents, caller: Admin, kind: Kind, name: str, body: RollbackBody) -> VersionBody:
    """Store an earlier version's document as the newest version."""
    row = documents.rollback(caller.project, kind, name, body.version, caller.key.id, body.note)
    return _version(row)


@router.get("/{kind}/{name:path}")
def get(
    documents: Documents,
    caller: Reader,
    kind: Kind,
    name: str,
    version: Annotated[int | None, Query(ge=1, le=2**31)] = None,
) -> VersionBody:
    """The current version of a document, or the one asked for."""
    return _version(documents.get(caller.project, kind, name, version))


@router.put("/{kind}/{name:path}")
def put(documents: Documents, caller: Admin, kind: Kind, name: str, body: PutBody) -> VersionBody:
    """Store a document as a new version; 409 when `base_version` is not current."""
    draft = Draft(kind=kind, name=name, document=body.document, base_version=body.base_version)
    return _version(documents.put(caller.project, draft, caller.key.id, body.note))


@router.delete("/{kind}/{name:path}")
def delete(
    documents: Documents,
    caller: Admin,
    kind: Kind,
    name: str,
    note: Annotated[str, Query(max_length=2000)] = "",
    base_version: Annotated[int | None, Query(ge=1, le=2**31)] = None,
) -> VersionBody:
    """Store the document's deletion as a new version; 409 while other documents refer to it."""
    return _version(documents.delete(caller.project, kind, name, caller.key.id, note, base_version))


def _listed(documents: Registry, caller: Caller, kinds: list[str]) -> list[VersionBody]:
    rows = documents.list({caller.project, SHARED}, kinds)
    # Keys of project * belong to operators; a project sees its own.
    return [_version(row) for row in rows if row.kind != "key" or row.project == caller.project]


def _version(row: Version) -> VersionBody:
    moment = datetime.fromtimestamp(row.time / 1e9, UTC)
    return VersionBody(
        project=row.project,
        kind=row.kind,
        name=row.name,
        version=row.version,
        document=row.document,
        deleted=row.deleted,
        author=row.author,
        time=moment,
        note=row.note,
    )


def _change(change: Change) -> ChangeBody:
    return ChangeBody(
        kind=change.kind,
        name=change.name,
        action=change.action,
        base_version=change.base_version,
        version=change.version,
        differences=[
            DifferenceBody(path=entry.path, before=entry.before, after=entry.after)
            for entry in change.differences
        ],
    )
