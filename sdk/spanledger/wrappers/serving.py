"""Fallback and cache in process: a request in, the targets to ask or a kept answer out.

The decisions are `spanledger.serving`'s, the same as the gateway's: order and health of targets, what a failure
means, what may be kept and found again. Here they meet clients, the clock and Redis.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, cast

import orjson

from spanledger import runtime, semconv
from spanledger.serving import asks, caching, failures, replay, routing
from spanledger.serving.answers import Answer
from spanledger.serving.asks import Ask, Endpoint
from spanledger.serving.failures import Failure
from spanledger.serving.health import HealthBook, State
from spanledger.serving.semantic.question import VARIANTS, is_personal, last_question
from spanledger.serving.semantic.recorded import untold
from spanledger.serving.snapshot import Route, Target
from spanledger.wrappers.caches import ExactCache
from spanledger.wrappers.meaning import Meant, SemanticCache
from spanledger.wrappers.model_call import provider_of
from spanledger.wrappers.route_states import state_of
from spanledger.wrappers.spending import Budgets, Spend, address_of

logger = logging.getLogger("spanledger")
_ENDPOINTS: Final[tuple[tuple[str, Endpoint], ...]] = (
    ("/chat/completions", "chat"),
    ("/responses", "responses"),
    ("/messages", "messages"),
    ("/embeddings", "embeddings"),
)


@dataclass(slots=True)
class Extra:
    """What a serving decision adds to the record of the call made for it."""

    facts: dict[str, Any] = field(default_factory=dict[str, Any])
    keep: Callable[[Answer, bytes], None] | None = None
    spend: Spend | None = None
    meant: Meant | None = None

    def settle(self, error: BaseException | None) -> None:
        """The request returned, or failed."""
        if self.spend is not None:
            self.spend.after(error)


extra: ContextVar[Extra | None] = ContextVar("spanledger_serving", default=None)


@dataclass(slots=True)
class Plan:
    """One request: its targets in order, and where its answer is or will be kept."""

    targets: list[Target]
    key: str = ""
    ask: Ask | None = None
    may_store: bool = False
    stepped_down: str = ""  # the budget that sent the call to a cheaper route
    meant: Meant | None = None
    fields: Sequence[str] = ()  # what the request says and its record does not


class _Places:
    """What is known of the targets now: their health. A vendor's load is not."""

    def __init__(self, health: HealthBook, now: float) -> None:
        self._health = health
        self._now = now

    def state(self, target: Target) -> State:
        return self._health.state(routing.name_of(target), self._now)

    def badness(self, target: Target) -> tuple[float, float]:
        return self._health.badness(routing.name_of(target), self._now)

    def load(self, target: Target) -> float:
        return 0.0

    def is_full(self, target: Target) -> bool:
        return False


class Serving:
    """The route of one wrapped client: itself first, then its fallbacks."""

    def __init__(
        self,
        fallbacks: Sequence[tuple[Any, str]],
        cache: ExactCache | None,
        route: str,
        client: Any,
        vendor: str,
        budgets: Budgets | None = None,
    ) -> None:
        self.cache = cache
        self._budgets = budgets
        self.vendor = vendor
        self.health = HealthBook()
        self._is_warned = False
        self._route_name = route
        clients = [(client, ""), *fallbacks]
        self._clients = {f"{each.base_url.host}#{place}": each for place, (each, _) in enumerate(clients)}
        places = list(self._clients)
        targets = [Target(upstream=places[0], model="")]
        targets += [
            Target(upstream=place, model=model, role="fallback")
            for place, (_, model) in zip(places[1:], fallbacks, strict=True)
        ]
        self._route = Route(targets=tuple(targets))

    def client_of(self, target: Target) -> Any:
        """Whom to ask for a target."""
        return self._clients[target.upstream]

    def plan(self, options: Any) -> Plan:
        """Which targets to ask for this request, in order, and its place in the cache."""
        state = state_of(self._route_name, runtime.current().settings)
        targets = routing.order(
            self._route,
            state=state,
            places=_Places(self.health, time.monotonic()),
            call={},
            draw=random.random(),
            canary_draw=random.random(),
        )
        plan = Plan(targets)
        if self.cache is not None or self._budgets is not None:
            plan.ask, is_legacy = _read(options)
            if self.cache is not None and plan.ask is not None and not is_legacy:
                self._place_in_cache(plan, plan.ask, options)
        return plan

    def book(self, plan: Plan, place: int) -> Spend | None:
        """Book what asking a plan's target may cost; None when no budget applies. May change the plan from there on.

        Raises:
            RefusedError: a budget does not allow it, or cannot be checked.
            PermissionError: the key may not read budgets.
        """
        if self._budgets is None or plan.ask is None:
            return None
        spend = self._budgets.book(plan.ask, *self._charge(plan.ask, plan.targets[place]))
        return self.book(plan, place) if self._steps_down(plan, place, spend) else spend

    async def book_async(self, plan: Plan, place: int) -> Spend | None:
        """As `book`, without holding up the event loop."""
        if self._budgets is None or plan.ask is None:
            return None
        spend = await self._budgets.book_async(plan.ask, *self._charge(plan.ask, plan.targets[place]))
        return await self.book_async(plan, place) if self._steps_down(plan, place, spend) else spend

    def _steps_down(self, plan: Plan, place: int, spend: Spend | None) -> bool:
        """Whether a budget's stage sends the call to a cheaper route: from ``place`` on, the plan is then that route's,
        as far as one of our clients can ask there.
        """
        if spend is None or plan.stepped_down or (found := spend.cheaper()) is None:
            return False
        budget, places = found
        ours = {address_of(str(each.base_url)): name for name, each in reversed(self._clients.items())}
        instead = [Target(upstream=ours[where], model=model) for where, model in places if where in ours]
        if not instead:
            self._warn_of_cheaper(budget)
            return False
        spend.ledger.settle(spend.booking, 0)
        plan.stepped_down = budget
        plan.targets[place:] = instead
        return True

    def _warn_of_cheaper(self, budget: str) -> None:
        if not self._is_warned:
            self._is_warned = True
            logger.warning(
                "The budget %s sends calls to a cheaper route, but no client given to wrap() asks one of its hosts: "
                "calls stay where they are. Give one as fallback=.", budget,
            )  # fmt: skip

    def _charge(self, ask: Ask, target: Target) -> tuple[str, str, str]:
        """Model, provider and upstream of a target."""
        host = _plain(target.upstream)
        return target.model or ask.model, provider_of(host, self.vendor), host

    def _place_in_cache(self, plan: Plan, ask: Ask, options: Any) -> None:
        headers = {name.lower(): str(value) for name, value in headers_of(options).items()}
        if not caching.may_look_up(headers, ask):
            return
        settings = runtime.current().settings
        partition = caching.Partition(
            project=settings.project,
            team=settings.team,
            route=self._route_name or ask.model,
            variant="\n".join(headers.get(name, "") for name in VARIANTS),
        )
        plan.key = caching.exact_key(partition, ask)
        plan.fields = untold(ask, headers)
        plan.may_store = caching.may_store(headers, ask)
        if isinstance(self.cache, SemanticCache):
            plan.meant = self.cache.question(ask, self._route, settings, headers)
            # What is one person's own is not kept; what is merely too long for the tier is kept word for word.
            plan.may_store = plan.may_store and not is_personal(last_question(ask))

    def found(self, plan: Plan) -> caching.Entry | None:
        """The kept answer to a planned request, word for word or in other words."""
        if self.cache is None or not plan.key:
            return None
        entry = self.cache.get(plan.key)
        if entry is not None:
            plan.meant = None
        elif plan.meant is not None and isinstance(self.cache, SemanticCache):
            entry = self.cache.look_up(plan.meant, self._place(plan), runtime.current().settings)
        return entry

    async def found_async(self, plan: Plan) -> caching.Entry | None:
        """As `found`; embedding does not hold up the event loop."""
        if plan.meant is None:
            return self.found(plan)
        return await asyncio.to_thread(self.found, plan)

    def _place(self, plan: Plan) -> str:
        """The route's name in the certificate."""
        return self._route_name or (plan.ask.model if plan.ask else "")

    def _told(self, plan: Plan) -> dict[str, Any]:
        """What the record says about the question's meaning."""
        if plan.meant is None or not isinstance(self.cache, SemanticCache):
            return {}
        return plan.meant.facts(self.cache.tier(self._place(plan), runtime.current().settings).group)

    def extra_for(self, plan: Plan, place: int, before: str) -> Extra:
        """What the record of an attempt says about the decision that led to it."""
        target = plan.targets[place]
        facts: dict[str, Any] = {
            semconv.ROUTE: self._route_name or None,
            semconv.ROUTE_REASON: f"budget {plan.stepped_down}" if plan.stepped_down else None,
            semconv.UPSTREAM: _plain(target.upstream),
            semconv.ATTEMPT: place + 1 if len(plan.targets) > 1 else None,
            semconv.FALLBACK_FROM: _plain(before) or None,
        }
        if plan.key and plan.ask is not None:
            facts[semconv.CACHE] = "miss"
            facts[semconv.REQUEST_API] = plan.ask.endpoint
            facts[semconv.REQUEST_FIELDS] = tuple(plan.fields) or None
            facts |= self._told(plan)
        return Extra(facts, self._keeper(plan, target) if plan.may_store else None, meant=plan.meant)

    def _keeper(self, plan: Plan, target: Target) -> Callable[[Answer, bytes], None]:
        def keep(answer: Answer, body: bytes) -> None:
            assert plan.ask is not None
            whole = body or replay.body(plan.ask.endpoint, answer)
            if self.cache is not None and whole and caching.is_worth_keeping(answer):
                entry = caching.Entry(
                    body=whole, stored_at=time.time_ns(), model=answer.model, upstream=_plain(target.upstream)
                )
                self.cache.put(plan.key, entry)
                if plan.meant is not None and isinstance(self.cache, SemanticCache):
                    self.cache.remember(plan.meant, plan.key, self._place(plan), runtime.current().settings)

        return keep

    def replayed(self, plan: Plan, entry: caching.Entry, streaming: bool) -> bytes:
        """A kept answer as the body or the stream that the caller asked for."""
        assert plan.ask is not None
        if not streaming:
            return entry.body
        return replay.stream(plan.ask.endpoint, entry.body, with_usage=plan.ask.wants_stream_usage)

    def extra_for_hit(self, plan: Plan, entry: caching.Entry) -> Extra:
        """What the record of a call that was answered from the cache says."""
        age = max(time.time_ns() - entry.stored_at, 0)
        facts: dict[str, Any] = {
            semconv.ROUTE: self._route_name or None,
            semconv.UPSTREAM: entry.upstream,
            semconv.CACHE: "semantic" if plan.meant is not None else "exact",
            semconv.CACHE_AGE_NS: age,
            **self._told(plan),
        }
        return Extra(facts)

    def extra_for_refusal(self) -> Extra:
        """What the record of a call that a budget refused says: nobody was asked."""
        return Extra({semconv.ROUTE: self._route_name or None})

    def failed(self, target: Target, error: Exception) -> bool:
        """Take note of a failure; whether another target may do better."""
        failure = judge(error)
        if failure is None:
            return False
        if failure.counts_against_health:
            self.health.failed(routing.name_of(target), time.monotonic(), failure.retry_after_s)
        return failure.is_target_at_fault


def _read(options: Any) -> tuple[Ask | None, bool]:
    """What a request asks, None for one the provider will refuse; whether it is a legacy text completion."""
    url, body = str(options.url).partition("?")[0], body_of(options)
    known: Endpoint | None = next((kind for path, kind in _ENDPOINTS if url.endswith(path)), None)
    is_legacy = known is None
    if is_legacy:
        body = {**body, "messages": [{"role": "user", "content": body.get("prompt")}]}
    try:
        return asks.parse(known or "chat", orjson.dumps(body)), is_legacy
    except (asks.BadRequestError, TypeError):
        return None, is_legacy


def judge(error: Exception) -> Failure | None:
    """What a client's exception means; None for one that says nothing about the target."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if "APIStatusError" in names:
        response = cast(Any, error).response
        return failures.of_status(
            response.status_code, b"", response.headers.get("retry-after", ""), str(error)
        )
    if "APITimeoutError" in names:
        return Failure(reason="timeout", message=str(error))
    if "APIConnectionError" in names:
        return Failure(reason="connect", message=str(error))
    return None


def headers_of(options: Any) -> dict[str, Any]:
    """The headers that the caller gave for this request."""
    given: object = options.headers
    return dict(cast(Mapping[str, Any], given)) if isinstance(given, Mapping) else {}


def body_of(options: Any) -> dict[str, Any]:
    """The JSON of a request, without the marks that stand for arguments that were not given."""
    body: object = options.json_data
    if not isinstance(body, Mapping):
        return {}
    pairs = cast(Mapping[str, Any], body).items()
    return {name: value for name, value in pairs if type(value).__name__ not in ("Omit", "NotGiven")}


def asked_of(options: Any, target: Target, *, last: bool) -> Any:
    """The request for a target: its model, and no retries of its own while another target is left."""
    changed = copy.copy(options)
    if target.model:
        changed.json_data = {**cast(dict[str, Any], options.json_data), "model": target.model}
    if not last:
        changed.max_retries = 0
    return changed


def _plain(place: str) -> str:
    return place.rpartition("#")[0] or place
