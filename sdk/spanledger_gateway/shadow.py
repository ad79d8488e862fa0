"""An answered call in; the same question to the route's shadow target, recorded and shown to nobody."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace

from spanledger.serving.budgets import nano
from spanledger.serving.refusals import RefusedError
from spanledger.serving.snapshot import Target

from . import metrics
from .asking import Live, ask, prepare, wire_of
from .beside import Beside, book, whole
from .calls import Attempt, Call
from .ledger import Ledger
from .pricing import Pricing
from .upstreams import AttemptFailed, Upstreams

_MOST_AT_ONCE = 64


class Shadows:
    """Runs shadow calls beside the traffic; those beyond a bound are left out and counted."""

    def __init__(
        self,
        upstreams: Upstreams,
        ledger: Ledger,
        pricing: Pricing,
        record: Callable[[Call, Attempt], None],
    ) -> None:
        self._upstreams = upstreams
        self._ledger = ledger
        self._pricing = pricing
        self._record = record
        self._beside = Beside(_MOST_AT_ONCE)

    def maybe(self, call: Call) -> None:
        """Start the call's shadow, if its route has one and the draw takes it."""
        rule = call.route.shadow
        if rule is None or random.random() >= rule.rate:
            return
        if self._beside.is_full:
            metrics.count(metrics.SHADOWS, "left_out")
            return
        self._beside.start(self._run(call, Target(upstream=rule.upstream, model=rule.model)))

    async def close(self) -> None:
        """Let none outlive the gateway."""
        await self._beside.close()

    async def _run(self, original: Call, target: Target) -> None:
        upstream = original.project.upstreams.get(target.upstream)
        if upstream is None:
            metrics.count(metrics.SHADOWS, "no_upstream")
            return
        question = replace(original.ask, body=whole(original.ask.body), raw=b"", stream=False, model="")
        call = replace(original, ask=question, attempts=[], booking=None)
        attempt = Attempt.of(target, upstream, wire_of(question, upstream), 1, reason="shadow")
        try:
            await book(call, attempt, self._pricing, self._ledger)
            await self._ask(call, attempt)
        except RefusedError:
            metrics.count(metrics.SHADOWS, "over_budget")
            return
        finally:
            if call.booking is not None:
                self._ledger.settle(call.booking, nano(attempt.cost.total) if attempt.cost else 0)
        metrics.count(metrics.SHADOWS, attempt.status)
        self._record(original, attempt)

    async def _ask(self, call: Call, attempt: Attempt) -> None:
        try:
            answer = await ask(
                self._upstreams, call, attempt, prepare(call, attempt), attempt.upstream.timeout_s
            )
            assert not isinstance(answer, Live)
            self._pricing.close(call, attempt)
        except AttemptFailed as failed:
            attempt.failure, attempt.status = failed.failure, "error"
        attempt.ended = time.time_ns()
