"""A change of spend is split into parts that say what happened and add up exactly."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from spanledger_collector.finance.variance import Change, Meter, compare

LAST = [
    Meter("gpt-5", "input", Decimal(800), Decimal("0.8")),
    Meter("gpt-5", "cache_read", Decimal(200), Decimal("0.02")),
    Meter("gpt-5", "output", Decimal(100), Decimal("1")),
]


def parts(change: Change) -> dict[str, Decimal]:
    return {name: value for name, value in change.parts() if value}


def scaled(tokens: Decimal, cost: Decimal) -> list[Meter]:
    return [Meter(meter.model, meter.token_type, meter.tokens * tokens, meter.cost * cost) for meter in LAST]


def test_the_same_traffic_at_other_prices_is_price() -> None:
    assert parts(compare(LAST, scaled(Decimal(1), Decimal("1.5")))) == {"price": Decimal("0.91")}


def test_more_of_the_same_traffic_is_volume() -> None:
    assert parts(compare(LAST, scaled(Decimal(2), Decimal(2)))) == {"volume": Decimal("1.82")}


def test_another_split_into_cached_and_uncached_input_is_cache() -> None:
    now = [
        Meter("gpt-5", "input", Decimal(300), Decimal("0.3")),
        Meter("gpt-5", "cache_read", Decimal(700), Decimal("0.07")),
        LAST[2],
    ]

    assert parts(compare(LAST, now)) == {"cache": Decimal("-0.45")}


def test_as_many_tokens_of_a_dearer_model_are_mix() -> None:
    dear = [Meter("o9", meter.token_type, meter.tokens, meter.cost * 3) for meter in LAST]

    assert parts(compare(LAST, dear)) == {"mix": Decimal("3.64")}


def test_spend_without_tokens_is_other() -> None:
    idle = Meter("llama", "", Decimal(0), Decimal(7))

    assert parts(compare(LAST, [*LAST, idle])) == {"other": Decimal(7)}
    assert compare([], LAST).volume == Decimal("1.82")


_money = st.decimals(-5, 50, places=9)
_meters = st.lists(
    st.builds(
        Meter,
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["input", "cache_read", "output", "cached_answer", ""]),
        st.integers(0, 10**9).map(Decimal),
        _money,
    ),
    max_size=12,
)


@given(_meters, _meters)
def test_parts_add_up_to_the_change_exactly(before: list[Meter], after: list[Meter]) -> None:
    change = compare(before, after)

    assert change.before == sum(meter.cost for meter in before)
    assert change.after == sum(meter.cost for meter in after)
    assert sum(value for _, value in change.parts()) == change.total
