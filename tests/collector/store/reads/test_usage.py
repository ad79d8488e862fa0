"""What a vendor bills is told alike by sums of quarters of an hour and by the calls themselves."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from spanledger.records import CallRecord
from spanledger_collector.store.reads import charges, vendor_rows
from spanledger_collector.store.reads.usage import OurSide
from spanledger_collector.store.reads.window import DAY, HOUR, Window
from tests.collector.rows import NOON, call, insert
from tests.stores import Store

pytestmark = pytest.mark.clickhouse

TODAY = datetime.fromtimestamp(NOON // 10**9, UTC).date()
FIRST, LAST = TODAY - timedelta(days=2), TODAY + timedelta(days=1)
WHOLE = Window(NOON // DAY * DAY - 5 * DAY, NOON // DAY * DAY + 5 * DAY)
ZONES: list[tzinfo] = [
    UTC,
    ZoneInfo("America/New_York"),
    ZoneInfo("Asia/Kathmandu"),
    timezone(timedelta(hours=5, minutes=30)),
]


def no_sums(*_: object) -> bool:
    return False


def calls(seed: int, count: int) -> list[CallRecord]:
    draw = random.Random(seed)
    made: list[CallRecord] = []
    for number in range(1, count + 1):
        tokens = [draw.choice([None, 0, draw.randrange(5000)]) for _ in range(6)]
        cost = [draw.choice([None, Decimal(draw.randrange(10**6)) / 10**9]) for _ in range(4)]
        row = call(
            number,
            provider=draw.choice(["openai", "anthropic"]),
            response_model=draw.choice(["", "gpt-4o-2024", "claude"]),
            team=draw.choice(["a", "b"]),
            key_id=draw.choice(["k1", "k2"]),
            upstream=draw.choice(["u1", "u2"]),
            service_tier=draw.choice(["", "priority", "batch"]),
            gpu_pool=draw.choice(["", "", "h100"]),
            cache=draw.choice(["", "miss", "exact"]),
            billable=draw.random() < 0.9,
            input_tokens=tokens[0], cache_read_tokens=tokens[1], cache_write_tokens=tokens[2],
            cache_write_1h_tokens=tokens[3], output_tokens=tokens[4], input_audio_tokens=tokens[5],
            cost_input=cost[0], cost_cache_read=cost[1], cost_output=cost[2], cost_total=cost[3],
        )  # fmt: skip
        made.append(replace(row, start_time=NOON + draw.randrange(-60, 60) * HOUR + draw.randrange(HOUR)))
    return made


@pytest.mark.parametrize("zone", ZONES, ids=str)
@pytest.mark.parametrize("providers", [(), ("openai",)])
def test_sums_and_calls_tell_the_same(
    store: Store, monkeypatch: pytest.MonkeyPatch, zone: tzinfo, providers: tuple[str, ...]
) -> None:
    insert(store.client, *calls(3, 200))
    side = OurSide(store.client, "p", providers, FIRST, LAST, "team")
    assert vendor_rows.vendor_rows(store.client, "p", WHOLE, providers).is_rolled_up
    rolled = sorted(side.days(zone), key=repr), sorted(side.hours(), key=repr)
    monkeypatch.setattr(vendor_rows, "_holds", no_sums)
    assert rolled[0]
    assert rolled == (sorted(side.days(zone), key=repr), sorted(side.hours(), key=repr))


def test_calls_older_than_the_sums_and_corrected_prices_are_read_from_the_calls(store: Store) -> None:
    insert(store.client, *calls(4, 20))
    store.client.command("TRUNCATE TABLE vendor_usage")
    assert not vendor_rows.vendor_rows(store.client, "p", WHOLE).is_rolled_up
    assert OurSide(store.client, "p", (), FIRST, LAST).days(UTC)


def test_a_zone_whose_days_do_not_begin_at_a_quarter_is_read_from_the_calls(store: Store) -> None:
    insert(store.client, *calls(5, 50))
    odd = timezone(timedelta(minutes=7))
    total = sum(usage.tokens for usage in OurSide(store.client, "p", (), FIRST, LAST).days(odd))
    assert total == sum(usage.tokens for usage in OurSide(store.client, "p", (), FIRST, LAST).days(UTC))


def test_meters_are_the_same_from_either(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    insert(store.client, *calls(6, 200))
    first, after = TODAY - timedelta(days=3), TODAY + timedelta(days=3)

    def asked(first: date, after: date) -> list[object]:
        return [
            charges.meters(store.client, "p", first, after, ["model"]),
            charges.meters(store.client, "p", first, after, ["provider", "team"], team="a"),
        ]

    rolled = asked(first, after)
    assert all(rolled)
    monkeypatch.setattr(vendor_rows, "_holds", no_sums)
    assert rolled == asked(first, after)
