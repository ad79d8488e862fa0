"""What no caller should wait for: work in, done when the running step of the event loop has ended.

A transport writes what a step left it after that step, so an answer leaves before this begins; the next request comes
after it. Calls that ended in one turn of the loop share one wake-up, and their commands to Redis one write.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVarTuple

logger = logging.getLogger("spanledger.gateway")

Given = TypeVarTuple("Given")


class Later:
    """Work that waits, in its order."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Callable[..., None], tuple[object, ...]]] = []

    def do(self, work: Callable[[*Given], None], *given: *Given) -> None:
        """Call this soon. What it raises is logged."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._work)
        self._waiting.append((work, given))

    def _work(self) -> None:
        waiting, self._waiting = self._waiting, []
        for work, given in waiting:
            try:
                work(*given)
            except Exception:
                logger.exception("what follows an answer failed")
