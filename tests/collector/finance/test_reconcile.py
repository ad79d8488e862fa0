"""What reconciliation promises: planted defects are found and named, nothing else is, and every sum adds up."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from spanledger_collector.finance.bills import BillLine, Source
from spanledger_collector.finance.reconcile import HourUsage, OurUsage, Report, reconcile
from tests.benchmarks.finance.month import DEFECTS, Mine, generate, wrong

DAY = date(2026, 5, 4)
UNIT = {"input": Decimal("0.000002"), "cache_read": Decimal("0.0000005"), "output": Decimal("0.000008")}


class Ledger(Mine):
    """Our side given by days; nothing by hours."""

    def __init__(self, *usage: OurUsage) -> None:
        self.usage = usage

    def days(self, zone: object) -> list[OurUsage]:
        return [*self.usage]

    def hours(self) -> list[HourUsage]:
        return [
            HourUsage(datetime(entry.day.year, entry.day.month, entry.day.day, 12, tzinfo=UTC), entry.model, entry.tokens, entry.cost)
            for entry in self.usage
        ]  # fmt: skip


def mine(tokens: int = 1000, kind: str = "input", **more: object) -> OurUsage:
    given = {"day": DAY, "model": "gpt-5", "token_type": kind, "tokens": tokens, "cost": UNIT[kind] * tokens}
    return OurUsage(**given | more)  # pyright: ignore[reportArgumentType]


def theirs(tokens: int | None = 1000, kind: str = "input", **more: object) -> BillLine:
    given = {
        "line": 1,
        "day": DAY,
        "model": "gpt-5",
        "token_type": kind,
        "tokens": tokens,
        "amount": UNIT[kind] * (tokens or 1000),
    }
    return BillLine(**given | more)  # pyright: ignore[reportArgumentType]


def compare(lines: list[BillLine], *usage: OurUsage, **source: object) -> Report:
    return reconcile(lines, Ledger(*usage), Source(**source))  # pyright: ignore[reportArgumentType]


def causes(report: Report) -> list[tuple[str, str]]:
    return [(finding.cause, finding.subject) for finding in report.findings]


def test_twelve_planted_defects_are_found_and_named_and_no_other() -> None:
    month = generate(1)

    assert len(month.planted) == len(DEFECTS) == 12
    assert wrong(month) == []


def test_a_clean_month_has_no_findings() -> None:
    assert wrong(generate(3, ())) == []


def test_without_some_of_the_defects_the_others_are_still_found() -> None:
    assert wrong(generate(4, set(DEFECTS) - {"untracked_key", "rounding"})) == []


def test_an_unknown_difference_stays_unexplained() -> None:
    report = compare([theirs(1234)], mine(1000))

    (cell,) = report.cells
    assert (cell.verdict, cell.cause, cell.difference) == ("unexplained", "", UNIT["input"] * 234)
    assert report.totals.without_cause == UNIT["input"] * 234
    assert report.findings == ()


def test_a_day_that_only_we_have_is_a_day_missing_from_the_bill() -> None:
    gone = DAY + timedelta(days=1)
    lines = [theirs(), theirs(day=DAY + timedelta(days=2))]

    report = compare(lines, mine(), mine(day=gone), mine(day=DAY + timedelta(days=2)))

    assert causes(report) == [("missing_day", "the bill")]
    assert (report.findings[0].first, report.totals.ours_only) == (gone, UNIT["input"] * 1000)


def test_what_arrived_twice_here_is_told_apart_from_what_the_bill_says_twice() -> None:
    ours_twice = compare([theirs(), theirs(500, "output")], mine(2000), mine(1000, "output"))
    bill_twice = compare([theirs(), theirs()], mine())

    assert causes(ours_twice) == [("counted_twice", "gpt-5")]
    assert causes(bill_twice) == [("duplicate", "lines of the bill")]


def test_a_known_key_that_is_none_of_ours_is_untracked() -> None:
    lines = [theirs(account="proj_a"), theirs(700, account="proj_b")]

    report = compare(lines, mine(account="alpha"), account_is="key_id", accounts={"proj_a": "alpha"})

    assert causes(report) == [("untracked_key", "proj_b")]
    assert report.totals.theirs_only == UNIT["input"] * 700


def test_a_bill_of_tokens_only_is_compared_in_tokens_and_valued_at_our_prices() -> None:
    report = compare([theirs(1500, amount=None)], mine(1000))

    assert report.estimated
    assert report.cells[0].difference == UNIT["input"] * 500


def test_a_bill_without_token_types_is_compared_by_model() -> None:
    line = replace(theirs(None), token_type="", amount=UNIT["input"] * 3000 + UNIT["output"] * 10)
    fresh, cached, said = mine(1000), mine(2000, "cache_read"), mine(10, "output")

    report = compare([line], fresh, cached, said)

    assert causes(report) == [("cached_as_uncached", "gpt-5")]


def test_calls_without_a_price_are_named() -> None:
    report = compare([theirs()], mine(cost=Decimal(0), unpriced=1))

    assert causes(report) == [("unpriced", "gpt-5")]


def test_a_price_is_found_without_tokens_when_it_holds_for_three_days() -> None:
    days = [DAY + timedelta(days=number) for number in range(4)]
    lines = [
        theirs(None, day=day, amount=UNIT["input"] * (1000 + 7 * at) * Decimal("1.2"))
        for at, day in enumerate(days)
    ]

    report = compare(lines, *(mine(1000 + 7 * at, day=day) for at, day in enumerate(days)))

    assert causes(report) == [("price", "gpt-5")]


def test_models_that_one_side_does_not_know_are_named() -> None:
    report = compare([theirs(model="o9")], mine(model="llama"))

    assert sorted(causes(report)) == [("not_on_bill", "llama"), ("untracked_model", "o9")]


_amounts = st.integers(0, 10_000)
_usage = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["gpt-5", "o3"]), st.sampled_from(sorted(UNIT)), _amounts), max_size=8
)  # fmt: skip


@given(_usage, _usage, st.lists(st.integers(-500, 500), max_size=2))
def test_both_totals_are_the_sums_of_their_parts(
    ours: list[tuple[int, str, str, int]], bill: list[tuple[int, str, str, int]], credits: list[int]
) -> None:
    usage = [
        mine(tokens, kind, day=DAY + timedelta(days=day), model=model) for day, model, kind, tokens in ours
    ]
    lines = [
        theirs(tokens, kind, day=DAY + timedelta(days=day), model=model, line=at)
        for at, (day, model, kind, tokens) in enumerate(bill)
    ]
    lines += [BillLine(line=99, day=DAY, amount=Decimal(amount), kind="credit") for amount in credits]
    if not lines:
        return

    report = reconcile(lines, Ledger(*usage), Source(), since=DAY, until=DAY + timedelta(days=3))

    totals = report.totals
    assert totals.theirs == sum((line.amount or Decimal(0)) for line in lines)
    assert totals.ours == sum(entry.cost for entry in usage)
    parts = totals.theirs_only - totals.ours_only + totals.explained + totals.unexplained + totals.rounding
    assert totals.theirs - totals.ours == parts
    assert 0 <= totals.share(totals.matched) <= 1


def test_another_currency_is_converted_by_the_rate_of_each_day() -> None:
    dated = {"EUR": [(DAY, Decimal("0.8")), (DAY + timedelta(days=1), Decimal("0.5"))]}
    usage = [mine(), mine(day=DAY + timedelta(days=1))]
    lines = [
        replace(theirs(day=use.day), currency="EUR", amount=use.cost * rate)
        for use, (_, rate) in zip(usage, dated["EUR"], strict=True)
    ]
    credit = BillLine(line=3, day=lines[1].day, kind="credit", amount=Decimal("-1"), currency="EUR")
    report = reconcile([*lines, credit], Ledger(*usage), Source(), dated=dated)
    assert [cell.verdict for cell in report.cells] == ["matched", "matched"]
    assert ("currency", "EUR at 1.625000 USD (given)") in causes(report)
    assert [found.amount for found in report.findings if found.cause == "credit"] == [Decimal(-2)]
