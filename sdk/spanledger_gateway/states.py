"""Route states and change messages from Redis in; the last known state of each route out, also on disk."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import orjson
from redis.asyncio.client import PubSub

from spanledger.serving.routing import PRIMARY, RouteState

from . import metrics
from .following import follow
from .redis_link import REDIS_DOWN, RedisLink
from .redis_wire import RedisAwayError

logger = logging.getLogger("spanledger.gateway")

CHANNEL = "spanledger:changes"
_FIELDS = ("state", "reason", "since", "event_id", "canary")

Routes = Callable[[], list[tuple[str, str]]]


class RouteStates:
    """What the workers decided about each route. When Redis is away, what was last known holds."""

    def __init__(self, link: RedisLink, routes: Routes, folder: Path, poll_s: float) -> None:
        self._link = link
        self._routes = routes
        self._path = folder / "routes.json"
        self._poll_s = poll_s
        self._states: dict[tuple[str, str], RouteState] = {}
        self._wake = asyncio.Event()

    def get(self, project: str, route: str) -> RouteState:
        """The state to obey now."""
        return self._states.get((project, route), PRIMARY)

    def wake(self) -> None:
        """Look at Redis now."""
        self._wake.set()

    def read_disk(self) -> None:
        """Begin with what the last process knew, until Redis answers."""
        try:
            stored: list[list[Any]] = orjson.loads(self._path.read_bytes())
            self._states = {(project, route): RouteState(**state) for project, route, state in stored}
        except (OSError, ValueError, TypeError):
            self._states = {}

    async def run(self) -> None:
        """Follow Redis until cancelled."""
        await follow(self.refresh, self._wake, self._poll_s)

    async def refresh(self) -> None:
        """Read every route's state once."""
        routes = self._routes()
        futures = [self._link.submit("HMGET", f"spanledger:route:{p}:{r}", *_FIELDS) for p, r in routes]
        try:
            answers = cast(list[list[bytes | None]], await asyncio.gather(*futures))
        except RedisAwayError:
            metrics.count(metrics.REDIS_ERRORS, "route_state")
            for future in futures:
                future.exception() if future.done() else future.cancel()
            return
        states = {
            name: state for name, values in zip(routes, answers, strict=True) if (state := _state(values))
        }
        if states != self._states:
            self._states = states
            self._store()

    def _store(self) -> None:
        rows = [[p, r, {name: getattr(s, name) for name in _FIELDS}] for (p, r), s in self._states.items()]
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._path.write_bytes(orjson.dumps(rows))
        except OSError as wrong:
            logger.warning("Route states could not be stored in %s: %s", self._path, wrong)


def _state(values: list[bytes | None]) -> RouteState | None:
    state, reason, since, event_id, canary = ((value or b"").decode("utf-8", "replace") for value in values)
    if state != "fallback":
        return None
    return RouteState(
        state="fallback",
        canary=_share(canary),
        reason=reason,
        since=int(since) if since.isdigit() else 0,
        event_id=event_id,
    )


def _share(value: str) -> float:
    try:
        share = float(value)
    except ValueError:
        return 0.0
    return min(1.0, max(0.0, share))


async def listen(link: RedisLink, wake: dict[str, Callable[[], None]]) -> None:
    """Wake what a message on the channel is about; reconnects until cancelled."""
    while True:
        try:
            async with _pubsub(link) as pubsub:
                await pubsub.subscribe(CHANNEL)
                while True:
                    message = cast(
                        dict[str, Any] | None,
                        await pubsub.get_message(ignore_subscribe_messages=True, timeout=5.0),
                    )
                    if message is not None:
                        _wake(message.get("data"), wake)
        except REDIS_DOWN as away:
            logger.debug("not listening to changes: %s", away)
            await asyncio.sleep(1.0)


def _pubsub(link: RedisLink) -> PubSub:
    return link.client.pubsub()  # pyright: ignore[reportUnknownMemberType]


def _wake(data: object, wake: dict[str, Callable[[], None]]) -> None:
    try:
        kind = cast(dict[str, object], orjson.loads(cast(bytes, data))).get("kind")
    except (orjson.JSONDecodeError, AttributeError, TypeError):
        return
    if isinstance(kind, str) and kind in wake:
        wake[kind]()
