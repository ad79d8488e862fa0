"""/api/calls, /api/traces, /api/sessions and /api/users: filters in, pages out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Query

from spanledger_collector.store.reads import calls as reads
from spanledger_collector.store.reads import people, traces

from .asking import Asked, Cursor, Limit, Reader, SpanId, Store, TraceId
from .filters import Calls
from .lines import CallPage, PersonBody, PersonPage, TraceBody, plain
from .paging import cursor, key_of
from .problems import Refusal

router = APIRouter(prefix="/api", tags=["calls"])


@router.get("/calls")
def list_calls(
    store: Store,
    caller: Reader,
    window: Asked,
    which: Calls,
    order: Annotated[Literal["newest", "oldest"], Query()] = "newest",
    limit: Limit = 100,
    after: Cursor = "",
) -> CallPage:
    """Calls of the window, a page at a time; new calls do not shift the pages that follow."""
    rows = reads.calls(
        store,
        caller.project,
        window,
        which,
        descending=order == "newest",
        limit=limit,
        after=_after(after, order),
    )
    following = cursor(order, *(rows[-1][name] for name in ("start_ns", "trace", "span"))) if rows else None
    return CallPage(calls=cast(Any, rows), next=following if len(rows) == limit else None)


@router.get("/calls/{trace_id}/{span_id}")
def get_call(store: Store, caller: Reader, trace_id: TraceId, span_id: SpanId) -> dict[str, Any]:
    """One span with everything recorded about it."""
    found = traces.span(store, caller.project, trace_id, span_id)
    if found is None:
        raise Refusal(404, f"there is no span {span_id} in trace {trace_id}")
    return plain(found)


@router.get("/traces/{trace_id}")
def get_trace(store: Store, caller: Reader, trace_id: TraceId) -> TraceBody:
    """A trace: its spans without content, and its scores."""
    spans = traces.trace(store, caller.project, trace_id)
    if not spans:
        raise Refusal(404, f"there is no trace {trace_id}")
    scores = traces.trace_scores(store, caller.project, trace_id)
    return TraceBody(
        trace_id=trace_id.lower(), spans=[plain(row) for row in spans], scores=[plain(row) for row in scores]
    )


@router.get("/sessions")
def sessions(
    store: Store,
    caller: Reader,
    window: Asked,
    order: people.Order = "last",
    limit: Limit = 100,
    after: Cursor = "",
) -> PersonPage:
    """Sessions with a span in the window: what they did and cost. `/api/calls?session_id=` lists their calls."""
    asked = _person_after(after, order)
    found = people.people(store, caller.project, window, "session_id", order=order, limit=limit, after=asked)
    return _people(found, order, limit)


@router.get("/users")
def users(
    store: Store,
    caller: Reader,
    window: Asked,
    order: people.Order = "last",
    limit: Limit = 100,
    after: Cursor = "",
) -> PersonPage:
    """Users with a span in the window: what they did and cost. `/api/calls?user_id=` lists their calls."""
    asked = _person_after(after, order)
    found = people.people(store, caller.project, window, "user_id", order=order, limit=limit, after=asked)
    return _people(found, order, limit)


def _after(text: str, order: str) -> reads.After | None:
    if not text:
        return None
    named, start, trace, span = key_of(text, str, int, str, str)
    if named != order or not _is_hex(trace, 32) or not _is_hex(span, 16):
        raise Refusal(422, "cursor is of another order: begin again without it")
    return reads.After(start=int(start), trace=str(trace), span=str(span))


def _is_hex(value: object, digits: int) -> bool:
    return isinstance(value, str) and len(value) == digits and set(value) <= set("0123456789abcdef")


def _person_after(text: str, order: str) -> people.PersonAfter | None:
    if not text:
        return None
    named, value, name = key_of(text, str, str, str)
    if named != order or not reads_as_number(str(value)):
        raise Refusal(422, "cursor is of another order: begin again without it")
    return people.PersonAfter(value=str(value), id=str(name))


def reads_as_number(value: str) -> bool:
    """Whether a text is a plain decimal number of at most 28 digits."""
    whole, _, rest = value.removeprefix("-").partition(".")
    return (whole + rest).isascii() and (whole + rest).isdigit() and len(whole) <= 19 and len(rest) <= 9


def _people(found: Sequence[people.Person], order: people.Order, limit: int) -> PersonPage:
    last = found[-1] if len(found) == limit else None
    following = (
        cursor(order, format(getattr(last, order), "f" if order == "cost" else "d"), last.id)
        if last
        else None
    )
    items = [PersonBody.model_validate(entry, from_attributes=True) for entry in found]
    return PersonPage(items=items, next=following)
