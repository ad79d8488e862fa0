"""A judge's requests per minute, shared by all workers: one request more in; how long it has to wait, out.

A request takes the next free slot of an even stream, with room for a burst of a twelfth of a minute (GCRA, as in ATM traffic
control, ITU-T I.371). The slots stand in Redis by the server's clock, so that workers' clocks do not matter.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from spanledger_workers.memory import Memory

BURST_S = 5.0
LONGEST_WAIT_S = 20.0
"""A batch whose judge has no free slot for longer goes back to the queue."""

# KEYS: the judge. ARGV: microseconds between two requests, burst in microseconds, requests to book (0: only ask).
# Returns the microseconds until the first of them may go.
_NEXT = """
local now = redis.call('TIME')
local us = now[1] * 1000000 + now[2]
local gap, burst, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local free = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), us - burst)
if wanted > 0 then
  local next = free + gap * wanted
  redis.call('SET', KEYS[1], string.format('%.0f', next), 'PX', math.ceil((next - us) / 1000) + 60000)
end
return math.max(0, math.floor(free - us))
"""


@dataclass(frozen=True, slots=True)
class JudgePace:
    """The stream of one judge's requests."""

    redis: Memory
    judge: str
    per_minute: int

    async def admit(self) -> None:
        """Wait for this request's turn."""
        wait = self._ask(1)
        if wait > 0:
            await asyncio.sleep(wait)

    def wait_s(self) -> float:
        """How long a request made now would wait; takes no turn."""
        return self._ask(0)

    def _ask(self, requests: int) -> float:
        gap = 60_000_000 // self.per_minute
        key = f"spanledger:judge:{self.judge}"
        return int(self.redis.eval(_NEXT, 1, key, gap, int(BURST_S * 1e6), requests)) / 1e6
