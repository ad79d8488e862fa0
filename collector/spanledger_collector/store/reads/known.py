"""Traces and response ids of a batch in; what the table already holds of them out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from spanledger_collector.store.clickhouse import Client

LOOK_BACK_NS = 60 * 10**9
"""A span of the same call may have started this much earlier than what is asked about."""
_MAX_RANGES = 50
_GAP_NS = 120 * 10**9

_INPUT = """input_tokens + ifNull(cache_read_tokens, 0) + ifNull(cache_write_tokens, 0)
        + ifNull(cache_write_1h_tokens, 0) + ifNull(input_audio_tokens, 0) + ifNull(input_image_tokens, 0)"""
_OUTPUT = """output_tokens + ifNull(reasoning_tokens, 0) + ifNull(output_audio_tokens, 0)
        + ifNull(output_image_tokens, 0)"""
_WHERE = (
    " FROM spans WHERE project IN (SELECT unhex(arrayJoin(splitByChar(',', '{projects}')))) AND ({ranges})"
)
_SELECT = f"""
SELECT project, trace_id, span_id, hex(parent_span_id), operation, provider, request_model, response_model,
    response_id, service, scope, toUnixTimestamp64Nano(start_time), duration_ns, {_INPUT}, {_OUTPUT}, billable, purpose
{_WHERE} AND ({{found}}) LIMIT 200000"""
_SCOPES = f"SELECT DISTINCT project, scope{_WHERE} AND billable"
_MAX_USAGES = 2000


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
    service: str
    scope: str
    start_time: int
    duration_ns: int
    input_total: int | None
    output_total: int | None
    billable: bool
    purpose: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a batch may be known already. ``moments`` are ns; ``scopes`` are project and scope of its calls;
    ``roots`` are root calls' scope and total usage."""

    projects: Iterable[str]
    traces: Iterable[bytes]
    moments: Sequence[int]
    scopes: Iterable[tuple[str, str]] = ()
    response_ids: Iterable[str] = ()
    roots: Iterable[tuple[str, int, int]] = ()
    look_back_ns: int = LOOK_BACK_NS


def known_spans(client: Client, asked: Asked) -> list[Known]:
    """Stored spans of these traces; and stored calls that another instrumentation may have told in another trace.

    The second is asked only where a project has calls of more than one instrumentation: few have, and looking
    for thousands of response ids costs the engine more than storing their spans.
    Everything from outside goes into the statement as hexadecimal digits, because it can be far longer than
    the address line that bound parameters travel in.
    """
    where = {
        "projects": _hex(asked.projects),
        "ranges": " OR ".join(_between(low, high) for low, high in ranges(asked.moments, asked.look_back_ns)),
    }
    traces = ",".join(trace.hex() for trace in asked.traces)
    found = f"trace_id IN (SELECT toFixedString(unhex(arrayJoin(splitByChar(',', '{traces}'))), 16))"
    if _others(client, asked.scopes, where):
        found += _elsewhere(asked)
    query = _SELECT.format(**where, found=found)
    rows = client.query(query, settings=_LONG).result_rows
    return [Known(row[0], row[1], row[2], bytes.fromhex(row[3]), *row[4:]) for row in rows]


_LONG = {"max_query_size": 64 * 1024 * 1024}


def _others(client: Client, scopes: Iterable[tuple[str, str]], where: dict[str, str]) -> bool:
    """Whether calls are stored that another scope told than those asked about; an empty scope may be any."""
    mine = set(scopes)
    if not mine:
        return False
    stored: set[tuple[str, str]] = {
        (row[0], row[1]) for row in client.query(_SCOPES.format(**where), settings=_LONG).result_rows
    }
    return len({scope for _, scope in mine | stored}) > 1 or any(not scope for _, scope in mine)


def _elsewhere(asked: Asked) -> str:
    answers = _hex(asked.response_ids)
    found = f" OR response_id IN (SELECT unhex(arrayJoin(splitByChar(',', '{answers}'))))" if answers else ""
    return found + _roots(asked.roots)


def _hex(values: Iterable[str]) -> str:
    return ",".join(value.encode("utf-8", "replace").hex() for value in values)


def _roots(roots: Iterable[tuple[str, int, int]]) -> str:
    """Root calls with the same tokens that another instrumentation told; most projects have one, and read nothing."""
    by_scope: dict[str, set[tuple[int, int]]] = {}
    for scope, total_in, total_out in roots:
        usages = by_scope.setdefault(scope, set())
        if len(usages) < _MAX_USAGES:
            usages.add((total_in, total_out))
    return "".join(
        f" OR (billable AND parent_span_id = '' AND scope != unhex('{_hex([scope])}') AND ({_INPUT}, {_OUTPUT})"
        f" IN ({', '.join(f'({a:d}, {b:d})' for a, b in sorted(usages))}))"
        for scope, usages in by_scope.items()
    )


def _between(low: int, high: int) -> str:
    return f"start_time BETWEEN fromUnixTimestamp64Nano({low:d}) AND fromUnixTimestamp64Nano({high:d})"


def ranges(moments: Sequence[int], look_back_ns: int = LOOK_BACK_NS) -> list[tuple[int, int]]:
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
    return [(low - look_back_ns, high) for low, high in found]
