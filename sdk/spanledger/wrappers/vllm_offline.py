"""vLLM's offline engine: an ``LLM`` in, one that records each prompt of ``generate`` and ``chat`` out.

A batch is one call of the engine; each of its prompts is a span of its own, with its tokens and its times, below
one span for the batch.
"""

from __future__ import annotations

import copy
import functools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, cast

from spanledger import active, runtime, semconv, snapshot
from spanledger.runtime import Runtime
from spanledger.tracing.current import enter, leave
from spanledger.wrappers.model_call import set_facts
from spanledger.wrappers.tee import kind_of

logger = logging.getLogger("spanledger")
_MARK: Final = "_spanledger_wrapped"
_METHODS: Final = {"generate": "text_completion", "chat": "chat"}


def wrapped(llm: Any) -> Any:
    """A copy of the ``LLM`` that shares the engine and records."""
    if getattr(llm, _MARK, False):
        return llm
    twin = copy.copy(llm)
    setattr(twin, _MARK, True)
    for name, operation in _METHODS.items():
        if hasattr(llm, name):
            setattr(twin, name, _recorded(twin, getattr(kind_of(llm), name), name, operation))
    return twin


def _recorded(llm: Any, original: Callable[..., Any], name: str, operation: str) -> Callable[..., Any]:
    @functools.wraps(original)
    def method(*args: Any, **kwargs: Any) -> Any:
        rt = runtime.current()
        if not rt.enabled:
            return original(llm, *args, **kwargs)
        model, started_ns = _model(llm), time.time_ns()
        batch = active.begin(rt, f"vllm.{name}")
        set_facts(batch, {semconv.PROVIDER: "vllm", semconv.REQUEST_MODEL: model})
        token = enter(batch)
        try:
            outputs = original(llm, *args, **kwargs)
        except BaseException as error:
            active.fail(batch, error)
            raise
        else:
            asked = args[0] if args else kwargs.get("messages" if name == "chat" else "prompts")
            sampling = args[1] if len(args) > 1 else kwargs.get("sampling_params")
            _record(rt, outputs, _prompts(asked, operation), sampling, (operation, model, started_ns))
            return outputs
        finally:
            leave(token)
            batch.end()

    return method


def _model(llm: Any) -> str:
    """The name the model is served by; the engine may know several, the first is the usual one."""
    for owner in ("llm_engine", None):
        with suppress(AttributeError, IndexError):
            config = getattr(llm, owner).model_config if owner else llm.model_config
            named: Any = config.served_model_name or config.model
            return str(named if isinstance(named, str) else named[0])
    return ""


def _prompts(asked: Any, operation: str) -> list[Any]:
    """What was asked, one entry a prompt; a single prompt or conversation is a batch of one."""
    if operation == "chat":
        conversations: list[Any] = list(asked or [])
        return [conversations] if conversations and isinstance(conversations[0], Mapping) else conversations
    prompts: list[Any] = [asked] if isinstance(asked, str | Mapping) else list(asked or [])
    # One prompt may be given as its token ids.
    return [prompts] if prompts and isinstance(prompts[0], int) else prompts


def _record(rt: Runtime, outputs: Any, prompts: list[Any], sampling: Any, what: tuple[str, str, int]) -> None:
    one_each = isinstance(sampling, Sequence)
    for place, output in enumerate(outputs):
        try:
            asked = prompts[place] if place < len(prompts) else getattr(output, "prompt", None)
            own = cast(Sequence[Any], sampling)[place] if one_each else sampling
            _one(rt, output, asked, own, what)
        except Exception:  # the SDK's public face
            logger.debug("a prompt was not recorded in full", exc_info=True)


def _one(rt: Runtime, output: Any, asked: Any, sampling: Any, what: tuple[str, str, int]) -> None:
    operation, model, started_ns = what
    metrics = getattr(output, "metrics", None)
    name, began = f"{operation} {model}".rstrip(), _arrival_ns(metrics, started_ns)
    span = active.begin(rt, name, active.CLIENT, began)
    choices: list[Any] = list(output.outputs)
    tokens = sum(len(choice.token_ids) for choice in choices)
    facts: dict[str, Any] = {
        semconv.OPERATION: operation,
        semconv.PROVIDER: "vllm",
        semconv.REQUEST_MODEL: model,
        semconv.RESPONSE_ID: str(getattr(output, "request_id", "")) or None,
        semconv.FINISH_REASONS: tuple(str(choice.finish_reason) for choice in choices),
        semconv.INPUT_TOKENS: len(output.prompt_token_ids or ()),
        semconv.CACHE_READ_TOKENS: getattr(output, "num_cached_tokens", None),
        semconv.OUTPUT_TOKENS: tokens,
        semconv.TEMPERATURE: getattr(sampling, "temperature", None),
        semconv.TOP_P: getattr(sampling, "top_p", None),
        semconv.MAX_TOKENS: getattr(sampling, "max_tokens", None),
        semconv.SEED: getattr(sampling, "seed", None),
    }
    if rt.content:
        facts[semconv.INPUT_MESSAGES] = snapshot.dumps(_messages(asked, output))
        facts[semconv.OUTPUT_MESSAGES] = snapshot.dumps([_answer(choice) for choice in choices])
    set_facts(span, {**facts, **_times(metrics, tokens)})
    span.end()


def _messages(asked: Any, output: Any) -> Any:
    given: Any = asked
    if isinstance(given, Mapping):
        given = cast(Mapping[str, Any], given).get("prompt")
    if given is None or (isinstance(given, list) and isinstance(next(iter(cast(list[Any], given)), 0), int)):
        # Only token ids were given; newer engines tell the text they stand for.
        given = getattr(output, "prompt", None) or f"<{len(output.prompt_token_ids or ())} token ids>"
    return [{"role": "user", "content": given}] if isinstance(given, str) else cast(Any, given)


def _answer(choice: Any) -> dict[str, Any]:
    parts = [{"type": "text", "content": choice.text}]
    return {"role": "assistant", "parts": parts, "finish_reason": str(choice.finish_reason)}


def _span_of_time(metrics: Any, *names: str) -> float | None:
    """Seconds between the first two of these marks that are set."""
    marks = [float(getattr(metrics, name, None) or 0.0) for name in names]
    return max(marks[1] - marks[0], 0.0) if all(marks) else None


def _times(metrics: Any, tokens: int) -> dict[str, Any]:
    """vLLM's own times of a request, of its older and its newer engine; in seconds, as vLLM's spans name them."""
    if metrics is None:
        return {}
    first = getattr(metrics, "first_token_latency", None) or _span_of_time(
        metrics, "arrival_time", "first_token_time"
    )
    decode = _span_of_time(metrics, "first_token_ts", "last_token_ts") or _span_of_time(
        metrics, "first_token_time", "finished_time"
    )
    queue = getattr(metrics, "time_in_queue", None) or _span_of_time(metrics, "queued_ts", "scheduled_ts")
    prefill = _span_of_time(metrics, "scheduled_ts", "first_token_ts") or _span_of_time(
        metrics, "first_scheduled_time", "first_token_time"
    )
    return {
        semconv.TTFT_S: first,
        semconv.TPOT_NS: int(decode / (tokens - 1) * 1e9) if decode and tokens > 1 else None,
        "gen_ai.latency.time_in_queue": queue,
        "gen_ai.latency.time_in_model_prefill": prefill,
        "gen_ai.latency.time_in_model_decode": decode,
    }


def _arrival_ns(metrics: Any, started_ns: int) -> int:
    """When the engine got the request, where it says so in wall time; else when the batch began."""
    arrival = getattr(metrics, "arrival_time", None)
    return max(int(arrival * 1e9), started_ns) if isinstance(arrival, float) and arrival > 1e9 else started_ns
