"""Calls that nobody waits for: bounded in number, booked like any other, and ended with the gateway."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

from .calls import Attempt, Call
from .ledger import Ledger
from .pricing import Pricing


class Beside:
    """Tasks beside the answers, at most ``most`` at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._running: set[asyncio.Task[None]] = set()

    @property
    def is_full(self) -> bool:
        """Whether one more would be too many."""
        return len(self._running) >= self._most

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it and wait for nothing."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """Let none outlive the gateway."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)


def whole(body: dict[str, Any]) -> dict[str, Any]:
    """The request without its wish for a stream: a whole answer is enough where nobody reads along."""
    return {name: value for name, value in body.items() if name not in ("stream", "stream_options")}


async def book(call: Call, attempt: Attempt, pricing: Pricing, ledger: Ledger) -> None:
    """Reserve an attempt's cost on the budgets that apply; raises RefusedError where one is used up."""
    budgets_of = call.registry.budgets(call.key.project)
    fields = {**call.fields, "model": attempt.target.model, "upstream": attempt.target.upstream}
    budgets = budgets_of.applied(fields, time.time()) if budgets_of else []
    if budgets:
        amount, likely = pricing.estimate(call, attempt) or (0, 0)
        call.booking = await ledger.reserve(ledger.bid(attempt.span_id.hex(), budgets, amount, likely))
