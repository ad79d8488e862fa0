"""What `spanledger.update` may be told in; span attributes out, apart what every span below must know as well."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypedDict

from spanledger import semconv, snapshot
from spanledger.tracing.joined import INHERITED
from spanledger.tracing.span import frozen

Facts = dict[str, Any]


class About(TypedDict, total=False):
    """What `spanledger.span` and `spanledger.observe` take beside their own arguments; None says nothing."""

    user_id: str | None
    session_id: str | None
    customer_id: str | None
    feature: str | None
    team: str | None
    purpose: str | None
    experiment: str | None
    tags: str | Iterable[str] | None
    metadata: Mapping[str, object] | None
    provider: str | None
    model: str | None
    response_model: str | None
    tool: str | None
    agent: str | None
    usage: Mapping[str, int] | None
    input: object
    output: object
    input_messages: object
    output_messages: object
    documents: Iterable[Mapping[str, object]] | None
    attributes: Mapping[str, Any] | None


class Told(About, total=False):
    """What `spanledger.update` takes."""

    operation: str | None


def describe(told: Mapping[str, Any], facts: Facts, handed: Facts) -> None:
    """Add what was told to a span's own attributes and to those it hands down; None values are left out.

    Raises:
        TypeError: a name that is not known.
    """
    for name, value in told.items():
        if value is None:
            continue
        try:
            attribute, is_handed, function = _KNOWN[name]
        except KeyError:
            names = ", ".join(sorted(_KNOWN))
            raise TypeError(f"{name!r} is nothing a span can be told; known are: {names}") from None
        if function is not None:
            function(facts, handed, value)
        elif is_handed:
            handed[attribute] = value if type(value) is str else str(value)
        else:
            facts[attribute] = value if type(value) is str else str(value)


_USAGE: Final = {
    "input_tokens": semconv.INPUT_TOKENS,
    "output_tokens": semconv.OUTPUT_TOKENS,
    "cache_read_tokens": semconv.CACHE_READ_TOKENS,
    "cache_write_tokens": semconv.CACHE_WRITE_TOKENS,
    "reasoning_tokens": semconv.REASONING_TOKENS,
}
_SCALARS: Final = frozenset((str, int, float, bool))
_INHERITED: Final = frozenset(INHERITED)


def _tags(facts: Facts, handed: Facts, value: str | Iterable[str]) -> None:
    handed[semconv.TAGS] = (value,) if isinstance(value, str) else tuple(map(str, value))


def _metadata(facts: Facts, handed: Facts, value: Mapping[str, object]) -> None:
    for key, item in value.items():
        if item is not None:
            facts[f"{semconv.METADATA}.{key}"] = item if type(item) in _SCALARS else snapshot.dumps(item)


def _usage(facts: Facts, handed: Facts, value: Mapping[str, int]) -> None:
    for key, count in value.items():
        facts[_USAGE.get(key, key)] = count


def _documents(facts: Facts, handed: Facts, value: Iterable[Mapping[str, object]]) -> None:
    facts[semconv.RETRIEVAL_DOCUMENTS] = snapshot.dumps(list(value))


def _attributes(facts: Facts, handed: Facts, value: Mapping[str, Any]) -> None:
    for key, item in value.items():
        (handed if key in _INHERITED else facts)[key] = item if type(item) in _SCALARS else frozen(item)


def _json(attribute: str) -> Callable[[Facts, Facts, Any], None]:
    def put_json(facts: Facts, handed: Facts, value: object) -> None:
        facts[attribute] = snapshot.dumps(value)

    return put_json


_KNOWN: Final[dict[str, tuple[str, bool, Callable[[Facts, Facts, Any], None] | None]]] = {
    # Plain texts: the attribute, and whether it is handed down.
    "operation": (semconv.OPERATION, False, None),
    "provider": (semconv.PROVIDER, False, None),
    "model": (semconv.REQUEST_MODEL, False, None),
    "response_model": (semconv.RESPONSE_MODEL, False, None),
    "tool": (semconv.TOOL_NAME, False, None),
    "agent": (semconv.AGENT_NAME, False, None),
    "user_id": (semconv.USER_ID, True, None),
    "session_id": (semconv.SESSION_ID, True, None),
    "customer_id": (semconv.CUSTOMER_ID, True, None),
    "feature": (semconv.FEATURE, True, None),
    "team": (semconv.TEAM, True, None),
    "purpose": (semconv.PURPOSE, True, None),
    "experiment": (semconv.EXPERIMENT, True, None),
    # Anything else: who makes attributes of it.
    "tags": ("", True, _tags),
    "metadata": ("", False, _metadata),
    "usage": ("", False, _usage),
    "attributes": ("", False, _attributes),
    "input": ("", False, _json(semconv.INPUT)),
    "output": ("", False, _json(semconv.OUTPUT)),
    "input_messages": ("", False, _json(semconv.INPUT_MESSAGES)),
    "output_messages": ("", False, _json(semconv.OUTPUT_MESSAGES)),
    "documents": ("", False, _documents),
}
