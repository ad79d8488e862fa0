"""A semantic hit in; the same question asked upstream again, recorded beside the hit for the workers to compare."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

from spanledger import ids
from spanledger.serving.budgets import nano
from spanledger.serving.refusals import RefusedError
from spanledger.serving.semantic import is_audited

from . import metrics
from .asking import Live
from .attempts import Attempts
from .beside import Beside, whole
from .calls import Call
from .ledger import Ledger
from .pricing import Pricing
from .recording import CHECK, Recording
from .upstreams import AttemptFailed

logger = logging.getLogger("spanledger.gateway")

_MOST_AT_ONCE = 16


class Audits:
    """Asks a share of the semantic hits again, after their answers were sent. Budgets apply; nothing is kept."""

    def __init__(self, attempts: Attempts, ledger: Ledger, pricing: Pricing, recording: Recording) -> None:
        self._attempts = attempts
        self._ledger = ledger
        self._pricing = pricing
        self._recording = recording
        self._beside = Beside(_MOST_AT_ONCE)

    def maybe(self, hit: Call) -> None:
        """Start the hit's audit, if it belongs to the share."""
        if hit.meaning is None or hit.meaning.hit is None:
            return
        if not is_audited(hit.trace_id, hit.span_id, hit.meaning.tier.audit_share):
            return
        if self._beside.is_full:
            metrics.count(metrics.CACHE_AUDITS, "left_out")
            return
        self._beside.start(self._run(hit))

    async def close(self) -> None:
        """Let none outlive the gateway."""
        await self._beside.close()

    async def _run(self, hit: Call) -> None:
        call = replace(
            hit,
            ask=replace(hit.ask, body=whole(hit.ask.body), raw=b"", stream=False, model=""),
            fields={**hit.fields, "stream": "false"},
            attempts=[],
            booking=None,
            started=time.time_ns(),
            span_id=ids.new_span_id(),
            cache="",
            digest="",
            entry=None,
            meaning=None,
            flight=None,
        )
        try:
            answer = await self._attempts.run(call)
            assert not isinstance(answer, Live)
            self._attempts.ended(answer.attempt)
            self._pricing.close(call, answer.attempt)
            metrics.count(metrics.CACHE_AUDITS, "asked")
        except RefusedError:
            metrics.count(metrics.CACHE_AUDITS, "over_budget")
        except AttemptFailed:
            metrics.count(metrics.CACHE_AUDITS, "failed")
        finally:
            served = call.served_by
            if call.booking is not None:
                self._ledger.settle(call.booking, nano(served.cost.total) if served and served.cost else 0)
        for attempt in call.attempts:
            self._recording.beside(hit, attempt, CHECK)
