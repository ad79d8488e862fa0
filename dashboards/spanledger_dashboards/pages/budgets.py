"""Budgets: what is spent, where the period will end, who spends it, and which stages were reached."""

from __future__ import annotations

from asyncio import gather
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from dash import html
from dash.development.base_component import Component

from spanledger_collector.store.reads import events as audit
from spanledger_collector.store.reads import spend
from spanledger_collector.store.reads.events import EventRow
from spanledger_collector.store.reads.spend import Spend
from spanledger_collector.store.reads.window import DAY, SECOND, Window
from spanledger_collector.store.registry.plan import Version
from spanledger_dashboards.colours import AMBER, GREY, RED
from spanledger_dashboards.documents import documents
from spanledger_dashboards.figures.frame import Figure, money_unit
from spanledger_dashboards.figures.series import Line, lines
from spanledger_dashboards.forecast import Forecast, forecast, period_of
from spanledger_dashboards.here import read
from spanledger_dashboards.pages.page import Page
from spanledger_dashboards.parts.basic import (
    Child,
    badge,
    chart,
    empty,
    grid,
    link,
    page_title,
    panel,
    stat,
    stats,
    table,
)
from spanledger_dashboards.parts.basic import Column as C
from spanledger_dashboards.parts.common import severity
from spanledger_dashboards.text import NONE, count, line, percent, usd, usd_exact, when
from spanledger_dashboards.top import UNNAMED
from spanledger_dashboards.view import View

_RULE = '[budget.support-month]\namount = "500.00"\nperiod = "month"\nscope = { team = "support" }\nalert_at = [0.5, 0.8, 1.0]\nblock_at = 1.0'
_SAMPLE_DAYS = 14


@dataclass(frozen=True, slots=True)
class Budget:
    """A budget's document, its running period, and the spend in it."""

    version: Version
    step_s: int
    start: datetime
    end: datetime | None
    days: list[tuple[int, Decimal]]  # start of each step in Unix seconds, USD
    sample: list[Decimal]  # recent whole days, oldest first, days without spend as zero
    spenders: list[Spend]

    @property
    def amount(self) -> Decimal:
        """The limit in USD."""
        return Decimal(str(self.version.document["amount"]))

    @property
    def spent(self) -> Decimal:
        """USD spent in the period."""
        return sum((cost for _, cost in self.days), start=Decimal(0))

    @property
    def scope(self) -> Mapping[str, str]:
        """Fields and values that calls must have to count."""
        return self.version.document.get("scope", {})


async def render(view: View) -> Component:
    """One panel a budget, the one nearest its end first."""
    rules, steps = await gather(
        read(view, documents, ["budget"]),
        read(
            view, audit.events, Window(view.now - 400 * DAY, view.now + DAY), kinds=["budget_step"], limit=500
        ),
    )
    title = page_title(
        "Budgets",
        "Running periods only, whatever the time range above. Gateways refuse calls at the block, workers alert at each stage.",
    )
    if not rules:
        return html.Div(
            [title, empty("No budget yet", "Write one and apply it: spanledger apply budgets.toml", _RULE)],
            className="page",
        )
    budgets = await gather(*(_budget(view, rule) for rule in rules[:30]))
    ordered = sorted(budgets, key=lambda budget: -(budget.spent / budget.amount))
    return html.Div(
        [
            title,
            *(
                _panel(view, budget, [step for step in steps if step.subject == budget.version.name])
                for budget in ordered
            ),
        ],
        className="page",
    )


PAGE = Page("/budgets", "Budgets", render, "Money")


async def _budget(view: View, rule: Version) -> Budget:
    now = datetime.fromtimestamp(view.now / 1e9, UTC)
    start, end = period_of(str(rule.document.get("period", "month")), now)
    scope: dict[str, str] = rule.document.get("scope", {})
    tomorrow = (view.now // DAY + 1) * DAY
    since = max(int(start.timestamp()) * SECOND, tomorrow - 4000 * DAY)
    by = "user_id" if "team" in scope else "team"
    sampled = Window(tomorrow - (_SAMPLE_DAYS + 1) * DAY, tomorrow - DAY)
    step = 3600 if str(rule.document.get("period")) == "day" else DAY // SECOND
    days, recent, spenders = await gather(
        read(view, spend.spend, Window(since, tomorrow), [], step_s=step, only=scope),
        read(view, spend.spend, sampled, [], step_s=DAY // SECOND, only=scope),
        read(view, spend.spend, Window(since, tomorrow), [by, "model"], only=scope),
    )
    return Budget(
        rule,
        step,
        start,
        end,
        sorted((row.bucket or 0, row.cost) for row in days),
        _whole_days(recent, sampled),
        spenders,
    )


def _whole_days(rows: Sequence[Spend], window: Window) -> list[Decimal]:
    """Cost of each day from the first with any spend, so that a new team's idle past does not flatter it."""
    cost = {row.bucket or 0: row.cost for row in rows}
    if not cost:
        return []
    return [
        cost.get(day, Decimal(0))
        for day in window.buckets(DAY // SECOND)
        if min(cost) <= day < window.end // SECOND
    ]


def _panel(view: View, budget: Budget, steps: Sequence[EventRow]) -> Component:
    rule, now = budget.version.document, datetime.fromtimestamp(view.now / 1e9, UTC)
    said = forecast(budget.spent, budget.amount, budget.sample, now, budget.end)
    share = budget.spent / budget.amount
    scope = (
        ", ".join(f"{name} {value}" for name, value in budget.scope.items()) or "every call of the project"
    )
    block = rule.get("block_at", 1.0)
    about = (
        f"{usd(budget.amount)} a {rule.get('period', 'month')} for {line(scope, 120)}"
        if budget.end
        else f"{usd(budget.amount)} in all for {line(scope, 120)}"
    )
    start = budget.start.strftime("%Y-%m-%dT%H:%M:%SZ")
    calls = view.href("/spend", range=None, from_=start if budget.end else None, to=None, **budget.scope)
    actions: list[Child] = [
        link("Its spend", calls),
        link("History and edit", view.href("/registry", kind="budget", name=budget.version.name)),
    ]
    body: list[Child] = [
        stats(
            stat("Spent", usd(budget.spent), title=usd_exact(budget.spent), about=percent(float(share)) + " of the budget", tone="red" if share >= 1 else "amber" if share >= Decimal("0.8") else ""),
            stat("Left", usd(max(Decimal(0), budget.amount - budget.spent)), about=_until(budget, now)),
            stat("A day", usd(Decimal(str(round(said.per_day, 9)))) if budget.sample else NONE, about=f"mean of the last {len(budget.sample)} whole days" if budget.sample else "no whole day yet"),
            stat("At the end of the period", usd(Decimal(str(round(said.at_end, 2)))) if said.at_end is not None else NONE, about=f"95 % interval ${said.low:,.2f} to ${said.high:,.2f}" if said.low is not None else "", tone="amber" if said.at_end and said.at_end > budget.amount else ""),
            stat("Ends", said.reached.strftime("%d %b %H:%M") if said.reached else "not in this period", about="has ended" if share >= 1 else "at the present rate, UTC", tone="red" if said.reached else "green"),
        ),
        grid(
            html.Div(chart(f"budget-{budget.version.name}", _figure(budget, said, now), f"Spend of budget {line(budget.version.name, 60)} against its amount")),
            _spenders(view, budget),
        ),
        _stages(view, budget, block, steps),
    ]  # fmt: skip
    return panel(line(budget.version.name, 80), body, about=about, actions=actions, wide=True)


def _until(budget: Budget, now: datetime) -> str:
    if budget.end is None:
        return "no end of period"
    left = (budget.end - now).total_seconds()
    return f"for {left / 86400:.1f} days" if left > 86_400 else f"for {left / 3600:.0f} hours"


def _figure(budget: Budget, said: Forecast, now: datetime) -> Figure:
    step, seconds = budget.step_s, int(now.timestamp())
    first = budget.days[0][0] if budget.days else seconds // step * step
    start = first if budget.end is None else int(budget.start.timestamp())
    end = int((budget.end or now + timedelta(days=14)).timestamp())
    ends = list(range(start, end + 1, step))  # the spend drawn at a moment is what was spent before it
    cost, total = dict(budget.days), Decimal(0)
    spent: list[float | None] = []
    for at in ends:
        total += cost.get(at - step, Decimal(0))
        spent.append(float(total) if at <= seconds else None)
    present = float(budget.spent)
    ahead = [present + said.per_day * (at - seconds) / 86_400 if at > seconds - step else None for at in ends]
    amount = float(budget.amount)
    drawn = [
        Line("spent", spent, AMBER),
        Line("at the present rate", ahead if budget.sample else [None] * len(ends), AMBER, dashed=True),
        Line("budget", [amount] * len(ends), RED if said.reached else GREY),
    ]
    return lines(ends, drawn, money_unit([amount, present]), height=230)


def _spenders(view: View, budget: Budget) -> Component:
    by = "user" if "team" in budget.scope else "team"
    rows = [
        [line(row.group[0], 40) or UNNAMED, line(row.group[1], 50) or UNNAMED, html.Span(usd(row.cost), title=usd_exact(row.cost)), percent(float(row.cost), float(budget.spent)), count(row.calls)]
        for row in budget.spenders[:8]
    ]  # fmt: skip
    if not rows:
        return empty("Nothing is spent yet", "Calls that fit the budget's scope show here by who made them.")
    return table(
        [
            C(by.capitalize()),
            C("Model"),
            C("Cost", number=True),
            C("Of the spend", number=True),
            C("Calls", number=True),
        ],
        rows,
        label=f"Who spends budget {line(budget.version.name, 60)}",
    )


def _stages(view: View, budget: Budget, block: object, steps: Sequence[EventRow]) -> Component:
    marks: list[Child] = []
    for at in budget.version.document.get("alert_at", [0.5, 0.8, 1.0]):
        done = budget.spent >= Decimal(str(at)) * budget.amount
        marks.append(
            badge(
                f"alert at {float(at):.0%}", "amber" if done else "grey", "reached" if done else "not reached"
            )
        )
    if isinstance(block, int | float):
        done = budget.spent >= Decimal(str(block)) * budget.amount
        marks.append(
            badge(
                f"refuse at {float(block):.0%}",
                "red" if done else "grey",
                "gateways refuse now" if done else "not reached",
            )
        )
    told: list[Child] = [
        html.Div(
            [when(step.time), " ", severity(step.severity), " ", line(step.title, 140)], className="about"
        )
        for step in steps[:4]
    ]
    return html.Div([html.Div(marks, className="summary"), *told])
