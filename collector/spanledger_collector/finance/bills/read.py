"""Bytes of a vendor's file and what is known of it in; a ``Bill`` out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any, Literal, cast
from zoneinfo import ZoneInfo

from . import anthropic, cloud, generic, openai
from .cells import decimals
from .lines import Bill, BillError, BillLine
from .tables import Table, csv_table, inflated, is_parquet, json_pages, parquet_table, results, text_of

Format = Literal["auto", "openai", "anthropic", "focus", "generic"]
FORMATS: tuple[Format, ...] = ("auto", "openai", "anthropic", "focus", "generic")
_MORE = "the last page says has_more: there are further pages that this file does not hold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is known of a vendor's files; the fields of an ``invoice_source`` document.

    ``columns`` is the mapping of a generic CSV (our field: its column), ``only`` keeps rows of a FOCUS file,
    ``models`` and ``accounts`` give the vendor's names ours, ``rates`` USD for one unit of another currency.
    """

    name: str = ""
    provider: str = ""
    format: Format = "auto"
    time_zone: str = "UTC"
    currency: str = "USD"
    amounts_in: Literal["units", "cents"] = "units"
    decimal_comma: bool = False
    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    token_types: Mapping[str, str] = field(default_factory=dict[str, str])
    only: Mapping[str, str] = field(default_factory=dict[str, str])
    models: Mapping[str, str] = field(default_factory=dict[str, str])
    accounts: Mapping[str, str] = field(default_factory=dict[str, str])
    account_is: Literal["", "upstream", "key_id", "team"] = ""
    rates: Mapping[str, Decimal] = field(default_factory=dict[str, Decimal])
    tolerance: Decimal = Decimal(0)

    @property
    def providers(self) -> list[str]:
        """The vendor as our calls name it; empty for all of them."""
        return [name.strip() for name in self.provider.split(",") if name.strip()]

    @property
    def zone(self) -> ZoneInfo:
        """The vendor's time zone."""
        return ZoneInfo(self.time_zone)


_FIELDS = frozenset(entry.name for entry in fields(Source))


def source_of(name: str, document: Mapping[str, Any]) -> Source:
    """A source from an ``invoice_source`` document; its fields are the document's."""
    given: dict[str, Any] = {key: value for key, value in document.items() if key in _FIELDS}
    if "rates" in given:
        given["rates"] = {code: Decimal(str(rate)) for code, rate in given["rates"].items()}
    if "tolerance" in given:
        given["tolerance"] = Decimal(str(given["tolerance"]))
    given["name"] = name
    return Source(**given)


def read_bill(data: bytes, source: Source) -> Bill:
    """Read a file. The format is the source's, or found out from the file's fields.

    Raises:
        BillError: the file cannot be read, or holds nothing of the kind.
    """
    raw = inflated(data)
    left_out: Counter[str] = Counter()
    warnings: list[str] = []
    if is_parquet(raw):
        name, found = _from_table(parquet_table(raw), source, left_out)
    else:
        text = text_of(raw)
        if text.lstrip()[:1] in ("{", "["):
            name, found = _from_json(json_pages(text), warnings)
        else:
            name, found = _from_table(csv_table(text), source, left_out)
    lines = tuple(found)
    if not lines:
        raise BillError(f"no usage and no cost in this file ({name}; {sum(left_out.values())} rows left out)")
    amounts = [line.amount for line in lines if line.amount is not None]
    return Bill(
        format=name,
        lines=lines,
        decimals=decimals(amounts),
        warnings=tuple(warnings),
        left_out=dict(left_out),
    )


def _from_json(pages: list[dict[str, Any]], warnings: list[str]) -> tuple[str, Iterable[BillLine]]:
    if pages[-1].get("has_more"):
        warnings.append(_MORE)
    first = next((bucket for page in pages for bucket in page["data"]), None)
    named = set(cast(dict[str, Any], first)) if isinstance(first, dict) else set[str]()
    if "starting_at" in named:
        rows = results(pages, "starting_at")
        if _any_has(rows, "amount"):
            return "Anthropic cost report", anthropic.cost_lines(rows)
        return "Anthropic usage report", anthropic.usage_lines(rows)
    if "start_time" not in named:
        raise BillError("the answers are of no known API: OpenAI's usage and costs, Anthropic's reports")
    rows = results(pages, "start_time")
    if _any_has(rows, "amount"):
        return "OpenAI costs", openai.cost_lines(rows)
    return "OpenAI usage", openai.usage_lines(rows)


def _any_has(rows: list[tuple[int, dict[str, Any]]], name: str) -> bool:
    return any(name in row for _, row in rows)


def _from_table(table: Table, source: Source, left_out: Counter[str]) -> tuple[str, Iterable[BillLine]]:
    if source.format != "generic" and not source.columns:
        if openai.is_cost_table(table):
            return "OpenAI costs (CSV)", openai.cost_lines(table.rows)
        if openai.is_usage_table(table):
            return "OpenAI usage (CSV)", openai.usage_lines(table.rows)
        if anthropic.is_cost_table(table):
            return "Anthropic costs (CSV)", anthropic.csv_cost_lines(table)
        if anthropic.is_usage_table(table):
            return "Anthropic usage (CSV)", anthropic.csv_usage_lines(table)
        if cloud.is_table(table):
            return "FOCUS", cloud.lines(table, source.zone, source.only, left_out)
    scale = Decimal("0.01") if source.amounts_in == "cents" else Decimal(1)
    return "CSV by mapping", generic.lines(
        table,
        source.columns,
        source.zone,
        currency=source.currency,
        scale=scale,
        comma=source.decimal_comma,
        words=source.token_types,
    )
