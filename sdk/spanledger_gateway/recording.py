"""A finished call in, its spans in the journal out: one for the request and, below it, one per attempt."""

from __future__ import annotations

import logging
from dataclasses import replace
from decimal import Decimal
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import orjson

from spanledger import semconv
from spanledger.journal.frames import FinishedSpan
from spanledger.recorder import Recorder, finished
from spanledger.serving.answers import Answer
from spanledger.serving.asks import Ask, Endpoint
from spanledger.serving.engine import Engine
from spanledger.serving.protocols.values import integer, number
from spanledger.serving.relay import READ_BODY
from spanledger.serving.semantic.recorded import untold
from spanledger.span_facts import AttributeValue

from . import metrics
from .calls import Attempt, Call, Meaning

logger = logging.getLogger("spanledger.gateway")

Attributes = dict[str, AttributeValue]

OPERATIONS: dict[Endpoint, str] = {
    "chat": "chat",
    "responses": "chat",
    "messages": "chat",
    "embeddings": "embeddings",
}


CHECK, EMBED = "cache_check", "cache_embed"
"""Purposes of calls that the cache makes itself: a hit asked again, a question embedded by an upstream."""

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
            spans = [self._attempt(call, attempt, ended, common) for attempt in call.attempts]
            spans.append(self._request(call, ended, common))
            self._recorder.take_all(spans)
        except Exception:
            metrics.RECORDING_ERRORS.inc()
            logger.debug("a call could not be recorded", exc_info=True)

    def shadow(self, call: Call, attempt: Attempt) -> None:
        """Record a shadow attempt below its call's request. Never raises."""
        try:
            common = _common(call) | {semconv.PURPOSE: "shadow", semconv.STREAM: False}
            self._recorder.take_all([self._attempt(call, attempt, attempt.ended, common)])
        except Exception:
            metrics.RECORDING_ERRORS.inc()
            logger.debug("a shadow call could not be recorded", exc_info=True)

    def beside(self, call: Call, attempt: Attempt, purpose: str) -> None:
        """Record an attempt that was made because of a call, below its request. Never raises."""
        try:
            common = _common(call) | {semconv.PURPOSE: purpose, semconv.STREAM: False}
            beside = replace(call, cache="")
            if purpose == CHECK:
                common[semconv.CACHE_AUDIT_OF_TRACE] = call.trace_id.hex()
                common[semconv.CACHE_AUDIT_OF_SPAN] = call.span_id.hex()
            else:
                beside = replace(beside, endpoint="embeddings")
                common[semconv.OPERATION] = "embeddings"
                common.pop(semconv.MAX_TOKENS, None)
            self._recorder.take_all([self._attempt(beside, attempt, attempt.ended, common)])
        except Exception:
            metrics.RECORDING_ERRORS.inc()
            logger.debug("a call of the cache could not be recorded", exc_info=True)

    def _request(self, call: Call, ended: int, common: Attributes) -> FinishedSpan:
        span = finished(
            f"{call.endpoint} {call.ask.model}",
            call.trace_id,
            call.span_id,
            call.parent_span_id,
            (call.started, max(ended, call.started)),
            "server",
            call.status,
            call.sampled,
        )
        span.status_message = call.message
        span.attributes |= common
        attributes = span.attributes
        if call.cache:
            attributes[semconv.CACHE] = call.cache
        if call.first_answer:
            attributes[semconv.TTFT_S] = (call.first_answer - call.started) / 1e9
        if call.error_type:
            attributes[semconv.ERROR_TYPE] = call.error_type
        if call.meaning is not None:
            _candidate(call.meaning, attributes)
        served = call.served_by
        if call.entry is not None:
            attributes[semconv.BILLABLE] = True
            self._hit(call, attributes, ended)
        else:
            attributes[semconv.BILLABLE] = False
            attributes[semconv.BILLABLE_REASON] = semconv.REASON_REQUEST
            if self._content and served is None:
                _prompt(call.ask, attributes)
        if served is not None:
            attributes[semconv.UPSTREAM] = served.target.upstream
            if served.fallback_from:
                attributes[semconv.FALLBACK_FROM] = served.fallback_from
        return span

    def _hit(self, call: Call, attributes: Attributes, ended: int) -> None:
        entry = call.entry
        if entry is None:
            return
        answer = READ_BODY[call.endpoint](orjson.loads(entry.body))
        attributes[semconv.PROVIDER] = entry.provider
        attributes[semconv.CACHE_ENTRY] = call.cache_entry
        if call.meaning is not None and call.meaning.hit is not None:
            attributes[semconv.CACHE_SIMILARITY] = call.meaning.hit.similarity
        attributes[semconv.CACHE_AGE_NS] = max(0, ended - entry.stored_at)
        if entry.cost:
            attributes[semconv.COST_SAVED] = entry.cost
        _answer(answer, attributes, self._content)
        if self._content:
            _prompt(call.ask, attributes)

    def _attempt(self, call: Call, attempt: Attempt, ended: int, common: Attributes) -> FinishedSpan:
        span = finished(
            f"{OPERATIONS[call.endpoint]} {attempt.target.model}",
            call.trace_id,
            attempt.span_id,
            call.span_id,
            (attempt.started, max(attempt.ended or ended, attempt.started)),
            "client",
            attempt.status,
            call.sampled,
        )
        span.attributes |= common
        attributes = span.attributes
        attributes[semconv.BILLABLE] = attempt.reached
        attributes[semconv.UPSTREAM] = attempt.target.upstream
        attributes[semconv.ATTEMPT] = attempt.number
        attributes[semconv.REQUEST_MODEL] = attempt.target.model
        attributes[semconv.PROVIDER] = attempt.provider
        attributes[semconv.SERVER_ADDRESS] = _host(attempt.upstream.base_url)
        if call.cache:
            attributes[semconv.CACHE] = call.cache
        if attempt.first_content:
            attributes[semconv.TTFT_S] = (attempt.first_content - attempt.started) / 1e9
        _why(call, attempt, attributes)
        if attempt.upstream.gpu_pool:
            attributes[semconv.GPU_POOL] = attempt.upstream.gpu_pool
        if attempt.engine is not None:
            _engine(attempt.engine, attributes)
        if attempt.failure is not None:
            attributes[semconv.ERROR_TYPE] = attempt.failure.error_type
            span.status_message = attempt.failure.message
        if attempt.reached:
            _answer(attempt.answer, attributes, self._content)
            if self._content:
                _prompt(call.ask, attributes)
        else:
            attributes[semconv.BILLABLE_REASON] = "no answer came of this attempt"
        if attempt.usage is not None:
            attributes |= attempt.usage.attributes()
        return span


@lru_cache(maxsize=1024)
def _host(base_url: str) -> str:
    return urlsplit(base_url).hostname or ""


def _why(call: Call, attempt: Attempt, attributes: Attributes) -> None:
    """Why this target and no other."""
    if attempt.fallback_from:
        attributes[semconv.FALLBACK_FROM] = attempt.fallback_from
    if attempt.reason:
        attributes[semconv.ROUTE_REASON] = attempt.reason
    elif call.stepped_down:
        attributes[semconv.ROUTE_REASON] = f"budget {call.stepped_down}"


def _engine(engine: Engine, attributes: Attributes) -> None:
    """What the engine was doing when it was asked, as far as it tells."""
    known: tuple[tuple[str, AttributeValue | None], ...] = (
        (semconv.ENGINE_RUNNING, engine.running),
        (semconv.ENGINE_WAITING, engine.waiting),
        (semconv.ENGINE_KV_USAGE, engine.kv_usage),
        (semconv.ENGINE_PREFIX_HITS, engine.prefix_hits),
    )
    attributes |= {name: value for name, value in known if value is not None}


def cost_text(cost: Decimal) -> str:
    """USD as a plain decimal string."""
    return format(cost.normalize(), "f") if cost else "0"


def _common(call: Call) -> Attributes:
    ask, key = call.ask, call.key
    attributes: Attributes = {
        semconv.PROJECT: key.project,
        semconv.KEY_ID: key.id,
        semconv.OPERATION: OPERATIONS[call.endpoint],
        semconv.REQUEST_MODEL: ask.model,
        semconv.ROUTE: ask.model,
        semconv.STREAM: ask.stream,
        semconv.REQUEST_API: call.endpoint,
    }
    if fields := untold(ask, call.headers):
        attributes[semconv.REQUEST_FIELDS] = fields
    if key.organisation:
        attributes[semconv.ORGANISATION] = key.organisation
    if key.team:
        attributes[semconv.TEAM] = key.team
    if ask.max_tokens is not None:
        attributes[semconv.MAX_TOKENS] = ask.max_tokens
    if (seed := integer(ask.body.get("seed"))) is not None:
        attributes[semconv.SEED] = seed
    for name, field in _SAMPLING:
        if (value := number(ask.body.get(field))) is not None:
            attributes[name] = value
    _told_by_headers(call, attributes)
    return attributes


def _told_by_headers(call: Call, attributes: Attributes) -> None:
    for header in semconv.REQUEST_HEADERS.keys() & call.headers.keys():
        if value := call.headers[header]:
            attributes[semconv.REQUEST_HEADERS[header]] = value
    if attributes.get(semconv.PURPOSE) in semconv.BESIDE:  # the gateway's own word
        del attributes[semconv.PURPOSE]
    if semconv.USER_ID not in attributes and call.ask.user:
        attributes[semconv.USER_ID] = call.ask.user
    if semconv.TAGS in attributes:
        _tags(attributes)
    if semconv.PROMPT_NAME in attributes:
        _prompt_name(attributes)


def _candidate(meaning: Meaning, attributes: Attributes) -> None:
    """The neighbour that answered, or would have: workers learn from it how often it is right."""
    match = meaning.candidate
    if match is None:
        return
    if meaning.hit is None:
        attributes[semconv.CACHE_CANDIDATE] = match.row.entry
        attributes[semconv.CACHE_CANDIDATE_SIMILARITY] = match.similarity
    attributes[semconv.CACHE_CANDIDATE_TRACE] = match.row.trace_id
    attributes[semconv.CACHE_CANDIDATE_SPAN] = match.row.span_id
    attributes[semconv.CACHE_GROUP] = meaning.tier.group
    attributes[semconv.CACHE_PARTITION] = match.row.partition


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
    if answer.id:
        attributes[semconv.RESPONSE_ID] = answer.id
    if answer.model:
        attributes[semconv.RESPONSE_MODEL] = answer.model
    if reasons := answer.finish_reasons:
        attributes[semconv.FINISH_REASONS] = reasons
    if answer.service_tier:
        attributes[semconv.OPENAI_SERVICE_TIER] = answer.service_tier
    if answer.region:
        attributes[semconv.REGION] = answer.region
    if content and answer.choices:
        attributes[semconv.OUTPUT_MESSAGES] = _json(answer.messages())


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
