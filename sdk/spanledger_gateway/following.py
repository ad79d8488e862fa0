"""What is read again and again until cancelled: every so often, and at once when somebody says it is worth it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


async def follow(refresh: Callable[[], Awaitable[object]], wake: asyncio.Event, poll_s: float) -> None:
    """Refresh now, whenever ``wake`` is set, and ``poll_s`` seconds after the last time."""
    while True:
        wake.clear()
        await refresh()
        try:
            await asyncio.wait_for(wake.wait(), poll_s)
        except TimeoutError:
            continue
