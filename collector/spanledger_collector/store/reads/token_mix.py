"""What traffic is made of: calls and tokens by kind, parted where long contexts begin to cost more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from spanledger.serving.usage import Usage

from .asking import Client, Row, ask, every, statement
from .spend import OVER_SPANS
from .window import IN_SPANS, Window

KINDS = (
    "input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens", "output_tokens",
    "reasoning_tokens", "input_audio_tokens", "output_audio_tokens", "input_image_tokens", "output_image_tokens",
    "image_units", "web_searches",
)  # fmt: skip

_CONTEXT = (
    "toUInt64(ifNull(spans.input_tokens, 0)) + ifNull(spans.cache_read_tokens, 0) + ifNull(spans.cache_write_tokens, 0)"
    " + ifNull(spans.cache_write_1h_tokens, 0) + ifNull(spans.input_audio_tokens, 0) + ifNull(spans.input_image_tokens, 0)"
)


@dataclass(frozen=True, slots=True)
class Slice:
    """Calls whose input is longer than as many thresholds as ``above`` says: their number, tokens together, cost now."""

    above: int
    calls: int
    unpriced: int
    usage: Usage
    cost: Decimal


def token_mix(
    client: Client,
    project: str,
    window: Window,
    only: Mapping[str, str] | None = None,
    thresholds: Sequence[int] = (),
) -> list[Slice]:
    """The billable calls of a window that no cache answered, by context length. Raises KeyError for an unknown field."""
    bound: dict[str, object] = {"project": project, "thresholds": list(thresholds), **window.bound()}
    where = ["project = {project:String}", IN_SPANS, "billable", "cache NOT IN ('exact', 'semantic')"]
    for at, (name, value) in enumerate((only or {}).items()):
        where.append(f"{OVER_SPANS[name]} = {{only_{at}:String}}")
        bound[f"only_{at}"] = value
    sums = ", ".join(f"sum(toUInt64(ifNull(spans.{name}, 0))) AS {name}" for name in KINDS)
    sql = statement(
        f"SELECT arrayCount(edge -> {_CONTEXT} > edge, {{thresholds:Array(UInt64)}}) AS above, count() AS calls,",
        f"countIf(cost_total IS NULL) AS unpriced, sum(toDecimal128(ifNull(cost_total, 0), 12)) AS cost, {sums}",
        "FROM spans WHERE",
        every(where),
        "GROUP BY above ORDER BY above",
    )
    return [_slice(row) for row in ask(client, sql, bound)]


def _slice(row: Row) -> Slice:
    told: dict[str, Any] = {name: int(row[name]) for name in KINDS}
    return Slice(
        int(row["above"]), int(row["calls"]), int(row["unpriced"]), Usage(**told), Decimal(row["cost"])
    )
