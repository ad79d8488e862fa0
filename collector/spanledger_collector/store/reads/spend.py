"""Who spends what: sums of billable calls by any dimension, by day, from the lean sums or from the spans.

``cost_day`` answers by team, provider, model and purpose for whole days and outlives the spans; every other
dimension, and any window that is not made of whole days, is summed from ``spans``. Both sum the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from .asking import Client, Row, ask, every, statement
from .window import DAY, IN_SPANS, SECOND, Window

MODEL = "if(response_model = '', request_model, response_model)"

DIMENSIONS: dict[str, str] = {
    "team": "team",
    "model": MODEL,
    "provider": "provider",
    "purpose": "purpose",
    "feature": "feature",
    "customer_id": "customer_id",
    "user_id": "user_id",
    "key_id": "key_id",
    "route": "route",
    "upstream": "upstream",
    "prompt_name": "prompt_name",
    "environment": "environment",
    "service": "service",
    "gpu_pool": "gpu_pool",
    "cache": "cache",
}
"""What spend can be grouped and filtered by, and the expression over ``spans`` for each."""

LEAN = frozenset({"team", "model", "provider", "purpose"})
"""The dimensions that ``cost_day`` holds."""

_FROM_SPANS = """
    count() AS calls, countIf(status = 'error') AS errors, countIf(cost_total IS NULL) AS unpriced,
    sum(toUInt64(ifNull(spans.input_tokens, 0)) + ifNull(cache_read_tokens, 0) + ifNull(cache_write_tokens, 0)
        + ifNull(cache_write_1h_tokens, 0) + ifNull(input_audio_tokens, 0) + ifNull(input_image_tokens, 0)) AS tokens_in,
    sum(toUInt64(ifNull(spans.output_tokens, 0)) + ifNull(reasoning_tokens, 0)
        + ifNull(output_audio_tokens, 0) + ifNull(output_image_tokens, 0)) AS tokens_out,
    sum(toDecimal128(ifNull(cost_total, 0), 9)) AS cost_sum,
    sum(toDecimal128(ifNull(cost_saved, 0), 9)) AS saved_sum
"""

_FROM_DAYS = """
    sum(calls) AS calls_, sum(errors) AS errors_, sum(unpriced) AS unpriced_,
    sum(input_tokens) AS tokens_in, sum(output_tokens) AS tokens_out,
    sum(cost) AS cost_sum, sum(saved) AS saved_sum
"""


@dataclass(frozen=True, slots=True)
class Spend:
    """Sums of one group: ``group`` holds the values of the dimensions asked for, in their order."""

    group: tuple[str, ...]
    bucket: int | None
    calls: int
    errors: int
    unpriced: int
    input_tokens: int
    output_tokens: int
    cost: Decimal
    saved: Decimal


def spend(
    client: Client,
    project: str,
    window: Window,
    by: Sequence[str] = (),
    *,
    step_s: int | None = None,
    only: Mapping[str, str] | None = None,
) -> list[Spend]:
    """Sums by the dimensions ``by``, and by bucket when ``step_s`` is given; dearest group first.

    ``only`` keeps the rows whose dimension has that value. Raises KeyError for an unknown dimension.
    """
    only = dict(only or {})
    lean = LEAN.issuperset({*by, *only}) and _whole_days(window, step_s)
    build = _days_sql if lean else _spans_sql
    parameters: dict[str, object] = {"project": project, **window.bound()}
    parameters |= {f"only_{name}": value for name, value in only.items()}
    if step_s is not None:
        parameters["step"] = step_s
    rows = ask(client, build(by, only, step_s), parameters)
    return [_spend(row, by) for row in rows]


def _whole_days(window: Window, step_s: int | None) -> bool:
    return (
        window.start % DAY == 0
        and window.end % DAY == 0
        and (step_s is None or step_s % (DAY // SECOND) == 0)
    )


def _spans_sql(by: Sequence[str], only: Mapping[str, str], step_s: int | None) -> str:
    groups = [f"{DIMENSIONS[name]} AS by_{name}" for name in by]
    if step_s is not None:
        groups.append(
            "toUnixTimestamp(toStartOfInterval(start_time, toIntervalSecond({step:UInt32}), 'UTC')) AS bucket"
        )
    where = ["project = {project:String}", "billable", IN_SPANS]
    where += [f"{DIMENSIONS[name]} = {{only_{name}:String}}" for name in only]
    return _select(groups, _FROM_SPANS, "spans", where)


def _days_sql(by: Sequence[str], only: Mapping[str, str], step_s: int | None) -> str:
    groups = [f"{name} AS by_{name}" for name in by]
    if step_s is not None:
        groups.append(
            "toUnixTimestamp(toStartOfInterval(toDateTime(day, 'UTC'), toIntervalSecond({step:UInt32}), 'UTC'))"
            " AS bucket"
        )
    where = [
        "project = {project:String}",
        "day >= toDate(fromUnixTimestamp64Nano({start:Int64}, 'UTC'))",
        "day < toDate(fromUnixTimestamp64Nano({end:Int64}, 'UTC'))",
    ]
    where += [f"{name} = {{only_{name}:String}}" for name in only]
    return _select(groups, _FROM_DAYS, "cost_day", where)


def _select(groups: Sequence[str], sums: str, table: str, where: Sequence[str]) -> str:
    names = [group.rsplit(" AS ", 1)[1] for group in groups]
    return statement(
        f"SELECT {', '.join([*groups, sums])} FROM {table} WHERE",  # noqa: S608
        every(where),
        f"GROUP BY {', '.join(names)}" if names else "",
        f"ORDER BY {', '.join(['cost_sum DESC', *names])} LIMIT 5000",
    )


def _spend(row: Row, by: Sequence[str]) -> Spend:
    bucket = row.get("bucket")
    return Spend(
        group=tuple(str(row[f"by_{name}"]) for name in by),
        bucket=None if bucket is None else int(bucket),
        calls=int(row.get("calls_", row.get("calls", 0))),
        errors=int(row.get("errors_", row.get("errors", 0))),
        unpriced=int(row.get("unpriced_", row.get("unpriced", 0))),
        input_tokens=int(row["tokens_in"]),
        output_tokens=int(row["tokens_out"]),
        cost=Decimal(row["cost_sum"]),
        saved=Decimal(row["saved_sum"]),
    )
