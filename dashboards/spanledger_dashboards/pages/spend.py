"""Spend: who spends what on which model, day by day; any group leads to a finer one and to its calls."""

from __future__ import annotations

from asyncio import gather
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from dash import html
from dash.development.base_component import Component

from spanledger_collector.books import outlook
from spanledger_collector.finance.anomaly import Anomaly
from spanledger_collector.finance.forecast import Forecast
from spanledger_collector.store.reads import ledger, spend
from spanledger_collector.store.reads.ledger import Ask, Cost
from spanledger_collector.store.reads.spend import OVER_SPANS, Spend
from spanledger_dashboards import colours as palette
from spanledger_dashboards.cash import USD, Cash, cash
from spanledger_dashboards.figures.frame import Figure
from spanledger_dashboards.figures.series import stacked
from spanledger_dashboards.here import colours, read
from spanledger_dashboards.pages.allocated import allocated
from spanledger_dashboards.pages.page import Page
from spanledger_dashboards.pages.what_if import what_if
from spanledger_dashboards.parts import filters
from spanledger_dashboards.parts.basic import (
    Child,
    chart,
    dot,
    empty,
    grid,
    link,
    notice,
    page_title,
    panel,
    share,
    stat,
    stats,
    table,
)
from spanledger_dashboards.parts.basic import Column as C
from spanledger_dashboards.text import change, count, line, percent, short, usd
from spanledger_dashboards.top import UNNAMED, top
from spanledger_dashboards.view import View

LABELS = {
    "category": "category", "organisation": "organisation", "line": "line", "service_tier": "service tier",
    "region": "region", "tags": "tags", "team": "team", "model": "model", "provider": "provider", "purpose": "purpose", "feature": "feature",
    "customer_id": "customer", "user_id": "user", "key_id": "key", "route": "route", "upstream": "upstream",
    "prompt_name": "prompt", "environment": "environment", "service": "service", "gpu_pool": "GPU pool",
    "cache": "cache",
}  # fmt: skip
_FINER = {
    "team": "model",
    "model": "team",
    "feature": "model",
    "customer_id": "model",
    "user_id": "team",
    "tags": "model",
}
_SHOWN = 200


async def render(view: View) -> Component:
    """Totals, cost over time by one dimension, the same as a table, and that dimension by a second one."""
    by = view.get("by") if view.get("by") in LABELS else "team"
    then = view.get("then") if view.get("then") in LABELS else _FINER.get(by, "team")
    only = {name: value for name, value in view.filters.items() if name in LABELS}
    if view.get("none") in LABELS:
        only[view.get("none")] = ""
    step = view.window.step_s(points=45)
    money = await cash(view)
    borne = await allocated(view, by, only, money)
    lens = await what_if(view, {name: value for name, value in only.items() if name in OVER_SPANS})
    now = datetime.fromtimestamp(view.now / 1e9, UTC)
    looking = gather(
        read(view, outlook.month_ahead, now), read(view, outlook.odd_days, now.date() - timedelta(days=1))
    )
    series, groups, crossed, before, tint = await gather(
        read(view, ledger.costs, view.window, [by], step_s=step, which=Ask(only=only), rates=money.rates),
        read(view, spend.spend, view.window, [by], only=only, rates=money.rates),
        read(view, spend.spend, view.window, [by, then], only=only, rates=money.rates),
        read(view, spend.spend, view.window.before(), [by], only=only, rates=money.rates),
        colours(view, by if by in ("team", "model", "provider") else "team"),
    )
    foreseen, odd = await looking
    controls = [
        filters.select(view, "by", "Group by", [*LABELS.items()], "team"),
        filters.select(view, "then", "Then by", [*LABELS.items()], then),
        *money.controls(view),
        *(filters.select(view, name, LABELS[name].capitalize(), [value for value in [only[name]] if value]) for name in only if only[name]),
    ]  # fmt: skip
    title = page_title("Spend", "All spend of this project, on vendors and on GPUs of our own, in " + ("US dollars" if money.currency == USD else f"{money.currency}, each day at its own rate") + ". Every figure adds up to the rows behind it.",
                       html.A("Download CSV", href=view.href("/export/spend.csv", **dict(view.filters)), className="button", download="spend.csv"))  # fmt: skip
    if not groups:
        return html.Div([title, filters.bar(view, *controls), _nothing(bool(only))], className="page")
    return html.Div(
        [
            title,
            filters.bar(view, *controls),
            _numbers(view, groups, before, foreseen.forecast, money),
            _odd(view, odd),
            panel(f"Cost by {LABELS[by]}", chart("spend", _figure(view, series, by, tint, step, money), f"Cost over time by {LABELS[by]}"), about=f"{money.currency}, drag over a period to look closer", wide=True),
            grid(
                panel(f"By {LABELS[by]}", _groups(view, groups, before, by, tint, money), about="against the period before"),
                panel(f"By {LABELS[by]} and {LABELS[then]}", _crossed(view, crossed, by, then, money), about="dearest first"),
            ),
            *borne,
            lens,
        ],
        className="page",
    )  # fmt: skip


PAGE = Page("/spend", "Spend", render, "Money")


def narrowed(view: View, path: str | None, dimension: str, value: str, **more: str | None) -> str:
    """The address that keeps one group; an empty value is named by ``none``."""
    named = {dimension: value} if value else {"none": dimension}
    return view.href(path, **named, **more)


def _nothing(filtered: bool) -> Component:
    if filtered:
        return empty("No spend matches", "Remove a filter, or widen the time range above.")
    return empty(
        "No spend in this time range",
        "Widen the time range above. Calls are priced when they arrive; a price the public table does not know is set in the registry.",
        '[price.our-model]\nprovider = "vllm"\nmodel = "llama-3.3-70b"\ninput = "0.20"\noutput = "0.60"   # USD per million tokens',
    )


def _numbers(
    view: View, groups: Sequence[Spend], before: Sequence[Spend], ahead: Forecast, money: Cash
) -> Component:
    cost, earlier = _sum(groups), _sum(before)
    calls = sum(group.calls for group in groups)
    unpriced = sum(group.unpriced for group in groups)
    saved = sum((group.saved for group in groups), start=Decimal(0))
    days = view.window.length / 86_400e9
    per_call = cost / calls if calls else None
    return stats(
        stat("Cost", money.text(cost), title=money.exact(cost), about=change(cost, earlier)),
        stat("A day", money.text(cost / Decimal(str(round(days, 6)))), about="mean over the range"),
        stat("A call", money.text(per_call), about=f"{count(calls)} calls"),
        stat("Tokens", short(sum(group.input_tokens + group.output_tokens for group in groups)),
             about=f"{short(sum(group.output_tokens for group in groups))} of them output"),
        stat("Saved by the cache", money.text(saved), about=percent(float(saved), float(saved + cost)) + " of the bill without it"),
        *_gpu(groups, money),
        stat("At the month's end", usd(None if ahead.at_end is None else Decimal(str(round(ahead.at_end, 6)))), about=f"90 % interval ${ahead.low:,.2f} to ${ahead.high:,.2f}" if ahead.low is not None else "no whole day yet", title="rests on a model of " * (ahead.method == "model") + f"{ahead.days} days"),
        stat("Unpriced calls", count(unpriced), tone="amber" if unpriced else "", about="not in the sums" if unpriced else "every call has a price",
             href=view.href("/calls", unpriced="1")),
    )  # fmt: skip


def _gpu(groups: Sequence[Spend], money: Cash) -> list[Component]:
    """What GPU-served calls would have cost at a vendor, where any were."""
    vendor = sum((group.list_cost for group in groups), start=Decimal(0))
    return (
        [
            stat(
                "GPU calls at a vendor",
                money.text(vendor),
                title=money.exact(vendor),
                about="their tokens at the pools' reference prices",
            )
        ]
        if vendor
        else []
    )


def _odd(view: View, odd: Sequence[Anomaly]) -> Component | None:
    """Days out of their weekday's habit, whatever the time range above."""
    if not odd:
        return None
    told: list[Child] = []
    for found in odd[:5]:
        start = f"{found.day}T00:00:00Z"
        moved = ", ".join(
            f"{LABELS.get(part.dimension, part.dimension)} {line(part.value, 40) or UNNAMED} {usd(part.difference)}"
            for part in found.moved
        )
        by = found.moved[0].dimension if found.moved else "team"
        day = view.href(
            "/spend", range=None, from_=start, to=f"{found.day + timedelta(days=1)}T00:00:00Z", by=by
        )
        told.append(
            html.Div(
                [
                    link(f"{found.day:%a %d %b}", day),
                    f" cost {usd(found.cost)} where {usd(found.expected)} was to be expected. ",
                    f"Moved: {moved}." if moved else "No single dimension moved.",
                ]
            )
        )
    return notice(told, "amber")


def _sum(groups: Sequence[Spend]) -> Decimal:
    return sum((group.cost for group in groups), start=Decimal(0))


def _figure(
    view: View, series: Sequence[Cost], by: str, tint: palette.Colours, step: int, money: Cash
) -> Figure:
    groups = top(series, view.window, step)
    buckets = list(view.window.buckets(step))
    sums = [sum(values) for values in zip(*groups.values(), strict=True)]
    links = {
        name: [
            view.zoomed(
                "/calls",
                at,
                step,
                **({by: name} if name and name != palette.OTHERS and by in OVER_SPANS else {}),
            )
            for at in buckets
        ]
        for name in groups
    }
    shown = {name or UNNAMED: values for name, values in groups.items()}
    return stacked(buckets, shown, {name: tint.of("" if name == UNNAMED else name) for name in shown}, money.unit(sums),
                   links={name or UNNAMED: places for name, places in links.items()}, height=300)  # fmt: skip


def _groups(
    view: View, groups: Sequence[Spend], before: Sequence[Spend], by: str, tint: palette.Colours, money: Cash
) -> Component:
    earlier = {group.group[0]: group.cost for group in before}
    total = _sum(groups)
    rows = [
        [
            link_dot(tint.of(group.group[0]), group.group[0] or UNNAMED, narrowed(view, None, by, group.group[0], by=_FINER.get(by, "model"))),
            share(float(group.cost / total) if total else 0, tint.of(group.group[0])),
            money.shown(group.cost),
            change(group.cost, earlier.get(group.group[0], Decimal(0))).removesuffix(" vs before") if earlier.get(group.group[0]) else "new",
            link(count(group.calls), narrowed(view, "/calls", by, group.group[0])) if group.group[0] and by in OVER_SPANS else count(group.calls),
            short(group.input_tokens + group.output_tokens),
            count(group.unpriced) if group.unpriced else "",
        ]
        for group in groups[:_SHOWN]
    ]  # fmt: skip
    columns = [C(LABELS[by].capitalize()), C("Share"), C("Cost", number=True), C("Change", number=True), C("Calls", number=True), C("Tokens", number=True), C("Unpriced", number=True)]  # fmt: skip
    foot = ["Total", "", money.shown(total), "", count(sum(g.calls for g in groups)), short(sum(g.input_tokens + g.output_tokens for g in groups)), count(sum(g.unpriced for g in groups)) or ""]  # fmt: skip
    return table(columns, rows, label=f"Spend by {LABELS[by]}", foot=foot)


def link_dot(colour: str, text: str, href: str) -> Component:
    """A name with its colour that leads somewhere."""
    from dash import dcc

    return dcc.Link(dot(colour, text), href=href, className="a")


def _crossed(view: View, crossed: Sequence[Spend], by: str, then: str, money: Cash) -> Component:
    inner: dict[str, Decimal] = defaultdict(Decimal)
    for row in crossed:
        inner[row.group[0]] += row.cost
    rows = [
        [
            row.group[0] or UNNAMED, row.group[1] or UNNAMED,
            money.shown(row.cost),
            percent(float(row.cost), float(inner[row.group[0]])),
            count(row.calls),
            money.text(row.cost / row.calls) if row.calls else "",
        ]
        for row in crossed[:_SHOWN]
    ]  # fmt: skip
    columns = [C(LABELS[by].capitalize()), C(LABELS[then].capitalize()), C("Cost", number=True), C(f"Of its {LABELS[by]}", number=True), C("Calls", number=True), C("A call", number=True)]  # fmt: skip
    return table(columns, rows, label=f"Spend by {LABELS[by]} and {LABELS[then]}")
