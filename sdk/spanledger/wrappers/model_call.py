"""One call to a model's API: the request and the response's bytes in, a finished span out.

The same readers of the providers' protocols as in the gateway (`spanledger.serving.protocols`) find the answer
and the usage, so that a call is recorded alike wherever it is seen.
"""

from __future__ import annotations

import logging
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

import orjson
from opentelemetry import trace
from opentelemetry.context import Context

from spanledger import active, runtime, semconv, snapshot
from spanledger.runtime import Runtime
from spanledger.serving import sse
from spanledger.serving.answers import Answer, EventKind
from spanledger.serving.protocols import chat, messages, responses
from spanledger.serving.protocols.values import objects
from spanledger.serving.usage import Usage
from spanledger.tracing.native import suppress
from spanledger.tracing.span import LedgerSpan

if TYPE_CHECKING:
    from spanledger.wrappers.spending import Spend

logger = logging.getLogger("spanledger")

Json = dict[str, Any]
ReadBody = Callable[[Json], Answer]
ReadEvent = Callable[[Answer, Json], EventKind]
Endpoint = tuple[str, ReadBody, ReadEvent]
"""Operation, reader of a whole body, reader of one stream event."""


def _completion_body(body: Json) -> Answer:
    """Legacy text completions: the text stands where a chat has its message."""
    choices: list[Any] = body.get("choices") or []
    return chat.read_body(
        {**body, "choices": [{**c, "message": {"content": c.get("text")}} for c in choices]}
    )


def _completion_event(answer: Answer, event: Json) -> EventKind:
    choices: list[Any] = event.get("choices") or []
    return chat.read_event(
        answer, {**event, "choices": [{**c, "delta": {"content": c.get("text")}} for c in choices]}
    )


ENDPOINTS: Final[dict[str, Endpoint]] = {
    "/chat/completions": ("chat", chat.read_body, chat.read_event),
    "/responses": ("chat", responses.read_body, responses.read_event),
    "/messages": ("chat", messages.read_body, messages.read_event),
    "/embeddings": ("embeddings", chat.read_body, chat.read_event),
    "/completions": ("text_completion", _completion_body, _completion_event),
}
"""By the end of the path."""

_PROVIDERS: Final = {
    "api.openai.com": "openai", "openai.azure.com": "azure.ai.openai", "api.anthropic.com": "anthropic",
    "api.groq.com": "groq", "api.deepseek.com": "deepseek", "api.mistral.ai": "mistral_ai", "api.x.ai": "x_ai",
    "openrouter.ai": "openrouter", "generativelanguage.googleapis.com": "gcp.gemini",
    "aiplatform.googleapis.com": "gcp.vertex_ai", "api.perplexity.ai": "perplexity", "api.cohere.ai": "cohere",
    "api.together.xyz": "together", "amazonaws.com": "aws.bedrock",
}  # fmt: skip


def provider_of(host: str, default: str) -> str:
    """``gen_ai.provider.name`` by the host that is asked."""
    for name, provider in _PROVIDERS.items():
        if host == name or host.endswith("." + name):
            return provider
    return default


def endpoint_of(path: str) -> Endpoint | None:
    """What kind of call a path is; None for one that is not recorded."""
    path = path.partition("?")[0].rstrip("/")
    if "/threads/" in path:  # OpenAI's assistants: a message that is added there asks no model
        return None
    for ending, endpoint in ENDPOINTS.items():
        if path.endswith(ending) or path == ending[1:]:
            return endpoint
    return None


class ModelCall:
    """A call that runs: told of its request at first, then of the response's bytes, then of its end, once."""

    __slots__ = (
        "_answer", "_body", "_decoder", "_first_ns", "_hide_usage", "_read_body", "_read_event", "_splitter",
        "_started", "done", "estimate", "keep", "operation", "span", "spend", "streaming",
    )  # fmt: skip

    def __init__(
        self,
        rt: Runtime,
        endpoint: Endpoint,
        facts: Mapping[str, Any],
        content: Callable[[], Mapping[str, Any]],
    ) -> None:
        """Start the span. ``content`` is called only where content is recorded."""
        self.operation, self._read_body, self._read_event = endpoint
        self.done = False
        self._answer = Answer()
        self._body: list[bytes] = []
        self._splitter: sse.EventSplitter | None = None
        self._decoder: Any = None
        self._first_ns = 0
        self.streaming = False
        self.keep: Callable[[Answer, bytes], None] | None = None
        """Given the whole answer when there is one: what a cache keeps."""
        self.estimate: Callable[[Answer], Usage] | None = None
        """Tells the usage of a stream that told none."""
        self.spend: Spend | None = None
        """What budgets booked for the call."""
        self._hide_usage = False
        model = facts.get(semconv.REQUEST_MODEL) or ""
        self.span = active.begin(rt, f"{self.operation} {model}".rstrip(), active.CLIENT)
        set_facts(self.span, {semconv.OPERATION: self.operation, **facts})
        if rt.content:
            set_facts(self.span, content())
        self._started = time.perf_counter_ns()

    def context(self, native_scope: str = "") -> Context:
        """The context to make the call in: the span is current, the client's own tracing is off."""
        context = trace.set_span_in_context(self.span)
        return suppress(native_scope, context) if native_scope else context

    @property
    def traceparent(self) -> str:
        """The header to send along."""
        return active.traceparent_of(self.span)

    def headers(self, headers: Mapping[str, str]) -> None:
        """The response began."""
        if headers.get(semconv.HEADER_TRACE_ID):
            # The gateway has recorded what the provider did; this span is the caller's view of it.
            set_facts(
                self.span, {semconv.BILLABLE: False, semconv.BILLABLE_REASON: "recorded by the gateway"}
            )
            if self.spend is not None:
                self.spend.is_billed_elsewhere = True
        if "text/event-stream" in headers.get("content-type", ""):
            self._splitter, self.streaming = sse.EventSplitter(), True
        encoding = headers.get("content-encoding", "")
        if encoding in ("gzip", "deflate"):
            self._decoder = zlib.decompressobj(47 if encoding == "gzip" else 15)

    def hide_usage(self) -> None:
        """We asked for the usage chunk, the caller did not: it must not see it."""
        self._hide_usage = True

    def feed(self, data: bytes) -> bytes:
        """Bytes as they came over the network; what of them the caller is to see."""
        try:
            plain = data if self._decoder is None else self._decoder.decompress(data)
            if self._splitter is None:
                self._body.append(plain)
                return data
            events = self._splitter.feed(plain)
            kinds = [self._event(sse.data_of(event)) for event in events]
        except Exception:  # the SDK's public face: what cannot be read is passed on all the same
            logger.debug("a part of a response was not understood", exc_info=True)
            return data
        if not self._hide_usage or self._decoder is not None:
            return data
        return b"".join(event for event, kind in zip(events, kinds, strict=True) if kind != "usage")

    def rest(self) -> bytes:
        """What `feed` held back, when the stream ends within an event."""
        return self._splitter.rest if self._splitter is not None and self._hide_usage else b""

    def _event(self, data: bytes) -> EventKind:
        if data == b"[DONE]":
            self._answer.ended = True
            return "end"
        return self.event(orjson.loads(data)) if data else "other"

    def event(self, event: Json) -> EventKind:
        """One event of a streamed answer."""
        self.streaming = True
        kind = self._read_event(self._answer, event)
        if kind == "content" and not self._first_ns:
            self._first_ns = time.perf_counter_ns()
        return kind

    def body(self, data: bytes, error: BaseException | None = None) -> None:
        """The whole decoded body at once; the call is over."""
        self._decoder = None
        if self._splitter is not None:  # a stream that was here as a whole
            self.feed(data)
        else:
            self._body = [data]
        self.finish(error)

    def finish(self, error: BaseException | None = None, *, closed_early: bool = False) -> None:
        """The response is over: read to its end, failed, or closed by the caller."""
        if self.done:
            return
        self.done = True
        try:
            self._finish(error, closed_early)
        except Exception:  # the SDK's public face
            logger.debug("a model call was not recorded in full", exc_info=True)
        if self.spend is not None:
            self.spend.close(self._answer, error)
        self.span.end()

    def _finish(self, error: BaseException | None, closed_early: bool) -> None:
        if self._body and not self.streaming:
            self._answer = self._read_body(orjson.loads(b"".join(self._body)))
        answer = self._answer
        if answer.usage is None and self.streaming and answer.choices and self.estimate is not None:
            answer.usage = self.estimate(answer)
        facts = answer_facts(answer)
        if self.streaming:
            facts |= self._pace(answer)
            facts[semconv.STREAM] = True
        if runtime.current().content and answer.choices:
            facts[semconv.OUTPUT_MESSAGES] = snapshot.dumps(answer.messages())
        untold = error is None and answer.error is None  # nobody said why the stream is over
        if untold and self.streaming and not answer.finished:
            facts[semconv.STATUS] = "cancelled" if closed_early else "cut"
        set_facts(self.span, facts)
        if self.keep is not None and error is None and answer.error is None:
            self.keep(answer, b"" if self.streaming else b"".join(self._body))
        if error is not None:
            active.fail(self.span, error)
        elif answer.error is not None:
            facts = answer.error
            set_facts(self.span, {semconv.ERROR_TYPE: str(facts.get("type") or facts.get("code") or "error")})
            self.span.set_status(trace.StatusCode.ERROR, str(facts.get("message") or "the provider failed"))
        elif facts.get(semconv.STATUS) == "cut":
            self.span.set_status(trace.StatusCode.ERROR, "the stream ended before the answer was complete")

    def _pace(self, answer: Answer) -> dict[str, Any]:
        """Time to the first part of the answer, and time per output token after it."""
        if not self._first_ns:
            return {}
        facts: dict[str, Any] = {semconv.TTFT_S: (self._first_ns - self._started) / 1e9}
        tokens = answer.usage.output_total if answer.usage else None
        if tokens and tokens > 1:
            facts[semconv.TPOT_NS] = (time.perf_counter_ns() - self._first_ns) // (tokens - 1)
        return facts


def set_facts(span: trace.Span, facts: Mapping[str, Any]) -> None:
    """Set attributes whose values are ours: None is left out, nothing else is checked."""
    told = {name: value for name, value in facts.items() if value is not None}
    if isinstance(span, LedgerSpan):
        span.attributes.update(told)
    else:
        span.set_attributes(told)


def request_facts(body: Mapping[str, Any]) -> dict[str, Any]:
    """What a request to OpenAI or Anthropic says beside its content."""
    limit = body.get("max_completion_tokens") or body.get("max_output_tokens") or body.get("max_tokens")
    user = body.get("user") or _of(body.get("metadata"), "user_id")
    return {
        semconv.REQUEST_MODEL: body.get("model"),
        semconv.TEMPERATURE: body.get("temperature"),
        semconv.TOP_P: body.get("top_p"),
        semconv.SEED: body.get("seed"),
        semconv.MAX_TOKENS: limit,
        semconv.STREAM: True if body.get("stream") else None,
        semconv.USER_ID: user if isinstance(user, str) else None,
    }


def texts_of(body: Mapping[str, Any]) -> Iterator[object]:
    """The texts of a request that may be a rendered prompt: instructions and the contents of messages."""
    yield from (body.get("system"), body.get("instructions"), body.get("input"), body.get("prompt"))
    for message in objects(body.get("messages") or body.get("input")):
        yield message.get("content")
        yield from (part.get("text") for part in objects(message.get("content")))


def _of(value: object, name: str) -> object:
    return cast(Mapping[str, object], value).get(name) if isinstance(value, Mapping) else None


def request_content(operation: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """What a request to OpenAI or Anthropic asks the model: messages, instructions, tools."""
    if operation == "embeddings":
        return {semconv.INPUT: snapshot.dumps(body.get("input"))}
    asked = body.get("messages")
    if asked is None:
        asked = body.get("input", body.get("prompt"))
    if isinstance(asked, str):
        asked = [{"role": "user", "content": asked}]
    system = body.get("system") or body.get("instructions")
    tools = body.get("tools")
    return {
        semconv.INPUT_MESSAGES: snapshot.dumps(asked),
        semconv.SYSTEM_INSTRUCTIONS: snapshot.dumps(system) if system else None,
        "gen_ai.tool.definitions": snapshot.dumps(tools) if tools else None,
    }


def answer_facts(answer: Answer) -> dict[str, Any]:
    """What an answer says beside its content."""
    facts: dict[str, Any] = {
        semconv.RESPONSE_ID: answer.id or None,
        semconv.RESPONSE_MODEL: answer.model or None,
        semconv.FINISH_REASONS: tuple(answer.finish_reasons) or None,
        semconv.OPENAI_SERVICE_TIER: answer.service_tier or None,
        semconv.REGION: answer.region or None,
    }
    return facts | (answer.usage.attributes() if answer.usage else {})
