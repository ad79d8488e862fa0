"""Everything that is known about one request while it is served; what is recorded when it is over."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spanledger import ids
from spanledger.prices import Cost
from spanledger.records import CacheState, Status
from spanledger.serving.answers import Answer
from spanledger.serving.asks import Ask, Endpoint, Wire
from spanledger.serving.bookings import Booking
from spanledger.serving.caching import Entry
from spanledger.serving.engine import Engine
from spanledger.serving.failures import Failure
from spanledger.serving.routing import RouteState, name_of
from spanledger.serving.snapshot import ProjectSnapshot, Route, SnapshotKey, Target, Upstream
from spanledger.serving.translate import Translation
from spanledger.serving.usage import Usage

from .registry import Registry

if TYPE_CHECKING:
    from asyncio import Task

    from spanledger.serving.semantic import Considered, Match, Question, Tier

    from .flights import Flight
    from .ledger import Bid


def place_of(upstream: Upstream | None, target: Target) -> str:
    """A model at an address: projects that share an upstream share what is known of its health."""
    return f"{upstream.base_url if upstream else ''} {target.model}"


@dataclass(slots=True)
class Attempt:
    """One call to one upstream. Times are ns since the epoch; ``ended`` is 0 while it runs."""

    number: int
    target: Target
    upstream: Upstream
    wire: Wire
    span_id: bytes
    started: int
    name: str  # of the target
    place: str  # the target's name in the health book
    provider: str  # whose prices apply
    first_content: int = 0
    ended: int = 0
    status: Status = "ok"
    failure: Failure | None = None
    answer: Answer = field(default_factory=Answer)
    usage: Usage | None = None
    cost: Cost | None = None
    reason: str = ""
    engine: Engine | None = None
    fallback_from: str = ""
    translation: Translation | None = None
    reached: bool = False  # the provider did work that may be billed

    @staticmethod
    def of(target: Target, upstream: Upstream, wire: Wire, number: int, reason: str = "") -> Attempt:
        """A call to this target that begins now."""
        return Attempt(
            number,
            target,
            upstream,
            wire,
            ids.new_span_id(),
            time.time_ns(),
            name_of(target),
            place_of(upstream, target),
            upstream.provider or upstream.protocol,
            reason=reason,
        )


@dataclass(slots=True)
class First:
    """The attempt that a call begins with, and the targets from it on: chosen, and asked to be booked, with the look into the
    cache.
    """

    queue: list[Target]
    attempt: Attempt
    bid: Bid


@dataclass(slots=True)
class Meaning:
    """What the semantic cache knows of a call. ``thinking`` runs beside a call that goes upstream anyway."""

    question: Question
    tier: Tier
    considered: Considered | None = None
    thinking: Task[Considered | None] | None = None
    hit: Match | None = None  # the neighbour whose answer the caller got

    @property
    def candidate(self) -> Match | None:
        """The neighbour that answered, or would have."""
        return self.hit or (self.considered.decision.match if self.considered else None)


@dataclass(slots=True)
class Call:
    """One request of a caller, from its key to its last byte."""

    endpoint: Endpoint
    ask: Ask
    key: SnapshotKey
    registry: Registry
    project: ProjectSnapshot
    route: Route
    state: RouteState
    headers: Mapping[str, str]
    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes
    sampled: bool
    started: int
    fields: dict[str, str]  # what budgets and targets' conditions look at
    attempts: list[Attempt] = field(default_factory=list[Attempt])
    booking: Booking | None = None
    first: First | None = None  # until it is made
    stepped_down: str = ""  # the budget that sent the call to a cheaper route
    booked_tokens: int = 0  # taken from the key's token limit
    is_draining: bool = False  # the caller left, and its stream is read to its end
    cache: CacheState = ""
    digest: str = ""  # of the exact cache; empty when nothing may be kept
    entry: Entry | None = None
    meaning: Meaning | None = None
    flight: Flight | None = None  # the call that others with the same request wait for
    status: Status = "ok"
    http_status: int = 200
    error_type: str = ""
    message: str = ""
    first_answer: int = 0

    @property
    def cache_entry(self) -> str:
        """The entry whose answer the caller gets."""
        return self.meaning.hit.row.entry if self.meaning and self.meaning.hit else self.digest

    @property
    def served_by(self) -> Attempt | None:
        """The attempt whose answer the caller gets, if there is one."""
        return self.attempts[-1] if self.attempts and self.attempts[-1].failure is None else None
