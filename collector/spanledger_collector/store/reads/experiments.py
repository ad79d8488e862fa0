"""Experiments: calls that carry an experiment's name, their scores, and two of them case by case.

A case has the id that ``spanledger eval`` gave it. Calls that name an experiment by themselves have none: for them a
case is one input, and calls of two experiments with the same input are about the same case.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from .asking import Client, Row, ask, statement
from .overview import number
from .window import IN_SPANS, Window

_CASE = "attributes['spanledger.case.id']"
_RUNS = """
SELECT experiment, countIf(billable) AS calls, countIf(billable AND status = 'error') AS errors,
    countIf({case} != '') AS cases, countIf({case} != '' AND status = 'error') AS failed,
    anyIf(concat(attributes['spanledger.dataset.name'], '@', attributes['spanledger.dataset.version']), {case} != '') AS dataset,
    sum(toDecimal128(ifNull(cost_total, 0), 9)) AS cost, if(calls = 0, NULL, quantileTDigestIf(0.5)(duration_ns, billable)) AS p50_ns,
    toUnixTimestamp64Nano(min(start_time)) AS first_ns, toUnixTimestamp64Nano(max(start_time)) AS last_ns,
    arraySort(groupUniqArrayIf(5)(request_model, request_model != '')) AS models,
    arraySort(groupUniqArrayIf(5)(concat(prompt_name, '@', toString(prompt_version)), prompt_version IS NOT NULL)) AS prompts
FROM spans WHERE project = {project:String} AND experiment != '' AND
""".replace("{case}", _CASE)


@dataclass(frozen=True, slots=True)
class Run:
    """One experiment as it ran: cost in USD, times in ns.

    ``cases`` answered by ``spanledger eval`` (``failed`` of them without an answer) over ``dataset`` as NAME@VERSION.
    """

    experiment: str
    calls: int
    errors: int
    cases: int
    failed: int
    dataset: str
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
SELECT name, case_id, experiment, avg(assumeNotNull(value)) AS mean, any(better) AS better, any(trace) AS trace,
    any(span) AS span, any(question) AS question, any(answer) AS answer, any(slice) AS slice,
    if(any(cluster) = '', case_id, any(cluster)) AS cluster, groupUniqArrayArray(4)(measured) AS measured
FROM (
    SELECT scores.name AS name, scores.value AS value, scores.higher_is_better AS better, spans.experiment AS experiment,
        if(spans.case_id = '', toString(cityHash64(spans.input)), spans.case_id) AS case_id,
        spans.slice AS slice, spans.cluster AS cluster, lower(hex(spans.trace_id)) AS trace,
        lower(hex(spans.span_id)) AS span, substringUTF8(spans.input, 1, 3000) AS question,
        substringUTF8(spans.output, 1, 3000) AS answer,
        arrayFilter(told -> told != '', [trimRight(concat(scores.scorer, ' ', scores.scorer_version)), scores.judge_id,
            spans.dataset]) AS measured
    FROM scores FINAL
    INNER JOIN (
        SELECT trace_id, span_id, experiment, input, output, attributes['spanledger.case.id'] AS case_id,
            attributes['spanledger.case.slice'] AS slice, attributes['spanledger.case.cluster'] AS cluster,
            if(case_id = '', '', concat(attributes['spanledger.dataset.name'], '@',
                attributes['spanledger.dataset.version'])) AS dataset
        FROM spans
        WHERE project = {project:String} AND experiment IN ({before:String}, {after:String}) AND {in_spans}
    ) AS spans ON scores.trace_id = spans.trace_id AND scores.span_id = toString(spans.span_id)
    WHERE project = {project:String} AND status = 'ok' AND value IS NOT NULL
)
GROUP BY name, case_id, experiment
"""

# The variance of a mean of clusters (Miller 2024, arXiv 2411.00640), with G / (G - 1) for few of them: what cases of
# one source say together counts once. Without clusters it is the variance of the cases.
_COMPARED = """
SELECT name, slice, sum(cases) AS n, count() AS clusters, sum(old_sum) / n AS before, sum(new_sum) / n AS after,
    sum(new_sum - old_sum) / n AS difference,
    if(clusters < 2, NULL, sqrt(greatest(0, sum(pow(new_sum - old_sum, 2)) - 2 * difference * sum((new_sum - old_sum) * cases)
        + pow(difference, 2) * sum(pow(cases, 2))) * clusters / (clusters - 1)) / n * sqrt(clusters)) AS deviation,
    sum(cluster_higher) AS higher, sum(cluster_lower) AS lower, any(cluster_better) AS better,
    arraySort(groupUniqArrayArray(8)(old_measured)) AS measured_before,
    arraySort(groupUniqArrayArray(8)(new_measured)) AS measured_after
FROM (
    SELECT old.name AS name, {slice} AS slice, old.cluster AS cluster, count() AS cases, sum(old.mean) AS old_sum,
        sum(new.mean) AS new_sum, countIf(new.mean > old.mean) AS cluster_higher,
        countIf(new.mean < old.mean) AS cluster_lower, any(new.better) AS cluster_better,
        groupUniqArrayArray(8)(old.measured) AS old_measured, groupUniqArrayArray(8)(new.measured) AS new_measured
    FROM ({cases}) AS old INNER JOIN ({cases}) AS new ON old.name = new.name AND old.case_id = new.case_id
    WHERE old.experiment = {before:String} AND new.experiment = {after:String}
    GROUP BY name, slice, cluster
)
GROUP BY name, slice ORDER BY name, slice LIMIT 500
"""


@dataclass(frozen=True, slots=True)
class Compared:
    """One score over the cases both experiments answered, as a whole or in one slice.

    The standard error of ``difference`` is ``deviation`` / sqrt(``clusters``). ``measured_*`` name scorers with their
    versions, judges and datasets: where they differ, the difference may be theirs.
    """

    name: str
    n: int
    before: float
    after: float
    difference: float
    deviation: float | None
    higher: int
    lower: int
    higher_is_better: bool
    clusters: int
    slice: str = ""
    measured_before: tuple[str, ...] = ()
    measured_after: tuple[str, ...] = ()


def compared(
    client: Client, project: str, window: Window, before: str, after: str, *, sliced: bool = False
) -> list[Compared]:
    """Every score both experiments have, paired by case; ``sliced``: by the dataset's slices instead of in all."""
    cases = _CASES.replace("{in_spans}", IN_SPANS)
    sql = _COMPARED.replace("{cases}", cases).replace("{slice}", "old.slice" if sliced else "''")
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
            clusters=int(row["clusters"]),
            slice=str(row["slice"]),
            measured_before=tuple(row["measured_before"]),
            measured_after=tuple(row["measured_after"]),
        )
        for row in rows
        if row["slice"] or not sliced
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
