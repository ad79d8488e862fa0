"""Budgets: what is spent, where the period will end, who spends it, and which stages were reached."""

from __future__ import annotations

from asyncio import gather
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from dash import html
from dash.development.base_component import Component

from spanledger_collector.books import outlook
from spanledger_collector.finance.forecast import Forecast, period_of
from spanledger_collector.store.finance.forecasts import Told
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
_BASIS = {"model": "a model of {0} days", "days": "{0} days", "none": "nothing yet"}


@dataclass(frozen=True, slots=True)
class Budget:
    """A budget's document, its running period, and the spend in it."""

    version: Version
    step_s: int
    start: datetime
    end: datetime | None
    days: list[tuple[int, Decimal]]  # start of each step in Unix seconds, USD
    spenders: list[Spend]
    said: Forecast

    @property
    def amount(self) -> Decimal:
        """The limit in USD."""
        return Decimal(str(self.version.document["amount"]))

    @property
    def spent(self) -> Decimal:
        """USD spent in the period."""
        return sum((cost for _, cost in self.days), start=Decimal(0))

    @property
    def reached(self) -> date | None:
        """The day on which the amount is expected to be used up; None: not in this period."""
        return self.said.reached(self.amount)

    @property
    def scope(self) -> Mapping[str, str]:
        """Fields and values that calls must have to count."""
        return self.version.document.get("scope", {})


async def render(view: View) -> Component:
    """One panel a budget, the one nearest its end first."""
    now = datetime.fromtimestamp(view.now / 1e9, UTC)
    rules, foreseen, steps = await gather(
        read(view, documents, ["budget"]),
        read(view, outlook.current, now),
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
    budgets = await gather(*(_budget(view, rule, foreseen.get(f"budget:{rule.name}")) for rule in rules[:30]))
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


async def _budget(view: View, rule: Version, told: Told | None) -> Budget:
    now = datetime.fromtimestamp(view.now / 1e9, UTC)
    start, end = period_of(str(rule.document.get("period", "month")), now)
    scope: dict[str, str] = rule.document.get("scope", {})
    tomorrow = (view.now // DAY + 1) * DAY
    since = max(int(start.timestamp()) * SECOND, tomorrow - 4000 * DAY)
    by = "user_id" if "team" in scope else "team"
    step = 3600 if str(rule.document.get("period")) == "day" else DAY // SECOND
    days, spenders = await gather(
        read(view, spend.spend, Window(since, tomorrow), [], step_s=step, only=scope),
        read(view, spend.spend, Window(since, tomorrow), [by, "model"], only=scope),
    )
    unknown = Forecast(spent=Decimal(0), method="none", days=0)
    return Budget(
        rule,
        step,
        start,
        end,
        sorted((row.bucket or 0, row.cost) for row in days),
        spenders,
        told.forecast if told else unknown,
    )


def _panel(view: View, budget: Budget, steps: Sequence[EventRow]) -> Component:
    rule, now = budget.version.document, datetime.fromtimestamp(view.now / 1e9, UTC)
    said, reached = budget.said, budget.reached
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
            stat("Rests on", _BASIS[said.method].format(said.days), about="fitted hourly by the worker" if said.method == "model" else "until the worker has fitted a model" if said.method == "days" else ""),
            stat("At the end of the period", usd(_money(said.at_end)) if budget.end else NONE, about=f"90 % interval ${said.low:,.2f} to ${said.high:,.2f}" if budget.end and said.low is not None else "", tone="amber" if budget.end and said.at_end and said.at_end > budget.amount else ""),
            stat("Ends", "now" if share >= 1 else reached.strftime("%d %b") if reached else "not in this period", about="has ended" if share >= 1 else _earliest(budget), tone="red" if reached or share >= 1 else "green"),
        ),
        grid(
            html.Div(chart(f"budget-{budget.version.name}", _figure(budget, now), f"Spend of budget {line(budget.version.name, 60)} against its amount")),
            _spenders(view, budget),
        ),
        _stages(view, budget, block, steps),
    ]  # fmt: skip
    return panel(line(budget.version.name, 80), body, about=about, actions=actions, wide=True)


def _earliest(budget: Budget) -> str:
    fear = budget.said.reached(budget.amount, "high")
    return f"expected; {fear:%d %b} at the worst of twenty" if fear else "expected, UTC"


def _money(amount: float | None) -> Decimal | None:
    return None if amount is None else Decimal(str(round(amount, 6)))


def _until(budget: Budget, now: datetime) -> str:
    if budget.end is None:
        return "no end of period"
    left = (budget.end - now).total_seconds()
    return f"for {left / 86400:.1f} days" if left > 86_400 else f"for {left / 3600:.0f} hours"


def _figure(budget: Budget, now: datetime) -> Figure:
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
    mean, low, high = (_ahead(budget, now, ends, name) for name in ("mean", "low", "high"))
    amount = float(budget.amount)
    drawn = [
        Line("spent", spent, AMBER),
        Line("expected", mean, AMBER, band=(low, high), dashed=True),
        Line("budget", [amount] * len(ends), RED if budget.reached else GREY),
    ]
    return lines(ends, drawn, money_unit([amount, present]), height=230)


def _ahead(budget: Budget, now: datetime, ends: Sequence[int], name: str) -> list[float | None]:
    """What is expected to be spent at each moment to come: between two midnights in proportion to the time."""
    said, seconds = budget.said, now.timestamp()
    if not said.ahead:
        return [None] * len(ends)
    today = datetime(now.year, now.month, now.day, tzinfo=UTC).timestamp()
    marks = [
        (seconds, 0.0),
        *((today + 86_400 * (at + 1), float(getattr(entry, name))) for at, entry in enumerate(said.ahead)),
    ]
    found: list[float | None] = []
    for at in ends:
        after = next((number for number, (time, _) in enumerate(marks) if time >= at), None)
        if at < seconds - budget.step_s or after is None:
            found.append(None)
            continue
        (since, less), (until, more) = marks[max(0, after - 1)], marks[after]
        share = (at - since) / (until - since) if until > since else 0.0
        found.append(float(budget.spent) + less + (more - less) * min(1.0, max(0.0, share)))
    return found


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
