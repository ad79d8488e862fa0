"""A finished call in, its spans in the journal out: one for the request and, below it, one per attempt."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import orjson

from spanledger import semconv
from spanledger.otlp import AttributeValue
from spanledger.recorder import Recorder
from spanledger.serving.answers import Answer
from spanledger.serving.asks import Ask, Endpoint
from spanledger.serving.protocols.values import integer, number
from spanledger.serving.relay import READ_BODY

from . import metrics
from .calls import Attempt, Call

logger = logging.getLogger("spanledger.gateway")

Attributes = dict[str, AttributeValue]

OPERATIONS: dict[Endpoint, str] = {
    "chat": "chat",
    "responses": "chat",
    "messages": "chat",
    "embeddings": "embeddings",
}


_SAMPLING = ((semconv.TEMPERATURE, "temperature"), (semconv.TOP_P, "top_p"))


class Recording:
    """Writes calls to the SDK's journal."""

    def __init__(self, recorder: Recorder, *, content: bool) -> None:
        self._recorder = recorder
        self._content = content

    def record(self, call: Call, ended: int) -> None:
        """Record the call. Never raises: a caller must not suffer from it."""
        try:
            common = _common(call)
            for attempt in call.attempts:
                self._attempt(call, attempt, ended, common.copy())
            self._request(call, ended, common)
        except Exception:
            metrics.RECORDING_ERRORS.inc()
            logger.debug("a call could not be recorded", exc_info=True)

    def shadow(self, call: Call, attempt: Attempt) -> None:
        """Record a shadow attempt below its call's request. Never raises."""
        try:
            attributes = _common(call)
            attributes[semconv.PURPOSE] = "shadow"
            attributes[semconv.STREAM] = False
            self._attempt(call, attempt, attempt.ended, attributes)
        except Exception:
            metrics.RECORDING_ERRORS.inc()
            logger.debug("a shadow call could not be recorded", exc_info=True)

    def _request(self, call: Call, ended: int, attributes: Attributes) -> None:
        is_billable = call.entry is not None
        attributes[semconv.BILLABLE] = is_billable
        attributes[semconv.CACHE] = call.cache or None
        if call.first_answer:
            attributes[semconv.TTFT_S] = (call.first_answer - call.started) / 1e9
        if call.error_type:
            attributes[semconv.ERROR_TYPE] = call.error_type
        if call.entry is not None:
            self._hit(call, attributes, ended)
        elif self._content and call.served_by is None:
            _prompt(call.ask, attributes)
        attributes[semconv.BILLABLE_REASON] = None if is_billable else semconv.REASON_REQUEST
        served = call.served_by
        if served is not None:
            attributes[semconv.UPSTREAM] = served.target.upstream
            attributes[semconv.FALLBACK_FROM] = served.fallback_from or None
        self._recorder.record(
            f"{call.endpoint} {call.ask.model}",
            trace_id=call.trace_id,
            span_id=call.span_id,
            parent_span_id=call.parent_span_id,
            start_time=call.started,
            end_time=max(ended, call.started),
            attributes=attributes,
            status=call.status,
            status_message=call.message,
            kind="server",
            sampled=call.sampled,
        )

    def _hit(self, call: Call, attributes: Attributes, ended: int) -> None:
        entry = call.entry
        if entry is None:
            return
        answer = READ_BODY[call.endpoint](orjson.loads(entry.body))
        attributes[semconv.PROVIDER] = entry.provider
        attributes[semconv.CACHE_ENTRY] = call.digest
        attributes[semconv.CACHE_AGE_NS] = max(0, ended - entry.stored_at)
        attributes[semconv.COST_SAVED] = entry.cost or None
        _answer(answer, attributes, self._content)
        if self._content:
            _prompt(call.ask, attributes)

    def _attempt(self, call: Call, attempt: Attempt, ended: int, attributes: Attributes) -> None:
        attributes[semconv.BILLABLE] = attempt.reached
        if not attempt.reached:
            attributes[semconv.BILLABLE_REASON] = "no answer came of this attempt"
        attributes[semconv.CACHE] = call.cache or None
        attributes[semconv.UPSTREAM] = attempt.target.upstream
        attributes[semconv.ATTEMPT] = attempt.number
        attributes[semconv.FALLBACK_FROM] = attempt.fallback_from or None
        attributes[semconv.ROUTE_REASON] = attempt.reason or (
            f"budget {call.stepped_down}" if call.stepped_down else None
        )
        attributes[semconv.REQUEST_MODEL] = attempt.target.model
        attributes[semconv.PROVIDER] = attempt.provider
        if attempt.engine is not None:
            attributes[semconv.ENGINE_RUNNING] = attempt.engine.running
            attributes[semconv.ENGINE_WAITING] = attempt.engine.waiting
            attributes[semconv.ENGINE_KV_USAGE] = attempt.engine.kv_usage
            attributes[semconv.ENGINE_PREFIX_HITS] = attempt.engine.prefix_hits
        attributes[semconv.GPU_POOL] = attempt.upstream.gpu_pool or None
        attributes[semconv.SERVER_ADDRESS] = urlsplit(attempt.upstream.base_url).hostname
        if attempt.first_content:
            attributes[semconv.TTFT_S] = (attempt.first_content - attempt.started) / 1e9
        if attempt.failure is not None:
            attributes[semconv.ERROR_TYPE] = attempt.failure.error_type
        if attempt.reached:
            _answer(attempt.answer, attributes, self._content)
            if self._content:
                _prompt(call.ask, attributes)
        if attempt.usage is not None:
            attributes.update(attempt.usage.attributes())
        self._recorder.record(
            f"{OPERATIONS[call.endpoint]} {attempt.target.model}",
            trace_id=call.trace_id,
            span_id=attempt.span_id,
            parent_span_id=call.span_id,
            start_time=attempt.started,
            end_time=max(attempt.ended or ended, attempt.started),
            attributes=attributes,
            status=attempt.status,
            status_message=attempt.failure.message if attempt.failure else "",
            kind="client",
            sampled=call.sampled,
        )


def cost_text(cost: Decimal) -> str:
    """USD as a plain decimal string."""
    return format(cost.normalize(), "f") if cost else "0"


def _common(call: Call) -> Attributes:
    ask = call.ask
    attributes: Attributes = {
        semconv.PROJECT: call.key.project,
        semconv.KEY_ID: call.key.id,
        semconv.OPERATION: OPERATIONS[call.endpoint],
        semconv.REQUEST_MODEL: ask.model,
        semconv.ROUTE: ask.model,
        semconv.STREAM: ask.stream,
        semconv.MAX_TOKENS: ask.max_tokens,
        semconv.TEAM: call.key.team or None,
        semconv.SEED: integer(ask.body.get("seed")),
    }
    for name, field in _SAMPLING:
        if (value := ask.body.get(field)) is not None:
            attributes[name] = number(value)
    for header, name in semconv.REQUEST_HEADERS.items():
        if value := call.headers.get(header):
            attributes[name] = value
    if semconv.USER_ID not in attributes and ask.user:
        attributes[semconv.USER_ID] = ask.user
    _tags(attributes)
    _prompt_name(attributes)
    return attributes


def _tags(attributes: Attributes) -> None:
    tags = attributes.get(semconv.TAGS)
    if isinstance(tags, str):
        attributes[semconv.TAGS] = [tag for part in tags.split(",") if (tag := part.strip())]


def _prompt_name(attributes: Attributes) -> None:
    """``name@version`` or ``name@label``, as the header says it."""
    name = attributes.get(semconv.PROMPT_NAME)
    if isinstance(name, str) and "@" in name:
        attributes[semconv.PROMPT_NAME], _, release = name.rpartition("@")
        if release.isdigit():
            attributes[semconv.PROMPT_VERSION] = int(release)
        else:
            attributes[semconv.PROMPT_LABEL] = release


def _prompt(ask: Ask, attributes: Attributes) -> None:
    prompt = ask.prompt
    if ask.endpoint == "embeddings":
        attributes[semconv.INPUT] = _json(prompt)
        return
    if isinstance(prompt, str):
        prompt = [{"role": "user", "content": prompt}]
    attributes[semconv.INPUT_MESSAGES] = _json(prompt)
    if ask.system:
        attributes[semconv.SYSTEM_INSTRUCTIONS] = (
            ask.system if isinstance(ask.system, str) else _json(ask.system)
        )


def _answer(answer: Answer, attributes: Attributes, content: bool) -> None:
    attributes[semconv.RESPONSE_ID] = answer.id or None
    attributes[semconv.RESPONSE_MODEL] = answer.model or None
    attributes[semconv.FINISH_REASONS] = answer.finish_reasons or None
    attributes[semconv.OPENAI_SERVICE_TIER] = answer.service_tier or None
    attributes[semconv.REGION] = answer.region or None
    if content and answer.choices:
        attributes[semconv.OUTPUT_MESSAGES] = _json(answer.messages())


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
