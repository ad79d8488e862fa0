"""The clients of OpenAI and Anthropic: a client in, one of the same type that records its calls out.

Both are generated alike: every method ends in ``client.request``, every answer passes ``_process_response``. The
hooks stand there, on the instance, so that ``create``, ``parse``, ``stream``, ``with_raw_response`` and
``with_streaming_response`` of all resources are seen, and every type stays what it is.
"""

from __future__ import annotations

import copy
import functools
import logging
import sys
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final, NamedTuple, cast

from opentelemetry import context as otel_context

from spanledger import prompts, propagation, runtime, semconv
from spanledger.serving import asks
from spanledger.serving.answers import Answer
from spanledger.serving.caching import Entry
from spanledger.serving.refusals import RefusedError
from spanledger.serving.routing import name_of
from spanledger.serving.snapshot import Target
from spanledger.serving.usage import Usage
from spanledger.wrappers.caches import ExactCache
from spanledger.wrappers.model_call import (
    ModelCall,
    endpoint_of,
    provider_of,
    request_content,
    request_facts,
    set_facts,
    texts_of,
)
from spanledger.wrappers.serving import Extra, Plan, Serving, asked_of, body_of, extra, headers_of
from spanledger.wrappers.spending import Budgets
from spanledger.wrappers.tee import kind_of, show

logger = logging.getLogger("spanledger")
NATIVE_SCOPES: Final = {"anthropic": "com.anthropic.sdk.python"}
_MARK: Final = "_spanledger_wrapped"
_current: ContextVar[ModelCall | None] = ContextVar("spanledger_model_call", default=None)


def wrapped(client: Any, vendor: str, how: Serve | None = None) -> Any:
    """A copy of the client that shares its connections, records what it calls, and serves it as told."""
    if getattr(client, _MARK, False) and how is None:
        return client
    twin = copy.copy(client)
    for name, value in list(cast(dict[str, object], vars(twin)).items()):
        # Resources (client.chat, ...) that were used before are bound to the original.
        if getattr(value, "_client", None) is client:
            del vars(twin)[name]
    return instrument(twin, vendor, how)


def instrument(client: Any, vendor: str, how: Serve | None = None) -> Any:
    """Set the hooks on this very client."""
    kind = kind_of(client)
    asynchronous = kind.__name__.startswith("Async")
    setattr(client, _MARK, True)
    request = _async_request(client, vendor) if asynchronous else _request(client, vendor)
    if how is not None:
        serving = Serving(how.fallbacks, how.cache, how.route, client, vendor, how.budgets)
        request = (
            _served_async(client, request, serving) if asynchronous else _served(client, request, serving)
        )
    client.request = request
    client._process_response = _async_process(client) if asynchronous else _process(client)

    copy_of = _method(client, "copy")

    @_like(copy_of)
    def copied(*args: Any, **kwargs: Any) -> Any:
        return instrument(copy_of(client, *args, **kwargs), vendor, how)

    client.copy = client.with_options = copied
    return client


def _like(original: Any) -> Callable[[Any], Any]:
    """The hook looks like the method it stands before."""
    return functools.wraps(original)


USAGE_HOSTS: Final = {"api.openai.com"}
"""Hosts that are known to send a stream's usage when asked; an unknown one might refuse the request."""


def wants_usage(host: str, url: str, body: Mapping[str, Any]) -> bool:
    """Whether to ask for a stream's usage on the caller's behalf (and to keep the extra chunk from it)."""
    chat = url.endswith("/chat/completions")
    return chat and host in USAGE_HOSTS and bool(body.get("stream")) and not body.get("stream_options")


def estimated(operation: str, body: Mapping[str, Any], answer: Answer) -> Usage:
    """The usage of a stream that told none, or was left before it did: four characters a token."""
    kind: asks.Endpoint = "chat" if operation != "embeddings" else "embeddings"
    ask = asks.Ask(kind, b"", dict(body), "")
    return Usage(
        input_tokens=asks.likely_input_tokens(ask),
        output_tokens=asks.likely_output_tokens(answer.characters),
        estimated=True,
    )


def _method(client: Any, name: str) -> Any:
    return getattr(kind_of(client), name)


def _begin(client: Any, vendor: str, options: Any) -> ModelCall | None:
    """Start the record of a request; None when it is none of a model, or tracing is off."""
    try:
        endpoint = endpoint_of(str(options.url)) if options.method.lower() == "post" else None
        rt = runtime.current()
        if endpoint is None or not rt.enabled:
            return None
        body = body_of(options)
        host = str(client.base_url.host)
        facts = request_facts(body)
        facts |= prompts.release_of(texts_of(body))
        facts[semconv.PROVIDER], facts[semconv.SERVER_ADDRESS] = provider_of(host, vendor), host
        call = ModelCall(rt, endpoint, facts, lambda: request_content(endpoint[0], body))
        call.estimate = lambda answer: estimated(endpoint[0], body, answer)
        if wants_usage(host, str(options.url), body):
            options.json_data = {**options.json_data, "stream_options": {"include_usage": True}}
            call.hide_usage()
        added = extra.get()
        if added is not None:
            set_facts(call.span, added.facts)
            call.keep, call.spend = added.keep, added.spend
            if added.meant is not None:
                context = call.span.get_span_context()
                added.meant.trace_id, added.meant.span_id = (
                    f"{context.trace_id:032x}",
                    f"{context.span_id:016x}",
                )
            if added.spend is not None:
                added.spend.is_watched = True
        given = headers_of(options)
        if propagation.HEADER not in {name.lower() for name in given}:
            options.headers = {**given, propagation.HEADER: call.traceparent}
        return call
    except Exception:  # the SDK's public face: the client works on untraced
        logger.debug("a call is not recorded", exc_info=True)
        return None


def _request(client: Any, vendor: str) -> Any:
    original = _method(client, "request")
    scope = NATIVE_SCOPES.get(vendor, "")

    @_like(original)
    def request(cast_to: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
        call = _begin(client, vendor, options)
        if call is None:
            return original(client, cast_to, options, *args, **kwargs)
        token, mark = otel_context.attach(call.context(scope)), _current.set(call)
        try:
            return original(client, cast_to, options, *args, **kwargs)
        except BaseException as error:
            call.finish(error)
            raise
        finally:
            _current.reset(mark)
            otel_context.detach(token)

    return request


def _async_request(client: Any, vendor: str) -> Any:
    original = _method(client, "request")
    scope = NATIVE_SCOPES.get(vendor, "")

    @_like(original)
    async def request(cast_to: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
        call = _begin(client, vendor, options)
        if call is None:
            return await original(client, cast_to, options, *args, **kwargs)
        token, mark = otel_context.attach(call.context(scope)), _current.set(call)
        try:
            return await original(client, cast_to, options, *args, **kwargs)
        except BaseException as error:
            call.finish(error)
            raise
        finally:
            _current.reset(mark)
            otel_context.detach(token)

    return request


class Serve(NamedTuple):
    """How a wrapped client serves its calls: whom to ask else, with which model, what to keep and to spend."""

    fallbacks: list[tuple[Any, str]]
    cache: ExactCache | None
    route: str
    budgets: Budgets | None = None


def _served(client: Any, request: Any, serving: Serving) -> Any:
    """The recorded request with fallback, budgets and cache before it."""

    @_like(request)
    def serve(cast_to: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
        if options.method.lower() != "post" or endpoint_of(str(options.url)) is None:
            return request(cast_to, options, *args, **kwargs)
        plan = serving.plan(options)
        if (entry := serving.found(plan)) is not None:
            call, response = _hit(client, (cast_to, options), kwargs, serving, plan, entry)
            current = _current.set(call)
            try:
                return client._process_response(**response)
            finally:
                _current.reset(current)
        before, failed = "", None
        for place, target in enumerate(plan.targets):
            last = place + 1 == len(plan.targets)
            try:
                spend = serving.book(plan, place)
                target, last = plan.targets[place], place + 1 == len(plan.targets)
                whom, added = serving.client_of(target), serving.extra_for(plan, place, before)
                added.spend, ask = (
                    spend,
                    functools.partial(request if whom is client else whom.request, cast_to),
                )
                return _asked(ask, asked_of(options, target, last=last), args, kwargs, serving, target, added)
            except RefusedError as refusal:
                if failed is None or last:
                    raise failed or _refused(client, options, serving, refusal) from None
            except Exception as error:
                if not serving.failed(target, error) or last:
                    raise
                before, failed = target.upstream, error
        raise AssertionError("a route has at least one target")

    return serve


def _asked(
    ask: Any, options: Any, args: Any, kwargs: Any, serving: Serving, target: Target, added: Extra
) -> Any:
    """One target's answer; its booking is settled by its record, or here."""
    serving.health.begin(name_of(target), time.monotonic())
    mark = extra.set(added)
    try:
        result = ask(options, *args, **kwargs)
    except BaseException as error:
        added.settle(error)
        raise
    finally:
        extra.reset(mark)
    added.settle(None)
    serving.health.succeeded(name_of(target))
    return result


def _served_async(client: Any, request: Any, serving: Serving) -> Any:
    @_like(request)
    async def serve(cast_to: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
        if options.method.lower() != "post" or endpoint_of(str(options.url)) is None:
            return await request(cast_to, options, *args, **kwargs)
        plan = serving.plan(options)
        if (entry := await serving.found_async(plan)) is not None:
            call, response = _hit(client, (cast_to, options), kwargs, serving, plan, entry)
            current = _current.set(call)
            try:
                return await client._process_response(**response)
            finally:
                _current.reset(current)
        before, failed = "", None
        for place, target in enumerate(plan.targets):
            last = place + 1 == len(plan.targets)
            try:
                spend = await serving.book_async(plan, place)
                target, last = plan.targets[place], place + 1 == len(plan.targets)
                whom, added = serving.client_of(target), serving.extra_for(plan, place, before)
                added.spend, ask = (
                    spend,
                    functools.partial(request if whom is client else whom.request, cast_to),
                )
                return await _asked_async(
                    ask, asked_of(options, target, last=last), args, kwargs, serving, target, added
                )
            except RefusedError as refusal:
                if failed is None or last:
                    raise failed or _refused(client, options, serving, refusal) from None
            except Exception as error:
                if not serving.failed(target, error) or last:
                    raise
                before, failed = target.upstream, error
        raise AssertionError("a route has at least one target")

    return serve


async def _asked_async(
    ask: Any, options: Any, args: Any, kwargs: Any, serving: Serving, target: Target, added: Extra
) -> Any:
    """One target's answer; its booking is settled by its record, or here."""
    serving.health.begin(name_of(target), time.monotonic())
    mark = extra.set(added)
    try:
        result = await ask(options, *args, **kwargs)
    except BaseException as error:
        added.settle(error)
        raise
    finally:
        extra.reset(mark)
    added.settle(None)
    serving.health.succeeded(name_of(target))
    return result


def _hit(
    client: Any, asked: tuple[Any, Any], kwargs: dict[str, Any], serving: Serving, plan: Plan, entry: Entry
) -> tuple[ModelCall | None, dict[str, Any]]:
    """A kept answer as the response that the client makes its usual result of, and the record of the call."""
    cast_to, options = asked[0], copy.copy(asked[1])
    options.json_data = body_of(options)
    streaming = bool(kwargs.get("stream"))
    request = client._build_request(options)
    http: Any = sys.modules[kind_of(request).__module__.partition(".")[0]]
    response = http.Response(
        200,
        headers={"content-type": "text/event-stream" if streaming else "application/json"},
        content=serving.replayed(plan, entry, streaming),
        request=request,
    )
    mark = extra.set(serving.extra_for_hit(plan, entry))
    call = _begin(client, serving.vendor, options)
    extra.reset(mark)
    return call, {
        "cast_to": cast_to,
        "options": options,
        "response": response,
        "stream": streaming,
        "stream_cls": kwargs.get("stream_cls"),
        "retries_taken": 0,
    }


def _refused(client: Any, options: Any, serving: Serving, refusal: RefusedError) -> Exception:
    """A refusal as the error that the client makes of such an answer, and the record of the call."""
    asked = copy.copy(options)
    asked.json_data = body_of(options)
    request = client._build_request(asked)
    http: Any = sys.modules[kind_of(request).__module__.partition(".")[0]]
    content = refusal.body("messages" if serving.vendor == "anthropic" else "chat")
    response = http.Response(
        refusal.status, headers=list(refusal.headers()), content=content, request=request
    )
    error: Exception = client._make_status_error_from_response(response)
    mark = extra.set(serving.extra_for_refusal())
    call = _begin(client, serving.vendor, asked)
    extra.reset(mark)
    if call is not None:
        call.finish(error)
    return error


def _seen(response: Any, call: ModelCall, *, asynchronous: bool) -> bool:
    """Look at a response's head; whether its body is here already."""
    call.headers(response.headers)
    if response.is_stream_consumed or response.is_closed:
        return True
    show(response, call, asynchronous=asynchronous)
    return False


def _process(client: Any) -> Any:
    original = _method(client, "_process_response")

    @_like(original)
    def process(*args: Any, **kwargs: Any) -> Any:
        call = _current.get()
        if call is None or call.done:
            return original(client, *args, **kwargs)
        whole = _seen(kwargs["response"], call, asynchronous=False)
        try:
            result = original(client, *args, **kwargs)
        except BaseException as error:
            # The answer came and was paid for, though the client could not make the asked type of it.
            if whole:
                call.body(kwargs["response"].content, error)
            raise
        if whole:
            call.body(kwargs["response"].content)
        return result

    return process


def _async_process(client: Any) -> Any:
    original = _method(client, "_process_response")

    @_like(original)
    async def process(*args: Any, **kwargs: Any) -> Any:
        call = _current.get()
        if call is None or call.done:
            return await original(client, *args, **kwargs)
        whole = _seen(kwargs["response"], call, asynchronous=True)
        try:
            result = await original(client, *args, **kwargs)
        except BaseException as error:
            # The answer came and was paid for, though the client could not make the asked type of it.
            if whole:
                call.body(kwargs["response"].content, error)
            raise
        if whole:
            call.body(kwargs["response"].content)
        return result

    return process
