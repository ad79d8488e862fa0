"""What if: the traffic of the page's window and filters priced on another model, or on a GPU pool of a given size."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

from dash import html
from dash.development.base_component import Component

from spanledger_collector.finance.what_if import OnPool, Size
from spanledger_collector.store.finance.what_if import Answer, answer
from spanledger_dashboards.here import read
from spanledger_dashboards.parts import filters
from spanledger_dashboards.parts.basic import empty, panel, stat, stats
from spanledger_dashboards.text import NONE, count, line, percent, short, usd, usd_exact
from spanledger_dashboards.view import View

_POOL = (
    ("gpus", "GPUs", "4"),
    ("gpu_usd", "USD an hour each", "2.49"),
    ("reads", "Tokens read a second", "8000"),
    ("writes", "Tokens written a second", "1200"),
)


async def what_if(view: View, only: Mapping[str, str]) -> Component:
    """Fields to say where the traffic might run, and what it would cost there."""
    fields = html.Div(
        [
            filters.search(view, "elsewhere", "Model", "openai/gpt-5-mini"),
            *(filters.search(view, name, label, example, 150) for name, label, example in _POOL),
        ],
        className="filters",
    )
    return panel("What if", [fields, await _answered(view, only)], about="the same tokens on another model, or on GPUs of our own", wide=True)  # fmt: skip


async def _answered(view: View, only: Mapping[str, str]) -> Component:
    provider, _, model = view.get("elsewhere").rpartition("/")
    try:
        size = _size(view)
    except ValueError as wrong:
        return empty("That is no pool", str(wrong))
    if not model and size is None:
        return empty(
            "Nothing asked yet",
            "Name a provider and model, or a pool: its GPUs, their price and how fast one is when it is busy.",
        )
    try:
        found = await read(view, answer, view.window, dict(only), provider=provider, model=model, size=size)
    except KeyError as unknown:
        return empty("Not by this filter", f"Traffic cannot be picked by {line(str(unknown), 60)}.")
    except LookupError as unknown:
        return empty("Nobody knows", line(str(unknown), 300))
    return _figures(found, model)


def _size(view: View) -> Size | None:
    given = [view.get(name) for name, _, _ in _POOL]
    if not any(given):
        return None
    if not all(given):
        raise ValueError(
            "A pool needs all four: GPUs, their price an hour, tokens read and tokens written a second."
        )
    try:
        gpus, price, reads, writes = (Decimal(text) for text in given)
        return Size(int(gpus), price, reads, writes)
    except (InvalidOperation, OverflowError):
        raise ValueError("Write plain numbers, such as 4, 2.49, 8000 and 1200.") from None


def _figures(found: Answer, model: str) -> Component:
    now = found.cost_now
    shown = [
        stat("Now", usd(now), title=usd_exact(now), about=f"{count(found.calls)} calls, {short(found.input_tokens)} tokens in, {short(found.output_tokens)} out"),
    ]  # fmt: skip
    if model:
        there = found.cost_on_model
        about = _against(there, now) if there is not None else "it has no rate for some of these tokens"
        shown.append(
            stat(
                f"On {line(model, 40)}",
                usd(there),
                title=usd_exact(there) if there is not None else "",
                about=about,
            )
        )
    if found.pool is not None:
        shown += _pool(found.pool, now)
    return stats(*shown)


def _against(there: Decimal, now: Decimal) -> str:
    return f"{percent(float(there), float(now))} of now" if now else "nothing to compare with"


def _pool(pool: OnPool, now: Decimal) -> list[Component]:
    even = NONE if pool.break_even is None else f"{pool.break_even:.2f}x"
    return [
        stat("On the pool", usd(pool.cost), title=usd_exact(round(pool.cost, 9)), about=_against(pool.cost, now)),
        stat("Busy", percent(float(pool.busy), 1.0), about=f"takes {count(pool.needed)} GPUs, all hours alike", tone="red" if pool.busy > 1 else ""),
        stat("Break-even", even, about=f"at {count(pool.break_even_calls)} calls" if pool.break_even_calls is not None else "none that the pool could serve"),
    ]  # fmt: skip
