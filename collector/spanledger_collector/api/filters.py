"""Query parameters in; filters of the reads out."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Query, Request

from spanledger_collector.store.reads.calls import EXACT, CallFilter, Scored, Show, tokens
from spanledger_collector.store.reads.scores import ScoreFilter

from .problems import Refusal

Word = Annotated[str, Query(max_length=500)]
Nanoseconds = Annotated[int | None, Query(ge=0, lt=2**63)]
TraceHex = Annotated[str, Query(pattern="^([0-9a-fA-F]{32})?$")]
Number = Annotated[float | None, Query(allow_inf_nan=False)]

_MONEY = re.compile(r"\d{1,9}(\.\d{1,9})?")


async def known_parameters(request: Request) -> None:
    """Refuse a query parameter the path does not have: a mistyped filter must not answer with everything."""
    route = request.scope.get("route")
    path = getattr(route, "path_format", "")
    described = request.app.openapi()["paths"].get(path, {}).get(request.method.lower())
    if described is None:
        return
    known = {entry["name"] for entry in described.get("parameters", ()) if entry["in"] == "query"}
    unknown = sorted(set(request.query_params) - known)
    if unknown:
        raise Refusal(422, f"no parameter {unknown[0]!r}; there are: {', '.join(sorted(known))}")


def equal_to(names: list[str]) -> Callable[..., dict[str, str]]:
    """A dependency of one optional query parameter a name, so that OpenAPI lists them all: those given."""

    def equal(**given: str | None) -> dict[str, str]:
        return {name: value for name, value in given.items() if value is not None}

    annotation = Annotated[str | None, Query(max_length=500)]
    equal.__signature__ = inspect.Signature(
        [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
            for name in names
        ]
    )
    return equal


def call_filter(
    equal: Annotated[dict[str, str], Depends(equal_to(list(EXACT)))],
    show: Annotated[
        Show, Query(description="`calls`: model calls; `roots`: root spans; `all`: every span.")
    ] = "calls",
    tag: Annotated[list[str], Query(max_length=20, description="Each must be among the call's tags.")] = [],  # noqa: B006
    text: Annotated[str, Query(max_length=500, description="Words that must all be in the answer.")] = "",
    prompt_text: Annotated[
        str, Query(max_length=500, description="Words that must all be in the prompt.")
    ] = "",
    prompt_has: Annotated[
        str,
        Query(
            max_length=500,
            description="A text that must be in the prompt, parts of words too; reads every prompt of the window.",
        ),
    ] = "",
    min_duration_ns: Nanoseconds = None,
    max_duration_ns: Nanoseconds = None,
    min_cost: Annotated[str, Query(description="USD, a decimal string.")] = "",
    unpriced: Annotated[bool, Query(description="Only calls whose cost is unknown.")] = False,
    score: Annotated[str, Query(max_length=200, description="Name of a score the call must have.")] = "",
    min_score: Number = None,
    max_score: Number = None,
    trace_id: TraceHex = "",
) -> CallFilter:
    """Which calls."""
    for name, given in (("text", text), ("prompt_text", prompt_text)):
        if given and not tokens(given):
            raise Refusal(422, f"{name} has no word to search for")
    if min_cost and not _MONEY.fullmatch(min_cost):
        raise Refusal(422, "min_cost is a decimal number of USD, as 0.05")
    if (min_score is not None or max_score is not None) and not score:
        raise Refusal(422, "min_score and max_score need score, its name")
    return CallFilter(
        show=show,
        equal=equal,
        tags=tag,
        words=text,
        input_words=prompt_text,
        input_has=prompt_has,
        min_duration_ns=min_duration_ns,
        max_duration_ns=max_duration_ns,
        min_cost=min_cost,
        unpriced=unpriced,
        scored=_scored(score, min_score, max_score),
        trace=trace_id,
    )


def _scored(name: str, at_least: float | None, at_most: float | None) -> Scored | None:
    if not name:
        return None
    given = {"at_least": at_least, "at_most": at_most}
    return Scored(name, **{key: value for key, value in given.items() if value is not None})


def score_filter(
    name: Word = "",
    status: Word = "",
    source: Word = "",
    route: Word = "",
    evaluator: Word = "",
    author: Word = "",
    trace_id: TraceHex = "",
    min_value: Number = None,
    max_value: Number = None,
) -> ScoreFilter:
    """Which scores; an empty parameter keeps all."""
    return ScoreFilter(
        name=name,
        status=status,
        source=source,
        route=route,
        evaluator=evaluator,
        author=author,
        trace=trace_id,
        min_value=min_value,
        max_value=max_value,
    )


Calls = Annotated[CallFilter, Depends(call_filter)]
Scores = Annotated[ScoreFilter, Depends(score_filter)]
