"""The rules behind pages: formats, addresses, trees, conversations, intervals, forecasts, neutral cells."""

from __future__ import annotations

import csv
import io
import json
import random
from decimal import Decimal
from statistics import fmean, stdev
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spanledger_collector.store.reads.cells import neutral
from spanledger_collector.store.reads.ledger import Cost
from spanledger_collector.store.reads.window import DAY, HOUR, Window
from spanledger_dashboards import text
from spanledger_dashboards.call_filter import filter_of
from spanledger_dashboards.colours import OTHERS, Colours
from spanledger_dashboards.export import csv_lines
from spanledger_dashboards.intervals import interval, student, wilson
from spanledger_dashboards.messages import excerpt, messages, sources
from spanledger_dashboards.top import top
from spanledger_dashboards.tree import tree
from spanledger_dashboards.verdicts import verdict
from spanledger_dashboards.view import BadView, View, view_of

# A busy machine draws examples slowly; that is no fault of what is tested.
PATIENT = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)

NOW = 1_790_000_000 * 10**9


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (None, "\u2013"),
        (Decimal(0), "$0.00"),
        (Decimal("0.000000001"), "$0.000000001"),
        (Decimal("0.0021"), "$0.0021"),
        (Decimal("0.00025"), "$0.00025"),
        (Decimal("12.345"), "$12.34"),
        (Decimal("-3"), "\u2212$3.00"),
        (Decimal("1234567.891"), "$1,234,567.89"),
    ],
)
def test_money_shows_the_digits_that_count(amount: Decimal | None, shown: str) -> None:
    assert text.usd(amount) == shown


@pytest.mark.parametrize(
    ("ns", "shown"),
    [(None, "\u2013"), (0, "0 ns"), (1500, "1.5 \u00b5s"), (999_499_999, "999 ms"), (999_600_000, "1.00 s"), (61e9, "1 min 01 s"), (300e9, "5 min"), (7200e9, "2 h")],
)  # fmt: skip
def test_a_duration_has_its_natural_unit(ns: float | None, shown: str) -> None:
    assert text.duration(ns) == shown


@PATIENT
@given(st.text())
def test_plain_text_has_no_control_and_no_direction_of_its_own(given_text: str) -> None:
    shown = text.plain(given_text)
    assert not any(ord(letter) < 32 and letter not in "\n\t" for letter in shown)
    assert not any(
        letter in shown for letter in "\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f"
    )


@PATIENT
@given(st.text())
def test_a_cell_never_begins_as_a_formula(given_text: str) -> None:
    written = "".join(csv_lines(["a"], iter([[given_text]])))
    (header,), (cell,) = csv.reader(io.StringIO(written, newline=""))
    assert header == "a"
    assert not cell.lstrip().startswith(("=", "+", "-", "@"))
    assert not cell.startswith(("\t", "\r", "\n"))


def test_numbers_stay_numbers_in_a_csv() -> None:
    assert neutral(Decimal("-0.5")) == Decimal("-0.5")
    assert neutral("-0.5") == "'-0.5"


def query(**given_query: str) -> View:
    return view_of("/calls", given_query, ("default",), NOW)


def test_an_address_is_read_and_written_back() -> None:
    view = query(range="7d", status="error", q="a b&c=d")
    assert view.href() == "/calls?range=7d&status=error&q=a+b%26c%3Dd"
    assert view.href(status=None) == "/calls?range=7d&q=a+b%26c%3Dd"
    assert view.href("/spend") == "/spend?range=7d"


def test_long_ranges_are_whole_days_and_short_ones_end_now() -> None:
    week, hour = query(range="7d").window, query(range="1h").window
    assert week.start % DAY == 0
    assert week.end % DAY == 0
    assert week.length == 7 * DAY
    assert hour == Window(NOW - HOUR, NOW)


@pytest.mark.parametrize(
    "bad",
    [
        {"range": "9y"},
        {"from": "yesterday"},
        {"from": "2026-01-02", "to": "2026-01-01"},
        {"project": "other"},
    ],
)
def test_an_impossible_address_is_refused_in_words(bad: dict[str, str]) -> None:
    with pytest.raises(BadView):
        query(**bad)


@pytest.mark.parametrize("bad", [{"slower": "soon"}, {"dearer": "NaN"}, {"dearer": "x"}, {"trace": "12"}])
def test_an_impossible_filter_is_refused_in_words(bad: dict[str, str]) -> None:
    with pytest.raises(BadView):
        filter_of(query(**bad))


def test_a_filter_of_durations_takes_units() -> None:
    assert filter_of(query(slower="1.5 s")).min_duration_ns == 1_500_000_000
    assert filter_of(query(slower="800ms")).min_duration_ns == 800_000_000


def span(name: str, parent: str, start: int, length: int = 10) -> dict[str, Any]:
    return {"span": name, "parent": parent, "start_ns": start, "duration_ns": length}


@PATIENT
@given(
    st.lists(
        st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(0, 50)), unique_by=lambda row: row[0]
    )
)
def test_a_tree_loses_no_span_whatever_the_parents(rows: list[tuple[int, int, int]]) -> None:
    spans = [span(str(own), str(parent) if parent else "", start) for own, parent, start in rows]
    lines = tree(spans).lines
    assert sorted(line.span["span"] for line in lines) == sorted(one["span"] for one in spans)
    assert all(0 <= line.left <= 1 and line.left + line.width <= 1.000001 for line in lines)


def test_children_follow_their_parent_in_order_of_time() -> None:
    found = tree(
        [
            span("a", "", 0, 100),
            span("c", "a", 50),
            span("b", "a", 10),
            span("d", "b", 12),
            span("x", "gone", 5),
        ]
    )
    assert [(line.span["span"], line.depth) for line in found.lines] == [
        ("a", 0),
        ("b", 1),
        ("d", 2),
        ("c", 1),
        ("x", 0),
    ]
    assert [line.orphan for line in found.lines][-1]


def test_both_shapes_of_messages_are_read() -> None:
    otel = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "hi"}]}])
    openai = json.dumps([{"role": "user", "content": "hi"}])
    assert messages(otel) == messages(openai)
    call = {
        "role": "assistant",
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}],
    }
    assert messages(json.dumps([call]))[0].parts[0].title == "f"


@PATIENT
@given(st.recursive(st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["role", "parts", "type", "content", "text", "image_url", "tool_calls", "function", "url"]) | st.text(), inner), max_leaves=12))  # fmt: skip
def test_any_json_is_shown_and_none_breaks_the_page(value: Any) -> None:
    shown = messages(json.dumps(value), "user")
    assert all(isinstance(part.text, str) for message in shown for part in message.parts)
    assert all(isinstance(source.content, str) for source in sources(json.dumps(value)))


@pytest.mark.parametrize("address", ["https://evil.example/x.png", "javascript:alert(1)", "data:image/svg+xml;base64,PHN2Zz4=", "data:text/html;base64,AAAA", "data:image/png;base64,AA\"onerror=1"])  # fmt: skip
def test_an_image_is_only_shown_from_within_the_record(address: str) -> None:
    part = messages(
        json.dumps([{"role": "user", "parts": [{"type": "image_url", "image_url": {"url": address}}]}])
    )[0].parts[0]
    assert part.source == ""


def test_an_excerpt_is_read_from_json_that_is_cut() -> None:
    whole = json.dumps(
        [{"role": "assistant", "parts": [{"type": "text", "content": 'He said "yes"\nand left'}]}]
    )
    assert excerpt(whole) == 'He said "yes"\nand left'
    assert excerpt(whole[:75]).startswith("He said")
    assert excerpt("plain words") == "plain words"


def test_intervals_agree_with_tables() -> None:
    low, high = wilson(0.5, 100)
    assert (round(low, 4), round(high, 4)) == (0.4038, 0.5962)
    low, high = student(10.0, 2.0, 10)  # t(0.975, 9) = 2.2622
    assert high - 10 == pytest.approx(2.2622 * 2 / 10**0.5, rel=2e-3)
    assert interval(0.5, 0.1, 3, binary=False) is None


def test_the_dearest_keep_their_names_and_the_rest_adds_up() -> None:
    window = Window(0, 2 * DAY)
    rows = [Cost((f"m{i}",), (i % 2) * 86_400, Decimal(i)) for i in range(1, 13)]
    found = top(rows, window, 86_400, keep=3)
    assert list(found) == ["m12", "m11", "m10", OTHERS]
    assert sum(sum(values) for values in found.values()) == sum(range(1, 13))


def test_a_newcomer_changes_nobodys_colour() -> None:
    before, after = Colours(["a", "b"]), Colours(["a", "b", "c"])
    assert [before.of(name) for name in "ab"] == [after.of(name) for name in "ab"]
    assert len({after.of(name) for name in "abc"}) == 3


def test_a_verdict_needs_an_interval_without_zero() -> None:
    assert verdict(-0.1, 0.1, 40, tests=1, higher_is_better=True).word == "worse"
    assert verdict(-0.1, 0.1, 40, tests=1, higher_is_better=False).word == "better"
    assert verdict(-0.01, 0.3, 40, tests=1, higher_is_better=True).word == "no difference shown"
    assert verdict(-0.5, 0.1, 3, tests=1, higher_is_better=True).word == "too few cases"


def test_equal_versions_are_seldom_told_apart_however_many_scores_are_looked_at() -> None:
    dice, alarms, tests = random.Random(3), 0, 8
    for _ in range(400):
        words = set[str]()
        for _ in range(tests):
            found = [dice.gauss(0, 1) for _ in range(30)]
            words.add(verdict(fmean(found), stdev(found), 30, tests=tests, higher_is_better=True).word)
        alarms += bool(words & {"better", "worse"})
    assert alarms / 400 < 0.08  # 5 % by design; 400 rounds leave two points of noise
