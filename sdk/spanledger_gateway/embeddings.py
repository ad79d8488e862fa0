"""Questions in, vectors of an upstream's embeddings endpoint out; each recorded as a call of its own."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import orjson

from spanledger.serving.asks import Ask
from spanledger.serving.budgets import nano
from spanledger.serving.refusals import RefusedError
from spanledger.serving.semantic.embedder import quantise
from spanledger.serving.snapshot import Target

from .asking import Whole, ask
from .beside import book
from .calls import Attempt, Call
from .ledger import Ledger
from .pricing import Pricing
from .recording import EMBED
from .upstreams import AttemptFailed, Upstreams

logger = logging.getLogger("spanledger.gateway")

_LIMIT_S = 5.0


class Embeddings:
    """Embeds by an upstream that speaks OpenAI's API. Budgets apply; what fails gives no vector."""

    def __init__(
        self,
        upstreams: Upstreams,
        ledger: Ledger,
        pricing: Pricing,
        record: Callable[[Call, Attempt, str], None],
    ) -> None:
        self._upstreams = upstreams
        self._ledger = ledger
        self._pricing = pricing
        self._record = record

    async def embed(self, original: Call, embedder: str, question: str) -> bytes | None:
        """The question's vector, or None."""
        name, _, model = embedder.partition("/")
        upstream = original.project.upstreams.get(name)
        if upstream is None:
            return None
        body = {"model": model, "input": question}
        raw = orjson.dumps(body)
        asked = Ask("embeddings", raw, body, model)
        call = replace(original, endpoint="embeddings", ask=asked, attempts=[], booking=None, meaning=None)
        target = Target(upstream=name, model=model)
        attempt = Attempt.of(target, upstream, "embeddings", 1, "semantic cache")
        try:
            await book(call, attempt, self._pricing, self._ledger)
            answer = await ask(self._upstreams, call, attempt, raw, _LIMIT_S)
            self._pricing.close(call, attempt)
        except (AttemptFailed, RefusedError) as failed:
            logger.debug("a question could not be embedded: %s", failed)
            return None
        finally:
            attempt.ended = time.time_ns()
            if call.booking is not None:
                self._ledger.settle(call.booking, nano(attempt.cost.total) if attempt.cost else 0)
        self._record(original, attempt, EMBED)
        return _vector(answer.body) if isinstance(answer, Whole) else None


def _vector(body: bytes) -> bytes | None:
    try:
        values: Any = orjson.loads(body)["data"][0]["embedding"]
        return quantise(cast(list[float], values))
    except (KeyError, IndexError, TypeError, ValueError):
        return None
