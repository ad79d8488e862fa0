"""``wrap``: a vendor's client in, a client of the same type that records every model call out."""

from __future__ import annotations

from typing import Any, TypeVar

C = TypeVar("C")


def wrap(client: C) -> C:
    """Record every model call of a client: OpenAI, Anthropic, Google GenAI, their async twins, ``vllm.LLM``.

    What comes back has the same type and behaves the same: results, errors, streams, ``with_options``,
    ``with_raw_response``. The client that was given is left as it is and shares its
    connections (Google's is changed itself).

    Raises:
        TypeError: a client of another kind. Those are covered by their OpenTelemetry instrumentation.
    """
    kind = type(client)
    vendors = {name.partition(".")[0] for name in (base.__module__ for base in kind.__mro__)}
    wrapped: Any
    if "openai" in vendors or "anthropic" in vendors:
        from spanledger.wrappers import stainless

        wrapped = stainless.wrapped(client, "anthropic" if "anthropic" in vendors else "openai")
        return wrapped
    if any(base.__module__.startswith("google.genai") for base in kind.__mro__):
        from spanledger.wrappers import google_genai

        wrapped = google_genai.wrapped(client)
        return wrapped
    if kind.__name__ == "LLM" and "vllm" in vendors:
        from spanledger.wrappers import vllm_offline

        wrapped = vllm_offline.wrapped(client)
        return wrapped
    raise TypeError(
        f"wrap() knows clients of openai, anthropic, google.genai and vllm, not {kind.__module__}.{kind.__name__}; "
        "use the vendor's OpenTelemetry instrumentation, Spanledger records what it emits"
    )
