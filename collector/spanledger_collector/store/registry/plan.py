"""What a set of drafts would change: drafts and current documents in, changes or problems out. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from .documents import KINDS, validate
from .errors import ConflictError, DocumentError, Problem

Action = Literal["create", "change", "none"]
Path = tuple[str | int, ...]
Address = tuple[str, str]
"""Kind and name."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Version:
    """One version of one document, as a row of ``registry``. ``time`` is ns since the epoch, UTC."""

    project: str
    kind: str
    name: str
    version: int
    document: dict[str, Any]
    deleted: bool = False
    author: str = ""
    time: int = 0
    note: str = ""

    @property
    def address(self) -> Address:
        """What names the document within its project."""
        return (self.kind, self.name)


@dataclass(slots=True, frozen=True, kw_only=True)
class Draft:
    """A document as somebody wants it. ``base_version`` is the version they saw (0: none); None: any."""

    kind: str
    name: str
    document: Any
    base_version: int | None = None


@dataclass(slots=True, frozen=True, kw_only=True)
class Difference:
    """One value that differs; None where the field is absent."""

    path: str
    before: Any
    after: Any


@dataclass(slots=True, frozen=True, kw_only=True)
class Change:
    """What one draft does: it turns version ``base_version`` (0: none) into ``version``."""

    kind: str
    name: str
    action: Action
    base_version: int
    version: int
    document: dict[str, Any]
    differences: tuple[Difference, ...] = ()


def plan(
    project: str, drafts: Sequence[Draft], current: Mapping[Address, Version], shared: Iterable[Address]
) -> list[Change]:
    """Decide what each draft does, in an order in which references resolve.

    ``current`` holds the newest version of each document of the project, deleted ones included;
    ``shared`` what project ``*`` offers besides.

    Raises:
        DocumentError: any draft is invalid, twice there, or refers to what does not exist.
        ConflictError: a draft's ``base_version`` is not current.
    """
    problems = list(_duplicates(drafts))
    documents: dict[Address, dict[str, Any]] = {}
    for draft in drafts:
        try:
            documents[draft.kind, draft.name] = validate(draft.kind, draft.name, draft.document, project)
        except DocumentError as wrong:
            problems += wrong.problems
    known = {version.address for version in current.values() if not version.deleted}
    known |= {(draft.kind, draft.name) for draft in drafts} | set(shared)
    for address, document in documents.items():
        problems += _dangling(address, document, known, project)
        problems += _labels_ahead(address, document, current)
    if problems:
        raise DocumentError(problems)
    ordered = sorted(drafts, key=lambda draft: KINDS.index(draft.kind))
    return [_change(draft, documents[draft.kind, draft.name], current) for draft in ordered]


def differences(before: Any, after: Any, path: str = "") -> Iterator[Difference]:
    """The leaves in which two JSON values differ; lists are compared whole when their lengths differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        old, new = cast(dict[str, Any], before), cast(dict[str, Any], after)
        for name in sorted(old.keys() | new.keys()):
            yield from differences(old.get(name), new.get(name), f"{path}.{name}".lstrip("."))
    elif _same_length(before, after):
        pairs = zip(cast(list[Any], before), cast(list[Any], after), strict=True)
        for position, (left, right) in enumerate(pairs):
            yield from differences(left, right, f"{path}[{position}]")
    elif before != after:
        yield Difference(path=path, before=before, after=after)


def _same_length(before: Any, after: Any) -> bool:
    lists = isinstance(before, list) and isinstance(after, list)
    return lists and len(cast(list[Any], before)) == len(cast(list[Any], after))


def references(kind: str, document: Mapping[str, Any]) -> Iterator[tuple[Path, Address]]:
    """Which documents a document needs, each with the path that names it.

    An upstream's ``gpu_pool`` is left out: pools name their upstreams, and one of the two comes first.
    """
    if kind == "route":
        for position, target in enumerate(document["targets"]):
            yield ("targets", position, "upstream"), ("upstream", target["upstream"])
        cache: dict[str, Any] = document.get("cache") or {}
        yield from _of_semantic(cache.get("semantic") or {})
    elif kind == "gpu_pool":
        for position, upstream in enumerate(document.get("upstreams", ())):
            yield ("upstreams", position), ("upstream", upstream)
    elif kind in ("evaluator", "regression"):
        yield from _of_judge((), document.get("judge") or {})
    if kind == "regression":
        yield ("dataset",), ("dataset", document["dataset"])
        yield ("route",), ("route", document["route"])
        if document.get("prompt"):
            yield ("prompt",), ("prompt", document["prompt"].partition("@")[0])


def _of_judge(path: Path, judge: Mapping[str, str]) -> Iterator[tuple[Path, Address]]:
    for field in ("route", "upstream"):
        if judge.get(field):
            yield (*path, "judge", field), (field, judge[field])


def _of_semantic(rule: Mapping[str, Any]) -> Iterator[tuple[Path, Address]]:
    path: Path = ("cache", "semantic")
    yield from _of_judge(path, rule.get("judge") or {})
    upstream, is_ours, _ = str(rule.get("embedder", "")).partition("/")
    if is_ours:
        yield (*path, "embedder"), ("upstream", upstream)


def _change(draft: Draft, document: dict[str, Any], current: Mapping[Address, Version]) -> Change:
    now = current.get((draft.kind, draft.name))
    version = now.version if now else 0
    if draft.base_version is not None and draft.base_version != version:
        raise ConflictError(draft.kind, draft.name, version, draft.base_version)
    before = now.document if now and not now.deleted else None
    action: Action = "create" if before is None else "none" if before == document else "change"
    return Change(
        kind=draft.kind,
        name=draft.name,
        action=action,
        base_version=version,
        version=version if action == "none" else version + 1,
        document=document,
        differences=tuple(differences(before or {}, document)),
    )


def _duplicates(drafts: Sequence[Draft]) -> Iterator[Problem]:
    seen: set[Address] = set()
    for draft in drafts:
        if (draft.kind, draft.name) in seen:
            yield Problem(draft.kind, draft.name, (), "stands twice in what is applied")
        seen.add((draft.kind, draft.name))


def _dangling(
    address: Address, document: Mapping[str, Any], known: set[Address], project: str
) -> Iterator[Problem]:
    for path, (kind, name) in references(address[0], document):
        if (kind, name) not in known:
            message = f"there is no {kind} {name!r} in project {project!r} or '*'"
            yield Problem(*address, path, message)


def _labels_ahead(
    address: Address, document: Mapping[str, Any], current: Mapping[Address, Version]
) -> Iterator[Problem]:
    """Labels of a prompt that point at a version which does not exist even when this one is stored."""
    labels: Mapping[str, int] = document.get("labels", {}) if address[0] == "prompt" else {}
    newest = (current[address].version if address in current else 0) + 1
    for label, version in labels.items():
        if version > newest:
            yield Problem(*address, ("labels", label), f"there is no version {version}; this one is {newest}")
