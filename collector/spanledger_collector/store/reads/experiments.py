"""Experiments: calls that carry an experiment's name, their scores, and two of them case by case.

A case is one input: calls of two experiments with the same input are about the same case.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from .asking import Client, Row, ask, statement
from .overview import number
from .window import IN_SPANS, Window

_RUNS = """
SELECT experiment, countIf(billable) AS calls, countIf(billable AND status = 'error') AS errors,
    sum(toDecimal128(ifNull(cost_total, 0), 9)) AS cost, if(calls = 0, NULL, quantileTDigestIf(0.5)(duration_ns, billable)) AS p50_ns,
    toUnixTimestamp64Nano(min(start_time)) AS first_ns, toUnixTimestamp64Nano(max(start_time)) AS last_ns,
    arraySort(groupUniqArrayIf(5)(request_model, request_model != '')) AS models,
    arraySort(groupUniqArrayIf(5)(concat(prompt_name, '@', toString(prompt_version)), prompt_version IS NOT NULL)) AS prompts
FROM spans WHERE project = {project:String} AND experiment != '' AND
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One experiment as it ran: cost in USD, times in ns."""

    experiment: str
    calls: int
    errors: int
    cost: Decimal
    p50_ns: float | None
    first_ns: int
    last_ns: int
    models: list[str]
    prompts: list[str]


def runs(client: Client, project: str, window: Window) -> list[Run]:
    """Experiments with a call in the window, newest first."""
    rows = ask(
        client,
        statement(_RUNS, IN_SPANS, "GROUP BY experiment ORDER BY first_ns DESC LIMIT 200"),
        {"project": project, **window.bound()},
    )
    return [Run(**row) for row in rows]


_CASES = """
SELECT name, cityHash64(input) AS case_id, experiment, avg(assumeNotNull(value)) AS mean, any(better) AS better,
    any(trace) AS trace, any(span) AS span, any(question) AS question, any(answer) AS answer
FROM (
    SELECT scores.name AS name, scores.value AS value, scores.higher_is_better AS better, spans.experiment AS experiment,
        spans.input AS input, lower(hex(spans.trace_id)) AS trace, lower(hex(spans.span_id)) AS span,
        substringUTF8(spans.input, 1, 3000) AS question, substringUTF8(spans.output, 1, 3000) AS answer
    FROM scores FINAL
    INNER JOIN (
        SELECT trace_id, span_id, experiment, input, output FROM spans
        WHERE project = {project:String} AND billable AND experiment IN ({before:String}, {after:String}) AND {in_spans}
    ) AS spans ON scores.trace_id = spans.trace_id AND scores.span_id = toString(spans.span_id)
    WHERE project = {project:String} AND status = 'ok' AND value IS NOT NULL
)
GROUP BY name, case_id, experiment
"""

_COMPARED = """
SELECT old.name AS name, count() AS n, avg(old.mean) AS before, avg(new.mean) AS after, avg(new.mean - old.mean) AS difference,
    stddevSamp(new.mean - old.mean) AS deviation, countIf(new.mean > old.mean) AS higher,
    countIf(new.mean < old.mean) AS lower, any(new.better) AS better
FROM ({cases}) AS old INNER JOIN ({cases}) AS new ON old.name = new.name AND old.case_id = new.case_id
WHERE old.experiment = {before:String} AND new.experiment = {after:String}
GROUP BY name ORDER BY name
"""


@dataclass(frozen=True, slots=True)
class Compared:
    """One score over the cases both experiments answered: means, and the mean and deviation of the differences."""

    name: str
    n: int
    before: float
    after: float
    difference: float
    deviation: float | None
    higher: int
    lower: int
    higher_is_better: bool


def compared(client: Client, project: str, window: Window, before: str, after: str) -> list[Compared]:
    """Every score both experiments have, paired by case."""
    sql = _COMPARED.replace("{cases}", _CASES.replace("{in_spans}", IN_SPANS))
    rows = ask(client, sql, {"project": project, "before": before, "after": after, **window.bound()})
    return [
        Compared(
            name=row["name"],
            n=int(row["n"]),
            before=float(row["before"]),
            after=float(row["after"]),
            difference=float(row["difference"]),
            deviation=number(row["deviation"]),
            higher=int(row["higher"]),
            lower=int(row["lower"]),
            higher_is_better=bool(row["better"]),
        )
        for row in rows
    ]


_DIFFERING = """
SELECT old.question AS question, old.answer AS old_answer, new.answer AS new_answer, old.mean AS old_value,
    new.mean AS new_value, old.trace AS old_trace, old.span AS old_span, new.trace AS new_trace, new.span AS new_span
FROM ({cases}) AS old INNER JOIN ({cases}) AS new ON old.name = new.name AND old.case_id = new.case_id
WHERE old.experiment = {before:String} AND new.experiment = {after:String} AND old.name = {name:String}
ORDER BY if(new.better, new.mean - old.mean, old.mean - new.mean), old.case_id LIMIT {limit:UInt32}
"""


def differing(
    client: Client, project: str, window: Window, before: str, after: str, name: str, limit: int = 30
) -> list[Row]:
    """The cases in which one score got worst, side by side."""
    sql = _DIFFERING.replace("{cases}", _CASES.replace("{in_spans}", IN_SPANS))
    bound = {
        "project": project,
        "before": before,
        "after": after,
        "name": name,
        "limit": limit,
        **window.bound(),
    }
    return ask(client, sql, bound)
