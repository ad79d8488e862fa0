"""A call in, the first answer of its targets out: each attempt, its verdict on the target, and what comes next."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass

from spanledger.serving.bookings import Booking, stepping_down, unpriced
from spanledger.serving.failures import Failure, wait_before_retry
from spanledger.serving.health import HealthBook, State
from spanledger.serving.refusals import RefusedError
from spanledger.serving.routing import name_of, order, sticky_draw
from spanledger.serving.snapshot import Route, Target, Upstream

from . import metrics
from .asking import Live, Whole, ask, prepare, wire_of
from .calls import Attempt, Call, First, place_of
from .engines import Engines
from .ledger import Bid, Ledger
from .pricing import Pricing
from .settings import GatewaySettings
from .upstreams import AttemptFailed, Upstreams

_NO_UPSTREAM = Upstream(base_url="")


class UnpricedError(Exception):
    """A budget applies, and nobody knows what the call costs."""


class StepDown(Exception):
    """A budget's stage sends the call to a cheaper route."""

    def __init__(self, route: Route, budget: str) -> None:
        super().__init__(budget)
        self.route = route
        self.budget = budget


@dataclass(slots=True)
class CallPlaces:
    """The health and load of one project's targets at one moment; a ``routing.Places``."""

    health: HealthBook
    engines: Engines
    upstreams: Mapping[str, Upstream]
    now: float

    def state(self, target: Target) -> State:
        """Whether the target may be asked."""
        return self.health.state(self._place(target), self.now)

    def badness(self, target: Target) -> tuple[float, float]:
        """The least bad of those cooling down has the least."""
        return self.health.badness(self._place(target), self.now)

    def load(self, target: Target) -> float:
        """Requests its engine has to work on."""
        return self.engines.load(self.upstreams.get(target.upstream))

    def is_full(self, target: Target) -> bool:
        """Whether its queue is at the length from which calls spill."""
        upstream = self.upstreams.get(target.upstream)
        if upstream is None or upstream.spill_at_waiting is None:
            return False
        engine = self.engines.get(upstream)
        return engine is not None and (engine.waiting or 0) >= upstream.spill_at_waiting

    def _place(self, target: Target) -> str:
        return place_of(self.upstreams.get(target.upstream), target)


def _sticky_subject(call: Call) -> str:
    match call.route.sticky:
        case "user":
            return call.fields["user_id"]
        case "session":
            return call.fields["session_id"]
        case "key":
            return call.key.id
        case _:
            return ""


class Attempts:
    """Tries a call's targets in turn until one answers."""

    def __init__(
        self,
        settings: GatewaySettings,
        upstreams: Upstreams,
        engines: Engines,
        ledger: Ledger,
        pricing: Pricing,
    ) -> None:
        self.health = HealthBook()
        self._settings = settings
        self._upstreams = upstreams
        self._engines = engines
        self._ledger = ledger
        self._pricing = pricing

    async def run(self, call: Call) -> Whole | Live:
        """The first answer.

        Raises:
            AttemptFailed: no target gave one; holds the failure that tells the caller most.
            RefusedError: a budget does not allow the call.
        """
        deadline = time.monotonic() + self._settings.gateway_deadline_s
        queue = call.first.queue if call.first is not None else self._plan(call)
        if not queue:
            raise AttemptFailed(Failure(reason="unusable", message="no target of the route takes such calls"))
        tried: dict[str, Failure] = {}
        rounds = 0
        while True:
            try:
                answer = await self._pass_through(call, queue, tried, deadline)
            except StepDown as step:
                call.route, call.stepped_down = step.route, step.budget
                queue = self._plan(call)
                continue
            if answer is not None:
                return answer
            again = [t for t in queue if tried[name_of(t)].counts_against_health]
            waits = [tried[name_of(t)].retry_after_s or 0.0 for t in again]
            wait = wait_before_retry(
                rounds, min(waits, default=0.0), now=time.monotonic(), deadline=deadline, draw=random.random()
            )
            if not again or wait is None:
                raise AttemptFailed(_most_telling(list(tried.values())))
            await asyncio.sleep(wait)
            rounds += 1
            queue = again

    def first(self, call: Call) -> First | None:
        """The attempt to begin with, for a call that must book it; None where nothing must be, or can be, booked.

        Booked with something else that Redis is asked, it is put into ``call.first``, and ``run`` goes on from there.
        """
        if call.registry.budgets(call.key.project) is None or not (queue := self._plan(call)):
            return None
        attempt = self._attempt(call, queue[0])
        try:
            bid = self._bid(call, attempt)
        except UnpricedError:
            return None
        return First(queue, attempt, bid) if bid is not None else None

    def _plan(self, call: Call) -> list[Target]:
        targets = call.route.targets
        if len(targets) == 1 and not targets[0].when:
            return [targets[0]]  # nothing to choose, however it does
        subject = _sticky_subject(call)
        return order(
            call.route,
            state=call.state,
            places=CallPlaces(self.health, self._engines, call.project.upstreams, time.monotonic()),
            call=call.fields,
            draw=sticky_draw(call.ask.model, subject) if subject else random.random(),
            canary_draw=random.random(),
        )

    async def _pass_through(
        self, call: Call, queue: list[Target], tried: dict[str, Failure], deadline: float
    ) -> Whole | Live | None:
        """Ask each target once; None when all failed. A failure of the caller's own making ends it."""
        for target in queue:
            first, call.first = call.first, None
            attempt = first.attempt if first is not None else self._attempt(call, target)
            call.attempts.append(attempt)
            try:
                await self._book(call, attempt, first.bid if first is not None else None)
                return await self._ask(call, attempt, deadline)
            except StepDown:
                call.attempts.remove(attempt)
                raise
            except RefusedError:
                call.attempts.remove(attempt)
                if not tried:
                    raise
                tried.setdefault(
                    attempt.name, Failure(reason="unusable", message="a budget does not allow it")
                )
            except AttemptFailed as failed:
                self._failed(attempt, failed.failure)
                if not failed.failure.is_target_at_fault:
                    raise
                tried[attempt.name] = failed.failure
        return None

    def _attempt(self, call: Call, target: Target) -> Attempt:
        upstream = call.project.upstreams.get(target.upstream)
        wire = wire_of(call.ask, upstream)
        attempt = Attempt.of(target, upstream or _NO_UPSTREAM, wire, len(call.attempts) + 1)
        if target.role == "fallback" or call.attempts:
            usual = next((t for t in call.route.targets if t.role == "primary"), call.route.targets[0])
            attempt.fallback_from = call.attempts[0].name if call.attempts else name_of(usual)
            failure = call.attempts[-1].failure if call.attempts else None
            attempt.reason = failure.error_type if failure else _unforced(call)
        return attempt

    async def _book(self, call: Call, attempt: Attempt, bid: Bid | None) -> None:
        """Book the attempt's greatest cost; a booking of an earlier attempt is given back first."""
        if bid is None:
            try:
                bid = self._bid(call, attempt)
            except UnpricedError:
                metrics.count(metrics.REFUSED, "unpriced")
                raise unpriced(attempt.target.model) from None
            if bid is None:
                return
            if call.booking is not None:
                self._ledger.settle(call.booking, 0)
        call.booking = await self._ledger.reserve(bid)
        self._step_down(call, call.booking)

    def _bid(self, call: Call, attempt: Attempt) -> Bid | None:
        """What the attempt must book; None when no budget applies.

        Raises:
            UnpricedError: nobody knows its price, and such calls are refused.
        """
        book = call.registry.budgets(call.key.project)
        if book is None:
            return None
        call.fields["model"], call.fields["upstream"] = attempt.target.model, attempt.target.upstream
        budgets = book.applied(call.fields, time.time())
        if not budgets:
            return None
        estimate = self._pricing.estimate(call, attempt)
        if estimate is None and self._settings.gateway_unpriced == "refuse":
            raise UnpricedError
        amount, likely = estimate or (0, 0)
        return self._ledger.bid(attempt.span_id.hex(), budgets, amount, likely)

    def _step_down(self, call: Call, booking: Booking) -> None:
        """A budget that came to its cheaper stage sends the call to another route."""
        if call.stepped_down:
            return
        for one in stepping_down(booking):
            route = call.project.routes.get(one.budget.cheaper_route)
            if route is not None and route is not call.route:
                self._ledger.settle(booking, 0)
                raise StepDown(route, one.name)

    async def _ask(self, call: Call, attempt: Attempt, deadline: float) -> Whole | Live:
        body = prepare(call, attempt)
        now = time.monotonic()
        self.health.begin(attempt.place, now)
        attempt.engine = self._engines.get(attempt.upstream)
        self._engines.sent(attempt.upstream)
        attempt.started = time.time_ns()
        upstream = attempt.upstream
        limit = upstream.first_token_timeout_s if call.ask.stream else upstream.timeout_s
        try:
            return await ask(self._upstreams, call, attempt, body, min(limit, max(0.05, deadline - now)))
        except asyncio.CancelledError:
            attempt.reached = True  # the provider may well have worked on it
            self.health.abandoned(attempt.place)
            raise

    def _failed(self, attempt: Attempt, failure: Failure) -> None:
        attempt.failure = failure
        attempt.ended = time.time_ns()
        attempt.status = "error"
        metrics.count(metrics.ATTEMPTS, attempt.target.upstream, failure.error_type)
        if failure.counts_against_health:
            self.health.failed(attempt.place, time.monotonic(), failure.retry_after_s)
        else:
            self.health.abandoned(attempt.place)

    def ended(self, attempt: Attempt) -> None:
        """The answer is over; a cut counts against the target like any failure."""
        attempt.ended = time.time_ns()
        metrics.count(metrics.ATTEMPTS, attempt.target.upstream, attempt.status)
        if attempt.status == "ok":
            self.health.succeeded(attempt.place)
        elif attempt.status == "cut":
            self.health.failed(attempt.place, time.monotonic())
        else:
            self.health.abandoned(attempt.place)


def _unforced(call: Call) -> str:
    """Why a call goes to a fallback although nothing failed in it."""
    if call.state.state == "fallback":
        return call.state.reason or "route state"
    return "cooldown or queue"


def _most_telling(failures: list[Failure]) -> Failure:
    """The failure to show: one with a status before one without, the last of them."""
    with_status = [failure for failure in failures if failure.status]
    usable = [failure for failure in failures if failure.reason != "unusable"]
    return (with_status or usable or failures)[-1]
