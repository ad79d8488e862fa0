"""The public functions: what an application calls. None of them raises for the collector's sake."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from os import PathLike
from typing import Any, Literal, Unpack

from opentelemetry import trace

from spanledger import active, runtime, semconv
from spanledger.active import ActiveSpan, tell
from spanledger.privacy import Mask
from spanledger.recorder import Counters
from spanledger.settings import load
from spanledger.telling import About, Told
from spanledger.tracing.current import KEY, variable
from spanledger.tracing.span import LedgerSpan

logger = logging.getLogger("spanledger")


def init(
    *,
    project: str | None = None,
    team: str | None = None,
    endpoint: str | None = None,
    key: str | None = None,
    service: str | None = None,
    service_version: str | None = None,
    environment: str | None = None,
    home: str | PathLike[str] | None = None,
    enabled: bool | None = None,
    mode: Literal["journal", "memory"] | None = None,
    capture: Literal["none", "metadata", "full"] | None = None,
    mask: Mask | None = None,
    redact: bool | Iterable[str] | None = None,
    sample_rate: float | None = None,
    **more: Any,
) -> None:
    """Configure tracing. Every argument may also be a variable ``SPANLEDGER_<NAME>``; arguments win.

    Call it once at start, after an OpenTelemetry SDK if the application configures one: Spanledger then joins
    it as a span processor. Without one, Spanledger is OpenTelemetry's tracer provider, so that instrumentations
    work. Calling it again replaces the configuration.

    Args:
        project: Whose ledger; the collector takes the project of the key where there is one.
        team: The team that pays, on every span.
        endpoint: The collector, ``http://127.0.0.1:4318`` by default.
        key: The ingest key.
        service: ``service.name``; the program's name by default.
        service_version: ``service.version``.
        environment: ``deployment.environment.name``.
        home: Where the journal lives, ``~/.spanledger`` by default.
        enabled: False: nothing is traced.
        mode: ``journal`` (survives kill -9) or ``memory`` (bounded, cheaper, lost with the process).
        capture: ``full``; ``metadata``: no prompts, answers, arguments or results; ``none``: only what
            counts and prices a call.
        mask: Called with each text before it leaves; returns the text to record. If it raises, the text is
            replaced by a mark.
        redact: True, or some of ``secrets``, ``card``, ``iban``, ``email``, ``phone``.
        sample_rate: Share of traces to keep, 0 to 1. Errors and costly calls are always kept.
        more: Any other setting of `spanledger.settings.Settings`.

    Raises:
        spanledger.settings.SettingsError: a value is not allowed; the message names it.
    """
    settings = load(
        project=project, team=team, endpoint=endpoint, key=key, service=service, environment=environment,
        service_version=service_version, home=home, enabled=enabled, mode=mode, capture=capture, redact=redact,
        sample_rate=sample_rate, **more,
    )  # fmt: skip
    runtime.start(settings, mask=mask)


def span(name: str, *, operation: str = "", kind: str = "internal", **told: Unpack[About]) -> ActiveSpan:
    """A span around a block of code, for ``with`` and ``async with``; takes what `update` takes.

    >>> with span("retrieve", operation="retrieval") as s:
    ...     s.update(documents=[{"id": "a", "content": "text", "score": 0.5}])
    """
    return active.open_span(name, kind, {"operation": operation or None, **told})


def update(**told: Unpack[Told]) -> None:
    """Say more about the current span. None says nothing; without a current span nothing happens.

    The first seven are handed down to every span below that starts afterwards, so that each model call knows for
    whom it was made.

    Args:
        told: By name:

            - ``user_id``: the end user; ``session_id``: the conversation; ``customer_id``: who is billed for it;
              ``feature``: the part of the application; ``team``: the team that pays, when not the process's;
              ``tags``: free words; ``purpose``, ``experiment``.
            - ``metadata``: names and values; each becomes ``spanledger.metadata.<name>``.
            - ``input``, ``output``: any value; ``input_messages``, ``output_messages``: a conversation.
            - ``documents``: retrieved sources (``id``, ``content``, ``score``, ``source``, ``updated_at``).
            - ``operation``, ``provider``, ``model``, ``response_model``, ``tool``, ``agent``.
            - ``usage``: ``input_tokens``, ``output_tokens``, ``cache_read_tokens``, ``cache_write_tokens``,
              ``reasoning_tokens``; totals include their parts.
            - ``attributes``: any OpenTelemetry attributes.

    Raises:
        TypeError: an argument that is none of these.

    >>> with span("answer"):
    ...     update(user_id="u1", session_id="s1", tags=["beta"], metadata={"plan": "pro"})
    """
    span = variable.get().get(KEY)
    if type(span) is LedgerSpan or (isinstance(span, trace.Span) and span.is_recording()):
        tell(span, told)


def score(
    name: str, value: float | bool | str, comment: str = "", *, trace_id: str = "", span_id: str = ""
) -> None:
    """Score the current span: a number, a boolean (1 or 0) or a label. Or, by its ids, one that is over.

    Args:
        name: What is scored.
        value: The verdict.
        comment: Why.
        trace_id: 32 hexadecimal digits (`ActiveSpan.trace_id`): score this trace, for example when its user says
            later how good an answer was. Sent to the collector by a thread; waits in memory while it is away.
        span_id: 16 hexadecimal digits: this span of that trace. Empty: the trace as a whole.

    Raises:
        ValueError: an id has not as many hexadecimal digits as it must.

    >>> with span("answer"):
    ...     score("helpful", True, comment="thumbs up")
    """
    if trace_id:
        from spanledger import scoring

        body, rt = scoring.body_of(name, value, comment, trace_id, span_id), runtime.current()
        if rt.enabled and rt.recorder.sends:
            scoring.outbox.put(rt.settings, body)
        return
    current = trace.get_current_span()
    if current.is_recording():
        current.add_event(semconv.EVALUATION_EVENT, active.score_facts(name, value, comment))


def flush(timeout_s: float = 5.0) -> bool:
    """Wait until everything recorded so far is at the collector; False when the time was too short."""
    rt, until = runtime.running(), time.monotonic() + timeout_s
    shipped = rt is None or rt.recorder.flush(timeout_s)
    return runtime.scores_sent(max(until - time.monotonic(), 0)) and shipped


def shutdown(timeout_s: float = 5.0) -> bool:
    """Flush and stop; False when something is still in the journal, where the next process finds it.

    Runs by itself at exit, within ``SPANLEDGER_EXIT_TIMEOUT_S``.
    """
    return runtime.stop(timeout_s)


def counters() -> Counters:
    """What became of this process's spans: recorded, shipped, kept, and dropped by reason."""
    rt = runtime.running()
    return rt.recorder.counters() if rt is not None else Counters(0, 0, 0, {})


def traceparent() -> str:
    """The current span as a W3C ``traceparent`` header; empty outside of any span."""
    return active.traceparent_of(trace.get_current_span())
