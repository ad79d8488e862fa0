"""What may leave the process: a finished span in, the same span without what must stay out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, cast

from spanledger import redaction, semconv, snapshot
from spanledger.settings import Settings
from spanledger.span_facts import AttributeValue, Event, SpanFacts

logger = logging.getLogger("spanledger")
Mask = Callable[[str], str]

CONTENT: Final = frozenset((
    semconv.INPUT_MESSAGES, semconv.OUTPUT_MESSAGES, semconv.SYSTEM_INSTRUCTIONS, semconv.INPUT, semconv.OUTPUT,
    semconv.RETRIEVAL_DOCUMENTS, "gen_ai.tool.call.arguments", "gen_ai.tool.call.result", "gen_ai.tool.definitions",
    "gen_ai.prompt", "gen_ai.completion", "gen_ai.retrieval.query.text", "input.value", "output.value",
    "traceloop.entity.input", "traceloop.entity.output", "langfuse.observation.input",
    "langfuse.observation.output", "langfuse.trace.input", "langfuse.trace.output", "ai.prompt", "ai.response.text",
    "ai.prompt.messages", "db.query.text", "db.statement", semconv.SCORE_EXPLANATION,
))  # fmt: skip
"""Attributes that hold prompts, answers, arguments or results, ours and other instrumentations'."""

_CONTENT_PREFIXES: Final = (
    "gen_ai.prompt.", "gen_ai.completion.", "llm.input_messages.", "llm.output_messages.", "llm.prompts.",
    "retrieval.documents.", "reranker.", "embedding.embeddings.",
)  # fmt: skip

_BARE: Final = frozenset((
    semconv.OPERATION, semconv.PROVIDER, semconv.REQUEST_MODEL, semconv.RESPONSE_MODEL, semconv.RESPONSE_ID,
    semconv.FINISH_REASONS, semconv.STREAM, semconv.TTFT_S, semconv.TPOT_NS, semconv.INPUT_TOKENS,
    semconv.OUTPUT_TOKENS, semconv.CACHE_READ_TOKENS, semconv.CACHE_WRITE_TOKENS, semconv.CACHE_WRITE_1H_TOKENS,
    semconv.REASONING_TOKENS, semconv.INPUT_AUDIO_TOKENS, semconv.OUTPUT_AUDIO_TOKENS, semconv.IMAGE_UNITS,
    semconv.INPUT_IMAGE_TOKENS, semconv.OUTPUT_IMAGE_TOKENS, semconv.WEB_SEARCHES, semconv.REGION, semconv.GPU_POOL,
    semconv.USAGE_ESTIMATED, semconv.OPENAI_SERVICE_TIER, semconv.STATUS, semconv.ERROR_TYPE, semconv.TEAM,
    semconv.BILLABLE, semconv.BILLABLE_REASON, semconv.CACHE, semconv.COST_SAVED, semconv.ROUTE,
    semconv.UPSTREAM, semconv.ATTEMPT, semconv.FALLBACK_FROM, semconv.SERVER_ADDRESS, semconv.SAMPLE_RATE,
))  # fmt: skip
"""What is left with ``capture="none"``: enough to count and to price a call, nothing a person wrote."""


def is_content(name: str) -> bool:
    """Whether an attribute of this name holds what people or models wrote."""
    return name in CONTENT or name.startswith(_CONTENT_PREFIXES)


class Privacy:
    """Applied to each span before it is stored. The order: capture, mask, redaction."""

    def __init__(self, settings: Settings, mask: Mask | None = None) -> None:
        self._capture = settings.capture
        self._mask = mask
        self._redact = redaction.Redactor(settings.redact) if settings.redact else None
        self.needed = self._capture != "full" or mask is not None or self._redact is not None
        """Whether there is anything to do."""
        self.mask_failures = 0

    def __call__(self, span: SpanFacts) -> None:
        """Change the span's attributes and events in place of the originals."""
        self._strict(span)

    def _strict(self, span: SpanFacts) -> None:
        facts = snapshot.decoded(span.attributes)
        if self._capture == "none":
            facts = {name: value for name, value in facts.items() if name in _BARE}
            _replace_events(span, [])
            span.status_message = ""
        elif self._capture == "metadata":
            facts = {name: value for name, value in facts.items() if not is_content(name)}
        if self._mask is not None or self._redact is not None:
            facts = self._clean(facts)
            span.status_message = self._text(span.status_message)[0]
            _replace_events(
                span, [(name, when, self._clean(dict(pairs))) for name, when, pairs in span.events]
            )
        span.attributes = facts

    def _clean(self, facts: dict[str, AttributeValue]) -> dict[str, AttributeValue]:
        found = 0
        for name, value in facts.items():
            if isinstance(value, str) and name not in _BARE:
                facts[name], count = self._text(value)
                found += count
            elif isinstance(value, tuple | list | dict):
                facts[name], count = self._nested(value)
                found += count
        if found:
            facts[semconv.REDACTIONS] = found
        return facts

    def _nested(self, value: object) -> tuple[Any, int]:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, dict):
            pairs = {str(k): self._nested(item) for k, item in cast(dict[object, object], value).items()}
            return {key: item for key, (item, _) in pairs.items()}, sum(count for _, count in pairs.values())
        if isinstance(value, tuple | list):
            items = [self._nested(item) for item in cast(list[object], value)]
            return tuple(item for item, _ in items), sum(count for _, count in items)
        return value, 0

    def _text(self, value: str) -> tuple[str, int]:
        if self._mask is not None:
            try:
                value = self._mask(value)
            except Exception:  # the application's hook; what it could not mask must not leave
                self.mask_failures += 1
                if self.mask_failures == 1:
                    logger.warning("mask= raised; such fields are replaced by a mark.", exc_info=True)
                value = "<mask failed>"
        return self._redact(value) if self._redact is not None and value else (value, 0)


def _replace_events(span: SpanFacts, events: list[Event]) -> None:
    if span.events:
        span.events = events  # pyright: ignore[reportAttributeAccessIssue]  # read-only for the encoder alone
