"""Every vocabulary, in order of trust, compiled into one lookup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from . import gen_ai, others
from .dialect import Dialect

DIALECTS: tuple[Dialect, ...] = (
    gen_ai.SPANLEDGER,
    gen_ai.GEN_AI,
    gen_ai.GEN_AI_OLDER,
    others.OPENINFERENCE,
    others.TRACELOOP,
    others.LANGFUSE,
    others.VERCEL,
    others.MLFLOW,
    others.LOGFIRE,
    others.VLLM,
    others.SEMANTIC_KERNEL_AND_REST,
)
"""Where two of them tell the same field, the earlier holds."""

_MEMO_SIZE = 50_000  # names come from outside, so the memo of unknown ones is bounded


@dataclass(frozen=True, slots=True)
class Rule:
    """What one attribute's name means. Of two attributes for one field the lower ``rank`` holds.

    ``field`` is empty for a name that stays as it is but tells the vocabulary. ``path`` is what follows a
    group's prefix, for attributes that are parts of a list. ``mark`` is the vocabulary's number, 0 for none.
    """

    field: str
    rank: int = 0
    path: str = ""
    mark: int = 0


class Table:
    """The lookup: an attribute's name to its rule, and what a span's names say of its vocabulary."""

    def __init__(self, rules: dict[str, Rule], groups: dict[str, Rule], dialects: Sequence[Dialect]) -> None:
        self._names = _by_particularity(dialects)
        marks = {mark: self._names.index(d.name) for d in reversed(dialects) for mark in d.marks}
        self._exact = {mark: number for mark, number in marks.items() if not mark.endswith(".")}
        self._prefixes = {mark: number for mark, number in marks.items() if mark.endswith(".")}
        self._groups, self._dialects = groups, dialects
        self._rules: dict[str, Rule | None] = {
            name: replace(rule, mark=self._mark(name)) for name, rule in rules.items()
        }
        self._scopes: dict[tuple[int, str], str] = {}
        self._room = len(self._rules) + _MEMO_SIZE

    def rule(self, name: str) -> Rule | None:
        """What the attribute means; None keeps it as it is and says nothing."""
        try:
            return self._rules[name]
        except KeyError:
            return self._learn(name)

    def _learn(self, name: str) -> Rule | None:
        mark = self._mark(name)
        found = Rule("", mark=mark) if mark else None
        for prefix, group in self._groups.items():
            if name.startswith(prefix) and name[len(prefix) : len(prefix) + 1].isdigit():
                found = Rule(group.field, group.rank, name[len(prefix) :], mark)
                break
        if len(self._rules) < self._room:
            self._rules[name] = found
        return found

    def _mark(self, name: str) -> int:
        known = self._exact.get(name, 0)
        return known or next((n for mark, n in self._prefixes.items() if name.startswith(mark)), 0)

    def dialect(self, mark: int, scope: str) -> str:
        """The vocabulary a span was written in, from the highest mark among its names and its scope."""
        try:
            return self._scopes[mark, scope]
        except KeyError:
            name = self._dialect(mark, scope)
            if len(self._scopes) < _MEMO_SIZE:
                self._scopes[mark, scope] = name
            return name

    def _dialect(self, mark: int, scope: str) -> str:
        name = self._names[mark]
        if name in ("", "gen_ai"):
            for dialect in self._dialects:
                if any(scope.startswith(start) for start in dialect.scopes):
                    return dialect.name
        return name

    def operation(self, kind: str) -> str:
        """gen_ai.operation.name of another vocabulary's kind; empty when it is no GenAI operation."""
        kind = kind.lower()
        return next((d.operations[kind] for d in self._dialects if kind in d.operations), "")


def _by_particularity(dialects: Sequence[Dialect]) -> list[str]:
    """Vocabularies' names, numbered so that the higher says more when several stand on one span."""
    # Spanledger's own attributes, and gen_ai's, may stand beside another vocabulary's.
    common = ["", "other", "spanledger", "gen_ai"]
    return common + [name for name in dict.fromkeys(d.name for d in dialects) if name not in common]


def build(dialects: Sequence[Dialect]) -> Table:
    """Compile the vocabularies; the earlier one's rule for a name holds."""
    rules: dict[str, Rule] = {}
    groups: dict[str, Rule] = {}
    rank = 0
    for dialect in dialects:
        for name, field in dialect.fields.items():
            rules.setdefault(name, Rule(field, rank))
            rank += 1
        for prefix, field in dialect.groups.items():
            groups.setdefault(prefix, Rule(field, rank))
            rank += 1
    return Table(rules, groups, dialects)
