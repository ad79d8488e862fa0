"""A time limit around what a task awaits: ``asyncio.timeout`` at half its cost, on every call's way."""

from __future__ import annotations

import asyncio
from typing import Any


class Within:
    """A context manager; raises TimeoutError when the block takes longer. Times in seconds."""

    __slots__ = ("_cancelling", "_is_late", "_task", "_timer")

    def __init__(self, limit_s: float) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task: asyncio.Task[Any] = task
        self._cancelling = task.cancelling()
        self._is_late = False
        self._timer = asyncio.get_running_loop().call_later(limit_s, self._late)

    def __enter__(self) -> Within:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._timer.cancel()
        # Somebody else may have cancelled the task too: then that is what happened.
        if self._is_late and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError

    def _late(self) -> None:
        self._is_late = True
        self._task.cancel()
