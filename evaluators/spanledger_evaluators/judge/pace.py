"""How many judge calls may be in flight: answers and refusals in, a window that adapts out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager


class Window:
    """A window of calls in flight that halves on overload and grows by one per full round of successes.

    A pause holds every caller back for a while, as ``Retry-After`` asks for.
    """

    def __init__(self, most: int, *, clock: Callable[[], float]) -> None:
        if most < 1:
            raise ValueError("a window lets at least one call through")
        self._most = most
        self._clock = clock
        self._resume_at = 0.0
        self._waiting = asyncio.Condition()
        self.limit = float(most)
        self.in_flight = 0

    @asynccontextmanager
    async def seat(self) -> AsyncGenerator[None]:
        """Wait for a place in the window and hold it."""
        async with self._waiting:
            await self._waiting.wait_for(lambda: self.in_flight < int(self.limit))
            self.in_flight += 1
        try:
            while (wait := self._resume_at - self._clock()) > 0:
                await asyncio.sleep(wait)
            yield
        finally:
            async with self._waiting:
                self.in_flight -= 1
                self._waiting.notify_all()

    def succeeded(self) -> None:
        """Widen the window by its reciprocal: one more after a full round."""
        self.limit = min(float(self._most), self.limit + 1 / self.limit)

    def overloaded(self, pause_s: float) -> None:
        """Halve the window and hold everybody back for ``pause_s`` seconds."""
        self.limit = max(1.0, self.limit / 2)
        self._resume_at = max(self._resume_at, self._clock() + pause_s)
