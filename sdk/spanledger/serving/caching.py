"""A request in; whether it may be answered from a cache, and under which key, out. An answer in; whether to keep it.

The key covers every field that can change the answer, and the tenant, so nothing crosses a border between
tenants. What only says how the answer is delivered or accounted for is left out.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from typing import Any

import orjson

from spanledger.serving.answers import Answer
from spanledger.serving.asks import Ask

# Fields that never change what a model says: delivery, accounting and storage on the provider's side.
DELIVERY = frozenset(
    {
        "stream",
        "stream_options",
        "user",
        "metadata",
        "store",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "service_tier",
        "model",
    }
)
_REFUSALS = frozenset({"content_filter", "refusal", "safety"})
GOOD_ENDS = frozenset({"stop", "end_turn", "stop_sequence", "completed"})
"""Finish reasons of whole answers; any other is not kept."""


@dataclass(slots=True, kw_only=True)
class Partition:
    """What two requests must share before one may be answered with the other's answer.

    Everything but the question itself; a semantic tier looks for neighbours inside one partition only.
    """

    project: str
    team: str
    route: str
    variant: str = ""  # headers that change answers, such as anthropic-beta; a prompt's version
    user: str = ""  # set where a route's cache is scoped to users


def exact_key(partition: Partition, ask: Ask) -> str:
    """The hash of the canonical request inside its partition, 32 hex digits.

    Field order, white space and delivery fields do not matter; everything else does.
    """
    content = {name: value for name, value in ask.body.items() if name not in DELIVERY}
    scope = (
        partition.project,
        partition.team,
        partition.route,
        partition.variant,
        partition.user,
        ask.endpoint,
    )
    canonical = orjson.dumps([scope, content], option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(canonical, digest_size=16).hexdigest()


def may_look_up(headers: Mapping[str, str], ask: Ask) -> bool:
    """Whether the caller allows a cached answer (``Cache-Control``, or ``x-spanledger-cache: off``)."""
    control = headers.get("cache-control", "")
    if "no-store" in control or "no-cache" in control:
        return False
    # A Responses request that continues a stored conversation depends on state that no key can cover.
    return headers.get("x-spanledger-cache") != "off" and not ask.body.get("previous_response_id")


def may_store(headers: Mapping[str, str], ask: Ask) -> bool:
    """Whether the caller allows its answer to be kept. ``no-cache`` asks anew but keeps the answer."""
    if "no-store" in headers.get("cache-control", "") or headers.get("x-spanledger-cache") == "off":
        return False
    return not ask.body.get("previous_response_id") and not ask.body.get("background")


def is_worth_keeping(answer: Answer) -> bool:
    """Only whole, plain answers are kept."""
    return not why_not_kept(answer)


def why_not_kept(answer: Answer) -> str:
    """Why an answer is not kept: ``error``, ``cut``, ``tool_calls``, ``refusal`` or ``other``; empty if it is."""
    if answer.error:
        return "error"
    if not answer.finished:
        return "cut"
    for choice in answer.choices.values():
        if choice.tool_calls:
            return "tool_calls"
        if choice.refusal:
            return "refusal"
        if choice.finish_reason not in GOOD_ENDS:
            return "refusal" if choice.finish_reason in _REFUSALS else "cut"
        if choice.other:
            return "other"
    return ""


def expiry(stored_at: int, ttl_s: float, digest: str) -> float:
    """When an entry's time is over, in seconds since the epoch.

    Up to a tenth earlier than its time to live says, by its hash: entries that were made together do not all
    go, and are not all asked for again, in the same moment.
    """
    return stored_at / 1e9 + ttl_s * (1.0 - 0.1 * int(digest[:8], 16) / 2**32)


@dataclass(slots=True, kw_only=True)
class Entry:
    """One kept answer. ``body`` is the whole answer as not streamed; ``cost`` what it cost, decimal USD.

    ``trace_id`` and ``span_id`` name the call that paid for it. What else is known of the request lets entries
    be found again: by meaning (``question``, ``partition``, ``vector``) and when they are to be deleted.
    """

    body: bytes
    stored_at: int  # ns
    expires_at: float = 0.0  # seconds since the epoch
    model: str = ""
    provider: str = ""
    upstream: str = ""
    cost: str = ""
    trace_id: str = ""
    span_id: str = ""
    route: str = ""
    user: str = ""
    tags: str = ""  # as the request's header names them, separated by commas
    prompt: str = ""  # name@version
    corpus: str = ""
    question: str = ""
    partition: str = ""
    vector: str = ""  # signed bytes in base64; empty where it is found by its hash only

    def head(self) -> bytes:
        """One line of JSON about the answer."""
        told = filter(itemgetter(1), zip(_HEAD, _head_of(self), strict=True))
        return orjson.dumps({"v": 2, "stored_at": self.stored_at, **dict(told)})

    def encode(self) -> bytes:
        """The line about the answer, then the answer's bytes."""
        return self.head() + b"\n" + self.body

    @staticmethod
    def decode(data: bytes) -> Entry | None:
        """Read what ``encode`` wrote; None when it is something else."""
        head, newline, body = data.partition(b"\n")
        entry = Entry.of_head(head) if newline else None
        if entry is not None:
            entry.body = body
        return entry

    @staticmethod
    def of_head(head: bytes) -> Entry | None:
        """The entry without its body; None when the line is something else."""
        try:
            fields: dict[str, Any] = orjson.loads(head)
            if fields.pop("v") != 2:
                return None
            return Entry(body=b"", **fields)
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


_HEAD = tuple(name for name in Entry.__dataclass_fields__ if name not in ("body", "stored_at"))
_head_of = attrgetter(*_HEAD)


class MemoryCache:
    """The exact tier in one process: least recently used first out, bounded by bytes. Time in seconds."""

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._size = 0
        self._entries: OrderedDict[str, tuple[float, bytes]] = OrderedDict()

    def get(self, key: str, now: float) -> bytes | None:
        """The entry, or None when there is none or its time is over."""
        found = self._entries.get(key)
        if found is None:
            return None
        if found[0] <= now:
            self.drop(key)
            return None
        self._entries.move_to_end(key)
        return found[1]

    def put(self, key: str, data: bytes, expires_at: float) -> None:
        """Keep an entry; one larger than an eighth of the cache is not kept."""
        self.drop(key)
        if len(data) > self._max // 8:
            return
        self._entries[key] = (expires_at, data)
        self._size += len(data)
        while self._size > self._max:
            _, (_, old) = self._entries.popitem(last=False)
            self._size -= len(old)

    def drop(self, key: str) -> None:
        """Forget an entry, if it is there."""
        found = self._entries.pop(key, None)
        if found is not None:
            self._size -= len(found[1])
