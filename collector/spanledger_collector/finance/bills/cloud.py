"""A cloud's FOCUS file in (CSV or Parquet, 1.0 to 1.2; AWS, Azure, GCP spell columns their own way): its AI lines out.

Names of columns are compared without underscores and case, so ``BilledCost``, ``billed_cost`` and ``billedcost`` are one.
What is no AI charge is left out and counted: a cloud's bill holds much more.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import tzinfo
from decimal import Decimal
from typing import Any

from .cells import count, currency_of, day_of, number, token_type_of, unit_size
from .lines import BillLine, LineKind, TokenType
from .tables import Table

_METER = ("SkuMeter", "x_SkuMeterName", "x_SkuDescription", "x_UsageType", "ChargeDescription", "SkuId")
_ACCOUNT = ("SubAccountId", "SubAccountName", "x_ResourceGroupName")
_AI = re.compile(
    r"token|bedrock|openai|vertex|gemini|anthropic|claude|mistral|llama|foundry|generative", re.I
)
_NOISE = re.compile(
    r"\b(cached?|cache|input|inp|output|outp|opt|tokens?|read|write|glbl|global|regional|regnl|data ?zone|dzone|dz|std|"
    r"standard|batch|priority|flex|per|\d+[km]|online|predictions?|count|text|for|in|on)\b",
    re.I,
)
_KINDS: dict[str, LineKind] = {"usage": "usage", "purchase": "service", "tax": "tax", "credit": "credit"}


def is_table(table: Table) -> bool:
    """Whether a table has the columns that every FOCUS file has."""
    return {"billedcost", "chargeperiodstart", "chargecategory"} <= {plain(name) for name in table.columns}


def plain(name: str) -> str:
    """A column's name as it is compared."""
    return name.replace("_", "").lower()


def lines(
    table: Table, zone: tzinfo, wanted: Mapping[str, str], left_out: Counter[str]
) -> Iterator[BillLine]:
    """AI charges, or with ``wanted`` (column: value) those rows; what is left out is counted by reason."""
    for at, given in table.rows:
        row = {plain(name): value for name, value in given.items()}
        if not _is_wanted(row, wanted):
            left_out["another service"] += 1
            continue
        yield _line(row, at, zone)


def _line(row: Mapping[str, Any], at: int, zone: tzinfo) -> BillLine:
    meter = _text(row, *_METER)
    words = " ".join(_text(row, name) for name in (*_METER, "ConsumedUnit", "PricingUnit"))
    token_type = token_type_of(meter) or token_type_of(words)
    tokens = _tokens(row, at)
    kind = _kind(row, tokens, token_type)
    return BillLine(
        line=at,
        day=day_of(row.get("chargeperiodstart"), at, "ChargePeriodStart", zone),
        account=_text(row, *_ACCOUNT),
        key=_text(row, "ResourceId"),
        model=model_of(_text(row, "x_SkuModelName") or meter) if kind == "usage" else "",
        tier=_tier(words),
        token_type=token_type,
        tokens=tokens if kind == "usage" else None,
        amount=number(row.get("billedcost"), at, "BilledCost"),
        currency=currency_of(row.get("billingcurrency")),
        kind=kind,
        description=_text(row, "ChargeDescription") or meter,
        span="/".join(_text(row, name) for name in ("ChargePeriodStart", "SkuPriceId", "ResourceId", "RegionId", "x_SkuOfferId")),
    )  # fmt: skip


def _is_wanted(row: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    if wanted:
        return all(_text(row, name).lower() == value.lower() for name, value in wanted.items())
    if _text(row, "ServiceCategory").lower() == "ai and machine learning":
        return True
    return bool(_AI.search(" ".join(_text(row, name) for name in ("ServiceName", *_METER))))


def _kind(row: Mapping[str, Any], tokens: Decimal | None, token_type: TokenType) -> LineKind:
    category = _text(row, "ChargeCategory").lower()
    if category == "usage":
        return "usage" if tokens is not None or token_type else "service"
    return _KINDS.get(category, "credit")


def _tokens(row: Mapping[str, Any], at: int) -> Decimal | None:
    for quantity, unit in (("ConsumedQuantity", "ConsumedUnit"), ("PricingQuantity", "PricingUnit")):
        amount = count(row.get(plain(quantity)), at, quantity)
        size = unit_size(_text(row, unit))
        if amount is not None and size is not None:
            return amount * size
    return None


def model_of(meter: str) -> str:
    """The words of a meter's name that name a model: direction, unit and scope taken away."""
    text = re.sub(r"^[A-Z]{3,4}\d?-", "", meter)  # AWS: the region's code
    text = re.sub(r"[-_]?(input|output|cache-read|cache-write)[-_]tokens?.*$", "", text, flags=re.I)
    left = _NOISE.sub(" ", re.sub(r"[_/,:()]+", " ", text))
    return re.sub(r"[\s-]*\s[\s-]*|\s+", "-", left.strip()).strip("-").lower()


def _tier(words: str) -> str:
    found = re.search(r"\b(batch|priority|flex)\b", words, re.I)
    return found[1].lower() if found else ""


def _text(row: Mapping[str, Any], *names: str) -> str:
    found = (row.get(plain(name)) for name in names)
    return next((str(value).strip() for value in found if value not in (None, "")), "")
