"""How good the answers were: each score by slice, its spread, its worst cases, its coverage, its judges."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from .asking import Client, Row, ask, ask_one, every, statement
from .overview import number
from .window import IN_SPANS, IN_TIME, Window

SLICES: dict[str, str] = {
    "name": "name",
    "route": "route",
    "request_model": "request_model",
    "upstream": "upstream",
    "judge_id": "judge_id",
    "scorer_version": "concat(scorer, if(scorer_version = '', '', ' '), scorer_version)",
    "evaluator": "evaluator",
    "source": "source",
}
"""What scores can be sliced by, and the expression for each."""

_IN_SCORES = IN_TIME.replace("time ", "scores.time ")
_STATE = """
    countIf(status = 'ok') AS n, count() AS asked, avgIf(value, status = 'ok') AS mean,
    stddevSampIf(value, status = 'ok') AS deviation,
    countIf(status = 'ok' AND value IN (0, 1)) = n AS binary, any(higher_is_better) AS better,
    minIf(value, status = 'ok') AS least, maxIf(value, status = 'ok') AS most,
    sumIf(toDecimal128(ifNull(cost, 0), 9), cost IS NOT NULL) AS spent, countIf(cost IS NOT NULL) AS costed,
    sumMap(map(status, toUInt64(1))) AS statuses
"""


@dataclass(frozen=True, slots=True)
class ScoreSlice:
    """Verdicts of one slice: ``n`` valid of ``asked``; ``cost`` of judging in USD, None where nobody said."""

    slice: str
    n: int
    asked: int
    mean: float | None
    deviation: float | None
    binary: bool
    higher_is_better: bool
    least: float | None
    most: float | None
    cost: Decimal | None
    statuses: dict[str, int]


def score_slices(client: Client, project: str, window: Window, by: str, name: str = "") -> list[ScoreSlice]:
    """Each value of slice ``by``, most verdicts first; of one score, or of all. Raises KeyError for no slice."""
    where = ["project = {project:String}", _IN_SCORES]
    parameters: dict[str, object] = {"project": project, **window.bound()}
    if name:
        where.append("name = {name:String}")
        parameters["name"] = name
    sql = statement(
        f"SELECT {SLICES[by]} AS slice, {_STATE} FROM scores FINAL WHERE",  # noqa: S608
        every(where),
        "GROUP BY slice ORDER BY asked DESC, slice LIMIT 200",
    )
    return [_slice(row) for row in ask(client, sql, parameters)]


def score_bins(
    client: Client, project: str, window: Window, name: str, bins: int = 20
) -> list[tuple[float, float, int]]:
    """How the valid values spread: (from, to, number) of ``bins`` equal bins; over 0 to 1 where all lie there."""
    where = every(["project = {project:String}", _IN_SCORES, "name = {name:String}", "status = 'ok'"])
    bound: dict[str, object] = {"project": project, "name": name, **window.bound()}
    ends = ask_one(
        client,
        statement("SELECT min(value) AS least, max(value) AS most FROM scores FINAL WHERE", where),
        bound,
    )
    least, most = number(ends["least"]), number(ends["most"])
    if least is None or most is None:
        return []
    low, high = (0.0, 1.0) if least >= 0 and most <= 1 else (least, most if most > least else least + 1)
    sql = statement(
        "SELECT least({bins:UInt16} - 1, toUInt16(floor((assumeNotNull(value) - {low:Float64})",
        "/ ({high:Float64} - {low:Float64}) * {bins:UInt16}))) AS bin, count() AS n FROM scores FINAL WHERE",
        where,
        "GROUP BY bin",
    )
    found = {
        int(row["bin"]): int(row["n"])
        for row in ask(client, sql, bound | {"low": low, "high": high, "bins": bins})
    }
    width = (high - low) / bins
    return [(low + place * width, low + (place + 1) * width, found.get(place, 0)) for place in range(bins)]


_WORST = """
SELECT lower(hex(scores.trace_id)) AS trace, lower(hex(scores.span_id)) AS span, value, label, explanation, route,
    request_model, judge_id, scorer, source, toUnixTimestamp64Nano(scores.time) AS time_ns
FROM scores FINAL
WHERE project = {project:String} AND name = {name:String} AND status = 'ok' AND
"""


def worst_scores(client: Client, project: str, window: Window, name: str, limit: int = 25) -> list[Row]:
    """The lowest valid verdicts of a score, or the highest where lower is better; newest first among equals."""
    sql = statement(
        _WORST,
        _IN_SCORES,
        "ORDER BY if(higher_is_better, value, -value), scores.time DESC LIMIT {limit:UInt32}",
    )
    return ask(client, sql, {"project": project, "name": name, "limit": limit, **window.bound()})


def coverage(client: Client, project: str, window: Window) -> dict[str, tuple[int, int]]:
    """By score: how many different calls have a valid verdict, and how many calls could have had one.

    A call could: a billable, finished call of an application (no purpose).
    """
    could = statement(
        "SELECT count() AS n FROM spans WHERE project = {project:String} AND billable AND status = 'ok'",
        "AND purpose = '' AND",
        IN_SPANS,
    )
    have = statement(
        "SELECT name, uniqExact(scores.trace_id, scores.span_id) AS n FROM scores FINAL",
        "WHERE project = {project:String} AND status = 'ok' AND",
        _IN_SCORES,
        "GROUP BY name",
    )
    bound = {"project": project, **window.bound()}
    calls = int(ask_one(client, could, bound)["n"])
    return {row["name"]: (int(row["n"]), calls) for row in ask(client, have, bound)}


_AGREEMENT = """
SELECT judge.name AS name, judge.judge_id AS judge_id, count() AS n,
    countIf((judge.value >= 0.5) = (human.value >= 0.5)) AS same,
    countIf(judge.value >= 0.5) AS judge_yes, countIf(human.value >= 0.5) AS human_yes,
    corr(judge.value, human.value) AS correlation, human.name AS human_name
FROM (
    SELECT name, if(judge_id = '', scorer, judge_id) AS judge_id, trace_id, span_id, assumeNotNull(value) AS value
    FROM scores FINAL WHERE project = {project:String} AND source = 'eval' AND status = 'ok' AND value IS NOT NULL AND {in_time}
) AS judge
INNER JOIN (
    SELECT name, trace_id, span_id, assumeNotNull(value) AS value
    FROM scores FINAL WHERE project = {project:String} AND source = 'human' AND status = 'ok' AND value IS NOT NULL AND {in_time}
) AS human ON judge.trace_id = human.trace_id AND judge.span_id = human.span_id
WHERE judge.value BETWEEN 0 AND 1 AND human.value BETWEEN 0 AND 1
GROUP BY name, judge_id, human_name ORDER BY n DESC, name, judge_id LIMIT 200
"""


@dataclass(frozen=True, slots=True)
class Agreement:
    """A judge beside people on the same answers: ``same`` of ``n`` on the same side of 0.5."""

    name: str
    judge_id: str
    n: int
    same: int
    judge_yes: int
    human_yes: int
    correlation: float | None
    human_name: str

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa (1960) of the two verdicts; None where chance alone explains everything."""
        by_chance = (
            self.judge_yes * self.human_yes + (self.n - self.judge_yes) * (self.n - self.human_yes)
        ) / self.n**2
        return None if by_chance >= 1 else (self.same / self.n - by_chance) / (1 - by_chance)


def agreements(client: Client, project: str, window: Window) -> list[Agreement]:
    """Every judge and score that people scored too, over answers both have judged."""
    rows = ask(client, _AGREEMENT.replace("{in_time}", _IN_SCORES), {"project": project, **window.bound()})
    return [Agreement(**(row | {"correlation": _correlation(row)})) for row in rows]


def _correlation(row: Row) -> Any:
    return number(row["correlation"])


def _slice(row: Row) -> ScoreSlice:
    return ScoreSlice(
        slice=str(row["slice"]),
        n=int(row["n"]),
        asked=int(row["asked"]),
        mean=number(row["mean"]),
        deviation=number(row["deviation"]),
        binary=bool(row["binary"]),
        higher_is_better=bool(row["better"]),
        least=number(row["least"]) if row["n"] else None,
        most=number(row["most"]) if row["n"] else None,
        cost=Decimal(row["spent"]) if row["costed"] else None,
        statuses={str(status): int(times) for status, times in row["statuses"].items()},
    )
