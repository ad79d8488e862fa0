"""Names of models on both sides in; which of them are one model, out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_PREFIX = re.compile(
    r"^((us|eu|apac|global)\.)?(models/|publishers/[^/]+/models/|openai/|anthropic[./]|google/|azure/|mistral/)"
)
_SUFFIX = re.compile(
    r"([-@](\d{4}-\d{2}-\d{2}|\d{8}|\d{4}|\d{2}-\d{2})|-v\d+(:\d+)?|-latest|-preview|:\w+|-00\d)$"
)

Series = Mapping[tuple[object, ...], int]
"""Tokens of one model by day and token type."""


def plain(model: str) -> str:
    """A model's name without case, spaces and dots: ``Claude Haiku 4.5`` and ``claude-haiku-4-5`` are one."""
    return re.sub(r"[\s._]+", "-", model.strip().lower()).replace("(", "").replace(")", "")


def family(model: str) -> str:
    """A model's name without who sells it and which dated release it is."""
    name = _PREFIX.sub("", model.strip().lower())
    name = plain(name)
    while (shorter := _SUFFIX.sub("", name)) != name:
        name = shorter
    return name


def pair(
    ours: Mapping[str, Series], theirs: Mapping[str, Series], given: Mapping[str, str]
) -> dict[str, tuple[str, bool]]:
    """For each model of theirs: our name for it, and whether that is another name that nobody declared.

    Declared names come first, then equal ones, then one release and its alias, then equal figures. Theirs without a
    partner keeps its name.
    """
    found: dict[str, tuple[str, bool]] = {}
    for model in theirs:
        if model in given:
            found[model] = (given[model], False)
    by_plain = {plain(model): model for model in ours}
    for model in theirs:
        if model not in found and plain(model) in by_plain:
            found[model] = (by_plain[plain(model)], False)
    _by_family(ours, theirs, found)
    _by_figures(ours, theirs, found)
    return {model: found.get(model, (model, False)) for model in theirs}


def _left(ours: Mapping[str, Series], found: Mapping[str, tuple[str, bool]]) -> list[str]:
    taken = {name for name, _ in found.values()}
    return [model for model in ours if model not in taken]


def _by_family(
    ours: Mapping[str, Series], theirs: Mapping[str, Series], found: dict[str, tuple[str, bool]]
) -> None:
    for model in theirs:
        if model in found:
            continue
        candidates = [mine for mine in _left(ours, found) if family(mine) == family(model)]
        if candidates:
            best = max(candidates, key=lambda mine: likeness(ours[mine], theirs[model]))
            found[model] = (best, True)


def _by_figures(
    ours: Mapping[str, Series], theirs: Mapping[str, Series], found: dict[str, tuple[str, bool]]
) -> None:
    for model in theirs:
        if model in found or len(theirs[model]) < 3:
            continue
        for mine in _left(ours, found):
            if likeness(ours[mine], theirs[model]) >= 0.8:
                found[model] = (mine, True)
                break


def likeness(mine: Series, other: Series) -> float:
    """The share of entries, of those either side has, that are equal."""
    keys: Sequence[tuple[object, ...]] = [*{*mine, *other}]
    return sum(mine.get(key) == other.get(key) for key in keys) / len(keys) if keys else 0.0
