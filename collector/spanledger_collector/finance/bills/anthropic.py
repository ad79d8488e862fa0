"""Anthropic's files in: answers of the usage and cost report APIs, and the console's exports as CSV.

Formats: ``GET /v1/organizations/usage_report/messages`` and ``/cost_report`` of the Admin API's reference. Days are UTC.
The API's ``amount`` is a decimal string in cents; the console's CSV is in dollars. Costs of the priority tier stand in
neither cost report, and code execution in no usage report.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC
from decimal import Decimal
from typing import Any, cast

from .cells import count, currency_of, day_of, number, tier_of, token_type_of
from .lines import BillError, BillLine, LineKind, TokenType
from .tables import Table

_CENT = Decimal("0.01")
_SERVICES = {
    "web_search": "web search", "code_execution": "code execution", "session_usage": "agent sessions",
}  # fmt: skip
_CSV_USAGE: dict[TokenType, tuple[str, ...]] = {
    "input": ("usage_input_tokens_no_cache",),
    "cache_write": (
        "usage_input_tokens_cache_write_5m",
        "usage_input_tokens_cache_write_1h",
        "usage_input_tokens_cache_write",
    ),
    "cache_read": ("usage_input_tokens_cache_read",),
    "output": ("usage_output_tokens",),
}


def cost_lines(rows: Iterable[tuple[int, Mapping[str, Any]]]) -> Iterator[BillLine]:
    """Lines of the API's cost report, cents made dollars."""
    for at, row in rows:
        cents = number(row.get("amount"), at, "amount")
        if cents is None:
            raise BillError("a result has no amount", at)
        token_type = token_type_of(str(row.get("token_type") or ""))
        yield _cost(row, at, cents * _CENT, token_type, str(row.get("cost_type") or ""))


def _cost(
    row: Mapping[str, Any], at: int, amount: Decimal, token_type: TokenType, cost_type: str
) -> BillLine:
    model = _word(row, "model")
    description = _word(row, "description") or " ".join(
        part for part in (model, _word(row, "token_type") or cost_type) if part
    )
    return BillLine(
        line=at,
        day=day_of(row.get("starting_at", row.get("usage_date_utc")), at, "the day", UTC),
        account=_word(row, "workspace_id", "workspace"),
        key=_word(row, "api_key_id", "api_key"),
        model=model,
        tier=tier_of(row.get("service_tier") or row.get("usage_type")),
        token_type=token_type,
        amount=amount,
        currency=currency_of(row.get("currency")),
        kind=_kind(amount, cost_type, description),
        description=description,
        span=str(row.get("starting_at", row.get("usage_date_utc")))
        + "/".join(_word(row, name) for name in ("context_window", "inference_geo", "speed", "token_type")),
    )


def _kind(amount: Decimal, cost_type: str, description: str) -> LineKind:
    text = description.lower()
    if amount < 0 or "credit" in text or "refund" in text:
        return "credit"
    return "service" if cost_type in _SERVICES else "usage"


def usage_lines(rows: Iterable[tuple[int, Mapping[str, Any]]]) -> Iterator[BillLine]:
    """Lines of the API's usage report: one a token type that was used."""
    for at, row in rows:
        made = row.get("cache_creation")
        created = cast(Mapping[str, Any], made) if isinstance(made, Mapping) else dict[str, Any]()
        found: dict[TokenType, Decimal | None] = {
            "input": count(row.get("uncached_input_tokens"), at, "uncached_input_tokens"),
            "cache_read": count(row.get("cache_read_input_tokens"), at, "cache_read_input_tokens"),
            "cache_write": sum(
                (count(value, at, name) or Decimal(0) for name, value in created.items()), Decimal(0)
            ),
            "output": count(row.get("output_tokens"), at, "output_tokens"),
        }
        yield from _usage(row, at, found, row.get("service_tier"))


def _usage(
    row: Mapping[str, Any], at: int, found: Mapping[TokenType, Decimal | None], tier: object
) -> Iterator[BillLine]:
    for token_type, tokens in found.items():
        if tokens:
            yield BillLine(
                line=at,
                day=day_of(row.get("starting_at", row.get("usage_date_utc")), at, "the day", UTC),
                account=_word(row, "workspace_id", "workspace"),
                key=_word(row, "api_key_id", "api_key"),
                model=_word(row, "model", "model_version"),
                tier=tier_of(tier),
                token_type=token_type,
                tokens=tokens,
                span=str(row.get("starting_at", row.get("usage_date_utc")))
                + "/".join(
                    _word(row, name) for name in ("context_window", "inference_geo", "speed", "account_id")
                ),
            )


def csv_cost_lines(table: Table) -> Iterator[BillLine]:
    """Lines of the console's export of costs, in dollars."""
    for at, row in table.rows:
        amount = number(row.get("cost_usd"), at, "cost_usd")
        if amount is not None:
            token_type = token_type_of(_word(row, "token_type"))
            yield _cost(row, at, amount, token_type, _word(row, "cost_type"))


def csv_usage_lines(table: Table) -> Iterator[BillLine]:
    """Lines of the console's export of usage."""
    for at, row in table.rows:
        found: dict[TokenType, Decimal | None] = {
            kind: sum((count(row.get(name), at, name) or Decimal(0) for name in names), Decimal(0))
            for kind, names in _CSV_USAGE.items()
        }
        yield from _usage(row, at, found, row.get("usage_type"))


def is_cost_table(table: Table) -> bool:
    """Whether a CSV file is the console's export of costs."""
    return {"usage_date_utc", "cost_usd"} <= set(table.columns)


def is_usage_table(table: Table) -> bool:
    """Whether a CSV file is the console's export of usage."""
    return {"usage_date_utc", "usage_output_tokens"} <= set(table.columns)


def _word(row: Mapping[str, Any], *names: str) -> str:
    found = next((str(row[name]).strip() for name in names if row.get(name)), "")
    return "" if found == "--" else found
