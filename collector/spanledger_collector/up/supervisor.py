"""Runs the roles: starts each when what it stands on is ready, restarts the dead, stops all in order."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .child import Child, Watchdog, exit_words
from .health import wait_healthy
from .roles import Role

START_LIMIT_S = 120.0
STAGE_GRACE_S = (4.0, 2.5, 2.0)  # stages are stopped one after another; together below 10 s
STEADY_S = 60.0  # a role that ran this long starts its back-off afresh
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0

Say = Callable[[str], None]


class StartError(Exception):
    """A role did not come up; the message says which and shows the end of its log."""


def pause_before_restart(deaths: int) -> float:
    """Seconds to wait after the n-th death in a row (n from 1): doubling, bounded."""
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(deaths - 1, 10))


class Supervisor:
    """All roles of one home."""

    def __init__(
        self,
        roles: Sequence[Role],
        env: Mapping[str, str],
        logs: Path,
        *,
        say: Say,
    ) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self._guard = Watchdog()
        self.children = [Child(role, env, logs / f"{role.name}.log", self._guard) for role in roles]
        self._ready = {role.name: asyncio.Event() for role in roles}
        self._say = say
        self._stopping = False
        self._tenders: list[asyncio.Task[None]] = []
        self._began = time.monotonic()

    async def start(self) -> None:
        """Start all; return when every role is ready.

        Raises:
            StartError: one ended or did not get ready in time. Call ``stop`` then too.
        """
        self._began = time.monotonic()
        self._tenders = [asyncio.create_task(self._tend(child)) for child in self.children]
        ready = asyncio.create_task(self._all_ready())
        first: list[asyncio.Task[None]] = [ready, *self._tenders]
        waiting = set(first)
        while not ready.done() and waiting:
            left = START_LIMIT_S - (time.monotonic() - self._began)
            done, waiting = await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            failure = next((task.exception() for task in done if task.exception()), None)
            if failure is not None or not done:
                ready.cancel()
                raise failure or StartError(self._slow_ones())

    async def _all_ready(self) -> None:
        for event in self._ready.values():
            await event.wait()

    async def stop(self) -> list[str]:
        """Stop all, in order; the names of those that had to be killed."""
        self._stopping = True
        for task in self._tenders:
            task.cancel()
        await asyncio.gather(*self._tenders, return_exceptions=True)
        stages: defaultdict[int, list[Child]] = defaultdict(list)
        for child in self.children:
            stages[child.role.stage].append(child)
        killed: list[str] = []
        for stage in sorted(stages):
            grace = STAGE_GRACE_S[min(stage, len(STAGE_GRACE_S) - 1)]
            ended = await asyncio.gather(*(child.stop(grace) for child in stages[stage]))
            killed += [c.role.name for c, well in zip(stages[stage], ended, strict=True) if not well]
        self._guard.close()
        return killed

    async def _tend(self, child: Child) -> None:
        """One role's life: wait for its ground, start it, and start it again whenever it dies."""
        for name in child.role.after:
            await self._ready[name].wait()
        await child.start()
        await self._first_ready(child)
        self._ready[child.role.name].set()
        deaths = 0
        while not self._stopping:
            code = await child.wait()
            if child.role.once:
                if code:
                    self._say(f"{child.role.name} ended ({exit_words(code)}); its log: {child.log}")
                return
            deaths = 1 if time.monotonic() - child.started > STEADY_S else deaths + 1
            pause = pause_before_restart(deaths)
            self._say(
                f"{child.role.name} died ({exit_words(code)}); restarting it in {pause:g} s; its log: {child.log}"
            )
            await asyncio.sleep(pause)
            await self._restart(child)

    async def _first_ready(self, child: Child) -> None:
        role = child.role
        code = await self._until_ready(child)
        if code is not None and not (role.once and code == 0):
            tail = child.tail()
            raise StartError(
                f"{role.name} did not start ({exit_words(code)}); the end of {child.log}:\n{tail}"
            )
        if not role.once:
            self._say(f"  {role.name:<10} ready after {time.monotonic() - self._began:4.1f} s")

    async def _restart(self, child: Child) -> None:
        try:
            await child.start()
        except OSError as error:  # no process or file left on the machine: try again after the next pause
            self._say(f"{child.role.name} could not be started: {error}")
            return
        if await self._until_ready(child) is None:
            self._say(f"{child.role.name} is back")

    async def _until_ready(self, child: Child) -> int | None:
        """Wait for the health check; the exit code if the process ends before it is passed."""
        healthy = asyncio.create_task(wait_healthy(child.role.health))
        ended = asyncio.create_task(child.wait())
        try:
            await asyncio.wait([healthy, ended], return_when=asyncio.FIRST_COMPLETED)
            return ended.result() if ended.done() else None
        finally:
            healthy.cancel()
            ended.cancel()

    def _slow_ones(self) -> str:
        slow = [child for child in self.children if not self._ready[child.role.name].is_set()]
        told = "\n".join(f"{child.role.name}: the end of {child.log}:\n{child.tail()}" for child in slow)
        return f"not ready after {START_LIMIT_S:g} s: {', '.join(c.role.name for c in slow)}\n{told}"
