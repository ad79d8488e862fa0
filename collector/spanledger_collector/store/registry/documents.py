"""The kinds of documents and what each holds: raw mappings in, validated JSON documents or problems out.

A document is stored as a person wrote it, defaults left out, so that a diff shows what was changed;
``parse`` fills the defaults in. Money is a decimal string, never a float.
"""

from __future__ import annotations

import re
from typing import Any, Literal, cast, get_args

from pydantic import ValidationError

from . import evaluation, finance, invoices, privacy, serving
from .errors import DocumentError, Problem
from .fields import Document

Kind = Literal[
    "upstream", "gpu_pool", "price", "route", "budget", "prompt", "dataset", "evaluator", "regression", "alert",
    "redaction", "retention", "invoice_source", "key", "member", "allocation", "currency",
]  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)
"""In the order in which documents may refer to earlier ones."""

SHARED = "*"
"""The project whose documents every project sees."""

SHARED_KINDS: frozenset[str] = frozenset(
    {"upstream", "price", "gpu_pool", "redaction", "key", "member", "currency", "budget"}
)
"""Kinds that may stand in project ``*``."""

MODELS: dict[str, type[Document]] = {
    **serving.MODELS,
    **finance.MODELS,
    **evaluation.MODELS,
    **privacy.MODELS,
    **invoices.MODELS,
}

_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,200}")
_CURRENCY = re.compile(r"(?!USD)[A-Z]{3}")
_RESERVED_ENDINGS = ("/history", "/rollback", "/diff")


def validate(kind: str, name: str, document: object, project: str) -> dict[str, Any]:
    """Check a document and return it as JSON values, defaults left out.

    Raises:
        DocumentError: with every problem found, not just the first.
    """
    model = MODELS.get(kind)
    if model is None:
        message = f"there is no kind {kind!r}; allowed: {', '.join(KINDS)}"
        raise DocumentError([Problem(kind, name, (), message)])
    complaints = [*_name_complaints(name), *_project_complaints(kind, project, document)]
    if kind == "member" and not name.startswith("group:") and (name != name.lower() or "@" not in name):
        complaints.append("name an e-mail address in small letters, or group:NAME")
    if kind == "currency" and not _CURRENCY.fullmatch(name):
        complaints.append("name a currency by its ISO 4217 code, such as EUR; US dollars need no rate")
    problems = [Problem(kind, name, (), complaint) for complaint in complaints]
    try:
        parsed = model.model_validate(_with_project(kind, project, document))
    except ValidationError as wrong:
        raise DocumentError(problems + _problems(kind, name, wrong, model)) from None
    if problems:
        raise DocumentError(problems)
    return parsed.model_dump(mode="json", exclude_unset=True)


def parse(kind: str, document: dict[str, Any]) -> Document:
    """A stored document as its model, defaults filled in.

    Raises:
        pydantic.ValidationError: it was written by a version whose documents were different.
    """
    return MODELS[kind].model_validate(document)


def _with_project(kind: str, project: str, document: object) -> object:
    if kind == "key" and project != SHARED and isinstance(document, dict):
        return {"project": project, **cast(dict[str, Any], document)}
    return document


def _name_complaints(name: str) -> list[str]:
    if not _NAME.fullmatch(name) or name != name.strip() or name.startswith("/"):
        return ["a name has 1 to 200 printable characters and begins with no space or slash"]
    if name.endswith(_RESERVED_ENDINGS):
        return [f"a name may not end in {' or '.join(_RESERVED_ENDINGS)}"]
    return []


def _project_complaints(kind: str, project: str, document: object) -> list[str]:
    if project == SHARED and kind not in SHARED_KINDS:
        return [f"only {', '.join(sorted(SHARED_KINDS))} may stand in project '*': name a project"]
    if kind == "key" and project != SHARED and isinstance(document, dict):
        named = cast(dict[str, Any], document).get("project", project)
        if named != project:
            return [f"a key of project {project!r} cannot act for project {named!r}"]
    return []


def _problems(kind: str, name: str, wrong: ValidationError, model: type[Document]) -> list[Problem]:
    found: list[Problem] = []
    for error in wrong.errors(include_url=False):
        path = error["loc"]
        message = error["msg"].removeprefix("Value error, ")
        if error["type"] == "extra_forbidden":
            message = "unknown field"
            if len(path) == 1:
                message += f"; allowed: {', '.join(_field_names(model))}"
        elif error["type"] == "missing":
            message = "is missing"
        found.append(Problem(kind, name, path, message[:1].lower() + message[1:]))
    return found


def _field_names(model: type[Document]) -> list[str]:
    return sorted(entry.alias or name for name, entry in model.model_fields.items())
