"""OpenAI's files in: answers of the organization's usage and costs API, and the dashboard's exports as CSV.

Formats: ``GET /v1/organization/usage/completions`` and ``/costs`` of OpenAI's API reference; the exports hold the
same fields as columns. Days are UTC. ``input_tokens`` includes cached tokens; amounts are dollars. A cost's
``line_item`` is text such as ``gpt-4o-2024-08-06, cached input`` or ``priority | gpt-5, output, long context``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC
from decimal import Decimal
from typing import Any, cast

from .cells import count, currency_of, day_of, number, tier_of, token_type_of
from .lines import BillError, BillLine, LineKind, TokenType
from .tables import Table

_MODALITIES = (" audio", " text", " image")
_NONE = Decimal(0)


def cost_lines(rows: Iterable[tuple[int, Mapping[str, Any]]]) -> Iterator[BillLine]:
    """Lines of a costs report. A bucket of a day without costs gives none."""
    for at, row in rows:
        amount = row.get("amount")
        given = cast(Mapping[str, Any], amount) if isinstance(amount, Mapping) else dict[str, Any]()
        value = number(given.get("value", row.get("amount_value")), at, "amount")
        if value is None:
            continue
        item = str(row.get("line_item") or "")
        tier, model, token_type = parse_line_item(item)
        yield BillLine(
            line=at,
            day=day_of(row.get("start_time") or row.get("start_time_iso"), at, "start_time", UTC),
            account=_word(row, "project_id", "project_name"),
            key=_word(row, "api_key_id"),
            model=model,
            tier=tier,
            token_type=token_type,
            tokens=count(row.get("quantity"), at, "quantity") if token_type else None,
            amount=value,
            currency=currency_of(given.get("currency", row.get("amount_currency"))),
            kind=_kind(value, item, model),
            description=item,
            span=str(row.get("start_time") or row.get("start_time_iso")),
        )


def _kind(value: Decimal, item: str, model: str) -> LineKind:
    if value < 0 or any(word in item.lower() for word in ("credit", "refund", "grant")):
        return "credit"
    return "usage" if model or not item else "service"


def parse_line_item(item: str) -> tuple[str, str, TokenType]:
    """Tier, model and what is counted; a model is only believed where a direction of tokens follows it."""
    tier, _, rest = item.rpartition("|")
    parts = [part.strip() for part in rest.split(",")]
    token_type = token_type_of(parts[1]) if len(parts) > 1 else ""
    if not token_type:
        return "", "", ""
    model = parts[0]
    for modality in _MODALITIES:
        if model.endswith(modality):
            model = model.removesuffix(modality)
            token_type = "audio" if modality == " audio" else token_type
    batch = re.search(r"\bbatch\b", rest, re.I)
    return tier_of(tier) or ("batch" if batch else ""), model, token_type


def usage_lines(rows: Iterable[tuple[int, Mapping[str, Any]]]) -> Iterator[BillLine]:
    """Lines of a usage report: one a token type that was used."""
    for at, row in rows:
        if row.get("input_tokens") in (None, "") and row.get("output_tokens") in (None, ""):
            continue
        batch = str(row.get("batch") or "").strip().lower() in ("true", "1")
        for token_type, tokens in _buckets(row, at):
            yield BillLine(
                line=at,
                day=day_of(row.get("start_time") or row.get("start_time_iso"), at, "start_time", UTC),
                account=_word(row, "project_id"),
                key=_word(row, "api_key_id"),
                model=_word(row, "model"),
                tier="batch" if batch else tier_of(row.get("service_tier")),
                token_type=token_type,
                tokens=tokens,
                span=str(row.get("start_time") or row.get("start_time_iso")),
            )


def _buckets(row: Mapping[str, Any], at: int) -> Iterator[tuple[TokenType, Decimal]]:
    def read(name: str) -> Decimal:
        return count(row.get(name), at, name) or _NONE

    cached, written = read("input_cached_tokens"), read("input_cache_write_tokens")
    heard = read("input_audio_tokens") - read("input_cached_audio_tokens")
    spoken = read("output_audio_tokens")
    # Newer reports count audio within input_tokens and say input_text_tokens beside; older ones counted text only.
    within = row.get("input_text_tokens") not in (None, "")
    told = count(row.get("input_uncached_tokens"), at, "input_uncached_tokens")
    fresh = (told - written if told is not None else read("input_tokens") - cached - written) - (
        heard if within else 0
    )
    said = read("output_tokens") - (spoken if within else 0)
    if fresh < 0 or said < 0:
        raise BillError("more cached or audio tokens than tokens in all", at)
    found: list[tuple[TokenType, Decimal]] = [
        ("input", fresh), ("cache_read", cached), ("cache_write", written), ("output", said), ("audio", heard + spoken),
    ]  # fmt: skip
    yield from (entry for entry in found if entry[1])


def is_cost_table(table: Table) -> bool:
    """Whether a CSV file is the dashboard's export of costs."""
    return {"start_time", "amount_value"} <= set(table.columns)


def is_usage_table(table: Table) -> bool:
    """Whether a CSV file is the dashboard's export of completions usage."""
    columns = set(table.columns)
    return {"start_time", "input_tokens", "output_tokens"} <= columns or columns == {
        "start_time", "end_time", "start_time_iso", "end_time_iso",
    }  # fmt: skip


def _word(row: Mapping[str, Any], *names: str) -> str:
    return next((str(row[name]).strip() for name in names if row.get(name)), "")
