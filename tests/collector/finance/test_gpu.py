"""A pool's cost is split whole: shares, idle and warm-up add up to it, whoever comes late and in whatever order."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from spanledger_collector.finance.gpu import Policy, PoolCall, Share, allocate, token_weight
from spanledger_collector.finance.pool_costs import (
    PICO,
    Segment,
    interval_cost,
    money,
    month_cost,
    nanoseconds,
    segments,
)
from spanledger_collector.finance.rounding import split
from spanledger_collector.store.registry.finance import GpuPool

SECOND = 10**9
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
START = nanoseconds(NOVEMBER)
FIVE = (START, START + 5 * MINUTE)
ON = [Segment(*FIVE, 1, Decimal(6))]
COST = PICO // 2  # half a dollar for five minutes of a GPU at 6 $/h


def pool(**more: Any) -> GpuPool:
    return GpuPool.model_validate({"hardware": "H100", "usd_per_hour": "6", **more})


def a_call(
    number: int, start_s: float, took_s: float, engine_s: float | None = None, **more: Any
) -> PoolCall:
    start = START + round(start_s * SECOND)
    return PoolCall(
        trace_id=number.to_bytes(16, "big"),
        span_id=number.to_bytes(8, "big"),
        start=start,
        end=start + round(took_s * SECOND),
        engine_ns=None if engine_s is None else round(engine_s * SECOND),
        **more,
    )


def by_line(shares: Sequence[Share]) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for share in shares:
        found[share.line] = found.get(share.line, Decimal(0)) + money(share.amount)
    return found


def test_calls_that_run_together_share_one_gpu_and_idle_time_is_a_line_of_its_own() -> None:
    calls = [a_call(number, 0, 60, 60) for number in range(32)]
    shares = allocate(COST, ON, FIVE, calls, policy="central")
    assert by_line(shares) == {"call": Decimal("0.1"), "central": Decimal("0.4")}
    assert {money(share.amount) for share in shares if share.call} == {Decimal("0.1") / 32}


def test_a_call_that_waited_pays_for_its_engine_time_only() -> None:
    waited, worked = a_call(1, 0, 120, 20), a_call(2, 100, 20, 20)
    first, second, _ = allocate(COST, ON, FIVE, [waited, worked], policy="central")
    assert first.amount - second.amount in (0, 1)
    assert first.engine_ns == 20 * SECOND


def test_a_call_over_the_border_of_two_intervals_pays_in_each_for_what_it_used_there() -> None:
    call = a_call(1, 240, 120, 120)
    after = (FIVE[1], FIVE[1] + 5 * MINUTE)
    one = allocate(COST, ON, FIVE, [call], policy="central")
    two = allocate(COST, [Segment(*after, 1, Decimal(6))], after, [call], policy="central")
    assert by_line(one)["call"] == by_line(two)["call"] == Decimal("0.1")
    assert one[0].engine_ns + two[0].engine_ns == 120 * SECOND


def test_without_engine_time_tokens_decide_and_the_share_says_so() -> None:
    fresh = a_call(1, 0, 60, weight=token_weight(1000, 0, 0, {}))
    cached = a_call(2, 0, 60, weight=token_weight(0, 1000, 0, {}))
    first, second, _ = allocate(COST, ON, FIVE, [fresh, cached], policy="central")
    assert (first.basis, second.basis) == ("token_weight", "token_weight")
    assert abs(first.amount - 10 * second.amount) <= 10
    measured = a_call(3, 0, 60, 60, weight=1000.0)
    shares = {
        share.call.span_id[-1]: share for share in allocate(COST, ON, FIVE, [fresh, measured]) if share.call
    }
    assert (shares[1].basis, shares[3].basis) == ("token_weight", "engine_time")
    assert abs(shares[1].amount - shares[3].amount) <= 1, "the same tokens at the rate that was measured"


def test_warm_up_is_its_own_line_unless_a_call_ran() -> None:
    warm = [(FIVE[0], FIVE[0] + MINUTE)]
    shares = allocate(COST, ON, FIVE, [a_call(1, 30, 60, 60, group="a")], warm_up=warm)
    assert by_line(shares) == {"call": Decimal("0.1"), "warm_up": Decimal("0.05"), "idle": Decimal("0.35")}


def test_idle_time_is_borne_as_the_policy_says() -> None:
    calls = [a_call(1, 0, 30, 30, group="a", team="x"), a_call(2, 30, 30, 30, group="b", team="y")]
    shared = allocate(COST, ON, FIVE, calls, policy="proportional")
    assert {share.group: money(share.amount) for share in shared if share.line == "idle"} == {
        "a": Decimal("0.2"), "b": Decimal("0.2"),
    }  # fmt: skip
    kept = allocate(COST, ON, FIVE, calls, policy="reserved", reserved={"x": Decimal("0.75")})
    assert {(share.line, share.team): money(share.amount) for share in kept if share.basis == "policy"} == {
        ("idle", "x"): Decimal("0.3"), ("central", ""): Decimal("0.1"),
    }  # fmt: skip
    (alone,) = allocate(COST, ON, FIVE, [], policy="proportional")
    assert (alone.line, alone.group, alone.amount) == ("idle", None, COST)


def test_engines_of_one_pool_are_busy_each_for_itself() -> None:
    calls = [a_call(1, 0, 300, 300, engine="a")]
    shares = allocate(COST, ON, FIVE, calls, engines=["a", "b"], policy="central")
    assert by_line(shares) == {"call": Decimal("0.25"), "central": Decimal("0.25")}


def test_largest_remainders_lose_nothing() -> None:
    assert split(100, {"a": 1, "b": 1, "c": 1}) == {"a": 34, "b": 33, "c": 33}
    with pytest.raises(ValueError, match="nothing to split by"):
        split(1, {"a": 0})


# -- what a pool costs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "month"),
    [
        ({}, Decimal(6) * 24 * 30),
        ({"count": 3, "changes": [{"from": "2026-11-11", "count": 1}]}, Decimal(6) * 24 * (30 + 20)),
        ({"changes": [{"from": "2026-11-16", "usd_per_hour": "8"}]}, Decimal(24) * (15 * 6 + 15 * 8)),
        ({"from": "2026-11-16T12:00:00"}, Decimal(6) * 12 * 29),
        ({"schedule": [{"days": ["mon"], "from": "08:00", "until": "18:00"}]}, Decimal(6) * 10 * 5),
        ({"usd_per_hour": None, "invoice": {"2026-11": "1234.567891234"}}, Decimal("1234.567891234")),
        ({"usd_per_hour": None, "purchase": {"price": "36500", "residual": "500", "months": 36}, "from": "2026-01-01"}, None),
    ],
)  # fmt: skip
def test_the_intervals_of_a_month_cost_what_the_month_costs(
    document: dict[str, Any], month: Decimal | None
) -> None:
    made = pool(**document)
    whole = month_cost(made, NOVEMBER)
    assert whole is not None
    assert month is None or money(whole) == month
    parts = [interval_cost(made, START + at * HOUR, START + (at + 1) * HOUR) for at in range(30 * 24)]
    assert sum(part for part in parts if part is not None) == whole
    assert min(part for part in parts if part is not None) >= 0


def test_a_purchase_is_written_off_over_its_months_and_pays_power_while_it_is_on() -> None:
    made = pool(
        usd_per_hour=None,
        purchase={"price": "12000", "months": 12, "kilowatts": "0.7", "usd_per_kwh": "0.2"},
        schedule=[{"from": "00:00", "until": "12:00"}],
        **{"from": "2026-01-01"},
    )
    months = [month_cost(made, datetime(2026, number, 1, tzinfo=UTC)) or 0 for number in range(1, 13)]
    assert money(sum(months)) == Decimal(12000) + Decimal("0.14") * 12 * 365
    after = month_cost(made, datetime(2027, 1, 1, tzinfo=UTC))
    assert after is not None
    assert money(after) == Decimal("0.14") * 12 * 31, "written off: power only"


def test_a_month_whose_invoice_is_not_there_has_no_cost_yet() -> None:
    assert interval_cost(pool(usd_per_hour=None, invoice={"2026-10": "5"}), *FIVE) is None


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({"usd_per_hour": None}, "one of usd_per_hour"),
        ({"invoice": {"2026-11": "5"}}, "one of usd_per_hour"),
        ({"idle": "reserved"}, "goes with idle"),
        ({"idle": "reserved", "reserved": {"a": "0.6", "b": "0.6"}}, "more than 1"),
        ({"schedule": [{"from": "22:00", "until": "06:00"}]}, "over midnight"),
        ({"usd_per_hour": None, "invoice": {"Nov": "5"}}, "YYYY-MM"),
    ],
)
def test_a_pool_that_makes_no_sense_is_refused_and_told_why(document: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        pool(**document)


# -- ten thousand random schedules ----------------------------------------------------------------------------


def _random_pool(dice: random.Random) -> GpuPool:
    document: dict[str, Any] = {
        "count": dice.randint(1, 8),
        "usd_per_hour": f"{dice.uniform(0.2, 12):.6f}",
        "idle": dice.choice(["proportional", "reserved", "central"]),
        "warm_up_s": dice.choice([0, 0, 90]),
        "upstreams": dice.choice([[], ["a"], ["a", "b"], ["a", "b", "c"]]),
    }
    if document["idle"] == "reserved":
        document["reserved"] = {"x": "0.5", "y": f"{dice.uniform(0.01, 0.5):.3f}"}
    if dice.random() < 0.4:
        minute = dice.randint(0, 14)
        document["changes"] = [{"from": f"2026-11-01T00:{minute:02d}:30", "count": dice.randint(0, 4)}]
    if dice.random() < 0.3:
        first = dice.randint(0, 10)
        document["schedule"] = [{"from": f"00:{first:02d}", "until": f"00:{first + dice.randint(1, 8):02d}"}]
    return pool(**document)


def _random_calls(dice: random.Random) -> list[PoolCall]:
    concurrency = dice.choice([1, 2, 5, 16, 64])
    calls: list[PoolCall] = []
    for lane in range(concurrency):
        at = dice.uniform(-60, 600)
        for number in range(dice.randint(0, max(1, 24 // concurrency))):
            took = dice.choice([0.0, dice.uniform(0, 5), dice.uniform(0, 400)])
            engine = None if dice.random() < 0.3 else took * dice.uniform(0, 1.2)
            calls.append(
                a_call(
                    lane * 1000 + number + 1, at, took, engine,
                    engine=dice.choice(["a", "b", "c", "elsewhere"]), weight=dice.choice([1.0, dice.uniform(1, 9000)]),
                    group=dice.choice("pqr"), team=dice.choice("xyz"),
                )
            )  # fmt: skip
            at += took + dice.choice([0, dice.uniform(0, 120)])
    return calls


def _metered(made: GpuPool, calls: Sequence[PoolCall], at: int) -> tuple[int, list[Share]]:
    interval = (START + at * 5 * MINUTE, START + (at + 1) * 5 * MINUTE)
    cost = interval_cost(made, *interval)
    assert cost is not None
    policy: Policy = made.idle
    warm = [(interval[0], interval[0] + round(made.warm_up_s * SECOND))] if made.warm_up_s else []
    shares = allocate(
        cost, segments(made, *interval), interval, calls,
        engines=made.upstreams, warm_up=warm, policy=policy, reserved=made.reserved,
    )  # fmt: skip
    return cost, shares


def _key(share: Share) -> tuple[Any, ...]:
    return (share.line, share.call and share.call.span_id, share.group, share.team, share.amount, share.basis)


def test_ten_thousand_random_schedules_lose_and_invent_nothing() -> None:
    dice = random.Random(20261126)
    for _ in range(10_000):
        made, calls = _random_pool(dice), _random_calls(dice)
        shuffled = dice.sample(calls, len(calls))
        at = dice.randint(0, 2)
        cost, shares = _metered(made, calls, at)
        assert sum(share.amount for share in shares) == cost, "shares + idle = pool, to the last digit"
        assert all(share.amount >= 0 for share in shares)
        assert list(map(_key, _metered(made, shuffled, at)[1])) == list(map(_key, shares)), (
            "whatever came first"
        )
        late = replace(a_call(999_999, dice.uniform(-10, 500), dice.uniform(0, 60)), group="p", team="x")
        again, restated = _metered(made, [*calls, late], at)
        assert (again, sum(share.amount for share in restated)) == (cost, cost), (
            "a late call moves shares, not the bill"
        )
