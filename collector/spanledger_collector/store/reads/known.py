"""Traces and response ids of a batch in; what the table already holds of them out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from spanledger_collector.store.clickhouse import Client

LOOK_BACK_NS = 60 * 10**9
"""A span of the same call may have started this much earlier than what is asked about."""
_MAX_RANGES = 50
_GAP_NS = 120 * 10**9

_SELECT = """
SELECT project, trace_id, span_id, hex(parent_span_id), operation, provider, request_model, response_model,
    response_id, scope, toUnixTimestamp64Nano(start_time), duration_ns,
    input_tokens + ifNull(cache_read_tokens, 0) + ifNull(cache_write_tokens, 0)
        + ifNull(cache_write_1h_tokens, 0) + ifNull(input_audio_tokens, 0),
    output_tokens + ifNull(reasoning_tokens, 0) + ifNull(output_audio_tokens, 0),
    billable
FROM spans
WHERE project IN (SELECT unhex(arrayJoin(splitByChar(',', '{projects}'))))
    AND ({ranges})
    AND (trace_id IN (SELECT toFixedString(unhex(arrayJoin(splitByChar(',', '{traces}'))), 16)){responses})
"""


@dataclass(frozen=True, slots=True)
class Known:
    """A stored span, as far as duplicates of it can be told by. Totals include their parts."""

    project: str
    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes
    operation: str
    provider: str
    request_model: str
    response_model: str
    response_id: str
    scope: str
    start_time: int
    duration_ns: int
    input_total: int | None
    output_total: int | None
    billable: bool


def known_spans(
    client: Client,
    projects: Iterable[str],
    traces: Iterable[bytes],
    response_ids: Iterable[str],
    moments: Sequence[int],
) -> list[Known]:
    """Stored spans of these traces, and stored calls with these response ids, that started near these moments (ns).

    Everything from outside goes into the statement as hexadecimal digits, because it can be far longer than
    the address line that bound parameters travel in.
    """
    answers = ",".join(value.encode("utf-8", "replace").hex() for value in response_ids)
    responses = (
        f" OR response_id IN (SELECT unhex(arrayJoin(splitByChar(',', '{answers}'))))" if answers else ""
    )
    query = _SELECT.format(
        projects=",".join(project.encode().hex() for project in projects),
        ranges=" OR ".join(_between(low, high) for low, high in ranges(moments)),
        traces=",".join(trace.hex() for trace in traces),
        responses=responses,
    )
    # The text index on output is of no use here, and analysing it for each batch costs more than the read.
    rows = client.query(query, settings={"max_query_size": 64 * 1024 * 1024}).result_rows
    return [Known(row[0], row[1], row[2], bytes.fromhex(row[3]), *row[4:]) for row in rows]


def _between(low: int, high: int) -> str:
    return f"start_time BETWEEN fromUnixTimestamp64Nano({low:d}) AND fromUnixTimestamp64Nano({high:d})"


def ranges(moments: Sequence[int]) -> list[tuple[int, int]]:
    """Few ranges of time that cover all moments: one late span must not make the engine read a year."""
    ordered = sorted(moments)
    found: list[tuple[int, int]] = []
    for moment in ordered:
        if found and moment - found[-1][1] <= _GAP_NS:
            found[-1] = (found[-1][0], moment)
        else:
            found.append((moment, moment))
    while len(found) > _MAX_RANGES:
        gaps = [(found[i + 1][0] - found[i][1], i) for i in range(len(found) - 1)]
        _, at = min(gaps)
        found[at : at + 2] = [(found[at][0], found[at + 1][1])]
    return [(low - LOOK_BACK_NS, high) for low, high in found]
