"""Words are found where they stand in a text, wherever they stand, and rare ones without reading every prompt."""

from __future__ import annotations

import json
import re

import pytest

from spanledger_collector.store.arrow import Row
from spanledger_collector.store.reads.calls import CallFilter, calls
from spanledger_collector.store.reads.window import Window
from spanledger_collector.store.writes import arrow_insert, send
from tests.stores import Store

pytestmark = pytest.mark.clickhouse

NOON = 1_780_000_000_000_000_000
WINDOW = Window(NOON - 10**12, NOON + 10**13)


def row(number: int, text: str) -> Row:
    said = json.dumps([{"role": "user", "parts": [{"type": "text", "content": text}]}], ensure_ascii=False)
    return {
        "project": "p", "trace_id": number.to_bytes(16, "big"), "span_id": number.to_bytes(8, "big"), "name": "chat",
        "start_time": NOON + number, "duration_ns": 1, "operation": "chat", "billable": True, "input": said, "output": said,
    }  # fmt: skip


def store_texts(store: Store, *texts: str) -> None:
    send(store.client, arrow_insert("spans", [row(n + 1, text) for n, text in enumerate(texts)], "texts"))


def found(store: Store, which: CallFilter) -> list[int]:
    return [int(str(line["span"]), 16) for line in calls(store.client, "p", WINDOW, which)]


TEXTS = (
    "nice",
    "first\nice, then",
    "tab\tice",
    "ice",
    "spice",
    "iced",
    'say "ice"',
    "\\nice",
    "Ice-cream",
    "naïveice",
)


@pytest.mark.parametrize("column", ["words", "input_words"])
def test_a_word_is_found_after_any_break_and_in_no_other_word(store: Store, column: str) -> None:
    store_texts(store, *TEXTS)

    def has(words: str) -> list[int]:
        return found(store, CallFilter(words=words) if column == "words" else CallFilter(input_words=words))

    assert has("ice") == [9, 7, 4, 3, 2]
    assert has("NICE") == [8, 1]
    assert has("first then ice") == [2]


def test_a_rare_word_of_prompts_is_found_without_reading_most_of_them(store: Store) -> None:
    rows = [
        row(n, f"order{n} refund policy of the shop " + "and more of it " * 200) for n in range(1, 12_001)
    ]
    send(store.client, arrow_insert("spans", rows, "many"))
    store.client.command("OPTIMIZE TABLE spans FINAL")
    assert found(store, CallFilter(input_words="order777 refund")) == [777]
    conditions, parameters = CallFilter(input_words="order777").where()
    sql = f"EXPLAIN indexes = 1 SELECT count() FROM spans WHERE {' AND '.join(conditions)}"  # noqa: S608
    plan = store.client.query(sql, parameters).result_rows
    granules = [re.findall(r"Granules: (\d+)/(\d+)", str(line[0])) for line in plan]
    kept, all_of_them = map(int, [counts[0] for counts in granules if counts][-1])
    assert kept < all_of_them / 2
