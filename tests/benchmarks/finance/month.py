"""A month of calls and the bills that four vendors would write for it, with defects planted where a seed says."""

from __future__ import annotations

import csv
import io
import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from spanledger_collector.finance.bills import Source, TokenType, read_bill
from spanledger_collector.finance.reconcile import Finding, HourUsage, OurUsage, Report, reconcile

FIRST = date(2026, 5, 1)
DAYS = 31
NANO = Decimal("0.000000001")
EUR = Decimal("1.0837")
DEFECTS = (
    "price", "cached_as_uncached", "untracked_key", "time_zone", "priority_tier", "duplicate", "missing_day",
    "batch_discount", "rounding", "currency", "model_alias", "credit",
)  # fmt: skip

TYPES: tuple[TokenType, ...] = ("input", "cache_read", "cache_write", "output")

# USD per million tokens: input, cache read, cache write, output.
RATES: dict[str, tuple[str, str, str, str]] = {
    "gpt-5": ("1.25", "0.125", "0", "10"),
    "gpt-5-mini": ("0.25", "0.025", "0", "2"),
    "gpt-4o-2024-08-06": ("2.5", "1.25", "0", "10"),
    "o3": ("2", "0.5", "0", "8"),
    "claude-sonnet-4-5": ("3", "0.3", "3.75", "15"),
    "claude-haiku-4-5": ("1", "0.1", "1.25", "5"),
    "claude-opus-5": ("5", "0.5", "6.25", "25"),
    "gpt-4.1": ("2", "0.5", "0", "8"),
    "gpt-4.1-mini": ("0.4", "0.1", "0", "1.6"),
    "mistral-large-2": ("2", "0", "0", "6"),
    "mistral-small-3": ("0.1", "0", "0", "0.3"),
}
VENDORS: dict[str, tuple[str, ...]] = {
    "openai": ("gpt-5", "gpt-5-mini", "gpt-4o-2024-08-06", "o3"),
    "anthropic": ("claude-sonnet-4-5", "claude-haiku-4-5", "claude-opus-5"),
    "azure": ("gpt-4.1", "gpt-4.1-mini"),
    "reseller": ("mistral-large-2", "mistral-small-3"),
}


@dataclass(frozen=True)
class Use:
    """Tokens of one type in one half hour, with what they cost."""

    start: datetime
    vendor: str
    account: str
    model: str
    tier: str
    token_type: TokenType
    tokens: int
    cost: Decimal


@dataclass(frozen=True)
class Planted:
    """One defect: where it is."""

    vendor: str
    cause: str
    model: str = ""
    days: tuple[date, ...] = ()


@dataclass
class Month:
    """Our side, the vendors' files, and what is wrong with them."""

    uses: list[Use]
    files: dict[str, list[bytes]] = field(default_factory=dict[str, list[bytes]])
    planted: list[Planted] = field(default_factory=list[Planted])

    def ours(self, vendor: str) -> Mine:
        """Our ledger as reconciliation asks for it."""
        return Mine([use for use in self.uses if use.vendor == vendor])


@dataclass
class Mine:
    """Our side of one vendor's calls."""

    uses: Sequence[Use]

    def days(self, zone: tzinfo) -> list[OurUsage]:
        """Sums by day of a zone."""
        sums: dict[tuple[Any, ...], list[Any]] = defaultdict(lambda: [0, Decimal(0), 0])
        for use in self.uses:
            entry = sums[use.start.astimezone(zone).date(), use.model, use.token_type, use.account, use.tier]
            entry[0] += use.tokens
            entry[1] += use.cost
            entry[2] += 1
        return [
            OurUsage(
                day=day, model=model, token_type=kind, account=account, tier=tier, tokens=tokens, cost=cost, calls=calls
            )
            for (day, model, kind, account, tier), (tokens, cost, calls) in sums.items()
        ]  # fmt: skip

    def hours(self) -> list[HourUsage]:
        """Sums by half hour."""
        sums: dict[tuple[datetime, str], list[Any]] = defaultdict(lambda: [0, Decimal(0)])
        for use in self.uses:
            sums[use.start, use.model][0] += use.tokens
            sums[use.start, use.model][1] += use.cost
        return [HourUsage(start, model, tokens, cost) for (start, model), (tokens, cost) in sums.items()]


def source(vendor: str) -> Source:
    """What is known of a vendor's files."""
    columns = {
        "day": "Datum", "model": "Modell", "token_type": "Art", "tokens": "Menge", "amount": "Betrag",
        "currency": "Waehrung",
    }  # fmt: skip
    return Source(name=vendor, provider=vendor, columns=columns if vendor == "reseller" else {})


def generate(seed: int, defects: Iterable[str] = DEFECTS) -> Month:
    """A month with these defects, each at a place of its own."""
    chance = random.Random(seed)
    urgent = chance.choice(VENDORS["openai"])
    month = Month(_uses(chance, urgent))
    wanted = set(defects)
    plan = _plan(chance, wanted, urgent)
    month.planted = plan
    by_cause = {planted.cause: planted for planted in plan}
    billed = _billed(month.uses, by_cause)
    month.files["openai"] = [_openai(billed["openai"], by_cause, chance)]
    month.files["anthropic"] = _anthropic(billed["anthropic"])
    month.files["azure"] = [_focus(billed["azure"], "time_zone" in by_cause)]
    month.files["reseller"] = [_reseller(billed["reseller"], "currency" in by_cause, "rounding" in by_cause)]
    return month


def _cost(model: str, kind: TokenType, tokens: int) -> Decimal:
    rate = Decimal(RATES[model][TYPES.index(kind)])
    return (rate * tokens / 1_000_000).quantize(NANO, ROUND_HALF_EVEN)


def _uses(chance: random.Random, urgent: str) -> list[Use]:
    """Half hours of a working rhythm, a day more at both ends; of the model ``urgent`` some calls are of priority."""
    found: list[Use] = []
    start = datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=UTC) - timedelta(days=1)
    for vendor, models in VENDORS.items():
        for model in models:
            size = chance.uniform(0.3, 2)
            for half in range((DAYS + 2) * 48):
                at = start + timedelta(minutes=30 * half)
                rhythm = 1 + 3 * (8 <= at.hour < 19) * (at.weekday() < 5)
                for account in ("alpha", "beta"):
                    tier = "priority" if model == urgent and account == "beta" else "standard"
                    found += _half_hour(chance, at, vendor, account, model, tier, size * rhythm)
    return found


def _half_hour(
    chance: random.Random, at: datetime, vendor: str, account: str, model: str, tier: str, size: float
) -> list[Use]:
    means = {"input": 40_000, "cache_read": 25_000, "cache_write": 6_000, "output": 9_000}
    found: list[Use] = []
    for kind in TYPES:
        if RATES[model][TYPES.index(kind)] == "0":
            continue
        tokens = int(chance.gammavariate(2, means[kind] / 2) * size)
        if tokens:
            found.append(Use(at, vendor, account, model, tier, kind, tokens, _cost(model, kind, tokens)))
    return found


def _plan(chance: random.Random, wanted: set[str], urgent: str) -> list[Planted]:
    days = [FIRST + timedelta(days=number) for number in range(DAYS)]
    inner = days[4:-4]
    missing, doubled = chance.sample(inner, 2)
    free = [day for day in inner if day not in (missing, doubled)]

    def run(length: int) -> tuple[date, ...]:
        start = chance.randrange(len(free) - length)
        return tuple(free[start : start + length])

    cached, half = chance.sample(VENDORS["anthropic"], 2)
    vendor = chance.choice(["openai", "azure"])
    priced = chance.choice(VENDORS[vendor])
    places = {
        "price": Planted(vendor, "price", priced, run(chance.randrange(1, 10))),
        "cached_as_uncached": Planted("anthropic", "cached_as_uncached", cached, run(chance.randrange(1, 8))),
        "untracked_key": Planted("openai", "untracked_key", chance.choice(VENDORS["openai"])),
        "time_zone": Planted("azure", "time_zone"),
        "priority_tier": Planted("openai", "priority_tier", urgent),
        "duplicate": Planted("openai", "duplicate", "", (doubled,)),
        "missing_day": Planted("openai", "missing_day", "", (missing,)),
        "batch_discount": Planted("anthropic", "batch_discount", half, run(chance.randrange(1, 8))),
        "rounding": Planted("reseller", "rounding"),
        "currency": Planted("reseller", "currency"),
        "model_alias": Planted("openai", "model_alias", "gpt-4o-2024-08-06"),
        "credit": Planted("openai", "credit"),
    }
    return [places[cause] for cause in DEFECTS if cause in wanted]


def _billed(uses: Sequence[Use], plan: dict[str, Planted]) -> dict[str, list[Use]]:
    """What each vendor counts, in the same shape."""
    found: dict[str, list[Use]] = defaultdict(list)
    changes: list[Callable[[Use], Use | None]] = []
    if "priority_tier" in plan:
        changes.append(lambda use: None if use.tier == "priority" else use)
    if "missing_day" in plan:
        gone = plan["missing_day"].days
        changes.append(lambda use: None if use.vendor == "openai" and use.start.date() in gone else use)
    if planted := plan.get("price"):
        changes.append(_factor(planted, Decimal("1.12")))
    if planted := plan.get("batch_discount"):
        changes.append(_factor(planted, Decimal("0.5")))
    if planted := plan.get("cached_as_uncached"):
        changes.append(_uncached(planted))
    for use in uses:
        billed: Use | None = use
        for change in changes:
            billed = change(billed) if billed else None
        if billed:
            found[use.vendor].append(billed)
    return found


def _is_there(use: Use, planted: Planted) -> bool:
    return use.vendor == planted.vendor and use.model == planted.model and use.start.date() in planted.days


def _factor(planted: Planted, factor: Decimal) -> Callable[[Use], Use]:
    return lambda use: replace(use, cost=use.cost * factor) if _is_there(use, planted) else use


def _uncached(planted: Planted) -> Callable[[Use], Use]:
    def change(use: Use) -> Use:
        if not _is_there(use, planted) or use.token_type != "cache_read":
            return use
        return replace(use, token_type="input", cost=_cost(use.model, "input", use.tokens))

    return change


def _sums(uses: Iterable[Use], zone: tzinfo = UTC) -> dict[tuple[date, str, str, str, TokenType], list[Any]]:
    sums: dict[tuple[date, str, str, str, TokenType], list[Any]] = defaultdict(lambda: [0, Decimal(0)])
    for use in uses:
        day = use.start.astimezone(zone).date()
        if 0 <= (day - FIRST).days < DAYS:
            entry = sums[day, use.account, use.model, use.tier, use.token_type]
            entry[0] += use.tokens
            entry[1] += use.cost
    return dict(sorted(sums.items()))


def _openai(uses: Sequence[Use], plan: dict[str, Planted], chance: random.Random) -> bytes:
    words = {
        "input": "input",
        "cache_read": "cached input",
        "cache_write": "cache write input",
        "output": "output",
    }
    buckets: dict[date, list[dict[str, Any]]] = defaultdict(list)
    for (day, account, model, tier, kind), (tokens, cost) in _sums(uses).items():
        name = "gpt-4o" if "model_alias" in plan and model == "gpt-4o-2024-08-06" else model
        prefix = "priority | " if tier == "priority" else ""
        buckets[day].append(_openai_cost(f"{prefix}{name}, {words[kind]}", f"proj_{account}", tokens, cost))
        lost = plan.get("untracked_key")
        if lost and account == "alpha" and model == lost.model:
            extra = chance.randrange(20_000, 90_000)
            buckets[day].append(
                _openai_cost(f"{name}, {words[kind]}", "proj_unknown", extra, _cost(model, kind, extra))
            )
    if "duplicate" in plan:
        day = plan["duplicate"].days[0]
        buckets[day] += [dict(result) for result in buckets[day]]
    if "credit" in plan:
        buckets[FIRST + timedelta(days=14)].append(
            _openai_cost("Goodwill credit", "proj_alpha", None, Decimal("-25"))
        )
    pages = [
        {
            "object": "bucket",
            "start_time": int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()),
            "end_time": int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) + 86400,
            "results": results,
        }
        for day, results in sorted(buckets.items())
    ]
    return json.dumps({"object": "page", "data": pages, "has_more": False, "next_page": None}).encode()


def wrong(month: Month) -> list[str]:
    """What reconciliation did not find, found beside what was planted, or left without a cause."""
    complaints: list[str] = []
    for vendor, files in month.files.items():
        bills = [read_bill(data, source(vendor)) for data in files]
        lines = [line for bill in bills for line in bill.lines]
        told = reconcile(
            lines,
            month.ours(vendor),
            source(vendor),
            decimals=max(bill.decimals for bill in bills),
            since=FIRST,
            until=FIRST + timedelta(days=DAYS - 1),
        )
        planted = [entry for entry in month.planted if entry.vendor == vendor]
        complaints += [f"{vendor}: {text}" for text in _complaints(told, planted)]
    return complaints


def _complaints(told: Report, planted: Sequence[Planted]) -> Iterable[str]:
    left = list(told.findings)
    for entry in planted:
        match = [finding for finding in left if _is_named(finding, entry)]
        if len(match) != 1:
            yield f"{entry.cause} of {entry.model or 'all'} found {len(match)} times"
        left = [finding for finding in left if finding not in match]
    yield from (f"nobody planted {finding.cause} of {finding.subject}" for finding in left)
    if told.totals.without_cause:
        yield f"{told.totals.without_cause} USD without a cause"


def _is_named(finding: Finding, planted: Planted) -> bool:
    same = finding.cause == planted.cause
    model = not planted.model or finding.models == (planted.model,)
    # A price cut by the days of another zone touches the days beside it.
    slack = timedelta(days=1) if planted.vendor == "azure" else timedelta()
    days = not planted.days or (
        abs(finding.first - planted.days[0]) <= slack and abs(finding.last - planted.days[-1]) <= slack
    )
    return same and model and days


def _openai_cost(item: str, project: str, tokens: int | None, cost: Decimal) -> dict[str, Any]:
    return {
        "object": "organization.costs.result",
        "amount": {"value": float(cost), "currency": "usd"},
        "line_item": item,
        "project_id": project,
        "quantity": tokens,
    }


def _anthropic(uses: Sequence[Use]) -> list[bytes]:
    """The cost report in cents and the usage report with tokens."""
    kinds = {
        "input": "uncached_input_tokens", "cache_read": "cache_read_input_tokens",
        "cache_write": "cache_creation.ephemeral_5m_input_tokens", "output": "output_tokens",
    }  # fmt: skip
    costs: dict[date, list[Any]] = defaultdict(list)
    usage: dict[date, dict[tuple[str, str], dict[str, Any]]] = defaultdict(dict)
    for (day, account, model, _, kind), (tokens, cost) in _sums(uses).items():
        costs[day].append(
            {
                "amount": format(cost * 100, "f"), "currency": "USD", "cost_type": "tokens", "model": model,
                "token_type": kinds[kind], "service_tier": "standard", "workspace_id": f"wrkspc_{account}",
                "context_window": "0-200k", "description": f"{model} {kind}",
            }
        )  # fmt: skip
        row = usage[day].setdefault(
            (account, model),
            {"model": model, "workspace_id": f"wrkspc_{account}", "service_tier": "standard"},
        )
        if kind == "cache_write":
            row["cache_creation"] = {"ephemeral_5m_input_tokens": tokens, "ephemeral_1h_input_tokens": 0}
        else:
            row[kinds[kind]] = tokens
    return [
        _anthropic_pages({day: list(rows.values()) for day, rows in usage.items()}),
        _anthropic_pages(costs),
    ]


def _anthropic_pages(days: dict[date, list[Any]]) -> bytes:
    data = [
        {
            "starting_at": f"{day.isoformat()}T00:00:00Z",
            "ending_at": f"{(day + timedelta(days=1)).isoformat()}T00:00:00Z",
            "results": results,
        }
        for day, results in sorted(days.items())
    ]
    return json.dumps({"data": data, "has_more": False, "next_page": None}).encode()


def _focus(uses: Sequence[Use], shifted: bool) -> bytes:
    zone: tzinfo = ZoneInfo("America/Los_Angeles") if shifted else UTC
    names = {"input": "Inp", "cache_read": "cached Inp", "cache_write": "cache write Inp", "output": "Outp"}
    rows = [
        {
            "BilledCost": format(cost, "f"), "BillingCurrency": "USD", "ChargeCategory": "Usage",
            "ChargePeriodStart": day.isoformat(), "ServiceCategory": "AI and Machine Learning",
            "ServiceName": "Azure OpenAI", "SubAccountId": account, "SkuMeter": f"{model} {names[kind]} glbl Tokens",
            "ConsumedQuantity": format(Decimal(tokens) / 1000, "f"), "ConsumedUnit": "1K Tokens",
        }
        for (day, account, model, _, kind), (tokens, cost) in _sums(uses, zone).items()
    ]  # fmt: skip
    return _csv(rows)


def _reseller(uses: Sequence[Use], foreign: bool, rounded: bool) -> bytes:
    rate = EUR if foreign else Decimal(1)
    place = Decimal("0.01") if rounded else Decimal("0.000000000001")
    words = {"input": "Eingabe input", "output": "Ausgabe output"}
    rows = [
        {
            "Datum": day.isoformat(), "Modell": model, "Art": words[kind], "Menge": tokens,
            "Betrag": format((cost / rate).quantize(place), "f"), "Waehrung": "EUR" if foreign else "USD",
        }
        for (day, model, kind), (tokens, cost) in _merged(uses).items()
    ]  # fmt: skip
    return _csv(rows)


def _merged(uses: Sequence[Use]) -> dict[tuple[date, str, TokenType], list[Any]]:
    sums: dict[tuple[date, str, TokenType], list[Any]] = defaultdict(lambda: [0, Decimal(0)])
    for (day, _, model, _, kind), (tokens, cost) in _sums(uses).items():
        sums[day, model, kind][0] += tokens
        sums[day, model, kind][1] += cost
    return sums


def _csv(rows: Sequence[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
