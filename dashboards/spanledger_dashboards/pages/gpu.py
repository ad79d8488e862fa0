"""GPU: pools, how busy they are, what idling costs, and what a million tokens costs beside vendors' prices."""

from __future__ import annotations

from asyncio import gather
from collections.abc import Mapping, Sequence
from decimal import Decimal

from dash import html
from dash.development.base_component import Component

from spanledger_collector.store.reads import pools, spend
from spanledger_collector.store.reads.pools import PoolUse
from spanledger_collector.store.reads.spend import Spend
from spanledger_collector.store.registry.plan import Version
from spanledger_dashboards.colours import BLUE
from spanledger_dashboards.documents import documents
from spanledger_dashboards.figures.frame import Unit
from spanledger_dashboards.figures.series import Line, lines
from spanledger_dashboards.here import read
from spanledger_dashboards.pages.page import Page
from spanledger_dashboards.parts.basic import Column as C
from spanledger_dashboards.parts.basic import chart, empty, grid, link, page_title, panel, stat, stats, table
from spanledger_dashboards.text import NONE, count, duration, line, percent, short, usd, usd_exact
from spanledger_dashboards.view import View

_RULE = '[gpu_pool.h100-a]\nhardware = "H100 80GB"\ncount = 2\nusd_per_hour = "2.49"   # each\nupstreams = ["local"]'


async def render(view: View) -> Component:
    """One panel a pool with its bill, its use and its engines; the price of tokens by provider below."""
    step = view.window.step_s()
    rules, used, billed, samples, providers = await gather(
        read(view, documents, ["gpu_pool"]),
        read(view, pools.pool_use, view.window),
        read(view, spend.spend, view.window, ["gpu_pool", "line", "basis"]),
        read(view, pools.engine_series, view.window, step),
        read(view, spend.spend, view.window, ["provider", "model"]),
    )
    title = page_title(
        "GPU",
        "A pool costs money by the hour, busy or not. What its calls did not use is idle, and stands as its own line.",
    )
    if not rules and not used:
        return html.Div(
            [
                title,
                empty(
                    "No GPU pool yet",
                    "Describe what you rent or own, and which upstreams run on it: spanledger apply pools.toml",
                    _RULE,
                ),
            ],
            className="page",
        )
    by_name = {use.gpu_pool: use for use in used}
    panels = [
        _pool(
            view,
            rule,
            [entry for entry in billed if entry.group[0] == rule.name],
            by_name.get(rule.name),
            {metric: found for (pool, metric), found in samples.items() if pool == rule.name},
            step,
        )
        for rule in rules
    ]
    strangers = [use for use in used if use.gpu_pool not in {rule.name for rule in rules}]
    if strangers:
        panels.append(
            panel(
                "Pools without a document",
                _strangers(strangers),
                about="their hours have no price",
                wide=True,
            )
        )
    return html.Div(
        [
            title,
            *panels,
            panel(
                "A million tokens",
                _prices(providers),
                about="by provider and model, input and output together",
                wide=True,
            ),
        ],
        className="page",
    )


PAGE = Page("/gpu", "GPU", render, "Money")


def _pool(
    view: View,
    rule: Version,
    billed: Sequence[Spend],
    use: PoolUse | None,
    metrics: Mapping[str, Mapping[int, float]],
    step: int,
) -> Component:
    charts = [
        panel(
            line(metric, 80),
            chart(f"engine-{rule.name}-{metric}", _metric(view, metric, found, step), line(metric, 80)),
        )
        for metric, found in sorted(metrics.items())
        if not metric.endswith(
            ("_total", "_sum", "_count")
        )  # counters say nothing until they are differenced
    ]
    body = [
        _numbers(billed, use),
        grid(*charts, columns=3) if charts else empty("No sample of its engines", "Name metrics_url in the pool's upstreams; workers read vLLM's metrics from there."),
    ]  # fmt: skip
    number = int(rule.document.get("count", 1))
    about = f"{number} x {line(rule.document['hardware'], 60)} {_priced(rule)}, runs {line(', '.join(rule.document.get('upstreams', [])), 80) or 'no upstream'}"
    return panel(
        line(rule.name, 60),
        body,
        about=about,
        actions=link("History", view.href("/registry", kind="gpu_pool", name=rule.name)),
        wide=True,
    )


def _numbers(billed: Sequence[Spend], use: PoolUse | None) -> Component:
    """The bill as the ledger has it: what calls used, what nobody used, and what a vendor would have charged."""
    bill = _sum(billed)
    idle = _sum([entry for entry in billed if entry.group[1] in ("idle", "central")])
    warm = _sum([entry for entry in billed if entry.group[1] == "warm_up"])
    used = _sum([entry for entry in billed if entry.group[1] == "call"])
    guessed = _sum([entry for entry in billed if entry.group[2] == "token_weight"])
    calls, unmetered = sum(entry.calls for entry in billed), sum(entry.unpriced for entry in billed)
    tokens = sum(entry.input_tokens + entry.output_tokens for entry in billed)
    vendor = sum((entry.list_cost for entry in billed), Decimal(0))
    unlisted = sum(entry.unlisted for entry in billed)
    return stats(
        stat("Bill", usd(bill), title=usd_exact(bill), about="of the intervals metered in this range"),
        stat("Used by calls", percent(float(used), float(bill)), about=f"{usd(guessed)} of {usd(used)} by token weight" if guessed else usd(used), title=usd_exact(used)),
        stat("Idle", usd(idle), title=usd_exact(idle), about=f"and {usd(warm)} warming up" if warm else percent(float(idle), float(bill)) + " of the bill", tone="amber" if idle > bill / 2 else ""),
        stat("Calls", count(calls), about=f"{count(unmetered)} not metered yet" if unmetered else "all metered" if calls else "none in this range"),
        stat("A vendor's price", usd(vendor) if vendor else NONE, title=usd_exact(vendor), about=_compared(vendor, bill, unlisted)),
        stat("A million tokens", usd(bill / tokens * 10**6) if tokens else NONE, about=f"{short(tokens)} tokens, idle time included"),
        stat("Queue p95", duration(use.queue_p95_ns) if use else NONE),
    )  # fmt: skip


def _compared(vendor: Decimal, bill: Decimal, unlisted: int) -> str:
    if unlisted:
        return f"{count(unlisted)} calls without one: name a reference model in the pool's document"
    return (
        f"the same tokens; the pool is {percent(float(bill), float(vendor))} of it"
        if vendor
        else "name a reference model"
    )


def _priced(rule: Version) -> str:
    document = rule.document
    if document.get("usd_per_hour"):
        return f"at {usd(Decimal(str(document['usd_per_hour'])))} an hour each"
    return "by invoice" if document.get("invoice") else "bought"


def _sum(billed: Sequence[Spend]) -> Decimal:
    return sum((entry.cost for entry in billed), Decimal(0))


def _metric(view: View, metric: str, found: Mapping[int, float], step: int) -> dict[str, object]:
    buckets = list(view.window.buckets(step))
    return lines(
        buckets, [Line(line(metric, 40), [found.get(at) for at in buckets], BLUE)], Unit(), height=150
    )


def _strangers(uses: Sequence[PoolUse]) -> Component:
    rows = [
        [
            line(use.gpu_pool, 60),
            count(use.calls),
            duration(use.gpu_seconds * 1e9),
            short(use.input_tokens + use.output_tokens),
        ]
        for use in uses
    ]
    return table(
        [C("Pool"), C("Calls", number=True), C("Engine time", number=True), C("Tokens", number=True)],
        rows,
        label="Pools without a document",
    )


def _prices(rows: Sequence[Spend]) -> Component:
    cells = [
        [
            line(row.group[0], 40) or NONE, line(row.group[1], 60) or NONE, short(row.input_tokens), short(row.output_tokens), usd(row.cost),
            usd(row.cost / (row.input_tokens + row.output_tokens) * 10**6) if row.input_tokens + row.output_tokens and row.cost else NONE,
        ]
        for row in rows[:60]
    ]  # fmt: skip
    return table(
        [
            C("Provider"),
            C("Model"),
            C("Input tokens", number=True),
            C("Output tokens", number=True),
            C("Cost", number=True),
            C("A million tokens", number=True),
        ],
        cells,
        label="Price of tokens by provider and model",
    )
