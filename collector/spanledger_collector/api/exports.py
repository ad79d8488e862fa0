"""/api/export: everything a filter matches, streamed as one CSV, JSONL or Parquet file."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from spanledger_collector.store.reads import export
from spanledger_collector.store.reads.export import Table

from .asking import Asked, Reader, Store
from .filters import Calls, Scores
from .formats import MEDIA_TYPES, Format, encoded

router = APIRouter(prefix="/api/export", tags=["export"])

Kind = Annotated[Format, Query(alias="format")]


@router.get("/calls", response_class=StreamingResponse)
def export_calls(
    store: Store,
    caller: Reader,
    window: Asked,
    which: Calls,
    kind: Kind = "csv",
    content: Annotated[bool, Query(description="With prompts, answers and attributes.")] = True,
) -> StreamingResponse:
    """Full records, oldest first. A broken transfer never looks complete."""
    return _file("calls", export.export_calls(store, caller.project, window, which, content=content), kind)


@router.get("/scores", response_class=StreamingResponse)
def export_scores(
    store: Store, caller: Reader, window: Asked, which: Scores, kind: Kind = "csv"
) -> StreamingResponse:
    """Scores by name and time."""
    return _file("scores", export.export_scores(store, caller.project, window, which), kind)


def _file(name: str, tables: Iterator[Table], kind: Format) -> StreamingResponse:
    # The first page is read here, so that a refusal is still a problem and no cut file.
    first = next(tables)
    return StreamingResponse(
        encoded(chain([first], tables), kind),
        media_type=MEDIA_TYPES[kind],
        headers={"Content-Disposition": f'attachment; filename="spanledger-{name}.{kind}"'},
    )
