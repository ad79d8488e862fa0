"""``wrap``: a vendor's client in, a client of the same type that records every model call out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from spanledger.wrappers.caches import ExactCache

C = TypeVar("C")


def wrap(
    client: C,
    *,
    fallback: Iterable[Any] = (),
    cache: bool | ExactCache = False,
    route: str = "",
    budgets: bool | None = None,
) -> C:
    """Record every model call of a client: OpenAI, Anthropic, Google GenAI, their async twins, ``vllm.LLM``.

    What comes back has the same type and behaves the same: results, errors, streams, ``with_options``,
    ``with_raw_response``. The client that was given is left as it is and shares its
    connections (Google's is changed itself).

    Args:
        client: The client.
        fallback: Clients to ask when this one fails before its answer begins: each of the same kind, or a pair
            of a client and the model to ask it for. For OpenAI's and Anthropic's clients.
        cache: True, or an `ExactCache` or `SemanticCache` (that several clients may share): a request that was
            answered before is answered from memory, as a body or as a stream.
        route: The route's name at the server. Its state there is obeyed: on ``fallback``, fallbacks are asked
            first. Budgets count calls by it.
        budgets: Whether calls are checked against the project's budgets, as the gateway does: a call that does
            not fit raises the client's own error for status 429. None: where ``fallback``, ``cache`` or ``route``
            is given and ``SPANLEDGER_REDIS_URL`` is set. True: also refuse while the registry was never reached.
            Needs ``spanledger[budgets]`` and a ``SPANLEDGER_KEY`` with the scope ``gateway``.

    Raises:
        ValueError: ``budgets=True`` without ``SPANLEDGER_REDIS_URL``.
        TypeError: a client of another kind, or a fallback of another kind than the client. Those are covered by their OpenTelemetry instrumentation.
    """
    kind = type(client)
    vendors = {name.partition(".")[0] for name in (base.__module__ for base in kind.__mro__)}
    wrapped: Any
    if "openai" in vendors or "anthropic" in vendors:
        vendor = "anthropic" if "anthropic" in vendors else "openai"
        return _stainless(client, vendor, fallback, cache, route, budgets)
    if fallback or cache or budgets:
        raise TypeError(
            f"fallback=, cache= and budgets= are for OpenAI's and Anthropic's clients, not {kind.__name__}"
        )
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


def _stainless(
    client: Any, vendor: str, fallback: Iterable[Any], cache: Any, route: str, budgets: bool | None
) -> Any:
    from spanledger.wrappers import spending, stainless
    from spanledger.wrappers.caches import ExactCache

    pairs: list[Any] = [each if isinstance(each, tuple) else (each, "") for each in fallback]
    fallbacks: list[tuple[Any, str]] = [(other, str(model)) for other, model in pairs]
    for other, _ in fallbacks:
        if not isinstance(other, type(client)):
            raise TypeError(
                f"a fallback of {type(client).__name__} must be one too, not {type(other).__name__}"
            )
    is_served = bool(fallbacks or cache or route or budgets)
    checked = spending.budgets_of(route, budgets) if is_served else None
    if not fallbacks and not cache and checked is None:
        return stainless.wrapped(client, vendor)
    others = [(stainless.wrapped(other, vendor), model) for other, model in fallbacks]
    kept = ExactCache() if cache is True else cache or None
    return stainless.wrapped(client, vendor, stainless.Serve(others, kept, route, checked))
