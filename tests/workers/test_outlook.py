"""Budgets that burn too fast and days out of habit are told once, and ended when they end; forecasts are kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from spanledger_collector.books import outlook
from spanledger_collector.store.finance import forecasts
from spanledger_collector.store.registry.plan import Draft
from spanledger_collector.store.registry.registry import Registry
from spanledger_collector.store.registry.serving import Budget
from spanledger_workers.outlook import Outlook
from tests.collector.rows import call, insert
from tests.stores import Store

pytestmark = pytest.mark.clickhouse

NOW = datetime(2026, 5, 20, 12, tzinfo=UTC)
BUDGET = Budget.model_validate({"amount": "744", "period": "month", "scope": {"team": "support"}})


def ns(moment: datetime) -> int:
    return int(moment.timestamp()) * 10**9


def spend(number: int, ago: timedelta, usd: float, **more: Any) -> Any:
    return call(number, start_time=ns(NOW - ago), cost_total=Decimal(str(usd)), **{"team": "support"} | more)


def test_a_budget_that_burns_too_fast_is_told_once_and_again_when_it_stops(store: Store) -> None:
    insert(store.client, *(spend(at, timedelta(minutes=4 * at), 1.5) for at in range(1, 16)))
    workers = Outlook(store=store.client)

    (told,) = workers.burns([("p", "support", BUDGET)], ns(NOW))
    again = workers.burns([("p", "support", BUDGET)], ns(NOW) + 10**9)
    (ended,) = workers.burns([("p", "support", BUDGET)], ns(NOW + timedelta(days=4)))

    assert (told.kind, told.state, told.severity, told.dedup_key) == (
        "alert",
        "firing",
        "critical",
        "burn:support",
    )
    assert "burns" in told.title
    assert again == []
    assert ended.state == "resolved"


def test_an_odd_yesterday_is_told_once_with_what_moved(store: Store) -> None:
    rows = [spend(at, timedelta(days=at), 10, team=team) for at in range(1, 40) for team in ("support",)]
    rows += [spend(100 + at, timedelta(days=at), 5, team="search") for at in range(1, 40)]
    insert(store.client, *rows, spend(300, timedelta(days=1), 90, team="search"))
    workers = Outlook(store=store.client)

    (told,) = workers.odd_days(["p"], ns(NOW))

    assert "2026-05-19" in told.title
    assert "team search" in told.message
    assert workers.odd_days(["p"], ns(NOW) + 10**9) == []
    assert workers.odd_days(["p"], ns(NOW - timedelta(days=1))) == []


def test_forecasts_of_the_project_and_its_budgets_are_kept_for_pages(store: Store) -> None:
    insert(store.client, *(spend(at, timedelta(days=at), 10) for at in range(60)))
    Registry(store.client).put(
        "p",
        Draft(kind="budget", name="support", document={"amount": "250", "scope": {"team": "support"}}),
        author="t",
    )

    made = outlook.refresh(store.client, "p", NOW)
    kept = forecasts.stored(store.client, "p")

    assert [entry.subject for entry in made] == ["", "budget:support"]
    assert set(kept) == {"", "budget:support"}
    budget = kept["budget:support"]
    assert budget.forecast.method == "model"
    assert budget.forecast.at_end == pytest.approx(310, rel=0.03)
    assert budget.reached is not None
    assert budget.reached.month == 5
    shown = outlook.current(store.client, "p", NOW)
    assert shown[""].forecast.method == "model"
    later = outlook.current(store.client, "p", NOW + timedelta(days=20))
    assert later[""].forecast.method == "days"


def test_a_budget_is_forecast_over_the_kinds_of_spend_that_it_covers(store: Store) -> None:
    rows = [spend(at, timedelta(days=at), 10) for at in range(10)]
    insert(store.client, *rows, *(spend(100 + at, timedelta(days=at), 2, purpose="eval") for at in range(10)))
    for name, covers in (("all", []), ("judging", ["evaluation"])):
        draft = Draft(kind="budget", name=name, document={"amount": "250", "covers": covers})
        Registry(store.client).put("p", draft, author="t")

    told = {entry.subject: entry.forecast for entry in outlook.refresh(store.client, "p", NOW, model=False)}

    assert told["budget:judging"].spent == 20
    assert told["budget:all"].spent == told[""].spent == 120
    assert told["budget:judging"].at_end == pytest.approx(2 / 12 * (told["budget:all"].at_end or 0), rel=0.01)
