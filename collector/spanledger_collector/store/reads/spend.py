"""Who spends what, as pages and the API show it: the ledger's sums with tokens in and out, by any dimension and by time.

A thin face of ``ledger``: every figure is a sum of its rows, so a page, the API, a rollup and an export agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from . import ledger
from .asking import Client
from .ledger import DIMENSIONS as DIMENSIONS
from .ledger import Ask, Sum
from .window import Window

MODEL = "if(response_model = '', request_model, response_model)"

OVER_SPANS: dict[str, str] = {
    "model": MODEL,
    **{
        name: name
        for name in (
            "team", "provider", "purpose", "feature", "customer_id", "user_id", "key_id", "route", "upstream",
            "prompt_name", "environment", "service", "gpu_pool", "cache",
        )
    },
}  # fmt: skip
"""Dimensions that a single call has too, and the expression over ``spans`` for each."""


@dataclass(frozen=True, slots=True)
class Spend:
    """Sums of one group: ``group`` holds the values of the dimensions asked for, in their order.

    ``list_cost`` is what a vendor would have charged for the calls that GPU pools served (``unlisted``: of how many nobody
    knows), ``saved`` what caches saved.
    """

    group: tuple[str, ...]
    bucket: int | None
    calls: int
    errors: int
    unpriced: int
    input_tokens: int
    output_tokens: int
    cost: Decimal
    saved: Decimal
    list_cost: Decimal = Decimal(0)
    unlisted: int = 0
    engine_ns: int = 0


def spend(
    client: Client,
    project: str,
    window: Window,
    by: Sequence[str] = (),
    *,
    step_s: int | None = None,
    only: Mapping[str, str] | None = None,
    tag: Sequence[str] = (),
    known_before: date | None = None,
    rates: Sequence[tuple[date, Decimal]] = (),
) -> list[Spend]:
    """Sums by the dimensions ``by``, and by bucket when ``step_s`` is given; dearest group first.

    ``only`` keeps the rows whose dimension has that value. Raises KeyError for an unknown dimension.
    """
    which = Ask(only=only, tag=tag, known_before=known_before)
    return [
        of_sum(entry)
        for entry in ledger.sums(client, project, window, by, step_s=step_s, which=which, rates=rates)
    ]


def of_sum(entry: Sum) -> Spend:
    """A line of the ledger as pages show it."""
    return Spend(
        group=entry.group,
        bucket=entry.bucket,
        calls=entry.calls,
        errors=entry.errors,
        unpriced=entry.unpriced,
        input_tokens=entry.tokens_in,
        output_tokens=entry.tokens_out,
        cost=entry.cost,
        saved=entry.saved,
        list_cost=entry.list_cost,
        unlisted=entry.unlisted,
        engine_ns=entry.engine_ns,
    )
