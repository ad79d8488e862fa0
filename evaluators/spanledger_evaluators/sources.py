"""Where datasets come from beside files: the registry, calls by filter, and calls that somebody marked.

A call is marked by a score named ``dataset`` whose label is the dataset's name: ``spanledger.score("dataset", "refunds")``
in the application, ``POST /api/scores``, or a click on its page. The mark's comment becomes the case's reference.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .contract import Case
from .datasets import SPLIT, Dataset, DatasetError, case_of, load_dataset, row_of
from .server import Collector, NotThere, Query, Row
from .stats.sampling import chosen, draw
from .traces import case_of as case_of_trace
from .traces import is_below

REGISTRY = "dataset:"
MARK = "dataset"
_TOGETHER = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """A call that somebody chose; ``reference`` is what they said the answer should be, or empty."""

    trace_id: str
    span_id: str
    reference: str = ""


async def load(address: str, collector: Collector) -> Dataset:
    """A dataset by ``dataset:NAME``, ``dataset:NAME@VERSION`` (of the registry), or the path of a file.

    Raises:
        DatasetError: it holds no dataset.
        CollectorError: the registry does not have it, or is away.
    """
    if not address.startswith(REGISTRY):
        return load_dataset(Path(address))
    name, version = named(address)
    entry = await collector.document("dataset", name, version)
    rows: Sequence[Mapping[str, Any]] = entry["document"].get("cases") or []
    if not rows:
        raise DatasetError(f"{address}: the dataset holds no case")
    return Dataset(
        name=name, cases=tuple(_case(row, f"{address}: case {at}") for at, row in enumerate(rows, 1))
    )


def named(address: str) -> tuple[str, int | None]:
    """Name and version of ``dataset:NAME@VERSION``."""
    name, mark, version = address.removeprefix(REGISTRY).rpartition("@")
    if mark and version.isdecimal():
        return name, int(version)
    return address.removeprefix(REGISTRY), None


async def store(dataset: Dataset, name: str, collector: Collector, note: str = "") -> int:
    """Write a dataset to the registry as a new version of ``name``; the version. Equal cases make no new one."""
    held: Row = {}
    with suppress(NotThere):
        held = (await collector.document("dataset", name))["document"]
    document: Row = {**held, "cases": [row_of(case) for case in dataset.cases]}
    return int((await collector.put_document("dataset", name, document, note))["version"])


async def from_calls(collector: Collector, query: Query, *, limit: int, rate: float = 1.0) -> list[Case]:
    """Cases of the calls that ``query`` (as ``GET /api/calls`` takes it) finds, newest last; at most ``limit``.

    ``rate`` keeps this share of the traces, by a hash of their ids, so that the same question gives the same cases.
    """
    found: list[Row] = []
    async for row in collector.calls(query):
        if chosen(str(row["trace_id"]), rate):
            found.append(row)
        if len(found) == limit:
            break
    marked = [Marked(trace_id=row["trace_id"], span_id=row["span_id"]) for row in found]
    return await _cases(collector, query, marked)


async def marked_calls(collector: Collector, label: str, query: Query, *, limit: int) -> list[Case]:
    """Cases of the calls marked with this label in the window of ``query``; at most ``limit``."""
    marks = [
        Marked(trace_id=row["trace_id"], span_id=row["span_id"], reference=row.get("explanation") or "")
        async for row in collector.scores({**query, "name": MARK})
        if row.get("label") == label
    ]
    return await _cases(collector, query, marks[:limit])


def with_splits(cases: Sequence[Case], shares: Mapping[str, float]) -> list[Case]:
    """The cases, each in one split; the same case always falls into the same one (by a hash of its id).

    Cases of one cluster go together, so that no split has seen another's source. Raises DatasetError unless the
    shares are above 0 and add up to 1.
    """
    if not shares or min(shares.values()) <= 0 or abs(sum(shares.values()) - 1) > 1e-9:
        raise DatasetError("splits are NAME=SHARE with shares above 0 that add up to 1")
    return [replace(case, metadata={**case.metadata, SPLIT: _split_of(case, shares)}) for case in cases]


def _split_of(case: Case, shares: Mapping[str, float]) -> str:
    place, reached = draw(case.cluster or case.id, salt="split"), 0.0
    for name, share in shares.items():
        reached += share
        if place < reached:
            return name
    return list(shares)[-1]


async def _cases(collector: Collector, query: Query, marked: Sequence[Marked]) -> list[Case]:
    window = {name: value for name, value in query.items() if name in ("since", "until")}
    seats = asyncio.Semaphore(_TOGETHER)

    async def one(mark: Marked) -> Case | None:
        async with seats:
            asked = {**window, "show": "all", "trace_id": mark.trace_id}
            spans: list[Any] = [_Span(row) async for row in collector.calls(asked)]
        call = _call_of(spans, mark.span_id)
        if call is None:
            return None
        case = case_of_trace(call, spans)
        facts = {"trace_id": mark.trace_id, "span_id": call.span_id}
        metadata = {
            name: value for name, value in {**case.metadata, **facts}.items() if value not in (None, "")
        }
        return replace(case, reference=mark.reference or case.reference, metadata=metadata)

    found = await asyncio.gather(*(one(mark) for mark in marked))
    return list({case.id: case for case in found if case is not None}.values())


class _Span:
    """A row of an export with its columns as attributes."""

    def __init__(self, row: Row) -> None:
        self._row = row

    def __getattr__(self, name: str) -> Any:
        try:
            return self._row[name]
        except KeyError:
            raise AttributeError(name) from None


def _call_of(spans: Sequence[Any], span_id: str) -> Any:
    """The marked span if it tells an answer, else the last model call below it; of a whole trace, as of its root."""
    marked = next(
        (span for span in spans if (span.span_id == span_id if span_id else not span.parent_span_id)), None
    )
    if marked is None or marked.output:
        return marked
    calls = [span for span in spans if span.billable and is_below(span, marked, spans)]
    return calls[-1] if calls else None


def _case(row: Mapping[str, Any], where: str) -> Case:
    try:
        return case_of(row)
    except (TypeError, ValueError) as wrong:
        raise DatasetError(f"{where}: {wrong}") from wrong
