"""What the paths of the query API share: the reader, the window of time, page sizes and ids."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import Depends, Path, Query, Request

from spanledger_collector.store.reads.asking import Client
from spanledger_collector.store.reads.window import Window

from .callers import Caller, caller_with
from .problems import Refusal
from .times import moment


def client_of(request: Request) -> Client:
    """The read-only client of the app."""
    client: Client = request.app.state.client
    return client


def window_of(
    since: Annotated[
        str, Query(max_length=40, description="ISO 8601, nanoseconds, or an age: `24h`.")
    ] = "24h",
    until: Annotated[str, Query(max_length=40, description="As `since`; exclusive.")] = "now",
) -> Window:
    """The window a request asks for; by default the last 24 hours."""
    now = time.time_ns()
    try:
        # One second of grace, so that a call that just ended is in the default window.
        return Window(moment(since, now), moment(until, now) + (10**9 if until == "now" else 0))
    except ValueError as wrong:
        raise Refusal(422, str(wrong)) from None


Reader = Annotated[Caller, Depends(caller_with("read"))]
Store = Annotated[Client, Depends(client_of)]
Asked = Annotated[Window, Depends(window_of)]
Limit = Annotated[int, Query(ge=1, le=1000, description="Rows of one page.")]
Cursor = Annotated[
    str, Query(alias="cursor", max_length=1000, description="`next` of the page before; empty for the first.")
]
TraceId = Annotated[str, Path(pattern="^[0-9a-fA-F]{32}$")]
SpanId = Annotated[str, Path(pattern="^[0-9a-fA-F]{16}$")]
