"""Filters in; lines of the call list out: a page of spans in any order, their number, and the values to filter by."""

from __future__ import annotations

import json
import math
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from . import newest
from .asking import Client, Row, ask, every, statement
from .rules import CALLS
from .spend import MODEL, OVER_SPANS
from .window import DAY, IN_DAYS, IN_SPANS, Window

Show = Literal["calls", "roots", "all"]

EXACT: dict[str, str] = {
    **OVER_SPANS,
    "session_id": "session_id",
    "status": "status",
    "error_type": "error_type",
    "operation": "operation",
    "name": "name",
    "fallback_from": "fallback_from",
    "experiment": "experiment",
    "service_version": "service_version",
    "agent_name": "agent_name",
    "tool_name": "tool_name",
    "guard_action": "guard_action",
}
"""Filters that compare for equality, and the expression over ``spans`` for each."""

SUMMED = frozenset({"status", "model", "team", "route", "cache"})
"""Those by which ``call_day`` counts calls."""

_TOKENS = (
    "ifNull(input_tokens, 0) + ifNull(cache_read_tokens, 0) + ifNull(cache_write_tokens, 0)"
    " + ifNull(cache_write_1h_tokens, 0) + ifNull(input_audio_tokens, 0) + ifNull(input_image_tokens, 0)"
    " + ifNull(output_tokens, 0) + ifNull(reasoning_tokens, 0) + ifNull(output_audio_tokens, 0)"
    " + ifNull(output_image_tokens, 0)"
)
ORDERS: dict[str, str] = {
    "start_time": "start_time",
    "duration_ns": "duration_ns",
    "ttft_ns": "ttft_ns",
    "cost_total": "cost_total",
    "tokens": _TOKENS,
    "model": MODEL,
    "status": "status",
    "team": "team",
    "route": "route",
    "name": "name",
    "user_id": "user_id",
}
"""What the list can be ordered by."""

# The engine's lower() folds ASCII alone, and so must we.
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)

AFTER_NEWEST = (
    "spans.start_time <= fromUnixTimestamp64Nano({after:Int64}, 'UTC')"
    " AND (spans.start_time < fromUnixTimestamp64Nano({after:Int64}, 'UTC')"
    " OR (spans.trace_id, spans.span_id) > (toFixedString(unhex({after_trace:String}), 16),"
    " toFixedString(unhex({after_span:String}), 8)))"
)
AFTER_OLDEST = AFTER_NEWEST.replace("start_time <", "start_time >")
"""Conditions of the page after ``{after}``, newest or oldest first; ties by id, ascending."""

_SHOW: dict[Show, str] = {"calls": CALLS, "roots": "parent_span_id = ''", "all": "1"}

_LINE = f"""
    lower(hex(trace_id)) AS trace, lower(hex(span_id)) AS span,
    toUnixTimestamp64Nano(start_time) AS start_ns, duration_ns, ttft_ns,
    name, operation, status, status_message, error_type, provider, {MODEL} AS model,
    if(input_tokens IS NULL AND output_tokens IS NULL, NULL, {_TOKENS}) AS tokens,
    input_tokens, cache_read_tokens, output_tokens, reasoning_tokens, usage_estimated,
    cost_total, cost_saved, billable, team, feature, user_id, session_id, route, upstream, cache, fallback_from,
    purpose, environment, service, customer_id, finish_reason, prompt_name, prompt_version, tags,
    substringUTF8(output, 1, 400) AS output_start
"""


# A score about the whole trace has an empty span id and picks every span of the trace.
# A score is told the time of what it is about, give or take a day.
_SCORED = """(
    (spans.trace_id, toString(spans.span_id)) IN (SELECT trace_id, span_id FROM scored)
    OR spans.trace_id IN (SELECT trace_id FROM scored WHERE span_id = '')
)"""
_WITH_SCORED = """
WITH scored AS (
    SELECT trace_id, span_id FROM scores FINAL
    WHERE project = {project:String} AND name = {score:String} AND status = 'ok'
        AND value >= {min_score:Float64} AND value <= {max_score:Float64}
        AND time >= fromUnixTimestamp64Nano({start:Int64}, 'UTC') - INTERVAL 1 DAY
        AND time < fromUnixTimestamp64Nano({end:Int64}, 'UTC') + INTERVAL 1 DAY
)
"""


SEARCH_S = 10
"""How long a search through texts may take before it is refused as too wide."""


@dataclass(frozen=True, slots=True)
class Scored:
    """Spans with a valid score of this name, between the two values."""

    name: str
    at_least: float = -math.inf
    at_most: float = math.inf


@dataclass(frozen=True, slots=True)
class After:
    """Where the page before ended; ids in hex, ``start`` in nanoseconds."""

    start: int
    trace: str
    span: str


@dataclass(frozen=True, slots=True)
class CallFilter:
    """Which spans: ``show`` picks calls (``rules.CALLS``), root spans or all; ``equal`` compares columns of ``EXACT``.

    ``words`` must each occur in the answer, ``input_words`` in the prompt (whole words, ASCII case folded; indexes
    serve them, the prompt's only for words that few prompts have). ``input_has`` is a text that must stand in the prompt, in any case; no index serves it, so keep the
    window small. Durations in nanoseconds, cost in USD as a decimal string.
    """

    show: Show = "calls"
    equal: Mapping[str, str] = field(default_factory=dict[str, str])
    tags: Sequence[str] = ()
    words: str = ""
    input_words: str = ""
    input_has: str = ""
    scored: Scored | None = None
    min_duration_ns: int | None = None
    max_duration_ns: int | None = None
    min_cost: str = ""
    unpriced: bool = False
    trace: str = ""

    @property
    def summed(self) -> bool:
        """Whether ``call_day`` can count what it asks for."""
        return self == CallFilter(equal=self.equal) and self.equal.keys() <= SUMMED

    def settings(self) -> dict[str, object]:
        """The engine's settings for the question: a search through texts ends after ``SEARCH_S`` seconds."""
        searches = self.words or self.input_words or self.input_has
        return {"max_execution_time": SEARCH_S} if searches else {}

    def prefix(self) -> str:
        """What stands before SELECT."""
        return _WITH_SCORED if self.scored else ""

    def where(self) -> tuple[list[str], dict[str, object]]:
        """Conditions and their parameters. Raises KeyError for a column that is no filter."""
        conditions = [_SHOW[self.show]]
        parameters: dict[str, object] = {}
        for name, value in self.equal.items():
            conditions.append(f"{EXACT[name]} = {{eq_{name}:String}}")
            parameters[f"eq_{name}"] = value
        for index, tag in enumerate(self.tags):
            conditions.append(f"has(tags, {{tag_{index}:String}})")
            parameters[f"tag_{index}"] = tag
        for index, word in enumerate(tokens(self.words)):
            _add_word("output", f"word_{index}", word, conditions, parameters)
        for index, word in enumerate(tokens(self.input_words)):
            _add_word("input", f"input_word_{index}", word, conditions, parameters)
        for name, test, value in (
            (
                "input_has",
                "positionCaseInsensitiveUTF8(input, {input_has:String}) > 0",
                _as_json(self.input_has),
            ),
            ("min_duration", "duration_ns >= {min_duration:UInt64}", self.min_duration_ns),
            ("max_duration", "duration_ns <= {max_duration:UInt64}", self.max_duration_ns),
            ("min_cost", "cost_total >= toDecimal64({min_cost:String}, 9)", self.min_cost or None),
            ("trace", "spans.trace_id = unhex({trace:String})", self.trace or None),
        ):
            if value is not None:
                conditions.append(test)
                parameters[name] = value
        if self.scored:
            conditions.append(_SCORED)
            parameters |= {
                "score": self.scored.name,
                "min_score": self.scored.at_least,
                "max_score": self.scored.at_most,
            }
        if self.unpriced:
            conditions.append("cost_total IS NULL")
        return conditions, parameters


def calls(
    client: Client,
    project: str,
    window: Window,
    which: CallFilter,
    *,
    order: str = "start_time",
    descending: bool = True,
    limit: int = 100,
    offset: int = 0,
    after: After | None = None,
) -> list[Row]:
    """One page of lines, ties broken by time and id so that pages never overlap; costs as known now (``newest``).

    ``after`` is for order ``start_time`` alone: new calls do not shift the pages that follow it.
    Raises KeyError for an order that is not in ``ORDERS``. Unknown values sort last.
    """
    conditions, parameters = which.where()
    if after:
        conditions.append(AFTER_NEWEST if descending else AFTER_OLDEST)
        parameters |= {"after": after.start, "after_trace": after.trace, "after_span": after.span}
    if order == "start_time":
        conditions.append(_within_page([IN_SPANS, *conditions], descending))
    way = "DESC" if descending else "ASC"
    tie = [] if order == "start_time" else ["start_time DESC"]
    sql = statement(
        which.prefix(),
        f"SELECT {_LINE} FROM spans WHERE project = {{project:String}} AND",  # noqa: S608
        every([IN_SPANS, *conditions]),
        f"ORDER BY {', '.join([f'{ORDERS[order]} {way} NULLS LAST', *tie])}, trace_id, span_id",
        "LIMIT {limit:UInt32} OFFSET {offset:UInt64}",
    )
    parameters |= {"project": project, "limit": limit, "offset": offset, **window.bound()}
    rows = ask(client, sql, parameters, which.settings())
    newest.show(client, project, rows)
    return rows


def _within_page(conditions: Sequence[str], descending: bool) -> str:
    """A bound on the start of a page's last row, found first: it is read in the table's order and stops early.

    The page itself is sorted by ids too, which are not in that order, so it would read the whole window.
    """
    furthest, test, way = ("min", ">=", "DESC") if descending else ("max", "<=", "ASC")
    return statement(
        f"start_time {test} (SELECT {furthest}(start_time) FROM (SELECT start_time FROM spans",  # noqa: S608
        "WHERE project = {project:String} AND",
        every(conditions),
        f"ORDER BY start_time {way} LIMIT {{limit:UInt32}} + {{offset:UInt64}}))",
    )


def count_calls(client: Client, project: str, window: Window, which: CallFilter) -> int:
    """How many spans ``calls`` would list in all."""
    parameters: dict[str, object] = {"project": project, **window.bound()}
    if window.whole(DAY) and which.summed:
        table, counted, conditions = "call_day", "sum(calls)", [IN_DAYS]
        for name, value in which.equal.items():
            conditions.append(f"{name} = {{eq_{name}:String}}")
            parameters[f"eq_{name}"] = value
    else:
        table, counted, (found, bound) = "spans", "count()", which.where()
        conditions = [IN_SPANS, *found]
        parameters |= bound
    sql = statement(
        which.prefix(),
        f"SELECT {counted} AS n FROM {table} WHERE project = {{project:String}} AND",  # noqa: S608
        every(conditions),
    )
    return int(ask(client, sql, parameters, which.settings())[0]["n"])


def values(client: Client, project: str, window: Window, column: str, limit: int = 200) -> list[str]:
    """The values of one filter column in the window, most frequent first, without the empty one.

    Of whole days it tells the values that calls have, else those of all spans.
    """
    table, value, counted, within = "spans", EXACT[column], "count()", IN_SPANS
    if window.whole(DAY) and column in SUMMED:
        table, value, counted, within = "call_day", column, "sum(calls)", IN_DAYS
    sql = statement(
        f"SELECT {value} AS value, {counted} AS n FROM {table} WHERE project = {{project:String}} AND",  # noqa: S608
        every([within, "value != ''"]),
        "GROUP BY value ORDER BY n DESC, value LIMIT {limit:UInt32}",
    )
    rows = ask(client, sql, {"project": project, "limit": limit, **window.bound()})
    return [str(row["value"]) for row in rows]


def tokens(words: str) -> list[str]:
    """The tokens that the text index makes of a search text: runs of letters, digits and non-ASCII, at most 20."""
    folded = words.translate(_LOWER)
    cut = "".join(letter if letter.isalnum() or ord(letter) > 127 else " " for letter in folded)
    return cut.split()[:20]


# Texts are JSON, and so an escaped line break or tab stands before some words as a letter: "\\nword".
_ESCAPES = ("", "n", "r", "t", "b", "f")
# A word begins at the start, after what is no letter, after a backslash (two in JSON) or after an escape.
_BEGIN = r"(?:^|[^0-9a-z\x80-\xff\\]|(?:^|[^\\])(?:\\\\)+|(?:^|[^\\])(?:\\\\)*\\[nrtbf])"
_END = r"(?:$|[^0-9a-z\x80-\xff])"


def _add_word(
    column: str, name: str, word: str, conditions: list[str], parameters: dict[str, object]
) -> None:
    """The word must stand in the column's JSON text: the index finds candidates, the pattern sees that it is one."""
    folded = f"lower({column})"
    found = [f"hasToken({folded}, {{{name}_{n}:String}})" for n in range(len(_ESCAPES))]
    conditions.append(f"({' OR '.join(found)}) AND match({folded}, {{{name}:String}})")
    parameters |= {f"{name}_{n}": escape + word for n, escape in enumerate(_ESCAPES)}
    parameters[name] = f"{_BEGIN}{re.escape(word)}{_END}"


def _as_json(text: str) -> str | None:
    """A text as it stands inside a JSON string, for prompts are stored as JSON."""
    return json.dumps(text, ensure_ascii=False)[1:-1] if text else None
