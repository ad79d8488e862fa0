"""Spans of a trace in; lines of its tree out, in drawing order, with their place on the time axis. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Line:
    """One span: ``depth`` in the tree; ``left`` and ``width`` as shares of the trace's time, 0 to 1."""

    span: Mapping[str, Any]
    depth: int
    left: float
    width: float
    orphan: bool = False  # its parent is not (yet) recorded


@dataclass(frozen=True, slots=True)
class Tree:
    """A trace: its lines, its start and its length in nanoseconds."""

    lines: tuple[Line, ...]
    start: int
    length: int


def tree(spans: Sequence[Mapping[str, Any]]) -> Tree:
    """Order spans depth first, children by start. Cycles and missing parents become roots, so none is lost."""
    if not spans:
        return Tree((), 0, 0)
    by_id = {span["span"]: span for span in spans}
    children: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    roots: list[Mapping[str, Any]] = []
    for span in spans:
        known = span["parent"] in by_id and span["parent"] != span["span"]
        (children[span["parent"]] if known else roots).append(span)
    start = min(span["start_ns"] for span in spans)
    length = max(1, max(span["start_ns"] + span["duration_ns"] for span in spans) - start)
    ordered = _walk(roots, children)
    seen = {span["span"] for span, _ in ordered}
    for span in spans:  # what only a cycle reaches
        if span["span"] not in seen:
            found = _walk([span], children, seen)
            ordered += found
    lines = (
        Line(
            span=span,
            depth=depth,
            left=(span["start_ns"] - start) / length,
            width=span["duration_ns"] / length,
            orphan=bool(span["parent"]) and span["parent"] not in by_id,
        )
        for span, depth in ordered
    )
    return Tree(tuple(lines), start, length)


def _walk(
    roots: Sequence[Mapping[str, Any]],
    children: Mapping[str, list[Mapping[str, Any]]],
    seen: set[str] | None = None,
) -> list[tuple[Mapping[str, Any], int]]:
    found: list[tuple[Mapping[str, Any], int]] = []
    known = set[str]() if seen is None else seen
    stack = [(root, 0) for root in sorted(roots, key=_order, reverse=True)]
    while stack:
        span, depth = stack.pop()
        if span["span"] in known:
            continue
        known.add(span["span"])
        found.append((span, depth))
        below = sorted(children.get(span["span"], ()), key=_order, reverse=True)
        stack += [(child, depth + 1) for child in below]
    return found


def _order(span: Mapping[str, Any]) -> tuple[int, str]:
    return span["start_ns"], span["span"]
