"""What pure finance promises: planted defects found, intervals that hold, a FOCUS file its own judge accepts."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

from spanledger_collector.finance.focus import Meter, Period, as_csv, charges_of, row_of
from spanledger_collector.finance.focus.rows import Row
from spanledger_collector.finance.forecast import forecast
from tests.benchmarks.report import Figure, at_most

from .habits import HABITS, case
from .month import DEFECTS, RATES, TYPES, generate, wrong

MONTHS = int(os.environ.get("SPANLEDGER_BENCH_MONTHS", "20"))
"""Months with defects, and as many without."""
FORECASTS = int(os.environ.get("SPANLEDGER_BENCH_FORECASTS", "250"))
"""Forecasts of each habit."""


def figures() -> list[Figure]:
    """All of them."""
    return [*reconciliation(), *coverage(), *focus()]


def reconciliation() -> list[Figure]:
    """Twelve defects in each month: found and named, and nothing else; then as many months without any."""
    complaints = [text for seed in range(MONTHS) for text in wrong(generate(1_000 + seed))]
    clean = [text for seed in range(MONTHS) for text in wrong(generate(2_000 + seed, ()))]
    missed = sum(" found " in text for text in complaints)
    false = sum("nobody planted" in text for text in complaints + clean)
    open_ = sum("without a cause" in text for text in complaints + clean)
    for text in complaints + clean:
        print(f"  {text}", file=sys.stderr)
    planted = MONTHS * len(DEFECTS)
    return [
        Figure(
            f"reconciliation: defects found and named in {MONTHS} months",
            f"{planted - missed} of {planted}",
            f"{planted}",
            missed == 0,
        ),
        at_most(f"reconciliation: false findings in {2 * MONTHS} months", false, 0, digits=0),
        at_most("reconciliation: months with differences left without a cause", open_, 0, digits=0),
    ]


def coverage() -> list[Figure]:
    """How often the truth lies within the 90 % interval, for each habit and in all."""
    found: list[Figure] = []
    held_in_all = 0
    for name, habit in HABITS.items():
        held = 0
        for seed in range(FORECASTS):
            one = case(habit, 5_000 + seed)
            told = forecast(one.spent, one.history, one.now, one.end)
            held += (
                told.low is not None and told.high is not None and told.low <= float(one.truth) <= told.high
            )
        held_in_all += held
        found.append(
            Figure(f"forecast: truth within the 90 % interval, {name} months", f"{held / FORECASTS:.1%}")
        )
    asked = FORECASTS * len(HABITS)
    share = held_in_all / asked
    whole = Figure(
        f"forecast: truth within the 90 % interval, all {asked:,} months",
        f"{share:.1%}",
        "85 % to 95 %",
        0.85 <= share <= 0.95,
    )
    return [*found, whole]


def focus() -> list[Figure]:
    """A month of every kind of spend, judged by FinOps' validator where it can be had."""
    from tests.collector.books.validator import environment, validate

    found = environment()
    if isinstance(found, str):
        return [Figure("FOCUS 1.2: rules of the official validator that fail", f"not run: {found}")]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "focus.csv"
        path.write_bytes(b"".join(as_csv(_rows())))
        told = validate(found, path)
    return [
        at_most(
            f"FOCUS 1.2: of {told.passed + len(told.failed)} rules of the official validator that fail",
            len(told.failed),
            0,
            digits=0,
        )
    ]


def _rows() -> Iterator[Row]:
    blank = dict.fromkeys(
        ("organisation", "team", "feature", "customer_id", "key_id", "route", "model", "provider", "upstream", "gpu_pool", "purpose",
         "service_tier", "region", "environment", "service", "prompt_name", "cache", "line"), "",
    )  # fmt: skip
    first = date(2026, 5, 1)
    for number in range(31):
        day = first + timedelta(days=number)
        after = day + timedelta(days=1)
        for model, rates in RATES.items():
            meters = tuple(
                Meter(
                    kind,
                    Decimal(1000 + 37 * number),
                    (Decimal(rate) * (1000 + 37 * number) / 1_000_000).quantize(Decimal("1e-9")),
                )
                for kind, rate in zip(TYPES, rates, strict=True)
            )
            category = "evaluation" if number % 3 == 0 else "api"
            group = blank | {"category": category, "team": "support", "model": model, "provider": "vendor"}
            cost = sum((meter.cost for meter in meters), Decimal(0))
            period = Period(
                start=day,
                end=after,
                billing=first,
                kind="usage",
                group=group,
                cost=cost,
                calls=9,
                meters=meters,
            )
            yield from (row_of(charge, "p") for charge in charges_of(period))
        pool = blank | {"category": "gpu", "gpu_pool": "h100", "line": "idle"}
        idle = Period(start=day, end=after, billing=first, kind="gpu", group=pool, cost=Decimal("41.5"))
        used = Period(start=day, end=after, billing=first, kind="gpu", group=pool | {"line": "call", "model": "llama"}, cost=Decimal("7.25"), engine_ns=9_000_000_000, list_cost=Decimal("3"))  # fmt: skip
        yield from (row_of(charge, "p") for period in (idle, used) for charge in charges_of(period))
    late = Period(start=date(2026, 4, 9), end=date(2026, 4, 10), billing=first, kind="adjustment", group=blank | {"category": "adjustment", "line": "late_calls"}, cost=Decimal("-2.5"))  # fmt: skip
    yield from (row_of(charge, "p") for charge in charges_of(late))
