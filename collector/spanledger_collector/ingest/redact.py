"""The redaction stage: rows about to be stored in, the same rows without what a project's rules name out.

Text in JSON is cleaned as the text it says, not as it is written: after an escaped line break a key is a key, too.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import orjson
from pydantic import ValidationError

from spanledger.redaction import Mark, label
from spanledger.redaction import Redactor as Detectors
from spanledger_collector.store.registry.documents import SHARED
from spanledger_collector.store.registry.plan import Version
from spanledger_collector.store.registry.privacy import WRITTEN, Redaction, safe_pattern
from spanledger_collector.store.registry.registry import Registry

from .content import dump
from .rows import Row

logger = logging.getLogger(__name__)

REFRESH_S = 1.0
_JSON_COLUMNS = frozenset({"input", "output", "documents", "events", "links"})
_MAPS = frozenset({"attributes", "resource"})
_MAX_DEPTH = 40
_LONG_NUMBER = 10**8  # from here on a number may be somebody's
_MOST = 2**16 - 1

Clean = Callable[[str], tuple[str, int]]
"""A text in; the text without what a rule names, and how many findings there were, out."""


class Rule:
    """One document of kind ``redaction``, ready to be applied."""

    def __init__(self, document: Redaction, environment: Mapping[str, str] = os.environ) -> None:
        """``environment`` holds the key of hashes; without it findings are replaced by their name alone."""
        self._document = document
        self._fields = frozenset(document.fields)
        mark = label
        if document.action == "hash":
            mark = _hashing(environment.get(document.hash_key_env, ""))
        detectors = Detectors(document.detectors, mark)
        patterns = [(pattern.name, safe_pattern(pattern.regex)) for pattern in document.patterns]

        def clean(text: str) -> tuple[str, int]:
            text, total = detectors(text)
            for name, pattern in patterns:
                text, found = _substitute(pattern, name, mark, text)
                total += found
            return text, total

        self._clean: Clean = clean
        self._finds = bool(document.detectors or patterns)

    def apply(self, row: Row) -> int:
        """Change one row in place; the answer counts what was replaced."""
        total = 0
        for column, drop in (("input", self._document.drop_input), ("output", self._document.drop_output)):
            if drop and row.get(column):
                row[column] = ""
                total += 1
        if self._finds:
            for column in self._fields & row.keys():
                if row[column]:
                    total += self._apply_to(row, column)
        return total

    def _apply_to(self, row: Row, column: str) -> int:
        value = row[column]
        if column in _MAPS:
            row[column], found = self._map(value)
            return found
        if column in _JSON_COLUMNS:
            cleaned, found = json_text(value, self._clean)
        elif isinstance(value, list):
            cleaned, found = nested(cast(object, value), self._clean)
        else:
            cleaned, found = self._clean(value)
        if found:
            emptied: object = [] if column == "tags" else ""
            row[column] = cleaned if self._document.action != "drop" else emptied
        return found

    def _map(self, pairs: Mapping[str, str]) -> tuple[dict[str, str], int]:
        """Attributes, each by itself; ``drop`` takes out the one in which something was found."""
        kept: dict[str, str] = {}
        total = 0
        for key, value in pairs.items():
            cleaned, found = json_text(value, self._clean)
            total += found
            if not found or self._document.action != "drop":
                kept[key] = cleaned
        return kept, total


class Rules:
    """Every project's rules; follows the registry within a second or so. Threads may share one.

    ``redact`` counts each span's replacements in its ``redactions``.
    """

    def __init__(self, registry: Registry, clock: Callable[[], float] = time.monotonic) -> None:
        self._registry, self._clock = registry, clock
        self._revision, self._checked = -1, float("-inf")
        self._rules: dict[str, list[Rule]] = {}

    def refresh(self) -> None:
        """Read the documents if any changed. Nothing is stored by rules that may be old: the store's errors are raised."""
        if self._clock() - self._checked < REFRESH_S:
            return
        revision = self._registry.revision()
        if revision != self._revision:
            self._rules = self._read()
            self._revision = revision
        self._checked = self._clock()

    def has_rules(self, project: str) -> bool:
        """Whether anything of the project is redacted."""
        return bool(self._of(project))

    def redact(self, project: str, rows: Sequence[Row]) -> int:
        """Change rows of one project in place; the answer is how many pieces were replaced."""
        rules, total = self._of(project), 0
        if not rules:
            return 0
        for row in rows:
            found = sum(rule.apply(row) for rule in rules)
            if found and "duration_ns" in row:  # a span; scores do not say
                row["redactions"] = min(row.get("redactions", 0) + found, _MOST)
            total += found
        return total

    def _of(self, project: str) -> list[Rule]:
        return [*self._rules.get(SHARED, ()), *self._rules.get(project, ())]

    def _read(self) -> dict[str, list[Rule]]:
        rules: dict[str, list[Rule]] = {}
        for version in self._registry.list_all(["redaction"]):
            rules.setdefault(version.project, []).append(_rule(version))
        return rules


def _rule(version: Version) -> Rule:
    try:
        document = Redaction.model_validate(version.document)
    except ValidationError as wrong:  # it was valid for an older version: what it protects nobody knows
        logger.error(
            "redaction %s/%s cannot be read, all content is dropped: %s", version.project, version.name, wrong
        )
        everything = {"name": "all", "regex": r"(?s).+"}
        document = Redaction.model_validate(
            {"patterns": [everything], "action": "drop", "fields": list(WRITTEN)}
        )
    if document.action == "hash" and not os.environ.get(document.hash_key_env):
        logger.error(
            "redaction %s/%s: %s is not set here, findings are replaced by their name without a hash",
            version.project, version.name, document.hash_key_env,
        )  # fmt: skip
    return Rule(document)


def _hashing(key: str) -> Mark:
    """Marks that are equal for equal findings, and that nobody without the key can make."""
    if not key:
        return label

    def mark(name: str, found: str) -> str:
        digest = hmac.new(key.encode(), found.encode("utf-8", "replace"), hashlib.sha256).hexdigest()
        return f"[{name}:{digest[:16]}]"

    return mark


def _substitute(pattern: Any, name: str, mark: Mark, text: str) -> tuple[str, int]:
    """Replace every match that is not empty."""
    try:
        parts = list(pattern.finditer(text))
    except UnicodeEncodeError:  # a lone surrogate: RE2 works on UTF-8
        text = text.encode("utf-8", "replace").decode()
        parts = list(pattern.finditer(text))
    parts = [match for match in parts if match.end() > match.start()]
    if not parts:
        return text, 0
    cleaned: list[str] = []
    at = 0
    for match in parts:
        cleaned += (text[at : match.start()], mark(name, match.group()))
        at = match.end()
    return "".join(cleaned) + text[at:], len(parts)


def json_text(text: str, clean: Clean, depth: int = 0) -> tuple[str, int]:
    """Clean the texts in a JSON text, or a text that is no JSON as it is."""
    if text[:1] in ("{", "[", '"') and depth < _MAX_DEPTH:
        try:
            value: object = orjson.loads(text)
        except orjson.JSONDecodeError:
            return clean(text)
        cleaned, found = nested(value, clean, depth + 1)
        return (dump(cleaned), found) if found else (text, 0)
    return clean(text)


def nested(value: object, clean: Clean, depth: int = 0) -> tuple[Any, int]:
    """Clean every text, key and long number in a JSON value; what lies too deep to be looked at is taken out."""
    if isinstance(value, str):
        return json_text(value, clean, depth)
    if isinstance(value, int) and abs(value) >= _LONG_NUMBER:
        cleaned, found = clean(str(value))
        return (cleaned, found) if found else (value, 0)
    if not isinstance(value, (list, dict)) or not value:
        return cast(object, value), 0
    if depth >= _MAX_DEPTH:
        return "[too deep]", 1
    if isinstance(value, list):
        items = [nested(item, clean, depth + 1) for item in cast(list[object], value)]
        return [item for item, _ in items], sum(found for _, found in items)
    total = 0
    kept: dict[str, object] = {}
    for key, item in cast(dict[str, object], value).items():
        name, in_key = clean(key)
        kept[name], in_item = nested(item, clean, depth + 1)
        total += in_key + in_item
    return kept, total
